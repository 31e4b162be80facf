#include "auth/server.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/random.h>

#include "auth/conn.h"
#include "auth/sockdir.h"
#include "common/log.h"
#include "common/str.h"

#define SERVERS 4              /* current, one being made, two retired */
#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 2000
#define STEADY_MS 5000         /* lived so long: the next reconnect is immediate */
#define COMPLAIN_EVERY_MS 60000
/* Our minor version: at 2 resp= alone is an empty response, at 3 there is channel
 * binding.  4 would only confirm each CANCEL. */
#define MINOR_PLAIN 2
#define MINOR_EXTENDED 3

static const struct auth_settings *set;
static struct server servers[SERVERS];
static struct server *current, *candidate;
static struct mech_list mechs;
static uint32_t next_serial;
static uint32_t backoff_ms;
static struct timer reconnect;
static uint64_t complain_at;

static void connect_now(void);

struct server *
server_current(void)
{
	return current;
}

const struct mech_list *
server_mechs(void)
{
	return &mechs;
}

const struct dlg_mech *
server_mech(const char *name)
{
	for (unsigned int i = 0; i < mechs.n; i++)
		if (strcasecmp(mechs.m[i].name, name) == 0)
			return &mechs.m[i];
	return NULL;
}

/* ---- life ----------------------------------------------------------------- */

/* A server that is away would fill the log: at once, then every minute. */
static void
complain(const char *what, int err)
{
	if (loop_now() < complain_at)
		return;
	complain_at = loop_now() + COMPLAIN_EVERY_MS;
	errno = err;
	if (err != 0)
		log_warn("auth server %s: %s", set->auth_socket, what);
	else
		log_warnx("auth server %s: %s", set->auth_socket, what);
}

static void
schedule(void)
{
	if (current != NULL || candidate != NULL || reconnect.next != NULL)
		return;
	timer_set(&reconnect, backoff_ms);
	backoff_ms = backoff_ms == 0 ? BACKOFF_MIN_MS : backoff_ms * 2;
	if (backoff_ms > BACKOFF_MAX_MS)
		backoff_ms = BACKOFF_MAX_MS;
}

static void
release(struct server *s)
{
	loop_close(&s->watch);
	timer_clear(&s->deadline);
	explicit_bzero(s->out, s->out_len);
	explicit_bzero(&s->in, sizeof(s->in.len) * 3 + s->in.len);
	s->out_len = 0;
	s->state = SRV_FREE;
	s->uses = 0;
}

/* Its open requests are lost with it. */
static void
lose(struct server *s, const char *why)
{
	if (s == current) {
		log_warnx("auth server (pid %u): %s", s->spid, why);
		current = NULL;
		backoff_ms = loop_now() - s->ready_at > STEADY_MS ? 0
		    : backoff_ms == 0 ? BACKOFF_MIN_MS : backoff_ms;
	} else if (s == candidate) {
		complain(why, 0);
		candidate = NULL;
	}
	release(s);
	conns_server_lost(s);
	schedule();
}

static void
retire(struct server *s)
{
	log_info("auth server was reloaded: pid %u takes over from pid %u", candidate->spid, s->spid);
	s->retired = true;
	if (s->uses == 0)
		release(s);
}

static void
greeted(struct server *s)
{
	bool changed;

	if (!s->has_version || !s->has_cookie || s->spid == 0 || s->mechs.n == 0) {
		lose(s, "greeting without version, cookie, pid or mechanisms");
		return;
	}
	timer_clear(&s->deadline);
	s->state = SRV_READY;
	s->ready_at = loop_now();
	if (current != NULL && current->spid == s->spid) { /* a probe: nothing has changed */
		candidate = NULL;
		release(s);
		conns_server_ready(false);
		return;
	}
	if (current != NULL)
		retire(current);
	else
		log_info("auth server ready: protocol 1.%u, pid %u, %u mechanisms", s->minor, s->spid,
		    s->mechs.n);
	current = s;
	candidate = NULL;
	complain_at = 0;
	changed = memcmp(&mechs, &s->mechs, sizeof(mechs)) != 0;
	mechs = s->mechs;
	conns_server_ready(changed);
}

/* ---- input ---------------------------------------------------------------- */

static void
mechanism(struct server *s, struct auth_line *l)
{
	static const struct {
		const char *word;
		uint8_t flag;
	} flags[] = {{"private", DLG_MECH_PRIVATE}, {"anonymous", DLG_MECH_ANONYMOUS},
	    {"plaintext", DLG_MECH_PLAINTEXT}, {"channel-binding", DLG_MECH_BINDING}};
	struct dlg_mech m = {0};
	struct auth_field f;

	if (!authline_field(l, &f) || f.has_value || f.key_len >= sizeof(m.name) ||
	    s->mechs.n == DLG_MECHS_MAX)
		return;
	for (size_t i = 0; i < f.key_len; i++) {
		char c = f.key[i];

		if (c >= 'a' && c <= 'z')
			c = (char)(c - 'a' + 'A');
		/* RFC 4422 3.1: what is no mechanism's name must not reach a client. */
		if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
			return;
		m.name[i] = c;
	}
	while (authline_field(l, &f))
		for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
			if (auth_field_is(&f, flags[i].word))
				m.flags |= flags[i].flag;
	for (unsigned int i = 0; i < s->mechs.n; i++)
		if (strcmp(s->mechs.m[i].name, m.name) == 0)
			return;
	s->mechs.m[s->mechs.n++] = m;
}

/* What we are, once we know whom we talk to: every version of Dovecot says its
 * own first. */
static void
introduce(struct server *s)
{
	static struct auth_cmd c;

	authcmd_begin(&c, "VERSION");
	authcmd_number(&c, 1);
	authcmd_number(&c, s->extended ? MINOR_EXTENDED : MINOR_PLAIN);
	authcmd_end(&c);
	server_send(s, &c);
	authcmd_begin(&c, "CPID");
	authcmd_number(&c, s->cpid);
	authcmd_end(&c);
	server_send(s, &c);
}

/* One line of the greeting; false: it cannot be right. */
static bool
greeting(struct server *s, struct auth_line *l)
{
	if (!s->has_version && l->verb != AV_VERSION)
		return false;
	switch (l->verb) {
	case AV_VERSION:
		if (s->has_version || l->id != 1)
			return false;
		s->has_version = true;
		s->minor = l->minor;
		s->extended = l->minor >= MINOR_EXTENDED;
		introduce(s);
		return true;
	case AV_MECH:
		mechanism(s, l);
		return true;
	case AV_SPID:
		if (s->spid != 0 || l->id == 0)
			return false;
		s->spid = l->id;
		return true;
	case AV_CUID:
		s->cuid = l->id;
		return true;
	case AV_COOKIE:
		if (s->has_cookie)
			return false;
		s->has_cookie = true;
		memcpy(s->cookie, l->cookie, sizeof(s->cookie));
		return true;
	case AV_DONE:
		greeted(s);
		return true;
	case AV_UNKNOWN:
		return true;
	default: /* an answer: nothing was asked yet */
		return false;
	}
}

static bool
one_line(struct server *s, char *text, size_t len)
{
	struct auth_line l;

	if (authline_parse(text, len, &l) == -1)
		return false;
	if (s->state == SRV_GREETING)
		return greeting(s, &l);
	if (l.verb == AV_OK || l.verb == AV_FAIL || l.verb == AV_CONT)
		conns_answer(s, &l);
	return true;
}

/* Serves what is in the reader. */
static void
lines(struct server *s)
{
	uint32_t serial = s->serial;
	char *text;
	size_t len;
	int n;

	/* An answer may close this very connection (the last use of a retired one). */
	while (s->state != SRV_FREE && s->serial == serial &&
	    (n = line_reader_next(&s->in, &text, &len)) != 0) {
		if (n == -1 || !one_line(s, text, len)) {
			if (s->state != SRV_FREE)
				lose(s, n == -1 ? "line too long" : "malformed line");
			return;
		}
	}
}

void
server_feed(struct server *s, const void *p, size_t len)
{
	const char *from = p;
	uint32_t serial = s->serial;

	while (len > 0 && s->state != SRV_FREE && s->serial == serial) {
		size_t room;
		char *to = line_reader_space(&s->in, &room);

		if (room > len)
			room = len;
		memcpy(to, from, room);
		line_reader_added(&s->in, room);
		from += room;
		len -= room;
		lines(s);
	}
}

/* ---- output --------------------------------------------------------------- */

/* What does not go out waits; that the server is gone the read side will see, too. */
static void
flush(struct server *s)
{
	size_t sent = 0;
	bool want;
	long n;

	while (sent < s->out_len &&
	    (n = sock_write(s->watch.fd, s->out + sent, s->out_len - sent, -1)) > 0)
		sent += (size_t)n;
	memmove(s->out, s->out + sent, s->out_len - sent);
	explicit_bzero(s->out + s->out_len - sent, sent);
	s->out_len -= sent;
	want = s->out_len > 0;
	if (want != s->want_write) {
		s->want_write = want;
		loop_change(&s->watch, want ? EPOLLIN | EPOLLOUT : EPOLLIN);
	}
}

bool
server_send(struct server *s, const struct auth_cmd *c)
{
	if (s->state == SRV_FREE || c->bad || c->len > sizeof(s->out) - s->out_len)
		return false;
	memcpy(s->out + s->out_len, c->buf, c->len);
	s->out_len += c->len;
	flush(s);
	return true;
}

void
server_cancel(struct server *s, uint32_t id)
{
	static struct auth_cmd c;

	authcmd_begin(&c, "CANCEL");
	authcmd_number(&c, id);
	if (authcmd_end(&c))
		server_send(s, &c);
}

static void
ready(struct watch *w, uint32_t events)
{
	struct server *s = container_of(w, struct server, watch);
	size_t room;
	char *p;
	long n;

	if ((events & EPOLLOUT) != 0)
		flush(s);
	if ((events & ~(uint32_t)EPOLLOUT) == 0)
		return;
	p = line_reader_space(&s->in, &room);
	n = sock_read(s->watch.fd, p, room);
	if (n == -1 && errno == EAGAIN)
		return;
	if (n <= 0) {
		lose(s, n == 0 ? "connection closed" : errno_name(errno));
		return;
	}
	line_reader_added(&s->in, (size_t)n);
	lines(s);
}

/* ---- connecting ----------------------------------------------------------- */

static void
too_slow(struct timer *t)
{
	lose(container_of(t, struct server, deadline), "no greeting within 30 seconds");
}

static struct server *
free_slot(void)
{
	struct server *oldest = NULL;

	for (int i = 0; i < SERVERS; i++) {
		struct server *s = &servers[i];

		if (s->state == SRV_FREE)
			return s;
		if (s->retired && (oldest == NULL || s->serial < oldest->serial))
			oldest = s;
	}
	if (oldest != NULL) /* reloaded three times within one login */
		lose(oldest, "superseded");
	return oldest;
}

/* Unpredictable, so that nobody can occupy it before us, and unique: never a
 * number that another connection of ours uses. */
static uint32_t
random_cpid(void)
{
	uint32_t n = 0;

	do
		while (getrandom(&n, sizeof(n), 0) != (ssize_t)sizeof(n))
			;
	while (n == 0);
	return n;
}

static void
connect_now(void)
{
	struct server *s = free_slot();
	int fd;

	if (s == NULL || candidate != NULL)
		return;
	if ((fd = sockdir_connect(set->auth_socket)) == -1) {
		complain("cannot connect", errno);
		schedule();
		return;
	}
	s->retired = s->has_version = s->has_cookie = s->want_write = s->extended = false;
	s->serial = ++next_serial != 0 ? next_serial : ++next_serial;
	s->cpid = random_cpid();
	s->spid = s->cuid = s->minor = 0;
	s->uses = 0;
	s->out_len = 0;
	memset(&s->mechs, 0, sizeof(s->mechs));
	line_reader_init(&s->in);
	s->watch = (struct watch){.fd = fd, .ready = ready};
	s->state = SRV_GREETING;
	s->deadline.fire = too_slow;
	candidate = s;
	if (loop_add(&s->watch, EPOLLIN) == -1) {
		lose(s, "cannot watch the connection");
		return;
	}
	timer_set(&s->deadline, SERVER_HANDSHAKE_MS);
}

static void
again(struct timer *t)
{
	(void)t;
	if (current == NULL)
		connect_now();
}

void
server_start(const struct auth_settings *settings)
{
	set = settings;
	for (int i = 0; i < SERVERS; i++)
		servers[i].watch.fd = -1;
	reconnect.fire = again;
	connect_now();
}

void
server_probe(void)
{
	if (candidate == NULL)
		connect_now();
}

void
server_use(struct server *s)
{
	s->uses++;
}

void
server_unuse(struct server *s)
{
	if (s->uses > 0)
		s->uses--;
	if (s->uses == 0 && s->retired && s->state != SRV_FREE)
		release(s);
}
