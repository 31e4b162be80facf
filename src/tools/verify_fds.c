/*
 * Descriptors: each that is open is in the policy's list, and what it says.
 */
#include <stdio.h>
#include <string.h>

#include "ipc/fds.h"
#include "tools/verify.h"

static const struct policy_fd *
listed(const struct policy *p, int number)
{
	for (unsigned int i = 0; i < p->nfds; i++)
		if (number >= p->fds[i].number && number <= p->fds[i].last)
			return &p->fds[i];
	return NULL;
}

static const struct procview_fd *
open_fd(const struct procview *v, int number)
{
	for (unsigned int i = 0; i < v->nfds; i++)
		if (v->fds[i].number == number)
			return &v->fds[i];
	return NULL;
}

/* NULL: as the policy says; else what is wrong with it. */
static const char *
mismatch(const struct policy_fd *want, const struct procview_fd *have)
{
	bool any = strcmp(want->type, "any") == 0;

	if (!any && have->known && strcmp(want->type, have->type) != 0)
		return "is another type";
	if (!any && !have->known && strcmp(have->type, "socket") != 0)
		return "is another type";
	/* what can be read and written of a socket or an epoll instance is up to calls */
	if (strcmp(have->type, "pipe") != 0 && strcmp(have->type, "memfd") != 0)
		return NULL;
	if ((have->read && !want->read) || (have->write && !want->write))
		return have->write && !want->write ? "can be written" : "can be read";
	return NULL;
}

/* A worker fills numbers that nobody may get with copies of its log's end. */
static bool
is_log_copy(const struct procview *v, const struct procview_fd *fd)
{
	const struct procview_fd *log = open_fd(v, FD_LOG);

	return log != NULL && strcmp(log->type, "pipe") == 0 &&
	    strcmp(log->target, fd->target) == 0 && log->read == fd->read && log->write == fd->write;
}

struct tally {
	unsigned int as_listed, copies, kept, unsure;
	char kept_text[200];
};

static void
judge(struct verify *v, const struct procview_fd *fd, struct tally *t)
{
	const struct policy *p = &v->policies->policy[v->phase->layers];
	const struct policy_fd *want = listed(p, fd->number), *left = NULL;
	const char *wrong;
	size_t len = strlen(t->kept_text);

	if (want == NULL && v->phase->kept != POL__MAX)
		left = listed(&v->policies->policy[v->phase->kept], fd->number);
	if (want == NULL && left == NULL) {
		if (is_log_copy(v->process, fd))
			t->copies++;
		else
			verify_say(v, "descriptors", VERIFY_DIFFERS,
			    "%d (%s %s) is not in the list of policy %s", fd->number, fd->type,
			    fd->target, p->name);
		return;
	}
	wrong = mismatch(want != NULL ? want : left, fd);
	if (wrong != NULL && !is_log_copy(v->process, fd)) {
		verify_say(v, "descriptors", VERIFY_DIFFERS, "%d %s: %s (%s %s)", fd->number,
		    (want != NULL ? want : left)->name, wrong, fd->type, fd->target);
		return;
	}
	t->unsure += !fd->known;
	if (want != NULL) {
		t->as_listed++;
		return;
	}
	t->kept++;
	snprintf(t->kept_text + len, sizeof(t->kept_text) - len, "%s%d %s", len > 0 ? ", " : "",
	    fd->number, left->name);
}

void
verify_fds(struct verify *v)
{
	const struct policy *p = &v->policies->policy[v->phase->layers];
	unsigned int before = v->nrows;
	struct tally t = {0};
	char more[300] = "";
	size_t len = 0;

	if (p->nfds == 0) {
		verify_say(v, "descriptors", VERIFY_HOLDS, "policy %s lists none", p->name);
		return;
	}
	for (unsigned int i = 0; i < v->process->nfds && v->nrows < before + 16; i++)
		judge(v, &v->process->fds[i], &t);
	if (v->nrows > before)
		return;
	if (t.copies > 0)
		len += (size_t)snprintf(more, sizeof(more), "; %u more are copies of the log's",
		    t.copies);
	if (t.kept > 0)
		snprintf(more + len, sizeof(more) - len, "; left from %s, without a right to it: %s",
		    policy_file_name(v->phase->kept), t.kept_text);
	verify_say(v, "descriptors", t.unsure > 0 ? VERIFY_UNSEEN : VERIFY_HOLDS,
	    "%u open, all in the list with the right type%s%s", t.as_listed, more,
	    t.unsure > 0 ? "; the kernel does not show of what kind the sockets are" : "");
}
