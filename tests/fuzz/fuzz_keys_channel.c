/*
 * Workers against the signer's channels: any messages in any order on four
 * connections of two services.  Input: steps of one byte (connection, kind), one
 * byte of length and that many bytes.  What must hold whatever they say: a session
 * comes out only after it was put in, once, and to its own service; the auth client
 * hears of each proof before the worker; one session for each connection; and over
 * all connections no more signatures than their rate.
 */
/* SRC: src/keys/channel.c src/keys/rate.c src/keys/resume.c src/keys/content.c src/ipc/msg.c src/ipc/codec.c src/ipc/conn.c src/common/log.c src/common/str.c */
/* LIBS: -lcrypto */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "ipc/msg.h"
#include "keys/channel.h"
#include "keys/keystore.h"
#include "keys/loop.h"
#include "keys/peer.h"
#include "keys/resume.h"

const char build_id[] = "fuzz";
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CONNS = 4, IDS = 4, SIGN_RATE = 2 };

static struct conn {
	int theirs, ours; /* -1: closed */
	bool proven, left, paused;
} conns[CONNS];
static unsigned int in_store[SERVICE__MAX][IDS], nproofs;
static uint64_t now, began, nsigned;
static bool auth_full;

/* ---- what is around the channels -------------------------------------------- */

int
loop_fds(void)
{
	return 4096;
}

static struct conn *
conn_at(int fd)
{
	for (int i = 0; i < CONNS; i++)
		if (conns[i].ours == fd)
			return &conns[i];
	abort();
}

int
loop_add(int fd, enum watch kind)
{
	(void)kind;
	conn_at(fd)->paused = false;
	return 0;
}

void
loop_pause(int fd)
{
	conn_at(fd)->paused = true;
}

void
loop_close(int fd)
{
	conn_at(fd)->ours = -1;
	close(fd);
}

uint64_t
loop_now(void)
{
	return now;
}

bool
peer_tell_auth(uint32_t conn)
{
	if (auth_full)
		return false;
	if (conn >= CONNS)
		abort();
	conns[conn].proven = true;
	nproofs++;
	return true;
}

enum sign_status
keystore_sign(const struct sign_request *q, uint8_t *sig, size_t *siglen, const char **why)
{
	*why = "";
	/* The burst, and what the time has brought. */
	if (++nsigned > SIGN_RATE * 2 + (now - began) * SIGN_RATE / 1000)
		abort();
	if (content_check(q->tbs, q->len, why) == CONTENT_BAD)
		return SIGN_REFUSED;
	memset(sig, 1, 70);
	*siglen = 70;
	return SIGN_GOOD;
}

/* ---- steps ------------------------------------------------------------------- */

static enum service
service_of(int i)
{
	return (enum service)(i % 2);
}

/* What the loop does for a channel with input. */
static void
serve(int i, unsigned int rounds)
{
	for (; rounds > 0 && conns[i].ours != -1 && !conns[i].paused; rounds--)
		channel_ready(conns[i].ours, 0);
}

static void
close_conn(int i)
{
	if (conns[i].theirs != -1)
		close(conns[i].theirs);
	conns[i].theirs = -1;
	serve(i, 1000); /* as far as the end */
}

static void
open_conn(int i)
{
	struct conn_info info = {.id = (uint32_t)i, .service = service_of(i),
	    .remote = {.family = AF_INET, .ip = {192, 0, 2, 1}}};
	int pair[2];

	close_conn(i);
	if (conns[i].ours != -1)
		return; /* it waits for the auth client */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair) == -1)
		abort();
	conns[i] = (struct conn){.theirs = pair[0], .ours = pair[1]};
	channel_open(&info, pair[1]);
}

/* What a worker reads: a proof only for whom it was told. */
static void
read_answers(int i)
{
	uint8_t buf[MSG_MAX];
	const uint8_t *p;
	struct msgin m;
	size_t len;

	while (conns[i].theirs != -1 && msg_read(conns[i].theirs, R_WORKER, R_KEYS, &m, buf) == 1) {
		if (m.type == MSG_SIGN_RES) {
			if (rd_u8(&m.r) == SIGN_GOOD && !conns[i].proven)
				abort();
			continue;
		}
		p = rd_block(&m.r, RESUME_DATA_MAX, &len);
		if (len == 0)
			continue;
		if (!conns[i].proven || p[0] >= IDS || in_store[service_of(i)][p[0]] == 0)
			abort();
		in_store[service_of(i)][p[0]]--;
	}
}

/* Sessions here carry the number of their id, so that they can be counted. */
static void
say_put(int i, uint8_t n, size_t len)
{
	uint8_t id[RESUME_ID_LEN], body[3 * 255]; /* more than there may be */
	struct msgout m;

	n %= IDS;
	memset(id, n, sizeof(id));
	memset(body, n, sizeof(body));
	msg_begin(&m, MSG_SESSION_PUT, 1);
	wr_block(&m.w, id, sizeof(id));
	wr_block(&m.w, body, len);
	if (msg_write(conns[i].theirs, &m) == 0 && !conns[i].left) {
		conns[i].left = true;
		in_store[service_of(i)][n]++;
	}
}

static void
say_get(int i, uint8_t n)
{
	uint8_t id[RESUME_ID_LEN];
	struct msgout m;

	memset(id, n % IDS, sizeof(id));
	msg_begin(&m, MSG_SESSION_GET, 2);
	wr_block(&m.w, id, sizeof(id));
	msg_write(conns[i].theirs, &m);
}

static void
say_sign(int i)
{
	uint8_t tbs[130];
	struct msgout m;

	memset(tbs, ' ', 64);
	memcpy(tbs + 64, "TLS 1.3, server CertificateVerify", 34);
	memset(tbs + 98, 7, 32);
	msg_begin(&m, MSG_SIGN_REQ, 3);
	wr_u16(&m.w, 0);
	wr_u16(&m.w, 0x0403);
	wr_block(&m.w, tbs, sizeof(tbs));
	msg_write(conns[i].theirs, &m);
}

static void
step(unsigned int kind, int i, const uint8_t *p, size_t len)
{
	uint8_t n = len > 0 ? p[0] : 0;

	switch (kind) {
	case 0:
		/* Raw, but for PUT, which has to be counted. */
		if (len > 0 && !(len >= 2 && p[0] == MSG_SESSION_PUT && p[1] == 0))
			send(conns[i].theirs, p, len, MSG_NOSIGNAL);
		break;
	case 1:
		say_put(i, n, len > 1 ? p[1] * 3u : 0);
		break;
	case 2:
		say_get(i, n);
		break;
	case 3:
		say_sign(i);
		break;
	case 4:
		open_conn(i);
		break;
	case 5:
		now += n * 10u;
		break;
	case 6:
		auth_full = !auth_full;
		if (!auth_full)
			channels_flush();
		break;
	default:
		serve(i, n % 4u + 1);
		break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool begun;

	if (!begun) {
		begun = true;
		log_to(open("/dev/null", O_WRONLY), false, "");
		if (!resume_init(1000))
			abort();
		for (int i = 0; i < CONNS; i++)
			conns[i].theirs = conns[i].ours = -1;
	}
	channels_init(1, SIGN_RATE);
	nsigned = 0;
	began = now;
	memset(in_store, 0, sizeof(in_store));
	resume_expire(UINT64_MAX);
	for (int i = 0; i < CONNS; i++)
		open_conn(i);
	while (size >= 2) {
		size_t len = data[1] < size - 2 ? data[1] : size - 2;
		int i = data[0] % CONNS;

		step(data[0] / CONNS % 8u, i, data + 2, len);
		read_answers(i);
		data += 2 + len;
		size -= 2 + len;
	}
	auth_full = false;
	channels_flush();
	for (int i = 0; i < CONNS; i++) {
		read_answers(i);
		close_conn(i);
		if (conns[i].ours != -1)
			abort();
	}
	return 0;
}
