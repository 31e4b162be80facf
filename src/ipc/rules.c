#include "ipc/rules.h"

#include <string.h>

enum type {
	T_U8,
	T_U16,
	T_U32,
	T_STR,
	T_NETS
};

static const struct field {
	enum type type;
	size_t off, size;
	uint32_t limit;
	uint8_t who;
} fields[RULE__MAX] = {
#define RULE(id, name, type, limit, who) \
	[RULE_##id] = {T_##type, offsetof(struct rules, name), sizeof(((struct rules *)0)->name), \
	    limit, who},
#include "ipc/rules.def"
};

static uint64_t
told(enum rule_reader who)
{
	uint64_t bits = 0;

	for (int r = 0; r < RULE__MAX; r++)
		if ((fields[r].who & who) != 0)
			bits |= RULE_BIT(r);
	return bits;
}

/* ---- networks ------------------------------------------------------------- */

void
net_list_put(uint8_t dst[NET_WIRE], const struct conn_net *n)
{
	dst[0] = n->family == AF_INET ? 4 : 6;
	dst[1] = n->prefix;
	memcpy(dst + 2, n->ip, 16);
}

void
net_list_get(const uint8_t src[NET_WIRE], struct conn_net *n)
{
	n->family = src[0] == 4 ? AF_INET : AF_INET6;
	n->prefix = src[1];
	memcpy(n->ip, src + 2, 16);
}

bool
net_list_has(const struct net_list *l, const struct conn_addr *a)
{
	struct conn_net n;

	for (size_t i = 0; i + NET_WIRE <= l->len; i += NET_WIRE) {
		net_list_get(l->p + i, &n);
		if (conn_net_has(&n, a))
			return true;
	}
	return false;
}

static bool
net_good(const struct conn_net *n)
{
	return n->prefix <= (n->family == AF_INET ? 32 : 128);
}

static bool
nets_good(const uint8_t *p, size_t len)
{
	struct conn_net n;

	if (len % NET_WIRE != 0)
		return false;
	for (; len > 0; len -= NET_WIRE, p += NET_WIRE) {
		net_list_get(p, &n);
		if ((p[0] != 4 && p[0] != 6) || !net_good(&n))
			return false;
	}
	return true;
}

/* ---- values --------------------------------------------------------------- */

static void
put_value(struct wr *w, const struct field *f, const struct rules *s)
{
	const void *p = (const char *)s + f->off;
	const struct net_list *nets = p;
	const char *str;

	switch (f->type) {
	case T_U8:
		wr_u8(w, *(const uint8_t *)p);
		break;
	case T_U16:
		wr_u16(w, *(const uint16_t *)p);
		break;
	case T_U32:
		wr_u32(w, *(const uint32_t *)p);
		break;
	case T_STR: /* with its NUL: it is borrowed from the buffer */
		memcpy(&str, p, sizeof(str));
		wr_block(w, str != NULL ? str : "", str != NULL ? strlen(str) + 1 : 1);
		break;
	case T_NETS:
		wr_block(w, nets->p, nets->len);
		break;
	}
}

static bool
get_value(struct rd *r, const struct field *f, struct rules *s)
{
	void *p = (char *)s + f->off;
	struct net_list *nets = p;
	const char *str;
	uint32_t v = 0;
	size_t len;

	switch (f->type) {
	case T_U8:
		*(uint8_t *)p = (uint8_t)(v = rd_u8(r));
		break;
	case T_U16:
		*(uint16_t *)p = (uint16_t)(v = rd_u16(r));
		break;
	case T_U32:
		*(uint32_t *)p = v = rd_u32(r);
		break;
	case T_STR:
		str = (const char *)rd_block(r, f->limit, &len);
		memcpy(p, &str, sizeof(str));
		return len > 0 && memchr(str, '\0', len) == str + len - 1;
	case T_NETS:
		nets->p = rd_block(r, (size_t)f->limit * NET_WIRE, &nets->len);
		return nets_good(nets->p, nets->len);
	}
	return v <= f->limit;
}

static void
put_values(struct wr *w, const struct rules *s, uint64_t which)
{
	for (int r = 0; r < RULE__MAX; r++)
		if ((which & RULE_BIT(r)) != 0)
			put_value(w, &fields[r], s);
}

static bool
get_values(struct rd *r, struct rules *s, uint64_t which)
{
	for (int i = 0; i < RULE__MAX; i++)
		if ((which & RULE_BIT(i)) != 0 && !get_value(r, &fields[i], s))
			return false;
	return !r->bad;
}

/* ---- blocks --------------------------------------------------------------- */

static void
put_net(struct wr *w, const struct conn_net *n)
{
	uint8_t wire[NET_WIRE];

	net_list_put(wire, n);
	wr_block(w, wire, n->family != 0 ? sizeof(wire) : 0);
}

static bool
get_net(struct rd *r, struct conn_net *n)
{
	size_t len;
	const uint8_t *p = rd_block(r, NET_WIRE, &len);

	n->family = 0;
	if (len == 0)
		return true;
	if (len != NET_WIRE || !nets_good(p, len))
		return false;
	net_list_get(p, n);
	return true;
}

static bool
get_block(struct rd *r, struct block *b, uint64_t mine)
{
	b->takes.service = rd_u8(r);
	rd_str(r, b->takes.names, sizeof(b->takes.names));
	if (b->takes.service > SERVICE__MAX || !get_net(r, &b->takes.local) ||
	    !get_net(r, &b->takes.remote))
		return false;
	b->has = rd_u64(r);
	return b->has != 0 && (b->has & ~mine) == 0 && get_values(r, &b->set, b->has);
}

void
rule_set_pack(struct wr *w, const struct rule_set *s, enum rule_reader who)
{
	uint64_t mine = told(who);
	uint16_t n = 0;

	put_values(w, &s->base, mine);
	for (unsigned int i = 0; i < s->nblocks; i++)
		n += (s->blocks[i].has & mine) != 0;
	wr_u16(w, n);
	for (unsigned int i = 0; i < s->nblocks; i++) {
		const struct block *b = &s->blocks[i];

		if ((b->has & mine) == 0)
			continue;
		wr_u8(w, b->takes.service);
		wr_str(w, b->takes.names);
		put_net(w, &b->takes.local);
		put_net(w, &b->takes.remote);
		wr_u64(w, b->has & mine);
		put_values(w, &b->set, b->has & mine);
	}
}

bool
rule_set_unpack(struct rd *r, struct rule_set *s, enum rule_reader who)
{
	uint64_t mine = told(who);

	memset(s, 0, sizeof(*s));
	if (!get_values(r, &s->base, mine))
		return false;
	s->nblocks = rd_u16(r);
	if (s->nblocks > BLOCKS_MAX)
		return false;
	for (unsigned int i = 0; i < s->nblocks; i++)
		if (!get_block(r, &s->blocks[i], mine))
			return false;
	return !r->bad;
}

/* ---- a connection --------------------------------------------------------- */

uint64_t
rule_set_match(const struct rule_set *s, const struct conn_info *c, const char *name)
{
	uint64_t blocks = 0;

	for (unsigned int i = 0; i < s->nblocks; i++)
		if (block_takes(&s->blocks[i].takes, c, name))
			blocks |= (uint64_t)1 << i;
	return blocks;
}

void
rule_set_apply(const struct rule_set *s, uint64_t blocks, struct rules *out)
{
	*out = s->base;
	for (unsigned int i = 0; i < s->nblocks; i++) {
		const struct block *b = &s->blocks[i];

		for (int r = 0; r < RULE__MAX && (blocks >> i & 1) != 0; r++)
			if ((b->has & RULE_BIT(r)) != 0)
				memcpy((char *)out + fields[r].off,
				    (const char *)&b->set + fields[r].off, fields[r].size);
	}
}

uint64_t
rule_set_having(const struct rule_set *s, uint64_t blocks, uint64_t rules)
{
	for (unsigned int i = 0; i < s->nblocks; i++)
		if ((s->blocks[i].has & rules) == 0)
			blocks &= ~((uint64_t)1 << i);
	return blocks;
}
