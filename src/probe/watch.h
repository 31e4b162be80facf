/*
 * One attempt in a process of its own, watched from outside.
 */
#ifndef PROBE_WATCH_H
#define PROBE_WATCH_H

#include "probe/probe.h"

struct observed {
	enum verdict v;
	int err;            /* errno, or the signal of a crash */
	char note[160];
	long last_nr;       /* the last call that was announced, -1: none */
	char last_abi;
};

/* false: no process can be made here. */
bool watch_can_fork(void);
/* In a child with descriptors 3-6 like a worker's, a sibling to aim at, a deadline. */
void watch_run(const struct test *t, struct observed *o);
/* In this process: the outcome is known only if it survives. */
void watch_inline(const struct test *t, struct observed *o);
bool watch_expected(const struct test *t, const struct observed *o);

#endif
