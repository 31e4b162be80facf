/*
 * One connection before login: TLS, the dialog, the auth client's answers, the
 * hand-over.  Non-blocking: the model (single.c, pool.c) waits for what
 * session_interest names and calls session_move; all descriptors belong to it.
 */
#ifndef LOGIN_SESSION_H
#define LOGIN_SESSION_H

#include <openssl/ssl.h>

#include "ipc/conn.h"
#include "login/remotekey.h"
#include "login/session_rules.h"
#include "login/worker.h"
#include "proto/dialog.h"

enum session_phase {
	SP_DIALOG,  /* the client's turn */
	SP_AUTH,    /* the auth client's turn */
	SP_HANDOFF, /* the mail process' turn */
	SP_CLOSE,   /* last words are on their way */
	SP_PROXY,   /* logged in over TLS: the caller goes on with proxy.h */
	SP_END      /* over: close everything */
};

/* A mail process that refuses tells the auth client first and then writes its NO to
 * the mail channel: nothing else may be said through it until that has come. */
enum owed_no {
	NO_NONE,
	NO_DROPPED, /* another mail process will be asked */
	NO_ANSWER   /* it is the client's answer */
};

struct session {
	const struct worker *w;
	struct conn_info info;
	int client_fd, auth_fd, mail_fd;
	struct remotekey_channel signer;

	enum session_phase phase;
	bool handshaking, greeted, auth_ready, told;
	bool refusal_told;          /* REFUSED was sent */
	uint8_t ids_told;           /* CLIENT_IDs that were sent */
	bool want_read, want_write; /* on client_fd, for TLS and for a full socket */
	uint32_t request;           /* id of the request at the auth client */
	char binding[32];           /* channel binding that its challenge asks for, or "" */
	enum owed_no owed;
	uint64_t owed_by_ms;        /* when it is given up, with owed */
	uint64_t deadline_ms;
	char reason[320];           /* why it ended, for GOODBYE */

	SSL *ssl;
	struct dlg_mech mechs[DLG_MECHS_MAX];
	size_t out_sent;
	size_t in_len;
	uint8_t in[DLG_INPUT_MAX];
	struct dialog dlg;
	struct dlg_event ev;
	struct session_rules rules;
};

struct session_interest {
	short client, auth, mail; /* poll events; 0: not waited for */
	uint64_t deadline;        /* when session_timeout is due */
};

/* The descriptors stay the caller's; with implicit TLS the handshake is next. */
void session_begin(struct session *s, const struct worker *w, const struct conn_info *info,
    int client_fd, int auth_fd, int signer_fd, int mail_fd, uint64_t now);
/* client, auth: poll's revents; whether mail has something is found out by reading.
 * Returns the phase. */
enum session_phase session_move(struct session *s, short client, short auth);
/* The deadline of session_interest has passed. */
enum session_phase session_timeout(struct session *s);
void session_interest(const struct session *s, struct session_interest *i);
/* Wipe what the dialog used; s->ssl stays.  Before the proxy phase. */
void session_wipe(struct session *s);

#endif
