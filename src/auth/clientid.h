/*
 * What a client says of himself before login (IMAP's ID, POP3's XCLIENT): for the log
 * (imap_id_log), for the auth server (imap_id_retain: client_id=), and, from
 * login_trusted_networks, whom he speaks for (dovecot-protocols C, "receiving side").
 * Pure.
 *
 * Trust: the words are the client's, through his worker.  Whoever may come from a trusted
 * network may name any address; a worker that serves such a connection can do no
 * more than that.  From elsewhere those words are not looked at.
 */
#ifndef AUTH_CLIENTID_H
#define AUTH_CLIENTID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/conn.h"

#define CLIENTID_LOG_MAX 900     /* of the line; each value is cut at 80 characters */
#define CLIENTID_RETAIN_MAX 512
#define CLIENTID_FORWARD_MAX 512
#define CLIENTID_PAIRS_MAX 30    /* RFC 2971 3.3 */
#define CLIENTID_DATA_MAX 2048

/* What CLIENT_ID holds: "KEY\0=VALUE\0" or "KEY\0N\0" for NIL, for each pair. */
struct clientid {
	unsigned int n;
	struct clientid_pair {
		const char *key, *value; /* value NULL: NIL */
	} pairs[CLIENTID_PAIRS_MAX];
};

/* Pointers go into data.  False: no worker of ours sends that. */
bool clientid_read(const uint8_t *data, size_t len, struct clientid *id);

/* "name=Thunderbird, version=1.0": those whose keys are in `keys` (words; "*": all).
 * False: nothing to say.  Cleaned, and no value can end its element; but a key is the
 * client's word, as in Dovecot: "rip=..." before the line's own is one of an ID. */
bool clientid_log(const struct clientid *id, const char *keys, char dst[CLIENTID_LOG_MAX]);

/* "\"name\" \"Thunderbird\" ...", whole pairs as far as they fit, cleaned, without what
 * proxies say. */
void clientid_retain(const struct clientid *id, char dst[CLIENTID_RETAIN_MAX]);

/* From a trusted network.  What is no address, port or session id is left as it was.
 * Changes addresses and session of info; "key=value" pairs, TAB between
 * them, are added to forward. */
void clientid_forward(const struct clientid *id, struct conn_info *info,
    char forward[CLIENTID_FORWARD_MAX]);

#endif
