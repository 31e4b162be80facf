/*
 * The signer's own peers: the supervisor (FD_CONTROL: keys, PEER, STOP), the
 * launcher (connections) and the auth client (who is told that TLS is on).
 */
#ifndef KEYS_PEER_H
#define KEYS_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "confine/layers.h"
#include "keys/loop.h"

/* Greet the supervisor and watch FD_CONTROL; ends the process if that fails. */
void peers_start(const struct layer_report *rep);

/*
 * Before the last filter: wait for nkeys KEY messages and take the files' bytes
 * into secret memory, unread; afterwards no read(2) is needed.  Peers may come
 * meanwhile.  If the supervisor goes away the process ends.
 */
void peers_collect_keys(unsigned int nkeys);
/* Behind it: parse each and answer KEY_INFO. */
void peers_answer_keys(void);

/* CONN_TLS for this connection.  False: there is no room for it, or no memory; its
 * readiness will call channels_flush.  True also when there is no auth client:
 * the connection is then refused by whoever misses it. */
bool peer_tell_auth(uint32_t conn);

/* Neither supervisor nor launcher are left. */
bool peers_gone(void);

/* Handlers for the loop. */
void peer_control_ready(int fd, uint32_t events);
void peer_launcher_ready(int fd, uint32_t events);
void peer_auth_ready(int fd, uint32_t events);

#endif
