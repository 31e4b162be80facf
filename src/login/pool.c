/*
 * service_count = 0 or N: a long-lived worker serves many connections on epoll.
 * Cheaper, and less isolated: its connections share an address space, and after
 * login it keeps its wider policy (design 4).
 */
#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "ipc/fds.h"
#include "login/control.h"
#include "login/proxy.h"
#include "login/session.h"
#include "login/worker.h"

#define EVENTS 64
/* Descriptors of connections lie in this range (policy pool). */
#define POOL_FD_MAX 4095

enum side {
	SIDE_CLIENT,
	SIDE_AUTH,
	SIDE_MAIL,
	SIDE__MAX
};

/* One descriptor in epoll, and which connection's it is. */
struct watch {
	struct pooled *conn;
	int fd;
	short events, ready;
};

struct pooled {
	struct watch watch[SIDE__MAX];
	struct pooled *prev, *next;
	bool proxying, touched;
	uint64_t deadline;
	int signer_fd;
	uint32_t id;
	SSL *ssl;
	/* One block from beginning to end: a login never fails for want of memory
	 * that strangers hold. */
	union {
		struct session session; /* before login */
		struct proxy proxy;     /* after */
	} *state;
};

static int ep = -1;
static struct pooled *first;
static struct watch control_watch;
static uint8_t spare[DLG_INPUT_MAX]; /* input on its way from session to proxy; wiped */

/* Large blocks come from OpenSSL's arena: libc's heap would need system calls
 * that the policy does not have. */
static void *
get(size_t size)
{
	void *p = OPENSSL_malloc(size);

	if (p != NULL)
		memset(p, 0, size < 4096 ? size : 4096);
	return p;
}

static void
watch_set(struct watch *w, short events)
{
	struct epoll_event e = {.data.ptr = w};

	if (w->fd == -1 || events == w->events)
		return;
	e.events = (events & POLLIN ? EPOLLIN : 0u) | (events & POLLOUT ? EPOLLOUT : 0u);
	if (w->events == 0)
		epoll_ctl(ep, EPOLL_CTL_ADD, w->fd, &e);
	else
		epoll_ctl(ep, events != 0 ? EPOLL_CTL_MOD : EPOLL_CTL_DEL, w->fd, &e);
	w->events = events;
}

/* Out of epoll first: it knows a socket until its last holder has closed it, and
 * the auth client holds that of a client in the clear as well.  What came then
 * would come for a connection that is no more. */
static void
watch_close(struct watch *w)
{
	if (w->fd == -1)
		return;
	watch_set(w, 0);
	close(w->fd);
	w->fd = -1;
}

static void
drop(struct pooled *c)
{
	for (int i = 0; i < SIDE__MAX; i++)
		watch_close(&c->watch[i]);
	if (c->signer_fd != -1)
		close(c->signer_fd);
	SSL_free(c->ssl);
	ERR_clear_error();
	if (!c->proxying)
		session_wipe(&c->state->session);
	OPENSSL_clear_free(c->state, sizeof(*c->state));
	if (c->next != NULL)
		c->next->prev = c->prev;
	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		first = c->next;
	control_done(c->id);
	OPENSSL_free(c);
}

/* Logged in: what served the dialog goes, the pump comes. */
static void
start_proxy(struct pooled *c)
{
	struct session *s = &c->state->session;
	size_t len = s->in_len;

	memcpy(spare, s->in, len);
	session_wipe(s);
	explicit_bzero(s, sizeof(*s));
	proxy_init(&c->state->proxy, c->ssl, c->watch[SIDE_CLIENT].fd, c->watch[SIDE_MAIL].fd, spare,
	    len);
	explicit_bzero(spare, len);
	watch_close(&c->watch[SIDE_AUTH]);
	close(c->signer_fd);
	c->signer_fd = -1;
	c->proxying = true;
}

static bool
move_proxy(struct pooled *c, short client, short mail)
{
	struct proxy_interest want;

	if (!proxy_move(&c->state->proxy, client, mail, now_ms()))
		return false;
	proxy_interest(&c->state->proxy, &want);
	watch_set(&c->watch[SIDE_CLIENT], want.client);
	watch_set(&c->watch[SIDE_MAIL], want.mail);
	c->deadline = want.deadline;
	return true;
}

static bool
move_session(struct pooled *c, short client, short auth)
{
	struct session *s = &c->state->session;
	struct session_interest want;
	enum session_phase phase;

	session_interest(s, &want);
	if (now_ms() >= want.deadline)
		phase = session_timeout(s);
	else
		phase = session_move(s, client, auth);
	c->ssl = s->ssl;
	if (phase == SP_END)
		return false;
	if (phase == SP_PROXY) {
		start_proxy(c);
		return move_proxy(c, POLLIN, POLLIN);
	}
	session_interest(s, &want);
	watch_set(&c->watch[SIDE_CLIENT], want.client);
	watch_set(&c->watch[SIDE_AUTH], want.auth);
	watch_set(&c->watch[SIDE_MAIL], want.mail);
	c->deadline = want.deadline;
	return true;
}

static void
move(struct pooled *c)
{
	short r[SIDE__MAX];
	bool alive;

	for (int i = 0; i < SIDE__MAX; i++) {
		r[i] = c->watch[i].ready;
		c->watch[i].ready = 0;
	}
	alive = c->proxying ? move_proxy(c, r[SIDE_CLIENT], r[SIDE_MAIL])
			    : move_session(c, r[SIDE_CLIENT], r[SIDE_AUTH]);
	if (!alive)
		drop(c);
}

/* A new connection.  Without memory it is closed, which costs nobody else. */
static void
take(struct worker *w, const struct conn_info *info, const int fds[MSG_FDS_MAX])
{
	struct pooled *c = get(sizeof(*c));
	struct session *s = NULL;
	bool numbers = true;

	for (int i = 0; i < 4; i++)
		numbers = numbers && fds[i] >= FD_FIRST_FREE && fds[i] <= POOL_FD_MAX;
	if (c != NULL && (c->state = get(sizeof(*c->state))) != NULL)
		s = &c->state->session;
	if (s == NULL || !numbers) {
		log_warnx("%s-login: no room for one more connection: raise vsz_limit or lower "
		    "client_limit", service_name(info->service));
		if (c != NULL)
			OPENSSL_free(c->state);
		OPENSSL_free(c);
		for (int i = 0; i < 4; i++)
			close(fds[i]);
		control_done(info->id);
		return;
	}
	c->watch[SIDE_CLIENT] = (struct watch){.conn = c, .fd = fds[0]};
	c->watch[SIDE_AUTH] = (struct watch){.conn = c, .fd = fds[1]};
	c->watch[SIDE_MAIL] = (struct watch){.conn = c, .fd = fds[3]};
	c->signer_fd = fds[2];
	c->id = info->id;
	c->next = first;
	if (first != NULL)
		first->prev = c;
	first = c;
	session_begin(s, w, info, fds[0], fds[1], fds[2], fds[3], now_ms());
	if (s->phase == SP_END || !move_session(c, POLLIN, POLLIN))
		drop(c);
}

static int
next_timeout(uint64_t now)
{
	uint64_t soonest = UINT64_MAX;

	for (struct pooled *c = first; c != NULL; c = c->next)
		if (c->deadline != 0 && c->deadline < soonest)
			soonest = c->deadline;
	if (soonest == UINT64_MAX)
		return -1;
	if (soonest <= now)
		return 0;
	return soonest - now > 60000 ? 60000 : (int)(soonest - now);
}

static void
expire(uint64_t now)
{
	struct pooled *next;

	for (struct pooled *c = first; c != NULL; c = next) {
		next = c->next;
		if (c->deadline != 0 && now >= c->deadline)
			move(c);
	}
}

/* False: the launcher wants no more of us. */
static bool
take_all(struct worker *w)
{
	struct conn_info info;
	int fds[MSG_FDS_MAX];
	enum control_word word;

	while ((word = control_take(FD_CONTROL, &info, fds, false)) == CONTROL_CONN)
		take(w, &info, fds);
	if (word == CONTROL_FORK || (word == CONTROL_BAD && errno != EAGAIN))
		fatal(EX_PROTOCOL, "unexpected message from the launcher");
	return word != CONTROL_END;
}

static void
collect(const struct epoll_event *e, int n, bool *control)
{
	for (int i = 0; i < n; i++) {
		struct watch *w = e[i].data.ptr;
		uint32_t ev = e[i].events;

		if (w == &control_watch) {
			*control = true;
			continue;
		}
		w->ready = (short)((ev & EPOLLIN ? POLLIN : 0) | (ev & EPOLLOUT ? POLLOUT : 0) |
		    (ev & (EPOLLERR | EPOLLHUP) ? POLLIN | POLLERR : 0));
	}
}

static void
step(const struct epoll_event *e, int n)
{
	/* A connection may have two events, and its first may end it: mark, then
	 * walk the connections named, each once. */
	for (int i = 0; i < n; i++) {
		struct watch *w = e[i].data.ptr;

		if (w != &control_watch)
			w->conn->touched = true;
	}
	for (struct pooled *c = first, *next; c != NULL; c = next) {
		next = c->next;
		if (c->touched) {
			c->touched = false;
			move(c);
		}
	}
}

int
pool_run(struct worker *w)
{
	struct epoll_event e[EVENTS];
	bool open = true;

	control_watch.fd = FD_CONTROL;
	watch_set(&control_watch, POLLIN);
	while (open || first != NULL) {
		int n = epoll_wait(ep, e, EVENTS, next_timeout(now_ms()));
		bool control = false;

		if (n == -1 && errno != EINTR)
			fatal(EX_OSERR, "epoll_wait");
		if (n > 0) {
			collect(e, n, &control);
			step(e, n);
		}
		expire(now_ms());
		if (control && open && !take_all(w)) {
			open = false;
			watch_set(&control_watch, 0);
		}
	}
	return EX_OK;
}

bool
pool_prepare(void)
{
	ep = epoll_create1(EPOLL_CLOEXEC);
	return ep != -1;
}
