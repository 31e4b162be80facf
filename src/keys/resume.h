/*
 * Sessions that can be resumed (RFC 8446 2.2, RFC 5246 7.3), kept for all workers
 * in the signer's secret memory, so that no ticket key exists anywhere.  Each is
 * given out once, within its lifetime, to the service and the client network that
 * it was made for; the oldest make room for new ones.  They die with the
 * generation: after HUP nothing of an old certificate can be resumed.
 *
 * What a session holds is a worker's word; it is not looked into.  A worker that
 * went bad can spoil its own sessions, and take others of its client's network if
 * it knows their ids: in TLS 1.3 only the client does until it uses one, in TLS
 * 1.2 they cross the network in the clear, which is why the network counts.
 */
#ifndef KEYS_RESUME_H
#define KEYS_RESUME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/conn.h"
#include "ipc/resume.h"

#define RESUME_SESSIONS_MAX 4096
#define RESUME_BYTES_MAX (1u << 20) /* of all of them together */

/* Who may have a session: those who could have made it. */
struct resume_owner {
	uint8_t service;
	uint8_t net[17]; /* family, IPv4 address or IPv6 /64 */
};
void resume_owner_of(const struct conn_info *info, struct resume_owner *o);

/* lifetime_ms 0: none is kept.  False: no memory. */
bool resume_init(uint64_t lifetime_ms);
bool resume_on(void);

/* Keep it.  What does not fit is not kept; nothing else happens. */
void resume_put(const struct resume_owner *o, const uint8_t id[RESUME_ID_LEN],
    const uint8_t *data, size_t len, uint64_t now);
/* Give it out: its length, and it is gone from here.  0: there is none. */
size_t resume_take(const struct resume_owner *o, const uint8_t id[RESUME_ID_LEN],
    uint8_t data[RESUME_DATA_MAX], uint64_t now);
/* Wipe those whose time is over. */
void resume_expire(uint64_t now);
unsigned int resume_count(void);

#endif
