/*
 * The event loop: descriptors (epoll) and deadlines.  Nothing here allocates;
 * after loop_init it needs epoll_pwait and epoll_ctl, and the clock of the vDSO.
 *
 * A handler may add and remove any watch or timer, its own included: events of
 * the same batch for a removed watch are not delivered.
 */
#ifndef AUTH_LOOP_H
#define AUTH_LOOP_H

#include <stddef.h>
#include <stdint.h>

struct watch {
	int fd; /* -1: not watched */
	void (*ready)(struct watch *w, uint32_t events); /* EPOLLIN ... */
};

struct timer {
	struct timer *next, *prev; /* NULL: not set */
	uint64_t due_ms;
	void (*fire)(struct timer *t);
};

#define container_of(p, type, member) ((type *)(void *)((char *)(p) - offsetof(type, member)))

/* -1 with errno.  Before the filter: it makes the epoll descriptor. */
int loop_init(void);
/* Monotonic milliseconds, taken once for each batch of events. */
uint64_t loop_now(void);

/* w->fd and w->ready must be set.  -1 with errno. */
int loop_add(struct watch *w, uint32_t events);
int loop_change(struct watch *w, uint32_t events);
/* Stops watching and closes the descriptor; nothing if fd is -1. */
void loop_close(struct watch *w);

/* Set (again) to loop_now() + ms. */
void timer_set(struct timer *t, uint32_t ms);
void timer_clear(struct timer *t);

/* Wait for one batch of events or the next deadline, and serve it. */
void loop_once(void);

#endif
