/*
 * Client connections before their login, as the auth client sees them: from
 * CONN_OPEN to the hand-over or to the end of the worker's channel.
 *
 * Trust: the connection's facts (struct conn_info) come from the launcher, that
 * TLS is on from the key signer; the worker is believed nothing but what it could
 * do anyway.  A malformed message costs the worker its connection and nothing
 * else.
 *
 * Slots are made once (conns_init); a connection that is over is marked dead and
 * its slot freed by conns_reap, after the events of one round, so that no handler
 * ever holds a slot that became another connection's.
 */
#ifndef AUTH_CONN_H
#define AUTH_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/answer.h"
#include "auth/clientid.h"
#include "auth/line.h"
#include "auth/loginreq.h"
#include "auth/loop.h"
#include "auth/server.h"
#include "ipc/conn.h"
#include "ipc/msg.h"
#include "ipc/settings.h"

#define CREDS_MAX 1024  /* a longer first SASL message is not kept for a second try */
#define AUTH_LIMIT_TEXT \
	"Maximum number of connections from user+IP exceeded (mail_max_userip_connections=%u)"
#define IDS_MAX 8       /* CLIENT_IDs of one connection; src/login sends no more */
#define STRAYS_MAX 64   /* messages that came too late; more is flooding */

enum conn_state {
	CS_FREE,
	CS_IDLE,    /* the client's turn */
	CS_QUEUED,  /* a request waits for an auth server */
	CS_AUTH,    /* the auth server's turn */
	CS_CLIENT,  /* a challenge is with the client */
	CS_LIMIT,   /* OK; asking how many sessions the user has */
	CS_GRANTED, /* OK is with the worker, HANDOFF must follow */
	CS_HANDOFF, /* the mail process's turn */
	CS_RETRY,   /* login was lost in a reload: waiting for the new auth server */
	CS_OVER     /* told to end; nothing but its end is expected */
};

/* The SASL exchange of a request, as long as it is one client message, so that it
 * can be said again.  Wiped when the request is decided. */
struct creds {
	bool held;
	size_t len;
	uint8_t data[CREDS_MAX];
};

struct conn {
	enum conn_state state;
	bool dead;
	bool logged_in;    /* the end is no disconnect */
	struct conn *hash_next;
	struct conn *next, *prev; /* all that are in use; next alone: free slots */
	struct conn *grave_next;
	struct conn_info info; /* addresses and session: what a trusted proxy said, if it did */
	struct conn_addr real_remote, real_local; /* of the TCP connection */
	struct rules rules;  /* what holds for it: conn_rules */
	struct watch worker; /* auth channel */
	int mail_fd;         /* the mail channel's other end */
	int client_fd;       /* duplicate of the client's socket; -1 once TLS is on */
	bool tls;            /* the signer says so */
	bool tls_info;       /* and the worker has said what it is */
	bool ready_sent;
	unsigned int strays;
	uint32_t pid;        /* of the login process, if the log wants it; 0: not known */
	int stop_bye;        /* enum dlg_bye to say once the hand-over has failed, -1: none */

	/* the request under way */
	uint32_t request;    /* the worker's number */
	uint32_t auth_id;    /* ours at the auth server */
	uint32_t auth_seq;
	struct server *server; /* has the request; NULL: none, or it went away */
	uint32_t server_serial; /* of the auth connection that gave the OK */
	struct dlg_mech mech;
	bool has_ir;
	unsigned int said;   /* SASL messages of the client, the initial response included */
	char binding[AUTH_BINDING_MAX]; /* the channel binding that its challenge asks for, or "" */
	bool out_of_band;    /* the challenge is for the worker alone */
	bool may_repeat;     /* creds, once held, say all that the client has said */
	bool waited;         /* AUTH_WAIT was due */
	bool asked_again;    /* the auth server went away with it once already */
	uint8_t retry_result;/* 0: first try; else HANDOFF_RES to give if the second fails */
	struct creds creds;
	struct timer timer;

	/* limit look-up and hand-over */
	struct watch aux;
	uint64_t asked_ms;   /* HANDOFF came */
	uint32_t tag;
	bool sent;
	uint64_t sent_ms;    /* when the login request went out */
	bool too_late;       /* handoff_timeout */
	char socket[108];    /* postlogin_socket=, empty: the service's */
	size_t buf_len;      /* of buf */
	size_t answer_len;
	char answer[32];
	uint8_t buf[LOGINREQ_MAX];

	/* APOP: given out for the connection with this serial alone */
	char apop[160];
	uint32_t apop_serial;

	/* ID (clientid.h) */
	unsigned int ids;    /* how many there were */
	bool id_logged;
	bool forwarded;      /* info is not the TCP connection's */
	char client_id[CLIENTID_RETAIN_MAX], forward[CLIENTID_FORWARD_MAX];

	/* for the log */
	char user[ANSWER_USER_MAX], original_user[ANSWER_USER_MAX], auth_user[ANSWER_USER_MAX];
	char passdb[ANSWER_PASSDB_MAX];
	char local_name[256]; /* SNI: host name characters only */
	char tls_text[160];
	uint8_t cert;         /* enum conn_cert; counts only with tls */
	char cert_name[256];
	char goodbye[300];
	uint64_t opened_ms, ready_ms, first_auth_ms;
	unsigned int attempts, successes;
	bool aborted;
	enum auth_outcome outcome;
	enum auth_outcome refused; /* the worker refused a login by itself: its word, for the log */
};

/* ---- table.c: slots ------------------------------------------------------- */

/* max slots of zeroed memory, mapped now.  -1 with errno. */
int conns_init(const struct auth_settings *set, unsigned int max);
const struct auth_settings *conns_settings(void);
/* NULL if there is none, or it is over. */
struct conn *conn_by_id(uint32_t id);
struct conn *conn_by_auth_id(const struct server *s, uint32_t auth_id);
/* A new number for a request of c at the auth server. */
uint32_t conn_new_auth_id(struct conn *c);
/* All that are not dead: for (c = conns_first(); c != NULL; c = conns_after(c)) */
struct conn *conns_first(void);
struct conn *conns_after(struct conn *c);
unsigned int conns_count(void);

/* Settle c->rules from what is known: the launcher's facts, and local_name. */
void conn_rules(struct conn *c);
/* CONN_OPEN.  Takes the descriptors.  A message that cannot be is logged. */
void conn_open(struct msgin *m);
/* It is over; the rest happens in conns_reap. */
void conn_drop(struct conn *c);
/* A worker that breaks the rules: logged (within limits) and dropped. */
void conn_reject(struct conn *c, const char *why);
/* The launcher and all its workers are gone. */
void conns_drop_all(void);
/* Frees the slots of those that are over, with their log lines. */
void conns_reap(void);

/* ---- conn.c: messages ----------------------------------------------------- */

void conn_stop(uint32_t id, uint8_t bye);   /* CONN_STOP */
void conn_set_pid(uint32_t id, uint32_t pid); /* CONN_PID */
bool conn_tls_on(uint32_t id);              /* CONN_TLS; false: no such connection */
/* One message of the worker; false: it cannot be. */
bool conn_message(struct conn *c, struct msgin *m);
/* Send what a msgout holds to the worker; a worker that does not read or is gone
 * is dropped.  Wipes nothing. */
void conn_send(struct conn *c, struct msgout *m);
void conn_send_ready(struct conn *c);
void conn_say_bye(struct conn *c, enum dlg_bye why);
void conn_worker_ready(struct watch *w, uint32_t events);

/* ---- request.c: one login at the auth server ------------------------------ */

void request_start(struct conn *c, const char *mech, bool has_ir, const uint8_t *data,
    size_t len);
/* binding: channel binding data, if the challenge asked for it. */
void request_continue(struct conn *c, const uint8_t *data, size_t len, const uint8_t *binding,
    size_t binding_len);
/* Forget it, in whatever state (CANCEL); tells the worker nothing. */
void request_forget(struct conn *c);
/* What a request holds goes: its server (CANCEL if wanted), credentials, timer,
 * look-up or mail socket.  Idle afterwards, unless it is CS_OVER. */
void request_settle(struct conn *c, bool cancel);
/* Was this the last attempt that auth_max_attempts allows? */
bool request_was_last(const struct conn *c);
/* The worker is told that it failed; the connection is idle (or told to end, if
 * that was its last attempt). */
void request_fail(struct conn *c, const struct auth_failure *f);
void request_temp_fail(struct conn *c, enum auth_outcome outcome);
void conn_timeout(struct timer *t);

/* For verdict.c and again.c: AUTH on server s; false: it did not go out. */
bool request_submit(struct conn *c, struct server *s, const uint8_t *data, size_t len);
/* All that has been said is in creds, and goes to the next server. */
void request_await_server(struct conn *c);
/* The auth server no longer has to do with it. */
void request_unbind(struct conn *c, bool cancel);
void request_creds_wipe(struct conn *c);

/* ---- verdict.c, again.c: called by server.c, handoff.c and anvil.c --------- */

void conns_answer(struct server *s, struct auth_line *l);
/* Everything allows it: AUTH_OK. */
void request_granted(struct conn *c);
/* The login was lost on its way (status 1, or the auth server is gone): say the
 * same again to a new server, if there is one and the words are at hand.
 * result: HANDOFF_RES to give otherwise.  False: impossible, nothing was done. */
bool request_retry(struct conn *c, uint8_t result);
void conns_server_ready(bool list_changed);
void conns_server_lost(struct server *s);

/* ---- handoff.c, anvil.c --------------------------------------------------- */

/* HANDOFF: state CS_GRANTED becomes CS_HANDOFF.  False: the lengths cannot be. */
bool handoff_start(struct conn *c, const uint8_t *prefix, size_t prefix_len,
    const uint8_t *input, size_t input_len);
void handoff_timeout(struct conn *c);
/* HANDOFF_RES with this result (never 0), and idle again. */
void handoff_failed(struct conn *c, uint8_t result);
/* CS_LIMIT: asks anvil; calls request_granted or request_fail in the end. */
void anvil_start(struct conn *c);
void anvil_timeout(struct conn *c);

/* ---- connlog.c: the lines of D.10 ----------------------------------------- */

void connlog_login(const struct conn *c, int32_t mail_pid);
void connlog_end(const struct conn *c);
/* imap_id_log. */
void connlog_id(const struct conn *c, const char *text);
/* auth_verbose: one for each failed attempt. */
void connlog_failed(const struct conn *c, enum auth_outcome outcome);
/* True at most `burst` times a minute for all users of it together; the first
 * line of a new minute says how many were left out. */
struct loglimit {
	uint64_t since_ms;
	unsigned int n, lost;
};
bool loglimit_pass(struct loglimit *l, unsigned int burst);

#endif
