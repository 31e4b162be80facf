/*
 * What workers.c (table, start, retiring) and workers_read.c (messages, end) share.
 * Nobody else includes this.
 */
#ifndef LAUNCHER_WORKERS_INTERNAL_H
#define LAUNCHER_WORKERS_INTERNAL_H

#include "launcher/launcher.h"

/* Its place in lr.workers. */
unsigned int workers_slot(const struct worker *w);
/* Out of the table; our end of its pair is closed. */
void workers_free(struct worker *w);
/* SIGKILL, if its process is known. */
void workers_kill(const struct worker *w);
/* A start failed: the next waits, longer each time. */
void workers_start_failed(struct service_state *st, uint64_t now);
/* One that was started at `born` has crashed: the next is not born at once after it. */
void workers_crashed(struct service_state *st, uint64_t born);
/* The waiting children of the template in this slot. */
void workers_retire_children(unsigned int slot, uint64_t now);

#endif
