#include "launcher/ready.h"

#include <stddef.h>

static bool
ours(const struct workers *all, const struct worker *w)
{
	return w->kind != W_FREE && w->service == all->service;
}

bool
ready_has_room(const struct worker *w, uint32_t client_limit)
{
	if (w->kind == W_FREE || w->fd == -1 || !w->ready || w->retiring)
		return false;
	return w->kind != W_POOLED || w->conns < client_limit;
}

unsigned int
ready_count(const struct workers *all)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < all->n; i++) {
		const struct worker *w = &all->w[i];

		if (ours(all, w) && w->kind != W_TEMPLATE &&
		    (ready_has_room(w, all->client_limit) ||
			(w->fd != -1 && !w->ready && !w->retiring)))
			n++;
	}
	return n;
}

/* a is a better choice than b. */
static bool
better(const struct worker *a, const struct worker *b)
{
	if ((a->kind == W_TEMPLATE) != (b->kind == W_TEMPLATE))
		return b->kind == W_TEMPLATE;
	if (a->conns != b->conns)
		return a->conns > b->conns;
	return a->born_ms > b->born_ms;
}

struct worker *
ready_pick(const struct workers *all)
{
	struct worker *best = NULL;

	for (unsigned int i = 0; i < all->n; i++) {
		struct worker *w = &all->w[i];

		if (ours(all, w) && ready_has_room(w, all->client_limit) && w->full_ms == 0 &&
		    (best == NULL || better(w, best)))
			best = w;
	}
	return best;
}

struct worker *
ready_template(const struct workers *all)
{
	struct worker *best = NULL;

	for (unsigned int i = 0; i < all->n; i++) {
		struct worker *w = &all->w[i];

		if (ours(all, w) && w->kind == W_TEMPLATE && ready_has_room(w, 1) &&
		    (best == NULL || better(w, best)))
			best = w;
	}
	return best;
}

bool
ready_soon(const struct workers *all)
{
	for (unsigned int i = 0; i < all->n; i++) {
		const struct worker *w = &all->w[i];

		if (ours(all, w) && w->kind != W_TEMPLATE && w->conns == 0 &&
		    (w->retiring || !w->ready))
			return true;
	}
	return false;
}

struct worker *
ready_idle(const struct workers *all, uint64_t now, uint32_t idle_kill_ms)
{
	struct worker *best = NULL;

	for (unsigned int i = 0; i < all->n; i++) {
		struct worker *w = &all->w[i];

		if (ours(all, w) && w->kind != W_TEMPLATE && w->conns == 0 &&
		    ready_has_room(w, all->client_limit) && now - w->idle_since >= idle_kill_ms &&
		    (best == NULL || w->idle_since < best->idle_since))
			best = w;
	}
	return best;
}

uint32_t
ready_more(uint32_t wanted, uint32_t limit)
{
	uint32_t more = wanted == 0 ? 1 : wanted * 2;

	return wanted >= limit ? wanted : more > limit ? limit : more;
}

uint32_t
ready_less(uint32_t wanted, uint32_t least)
{
	return wanted > least ? wanted - 1 : least;
}
