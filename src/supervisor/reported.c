#include "supervisor/reported.h"

#include <string.h>
#include <unistd.h>

#include "common/str.h"
#include "supervisor/helper.h"
#include "supervisor/rundir.h"

static void
set(struct record *r, const char *what, pid_t pid, const struct layer_report *rep)
{
	struct record_entry *e = r->entry;

	while (e < r->entry + r->n && strcmp(e->what, what) != 0)
		e++;
	if (e == r->entry + RECORD_ENTRIES_MAX)
		return; /* three helpers, and a kind for each service and model */
	if (e == r->entry + r->n)
		r->n++;
	str_copy(e->what, sizeof(e->what), what);
	e->pid = pid;
	e->started = pid != 0 ? record_start_time(pid) : 0;
	e->layers = *rep;
}

static void
put(struct generation *g)
{
	g->record.generation = g->number;
	g->record.supervisor = getpid();
	rundir_record(&g->record);
}

void
reported_helper(struct generation *g, const struct helper *h)
{
	set(&g->record, helper_name(h->role), h->pid, &h->layers);
	put(g);
}

void
reported_kind(struct generation *g, const char *what, const struct layer_report *rep)
{
	/* The launcher says it: no word of its may end a field or name a helper. */
	if (what[strspn(what, "abcdefghijklmnopqrstuvwxyz0123456789 ")] != '\0')
		return;
	set(&g->record, what, 0, rep);
	put(g);
}

void
reported_end(struct generation *g, const struct helper *h)
{
	struct record *r = &g->record;

	for (unsigned int i = 0; i < r->n; i++) {
		if (strcmp(r->entry[i].what, helper_name(h->role)) != 0)
			continue;
		r->entry[i] = r->entry[--r->n];
		put(g);
		return;
	}
}

void
reported_self(const struct layer_report *rep)
{
	struct record r = {.supervisor = getpid()};

	set(&r, "gatehouse", getpid(), rep);
	rundir_record(&r);
}
