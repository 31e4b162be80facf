/*
 * Holding a foreign process still for a moment, and reading its seccomp filters
 * meanwhile.  With ptrace, but without its side effects: PTRACE_SEIZE sends no
 * signal, PTRACE_INTERRUPT lets ppoll and read go on by themselves afterwards,
 * and if we die the kernel lets the process go.
 */
#ifndef TOOLS_HELD_H
#define TOOLS_HELD_H

#include <stdbool.h>
#include <sys/types.h>

#include "policy/policy.h"

#define HELD_FILTERS_MAX 32

struct held {
	pid_t pid;
	struct policy_bpf filter[HELD_FILTERS_MAX]; /* oldest first */
	unsigned int nfilters;
};

enum held_result {
	HELD_YES,
	HELD_GONE,    /* no such process, or a zombie */
	HELD_DENIED,  /* it may not be traced (or is being traced) */
	HELD_BLIND    /* held, but this kernel or our rights do not show filters */
};

/* Stop pid (one thread) and read its filters.  With HELD_YES and HELD_BLIND it
 * is stopped until held_release.  why: for people, of everything but HELD_YES. */
enum held_result held_take(struct held *h, pid_t pid, char *why, size_t cap);
/* Let it go on; the filters stay for held_release. */
void held_let_go(struct held *h);
/* Let it go on, free the filters. */
void held_release(struct held *h);

#endif
