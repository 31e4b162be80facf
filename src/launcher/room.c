/*
 * At process_limit (dovecot-protocols D.11): who is told to go, how many at once, and
 * the line in the log.
 */
#include "common/log.h"
#include "launcher/launcher.h"
#include "proto/dialog.h"

/* A flood: one network holds so large a part of the places, and so many at least. */
#define FLOOD_SHARE 8
#define FLOOD_MIN 5
#define VICTIMS_MAX 64 /* each is a walk through the queue */
#define CALM_MS 1000 /* without a need for room: the next time begins with one again */

void
room_log_full(enum service s, uint64_t now)
{
	struct service_state *st = &lr.service[s];
	bool one = st->set.process_limit == 1 && st->set.model == MODEL_POOLED;

	if (st->last_full_log != 0 && now - st->last_full_log < 1000)
		return;
	st->last_full_log = now;
	log_warnx("%s-login: %s (%u) reached, client connections are being dropped: raise service "
	    "%s-login { %s }", service_name(s), one ? "client_limit" : "process_limit",
	    one ? st->set.client_limit : st->set.process_limit, service_name(s),
	    one ? "client_limit" : "process_limit");
}

bool
room_pressed(enum service s, uint64_t now)
{
	const struct service_state *st = &lr.service[s];

	return st->pressed_ms != 0 && now - st->pressed_ms <= CALM_MS;
}

/* How many connections there may be. */
static uint32_t
capacity(const struct service_settings *set)
{
	uint64_t n = set->model == MODEL_POOLED ? (uint64_t)set->process_limit * set->client_limit
						: set->process_limit;

	return n < CONN_MAX ? (uint32_t)n : CONN_MAX;
}

/*
 * How many to tell at once.  One; but where the places of the last time were taken
 * at once, twice as many, and one again when there was a pause: about as many as
 * will come until they are gone, and never more than a quarter of the places.
 */
static uint32_t
how_many(struct service_state *st, uint64_t now)
{
	uint32_t most = capacity(&st->set) / 4;

	if (most > VICTIMS_MAX)
		most = VICTIMS_MAX;
	if (st->victim_ms == 0 || now - st->victim_ms > CALM_MS)
		st->victims = 1;
	else if (now - st->victim_ms < VICTIM_MS)
		st->victims *= 2;
	if (st->victims > most)
		st->victims = most > 0 ? most : 1;
	return st->victims;
}

/* In a worker that takes no more: its end makes no room, but for the last one. */
static bool
gives_no_room(const struct conn *c)
{
	return c->worker != 0 && lr.workers[c->worker - 1].retiring;
}

/*
 * No room.  The oldest connection before login is told to go, in a flood several,
 * and its own first; the new one is accepted when a process is gone (reap calls
 * accept_again).  Sessions after login never end for this.
 */
bool
room_make(enum service s, uint64_t now)
{
	struct service_state *st = &lr.service[s];
	unsigned int flood = capacity(&st->set) / FLOOD_SHARE;
	unsigned int going = conns_stopping(s), n = 0;
	struct conn *victim;

	room_log_full(s, now);
	st->pressed_ms = now;
	if (going <= st->victims / 2)
		n = how_many(st, now);
	n = n > going ? n - going : 0;
	if (n == 0 && now - st->victim_ms >= VICTIM_MS)
		n = 1; /* nobody holds up the others by not going */
	if (flood < FLOOD_MIN)
		flood = FLOOD_MIN;
	while (n-- > 0 && (victim = conns_victim(s, flood, gives_no_room)) != NULL) {
		peers_stop(victim, DLG_BYE_QUEUE_FULL, now);
		st->victim_ms = now;
		st->full_since = 0;
	}
	if (conns_stopping(s) == 0 && st->full_since == 0)
		st->full_since = now;
	return conns_stopping(s) > 0;
}
