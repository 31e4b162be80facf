#include "ipc/blocks.h"

#include <string.h>

#include "ipc/settings.h"

static bool
net_within(const struct conn_net *a, const struct conn_net *b)
{
	struct conn_addr first = {.family = a->family};

	if (b->family == 0)
		return true;
	memcpy(first.ip, a->ip, sizeof(first.ip));
	return a->family == b->family && a->prefix >= b->prefix && conn_net_has(b, &first);
}

static bool
net_overlaps(const struct conn_net *a, const struct conn_net *b)
{
	return a->family == 0 || net_within(a, b) || net_within(b, a);
}

bool
block_within(const struct block_settings *a, const struct block_settings *b)
{
	return net_within(&a->local, &b->local) && net_within(&a->remote, &b->remote) &&
	    (b->service == SERVICE__MAX || a->service == b->service);
}

bool
block_overlaps(const struct block_settings *a, const struct block_settings *b)
{
	return net_overlaps(&a->local, &b->local) && net_overlaps(&a->remote, &b->remote) &&
	    (a->service == b->service || a->service == SERVICE__MAX || b->service == SERVICE__MAX);
}

static unsigned int
net_narrowness(const struct conn_net *n)
{
	return n->family == 0 ? 0 : n->prefix + 1u;
}

unsigned int
block_narrowness(const struct block_settings *b)
{
	return net_narrowness(&b->local) + net_narrowness(&b->remote) +
	    (b->service != SERVICE__MAX ? 1 : 0);
}

static bool
takes(const struct block_settings *b, const struct conn_info *c)
{
	return (b->local.family == 0 || conn_net_has(&b->local, &c->local)) &&
	    (b->remote.family == 0 || conn_net_has(&b->remote, &c->remote)) &&
	    (b->service == SERVICE__MAX || b->service == c->service);
}

void
blocks_apply(const struct block_settings *blocks, unsigned int n, uint8_t ssl,
    bool disable_plaintext_auth, struct conn_info *c)
{
	bool any = false;

	for (unsigned int i = 0; i < n; i++) {
		const struct block_settings *b = &blocks[i];

		if (!takes(b, c))
			continue;
		any = true;
		if ((b->has & BLOCK_SSL) != 0)
			ssl = b->ssl;
		if ((b->has & BLOCK_PLAINTEXT) != 0)
			disable_plaintext_auth = b->disable_plaintext_auth != 0;
	}
	if (!any)
		return;
	c->flags |= CONN_RULED;
	if (!disable_plaintext_auth)
		c->flags |= CONN_CLEAR_ALLOWED;
	if (ssl == SSL_REQUIRED)
		c->flags |= CONN_TLS_REQUIRED;
	if (ssl == SSL_NO)
		c->flags &= (uint8_t)~CONN_TLS_OFFERED;
}
