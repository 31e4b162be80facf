#include "auth/peers.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "auth/conn.h"
#include "auth/count.h"
#include "auth/loop.h"
#include "common/log.h"
#include "ipc/msg.h"

#define BACKLOG 32768 /* of CONN_LOGGED_IN: not less than there are slots */

struct peer {
	enum role role;
	bool greeted;
	bool reading;
	struct watch watch;
	bool (*handle)(struct msgin *m); /* false: not allowed */
	uint8_t buf[MSG_MAX];
};

static bool from_supervisor(struct msgin *m);
static bool from_launcher(struct msgin *m);
static bool from_signer(struct msgin *m);
static void ready(struct watch *w, uint32_t events);

static struct peer control = {.role = R_SUPERVISOR, .watch = {-1, ready},
    .handle = from_supervisor};
static struct peer launcher = {.role = R_LAUNCHER, .watch = {-1, ready}, .handle = from_launcher};
static struct peer signer = {.role = R_KEYS, .watch = {-1, ready}, .handle = from_signer};

static struct msgout out;
static uint32_t backlog[BACKLOG];
static unsigned int backlog_head, backlog_n;

static void
drop(struct peer *p, const char *why)
{
	if (why != NULL)
		log_errx("%s: %s", role_name(p->role), why);
	loop_close(&p->watch);
	if (p == &launcher)
		backlog_n = 0;
}

static bool
one(struct peer *p, struct msgin *m)
{
	struct hello h;

	if (p->greeted)
		return p->handle(m);
	if (!hello_get(m, p->role, &h)) {
		log_errx("%s is of another build (%s)", role_name(p->role), h.build_id);
		return false;
	}
	p->greeted = true;
	return true;
}

static void
serve(struct peer *p)
{
	int n;

	if (p->reading) /* its handler looks at the others, and they back at it */
		return;
	p->reading = true;
	while (p->watch.fd != -1) {
		struct msgin m;
		bool good;

		n = msg_recv(p->watch.fd, R_AUTH, p->role, &m, p->buf);
		if (n == -1 && errno == EAGAIN)
			break;
		if (n <= 0) {
			drop(p, n == -1 && errno == EBADMSG ? "malformed message" : NULL);
			break;
		}
		good = one(p, &m);
		msg_close_fds(&m);
		if (!good) {
			drop(p, msg_name(m.type));
			break;
		}
	}
	p->reading = false;
}

/* False: the rest must wait, for room in the queue or for memory. */
static bool
flush_backlog(void)
{
	while (backlog_n > 0) {
		msg_begin(&out, MSG_CONN_LOGGED_IN, backlog[backlog_head]);
		if (msg_send(launcher.watch.fd, &out) == -1)
			return errno == EPIPE || errno == ECONNRESET; /* its end is read soon */
		backlog_head = (backlog_head + 1) % BACKLOG;
		backlog_n--;
	}
	return true;
}

void
peers_logged_in(uint32_t id)
{
	bool waiting = backlog_n > 0;

	if (launcher.watch.fd == -1 || backlog_n == BACKLOG)
		return;
	backlog[(backlog_head + backlog_n++) % BACKLOG] = id;
	if (!waiting && !flush_backlog())
		loop_change(&launcher.watch, EPOLLIN | EPOLLOUT);
}

static void
ready(struct watch *w, uint32_t events)
{
	struct peer *p = container_of(w, struct peer, watch);

	if (p == &launcher && (events & EPOLLOUT) != 0 && flush_backlog())
		loop_change(&launcher.watch, EPOLLIN);
	/* A signer's CONN_TLS must find its connection: launcher first. */
	if (p == &signer)
		serve(&launcher);
	serve(p);
}

void
peers_catch_up(void)
{
	serve(&launcher);
	serve(&signer);
}

void
peers_tell_stats(const struct stats *s)
{
	if (control.watch.fd == -1)
		return;
	msg_begin(&out, MSG_STATS, 0);
	stats_put(&out.w, s);
	msg_send(control.watch.fd, &out); /* lost: the next one says it all again */
}

/* ---- what they say -------------------------------------------------------- */

static bool
from_launcher(struct msgin *m)
{
	uint8_t bye;
	uint32_t pid;

	switch (m->type) {
	case MSG_CONN_OPEN:
		conn_open(m);
		return true;
	case MSG_CONN_PID:
		pid = rd_u32(&m->r);
		if (!msg_end(m))
			return false;
		conn_set_pid(m->id, pid);
		return true;
	case MSG_CONN_STOP:
		bye = rd_u8(&m->r);
		if (!msg_end(m))
			return false;
		conn_stop(m->id, bye);
		return true;
	default:
		return false;
	}
}

static bool
from_signer(struct msgin *m)
{
	if (m->type != MSG_CONN_TLS)
		return false;
	if (!conn_tls_on(m->id)) {
		/* The launcher spoke first, but after we had looked. */
		serve(&launcher);
		conn_tls_on(m->id);
	}
	return true;
}

static void
adopt(struct peer *p, int fd)
{
	/* What the one before had to say belongs to its time. */
	serve(p);
	if (p == &launcher) {
		/* Its workers ended with it; the ids begin anew. */
		serve(&signer);
		conns_drop_all();
		conns_reap();
	}
	drop(p, NULL);
	p->greeted = false;
	p->watch.fd = fd;
	hello_put(&out, R_AUTH, NULL, 0);
	if (loop_add(&p->watch, EPOLLIN) == -1 || msg_send(fd, &out) == -1)
		drop(p, "cannot greet it");
}

static bool
from_supervisor(struct msgin *m)
{
	uint8_t role;

	if (m->type == MSG_STOP) {
		conns_drop_all();
		conns_reap();
		count_tell();
		_exit(0);
	}
	if (m->type != MSG_PEER)
		return false;
	role = rd_u8(&m->r);
	if (!msg_end(m) || (role != R_LAUNCHER && role != R_KEYS))
		return false;
	adopt(role == R_LAUNCHER ? &launcher : &signer, msg_take_fd(m, 0));
	return true;
}

void
peers_start(int control_fd)
{
	control.watch.fd = control_fd;
	if (loop_add(&control.watch, EPOLLIN) == -1)
		fatal(71, "cannot watch the control pair");
}
