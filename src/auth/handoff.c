#include "auth/conn.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "auth/count.h"
#include "auth/peers.h"
#include "auth/sockdir.h"
#include "common/log.h"

#define CONNECT_EVERY_MS 20
/* How long connect() is tried again: a full queue (B.1), and a Dovecot that is
 * being restarted; its sockets come back in a moment. */
#define FULL_FOR_MS 500
#define AWAY_FOR_MS 2000
#define QUICK_MS 1000 /* an end this soon after the request is nobody's answer */
#define AGAIN_AFTER_MS 200

static struct msgout out;
static uint32_t next_tag;
static struct loglimit trouble;

/* ---- the result ----------------------------------------------------------- */

static const char *
socket_name(const struct conn *c)
{
	return c->socket[0] != '\0' ? c->socket : conns_settings()->login_socket[c->info.service];
}

static void
tell_result(struct conn *c, uint8_t result, const char *text)
{
	msg_begin(&out, MSG_HANDOFF_RES, c->request);
	wr_u8(&out.w, result);
	wr_str(&out.w, text);
	conn_send(c, &out);
}

void
handoff_failed(struct conn *c, uint8_t result)
{
	char text[ANSWER_TEXT_MAX];
	bool timed_out = c->state == CS_HANDOFF && c->too_late;

	answer_stamped(text,
	    "Internal error occurred. Refer to server log for more information.",
	    conns_settings()->hostname, time(NULL));
	c->outcome = OUT_INTERNAL;
	request_settle(c, result == 2); /* with status 1 the auth server knows */
	tell_result(c, result, text);
	if (result == 3)
		c->state = CS_OVER; /* the client has its NO, and nobody owns its socket */
	else if (c->stop_bye != -1)
		conn_say_bye(c, (enum dlg_bye)c->stop_bye);
	else if (timed_out)
		/* A mail process may still find the request, and then writes to the
		 * client: this connection cannot try again. */
		conn_say_bye(c, DLG_BYE_TIMEOUT_LOGIN);
	else if (request_was_last(c))
		conn_say_bye(c, DLG_BYE_ATTEMPTS);
}

/* No answer: nothing was written to the client. */
static void
unanswered(struct conn *c, const char *why, int err)
{
	if (loglimit_pass(&trouble, 20)) {
		errno = err;
		if (err != 0)
			log_warn("login socket %s: %s (session %s)", socket_name(c), why,
			    c->info.session);
		else
			log_warnx("login socket %s: %s (session %s)", socket_name(c), why,
			    c->info.session);
	}
	handoff_failed(c, 2);
}

static void
taken(struct conn *c, int32_t pid)
{
	count(c->info.service, COUNT_LOGINS);
	connlog_login(c, pid);
	peers_logged_in(c->info.id);
	tell_result(c, 0, "");
	/* Our ends must be closed, or nobody would ever see the session's end. */
	request_settle(c, false);
	c->logged_in = true;
	conn_drop(c);
}

static void
judge(struct conn *c)
{
	struct loginreq_answer a;

	loginreq_answer((const uint8_t *)c->answer, &a);
	if (a.tag != c->tag) {
		unanswered(c, "answer to another request", 0);
	} else if (a.status == 0) {
		taken(c, a.pid);
	} else {
		loop_close(&c->aux);
		log_warnx("mail process %d refused the login of session %s (status %u)", a.pid,
		    c->info.session, a.status);
		/* It has written its NO.  Over TLS that lies in the mail channel and can
		 * be thrown away; in plaintext the client has it. */
		if (!c->tls || !request_retry(c, 1))
			handoff_failed(c, c->tls ? 1 : 3);
	}
}

/* ---- asking --------------------------------------------------------------- */

/*
 * Closed at once and without a word: a Dovecot that is reloading drops what waits
 * at its old listener.  Nobody has seen the request, nothing was written to the
 * client, so it is sent again, to the socket that is there then.  (A service at
 * its process_limit takes 10 s for its first such answer.)
 */
static bool
send_again(struct conn *c)
{
	uint64_t now = loop_now();

	if (c->answer_len > 0 || now - c->sent_ms > QUICK_MS || now - c->asked_ms > AWAY_FOR_MS)
		return false;
	loop_close(&c->aux);
	c->sent = false;
	timer_set(&c->timer, AGAIN_AFTER_MS);
	return true;
}

static void
on_answer(struct watch *w, uint32_t events)
{
	struct conn *c = container_of(w, struct conn, aux);
	long n;

	(void)events;
	if (c->dead)
		return;
	n = sock_read(w->fd, c->answer + c->answer_len, LOGINREQ_ANSWER - c->answer_len);
	if (n == -1 && errno == EAGAIN)
		return;
	if (n <= 0) {
		if (send_again(c))
			return;
		unanswered(c, "no answer: is the service at its process_limit?", n == 0 ? 0 : errno);
		return;
	}
	c->answer_len += (size_t)n;
	if (c->answer_len == LOGINREQ_ANSWER)
		judge(c);
}

static int
passed_fd(const struct conn *c)
{
	return c->tls ? c->mail_fd : c->client_fd;
}

static bool
may_pass(const struct conn *c, int err)
{
	uint64_t tried = loop_now() - c->asked_ms;

	/* EACCES: Dovecot has bound the new socket, and is about to give it its mode
	 * and owner.  (Where that is how it stays, the log says so 2 s later.) */
	return (err == EAGAIN && tried < FULL_FOR_MS) ||
	    ((err == ENOENT || err == ECONNREFUSED || err == EACCES) && tried < AWAY_FOR_MS);
}

static void
try_connect(struct conn *c)
{
	int fd = sockdir_connect(socket_name(c));
	long n;

	if (fd == -1 && may_pass(c, errno)) {
		timer_set(&c->timer, CONNECT_EVERY_MS);
		return;
	}
	if (fd == -1) {
		unanswered(c, "cannot connect", errno);
		return;
	}
	c->aux = (struct watch){.fd = fd, .ready = on_answer};
	if (loop_add(&c->aux, EPOLLIN) == -1) {
		unanswered(c, "cannot watch", errno);
		return;
	}
	/* All in one piece: the mail process does not wait for the rest (gotcha 5). */
	n = sock_write(fd, c->buf, c->buf_len, passed_fd(c));
	if (n != (long)c->buf_len) {
		unanswered(c, "cannot send", n == -1 ? errno : 0);
		return;
	}
	c->sent = true;
	c->sent_ms = loop_now();
	timer_set(&c->timer, c->rules.handoff_timeout_ms);
}

void
handoff_timeout(struct conn *c)
{
	if (!c->sent) {
		try_connect(c);
		return;
	}
	c->too_late = true;
	unanswered(c, "no answer within handoff_timeout", 0);
}

static bool
fill(struct conn *c, const struct server *s, struct loginreq *r)
{
	unsigned long ino;

	if (!sock_inode(passed_fd(c), &ino))
		return false;
	r->tag = c->tag;
	r->auth_pid = s->spid;
	r->auth_id = c->auth_id;
	r->client_pid = s->cpid;
	memcpy(r->cookie, s->cookie, sizeof(r->cookie));
	r->local = c->info.local;
	r->remote = c->info.remote;
	r->flags = c->tls ? LOGINREQ_TLS | LOGINREQ_SECURED
	    : (c->info.flags & CONN_SECURED) != 0 ? LOGINREQ_SECURED : 0;
	r->ino = ino;
	r->session = c->info.session;
	return true;
}

bool
handoff_start(struct conn *c, const uint8_t *prefix, size_t prefix_len, const uint8_t *input,
    size_t input_len)
{
	struct loginreq r = {.prefix = prefix, .prefix_len = prefix_len, .input = input,
	    .input_len = input_len, .session = c->info.session};

	if (loginreq_data_len(&r) > LOGINREQ_DATA_MAX)
		return false;
	c->state = CS_HANDOFF;
	c->sent = false;
	c->answer_len = 0;
	c->tag = ++next_tag;
	c->asked_ms = loop_now();
	c->too_late = false;
	if (c->server == NULL) {
		/* The auth server has gone, and its OK with it. */
		if (!request_retry(c, 2))
			unanswered(c, "the auth server went away", 0);
		return true;
	}
	if (!fill(c, c->server, &r)) {
		/* What would be handed over is no socket: never, the mail process
		 * would die of it (gotcha 13). */
		unanswered(c, "nothing to hand over", 0);
		return true;
	}
	c->buf_len = loginreq_pack(&r, c->server->minor >= 3, c->buf);
	try_connect(c);
	return true;
}
