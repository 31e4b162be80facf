/*
 * Supervisor, auth client and key signer.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "launcher/launcher.h"
#include "proto/dialog.h"

static struct msgout out;
static uint8_t inbuf[MSG_MAX];

static void
lose(int *fd, bool *ready)
{
	if (*fd != -1) {
		unwatch(*fd);
		close(*fd);
	}
	*fd = -1;
	*ready = false;
	for (unsigned int i = 0; i < lr.nlisteners; i++)
		if (lr.listeners[i].armed) {
			lr.listeners[i].armed = false;
			unwatch(lr.listeners[i].fd);
		}
}

void
peers_check_drained(void)
{
	if (!lr.draining || lr.drained_said || conns_total() > 0)
		return;
	lr.drained_said = true;
	msg_begin(&out, MSG_DRAINED, 0);
	if (lr.control_fd == -1 || msg_send(lr.control_fd, &out) == -1)
		_exit(EX_OK); /* nobody is left to tell, nothing to do */
}

void
peers_tell_stop(struct conn *c)
{
	msg_begin(&out, MSG_CONN_STOP, c->id);
	wr_u8(&out.w, c->stop_why);
	c->untold = false;
	if (lr.auth_fd != -1 && msg_send(lr.auth_fd, &out) == 0)
		return;
	if (lr.auth_fd != -1 && errno == EAGAIN)
		c->untold = true;
	else if (c->pid > 1)
		kill(c->pid, SIGKILL); /* no way to tell it */
}

void
peers_stop(struct conn *c, uint8_t why, uint64_t now)
{
	conns_mark_stopping(c, now + lr.set.stop_grace_ms);
	c->stop_why = why;
	peers_tell_stop(c);
}

void
peers_tell_pid(uint32_t conn, pid_t pid)
{
	if (!lr.set.tell_pids || lr.auth_fd == -1)
		return;
	msg_begin(&out, MSG_CONN_PID, conn);
	wr_u32(&out.w, (uint32_t)pid);
	msg_send(lr.auth_fd, &out); /* a full queue: the line has no pid */
}

/* ---- supervisor ----------------------------------------------------------- */

static void
on_peer(struct msgin *m)
{
	uint8_t role = rd_u8(&m->r);
	int fd = msg_take_fd(m, 0);
	int *to = role == R_AUTH ? &lr.auth_fd : &lr.keys_fd;
	bool *ready = role == R_AUTH ? &lr.auth_ready : &lr.keys_ready;

	if (!msg_end(m) || (role != R_AUTH && role != R_KEYS)) {
		close(fd);
		return;
	}
	if (role == R_AUTH && *to != -1)
		peers_auth(); /* who has logged in: the last words of the one before */
	lose(to, ready);
	*to = fd;
	watch(fd, role == R_AUTH ? SRC_AUTH : SRC_KEYS, 0);
	hello_put(&out, R_LAUNCHER, NULL, 0);
	if (msg_send(fd, &out) == -1)
		log_warn("cannot greet the %s", role_name((enum role)role));
}

static void
on_listener(struct msgin *m)
{
	uint8_t service = rd_u8(&m->r), flags = rd_u8(&m->r);
	char name[sizeof(lr.listeners[0].name)];
	int fd = msg_take_fd(m, 0);

	rd_str(&m->r, name, sizeof(name));
	if (!msg_end(m) || service >= SERVICE__MAX || lr.nlisteners == LISTENERS_MAX) {
		log_errx("a listener that cannot be used: %s", name);
		close(fd);
		return;
	}
	lr.listeners[lr.nlisteners] =
	    (struct listener){.fd = fd, .service = service, .flags = flags};
	memcpy(lr.listeners[lr.nlisteners++].name, name, sizeof(name));
}

static void
on_start(void)
{
	uint64_t now = now_ms();

	lr.started = true;
	for (int s = 0; s < SERVICE__MAX; s++)
		workers_first((enum service)s, now);
	accept_again();
}

static void
on_drain(struct msgin *m)
{
	uint64_t now = now_ms();
	bool bye = rd_u8(&m->r) != 0;
	uint32_t ms = rd_u32(&m->r);

	if (!msg_end(m) || lr.draining)
		return;
	for (unsigned int i = 0; i < lr.nlisteners; i++) {
		if (lr.listeners[i].armed)
			unwatch(lr.listeners[i].fd);
		close(lr.listeners[i].fd);
	}
	lr.nlisteners = 0;
	lr.draining = true;
	lr.drain_kill_at = ms != 0 ? now + ms : 0;
	for (unsigned int i = 0; i < lr.nworkers; i++)
		if (lr.workers[i].kind != W_FREE)
			workers_retire(&lr.workers[i], now);
	for (int s = 0; bye && s < SERVICE__MAX; s++)
		for (struct conn *c = conns_next_before_login((enum service)s, NULL); c != NULL;
		     c = conns_next_before_login((enum service)s, c))
			peers_stop(c, DLG_BYE_SHUTDOWN, now);
	peers_check_drained();
}

void
peers_control(void)
{
	struct hello hello;
	struct msgin m;
	int n;

	while ((n = msg_recv(lr.control_fd, R_LAUNCHER, R_SUPERVISOR, &m, inbuf)) == 1) {
		switch (m.type) {
		case MSG_HELLO:
			if (!hello_get(&m, R_SUPERVISOR, &hello))
				fatalx(EX_PROTOCOL, "the supervisor is of another build (%s)", hello.build_id);
			break;
		case MSG_PEER:
			on_peer(&m);
			break;
		case MSG_LISTENER:
			on_listener(&m);
			break;
		case MSG_START:
			on_start();
			break;
		case MSG_DRAIN:
			on_drain(&m);
			break;
		case MSG_STOP:
			_exit(EX_OK); /* all workers end with PID 1 */
		default:
			break;
		}
		msg_close_fds(&m);
	}
	if (n == -1 && errno == EAGAIN)
		return;
	if (n == -1 && errno == EBADMSG)
		fatalx(EX_PROTOCOL, "malformed message from the supervisor");
	/* The supervisor is gone: go on serving (design 5). */
	unwatch(lr.control_fd);
	close(lr.control_fd);
	lr.control_fd = -1;
	log_warnx("the supervisor is gone: connections are served on, nothing is restarted");
	if (lr.draining)
		peers_check_drained();
}

/* ---- auth client and signer ----------------------------------------------- */

/* Hello first; then, from the auth client, who has logged in. */
static bool
peer_message(struct msgin *m, enum role role, bool *ready)
{
	struct hello hello;
	struct conn *c;

	if (!*ready) {
		if (!hello_get(m, role, &hello))
			return false;
		*ready = true;
		accept_again();
		return true;
	}
	if (m->type != MSG_CONN_LOGGED_IN)
		return false;
	c = conns_by_id(m->id);
	if (c != NULL && !c->logged_in)
		conns_logged_in(c);
	return true;
}

static void
read_peer(int *fd, bool *ready, enum role role)
{
	struct msgin m;
	int n = 1;

	for (int i = 0; i < MESSAGES_PER_TURN; i++) {
		n = msg_recv(*fd, R_LAUNCHER, role, &m, inbuf);
		if (n != 1)
			break;
		if (!peer_message(&m, role, ready)) {
			n = -1;
			errno = EBADMSG;
			break;
		}
	}
	if (n == 1 || (n == -1 && errno == EAGAIN))
		return;
	if (n == -1)
		log_warn("%s: dropped", role_name(role));
	lose(fd, ready); /* the supervisor will send another */
}

void
peers_auth(void)
{
	read_peer(&lr.auth_fd, &lr.auth_ready, R_AUTH);
}

void
peers_keys(void)
{
	read_peer(&lr.keys_fd, &lr.keys_ready, R_KEYS);
}
