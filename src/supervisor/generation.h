/*
 * One generation: a launcher, an auth client and a key signer that were started
 * from one plan and belong together (docs/internals.md).  A reload starts a new
 * one; the old one's launcher drains, and then it ends.
 */
#ifndef SUPERVISOR_GENERATION_H
#define SUPERVISOR_GENERATION_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "confine/layers.h"
#include "confine/record.h"
#include "ipc/msg.h"
#include "ipc/stats.h"
#include "supervisor/listen.h"
#include "supervisor/logger.h"
#include "supervisor/plan.h"

enum helper_state {
	HELPER_DOWN,     /* not running; restart_at says when to try again */
	HELPER_STARTING, /* executed, has not said hello */
	HELPER_UP
};

struct helper {
	enum role role;
	enum helper_state state;
	pid_t pid;
	int control_fd;
	struct logpipe log;
	struct logpipe worker_log; /* of the launcher: what its workers write */
	struct layer_report layers;
	struct layer_report for_workers; /* of the launcher: what it holds for them, not for itself */
	unsigned int failures;     /* in a row; the back-off doubles with each */
	uint64_t restart_at, started_at;
	struct stats stats;        /* of the auth client: what it said last */
};

enum generation_state {
	GEN_STARTING, /* not everybody has said hello, or not all keys are good */
	GEN_RUNNING,
	GEN_DRAINING,
	GEN_ENDING,   /* told to stop */
	GEN_FAILED    /* cannot start: the reason was logged */
};

#define GEN_HELPERS 3

struct generation {
	struct generation *next;
	unsigned int number;
	enum generation_state state;
	struct plan *plan;                /* owned */
	struct helper helpers[GEN_HELPERS]; /* signer, auth client, launcher */
	unsigned int keys_good;
	uint64_t deadline;                /* of STARTING and ENDING */
	struct record record;             /* what was reported, as it stands in base_dir */
	struct listeners listeners;       /* its sockets; others may have the same (doors.h) */
};

/* Start the helpers.  Takes plan, copies the list.  NULL (plan freed): out of memory. */
struct generation *generation_new(struct plan *plan, unsigned int number,
    const struct listeners *l, uint64_t now);

/* Let go of the listeners; see DRAIN. */
void generation_drain(struct generation *g, bool bye, uint32_t within_ms, uint64_t now);
/* STOP to all; those that are still there after the deadline are killed. */
void generation_stop(struct generation *g, uint64_t now);
/* The supervisor reaped pid.  True if it was one of ours. */
bool generation_reaped(struct generation *g, pid_t pid, int status, uint64_t now);
/* Restarts that are due, deadlines. */
void generation_tick(struct generation *g, uint64_t now);
/* The next moment at which tick has something to do; UINT64_MAX: none. */
uint64_t generation_next(const struct generation *g);
/* No process of it is left. */
bool generation_gone(const struct generation *g);
void generation_free(struct generation *g);

/* Descriptors to poll (at most GENERATION_POLLS), and what came of it. */
#define GENERATION_POLLS (GEN_HELPERS * 3)
unsigned int generation_polls(const struct generation *g, struct pollfd *p);
void generation_events(struct generation *g, const struct pollfd *p, unsigned int n, uint64_t now);

const char *helper_name(enum role role); /* "gatehouse-auth" */

#endif
