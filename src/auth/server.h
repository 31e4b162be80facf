/*
 * The connection to the auth server's login socket, shared by all client
 * connections and multiplexed by request id.  At most one is current; beside it
 * there may be one that is being made (a reconnect, or a probe whether the server
 * was reloaded) and retired ones of the server before, which stay until their
 * last request has been handed over.
 *
 * Trust: the auth server is believed about logins, but a broken line of its costs
 * only its connection, never this process.
 */
#ifndef AUTH_SERVER_H
#define AUTH_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/line.h"
#include "auth/loop.h"
#include "ipc/settings.h"
#include "proto/dialog.h"

#define SERVER_OUT_MAX (512 * 1024)
#define SERVER_HANDSHAKE_MS 30000

struct mech_list {
	unsigned int n;
	struct dlg_mech m[DLG_MECHS_MAX];
};

enum server_state {
	SRV_FREE,
	SRV_GREETING, /* connected, before DONE */
	SRV_READY
};

struct server {
	enum server_state state;
	bool retired;
	bool has_version, has_cookie;
	uint32_t serial;     /* of the connection, never 0, never reused */
	uint32_t cpid;       /* ours: random */
	uint32_t spid, cuid; /* 0: not told yet */
	uint32_t minor;      /* of its VERSION; 3 and later: Dovecot 2.4 */
	bool extended;       /* both sides said 3: channel binding, fields in CONT */
	uint8_t cookie[16];
	struct mech_list mechs;
	unsigned int uses;   /* requests that need this connection */
	struct watch watch;
	struct timer deadline; /* of the greeting */
	uint64_t ready_at;
	struct line_reader in;
	bool want_write;
	size_t out_len;
	char out[SERVER_OUT_MAX];
};

/* Starts connecting.  settings are borrowed for ever. */
void server_start(const struct auth_settings *set);

/* The one for new requests; NULL: none at the moment. */
struct server *server_current(void);
/* The list of the last server that greeted us; n is 0 before the first. */
const struct mech_list *server_mechs(void);
/* Entry for a name, without regard to case; NULL: not on the list. */
const struct dlg_mech *server_mech(const char *name);

/* Queue one line (with its LF); the bytes are wiped once they are written.
 * False: the queue is full.  On a connection that has just ended it is lost with it. */
bool server_send(struct server *s, const struct auth_cmd *c);
/* CANCEL of a request. */
void server_cancel(struct server *s, uint32_t id);

/* A request begins or ceases to need s.  A retired one without uses is closed. */
void server_use(struct server *s);
void server_unuse(struct server *s);

/* Was the auth server reloaded?  Opens a second connection and compares SPID; a
 * new server becomes current.  conns_server_ready() is called at the end, also
 * if nothing has changed, but not if the connection fails. */
void server_probe(void);

/* For tests and fuzzing: bytes as if they came from the server. */
void server_feed(struct server *s, const void *p, size_t len);

#endif
