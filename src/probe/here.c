#include "probe/here.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sysexits.h>

#include "probe/compare.h"
#include "probe/isolate.h"
#include "probe/sys.h"
#include "probe/watch.h"

static const char usage[] =
    "usage: gatehouse-probe --here [--json | --table] [--exact] [--name NAME] [ID...]\n"
    "       gatehouse-probe --one ID [--json | --table] [--name NAME]\n"
    "       gatehouse-probe --list [--json]\n"
    "       gatehouse-probe --compare FILE...\n"
    "ID: a row (FS-01), one form of it (FS-05.mkdir), or a class (FS).  See gatehouse-probe(1).\n";

enum form {
	FORM_TAP,
	FORM_JSON,
	FORM_TABLE
};

enum command {
	CMD_NONE,
	CMD_HERE,
	CMD_ONE,
	CMD_LIST,
	CMD_COMPARE
};

struct run {
	enum command cmd;
	enum form form;
	const char *name, *one, *who;
	unsigned int tests, open, closed, skipped, unexpected;
	char kernel[80];
};

static bool exact;

/* FS, FS-01 and FS-01.old name the row FS-01.old; exact: only itself does. */
static bool
wanted(const struct test *t, int n, char **words)
{
	if (n == 0)
		return true;
	for (int i = 0; i < n; i++) {
		size_t len = strlen(words[i]);

		if (exact && strcmp(t->id, words[i]) == 0)
			return true;
		if (!exact && strncmp(t->id, words[i], len) == 0 && strchr("-.", t->id[len]) != NULL)
			return true; /* strchr finds the end of the string, too */
	}
	return false;
}

static void
text_of(const struct observed *o, char *dst, size_t cap)
{
	if (o->v == V_ERRNO)
		snprintf(dst, cap, "ERRNO %s", strerrorname_np(o->err) != NULL
			? strerrorname_np(o->err) : "?");
	else if (o->v == V_CRASH && o->err != 0)
		snprintf(dst, cap, "CRASH SIG%s", sigabbrev_np(o->err));
	else
		snprintf(dst, cap, "%s", verdict_name(o->v));
}

static void
as_tap(const struct run *r, const struct test *t, const struct observed *o, bool good)
{
	char text[64];

	text_of(o, text, sizeof(text));
	printf("%s %u - %s %s", good ? "ok" : "not ok", r->tests, t->id, t->what);
	if (o->v == V_SKIP)
		printf(" # SKIP %s", o->note);
	printf("\n  ---\n  id: %s\n  class: %s\n  config: %s\n  result: %s\n", t->id, table_class(t),
	    r->name, text);
	if (o->err != 0)
		printf("  errno: %d\n", o->err);
	printf("  expected: %s\n  kernel: \"%s\"\n  wall: \"%s\"\n",
	    (t->flags & T_INFO) != 0 ? "any" : (t->flags & T_CRASH) != 0 ? "CRASH" : "not OPEN",
	    r->kernel, t->wall);
	if (o->last_nr >= 0)
		printf("  last_call: %ld\n", o->last_nr);
	if (o->note[0] != '\0')
		printf("  note: \"%s\"\n", o->note);
	printf("  ...\n");
}

static void
as_json(const struct run *r, const struct test *t, const struct observed *o, bool good)
{
	printf("{\"id\":\"%s\",\"class\":\"%s\",\"config\":\"%s\",\"result\":\"%s\",\"errno\":%d,"
	       "\"expected\":%s,\"wall\":\"%s\",\"flags\":%u,\"kernel\":\"%s\",\"last_call\":%ld,"
	       "\"what\":\"%s\",\"note\":\"%s\"}\n",
	    t->id, table_class(t), r->name, verdict_name(o->v), o->err, good ? "true" : "false",
	    t->wall, t->flags, r->kernel, o->last_nr, t->what, o->note);
}

static void
one(struct run *r, const struct test *t, bool forked)
{
	struct observed o;
	bool good;
	char text[64];

	if (forked)
		watch_run(t, &o);
	else
		watch_inline(t, &o);
	good = watch_expected(t, &o);
	r->tests++;
	r->skipped += o.v == V_SKIP;
	r->open += o.v == V_OPEN;
	r->closed += o.v != V_SKIP && o.v != V_OPEN;
	r->unexpected += !good;
	text_of(&o, text, sizeof(text));
	if (r->form == FORM_JSON)
		as_json(r, t, &o, good);
	else if (r->form == FORM_TAP)
		as_tap(r, t, &o, good);
	else
		printf("%-20s %-16s %s%s%s\n", t->id, text, t->what, o.note[0] != '\0' ? ": " : "",
		    o.note);
	fflush(stdout);
}

static unsigned int
count(int n, char **words)
{
	const struct test *t;
	unsigned int k = 0;

	for (unsigned int i = 0; (t = table_row(i)) != NULL; i++)
		k += wanted(t, n, words);
	return k;
}

static int
here(struct run *r, int n, char **words)
{
	const struct test *t;

	if (count(n, words) == 0) {
		fprintf(stderr, "gatehouse-probe: no such row\n");
		return EX_USAGE;
	}
	if (!watch_can_fork()) {
		fprintf(stderr, "gatehouse-probe: no process can be made here: run "
		    "gatehouse-probe --one ID for each line of --list\n");
		return EX_OSERR;
	}
	r->who = isolate_run();
	if (r->form == FORM_TAP)
		printf("TAP version 14\n1..%u\n# as %s\n", count(n, words), r->who);
	for (unsigned int i = 0; (t = table_row(i)) != NULL; i++)
		if (wanted(t, n, words))
			one(r, t, true);
	if (r->form != FORM_JSON)
		printf("# %u tests: %u closed, %u open, %u skipped; %u not as expected\n", r->tests,
		    r->closed, r->open, r->skipped, r->unexpected);
	return r->unexpected == 0 ? EX_OK : 1;
}

static int
single(struct run *r)
{
	const struct test *t = table_find(r->one);

	if (t == NULL || (t->flags & T_SWEEP) != 0) {
		fprintf(stderr, "gatehouse-probe: no row %s\n", r->one);
		return EX_USAGE;
	}
	r->who = isolate_run();
	isolate_attempt();
	if (r->form == FORM_TAP)
		printf("TAP version 14\n1..1\n# as %s\n", r->who);
	fflush(stdout);
	one(r, t, false);
	return r->unexpected == 0 ? EX_OK : 1;
}

static int
list(const struct run *r)
{
	const struct test *t;

	for (unsigned int i = 0; (t = table_row(i)) != NULL; i++) {
		if (r->form == FORM_JSON)
			printf("{\"id\":\"%s\",\"class\":\"%s\",\"wall\":\"%s\",\"flags\":%u,"
			       "\"what\":\"%s\"}\n",
			    t->id, table_class(t), t->wall, t->flags, t->what);
		else
			printf("%-20s %-12s %s\n", t->id, t->wall[0] != '\0' ? t->wall : "-", t->what);
	}
	return EX_OK;
}

static int
options(struct run *r, int argc, char **argv)
{
	static const struct option opts[] = {{"here", no_argument, NULL, 'H'},
	    {"one", required_argument, NULL, 'o'}, {"list", no_argument, NULL, 'l'},
	    {"compare", no_argument, NULL, 'c'}, {"json", no_argument, NULL, 'j'},
	    {"table", no_argument, NULL, 't'}, {"name", required_argument, NULL, 'n'},
	    {"exact", no_argument, NULL, 'e'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	int c;

	while ((c = getopt_long(argc, argv, "+", opts, NULL)) != -1) {
		switch (c) {
		case 'H': r->cmd = CMD_HERE; break;
		case 'o': r->cmd = CMD_ONE; r->one = optarg; break;
		case 'l': r->cmd = CMD_LIST; break;
		case 'c': r->cmd = CMD_COMPARE; break;
		case 'j': r->form = FORM_JSON; break;
		case 't': r->form = FORM_TABLE; break;
		case 'e': exact = true; break;
		case 'n': r->name = optarg; break;
		case 'h': fputs(usage, stdout); exit(EX_OK);
		default: return -1;
		}
	}
	return r->cmd == CMD_NONE ? -1 : 0;
}

int
here_main(int argc, char **argv)
{
	struct run r = {.name = "here"};
	struct utsname u;

	if (options(&r, argc, argv) == -1) {
		fputs(usage, stderr);
		return EX_USAGE;
	}
	if (uname(&u) == 0)
		snprintf(r.kernel, sizeof(r.kernel), "%.60s %.15s", u.release, u.machine);
	if (r.cmd == CMD_LIST)
		return list(&r);
	if (r.cmd == CMD_COMPARE)
		return compare(argc - optind, argv + optind);
	return r.cmd == CMD_ONE ? single(&r) : here(&r, argc - optind, argv + optind);
}
