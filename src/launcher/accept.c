/*
 * New connections: a process that takes it first (room.c where there is none), then
 * the channels, then the auth client, the signer and a worker are told.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "launcher/crowd.h"
#include "launcher/launcher.h"
#include "launcher/session_id.h"
#include "proto/dialog.h"

#define CLOSE_MAX 4096 /* of those that wait, at once */

/* Ends of the channels of one connection: ours to close. */
struct ends {
	int client;
	int auth[2], signer[2], mail[2]; /* [0] worker's, [1] the peer's */
};

static struct msgout out;

/* Accepted, but a peer's queue was full, or a peer or the worker was dead before we
 * had heard of it: tried again before another of that service is accepted, so that
 * neither a burst nor a restart costs a client its connection. */
#define HELD_RETRY_MS 5
static struct held {
	struct listener *listener; /* NULL: none */
	struct sockaddr_storage peer;
	int fd;
} held[SERVICE__MAX];

static void serve_held(struct held *h);

static void
arm(struct listener *l, bool on)
{
	if (l->armed == on)
		return;
	l->armed = on;
	if (on)
		watch(l->fd, SRC_LISTENER, (unsigned int)(l - lr.listeners));
	else
		unwatch(l->fd);
}

void
accept_again(void)
{
	lr.retry_at = 0;
	for (int s = 0; s < SERVICE__MAX; s++)
		if (held[s].listener != NULL)
			serve_held(&held[s]);
	for (unsigned int i = 0; i < lr.nlisteners; i++)
		if (lr.started && !lr.draining && lr.auth_ready && lr.keys_ready &&
		    held[lr.listeners[i].service].listener == NULL)
			arm(&lr.listeners[i], true);
}

/* Leave them in the backlog for a moment. */
static void
pause_service(enum service s, uint64_t until)
{
	for (unsigned int i = 0; i < lr.nlisteners; i++)
		if (lr.listeners[i].service == s)
			arm(&lr.listeners[i], false);
	if (until != 0 && (lr.retry_at == 0 || until < lr.retry_at))
		lr.retry_at = until;
}

/* ---- a process for it ------------------------------------------------------ */

/* Full: somebody is told to go, and his end wakes us. */
static void
make_room(enum service s, uint64_t now)
{
	pause_service(s, room_make(s, now) ? now + VICTIM_MS : 0);
}

/* Nobody waits for a connection. */
static void
start_another(enum service s, uint64_t now)
{
	const struct service_state *st = &lr.service[s];
	struct workers all = workers_of(s);

	workers_missed(s, now);
	if (st->set.model != MODEL_FORK && !workers_room(s) && !ready_soon(&all)) {
		make_room(s, now);
		return;
	}
	workers_start_ready(s, now);
	/* a hello, or an end, wakes us long before */
	pause_service(s, st->start_after > now && st->start_after < now + 1000 ? st->start_after
	    : now + 1000);
}

/* A process that may take one more connection of s, now. */
static struct worker *
find_worker(enum service s, uint64_t now)
{
	struct service_state *st = &lr.service[s];
	struct workers all = workers_of(s);
	struct worker *w = pick_worker(&all, now);

	if (w == NULL && pick_later(&all, now)) {
		pause_service(s, now + RETRY_MS);
		return NULL;
	}
	if (w == NULL) {
		start_another(s, now);
		return NULL;
	}
	if (w->kind == W_TEMPLATE && !workers_room(s)) {
		if (ready_soon(&all))
			pause_service(s, now + 1000); /* a child that waits, or goes */
		else
			make_room(s, now);
		return NULL;
	}
	if (!pick_queues(w)) {
		pause_service(s, now + RETRY_MS);
		return NULL;
	}
	if (w->kind == W_TEMPLATE)
		workers_missed(s, now);
	st->full_since = 0;
	return w;
}

/* ---- one connection ------------------------------------------------------- */

static void
close_end(int *fd)
{
	if (*fd != -1)
		close(*fd);
	*fd = -1;
}

static void
close_ends(struct ends *e)
{
	close_end(&e->client);
	for (int i = 0; i < 2; i++) {
		close_end(&e->auth[i]);
		close_end(&e->signer[i]);
		close_end(&e->mail[i]);
	}
}

static bool
make_ends(struct ends *e)
{
	const int packet = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK;
	const int stream = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;

	return socketpair(AF_UNIX, packet, 0, e->auth) == 0 &&
	    socketpair(AF_UNIX, packet, 0, e->signer) == 0 &&
	    socketpair(AF_UNIX, stream, 0, e->mail) == 0;
}

static uint64_t
wall_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* What is known of a connection, and the rules that hold for it. */
static void
describe(struct conn_info *info, const struct listener *l, int fd,
    const struct sockaddr_storage *peer, struct rules *rules)
{
	struct sockaddr_storage own;
	socklen_t len = sizeof(own);

	memset(info, 0, sizeof(*info));
	memset(&own, 0, sizeof(own));
	if (getsockname(fd, (struct sockaddr *)&own, &len) == -1)
		own.ss_family = peer->ss_family;
	info->service = (enum service)l->service;
	info->flags = l->flags;
	conn_addr_from(&info->remote, peer);
	conn_addr_from(&info->local, &own);
	rule_set_apply(&lr.set.rules, rule_set_match(&lr.set.rules, info, ""), rules);
	if (net_list_has(&rules->login_trusted_networks, &info->remote))
		info->flags |= CONN_TRUSTED | CONN_SECURED;
	if (conn_addr_same_ip(&info->remote, &info->local))
		info->flags |= CONN_SECURED;
	if (rules->ssl == SSL_NO)
		info->flags &= (uint8_t)~CONN_TLS_OFFERED;
	memcpy(info->listener, l->name, sizeof(info->listener));
	session_id_make(info->session, &info->remote, wall_us());
}

static bool
tell_peers(const struct conn_info *info, struct ends *e)
{
	msg_begin(&out, MSG_CONN_OPEN, info->id);
	conn_put(&out.w, info);
	msg_add_fd(&out, e->auth[1]);
	msg_add_fd(&out, e->mail[1]);
	if ((info->flags & CONN_TLS_IMPLICIT) == 0)
		msg_add_fd(&out, e->client);
	if (msg_send(lr.auth_fd, &out) == -1)
		return false;
	msg_begin(&out, MSG_CONN_OPEN, info->id);
	conn_put(&out.w, info);
	msg_add_fd(&out, e->signer[1]);
	return msg_send(lr.keys_fd, &out) == 0;
}

static bool
tell_worker(const struct conn_info *info, struct ends *e, struct worker *w)
{
	msg_begin(&out, MSG_CONN_TAKE, info->id);
	conn_put(&out.w, info);
	msg_add_fd(&out, e->client);
	msg_add_fd(&out, e->auth[0]);
	msg_add_fd(&out, e->signer[0]);
	msg_add_fd(&out, e->mail[0]);
	return msg_send(w->fd, &out) == 0;
}

/* The worker has it: who counts it, and when is the worker full. */
static void
account(struct conn *c, struct worker *w, uint64_t now)
{
	struct service_state *st = &lr.service[c->service];

	w->uses++;
	c->layout = w->layout;
	switch ((enum worker_kind)w->kind) {
	case W_TEMPLATE:
		st->processes++;
		c->template = (uint16_t)(w - lr.workers + 1);
		return; /* the cheapest way: nothing is kept ready for it */
	case W_CHILD:
	case W_EXEC:
		conns_set_pid(c, w->pid);
		peers_tell_pid(c->id, w->pid);
		workers_hand_over(w);
		break;
	case W_POOLED:
		c->worker = (uint16_t)(w - lr.workers + 1);
		peers_tell_pid(c->id, w->pid);
		w->conns++;
		if (st->set.service_count > 0 && w->uses >= st->set.service_count)
			workers_retire(w, now); /* it serves what it has, and ends */
		break;
	case W_FREE:
		return;
	}
	if (st->wanted > 0)
		workers_start_ready((enum service)c->service, now);
}

static void
hold(struct listener *l, int fd, const struct sockaddr_storage *peer, uint64_t now)
{
	held[l->service] = (struct held){.listener = l, .peer = *peer, .fd = fd};
	pause_service((enum service)l->service, now + HELD_RETRY_MS);
}

static void
serve(struct listener *l, struct worker *w, int fd, const struct sockaddr_storage *peer,
    uint64_t now)
{
	struct service_state *st = &lr.service[l->service];
	struct ends e = {.client = fd, .auth = {-1, -1}, .signer = {-1, -1}, .mail = {-1, -1}};
	struct conn_info info;
	struct rules rules;
	struct conn *c;
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	describe(&info, l, fd, peer, &rules);
	/* a webmail server is no flood */
	c = conns_add(info.service, (info.flags & CONN_TRUSTED) != 0 ? CROWD_NONE
	    : crowd_of(&info.remote), now);
	if (c == NULL) {
		close_ends(&e);
		return;
	}
	info.id = c->id;
	c->timeout_ms = rules.login_timeout_ms;
	memcpy(c->session, info.session, sizeof(c->session));
	if (make_ends(&e) && tell_peers(&info, &e) && tell_worker(&info, &e, w)) {
		account(c, w, now);
	} else if (errno == EAGAIN || errno == ETOOMANYREFS || errno == EPIPE ||
	    errno == ECONNRESET) {
		/* Whoever has heard of it sees its channel end. */
		conns_remove(c);
		hold(l, fd, peer, now);
		e.client = -1;
	} else {
		if (st->last_fail_log == 0 || now - st->last_fail_log >= 1000)
			log_warn("%s-login: cannot hand out a connection", service_name(info.service));
		st->last_fail_log = now;
		conns_remove(c);
	}
	close_ends(&e);
}

static void
release_held(struct held *h)
{
	if (h->listener != NULL)
		close(h->fd);
	h->listener = NULL;
}

static void
serve_held(struct held *h)
{
	struct listener *l = h->listener;
	uint64_t now = now_ms();
	struct worker *w;

	if (lr.draining) {
		release_held(h);
		return;
	}
	if (!lr.auth_ready || !lr.keys_ready ||
	    (w = find_worker((enum service)l->service, now)) == NULL)
		return;
	h->listener = NULL;
	serve(l, w, h->fd, &h->peer, now);
}

/* ---- the listener --------------------------------------------------------- */

/* He has closed his side while he waited. */
static bool
gave_up(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLRDHUP};
	const struct timespec none = {0};

	return ppoll(&p, 1, &none, NULL) == 1;
}

void
accept_on(struct listener *l, uint64_t now)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	struct worker *w;
	int fd;

	if (held[l->service].listener != NULL)
		return; /* its turn is first; the listeners are paused */
	if (!lr.auth_ready || !lr.keys_ready) {
		pause_service((enum service)l->service, 0);
		return;
	}
	w = find_worker((enum service)l->service, now);
	if (w == NULL)
		return;
	memset(&peer, 0, sizeof(peer));
	fd = accept4(l->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd != -1 && room_pressed((enum service)l->service, now) && gave_up(fd)) {
		close(fd); /* a place in vain, while others wait behind him */
		lr.service[l->service].pressed_ms = now;
	} else if (fd != -1) {
		serve(l, w, fd, &peer, now);
	} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
		log_warn("%s-login: accept", service_name((enum service)l->service));
		pause_service((enum service)l->service, now + 1000);
	}
}

/* Full for 10 s with nobody to end: those who wait are better told. */
static void
close_waiting(enum service s, uint64_t now)
{
	release_held(&held[s]);
	for (unsigned int i = 0; i < lr.nlisteners; i++) {
		int fd, n = CLOSE_MAX;

		while (lr.listeners[i].service == s && n-- > 0 &&
		    (fd = accept4(lr.listeners[i].fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) != -1)
			close(fd);
	}
	room_log_full(s, now);
}

/* Those before login that are to end: told, and killed if they do not. */
static void
press_on(enum service s, uint64_t now)
{
	struct conn *next;

	for (struct conn *c = conns_next_before_login(s, NULL); c != NULL; c = next) {
		uint64_t limit = c->accepted_ms + c->timeout_ms + TIMEOUT_GRACE_MS;

		next = conns_next_before_login(s, c);
		if (c->stopping && c->untold)
			peers_tell_stop(c);
		if (now < limit && !(c->stopping && now >= c->kill_at))
			continue;
		/* A pooled worker is not killed for one of its connections: it keeps
		 * its own time, and the auth client lets go. */
		if (c->pid > 1)
			kill(c->pid, SIGKILL);
	}
}

void
accept_tick(uint64_t now)
{
	for (int i = 0; i < SERVICE__MAX; i++) {
		enum service s = (enum service)i;
		struct service_state *st = &lr.service[s];

		press_on(s, now);
		if (st->full_since != 0 && now - st->full_since >= FULL_MS) {
			close_waiting(s, now);
			st->full_since = 0;
			accept_again();
		}
	}
}
