/*
 * Who takes a connection, by ready.h and by whether there is room in the queues on its
 * way.
 */
#include <poll.h>
#include <time.h>

#include "launcher/launcher.h"

/* A pooled worker whose queue is full for so long is no burst. */
#define STUCK_MS 1000

bool
pick_queues(const struct worker *w)
{
	struct pollfd p[] = {{.fd = lr.auth_fd, .events = POLLOUT},
	    {.fd = lr.keys_fd, .events = POLLOUT}, {.fd = w->fd, .events = POLLOUT}};
	const struct timespec none = {0};

	/* A peer that is gone counts as having room: sending will show it. */
	return ppoll(p, 3, &none, NULL) == 3;
}

static bool
takes(const struct worker *w)
{
	struct pollfd p = {.fd = w->fd, .events = POLLOUT};
	const struct timespec none = {0};

	return ppoll(&p, 1, &none, NULL) == 1;
}

struct worker *
pick_worker(const struct workers *all, uint64_t now)
{
	struct worker *w;

	for (unsigned int i = 0; i < all->n; i++)
		if (all->w[i].full_ms != 0 && (all->w[i].fd == -1 || takes(&all->w[i])))
			all->w[i].full_ms = 0;
	while ((w = ready_pick(all)) != NULL && w->kind == W_POOLED && !pick_queues(w) &&
	    !takes(w))
		w->full_ms = now;
	return w;
}

bool
pick_later(const struct workers *all, uint64_t now)
{
	bool full = false, burst = false, other = workers_room(all->service);

	for (unsigned int i = 0; i < all->n; i++) {
		const struct worker *w = &all->w[i];

		if (w->kind != W_POOLED || w->service != all->service || w->retiring)
			continue;
		full = full || w->full_ms != 0;
		burst = burst || (w->full_ms != 0 && now - w->full_ms < STUCK_MS);
		other = other || w->full_ms == 0;
	}
	return full && (burst || !other);
}
