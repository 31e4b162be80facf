#include "keys/peer.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "ipc/conn.h"
#include "ipc/fds.h"
#include "ipc/msg.h"
#include "ipc/settings.h"
#include "keys/channel.h"
#include "keys/keystore.h"

#define ROUND 64 /* messages of one peer before others have their turn */

struct peer {
	enum role role;
	enum watch kind;
	int fd; /* -1: not there */
	bool greeted;
};

static struct peer control = {.role = R_SUPERVISOR, .kind = WATCH_CONTROL, .fd = -1};
static struct peer launcher = {.role = R_LAUNCHER, .kind = WATCH_LAUNCHER, .fd = -1};
static struct peer auth = {.role = R_AUTH, .kind = WATCH_AUTH, .fd = -1};

/* What became of each key before it is parsed. */
static struct {
	bool asked;
	char error[160]; /* empty: its bytes are in the key store */
} arrivals[KEYSTORE_MAX];
static unsigned int narrived;
static bool collecting;

static struct msgout out;
static uint8_t inbuf[MSG_MAX];

bool
peers_gone(void)
{
	return control.fd == -1 && launcher.fd == -1;
}

static void
drop(struct peer *p, const char *why)
{
	if (why != NULL)
		log_warnx("%s: %s: dropped", role_name(p->role), why);
	loop_close(p->fd);
	p->fd = -1;
	if (p == &auth)
		channels_flush(); /* nobody to wait for */
}

/* ---- supervisor: keys ------------------------------------------------------ */

static void
key_info(uint32_t index, const struct key_description *k, const char *error)
{
	msg_begin(&out, MSG_KEY_INFO, index);
	wr_u8(&out.w, k != NULL ? 0 : 1);
	wr_str(&out.w, k != NULL ? k->type : "");
	wr_block(&out.w, k != NULL ? k->spki : NULL, k != NULL ? k->spki_len : 0);
	wr_str(&out.w, error);
	if (msg_write(FD_CONTROL, &out) == -1)
		log_warn("cannot tell the supervisor about key %u", index);
}

static void
on_key(struct msgin *m)
{
	char name[256], password[KEY_PASSWORD_MAX + 1];
	int fd;

	rd_str(&m->r, name, sizeof(name)); /* KEY_INFO goes without: the supervisor knows it */
	rd_str(&m->r, password, sizeof(password));
	fd = msg_take_fd(m, 0);
	if (!collecting) {
		key_info(m->id, NULL, "comes too late: keys are taken at the start only");
	} else if (!msg_end(m) || m->id >= KEYSTORE_MAX || arrivals[m->id].asked) {
		key_info(m->id, NULL, "has an index out of range, or was sent twice");
		narrived++;
	} else {
		arrivals[m->id].asked = true;
		keystore_read(m->id, fd, name, password, arrivals[m->id].error,
		    sizeof(arrivals[m->id].error));
		narrived++;
	}
	explicit_bzero(password, sizeof(password));
	close(fd);
}

void
peers_collect_keys(unsigned int nkeys)
{
	struct pollfd p = {.fd = FD_CONTROL, .events = POLLIN};

	collecting = true;
	while (narrived < nkeys) {
		if (ppoll(&p, 1, NULL, NULL) == -1 && errno != EINTR)
			fatal(EX_OSERR, "ppoll");
		peer_control_ready(FD_CONTROL, EPOLLIN);
		if (control.fd == -1)
			_exit(EX_OK);
	}
	collecting = false;
}

void
peers_answer_keys(void)
{
	static struct key_description k;

	for (unsigned int i = 0; i < KEYSTORE_MAX; i++) {
		char error[256];

		if (!arrivals[i].asked)
			continue;
		if (arrivals[i].error[0] != '\0')
			key_info(i, NULL, arrivals[i].error);
		else if (keystore_parse(i, error, sizeof(error)) && keystore_describe(i, &k))
			key_info(i, &k, "");
		else
			key_info(i, NULL, error);
	}
}

/* ---- supervisor: the rest -------------------------------------------------- */

static void
on_peer(struct msgin *m)
{
	uint8_t role = rd_u8(&m->r);
	struct peer *p = role == R_LAUNCHER ? &launcher : role == R_AUTH ? &auth : NULL;
	int fd = msg_take_fd(m, 0);

	if (!msg_end(m) || p == NULL) {
		log_warnx("a peer that this process has no business with");
		close(fd);
		return;
	}
	if (p->fd != -1) /* it was restarted: the new pair replaces the old */
		drop(p, NULL);
	if (loop_add(fd, p->kind) == -1) {
		log_warn("cannot watch the %s", role_name(p->role));
		close(fd);
		return;
	}
	p->fd = fd;
	p->greeted = false;
	hello_put(&out, R_KEYS, NULL, 0);
	if (msg_write(fd, &out) == -1)
		log_warn("cannot greet the %s", role_name(p->role));
}

static void
from_supervisor(struct msgin *m)
{
	struct hello hello;

	switch (m->type) {
	case MSG_HELLO:
		if (!hello_get(m, R_SUPERVISOR, &hello))
			fatalx(EX_PROTOCOL, "the supervisor is of another build (%s)", hello.build_id);
		break;
	case MSG_KEY:
		on_key(m);
		break;
	case MSG_PEER:
		on_peer(m);
		break;
	case MSG_STOP:
		_exit(EX_OK);
	default: /* the list lets nothing else through */
		break;
	}
}

void
peer_control_ready(int fd, uint32_t events)
{
	struct msgin m;
	int n;

	(void)events;
	while ((n = msg_recv(fd, R_KEYS, R_SUPERVISOR, &m, inbuf)) == 1) {
		from_supervisor(&m);
		explicit_bzero(inbuf, (size_t)(m.r.end - inbuf)); /* a password may have been in it */
		msg_close_fds(&m);
	}
	if (n == 0)
		drop(&control, NULL); /* those who are here are served on (design 5) */
	else if (errno == EBADMSG)
		fatalx(EX_PROTOCOL, "malformed message from the supervisor");
	else if (errno != EAGAIN)
		drop(&control, errno_name(errno));
}

void
peers_start(const struct layer_report *rep)
{
	uint8_t packed[96];

	hello_put(&out, R_KEYS, packed, layer_report_pack(rep, packed, sizeof(packed)));
	if (msg_write(FD_CONTROL, &out) == -1 || loop_add(FD_CONTROL, WATCH_CONTROL) == -1)
		fatal(EX_OSERR, "cannot greet the supervisor");
	control.fd = FD_CONTROL;
}

/* ---- launcher and auth client ---------------------------------------------- */

static bool
from_launcher(struct msgin *m)
{
	struct conn_info info;

	if (m->type != MSG_CONN_OPEN || m->nfds != 1 || !conn_get(&m->r, m->id, &info))
		return false;
	channel_open(&info, msg_take_fd(m, 0));
	return true;
}

static bool
handle(struct peer *p, struct msgin *m)
{
	struct hello hello;

	if (!p->greeted)
		return p->greeted = hello_get(m, p->role, &hello);
	return p == &launcher && from_launcher(m);
}

static void
peer_read(struct peer *p)
{
	struct msgin m;

	for (int i = 0; i < ROUND; i++) {
		int n = msg_recv(p->fd, R_KEYS, p->role, &m, inbuf);
		bool good;

		if (n == -1 && errno == EAGAIN)
			return;
		if (n != 1) {
			drop(p, n == 0 ? NULL : errno_name(errno));
			return;
		}
		good = handle(p, &m);
		msg_close_fds(&m);
		if (!good) {
			drop(p, "a malformed message, or of another build");
			return;
		}
	}
}

void
peer_launcher_ready(int fd, uint32_t events)
{
	(void)fd;
	(void)events;
	peer_read(&launcher);
}

void
peer_auth_ready(int fd, uint32_t events)
{
	if ((events & EPOLLOUT) != 0) {
		loop_want_write(fd, 0);
		channels_flush();
	}
	if ((events & ~(uint32_t)EPOLLOUT) != 0 && auth.fd == fd)
		peer_read(&auth);
}

bool
peer_tell_auth(uint32_t conn)
{
	if (auth.fd == -1)
		return true;
	msg_begin(&out, MSG_CONN_TLS, conn);
	if (msg_write(auth.fd, &out) == 0)
		return true;
	if (errno == EPIPE || errno == ECONNRESET)
		return true; /* gone: its end is read in a moment */
	loop_want_write(auth.fd, 1); /* no room in its queue, or no memory */
	return false;
}
