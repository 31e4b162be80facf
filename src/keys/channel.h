/*
 * Signing channels: one for each connection, from CONN_OPEN until the worker is
 * gone or has what one handshake needs: at most two look-ups of a session, the
 * signature, and a session to keep (with resumption that message, perhaps empty,
 * is the last one).  What comes in here is a stranger's word at worst: a malformed
 * request costs the channel, a refused one too, so that no connection gets more
 * than the limit's worth of work from us.
 */
#ifndef KEYS_CHANNEL_H
#define KEYS_CHANNEL_H

#include <stdint.h>

#include "ipc/conn.h"

/* sign_limit: signatures for one connection.  sign_rate: signatures a second for all
 * together, and twice as many at once; 0: no limit. */
void channels_init(uint32_t sign_limit, uint32_t sign_rate);

/* fd becomes the channel's; closed at once if there is no room for it. */
void channel_open(const struct conn_info *info, int fd);
/* Handler for WATCH_CHANNEL. */
void channel_ready(int fd, uint32_t events);

/* Signatures whose CONN_TLS found no room on the way to the auth client wait;
 * this sends what it can (or, if that peer is gone, all). */
void channels_flush(void);

unsigned int channels_open(void);

#endif
