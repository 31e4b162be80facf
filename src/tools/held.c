#include "tools/held.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

#ifndef PTRACE_EVENT_STOP
#define PTRACE_EVENT_STOP 128
#endif
#define STOP_TRIES 5000 /* of a millisecond each: it may sit in the kernel */

/* Wait for the stop that PTRACE_INTERRUPT makes; a signal that comes first is
 * passed on. */
static bool
wait_stopped(pid_t pid)
{
	static const struct timespec ms = {.tv_nsec = 1000000};

	for (int i = 0; i < STOP_TRIES; i++) {
		int status;
		pid_t got = waitpid(pid, &status, __WALL | WNOHANG);

		if (got == pid && !WIFSTOPPED(status)) {
			errno = ESRCH;
			return false;
		}
		if (got == pid && status >> 16 == PTRACE_EVENT_STOP)
			return true;
		if (got == pid)
			ptrace(PTRACE_CONT, pid, 0, WSTOPSIG(status));
		else if (got == -1 && errno != EINTR)
			return false;
		else
			nanosleep(&ms, NULL);
	}
	errno = ETIMEDOUT;
	return false;
}

/* Number n, counted from the oldest: so does the kernel (get_nth_filter), though
 * ptrace(2) says the opposite. */
static int
read_filter(pid_t pid, unsigned long i, struct policy_bpf *out)
{
	long n = ptrace(PTRACE_SECCOMP_GET_FILTER, pid, i, NULL);

	memset(out, 0, sizeof(*out));
	if (n <= 0)
		return -1;
	out->insn = calloc((size_t)n, sizeof(*out->insn));
	if (out->insn == NULL)
		return -1;
	out->n = (size_t)n;
	if (ptrace(PTRACE_SECCOMP_GET_FILTER, pid, i, out->insn) == n)
		return 0;
	policy_bpf_free(out);
	return -1;
}

static bool
read_filters(struct held *h, char *why, size_t cap)
{
	while (h->nfilters < HELD_FILTERS_MAX &&
	    read_filter(h->pid, h->nfilters, &h->filter[h->nfilters]) == 0)
		h->nfilters++;
	/* ENOENT: that was the last; EINVAL: there is none */
	if (h->nfilters < HELD_FILTERS_MAX &&
	    (errno == ENOENT || (errno == EINVAL && h->nfilters == 0)))
		return true;
	snprintf(why, cap, "its filters cannot be read: %s (%s)", strerror(errno),
	    h->nfilters == HELD_FILTERS_MAX ? "there are too many"
		: errno == EACCES ? "CAP_SYS_ADMIN is needed, and no seccomp filter on the reader"
				  : "the kernel needs CONFIG_CHECKPOINT_RESTORE");
	return false;
}

enum held_result
held_take(struct held *h, pid_t pid, char *why, size_t cap)
{
	memset(h, 0, sizeof(*h));
	h->pid = pid;
	if (ptrace(PTRACE_SEIZE, pid, 0, 0) == -1) {
		int err = errno;

		snprintf(why, cap, "process %d: %s%s", (int)pid,
		    err == ESRCH ? "there is none" : strerror(err),
		    err == EPERM ? " (not yours to trace, ended, or being traced)" : "");
		return err == ESRCH ? HELD_GONE : HELD_DENIED;
	}
	if (ptrace(PTRACE_INTERRUPT, pid, 0, 0) == -1 || !wait_stopped(pid)) {
		bool gone = errno == ESRCH;

		snprintf(why, cap, "process %d %s", (int)pid, gone ? "has ended"
								   : "does not stop");
		ptrace(PTRACE_DETACH, pid, 0, 0);
		return gone ? HELD_GONE : HELD_DENIED;
	}
	return read_filters(h, why, cap) ? HELD_YES : HELD_BLIND;
}

void
held_let_go(struct held *h)
{
	if (h->pid != 0)
		ptrace(PTRACE_DETACH, h->pid, 0, 0);
	h->pid = 0;
}

void
held_release(struct held *h)
{
	held_let_go(h);
	for (unsigned int i = 0; i < h->nfilters; i++)
		policy_bpf_free(&h->filter[i]);
	memset(h, 0, sizeof(*h));
}
