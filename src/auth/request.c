#include "auth/conn.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "auth/count.h"
#include "common/log.h"
#include "common/str.h"

static struct msgout out;
static struct auth_cmd cmd;

/* ---- the end of a request ------------------------------------------------- */

void
request_creds_wipe(struct conn *c)
{
	if (c->creds.len > 0)
		explicit_bzero(c->creds.data, sizeof(c->creds.data));
	c->creds.held = false;
	c->creds.len = 0;
}

/* The auth server no longer has to do with it. */
void
request_unbind(struct conn *c, bool cancel)
{
	struct server *s = c->server;

	c->server = NULL;
	if (s == NULL)
		return;
	if (cancel)
		server_cancel(s, c->auth_id);
	server_unuse(s);
}

void
request_settle(struct conn *c, bool cancel)
{
	request_unbind(c, cancel);
	request_creds_wipe(c);
	timer_clear(&c->timer);
	loop_close(&c->aux);
	explicit_bzero(c->buf, c->buf_len);
	c->buf_len = 0;
	c->retry_result = 0;
	if (c->state != CS_OVER)
		c->state = CS_IDLE;
}

void
request_forget(struct conn *c)
{
	enum conn_state was = c->state;

	request_settle(c, was == CS_AUTH || was == CS_CLIENT || was == CS_LIMIT || was == CS_GRANTED ||
	    was == CS_HANDOFF);
	if (c->dead) /* only the end reads it: what was going on */
		c->state = was;
}

bool
request_was_last(const struct conn *c)
{
	return c->attempts >= c->rules.auth_max_attempts;
}

void
request_fail(struct conn *c, const struct auth_failure *f)
{
	c->outcome = f->outcome;
	count_failure(c->info.service, f->outcome);
	connlog_failed(c, f->outcome);
	if (c->retry_result != 0) {
		/* The client's answer is the mail process's, or the lack of it. */
		handoff_failed(c, c->retry_result);
		return;
	}
	request_settle(c, false);
	msg_begin(&out, MSG_AUTH_FAIL, c->request);
	wr_u8(&out.w, (uint8_t)f->fail);
	wr_str(&out.w, f->text);
	conn_send(c, &out);
	if (f->fail == DLG_FAIL_LIMIT)
		c->state = CS_OVER;
	else if (request_was_last(c))
		conn_say_bye(c, DLG_BYE_ATTEMPTS);
}

void
request_temp_fail(struct conn *c, enum auth_outcome outcome)
{
	struct auth_failure f;

	answer_temp(conns_settings()->hostname, time(NULL), outcome, &f);
	request_fail(c, &f);
}

static void
refuse(struct conn *c, enum dlg_fail fail, enum auth_outcome outcome)
{
	struct auth_failure f = {.fail = fail, .outcome = outcome};

	request_fail(c, &f);
}

/* ---- the beginning -------------------------------------------------------- */

/* Who may ask what: decided here, whatever the worker's dialog thinks (the auth
 * server enforces none of it, gotcha 9).  True: refused. */
static bool
forbidden(struct conn *c, const char *name)
{
	const struct rules *set = &c->rules;
	const struct dlg_mech *m = server_mech(name);
	bool secured = c->tls || (c->info.flags & CONN_SECURED) != 0;

	/* ssl = required means strangers: the own host and trusted networks count as
	 * secured, as in Dovecot (D.1).  TLS from the first byte has no such way round. */
	if ((set->ssl == SSL_REQUIRED && !secured) ||
	    (!c->tls && (c->info.flags & CONN_TLS_IMPLICIT) != 0)) {
		refuse(c, DLG_FAIL_SSL_REQUIRED, OUT_PLAINTEXT);
		return true;
	}
	if (set->auth_ssl_require_client_cert && !(c->tls && c->cert == CONN_CERT_VALID)) {
		struct auth_failure f = {.fail = DLG_FAIL_REASON, .outcome = OUT_CERT,
		    .text = "Client didn't present valid SSL certificate"};

		request_fail(c, &f);
		return true;
	}
	/* APOP is the one private mechanism that a client may mean. */
	if (m == NULL || ((m->flags & DLG_MECH_BINDING) != 0 && !c->tls) ||
	    ((m->flags & DLG_MECH_PRIVATE) != 0 &&
	    (strcmp(m->name, "APOP") != 0 || c->apop[0] == '\0'))) {
		refuse(c, DLG_FAIL_MECH, OUT_MECH);
		return true;
	}
	if ((m->flags & DLG_MECH_PLAINTEXT) != 0 && !secured &&
	    set->disable_plaintext_auth) {
		refuse(c, DLG_FAIL_PLAINTEXT, OUT_PLAINTEXT);
		return true;
	}
	c->mech = *m;
	return false;
}

/* The response of APOP begins with the challenge; another connection's, or one
 * of an auth connection that is gone, is no use and not passed on. */
static bool
apop_fits(const struct conn *c, const uint8_t *data, size_t len)
{
	size_t n = strlen(c->apop) + 1;
	const struct server *s = server_current();

	return s != NULL && s->serial == c->apop_serial && len > n && memcmp(data, c->apop, n) == 0;
}

static void
port_field(const char *key, uint16_t port)
{
	char text[8];

	snprintf(text, sizeof(text), "%u", port);
	authcmd_field(&cmd, key, text);
}

static void
ip_fields(const struct conn *c)
{
	char ip[INET6_ADDRSTRLEN];

	authcmd_field(&cmd, "lip", conn_addr_text(&c->info.local, ip));
	authcmd_field(&cmd, "rip", conn_addr_text(&c->info.remote, ip));
	port_field("lport", c->info.local.port);
	port_field("rport", c->info.remote.port);
	if (!c->forwarded)
		return;
	authcmd_field(&cmd, "real_lip", conn_addr_text(&c->real_local, ip));
	authcmd_field(&cmd, "real_rip", conn_addr_text(&c->real_remote, ip));
	port_field("real_lport", c->real_local.port);
	port_field("real_rport", c->real_remote.port);
}

/* AUTH on server s; false: it did not go out. */
bool
request_submit(struct conn *c, struct server *s, const uint8_t *data, size_t len)
{
	bool sent;

	authcmd_begin(&cmd, "AUTH");
	authcmd_number(&cmd, conn_new_auth_id(c));
	authcmd_word(&cmd, c->mech.name);
	authcmd_field(&cmd, "service", service_name(c->info.service));
	if (c->tls)
		authcmd_field(&cmd, "secured", "tls");
	else if ((c->info.flags & CONN_SECURED) != 0)
		authcmd_field(&cmd, "secured", NULL);
	authcmd_field(&cmd, "session", c->info.session);
	ip_fields(c);
	if (c->local_name[0] != '\0')
		authcmd_field(&cmd, "local_name", c->local_name);
	if (c->tls && c->cert == CONN_CERT_VALID) {
		authcmd_field(&cmd, "valid-client-cert", NULL);
		if (c->cert_name[0] != '\0' && c->rules.auth_ssl_username_from_cert)
			authcmd_field(&cmd, "cert_username", c->cert_name);
	}
	if (c->client_id[0] != '\0')
		authcmd_field(&cmd, "client_id", c->client_id);
	if (c->forward[0] != '\0')
		authcmd_field(&cmd, "forward_fields", c->forward);
	if (c->has_ir)
		authcmd_resp(&cmd, data, len);
	sent = authcmd_end(&cmd) && server_send(s, &cmd);
	authcmd_wipe(&cmd);
	if (!sent)
		return false;
	c->server = s;
	server_use(s);
	c->state = CS_AUTH;
	c->waited = false;
	timer_set(&c->timer, c->rules.auth_timeout_ms);
	return true;
}

static void
keep(struct conn *c, const uint8_t *data, size_t len)
{
	request_creds_wipe(c);
	if (len > CREDS_MAX)
		return;
	if (len > 0)
		memcpy(c->creds.data, data, len);
	c->creds.len = len;
	c->creds.held = true;
}

/* All that has been said is in creds, and goes to the next server. */
void
request_await_server(struct conn *c)
{
	c->state = CS_QUEUED;
	c->waited = false;
	timer_set(&c->timer, c->rules.auth_timeout_ms);
}

void
request_start(struct conn *c, const char *mech, bool has_ir, const uint8_t *data, size_t len)
{
	struct server *s = server_current();

	if (c->attempts++ == 0)
		c->first_auth_ms = loop_now();
	c->aborted = false;
	c->outcome = OUT_NONE;
	c->retry_result = 0;
	str_copy(c->mech.name, sizeof(c->mech.name), "");
	c->user[0] = c->original_user[0] = c->auth_user[0] = c->socket[0] = c->passdb[0] = '\0';
	if (forbidden(c, mech))
		return;
	c->has_ir = has_ir;
	c->said = has_ir;
	c->out_of_band = false;
	c->asked_again = false;
	c->binding[0] = '\0';
	c->may_repeat = true;
	if (strcmp(c->mech.name, "APOP") == 0) {
		if (!apop_fits(c, data, len)) {
			request_temp_fail(c, OUT_COMM);
			return;
		}
		c->may_repeat = false; /* its challenge is bound to this auth connection */
	}
	if (c->may_repeat)
		keep(c, data, len);
	if (s != NULL) {
		if (!request_submit(c, s, data, len))
			request_temp_fail(c, OUT_COMM);
		return;
	}
	if (c->creds.held)
		request_await_server(c);
	else
		request_temp_fail(c, OUT_COMM);
}

/* The worker has no such channel binding: no other answer than an honest one
 * would do, and no answer ends the exchange. */
static void
no_binding(struct conn *c)
{
	struct auth_failure f = {.fail = DLG_FAIL_REASON, .outcome = OUT_AUTH};

	snprintf(f.text, sizeof(f.text), "Channel binding %.31s is not available.", c->binding);
	request_unbind(c, true);
	request_fail(c, &f);
}

void
request_continue(struct conn *c, const uint8_t *data, size_t len, const uint8_t *binding,
    size_t binding_len)
{
	bool sent;

	if (c->server == NULL) { /* it went away while the client was thinking */
		request_temp_fail(c, OUT_COMM);
		return;
	}
	/* The answer to an empty challenge is what could have been the initial
	 * response (RFC 4422 3): then it can be said again in one piece. */
	if (c->binding[0] != '\0' && binding_len == 0) {
		no_binding(c);
		return;
	}
	if (c->may_repeat)
		keep(c, data, len);
	c->said++;
	authcmd_begin(&cmd, "CONT");
	authcmd_number(&cmd, c->auth_id);
	if (c->out_of_band)
		authcmd_word(&cmd, "#");
	else
		authcmd_base64(&cmd, data, len);
	if (c->binding[0] != '\0') /* never to a server that would take it for data */
		authcmd_field_base64(&cmd, "channel_binding", binding, binding_len);
	sent = authcmd_end(&cmd) && server_send(c->server, &cmd);
	authcmd_wipe(&cmd);
	if (!sent) {
		request_unbind(c, true);
		request_temp_fail(c, OUT_COMM);
		return;
	}
	c->state = CS_AUTH;
	c->waited = false;
	timer_set(&c->timer, c->rules.auth_timeout_ms);
}

/* ---- time --------------------------------------------------------------- */

void
conn_timeout(struct timer *t)
{
	struct conn *c = container_of(t, struct conn, timer);

	if (c->dead)
		return;
	switch (c->state) {
	case CS_QUEUED:
	case CS_AUTH:
		if (c->waited) {
			request_unbind(c, true);
			request_temp_fail(c, OUT_COMM);
			break;
		}
		c->waited = true;
		timer_set(&c->timer, c->rules.auth_timeout_ms);
		if (c->retry_result == 0) {
			msg_begin(&out, MSG_AUTH_WAIT, c->request);
			conn_send(c, &out);
		}
		break;
	case CS_LIMIT:
		anvil_timeout(c);
		break;
	case CS_HANDOFF:
		handoff_timeout(c);
		break;
	case CS_RETRY:
		handoff_failed(c, c->retry_result);
		break;
	default:
		break;
	}
}
