#include "ipc/conn.h"

#include <arpa/inet.h>
#include <string.h>

#include "common/str.h"

static const char *const names[SERVICE__MAX] = {"imap", "pop3"};

const char *
service_name(enum service s)
{
	return (unsigned int)s < SERVICE__MAX ? names[s] : "unknown";
}

static void
addr_put(struct wr *w, const struct conn_addr *a)
{
	wr_u16(w, a->family);
	wr_u16(w, a->port);
	for (int i = 0; i < 16; i++)
		wr_u8(w, a->ip[i]);
}

static void
addr_get(struct rd *r, struct conn_addr *a)
{
	a->family = rd_u16(r);
	a->port = rd_u16(r);
	for (int i = 0; i < 16; i++)
		a->ip[i] = rd_u8(r);
	if (a->family != AF_INET && a->family != AF_INET6)
		r->bad = true;
}

void
conn_put(struct wr *w, const struct conn_info *c)
{
	wr_u8(w, (uint8_t)c->service);
	wr_u8(w, c->flags);
	wr_str(w, c->session);
	wr_str(w, c->listener);
	addr_put(w, &c->remote);
	addr_put(w, &c->local);
	wr_u32(w, c->age_ms);
}

bool
conn_get(struct rd *r, uint32_t id, struct conn_info *c)
{
	uint8_t service;

	memset(c, 0, sizeof(*c));
	c->id = id;
	service = rd_u8(r);
	c->flags = rd_u8(r);
	rd_str(r, c->session, sizeof(c->session));
	rd_str(r, c->listener, sizeof(c->listener));
	addr_get(r, &c->remote);
	addr_get(r, &c->local);
	c->age_ms = rd_u32(r);
	if (service >= SERVICE__MAX || !rd_end(r))
		return false;
	c->service = (enum service)service;
	return true;
}

void
conn_addr_from(struct conn_addr *a, const struct sockaddr_storage *ss)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	memset(a, 0, sizeof(*a));
	a->family = ss->ss_family;
	if (ss->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)ss;

		memcpy(a->ip, &in->sin_addr, 4);
		a->port = ntohs(in->sin_port);
	} else {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;

		memcpy(a->ip, &in6->sin6_addr, 16);
		a->port = ntohs(in6->sin6_port);
		if (memcmp(a->ip, mapped, sizeof(mapped)) == 0) {
			a->family = AF_INET;
			memmove(a->ip, a->ip + 12, 4);
			memset(a->ip + 4, 0, 12);
		}
	}
}

const char *
conn_addr_text(const struct conn_addr *a, char dst[INET6_ADDRSTRLEN])
{
	if (inet_ntop(a->family, a->ip, dst, INET6_ADDRSTRLEN) == NULL)
		strcpy(dst, "?");
	return dst;
}

bool
conn_addr_same_ip(const struct conn_addr *a, const struct conn_addr *b)
{
	return a->family == b->family && memcmp(a->ip, b->ip, a->family == AF_INET ? 4 : 16) == 0;
}

bool
conn_net_parse(const char *text, struct conn_net *n)
{
	char ip[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
	uint64_t bits, max;

	memset(n, 0, sizeof(*n));
	if (len >= sizeof(ip))
		return false;
	str_copy_n(ip, sizeof(ip), text, len);
	n->family = strchr(ip, ':') != NULL ? AF_INET6 : AF_INET;
	if (inet_pton(n->family, ip, n->ip) != 1)
		return false;
	max = n->family == AF_INET ? 32 : 128;
	bits = max;
	if (slash != NULL && !str_to_u64(slash + 1, max, &bits))
		return false;
	n->prefix = (uint8_t)bits;
	return true;
}

bool
conn_net_has(const struct conn_net *n, const struct conn_addr *a)
{
	size_t whole = n->prefix / 8;
	uint8_t mask = (uint8_t)(0xff00 >> (n->prefix % 8));

	if (n->family != a->family || memcmp(n->ip, a->ip, whole) != 0)
		return false;
	return n->prefix % 8 == 0 || ((n->ip[whole] ^ a->ip[whole]) & mask) == 0;
}
