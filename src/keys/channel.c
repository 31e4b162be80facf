#include "keys/channel.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "ipc/msg.h"
#include "keys/keystore.h"
#include "keys/loop.h"
#include "keys/peer.h"

struct channel {
	uint32_t conn; /* connection id */
	uint32_t left; /* signatures that it may still get */
};

/* An answer that waits for the auth client. */
struct parked {
	struct parked *next;
	int fd;
	uint32_t id; /* of the request */
	size_t len;
	uint8_t sig[SIG_MAX];
};

enum fate {
	FATE_KEEP,
	FATE_CLOSE,
	FATE_PARKED
};

static struct channel channels[LOOP_FDS_MAX]; /* by descriptor */
static unsigned int nchannels;
static struct parked *parked, **parked_end = &parked;
static uint32_t limit;
static struct msgout out;
static uint8_t inbuf[MSG_MAX];

void
channels_init(uint32_t sign_limit)
{
	limit = sign_limit;
}

unsigned int
channels_open(void)
{
	return nchannels;
}

void
channel_open(uint32_t conn, int fd)
{
	/* Some numbers are kept for peers: at the limit recvmsg would cut their
	 * messages, which looks like a broken peer. */
	if (fd < 0 || fd >= loop_fds() - MSG_FDS_MAX * 4 || loop_add(fd, WATCH_CHANNEL) == -1) {
		log_warnx("connection %u: no room for another signing channel", conn);
		if (fd >= 0)
			close(fd); /* its handshake fails, and no other */
		return;
	}
	channels[fd] = (struct channel){.conn = conn, .left = limit};
	nchannels++;
}

static void
channel_close(int fd)
{
	loop_close(fd);
	nchannels--;
}

static bool
answer(int fd, uint32_t id, enum sign_status status, const uint8_t *sig, size_t len)
{
	msg_begin(&out, MSG_SIGN_RES, id);
	wr_u8(&out.w, (uint8_t)status);
	wr_block(&out.w, sig, len);
	return msg_write(fd, &out) == 0;
}

/* The auth client's queue is full, which takes some hundred handshakes at once. */
static enum fate
park(int fd, uint32_t id, const uint8_t *sig, size_t len)
{
	struct parked *p = OPENSSL_zalloc(sizeof(*p));

	if (p == NULL) {
		log_warnx("connection %u: no memory left to wait for the auth client",
		    channels[fd].conn);
		return FATE_CLOSE;
	}
	p->fd = fd;
	p->id = id;
	p->len = len;
	memcpy(p->sig, sig, len);
	*parked_end = p;
	parked_end = &p->next;
	loop_pause(fd); /* what comes meanwhile waits */
	return FATE_PARKED;
}

/* CONN_TLS goes first, so that the auth client finds it queued when the worker's
 * next word comes. */
static enum fate
deliver(int fd, uint32_t id, const uint8_t *sig, size_t len)
{
	/* Behind one that waits everybody waits: nobody overtakes. */
	if (parked != NULL || !peer_tell_auth(channels[fd].conn))
		return park(fd, id, sig, len);
	return answer(fd, id, SIGN_GOOD, sig, len) ? FATE_KEEP : FATE_CLOSE;
}

static enum fate
sign_request(int fd, struct msgin *m)
{
	struct channel *c = &channels[fd];
	enum sign_status status = SIGN_TOO_MANY;
	const char *why = "more signatures than one handshake needs";
	struct sign_request q;
	uint8_t sig[SIG_MAX];
	size_t len = 0;

	if (!content_request(&m->r, &q)) {
		log_warnx("connection %u: malformed signing request", c->conn);
		return FATE_CLOSE;
	}
	if (c->left > 0)
		status = keystore_sign(&q, sig, &len, &why);
	if (status == SIGN_GOOD) {
		c->left--;
		return deliver(fd, m->id, sig, len);
	}
	log_warnx("connection %u: refused to sign: %s", c->conn, why);
	answer(fd, m->id, status, NULL, 0);
	return FATE_CLOSE;
}

static enum fate
one_request(int fd)
{
	struct msgin m;
	int n = msg_recv(fd, R_KEYS, R_WORKER, &m, inbuf);

	if (n == 1 && m.type == MSG_SIGN_REQ)
		return sign_request(fd, &m);
	if (n == -1 && errno == EAGAIN)
		return FATE_KEEP;
	if (n == 1 || (n == -1 && errno == EBADMSG))
		log_warnx("connection %u: malformed signing request", channels[fd].conn);
	return FATE_CLOSE;
}

/*
 * One request in a round: a flood waits its turn.  With the limit reached our end
 * closes, so that after the handshake a worker has nobody to talk to here (design
 * 2.4); a request that is queued already is told why it gets nothing.
 */
void
channel_ready(int fd, uint32_t events)
{
	enum fate fate = one_request(fd);

	(void)events;
	if (fate == FATE_KEEP && channels[fd].left == 0) {
		one_request(fd);
		fate = FATE_CLOSE;
	}
	if (fate == FATE_CLOSE)
		channel_close(fd);
}

static void
unpark(struct parked *p)
{
	int fd = p->fd;

	if (answer(fd, p->id, SIGN_GOOD, p->sig, p->len) && channels[fd].left > 0 &&
	    loop_add(fd, WATCH_CHANNEL) == 0)
		return;
	channel_close(fd);
}

void
channels_flush(void)
{
	struct parked *p;

	while ((p = parked) != NULL && peer_tell_auth(channels[p->fd].conn)) {
		parked = p->next;
		if (parked == NULL)
			parked_end = &parked;
		unpark(p);
		OPENSSL_clear_free(p, sizeof(*p));
	}
}
