#include "auth/conn.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <time.h>

#include "auth/count.h"
#include "auth/peers.h"
#include "auth/sockdir.h"
#include "common/log.h"
#include "common/str.h"

#define MESSAGES_PER_TURN 4 /* so that no worker keeps the others waiting */
#define HANDOFF_PREFIX_MAX 128
#define NAME_MAX_TLS 256
#define BINDING_MAX 64 /* a hash, or 32 bytes of the exporter */

static struct msgout out;
static uint8_t inbuf[MSG_MAX];

void
conn_send(struct conn *c, struct msgout *m)
{
	if (c->dead || msg_send(c->worker.fd, m) == 0)
		return;
	if (errno == EMSGSIZE)
		log_errx("%s for a worker is too long", msg_name(m->buf[0]));
	if (errno == EAGAIN)
		conn_reject(c, "does not read its messages");
	else
		conn_drop(c);
}

void
conn_say_bye(struct conn *c, enum dlg_bye why)
{
	msg_begin(&out, MSG_CONN_BYE, c->info.id);
	wr_u8(&out.w, (uint8_t)why);
	c->state = CS_OVER;
	conn_send(c, &out);
}

/* ---- AUTH_READY ----------------------------------------------------------- */

/* <SPID.CUID.TIME.RANDOM@HOST>: the auth server checks all but RANDOM and HOST,
 * and CUID is the connection's, so it is good for this one only (A.8).  RANDOM is
 * hex: mpop does not see a challenge in Dovecot's base64. */
static void
make_apop(struct conn *c, const struct server *s)
{
	uint64_t raw[2];

	while (getrandom(raw, sizeof(raw), 0) != (ssize_t)sizeof(raw))
		;
	snprintf(c->apop, sizeof(c->apop), "<%x.%x.%llx.%016llx%016llx@%.80s>", s->spid, s->cuid,
	    (unsigned long long)time(NULL), (unsigned long long)raw[0], (unsigned long long)raw[1],
	    conns_settings()->hostname);
	c->apop_serial = s->serial;
}

void
conn_send_ready(struct conn *c)
{
	const struct mech_list *list = server_mechs();
	const struct server *s = server_current();
	bool first = !c->ready_sent;

	/* The challenge is in the greeting: it cannot be changed later. */
	if (first && c->info.service == SERVICE_POP3 && s != NULL && server_mech("APOP") != NULL)
		make_apop(c, s);
	msg_begin(&out, MSG_AUTH_READY, 0);
	wr_u8(&out.w, (uint8_t)list->n);
	for (unsigned int i = 0; i < list->n; i++) {
		wr_str(&out.w, list->m[i].name);
		wr_u8(&out.w, list->m[i].flags);
	}
	wr_str(&out.w, c->apop);
	if (first)
		c->ready_ms = loop_now();
	c->ready_sent = true;
	conn_send(c, &out);
}

/* ---- from launcher and signer --------------------------------------------- */

void
conn_stop(uint32_t id, uint8_t bye)
{
	struct conn *c = conn_by_id(id);

	if (c == NULL || bye >= DLG_BYE__MAX || c->state == CS_OVER)
		return;
	if (c->state == CS_HANDOFF && c->sent) {
		/* The mail process may have the client already: its word decides. */
		c->stop_bye = bye;
		return;
	}
	request_forget(c);
	conn_say_bye(c, (enum dlg_bye)bye);
}

void
conn_set_pid(uint32_t id, uint32_t pid)
{
	struct conn *c = conn_by_id(id);

	if (c != NULL)
		c->pid = pid;
}

/* Anybody on the way could have said it; a trusted proxy says whom it speaks for
 * before STARTTLS, and the way to it is trusted. */
static void
forget_clear_ids(struct conn *c)
{
	c->client_id[0] = '\0';
	c->id_logged = false;
}

bool
conn_tls_on(uint32_t id)
{
	struct conn *c = conn_by_id(id);

	if (c == NULL)
		return false;
	if (!c->tls)
		count(c->info.service, COUNT_TLS);
	c->tls = true;
	forget_clear_ids(c);
	if (c->client_fd != -1) {
		/* From now on only the mail channel can be handed over. */
		struct watch w = {.fd = c->client_fd};

		loop_close(&w);
		c->client_fd = -1;
	}
	return true;
}

/* ---- from the worker ------------------------------------------------------ */

/* A message for a request that was decided while it was on its way. */
static bool
stray(struct conn *c)
{
	return ++c->strays <= STRAYS_MAX;
}

static bool
on_auth_start(struct conn *c, struct msgin *m)
{
	char mech[32];
	uint8_t has_ir;
	const uint8_t *data;
	size_t len;

	rd_str(&m->r, mech, sizeof(mech));
	has_ir = rd_u8(&m->r);
	data = rd_block(&m->r, DLG_SASL_RAW_MAX, &len);
	if (!msg_end(m) || has_ir > 1 || (has_ir == 0 && len > 0) || !c->ready_sent)
		return false;
	if (c->state == CS_OVER)
		return stray(c);
	if (c->state != CS_IDLE)
		return false;
	c->request = m->id;
	if (!c->tls) {
		/* The signer's word may have come in the same moment (internals.md). */
		peers_catch_up();
		if (c->dead || c->state != CS_IDLE)
			return true;
	}
	request_start(c, mech, has_ir != 0, data, len);
	return true;
}

static bool
on_auth_cont(struct conn *c, struct msgin *m)
{
	size_t len, binding_len;
	const uint8_t *data = rd_block(&m->r, DLG_SASL_RAW_MAX, &len);
	const uint8_t *binding = rd_block(&m->r, BINDING_MAX, &binding_len);

	if (!msg_end(m))
		return false;
	if (c->state != CS_CLIENT || m->id != c->request)
		return stray(c);
	if ((binding_len > 0 && c->binding[0] == '\0') || (len > 0 && c->out_of_band))
		return false;
	request_continue(c, data, len, binding, binding_len);
	return true;
}

static bool
on_auth_cancel(struct conn *c, struct msgin *m)
{
	if (!msg_end(m))
		return false;
	if (c->state != CS_CLIENT || m->id != c->request)
		return stray(c);
	request_forget(c);
	c->aborted = true;
	c->state = CS_IDLE;
	if (c->attempts >= c->rules.auth_max_attempts)
		conn_say_bye(c, DLG_BYE_ATTEMPTS);
	return true;
}

static bool
on_handoff(struct conn *c, struct msgin *m)
{
	const uint8_t *prefix, *input;
	size_t prefix_len, input_len;

	prefix = rd_block(&m->r, HANDOFF_PREFIX_MAX, &prefix_len);
	input = rd_block(&m->r, LOGINREQ_DATA_MAX, &input_len);
	if (!msg_end(m) || !loginreq_prefix_ok(c->info.service, prefix, prefix_len))
		return false;
	if (c->state != CS_GRANTED || m->id != c->request)
		return stray(c);
	return handoff_start(c, prefix, prefix_len, input, input_len);
}

static bool
on_tls_info(struct conn *c, struct msgin *m)
{
	char sni[NAME_MAX_TLS], text[sizeof(c->tls_text)], name[sizeof(c->cert_name)];
	uint8_t cert;
	size_t n;

	rd_str(&m->r, sni, sizeof(sni));
	rd_str(&m->r, text, sizeof(text));
	cert = rd_u8(&m->r);
	rd_str(&m->r, name, sizeof(name));
	if (!msg_end(m) || cert >= CONN_CERT__MAX || (cert != CONN_CERT_VALID && name[0] != '\0'))
		return false;
	/* Once, after a handshake that the signer knows of, and before anything is asked:
	 * what a name decides does not change under a request. */
	if (!c->tls)
		peers_catch_up();
	if (c->dead)
		return true;
	if (!c->tls || c->tls_info)
		return false;
	if (c->state != CS_IDLE)
		return stray(c);
	c->tls_info = true;
	/* Here ends what came before the handshake, whichever channel was read first. */
	forget_clear_ids(c);
	/* local_name goes to the auth server, whose passdb may use it: a host name or
	 * nothing. */
	n = strspn(sni, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._");
	if (sni[n] != '\0')
		n = 0;
	for (size_t i = 0; i < n; i++)
		c->local_name[i] = (char)(sni[i] >= 'A' && sni[i] <= 'Z' ? sni[i] + 32 : sni[i]);
	c->local_name[n] = '\0';
	conn_rules(c);
	/* Where the site did not turn it on nobody verifies, so nobody may claim. */
	if (cert != CONN_CERT_NONE && !c->rules.ssl_verify_client_cert)
		return false;
	c->cert = cert;
	memcpy(c->cert_name, name, sizeof(name));
	str_clean(c->tls_text, sizeof(c->tls_text), text, strlen(text));
	return true;
}

/* Of IMAP's IDs the first may say whom its client speaks for, and is logged (as in
 * Dovecot); the last one is kept. */
static void
imap_id(struct conn *c, const struct clientid *id)
{
	char text[CLIENTID_LOG_MAX];

	if (!c->id_logged && clientid_log(id, c->rules.imap_id_log, text)) {
		c->id_logged = true;
		connlog_id(c, text);
	}
	if (c->rules.imap_id_retain)
		clientid_retain(id, c->client_id);
}

static bool
on_client_id(struct conn *c, struct msgin *m)
{
	bool trusted = (c->info.flags & CONN_TRUSTED) != 0, imap = c->info.service == SERVICE_IMAP;
	struct clientid id;
	size_t len;
	const uint8_t *data = rd_block(&m->r, CLIENTID_DATA_MAX, &len);

	if (!msg_end(m) || !(imap || trusted) || !clientid_read(data, len, &id))
		return false;
	if (c->state != CS_IDLE || c->ids == IDS_MAX)
		return stray(c);
	if (!c->tls) {
		peers_catch_up(); /* what was said in the clear is forgotten: was it? */
		if (c->dead || c->state != CS_IDLE)
			return true;
	}
	if ((c->ids++ == 0 || !imap) && trusted) {
		clientid_forward(&id, &c->info, c->forward);
		c->forwarded = memcmp(&c->info.remote, &c->real_remote, sizeof(c->real_remote)) != 0 ||
		    memcmp(&c->info.local, &c->real_local, sizeof(c->real_local)) != 0;
	}
	if (imap)
		imap_id(c, &id);
	return true;
}

/* The dialog has refused a login without asking.  Only the first is told: nobody
 * fills the log with them. */
static bool
on_refused(struct conn *c, struct msgin *m)
{
	static const enum auth_outcome outcomes[DLG_FAIL__MAX] = {
	    [DLG_FAIL_PLAINTEXT] = OUT_PLAINTEXT,
	    [DLG_FAIL_SSL_REQUIRED] = OUT_PLAINTEXT,
	    [DLG_FAIL_MECH] = OUT_MECH,
	};
	uint8_t why = rd_u8(&m->r);
	char mech[sizeof(c->mech.name)];

	rd_str(&m->r, mech, sizeof(mech));
	if (!msg_end(m) || why >= DLG_FAIL__MAX || outcomes[why] == OUT_NONE)
		return false;
	if (c->state != CS_IDLE || c->refused != OUT_NONE)
		return stray(c);
	c->refused = outcomes[why];
	if (c->attempts == 0)
		str_clean(c->mech.name, sizeof(c->mech.name), mech, strlen(mech));
	count_failure(c->info.service, c->refused);
	connlog_failed(c, c->refused);
	return true;
}

static bool
on_goodbye(struct conn *c, struct msgin *m)
{
	char why[512];

	if (rd_u8(&m->r) != 0)
		return false;
	rd_str(&m->r, why, sizeof(why));
	if (!msg_end(m))
		return false;
	str_clean(c->goodbye, sizeof(c->goodbye), why, strlen(why));
	return true;
}

static const struct {
	enum msg_type type;
	bool (*handle)(struct conn *c, struct msgin *m);
} handlers[] = {
    {MSG_AUTH_START, on_auth_start},
    {MSG_AUTH_CONT, on_auth_cont},
    {MSG_AUTH_CANCEL, on_auth_cancel},
    {MSG_HANDOFF, on_handoff},
    {MSG_TLS_INFO, on_tls_info},
    {MSG_CLIENT_ID, on_client_id},
    {MSG_REFUSED, on_refused},
    {MSG_GOODBYE, on_goodbye},
};

bool
conn_message(struct conn *c, struct msgin *m)
{
	for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++)
		if (handlers[i].type == m->type)
			return handlers[i].handle(c, m);
	return false;
}

static void
reject_message(struct conn *c, enum msg_type type)
{
	char why[64];

	snprintf(why, sizeof(why), "malformed or untimely %s", msg_name(type));
	conn_reject(c, why);
}

void
conn_worker_ready(struct watch *w, uint32_t events)
{
	struct conn *c = container_of(w, struct conn, worker);
	(void)events;
	for (int i = 0; i < MESSAGES_PER_TURN && !c->dead; i++) {
		struct msgin m;
		int n = msg_recv(w->fd, R_AUTH, R_WORKER, &m, inbuf);

		if (n == -1 && errno == EAGAIN)
			return;
		if (n == -1 && errno == EBADMSG)
			conn_reject(c, "malformed message");
		else if (n <= 0)
			conn_drop(c);
		else if (m.nfds > 0 || !conn_message(c, &m))
			reject_message(c, m.type);
		if (n > 0)
			explicit_bzero(inbuf, (size_t)(m.r.end - inbuf)); /* a password, perhaps */
	}
}
