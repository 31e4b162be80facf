/*
 * How many connections before login come from one network, so that a flood loses
 * its own places first.  A network is an IPv4 address or an IPv6 /64.  Pure.
 *
 * Counted in buckets under a keyed hash: networks that share one count as one, and
 * nobody can choose with whom he shares.
 */
#ifndef LAUNCHER_CROWD_H
#define LAUNCHER_CROWD_H

#include <stdint.h>

#include "ipc/conn.h"

#define CROWD_NONE 0 /* belongs to none: always a crowd of one */

/* key: random.  Before anything is counted. */
void crowd_init(const uint64_t key[2]);
uint16_t crowd_of(const struct conn_addr *a); /* never CROWD_NONE */
void crowd_enter(enum service s, uint16_t crowd);
void crowd_leave(enum service s, uint16_t crowd);
unsigned int crowd_size(enum service s, uint16_t crowd);

#endif
