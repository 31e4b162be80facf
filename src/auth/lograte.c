#include "auth/lograte.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/random.h>

#include "auth/loop.h"
#include "common/log.h"

#define ADDRESSES 512

/* In thousandths of a line, so that a slow rate needs no fractions. */
struct bucket {
	uint64_t filled_ms;
	uint32_t milli;
};

static const struct rate {
	uint32_t burst, per_second;
} address_rate = {LOGRATE_ADDRESS_BURST, LOGRATE_ADDRESS_RATE},
  all_rate[LOGRATE__MAX] = {
    [LOGRATE_FAILED] = {LOGRATE_FAILED_BURST, LOGRATE_FAILED_RATE},
    [LOGRATE_IDLE] = {LOGRATE_IDLE_BURST, LOGRATE_IDLE_RATE},
};

static const char *const what[LOGRATE__MAX] = {
    [LOGRATE_FAILED] = "failed logins",
    [LOGRATE_IDLE] = "connections without a login",
};

static struct bucket address[LOGRATE__MAX][ADDRESSES], all[LOGRATE__MAX];
static unsigned int lost[LOGRATE__MAX];
static struct conn_addr last[LOGRATE__MAX];
static void say(struct timer *t);
static struct timer report = {.fire = say};
static uint64_t key;

/* filled_ms 0: never used, full. */
static bool
take(struct bucket *b, const struct rate *r)
{
	uint64_t now = loop_now() + 1, full = (uint64_t)r->burst * 1000;
	uint64_t have = b->filled_ms == 0 ? full : b->milli + (now - b->filled_ms) * r->per_second;

	b->filled_ms = now;
	b->milli = (uint32_t)(have > full ? full : have);
	if (b->milli < 1000)
		return false;
	b->milli -= 1000;
	return true;
}

/* IPv6 by its /64: that much one customer has. */
static unsigned int
slot(const struct conn_addr *a)
{
	size_t n = a->family == AF_INET ? 4 : 8;
	uint64_t h = key ^ n;

	for (size_t i = 0; i < n; i++) {
		h = (h ^ a->ip[i]) * 0x9e3779b97f4a7c15u;
		h ^= h >> 29;
	}
	return (unsigned int)(h >> 32) % ADDRESSES;
}

static void
say(struct timer *t)
{
	(void)t;
	for (int k = 0; k < LOGRATE__MAX; k++) {
		char ip[INET6_ADDRSTRLEN];

		if (lost[k] == 0)
			continue;
		log_warnx("%u lines about %s were left out in the last %u s (most recently from %s)",
		    lost[k], what[k], LOGRATE_REPORT_MS / 1000, conn_addr_text(&last[k], ip));
		lost[k] = 0;
	}
}

void
lograte_init(void)
{
	while (getrandom(&key, sizeof(key), 0) != (ssize_t)sizeof(key))
		;
}

bool
lograte_pass(enum lograte_kind kind, const struct conn_addr *from)
{
	/* The address first: who has spent his own takes nothing from the others. */
	if (take(&address[kind][slot(from)], &address_rate) && take(&all[kind], &all_rate[kind]))
		return true;
	if (report.next == NULL)
		timer_set(&report, LOGRATE_REPORT_MS);
	lost[kind]++;
	last[kind] = *from;
	return false;
}
