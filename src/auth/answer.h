/*
 * What the auth server's OK and FAIL say (dovecot-protocols A.7), and what the
 * client is told about a failure (D.5).  Pure.
 */
#ifndef AUTH_ANSWER_H
#define AUTH_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/line.h"
#include "ipc/conn.h"
#include "proto/dialog.h"

#define ANSWER_USER_MAX 480 /* with the NUL; AUTH_OK holds no more */
#define ANSWER_PASSDB_MAX 256
#define ANSWER_TEXT_MAX 900 /* of AUTH_FAIL and HANDOFF_RES, with the NUL */

struct auth_answer {
	bool bad; /* a field that matters could not be taken over: do not act on it */
	bool nologin, proxy, anonymous, pass_expired, user_disabled, authz, temp;
	char user[ANSWER_USER_MAX];
	char original_user[ANSWER_USER_MAX];
	char auth_user[ANSWER_USER_MAX];
	char destuser[ANSWER_USER_MAX];
	char code[32];
	char reason[512];
	char host[256];
	char port[8];
	char postlogin_socket[256];
	/* Fields that the log format names, cleaned: "field=value\n" for each.  What does
	 * not fit is left out. */
	char passdb[ANSWER_PASSDB_MAX];
};

/* Reads all fields of l; the last of several with the same name counts.  Bytes
 * of user names are not judged here: what goes into a log or to a client is
 * cleaned there.  log_format: login_log_format_elements. */
void answer_read(struct auth_line *l, struct auth_answer *a, const char *log_format);

/* The kind of a failure for the log line at the end of the connection. */
enum auth_outcome {
	OUT_NONE,
	OUT_AUTH,        /* auth failed */
	OUT_AUTHZ,
	OUT_TEMP,
	OUT_DISABLED,
	OUT_EXPIRED,
	OUT_BASE64,
	OUT_NOLOGIN,
	OUT_MECH,
	OUT_PLAINTEXT,   /* without TLS */
	OUT_COMM,        /* the auth server went away or was silent */
	OUT_INTERNAL,    /* logged in, but not handed over */
	OUT_LIMIT,
	OUT_CERT,        /* a client certificate is required */
	OUT__MAX
};

struct auth_failure {
	enum dlg_fail fail;
	enum auth_outcome outcome;
	char text[ANSWER_TEXT_MAX]; /* clean: no control characters, valid UTF-8 */
};

/* FAIL. */
void answer_failure(const struct auth_answer *a, const char *hostname, int64_t now,
    struct auth_failure *f);
/* OK that gives no login here (nologin, proxy).  False: it does give one. */
bool answer_refusal(const struct auth_answer *a, enum service s, const char *mech,
    struct auth_failure *f);
/* Our own: "TEXT [HOST:YYYY-MM-DD HH:MM:SS]", in UTC (a confined process has no
 * time zone), so that users can tell their administrator when and where. */
void answer_stamped(char dst[ANSWER_TEXT_MAX], const char *text, const char *hostname, int64_t now);
/* DLG_FAIL_TEMP with its text. */
void answer_temp(const char *hostname, int64_t now, enum auth_outcome outcome,
    struct auth_failure *f);

#endif
