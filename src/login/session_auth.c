/*
 * A connection before login, towards the auth client: what it is told, and what it
 * answers, checked and turned into steps of the dialog.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "ipc/msg.h"
#include "login/binding.h"
#include "login/session_internal.h"

#define IDS_MAX 8 /* CLIENT_IDs: the auth client's limit */
/* Of the unread input in HANDOFF when the rest can follow through the proxy. */
#define HANDOFF_INPUT_MAX 1024
/* For a farewell to be taken: who does not read it has no claim to a place. */
#define BYE_MS 1000
/* For a mail process to write its NO after it has refused: two system calls of its own
 * lie between. */
#define OWED_MS 5000

/* One message at a time in each direction: static, so that the pages are dirtied
 * once for all connections of a pooled worker.  Wiped after use. */
static struct msgout out;
static uint8_t inbuf[MSG_MAX];

/* ---- what it is told ------------------------------------------------------ */

static void
send_auth(struct session *s)
{
	if (msg_write(s->auth_fd, &out) == -1 && s->phase != SP_END) {
		/* EAGAIN cannot be: one request at a time.  So it is gone; the read
		 * side sees that and refuses the client properly. */
		s->auth_ready = s->auth_ready && errno == EAGAIN;
	}
	explicit_bzero(out.buf, out.w.len);
}

void
auth_tell_goodbye(struct session *s, const char *why)
{
	s->told = true;
	msg_begin(&out, MSG_GOODBYE, 0);
	wr_u8(&out.w, 0);
	wr_str(&out.w, why);
	msg_write(s->auth_fd, &out);
}

void
auth_tell_tls(struct session *s, const char *server_name, const char *how, enum conn_cert cert,
    const char *cert_user)
{
	msg_begin(&out, MSG_TLS_INFO, 0);
	wr_str(&out.w, server_name);
	wr_str(&out.w, how);
	wr_u8(&out.w, (uint8_t)cert);
	wr_str(&out.w, cert_user);
	send_auth(s);
}

void
auth_tell_refusal(struct session *s)
{
	if (s->refusal_told)
		return;
	s->refusal_told = true;
	msg_begin(&out, MSG_REFUSED, 0);
	wr_u8(&out.w, s->ev.refused);
	wr_str(&out.w, s->ev.mech);
	send_auth(s);
}

void
auth_tell_id(struct session *s)
{
	if (s->ids_told == IDS_MAX)
		return;
	s->ids_told++;
	msg_begin(&out, MSG_CLIENT_ID, 0);
	wr_block(&out.w, s->ev.data, s->ev.data_len);
	send_auth(s);
}

/* Of AUTH_CONT, if the challenge asked for it. */
static void
put_binding(struct session *s)
{
	uint8_t data[BINDING_MAX];
	size_t len = s->binding[0] != '\0' ? binding_get(s->ssl, s->binding, data) : 0;

	wr_block(&out.w, data, len);
	s->binding[0] = '\0';
}

void
auth_ask(struct session *s, enum msg_type type)
{
	if (type == MSG_AUTH_START)
		s->request++;
	msg_begin(&out, type, s->request);
	if (type == MSG_AUTH_START) {
		wr_str(&out.w, s->ev.mech);
		wr_u8(&out.w, s->ev.has_ir);
	}
	if (type != MSG_AUTH_CANCEL)
		wr_block(&out.w, s->ev.data, s->ev.data_len);
	if (type == MSG_AUTH_CONT)
		put_binding(s);
	send_auth(s);
	explicit_bzero(s->ev.data, s->ev.data_len);
	s->phase = type == MSG_AUTH_CANCEL ? SP_DIALOG : SP_AUTH;
}

/* ---- what it answers ------------------------------------------------------- */

static bool
on_ready(struct session *s, struct msgin *m)
{
	unsigned int n = rd_u8(&m->r);
	char apop[sizeof(s->dlg.apop)];

	if (n > DLG_MECHS_MAX)
		return false;
	for (unsigned int i = 0; i < n; i++) {
		rd_str(&m->r, s->mechs[i].name, sizeof(s->mechs[i].name));
		s->mechs[i].flags = rd_u8(&m->r);
	}
	rd_str(&m->r, apop, sizeof(apop));
	if (!msg_end(m))
		return false;
	dlg_set_mechs(&s->dlg, s->mechs, n);
	dlg_set_apop(&s->dlg, apop);
	s->auth_ready = true;
	return true;
}

static bool
on_challenge(struct session *s, struct msgin *m)
{
	size_t len;
	const uint8_t *p = rd_block(&m->r, DLG_SASL_RAW_MAX, &len);
	uint8_t out_of_band = rd_u8(&m->r);
	char binding[sizeof(s->binding)];

	rd_str(&m->r, binding, sizeof(binding));
	if (!msg_end(m) || m->id != s->request || s->phase != SP_AUTH)
		return m->id != s->request; /* late, for a cancelled request: ignored */
	memcpy(s->binding, binding, sizeof(binding));
	if (out_of_band) { /* it is our turn, not the client's */
		s->ev.data_len = 0;
		auth_ask(s, MSG_AUTH_CONT);
		return true;
	}
	dlg_auth_challenge(&s->dlg, p, len);
	s->phase = SP_DIALOG;
	return true;
}

static bool
on_fail(struct session *s, struct msgin *m)
{
	char text[1024];
	uint8_t why = rd_u8(&m->r);

	rd_str(&m->r, text, sizeof(text));
	if (!msg_end(m) || why >= DLG_FAIL__MAX)
		return false;
	if (m->id != s->request || (s->phase != SP_AUTH && s->phase != SP_HANDOFF))
		return m->id != s->request;
	dlg_auth_fail(&s->dlg, (enum dlg_fail)why, text);
	if (why == DLG_FAIL_LIMIT)
		session_close_after(s, "Too many connections from user+IP");
	else
		s->phase = SP_DIALOG;
	return true;
}

static void
hand_over(struct session *s)
{
	uint8_t prefix[160];
	size_t n, input = s->in_len;

	if (s->ssl != NULL && input > HANDOFF_INPUT_MAX)
		input = HANDOFF_INPUT_MAX;
	n = dlg_handoff_prefix(&s->dlg, prefix, sizeof(prefix));
	msg_begin(&out, MSG_HANDOFF, s->request);
	wr_block(&out.w, prefix, n);
	wr_block(&out.w, s->in, input);
	send_auth(s);
}

static void
owe(struct session *s, enum owed_no what)
{
	s->owed = what;
	s->owed_by_ms = now_ms() + OWED_MS;
	auth_owed_step(s);
}

/* Logged in.  A second AUTH_OK for the request is the auth client's retry after a
 * reload of Dovecot: if a mail process refused, its NO must not reach the client
 * (design 5). */
static bool
on_ok(struct session *s, struct msgin *m)
{
	char user[512];
	uint8_t refused;

	rd_str(&m->r, user, sizeof(user));
	refused = rd_u8(&m->r);
	if (!msg_end(m))
		return false;
	if (m->id != s->request || (s->phase != SP_AUTH && s->phase != SP_HANDOFF))
		return m->id != s->request;
	if (refused > (s->phase == SP_HANDOFF) || s->owed != NO_NONE)
		return false;
	s->phase = SP_HANDOFF;
	if (refused)
		owe(s, NO_DROPPED);
	else
		hand_over(s);
	return true;
}

static void
handed_off(struct session *s)
{
	size_t sent = s->in_len;

	if (s->ssl == NULL) {
		s->told = true; /* the login line is the last one */
		s->phase = SP_END;
		return;
	}
	if (sent > HANDOFF_INPUT_MAX)
		sent = HANDOFF_INPUT_MAX;
	session_consume(s, sent);
	s->phase = SP_PROXY;
}

static bool
on_handoff(struct session *s, struct msgin *m)
{
	char text[1024];
	uint8_t result = rd_u8(&m->r);

	rd_str(&m->r, text, sizeof(text));
	if (!msg_end(m) || s->phase != SP_HANDOFF || m->id != s->request || s->owed != NO_NONE)
		return false;
	switch (result) {
	case 0:
		handed_off(s);
		return true;
	case 1:
		owe(s, NO_ANSWER);
		return true;
	case 2:
		s->phase = SP_DIALOG;
		dlg_auth_fail(&s->dlg, DLG_FAIL_UNAVAILABLE, text);
		return true;
	case 3:
		session_end(s, "Internal login failure");
		return true;
	default:
		return false;
	}
}

static bool
on_bye(struct session *s, struct msgin *m)
{
	static const char *const reasons[DLG_BYE__MAX] = {
	    [DLG_BYE_QUEUE_FULL] = "Connection queue full",
	    [DLG_BYE_SHUTDOWN] = "Shutting down",
	    [DLG_BYE_TIMEOUT] = "Inactivity",
	    [DLG_BYE_TIMEOUT_AUTH] = "Inactivity during authentication",
	    [DLG_BYE_TIMEOUT_LOGIN] = "Timeout while finishing login",
	    [DLG_BYE_INTERNAL] = "Internal error",
	    [DLG_BYE_ATTEMPTS] = "Too many failed logins",
	};
	uint8_t why = rd_u8(&m->r);

	if (!msg_end(m) || why >= DLG_BYE__MAX)
		return false;
	if (s->handshaking || s->want_write) { /* no way to tell, and others need the room */
		session_end(s, reasons[why]);
		return true;
	}
	if (s->owed != NO_NONE)
		auth_owed_late(s);
	dlg_bye(&s->dlg, (enum dlg_bye)why);
	session_close_after(s, reasons[why]);
	if (s->deadline_ms > now_ms() + BYE_MS)
		s->deadline_ms = now_ms() + BYE_MS;
	return true;
}

static const struct {
	enum msg_type type;
	bool (*handle)(struct session *s, struct msgin *m);
} handlers[] = {
    {MSG_AUTH_READY, on_ready},
    {MSG_AUTH_CHALLENGE, on_challenge},
    {MSG_AUTH_FAIL, on_fail},
    {MSG_AUTH_OK, on_ok},
    {MSG_HANDOFF_RES, on_handoff},
    {MSG_CONN_BYE, on_bye},
};

static bool
dispatch(struct session *s, struct msgin *m)
{
	if (m->type == MSG_AUTH_WAIT) {
		if (s->phase == SP_AUTH && m->id == s->request)
			dlg_auth_wait(&s->dlg);
		return true;
	}
	for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++)
		if (handlers[i].type == m->type)
			return handlers[i].handle(s, m);
	return false;
}

/* The auth client is gone, or talks nonsense: refuse what is under way, end. */
static void
auth_lost(struct session *s)
{
	s->told = true; /* nobody is there, and nothing more is waited for */
	s->owed = NO_NONE;
	if (s->phase == SP_CLOSE || s->phase == SP_END)
		return;
	/* In a handshake there is no way to tell.  In the clear a mail process may have
	 * the client by now: into its session nothing is said. */
	if (s->handshaking || (s->phase == SP_HANDOFF && s->ssl == NULL)) {
		session_end(s, "Auth client gone");
		return;
	}
	if (s->phase == SP_AUTH || s->phase == SP_HANDOFF)
		dlg_auth_fail(&s->dlg, DLG_FAIL_TEMP, "Temporary authentication failure.");
	dlg_bye(&s->dlg, DLG_BYE_INTERNAL);
	session_close_after(s, "Auth client gone");
}

/* ---- the NO of a mail process ----------------------------------------------- */

static void
owed_came(struct session *s)
{
	enum owed_no what = s->owed;

	s->owed = NO_NONE;
	if (s->phase != SP_HANDOFF)
		return;
	if (what == NO_DROPPED) {
		hand_over(s);
		return;
	}
	s->phase = SP_DIALOG;
	s->dlg.state = DLG_ST_COMMAND; /* the command has its answer */
}

void
auth_owed_step(struct session *s)
{
	char buf[2048], last = '\0';
	ssize_t n;

	while ((n = read(s->mail_fd, buf, sizeof(buf))) > 0) {
		last = buf[n - 1];
		if (s->owed == NO_ANSWER && (size_t)n <= sizeof(s->dlg.out) - s->dlg.out_len) {
			memcpy(s->dlg.out + s->dlg.out_len, buf, (size_t)n);
			s->dlg.out_len += (size_t)n;
		}
	}
	if (last == '\n')
		owed_came(s);
}

void
auth_owed_late(struct session *s)
{
	s->owed = NO_NONE;
	dlg_auth_fail(&s->dlg, DLG_FAIL_UNAVAILABLE,
	    "Internal error occurred. Refer to server log for more information.");
}

bool
auth_step(struct session *s)
{
	struct msgin m;
	int n = msg_read(s->auth_fd, R_WORKER, R_AUTH, &m, inbuf);

	if (n == -1 && errno == EAGAIN)
		return false;
	if (n <= 0 || !dispatch(s, &m))
		auth_lost(s);
	if (n > 0)
		explicit_bzero(inbuf, (size_t)(m.r.end - inbuf));
	return true;
}
