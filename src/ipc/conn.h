/*
 * What the launcher says about a connection: the fields of CONN_OPEN (to auth
 * client and key signer) and CONN_TAKE (to a worker).  Everything here is the
 * launcher's knowledge; nothing of it comes from the client or a worker.
 */
#ifndef IPC_CONN_H
#define IPC_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "ipc/codec.h"

enum service {
	SERVICE_IMAP,
	SERVICE_POP3,
	SERVICE__MAX
};

/* What came of asking a client for its certificate: the worker's finding. */
enum conn_cert {
	CONN_CERT_NONE,
	CONN_CERT_INVALID,
	CONN_CERT_VALID,
	CONN_CERT__MAX
};

enum conn_flag {
	CONN_TLS_IMPLICIT = 1, /* TLS from the first byte (inet_listener ssl = yes) */
	CONN_TLS_OFFERED = 2,  /* STARTTLS / STLS may be used */
	CONN_SECURED = 4,      /* counts as secured without TLS: client's address equals ours, or
	                          is in login_trusted_networks (dovecot-protocols D.1) */
	CONN_TRUSTED = 8       /* in login_trusted_networks */
};

/* An address as IPC carries it. */
struct conn_addr {
	uint16_t family; /* AF_INET, AF_INET6 */
	uint16_t port;   /* host byte order */
	uint8_t ip[16];  /* network order; IPv4 uses the first four */
};

struct conn_info {
	uint32_t id;         /* in the message's header */
	enum service service;
	uint8_t flags;       /* enum conn_flag */
	char session[65];    /* session id for logs, auth server and mail process */
	char listener[32];   /* name of the inet_listener */
	struct conn_addr remote, local;
	uint32_t age_ms;     /* CONN_TAKE: how long ago it was accepted */
};

const char *service_name(enum service s); /* "imap", "pop3": as the auth server wants it */

void conn_put(struct wr *w, const struct conn_info *c);
bool conn_get(struct rd *r, uint32_t id, struct conn_info *c); /* false: malformed */

/* IPv4-mapped IPv6 addresses become IPv4. */
void conn_addr_from(struct conn_addr *a, const struct sockaddr_storage *ss);
/* "192.0.2.1" or "2001:db8::1"; dst holds INET6_ADDRSTRLEN. */
const char *conn_addr_text(const struct conn_addr *a, char dst[INET6_ADDRSTRLEN]);
bool conn_addr_same_ip(const struct conn_addr *a, const struct conn_addr *b);

/* A network for login_trusted_networks. */
struct conn_net {
	uint16_t family;
	uint8_t ip[16];
	uint8_t prefix; /* bits */
};
/* "10.0.0.0/8", "::1", "192.0.2.7"; false if it is none. */
bool conn_net_parse(const char *text, struct conn_net *n);
bool conn_net_has(const struct conn_net *n, const struct conn_addr *a);

#endif
