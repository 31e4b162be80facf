#include "supervisor/doors.h"

#include <unistd.h>

static bool
serves(const struct generation *g)
{
	return g->state == GEN_STARTING || g->state == GEN_RUNNING;
}

const struct listeners *
doors_now(const struct generation *g)
{
	static const struct listeners none;

	while (g != NULL && !serves(g))
		g = g->next;
	return g != NULL ? &g->listeners : &none;
}

/* Does a generation that serves, or (serving false) any other than that, have fd? */
static bool
has(const struct generation *g, bool serving, int fd)
{
	for (; g != NULL; g = g->next)
		for (unsigned int i = 0; serves(g) == serving && i < g->listeners.n; i++)
			if (g->listeners.l[i].fd == fd)
				return true;
	return false;
}

void
doors_close(struct generation *newest)
{
	for (struct generation *g = newest; g != NULL; g = g->next) {
		if (serves(g))
			continue;
		/* The last of those that go and share one closes it. */
		while (g->listeners.n > 0) {
			int fd = g->listeners.l[--g->listeners.n].fd;

			if (!has(newest, true, fd) && !has(newest, false, fd))
				close(fd);
		}
	}
}
