/*
 * After login: TLS on the client's side, the mail process on the other, bytes
 * in between, with backpressure (nothing is read that cannot be passed on).  No
 * clock but the caller's, no randomness (AEAD suites only), only read and write
 * on two descriptors: it runs under policy tls-proxy.
 */
#ifndef LOGIN_PROXY_H
#define LOGIN_PROXY_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One full TLS record. */
#define PROXY_BUF 16384
/* How long to wait for the other side's last words, once one side has ended. */
#define PROXY_LINGER_MS 2000

struct proxy_half {
	size_t off, len; /* what is in buf and not yet written */
	uint8_t buf[PROXY_BUF];
};

struct proxy {
	SSL *ssl;
	int client_fd, mail_fd;
	bool client_end; /* close_notify or end of file from the client */
	bool mail_end;   /* the mail process has closed */
	bool notified;   /* our close_notify is out */
	bool read_wants_write, write_wants_read;
	uint64_t end_by; /* 0: no deadline */
	struct proxy_half up;   /* client to mail process */
	struct proxy_half down; /* mail process to client */
};

/* What to wait for; a descriptor with events 0 is not waited for. */
struct proxy_interest {
	short client, mail; /* POLLIN | POLLOUT */
	uint64_t deadline;  /* 0: none */
};

/* first: input read from the client before the hand-over; at most PROXY_BUF. */
void proxy_init(struct proxy *p, SSL *ssl, int client_fd, int mail_fd, const uint8_t *first,
    size_t len);
/* Move what can be moved.  client, mail: poll's revents, 0 if nothing is known.
 * False: it is over, close both. */
bool proxy_move(struct proxy *p, short client, short mail, uint64_t now);
void proxy_interest(const struct proxy *p, struct proxy_interest *i);

#endif
