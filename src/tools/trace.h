/*
 * Running a program under a filter that asks instead of killing: every call that
 * a policy denies is reported and then goes on.  No sandbox: whoever runs under it
 * may do everything.  Works for an ordinary user, with children and threads;
 * needs Linux 5.5 (SECCOMP_USER_NOTIF_FLAG_CONTINUE).
 */
#ifndef TOOLS_TRACE_H
#define TOOLS_TRACE_H

#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/types.h>

#include "policy/policy.h"

typedef void (*trace_fn)(void *ctx, pid_t tid, const struct seccomp_data *call);

/* In b, whatever kills asks from now on. */
void trace_ask_instead(struct policy_bpf *b);
/* Run path with argv under b until it and all that it has started are gone.
 * 0 and the wait status of path itself; -1: why says what failed. */
int trace_run(const struct policy_bpf *b, const char *path, char **argv, trace_fn fn, void *ctx,
    int *status, char *why, size_t cap);

#endif
