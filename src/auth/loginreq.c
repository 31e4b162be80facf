#include "auth/loginreq.h"

#include <string.h>
#include <sys/socket.h>

#define TAG_MAX 126

/* Offsets of the two layouts. */
struct layout {
	size_t local_ip, remote_ip, local_port, remote_port, flags, data_size, ino, total;
};

static const struct layout layout_23 = {32, 52, 72, 74, 76, 80, 88, 96};
static const struct layout layout_24 = {32, 56, 80, 82, 84, 88, 96, 104};

static void
put_u16(uint8_t *dst, uint16_t v)
{
	memcpy(dst, &v, sizeof(v));
}

static void
put_u32(uint8_t *dst, uint32_t v)
{
	memcpy(dst, &v, sizeof(v));
}

/* u16 family, 2 bytes padding, 16 bytes address.  2.4's scope id stays 0: a
 * link-local client's interface means nothing to the mail process. */
static void
put_ip(uint8_t *dst, const struct conn_addr *a)
{
	put_u16(dst, a->family);
	memcpy(dst + 4, a->ip, a->family == AF_INET ? 4 : 16);
}

size_t
loginreq_data_len(const struct loginreq *r)
{
	return strlen(r->session) + 1 + r->prefix_len + r->input_len;
}

size_t
loginreq_pack(const struct loginreq *r, bool v24, uint8_t *dst)
{
	const struct layout *l = v24 ? &layout_24 : &layout_23;
	size_t data = loginreq_data_len(r), session = strlen(r->session) + 1;
	uint8_t *p = dst + l->total;

	if (r->prefix_len > LOGINREQ_DATA_MAX || r->input_len > LOGINREQ_DATA_MAX ||
	    data > LOGINREQ_DATA_MAX)
		return 0;
	memset(dst, 0, l->total);
	put_u32(dst, r->tag);
	put_u32(dst + 4, r->auth_pid);
	put_u32(dst + 8, r->auth_id);
	put_u32(dst + 12, r->client_pid);
	memcpy(dst + 16, r->cookie, sizeof(r->cookie));
	put_ip(dst + l->local_ip, &r->local);
	put_ip(dst + l->remote_ip, &r->remote);
	put_u16(dst + l->local_port, r->local.port);
	put_u16(dst + l->remote_port, r->remote.port);
	put_u32(dst + l->flags, r->flags);
	put_u32(dst + l->data_size, (uint32_t)data);
	memcpy(dst + l->ino, &r->ino, sizeof(r->ino));
	memcpy(p, r->session, session);
	p += session;
	if (r->prefix_len > 0)
		memcpy(p, r->prefix, r->prefix_len);
	p += r->prefix_len;
	if (r->input_len > 0)
		memcpy(p, r->input, r->input_len);
	return l->total + data;
}

void
loginreq_answer(const uint8_t b[LOGINREQ_ANSWER], struct loginreq_answer *a)
{
	memcpy(&a->tag, b, 4);
	memcpy(&a->status, b + 4, 4);
	memcpy(&a->pid, b + 8, 4);
}

bool
loginreq_prefix_ok(enum service s, const uint8_t *p, size_t len)
{
	if (s != SERVICE_IMAP)
		return len == 0;
	if (len < 3 || len > TAG_MAX + 2 || (p[0] != '0' && p[0] != '1') || p[len - 1] != '\0')
		return false;
	for (size_t i = 1; i < len - 1; i++)
		if (p[i] <= ' ' || p[i] >= 0x7f)
			return false;
	return true;
}
