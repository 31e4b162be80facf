/*
 * Counters of all auth clients there were, in base_dir/stats (ipc/stats.h), for
 * `gatehouse stats`: they only grow, whatever is restarted or reloaded, until the
 * supervisor ends.
 */
#ifndef SUPERVISOR_STATISTICS_H
#define SUPERVISOR_STATISTICS_H

#include "ipc/stats.h"

/* A helper's counters are `now`; `before` is what it said last, and becomes now. */
void statistics_add(struct stats *before, const struct stats *now);
/* Write the file, if there is news, at most once a second. */
void statistics_tick(uint64_t now);
/* When that has something to do; UINT64_MAX: never. */
uint64_t statistics_next(void);

#endif
