/*
 * Asking the signer: one request, one answer, plain read and write with a
 * deadline.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ipc/msg.h"
#include "login/remotekey.h"

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
	if (msg_write(c->fd, &out) == -1 || !wait_readable(c->fd, c->timeout_ms) ||
	    msg_read(c->fd, R_WORKER, R_KEYS, &m, inbuf) != 1 || m.type != MSG_SIGN_RES ||
	    m.id != c->next_id)
		return -1;
	status = rd_u8(&m.r);
	p = rd_block(&m.r, cap, &len);
	if (!msg_end(&m) || status != 0 || len == 0)
		return -1;
	memcpy(sig, p, len);
	return (long)len;
}
