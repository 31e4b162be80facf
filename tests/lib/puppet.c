/*
 * A login worker that went bad, for the tests of our own channels; and one whose
 * memory is nearly used up, which else goes on honestly.
 *
 * This is gatehouse-login itself, linked with this file: behind all its walls and
 * its last filter, a POP3 connection is given into the hands of whoever is at its
 * other end.  IMAP connections are served as ever, by the same templates, so that
 * honest logins go on beside it.  Nothing of it is in the program that is shipped.
 *
 * From the client: u8 op, u8 descriptor, u32 length (little-endian), payload.
 *   w  write the payload to the descriptor once
 *   n  the payload begins with a u32 count: write the rest as often, waiting for room
 *   q  pass on nothing more that comes from the descriptor
 *   x  exit
 * To the client: u8 event, u8 descriptor, u32 length, payload.
 *   r  i32: result of w (bytes, or -errno), number of writes that n got done
 *   d  data from the descriptor
 *   e  its end
 *
 * A client from 127.253.a.b, of any service, is served honestly by a worker whose
 * arena has room for no more than (256 a + b) * 64 bytes.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ipc/conn.h"
#include "ipc/fds.h"
#include "login/heap.h"
#include "login/worker.h"

#define HEAD 6
#define PAYLOAD_MAX 70000

void __real_single_serve(struct worker *w, const struct conn_info *info)
    __attribute__((noreturn));
void __wrap_single_serve(struct worker *w, const struct conn_info *info)
    __attribute__((noreturn));

static uint8_t in[HEAD + PAYLOAD_MAX], out[HEAD + PAYLOAD_MAX];
static size_t in_len;
static struct pollfd channels[] = {{.fd = FD_CLIENT, .events = POLLIN},
    {.fd = FD_AUTH, .events = POLLIN}, {.fd = FD_SIGNER, .events = POLLIN},
    {.fd = FD_MAIL, .events = POLLIN}};

static void __attribute__((noreturn))
leave(void)
{
	for (;;)
		syscall(SYS_exit_group, 0);
}

static void
wait_for(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	ppoll(&p, 1, NULL, NULL);
}

static uint32_t
number(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The payload is in out already. */
static void
tell(char event, int fd, size_t len)
{
	size_t at = 0;

	out[0] = (uint8_t)event;
	out[1] = (uint8_t)fd;
	for (int i = 0; i < 4; i++)
		out[2 + i] = (uint8_t)(len >> 8 * i);
	while (at < HEAD + len) {
		ssize_t n = write(FD_CLIENT, out + at, HEAD + len - at);

		if (n > 0)
			at += (size_t)n;
		else if (n == -1 && errno == EAGAIN)
			wait_for(FD_CLIENT, POLLOUT);
		else
			leave();
	}
}

static void
tell_result(int fd, int32_t result)
{
	for (int i = 0; i < 4; i++)
		out[HEAD + i] = (uint8_t)((uint32_t)result >> 8 * i);
	tell('r', fd, 4);
}

static int32_t
write_often(int fd, const uint8_t *p, size_t len)
{
	uint32_t count = len >= 4 ? number(p) : 0, done = 0;

	while (done < count) {
		ssize_t n = write(fd, p + 4, len - 4);

		if (n >= 0)
			done++;
		else if (errno == EAGAIN)
			wait_for(fd, POLLOUT);
		else
			break;
	}
	return (int32_t)done;
}

static void
quiet(int fd)
{
	for (size_t i = 0; i < sizeof(channels) / sizeof(channels[0]); i++)
		if (channels[i].fd == fd)
			channels[i].fd = -1;
}

static void
obey(uint8_t op, int fd, const uint8_t *p, size_t len)
{
	ssize_t n;

	switch (op) {
	case 'w':
		n = write(fd, p, len);
		tell_result(fd, n == -1 ? -errno : (int32_t)n);
		break;
	case 'n':
		tell_result(fd, write_often(fd, p, len));
		break;
	case 'q':
		quiet(fd);
		break;
	default:
		leave();
	}
}

static void
client_says(void)
{
	ssize_t n = read(FD_CLIENT, in + in_len, sizeof(in) - in_len);

	if (n == 0 || (n == -1 && errno != EAGAIN))
		leave();
	if (n > 0)
		in_len += (size_t)n;
	while (in_len >= HEAD) {
		size_t len = number(in + 2), whole = HEAD + len;

		if (len > PAYLOAD_MAX)
			leave();
		if (in_len < whole)
			break;
		obey(in[0], in[1], in + HEAD, len);
		in_len -= whole;
		memmove(in, in + whole, in_len);
	}
}

static void
channel_says(struct pollfd *c)
{
	ssize_t n = read(c->fd, out + HEAD, PAYLOAD_MAX);

	if (n > 0) {
		tell('d', c->fd, (size_t)n);
	} else if (n == 0 || errno != EAGAIN) {
		tell('e', c->fd, 0);
		c->fd = -1;
	}
}

static void
starve(const struct worker *w, size_t room)
{
	const size_t piece = 1008; /* its class is 1024; with the header 1040 */

	heap_fork(0, 0); /* exec: what its rehearsal has given back is no room, either */
	while (w->set.arena_bytes > heap_used() + room + 1040)
		if (OPENSSL_malloc(piece) == NULL)
			return;
}

void
__wrap_single_serve(struct worker *w, const struct conn_info *info)
{
	const nfds_t n = sizeof(channels) / sizeof(channels[0]);
	const uint8_t *ip = info->remote.ip;

	if (info->remote.family == AF_INET && ip[0] == 127 && ip[1] == 253) {
		starve(w, ((size_t)ip[2] << 8 | ip[3]) * 64);
		__real_single_serve(w, info);
	}
	if (info->service != SERVICE_POP3)
		__real_single_serve(w, info);
	for (;;) {
		ppoll(channels, n, NULL, NULL);
		for (nfds_t i = 1; i < n; i++)
			if (channels[i].fd != -1 && channels[i].revents != 0)
				channel_says(&channels[i]);
		if (channels[0].revents != 0)
			client_says();
	}
}
