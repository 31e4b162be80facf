/*
 * mail_max_userip_connections (dovecot-protocols D.8): how many sessions has
 * this user from this address in this service?  A look-up that fails lets the
 * user in, as Dovecot does: the limit is no access rule.
 *
 * One connection for each look-up: no answer can be taken for another's.
 */
#include "auth/conn.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "auth/sockdir.h"
#include "common/log.h"
#include "common/str.h"

#define ANVIL_TIMEOUT_MS 2000

static struct auth_cmd cmd;
static bool complained;

static void
let_in(struct conn *c, const char *why, int err)
{
	if (!complained) {
		complained = true;
		errno = err;
		if (err != 0)
			log_warn("anvil: %s: mail_max_userip_connections is not enforced", why);
		else
			log_warnx("anvil: %s: mail_max_userip_connections is not enforced", why);
	}
	loop_close(&c->aux);
	request_granted(c);
}

static void
decide(struct conn *c, uint64_t sessions)
{
	struct auth_failure f = {.fail = DLG_FAIL_LIMIT, .outcome = OUT_LIMIT};
	uint32_t max = c->rules.mail_max_userip_connections;

	complained = false;
	loop_close(&c->aux);
	if (sessions < max) {
		request_granted(c);
		return;
	}
	snprintf(f.text, sizeof(f.text), AUTH_LIMIT_TEXT, max);
	request_settle(c, true);
	request_fail(c, &f);
}

static void
on_answer(struct watch *w, uint32_t events)
{
	struct conn *c = container_of(w, struct conn, aux);
	char *p = c->answer, *lf;
	uint64_t n;
	long got;

	(void)events;
	if (c->dead)
		return;
	got = sock_read(w->fd, p + c->answer_len, sizeof(c->answer) - c->answer_len);
	if (got == -1 && errno == EAGAIN)
		return;
	if (got <= 0) {
		let_in(c, "no answer", got == 0 ? 0 : errno);
		return;
	}
	c->answer_len += (size_t)got;
	while ((lf = memchr(p, '\n', c->answer_len)) != NULL) {
		*lf = '\0';
		/* 2.4 greets with a line of its own. */
		if (strncmp(p, "VERSION", 7) != 0) {
			if (str_to_u64(p, UINT32_MAX, &n))
				decide(c, n);
			else
				let_in(c, "malformed answer", 0);
			return;
		}
		c->answer_len -= (size_t)(lf + 1 - p);
		memmove(p, lf + 1, c->answer_len);
	}
	if (c->answer_len == sizeof(c->answer))
		let_in(c, "answer too long", 0);
}

void
anvil_timeout(struct conn *c)
{
	let_in(c, "no answer within 2 seconds", 0);
}

/* The whole conversation can go out at once, in both versions. */
static bool
question(const struct conn *c, bool v24, char *dst, size_t cap, size_t *len)
{
	char ip[INET6_ADDRSTRLEN], whole[ANSWER_USER_MAX + 64];
	const char *head = v24 ? "VERSION\tanvil-client\t2\t0\n\n" : "VERSION\tanvil\t1\t0\n";

	conn_addr_text(&c->info.remote, ip);
	authcmd_begin(&cmd, "LOOKUP");
	if (v24) {
		authcmd_word(&cmd, c->user);
		authcmd_word(&cmd, service_name(c->info.service));
		authcmd_word(&cmd, ip);
	} else {
		snprintf(whole, sizeof(whole), "%s/%s/%s", service_name(c->info.service), ip, c->user);
		authcmd_word(&cmd, whole);
	}
	*len = strlen(head) + cmd.len + 1;
	if (!authcmd_end(&cmd) || *len > cap)
		return false;
	memcpy(dst, head, strlen(head));
	memcpy(dst + strlen(head), cmd.buf, cmd.len);
	return true;
}

void
anvil_start(struct conn *c)
{
	char text[2048];
	size_t len;
	int fd;

	c->state = CS_LIMIT;
	c->answer_len = 0;
	if (!question(c, c->server->minor >= 3, text, sizeof(text), &len)) {
		let_in(c, "user name too long", 0);
		return;
	}
	if ((fd = sockdir_connect(conns_settings()->anvil_socket)) == -1) {
		let_in(c, "cannot connect", errno);
		return;
	}
	c->aux = (struct watch){.fd = fd, .ready = on_answer};
	if (loop_add(&c->aux, EPOLLIN) == -1 || sock_write(fd, text, len, -1) != (long)len) {
		let_in(c, "cannot ask", errno);
		return;
	}
	timer_set(&c->timer, ANVIL_TIMEOUT_MS);
}
