#include "login/session.h"

#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/str.h"
#include "ipc/msg.h"
#include "login/binding.h"
#include "login/client_cert.h"
#include "login/heap.h"
#include "login/resume.h"
#include "login/tls.h"

/* In the clear nothing may be read that cannot be handed over with the rest
 * (dovecot-protocols, gotcha 12). */
#define PLAIN_READ_MAX 1024
/* Of the unread input in HANDOFF when the rest can follow through the proxy. */
#define HANDOFF_INPUT_MAX 1024
/* For a farewell to be taken: who does not read it has no claim to a place. */
#define BYE_MS 1000

/* One message at a time in each direction: static, so that the pages are dirtied
 * once for all connections of a pooled worker.  Wiped after use. */
static struct msgout out;
static uint8_t inbuf[MSG_MAX];

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

/* Over.  The auth client writes the log line when the channel closes. */
static void
end(struct session *s, const char *why)
{
	if (!s->told) {
		s->told = true;
		msg_begin(&out, MSG_GOODBYE, 0);
		wr_u8(&out.w, 0);
		wr_str(&out.w, why);
		msg_write(s->auth_fd, &out);
	}
	s->phase = SP_END;
}

/* What is in dlg.out goes out first, then it is over. */
static void
close_after(struct session *s, const char *why)
{
	str_copy(s->reason, sizeof(s->reason), why);
	s->phase = SP_CLOSE;
}

void
session_begin(struct session *s, const struct worker *w, const struct conn_info *info,
    int client_fd, int auth_fd, int signer_fd, int mail_fd, uint64_t now)
{
	bool implicit = (info->flags & CONN_TLS_IMPLICIT) != 0;
	uint32_t timeout = w->set.login_timeout_ms;

	s->w = w;
	s->info = *info;
	s->client_fd = client_fd;
	s->auth_fd = auth_fd;
	s->mail_fd = mail_fd;
	s->signer = (struct remotekey_channel){.fd = signer_fd, .timeout_ms = w->set.sign_timeout_ms};
	s->phase = SP_DIALOG;
	s->handshaking = implicit;
	s->greeted = s->auth_ready = s->told = s->want_write = false;
	s->refusal_told = false;
	s->want_read = true;
	s->request = 0;
	s->binding[0] = '\0';
	s->deadline_ms = now + (info->age_ms < timeout ? timeout - info->age_ms : 0);
	s->reason[0] = '\0';
	s->ssl = NULL;
	s->out_sent = s->in_len = 0;
	s->rules = w->dialog;
	if ((info->flags & CONN_RULED) != 0) {
		s->rules.ssl_required = (info->flags & CONN_TLS_REQUIRED) != 0;
		s->rules.plaintext_allowed = (info->flags & CONN_CLEAR_ALLOWED) != 0;
	}
	dlg_init(&s->dlg, info->service == SERVICE_IMAP ? DLG_IMAP : DLG_POP3, &s->rules,
	    (info->flags & CONN_TLS_OFFERED) != 0 && tls_available(), implicit,
	    implicit || (info->flags & CONN_SECURED) != 0);
	if (implicit && (s->ssl = tls_new(client_fd)) == NULL)
		end(s, "Out of memory for TLS");
}

/* ---- the client's side ---------------------------------------------------- */

static void
tls_done(struct session *s)
{
	char name[256], how[160], user[256];
	enum conn_cert cert = client_cert_state(s->ssl, user, sizeof(user));

	s->handshaking = false;
	s->want_read = true;
	s->want_write = false;
	tls_server_name(s->ssl, name, sizeof(name));
	tls_describe(s->ssl, how, sizeof(how));
	msg_begin(&out, MSG_TLS_INFO, 0);
	wr_str(&out.w, name);
	wr_str(&out.w, how);
	wr_u8(&out.w, (uint8_t)cert);
	wr_str(&out.w, user);
	send_auth(s);
	if (s->greeted)
		dlg_tls_started(&s->dlg);
}

static void
handshake(struct session *s)
{
	const struct resume_store store = {resume_channel_get, resume_channel_put, &s->signer};
	int n, err;

	/* Requests of this handshake go out on this connection's channel. */
	remotekey_set_signer(remotekey_channel, &s->signer);
	resume_set_store(&store);
	ERR_clear_error();
	n = SSL_do_handshake(s->ssl);
	resume_set_store(NULL);
	if (n == 1) {
		/* The signer waits for the last word: no session is one, too. */
		if (s->w->set.session_lifetime_ms != 0)
			resume_channel_put(&s->signer, NULL, NULL, 0);
		tls_done(s);
		return;
	}
	err = SSL_get_error(s->ssl, n);
	s->want_read = err == SSL_ERROR_WANT_READ;
	s->want_write = err == SSL_ERROR_WANT_WRITE;
	if (!s->want_read && !s->want_write) {
		char why[200], text[300];

		tls_failure(s->ssl, n, why, sizeof(why));
		snprintf(text, sizeof(text), "TLS handshaking: SSL_accept() failed: %s", why);
		end(s, text);
	}
}

/* Returns the number of bytes written, 0 if it would block, -1 if it is over. */
static ssize_t
client_write(struct session *s, const char *p, size_t len)
{
	ssize_t n;

	if (s->ssl != NULL) {
		int err;

		ERR_clear_error();
		n = SSL_write(s->ssl, p, (int)len);
		if (n > 0)
			return n;
		err = SSL_get_error(s->ssl, (int)n);
		return err == SSL_ERROR_WANT_WRITE || err == SSL_ERROR_WANT_READ ? 0 : -1;
	}
	n = write(s->client_fd, p, len);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return n;
}

static void
flush_out(struct session *s)
{
	while (s->out_sent < s->dlg.out_len) {
		ssize_t n = client_write(s, s->dlg.out + s->out_sent, s->dlg.out_len - s->out_sent);

		if (n == -1) {
			end(s, "Connection closed");
			return;
		}
		s->want_write = n == 0;
		if (n == 0)
			return;
		s->out_sent += (size_t)n;
	}
	s->want_write = false;
	s->out_sent = s->dlg.out_len = 0;
	if (s->phase == SP_CLOSE) {
		if (s->ssl != NULL)
			SSL_shutdown(s->ssl);
		end(s, s->reason);
	}
}

/* True: something was read. */
static bool
client_read(struct session *s)
{
	size_t room = sizeof(s->in) - s->in_len;
	ssize_t n;

	if (s->ssl == NULL && room > PLAIN_READ_MAX)
		room = PLAIN_READ_MAX;
	if (room == 0) {
		end(s, "Input buffer full"); /* the dialog has swallowed or closed before */
		return false;
	}
	if (s->ssl != NULL) {
		int err;

		ERR_clear_error();
		n = SSL_read(s->ssl, s->in + s->in_len, (int)room);
		err = n > 0 ? SSL_ERROR_NONE : SSL_get_error(s->ssl, (int)n);
		if (err == SSL_ERROR_WANT_READ || err == SSL_ERROR_WANT_WRITE)
			return false;
	} else {
		n = read(s->client_fd, s->in + s->in_len, room);
		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			return false;
	}
	if (n <= 0) {
		end(s, "Connection closed");
		return false;
	}
	s->in_len += (size_t)n;
	return true;
}

static void
consume(struct session *s, size_t used)
{
	if (used == 0)
		return;
	memmove(s->in, s->in + used, s->in_len - used);
	explicit_bzero(s->in + s->in_len - used, used); /* it may have been a password */
	s->in_len -= used;
}

static void
start_tls(struct session *s)
{
	/* A byte behind the command, in the clear, closes the connection: it is
	 * neither a command nor part of the handshake (CVE-2021-33515's class). */
	if (s->in_len > 0) {
		s->dlg.out_len = 0;
		end(s, "Plaintext after STARTTLS");
		return;
	}
	flush_out(s);
	if (s->phase == SP_END)
		return;
	if (s->dlg.out_len > 0) /* somebody who does not read his replies */
		end(s, "Output buffer full before TLS");
	else if ((s->ssl = tls_new(s->client_fd)) == NULL)
		end(s, "Out of memory for TLS");
	else
		s->handshaking = true;
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

static void
ask_auth(struct session *s, enum msg_type type)
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

static void
act(struct session *s)
{
	switch (s->ev.type) {
	case DLG_STARTTLS:
		start_tls(s);
		break;
	case DLG_AUTH_START:
		ask_auth(s, MSG_AUTH_START);
		break;
	case DLG_AUTH_CONT:
		ask_auth(s, MSG_AUTH_CONT);
		break;
	case DLG_AUTH_CANCEL:
		ask_auth(s, MSG_AUTH_CANCEL);
		break;
	case DLG_CLOSE:
		close_after(s, s->ev.reason);
		break;
	case DLG_MORE:
	case DLG_REPLIED:
		break;
	}
}

/* A login that the dialog refused by itself: for the log, once, so that no client
 * can fill the auth client's queue. */
static void
tell_refusal(struct session *s)
{
	if (s->refusal_told)
		return;
	s->refusal_told = true;
	msg_begin(&out, MSG_REFUSED, 0);
	wr_u8(&out.w, s->ev.refused);
	wr_str(&out.w, s->ev.mech);
	send_auth(s);
}

/* The client's turn: feed what is there, read more.  True: something happened. */
static bool
dialog_step(struct session *s, bool readable)
{
	size_t used = 0;

	if (s->in_len > 0) {
		dlg_feed(&s->dlg, s->in, s->in_len, &used, &s->ev);
		consume(s, used);
		if (s->ev.refused != 0)
			tell_refusal(s);
		if (s->ev.type != DLG_MORE || used > 0) {
			act(s);
			return true;
		}
	}
	if (readable || (s->ssl != NULL && SSL_has_pending(s->ssl)))
		return client_read(s);
	return false;
}

/* ---- the auth client's side ----------------------------------------------- */

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
		ask_auth(s, MSG_AUTH_CONT);
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
		close_after(s, "Too many connections from user+IP");
	else
		s->phase = SP_DIALOG;
	return true;
}

/* Drop, or pass to the client, what a mail process that refused has left in the
 * mail channel.  Returns the bytes passed on. */
static size_t
drain_mail(struct session *s, bool pass_on)
{
	char buf[2048];
	size_t total = 0;
	ssize_t n;

	while ((n = read(s->mail_fd, buf, sizeof(buf))) > 0) {
		if (!pass_on || (size_t)n > sizeof(s->dlg.out) - s->dlg.out_len)
			continue;
		memcpy(s->dlg.out + s->dlg.out_len, buf, (size_t)n);
		s->dlg.out_len += (size_t)n;
		total += (size_t)n;
	}
	return total;
}

/* Logged in.  A second AUTH_OK for the request is the auth client's retry after a
 * reload of Dovecot: the first mail process' NO is thrown away (design 5). */
static bool
on_ok(struct session *s, struct msgin *m)
{
	char user[512];
	uint8_t prefix[160];
	size_t n, input = s->in_len;

	rd_str(&m->r, user, sizeof(user));
	if (!msg_end(m))
		return false;
	if (m->id != s->request || (s->phase != SP_AUTH && s->phase != SP_HANDOFF))
		return m->id != s->request;
	if (s->phase == SP_HANDOFF)
		drain_mail(s, false);
	if (s->ssl != NULL && input > HANDOFF_INPUT_MAX)
		input = HANDOFF_INPUT_MAX;
	n = dlg_handoff_prefix(&s->dlg, prefix, sizeof(prefix));
	msg_begin(&out, MSG_HANDOFF, s->request);
	wr_block(&out.w, prefix, n);
	wr_block(&out.w, s->in, input);
	send_auth(s);
	s->phase = SP_HANDOFF;
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
	consume(s, sent);
	s->phase = SP_PROXY;
}

static bool
on_handoff(struct session *s, struct msgin *m)
{
	char text[1024];
	uint8_t result = rd_u8(&m->r);

	rd_str(&m->r, text, sizeof(text));
	if (!msg_end(m) || s->phase != SP_HANDOFF || m->id != s->request)
		return false;
	switch (result) {
	case 0:
		handed_off(s);
		return true;
	case 1:
		s->phase = SP_DIALOG;
		if (drain_mail(s, true) > 0)
			s->dlg.state = DLG_ST_COMMAND; /* the mail process' NO was the answer */
		else
			dlg_auth_fail(&s->dlg, DLG_FAIL_UNAVAILABLE, text);
		return true;
	case 2:
		s->phase = SP_DIALOG;
		dlg_auth_fail(&s->dlg, DLG_FAIL_UNAVAILABLE, text);
		return true;
	case 3:
		end(s, "Internal login failure");
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
		end(s, reasons[why]);
		return true;
	}
	dlg_bye(&s->dlg, (enum dlg_bye)why);
	close_after(s, reasons[why]);
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
	if (s->phase == SP_CLOSE || s->phase == SP_END)
		return;
	if (s->handshaking) {
		end(s, "Auth client gone");
		return;
	}
	if (s->phase == SP_AUTH || s->phase == SP_HANDOFF)
		dlg_auth_fail(&s->dlg, DLG_FAIL_TEMP, "Temporary authentication failure.");
	dlg_bye(&s->dlg, DLG_BYE_INTERNAL);
	s->told = true;
	close_after(s, "Auth client gone");
}

static bool
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

/* ---- both ----------------------------------------------------------------- */

enum session_phase
session_move(struct session *s, short client, short auth, uint64_t now)
{
	bool readable = client != 0, again = true;

	(void)now;
	if (auth != 0)
		auth_step(s);
	while (again && s->phase != SP_END && s->phase != SP_PROXY) {
		again = false;
		if (s->handshaking) {
			handshake(s);
			if (s->handshaking)
				break;
		}
		if (!s->greeted && s->auth_ready && s->phase == SP_DIALOG) {
			dlg_greet(&s->dlg);
			s->greeted = true;
		}
		if (s->phase == SP_DIALOG && s->greeted && s->dlg.out_len < DLG_OUT_MAX / 2)
			again = dialog_step(s, readable);
		readable = false;
		if (!s->handshaking && s->phase != SP_END && (s->dlg.out_len > 0 || s->phase == SP_CLOSE))
			flush_out(s);
		if (s->want_write)
			break;
	}
	return s->phase;
}

enum session_phase
session_timeout(struct session *s)
{
	enum dlg_bye why = s->phase == SP_HANDOFF ? DLG_BYE_TIMEOUT_LOGIN
	    : s->phase == SP_AUTH || s->dlg.state == DLG_ST_AUTH_CLIENT ? DLG_BYE_TIMEOUT_AUTH
									: DLG_BYE_TIMEOUT;
	const char *reason = why == DLG_BYE_TIMEOUT_LOGIN ? "Timeout while finishing login"
	    : why == DLG_BYE_TIMEOUT_AUTH ? "Inactivity during authentication" : "Inactivity";

	if (s->handshaking || s->want_write || s->phase == SP_CLOSE) {
		end(s, reason); /* no way to tell the client */
		return s->phase;
	}
	dlg_bye(&s->dlg, why);
	close_after(s, reason);
	flush_out(s);
	if (s->phase != SP_END)
		end(s, reason);
	return s->phase;
}

void
session_interest(const struct session *s, struct session_interest *i)
{
	*i = (struct session_interest){.auth = POLLIN};
	if (s->told && s->phase == SP_CLOSE)
		i->auth = 0; /* it is gone; its EOF would be reported for ever */
	if (s->handshaking)
		i->client = s->want_write ? POLLOUT : POLLIN;
	else if (s->want_write || s->dlg.out_len > 0)
		i->client = POLLOUT;
	else if (s->phase == SP_DIALOG && s->greeted)
		i->client = POLLIN;
}

/* What parsers left below this frame. */
static void __attribute__((noinline))
wipe_stack(void)
{
	volatile char below[12288];

	explicit_bzero((void *)(uintptr_t)below, sizeof(below));
}

void
session_wipe(struct session *s)
{
	/* Only what was used: a page that was never touched needs no wiping, and
	 * touching it costs a fault.  Requests and consumed input are wiped at once. */
	explicit_bzero(s->in, s->in_len);
	s->in_len = 0;
	explicit_bzero(s->dlg.user, sizeof(s->dlg.user));
	wipe_stack();
	heap_wipe_free();
}
