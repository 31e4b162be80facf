/*
 * Who takes the next connection, how many are kept ready, who goes: decisions
 * over the table of workers.  Pure: no I/O, times are passed in.
 */
#ifndef LAUNCHER_READY_H
#define LAUNCHER_READY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ipc/conn.h"

enum worker_kind {
	W_FREE,     /* the slot is */
	W_TEMPLATE, /* forks; is no worker itself, and not counted */
	W_CHILD,    /* fork: forked, waits for its connection */
	W_EXEC,     /* the same, exec'd */
	W_POOLED
};

/* A process that takes connections.  One that serves a single connection leaves
 * the table with it: from then on it is the connection's (conn.h). */
struct worker {
	uint8_t kind, service;
	bool ready;      /* has said hello; a child: is forked */
	bool retiring;   /* gets nothing new */
	pid_t pid;       /* 0: a child that its template has not forked yet */
	int fd;          /* control pair; -1: let go, it ends by itself */
	uint32_t ref;    /* a child: how its template names it */
	uint16_t parent; /* a child: its template's slot + 1 */
	uint32_t layout; /* of a template's address space, and of its children's; else 0 */
	uint32_t uses;   /* connections so far; a template: children */
	uint32_t conns;  /* pooled: now */
	uint64_t born_ms, idle_since, retired_ms;
	uint64_t full_ms; /* pooled: since when its queue takes nothing more; 0: it does */
};

struct workers {
	struct worker *w;
	unsigned int n;
	enum service service;
	uint32_t client_limit;
};

/* One more connection could be given to it now. */
bool ready_has_room(const struct worker *w, uint32_t client_limit);
/* Workers with room, or on their way to have it; templates do not count. */
unsigned int ready_count(const struct workers *all);
/* One that waits if there is one; of pooled ones the fullest, so that the others
 * become idle and can go; else the template.  NULL: none. */
struct worker *ready_pick(const struct workers *all);
/* The newest template that forks: an older twin is on its way out. */
struct worker *ready_template(const struct workers *all);
/* Something is about to have room, or to make some: a start, an end. */
bool ready_soon(const struct workers *all);
/* Of those that have had nothing to do for that long, the one for longest; NULL: none. */
struct worker *ready_idle(const struct workers *all, uint64_t now, uint32_t idle_kill_ms);

/* How many are kept ready, after a connection found none, and after a quiet
 * second: doubled, and one fewer (as Apache does, and Dovecot 1.x did). */
uint32_t ready_more(uint32_t wanted, uint32_t limit);
uint32_t ready_less(uint32_t wanted, uint32_t least);

#endif
