/*
 * A token bucket.  Pure: the clock is given.
 */
#ifndef KEYS_RATE_H
#define KEYS_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct rate {
	uint32_t per_second; /* 0: no limit */
	uint32_t burst;      /* so many at once; at least 1 */
	uint64_t milli;      /* tokens that are there, in thousandths */
	uint64_t filled_ms;
};

/* It is full. */
void rate_init(struct rate *r, uint32_t per_second, uint32_t burst, uint64_t now);
/* Take one.  False: there is none. */
bool rate_take(struct rate *r, uint64_t now);

#endif
