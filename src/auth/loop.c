#include "auth/loop.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"

#define BATCH 64

static int epoll_fd = -1;
static struct epoll_event batch[BATCH];
static int batch_n, batch_i;
static uint64_t now_ms;

/* Set timers, in no order.  soonest is never later than the first of them; it
 * may be earlier when that one was cleared, which costs one empty round. */
static struct timer timers = {.next = &timers, .prev = &timers};
static uint64_t soonest = UINT64_MAX;

static uint64_t
clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

int
loop_init(void)
{
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	now_ms = clock_ms();
	return epoll_fd == -1 ? -1 : 0;
}

uint64_t
loop_now(void)
{
	return now_ms;
}

static int
control(int op, struct watch *w, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = w};

	return epoll_ctl(epoll_fd, op, w->fd, &ev);
}

int
loop_add(struct watch *w, uint32_t events)
{
	return control(EPOLL_CTL_ADD, w, events);
}

int
loop_change(struct watch *w, uint32_t events)
{
	return control(EPOLL_CTL_MOD, w, events);
}

void
loop_close(struct watch *w)
{
	if (w->fd == -1)
		return;
	/* By hand: as long as somebody else holds a copy of the descriptor, close
	 * alone would leave it in the set. */
	control(EPOLL_CTL_DEL, w, 0);
	close(w->fd);
	w->fd = -1;
	for (int i = batch_i + 1; i < batch_n; i++)
		if (batch[i].data.ptr == w)
			batch[i].data.ptr = NULL;
}

void
timer_set(struct timer *t, uint32_t ms)
{
	timer_clear(t);
	t->due_ms = now_ms + ms;
	t->next = &timers;
	t->prev = timers.prev;
	timers.prev->next = t;
	timers.prev = t;
	if (t->due_ms < soonest)
		soonest = t->due_ms;
}

void
timer_clear(struct timer *t)
{
	if (t->next == NULL)
		return;
	t->prev->next = t->next;
	t->next->prev = t->prev;
	t->next = t->prev = NULL;
}

static struct timer *
first_due(void)
{
	soonest = UINT64_MAX;
	for (struct timer *t = timers.next; t != &timers; t = t->next) {
		if (t->due_ms <= now_ms)
			return t;
		if (t->due_ms < soonest)
			soonest = t->due_ms;
	}
	return NULL;
}

static void
run_timers(void)
{
	struct timer *t;

	while (soonest <= now_ms && (t = first_due()) != NULL) {
		timer_clear(t);
		t->fire(t);
		soonest = 0; /* look again: others may be due */
	}
}

static int
wait_ms(void)
{
	if (soonest == UINT64_MAX)
		return -1;
	return soonest <= now_ms ? 0 : (int)(soonest - now_ms < 60000 ? soonest - now_ms : 60000);
}

void
loop_once(void)
{
	batch_i = 0;
	batch_n = epoll_pwait(epoll_fd, batch, BATCH, wait_ms(), NULL);
	now_ms = clock_ms();
	if (batch_n == -1) {
		/* EINTR: stopped and continued.  Anything else is a bug of ours; not
		 * to spin on it is all that can be done. */
		if (errno != EINTR)
			fatal(70, "epoll_pwait");
		batch_n = 0;
	}
	for (batch_i = 0; batch_i < batch_n; batch_i++) {
		struct watch *w = batch[batch_i].data.ptr;

		if (w != NULL)
			w->ready(w, batch[batch_i].events);
	}
	batch_n = 0;
	run_timers();
}
