/*
 * base_dir: the lock that keeps a second supervisor away, the list of helpers
 * that outlive a supervisor which died (design 5), so that the next one can end
 * them before it takes over their ports, and the record of their layers.
 */
#ifndef SUPERVISOR_RUNDIR_H
#define SUPERVISOR_RUNDIR_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/diag.h"
#include "ipc/stats.h"

/* Make base_dir if it is missing, lock base_dir/gatehouse.pid, write our pid.
 * -1 and d: another one is running (its pid is named), or no right. */
int rundir_lock(const char *base_dir, struct diag *d);

/* Kill what an earlier supervisor left running, and wait until it is gone.
 * Processes are recognised by pid and start time.  Returns how many. */
int rundir_end_orphans(void);

/* The helpers that run now, for a successor. */
void rundir_list(const pid_t *pids, unsigned int n);

/* What the processes of a generation have reported (base_dir/layers.N), for
 * `gatehouse policy verify`; and its end. */
struct record;
void rundir_record(const struct record *r);
void rundir_forget(unsigned int generation);

/* A clean end: remove the files. */
void rundir_unlock(void);

/* A file of counters, replaced as a whole; removed at the end. */
void rundir_stats(const struct stats *s);

#endif
