/*
 * The conversation with a client before login, for IMAP (imap.c) and POP3
 * (pop3.c): bytes in, actions and reply bytes out.  Pure: no I/O, no clock, no
 * allocation; works in a confined worker.  All texts of dovecot-protocols D.4-D.6
 * live behind this header.
 *
 * The session (src/login) keeps the input buffer and calls dlg_feed with all
 * unconsumed bytes; replies pile up in d->out, from where the session sends them (and
 * sets out_len to 0).  While out_len is DLG_OUT_MAX / 2 or more dlg_feed is not called.
 *
 * While a request is under way (after DLG_AUTH_START, DLG_AUTH_CONT until one of
 * dlg_auth_*; after DLG_STARTTLS until dlg_tls_started) dlg_feed is not called:
 * pipelined input waits (D.4).
 */
#ifndef PROTO_DIALOG_H
#define PROTO_DIALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Replies.  One call adds at most DLG_OUT_SPARE bytes, but for a challenge: that is up
 * to 12288 octets in one line, and fits while the rest is below half. */
#define DLG_OUT_MAX 33280
#define DLG_OUT_SPARE 4096
#define DLG_MECHS_MAX 32
#define DLG_SASL_RAW_MAX 9216 /* decoded from at most 12288 octets of base64 (RFC 4954 4) */
#define DLG_SASL_B64_MAX 12288
#define DLG_TAG_MAX 126
/* "KEY\0=VALUE\0", or "KEY\0N\0" for NIL, for each pair; what is above this many
 * bytes, or more than so many pairs (RFC 2971 3.3), is left out.  Empty: ID NIL.
 * XCLIENT's are said in the words of ID. */
#define DLG_ID_MAX 2048
#define DLG_ID_PAIRS_MAX 30
/* Input that the session must be able to hold for one command. */
#define DLG_INPUT_MAX 16384

enum dlg_proto {
	DLG_IMAP,
	DLG_POP3
};

enum dlg_mech_flag {
	DLG_MECH_PRIVATE = 1,
	DLG_MECH_ANONYMOUS = 2,
	DLG_MECH_PLAINTEXT = 4,
	DLG_MECH_BINDING = 8 /* binds to the TLS channel (-PLUS): only with TLS */
};

struct dlg_mech {
	char name[32]; /* upper case */
	uint8_t flags;
};

/* Constant for all connections of a worker; borrowed. */
struct dlg_settings {
	const char *greeting;
	const char *imap_capability; /* "" default; "+X Y" adds; else replaces (D.4) */
	const char *imap_id_send;    /* inside of "* ID (...)"; "": NIL */
	bool imap_literal_minus;
	bool ssl_required;           /* ssl = required: nothing but on secured connections */
	bool plaintext_allowed;      /* disable_plaintext_auth = no */
};

enum dlg_event_type {
	DLG_MORE,        /* nothing complete: read more (or, with an unchanged full buffer of
	                    DLG_INPUT_MAX, never: a too long line is DLG_CLOSE) */
	DLG_REPLIED,     /* a command was done; call again for the rest */
	DLG_ID,          /* the same, and data is what the client says of itself (ID), or
	                    a trusted one of its client (XCLIENT), DLG_ID_MAX */
	DLG_STARTTLS,    /* OK is in out; bytes behind the command must not be there */
	DLG_AUTH_START,  /* mech, has_ir, data */
	DLG_AUTH_CONT,   /* data */
	DLG_AUTH_CANCEL, /* the client's "*"; reply is in out, session tells the auth client */
	DLG_CLOSE        /* the last words are in out; reason for the log */
};

struct dlg_event {
	enum dlg_event_type type;
	char mech[32];
	bool has_ir;
	/* A login that was refused here, without asking anybody: DLG_FAIL_PLAINTEXT,
	 * _SSL_REQUIRED or _MECH, for the log; else 0.  mech is what the client said. */
	uint8_t refused;
	size_t data_len;                 /* decoded SASL bytes; wipe after use */
	uint8_t data[DLG_SASL_RAW_MAX];
	unsigned int id_pairs;           /* DLG_ID: how many there are */
	bool id_cut;                     /* DLG_ID: not all is there */
	const char *reason;              /* DLG_CLOSE: static text, D.10's words */
};

/* Why a login failed: wording and response codes are D.5's. */
enum dlg_fail {
	DLG_FAIL_AUTH,        /* wrong user or password, user_disabled */
	DLG_FAIL_REASON,      /* text from the auth server */
	DLG_FAIL_AUTHZ,
	DLG_FAIL_TEMP,        /* text: whole, with [HOST:TIME] */
	DLG_FAIL_EXPIRED,
	DLG_FAIL_BASE64,      /* text */
	DLG_FAIL_NOLOGIN,     /* text or empty */
	DLG_FAIL_REFERRAL,    /* text: imap://... for IMAP */
	DLG_FAIL_MECH,        /* unsupported mechanism */
	DLG_FAIL_PLAINTEXT,   /* plaintext mechanism without TLS */
	DLG_FAIL_SSL_REQUIRED,
	DLG_FAIL_LIMIT,       /* mail_max_userip_connections: text; the session closes after it */
	DLG_FAIL_UNAVAILABLE, /* hand-over had no answer: text */
	DLG_FAIL__MAX
};

enum dlg_bye {
	DLG_BYE_QUEUE_FULL,   /* Connection queue full */
	DLG_BYE_SHUTDOWN,     /* Server shutting down. */
	DLG_BYE_TIMEOUT,      /* Disconnected for inactivity. */
	DLG_BYE_TIMEOUT_AUTH, /* Disconnected for inactivity during authentication. */
	DLG_BYE_TIMEOUT_LOGIN,/* Timeout while finishing login. */
	DLG_BYE_INTERNAL,     /* auth client or signer gone */
	DLG_BYE_ATTEMPTS,     /* auth_max_attempts reached */
	DLG_BYE__MAX
};

enum dlg_state {
	DLG_ST_COMMAND,
	DLG_ST_AUTH_WAIT,   /* the server side is thinking */
	DLG_ST_AUTH_CLIENT, /* a challenge is with the client */
	DLG_ST_TLS,
	DLG_ST_DONE
};

struct dialog {
	enum dlg_proto proto;
	const struct dlg_settings *set;
	const struct dlg_mech *mechs; /* borrowed */
	unsigned int nmechs;
	bool tls_offered, tls_on, secured; /* secured: TLS, trusted network or same address */

	enum dlg_state state;
	unsigned int bad_commands;
	bool capability_asked;        /* IMAP: prefix "1" (B.3) */
	bool id_wanted;               /* IMAP: DLG_ID for ID */
	bool trusted;                 /* POP3: DLG_ID for XCLIENT */
	bool after_starttls;          /* where every client has to ask: that says nothing */
	bool auth_command;            /* AUTHENTICATE/AUTH rather than LOGIN/PASS */
	size_t prompted;              /* IMAP: "+ OK" was said for the literals up to here */
	bool skipping;                /* swallowing a refused literal or over-long SASL line */
	uint32_t skip_left;
	char tag[DLG_TAG_MAX + 1];
	char user[1024];              /* POP3 USER; IMAP unused */
	size_t user_len;
	char apop[160];               /* POP3 challenge, "" none */

	size_t out_len;
	char out[DLG_OUT_MAX];
};

/* A connection begins.  mechs may be NULL until the auth server is ready. */
void dlg_init(struct dialog *d, enum dlg_proto proto, const struct dlg_settings *set,
    bool tls_offered, bool tls_on, bool secured);
void dlg_set_mechs(struct dialog *d, const struct dlg_mech *mechs, unsigned int nmechs);
void dlg_set_apop(struct dialog *d, const char *challenge);
/* The greeting, once the auth server is there. */
void dlg_greet(struct dialog *d);

void dlg_feed(struct dialog *d, const uint8_t *in, size_t len, size_t *used,
    struct dlg_event *ev);

/* STARTTLS' handshake is done: state is as at the start, but no greeting. */
void dlg_tls_started(struct dialog *d);
void dlg_auth_challenge(struct dialog *d, const uint8_t *data, size_t len);
void dlg_auth_fail(struct dialog *d, enum dlg_fail why, const char *text);
/* "* OK Waiting for authentication process to respond.." (IMAP) */
void dlg_auth_wait(struct dialog *d);
void dlg_bye(struct dialog *d, enum dlg_bye why);

/* After OK: the service's prefix for the mail process (B.3), IMAP "0TAG" NUL or
 * "1TAG" NUL, POP3 nothing.  Returns its length (at most cap, 128 is enough). */
size_t dlg_handoff_prefix(struct dialog *d, uint8_t *dst, size_t cap);

/* May this mechanism be listed and used on this connection (A.4)?  */
bool dlg_mech_usable(const struct dialog *d, const struct dlg_mech *m);

#endif
