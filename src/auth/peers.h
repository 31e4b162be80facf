/*
 * The pairs with supervisor (FD_CONTROL), launcher and key signer.  The latter
 * two come by PEER, may be replaced at any time, and are greeted by HELLO; one of
 * another build, or one that sends what it may not, is dropped.
 */
#ifndef AUTH_PEERS_H
#define AUTH_PEERS_H

#include <stdint.h>

#include "ipc/stats.h"

/* Watch the control pair. */
void peers_start(int control_fd);
/* Serve what launcher and signer have sent so far, in this order: done before a
 * worker's message is judged by it. */
void peers_catch_up(void);
/* CONN_LOGGED_IN, kept until the launcher's queue has room: without it the
 * launcher would end the session. */
void peers_logged_in(uint32_t id);

/* STATS to the supervisor. */
void peers_tell_stats(const struct stats *s);

#endif
