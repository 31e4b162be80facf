#include "keys/rate.h"

void
rate_init(struct rate *r, uint32_t per_second, uint32_t burst, uint64_t now)
{
	*r = (struct rate){.per_second = per_second, .burst = burst,
	    .milli = (uint64_t)burst * 1000, .filled_ms = now};
}

/* In thousandths, so that what a millisecond brings is a whole number. */
static void
fill(struct rate *r, uint64_t now)
{
	uint64_t full = (uint64_t)r->burst * 1000;
	uint64_t passed = now > r->filled_ms ? now - r->filled_ms : 0;

	/* First, because the product may not fit. */
	if (passed > full / r->per_second || r->milli + passed * r->per_second > full)
		r->milli = full;
	else
		r->milli += passed * r->per_second;
	r->filled_ms = now;
}

bool
rate_take(struct rate *r, uint64_t now)
{
	if (r->per_second == 0)
		return true;
	fill(r, now);
	if (r->milli < 1000)
		return false;
	r->milli -= 1000;
	return true;
}
