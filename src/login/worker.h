/*
 * What every part of gatehouse-login shares: the settings, and where it stands.
 * One worker process serves one service.
 */
#ifndef LOGIN_WORKER_H
#define LOGIN_WORKER_H

#include <stdbool.h>
#include <stdbool.h>
#include <stdint.h>

#include "ipc/settings.h"
#include "proto/dialog.h"

struct worker {
	struct worker_settings set;
	enum service service;
};

/* The models; each returns the exit status of the process. */
int template_run(struct worker *w); /* forks a child for each connection */
int exec_run(struct worker *w);     /* waits for one connection, serves it */
bool pool_prepare(void);            /* makes its epoll instance, before the filter */
int pool_run(struct worker *w);     /* serves many */

/* The connection on descriptors 3-6, from first byte to last.  Used by a forked
 * child and by an exec'd worker, whose filter is in force.  Never returns. */
struct conn_info;
void single_serve(struct worker *w, const struct conn_info *info) __attribute__((noreturn));

/* RLIMIT_NOFILE, soft and hard; 0: as it is. */
void worker_limit_fds(uint32_t n);

/* Milliseconds of the monotonic clock (vDSO: no system call). */
uint64_t now_ms(void);

#endif
