/*
 * Asking the signer, for signatures and for sessions: one request, one answer,
 * plain read and write with a deadline.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ipc/msg.h"
#include "login/remotekey.h"
#include "login/resume.h"

static struct msgout out;
static uint8_t inbuf[MSG_MAX];

static bool
wait_readable(int fd, uint32_t timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct timespec t = {.tv_sec = timeout_ms / 1000,
	    .tv_nsec = (long)(timeout_ms % 1000) * 1000000};
	int n;

	/* Only a stop and continue interrupts it: start over, it happens once. */
	do
		n = ppoll(&p, 1, &t, NULL);
	while (n == -1 && errno == EINTR);
	return n == 1;
}

/* Send what is in out; true: the answer of this type is in m. */
static bool
ask(struct remotekey_channel *c, enum msg_type answer, struct msgin *m)
{
	if (!c->lost)
		c->lost = msg_write(c->fd, &out) == -1 || !wait_readable(c->fd, c->timeout_ms) ||
		    msg_read(c->fd, R_WORKER, R_KEYS, m, inbuf) != 1 || m->type != answer ||
		    m->id != c->next_id;
	return !c->lost;
}

long
remotekey_channel(void *arg, uint16_t key, uint16_t sigalg, const uint8_t *tbs, size_t tbs_len,
    uint8_t *sig, size_t cap)
{
	struct remotekey_channel *c = arg;
	struct msgin m;
	const uint8_t *p;
	uint8_t status;
	size_t len;

	msg_begin(&out, MSG_SIGN_REQ, ++c->next_id);
	wr_u16(&out.w, key);
	wr_u16(&out.w, sigalg);
	wr_block(&out.w, tbs, tbs_len);
	if (!ask(c, MSG_SIGN_RES, &m))
		return -1;
	status = rd_u8(&m.r);
	p = rd_block(&m.r, cap, &len);
	if (!msg_end(&m) || status != 0 || len == 0)
		return -1;
	memcpy(sig, p, len);
	return (long)len;
}

size_t
resume_channel_get(void *arg, const uint8_t id[RESUME_ID_LEN], uint8_t data[RESUME_DATA_MAX])
{
	struct remotekey_channel *c = arg;
	struct msgin m;
	const uint8_t *p;
	size_t len;

	/* The signer would take one more for an attack, and a client may offer many. */
	if (c->gets == RESUME_GETS_MAX)
		return 0;
	c->gets++;
	msg_begin(&out, MSG_SESSION_GET, ++c->next_id);
	wr_block(&out.w, id, RESUME_ID_LEN);
	if (!ask(c, MSG_SESSION_RES, &m))
		return 0;
	p = rd_block(&m.r, RESUME_DATA_MAX, &len);
	if (!msg_end(&m))
		len = 0;
	memcpy(data, p, len);
	explicit_bzero(inbuf, MSG_HEADER + 4 + len);
	return len;
}

void
resume_channel_put(void *arg, const uint8_t *id, const uint8_t *data, size_t len)
{
	struct remotekey_channel *c = arg;

	if (c->put) /* one for each connection; two tickets are never made */
		return;
	c->put = true;
	msg_begin(&out, MSG_SESSION_PUT, ++c->next_id);
	wr_block(&out.w, id, id != NULL ? RESUME_ID_LEN : 0);
	wr_block(&out.w, data, len);
	msg_write(c->fd, &out); /* lost: the next handshake is a full one */
	explicit_bzero(out.buf, out.w.len);
}
