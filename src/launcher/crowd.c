#include "launcher/crowd.h"

#define BITS 12

static uint64_t factor = 1, addend;
static uint32_t count[SERVICE__MAX][(1 << BITS) + 1]; /* [0]: CROWD_NONE */

void
crowd_init(const uint64_t key[2])
{
	factor = key[0] | 1;
	addend = key[1];
}

uint16_t
crowd_of(const struct conn_addr *a)
{
	unsigned int n = a->family == AF_INET ? 4 : 8;
	uint64_t x = 0;

	for (unsigned int i = 0; i < n; i++)
		x = x << 8 | a->ip[i];
	/* multiply-shift: universal, and its outcome is never seen from outside */
	return (uint16_t)(1 + ((factor * x + addend) >> (64 - BITS)));
}

void
crowd_enter(enum service s, uint16_t crowd)
{
	if (crowd != CROWD_NONE)
		count[s][crowd]++;
}

void
crowd_leave(enum service s, uint16_t crowd)
{
	if (crowd != CROWD_NONE && count[s][crowd] > 0)
		count[s][crowd]--;
}

unsigned int
crowd_size(enum service s, uint16_t crowd)
{
	return crowd == CROWD_NONE ? 1 : count[s][crowd];
}
