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
#include "keys/rate.h"
#include "keys/resume.h"

/* So many seconds' worth of signatures at once: clients that come back together. */
#define BURST_S 2

struct channel {
	uint32_t conn; /* connection id */
	uint32_t left; /* signatures that it may still get */
	uint8_t gets;  /* look-ups of sessions that it may still make */
	bool put;      /* it may still leave a session; then it is done */
	bool proven;   /* something was signed or resumed */
	struct resume_owner owner;
};

/* What proves that TLS is on: a signature, or a session that is resumed. */
struct proof {
	enum msg_type type; /* MSG_SIGN_RES or MSG_SESSION_RES */
	uint32_t id;        /* of the request */
	size_t len;
	uint8_t data[SIG_MAX > RESUME_DATA_MAX ? SIG_MAX : RESUME_DATA_MAX];
};

/* One that waits for the auth client. */
struct parked {
	struct parked *next;
	int fd;
	struct proof proof;
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
static struct rate all;                      /* signatures of all connections */
static struct rate fault_lines, crowd_lines; /* in the log */
static unsigned int faults, crowded;         /* since this process began */
static struct msgout out;
static uint8_t inbuf[MSG_MAX];

void
channels_init(uint32_t sign_limit, uint32_t sign_rate)
{
	uint64_t now = loop_now();

	limit = sign_limit;
	rate_init(&all, sign_rate, sign_rate * BURST_S, now);
	rate_init(&fault_lines, 1, 1, now);
	rate_init(&crowd_lines, 1, 1, now);
}

unsigned int
channels_open(void)
{
	return nchannels;
}

void
channel_open(const struct conn_info *info, int fd)
{
	/* Some numbers are kept for peers: at the limit recvmsg would cut their
	 * messages, which looks like a broken peer. */
	if (fd < 0 || fd >= loop_fds() - MSG_FDS_MAX * 4 || loop_add(fd, WATCH_CHANNEL) == -1) {
		log_warnx("connection %u: no room for another signing channel", info->id);
		if (fd >= 0)
			close(fd); /* its handshake fails, and no other */
		return;
	}
	channels[fd] = (struct channel){.conn = info->id, .left = limit,
	    .gets = resume_on() ? RESUME_GETS_MAX : 0, .put = resume_on()};
	resume_owner_of(info, &channels[fd].owner);
	nchannels++;
}

static void
channel_close(int fd)
{
	loop_close(fd);
	nchannels--;
}

static bool
answer_sign(int fd, uint32_t id, enum sign_status status, const uint8_t *sig, size_t len)
{
	msg_begin(&out, MSG_SIGN_RES, id);
	wr_u8(&out.w, (uint8_t)status);
	wr_block(&out.w, sig, len);
	return msg_write(fd, &out) == 0;
}

static bool
answer_session(int fd, uint32_t id, const uint8_t *data, size_t len)
{
	bool sent;

	msg_begin(&out, MSG_SESSION_RES, id);
	wr_block(&out.w, data, len);
	sent = msg_write(fd, &out) == 0;
	explicit_bzero(out.buf, out.w.len);
	return sent;
}

static bool
give(int fd, const struct proof *p)
{
	return p->type == MSG_SIGN_RES ? answer_sign(fd, p->id, SIGN_GOOD, p->data, p->len)
				       : answer_session(fd, p->id, p->data, p->len);
}

/* The auth client's queue is full, which takes some hundred handshakes at once. */
static enum fate
park(int fd, const struct proof *proof)
{
	struct parked *p = OPENSSL_zalloc(sizeof(*p));

	if (p == NULL) {
		log_warnx("connection %u: no memory left to wait for the auth client",
		    channels[fd].conn);
		return FATE_CLOSE;
	}
	p->fd = fd;
	p->proof = *proof;
	*parked_end = p;
	parked_end = &p->next;
	loop_pause(fd); /* what comes meanwhile waits */
	return FATE_PARKED;
}

/* CONN_TLS goes first, so that the auth client finds it queued when the worker's
 * next word comes. */
static enum fate
deliver(int fd, const struct proof *p)
{
	channels[fd].proven = true;
	/* Behind one that waits everybody waits: nobody overtakes. */
	if (parked != NULL || !peer_tell_auth(channels[fd].conn))
		return park(fd, p);
	return give(fd, p) ? FATE_KEEP : FATE_CLOSE;
}

static enum fate
malformed(const struct channel *c, const char *what)
{
	log_warnx("connection %u: malformed %s", c->conn, what);
	return FATE_CLOSE;
}

/* Seldom, but then perhaps at every handshake, and a client can have as many as he
 * likes. */
static void
fault(const char *key)
{
	faults++;
	if (rate_take(&fault_lines, loop_now()))
		log_errx("a signature with %s was faulty and did not leave this process (%u so far): "
		    "doubt this machine's memory or processor", key, faults);
}

/*
 * Too many over all.  They are refused and not made to wait: a worker of the pool
 * waits for a signature with all its connections, sessions among them; and what a
 * queue would be good for, a crowd of honest clients, the burst does without one.
 */
static void
crowd(void)
{
	crowded++;
	if (rate_take(&crowd_lines, loop_now()))
		log_warnx("more than ssl_max_signature_rate = %u signatures a second are asked for, over "
		    "all connections: refused (%u so far); if these are honest clients, raise it",
		    all.per_second, crowded);
}

static enum sign_status
sign(struct channel *c, const struct sign_request *q, struct proof *p)
{
	const char *why = "more signatures than one handshake needs";
	enum sign_status status = SIGN_TOO_MANY;

	if (c->left > 0 && !rate_take(&all, loop_now())) {
		crowd();
		return SIGN_TOO_MANY;
	}
	if (c->left > 0)
		status = keystore_sign(q, p->data, &p->len, &why);
	if (status == SIGN_FAULTY) {
		fault(why);
		return SIGN_FAILED;
	}
	if (status != SIGN_GOOD)
		log_warnx("connection %u: refused to sign: %s", c->conn, why);
	return status;
}

static enum fate
on_sign(int fd, struct msgin *m)
{
	struct channel *c = &channels[fd];
	struct proof p = {.type = MSG_SIGN_RES, .id = m->id};
	enum sign_status status;
	struct sign_request q;

	if (!content_request(&m->r, &q))
		return malformed(c, "signing request");
	status = sign(c, &q, &p);
	if (status == SIGN_GOOD) {
		c->left--;
		return deliver(fd, &p);
	}
	answer_sign(fd, m->id, status, NULL, 0);
	return FATE_CLOSE;
}

static enum fate
on_session_get(int fd, struct msgin *m)
{
	struct channel *c = &channels[fd];
	struct proof p = {.type = MSG_SESSION_RES, .id = m->id};
	enum fate fate;
	size_t len;
	const uint8_t *id = rd_block(&m->r, RESUME_ID_LEN, &len);

	if (!msg_end(m) || len != RESUME_ID_LEN || c->gets == 0)
		return malformed(c, "look-up of a session, or one too many");
	c->gets--;
	p.len = resume_take(&c->owner, id, p.data, loop_now());
	if (p.len == 0)
		return answer_session(fd, m->id, NULL, 0) ? FATE_KEEP : FATE_CLOSE;
	fate = deliver(fd, &p);
	explicit_bzero(p.data, p.len);
	return fate;
}

/* The last word of a handshake: a session for another time, or none.  Only who
 * has done a handshake may leave one. */
static enum fate
on_session_put(int fd, struct msgin *m)
{
	struct channel *c = &channels[fd];
	size_t idlen, len;
	const uint8_t *id = rd_block(&m->r, RESUME_ID_LEN, &idlen);
	const uint8_t *data = rd_block(&m->r, RESUME_DATA_MAX, &len);

	if (!msg_end(m) || !c->put || (idlen != RESUME_ID_LEN && (idlen != 0 || len != 0)))
		return malformed(c, "session, or one too many");
	if (idlen != 0 && c->proven)
		resume_put(&c->owner, id, data, len, loop_now());
	return FATE_CLOSE;
}

static enum fate
one_request(int fd)
{
	struct msgin m;
	int n = msg_recv(fd, R_KEYS, R_WORKER, &m, inbuf);
	enum fate fate = FATE_CLOSE;

	if (n == -1 && errno == EAGAIN)
		return FATE_KEEP;
	if (n == 1 && m.type == MSG_SIGN_REQ)
		fate = on_sign(fd, &m);
	else if (n == 1 && m.type == MSG_SESSION_GET)
		fate = on_session_get(fd, &m);
	else if (n == 1 && m.type == MSG_SESSION_PUT)
		fate = on_session_put(fd, &m);
	else if (n == 1 || (n == -1 && errno == EBADMSG))
		malformed(&channels[fd], "message");
	if (n == 1)
		explicit_bzero(inbuf, (size_t)(m.r.end - inbuf));
	return fate;
}

/* Nothing more may come. */
static bool
done(const struct channel *c)
{
	return c->left == 0 && !c->put;
}

/*
 * One request in a round: a flood waits its turn.  When nothing more may come our
 * end closes, so that after the handshake a worker has nobody to talk to here
 * (design 2.4); a request that is queued already is told why it gets nothing.
 */
void
channel_ready(int fd, uint32_t events)
{
	enum fate fate = one_request(fd);

	(void)events;
	if (fate == FATE_KEEP && done(&channels[fd])) {
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

	if (give(fd, &p->proof) && !done(&channels[fd]) && loop_add(fd, WATCH_CHANNEL) == 0)
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
