/* What the auth server answers to a request: a challenge, a failure, an OK. */
#include <string.h>
#include <time.h>

#include "auth/conn.h"
#include "auth/sockdir.h"
#include "common/log.h"
#include "common/str.h"

static struct msgout out;

static void
on_cont(struct conn *c, struct auth_line *l)
{
	static uint8_t raw[DLG_SASL_RAW_MAX];
	struct auth_cont cont;
	long n = -1;

	if (authline_cont(l, c->server->extended, &cont))
		n = base64_decode(raw, sizeof(raw), cont.data, cont.len);
	if (n < 0 || c->retry_result != 0) { /* a retry is one message, or none */
		if (n < 0)
			log_errx("auth server: challenge is no base64, too long or malformed");
		request_unbind(c, true);
		request_temp_fail(c, OUT_TEMP);
		return;
	}
	/* Only an empty challenge, before anything was said, leaves the exchange one
	 * client message long. */
	request_creds_wipe(c);
	c->may_repeat = c->may_repeat && c->said == 0 && n == 0;
	timer_clear(&c->timer);
	c->state = CS_CLIENT;
	c->out_of_band = cont.out_of_band;
	str_clean(c->binding, sizeof(c->binding), cont.binding, strlen(cont.binding));
	msg_begin(&out, MSG_AUTH_CHALLENGE, c->request);
	wr_block(&out.w, raw, (size_t)n);
	wr_u8(&out.w, c->out_of_band);
	wr_str(&out.w, c->binding);
	conn_send(c, &out);
}

static void
on_fail(struct conn *c, const struct auth_answer *a)
{
	struct auth_failure f;

	request_unbind(c, false);
	answer_failure(a, conns_settings()->hostname, time(NULL), &f);
	if (c->state == CS_CLIENT) {
		/* The worker is not listening for a verdict now: it hears it when the
		 * client has answered. */
		return;
	}
	request_fail(c, &f);
}

static bool
other_socket(struct conn *c, const struct auth_answer *a)
{
	if (a->postlogin_socket[0] == '\0')
		return true;
	/* Not to use it could skip what it is there for: no login instead. */
	if (!sockdir_name_ok(a->postlogin_socket)) {
		log_errx("postlogin_socket must be a plain name in login_socket_dir");
		return false;
	}
	str_copy(c->socket, sizeof(c->socket), a->postlogin_socket);
	return true;
}

static void
on_ok(struct conn *c, const struct auth_answer *a)
{
	const struct auth_settings *set = conns_settings();
	struct auth_failure f;

	timer_clear(&c->timer);
	c->server_serial = c->server->serial;
	if (answer_refusal(a, c->info.service, c->mech.name, &f)) {
		if (a->proxy)
			log_errx("auth server wants a proxied login, which is not supported");
		request_unbind(c, false);
		request_fail(c, &f);
		return;
	}
	if (a->bad || a->user[0] == '\0' || !other_socket(c, a)) {
		if (a->bad || a->user[0] == '\0')
			log_errx("auth server: OK without a usable user name");
		request_unbind(c, true);
		request_temp_fail(c, OUT_TEMP);
		return;
	}
	if (c->retry_result == 0)
		c->successes++;
	if (set->anvil_socket[0] != '\0' && c->rules.mail_max_userip_connections > 0 &&
	    c->retry_result == 0)
		anvil_start(c);
	else
		request_granted(c);
}

void
request_granted(struct conn *c)
{
	timer_clear(&c->timer);
	c->state = CS_GRANTED;
	msg_begin(&out, MSG_AUTH_OK, c->request);
	wr_str(&out.w, c->user);
	wr_u8(&out.w, c->retry_result == 1);
	conn_send(c, &out);
}

void
conns_answer(struct server *s, struct auth_line *l)
{
	struct conn *c = conn_by_auth_id(s, l->id);
	struct auth_answer a;

	/* Unknown, cancelled or answered twice: it crossed our CANCEL, or is none of
	 * our business. */
	if (c == NULL || (c->state != CS_AUTH && (c->state != CS_CLIENT || l->verb != AV_FAIL)))
		return;
	if (l->verb == AV_CONT) {
		on_cont(c, l);
		return;
	}
	answer_read(l, &a, c->rules.login_log_format_elements);
	str_copy(c->user, sizeof(c->user), a.user);
	str_copy(c->original_user, sizeof(c->original_user), a.original_user);
	str_copy(c->auth_user, sizeof(c->auth_user), a.auth_user);
	str_copy(c->passdb, sizeof(c->passdb), a.passdb);
	if (l->verb == AV_OK)
		on_ok(c, &a);
	else
		on_fail(c, &a);
	explicit_bzero(&a, sizeof(a));
}
