#include "login/proxy.h"

#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

void
proxy_init(struct proxy *p, SSL *ssl, int client_fd, int mail_fd, const uint8_t *first, size_t len)
{
	p->ssl = ssl;
	p->client_fd = client_fd;
	p->mail_fd = mail_fd;
	p->client_end = p->mail_end = p->notified = false;
	p->read_wants_write = p->write_wants_read = false;
	p->end_by = 0;
	p->down.off = p->down.len = 0;
	p->up.off = 0;
	p->up.len = len;
	memcpy(p->up.buf, first, len);
}

/* 1: moved, 0: would block, -1: this side is over. */
static int
read_client(struct proxy *p)
{
	int n, err;

	ERR_clear_error();
	n = SSL_read(p->ssl, p->up.buf, PROXY_BUF);
	p->read_wants_write = false;
	if (n > 0) {
		p->up.off = 0;
		p->up.len = (size_t)n;
		return 1;
	}
	err = SSL_get_error(p->ssl, n);
	if (err == SSL_ERROR_WANT_READ)
		return 0;
	if (err == SSL_ERROR_WANT_WRITE) {
		p->read_wants_write = true;
		return 0;
	}
	return -1;
}

static int
write_client(struct proxy *p)
{
	int n, err;

	ERR_clear_error();
	n = SSL_write(p->ssl, p->down.buf + p->down.off, (int)p->down.len);
	p->write_wants_read = false;
	if (n > 0) {
		p->down.off += (size_t)n;
		p->down.len -= (size_t)n;
		return 1;
	}
	err = SSL_get_error(p->ssl, n);
	if (err == SSL_ERROR_WANT_WRITE)
		return 0;
	if (err == SSL_ERROR_WANT_READ) {
		p->write_wants_read = true;
		return 0;
	}
	return -1;
}

static int
read_mail(struct proxy *p)
{
	ssize_t n = read(p->mail_fd, p->down.buf, PROXY_BUF);

	if (n > 0) {
		p->down.off = 0;
		p->down.len = (size_t)n;
		return 1;
	}
	return n == -1 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static int
write_mail(struct proxy *p)
{
	ssize_t n = write(p->mail_fd, p->up.buf + p->up.off, p->up.len);

	if (n > 0) {
		p->up.off += (size_t)n;
		p->up.len -= (size_t)n;
		return 1;
	}
	return n == -1 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static void
end_soon(struct proxy *p, uint64_t now)
{
	if (p->end_by == 0)
		p->end_by = now + PROXY_LINGER_MS;
}

/* Client to mail process.  False: over at once. */
static bool
move_up(struct proxy *p, short client, uint64_t now)
{
	bool readable = (client & ~POLLOUT) != 0 || SSL_has_pending(p->ssl);

	if (p->up.len > 0 && !p->mail_end && write_mail(p) == -1) {
		p->mail_end = true;
		end_soon(p, now);
	}
	if (p->mail_end)
		p->up.len = 0; /* nobody is left to read it */
	while (p->up.len == 0 && !p->client_end && readable) {
		int n = read_client(p);

		if (n == 0)
			break;
		if (n == -1) {
			p->client_end = true;
			/* Only a proper close_notify leaves somebody who may still read. */
			if ((SSL_get_shutdown(p->ssl) & SSL_RECEIVED_SHUTDOWN) == 0)
				return false;
			end_soon(p, now);
		} else if (p->mail_end) {
			p->up.len = 0;
		} else if (write_mail(p) == -1) {
			p->mail_end = true;
			p->up.len = 0;
			end_soon(p, now);
		}
	}
	return true;
}

/* Mail process to client. */
static bool
move_down(struct proxy *p, short mail, uint64_t now)
{
	if (p->down.len > 0 && write_client(p) == -1)
		return false;
	while (p->down.len == 0 && !p->mail_end && mail != 0) {
		int n = read_mail(p);

		if (n == 0)
			break;
		if (n == -1) {
			p->mail_end = true;
			end_soon(p, now);
		} else {
			if (write_client(p) == -1)
				return false;
			if (p->client_end) /* it still reads: give it time for the rest */
				p->end_by = now + PROXY_LINGER_MS;
		}
		/* One record at a time unless more is waiting: a short read
		 * says that the socket is empty. */
		if (n == 1 && p->down.len == 0 && p->down.off < PROXY_BUF)
			break;
	}
	return true;
}

bool
proxy_move(struct proxy *p, short client, short mail, uint64_t now)
{
	if (!move_up(p, client, now) || !move_down(p, mail, now))
		return false;
	if (p->mail_end && p->down.len == 0 && !p->notified) {
		ERR_clear_error();
		SSL_shutdown(p->ssl);
		p->notified = true;
	}
	if (p->notified && p->client_end)
		return false;
	return p->end_by == 0 || now < p->end_by;
}

void
proxy_interest(const struct proxy *p, struct proxy_interest *i)
{
	*i = (struct proxy_interest){.deadline = p->end_by};
	if (p->up.len == 0 && !p->client_end)
		i->client |= p->read_wants_write ? POLLOUT : POLLIN;
	if (p->down.len > 0)
		i->client |= p->write_wants_read ? POLLIN : POLLOUT;
	if (p->up.len > 0 && !p->mail_end)
		i->mail |= POLLOUT;
	if (p->down.len == 0 && !p->mail_end)
		i->mail |= POLLIN;
}
