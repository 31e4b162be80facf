#include "auth/count.h"

#include "auth/loop.h"
#include "auth/peers.h"

#define TELL_MS 1000

static struct stats stats;
static bool untold;

static void
due(struct timer *t)
{
	(void)t;
	count_tell();
}

static struct timer timer = {.fire = due};

void
count(enum service s, enum counter what)
{
	stats.n[s][what]++;
	if (!untold)
		timer_set(&timer, TELL_MS);
	untold = true;
}

void
count_failure(enum service s, enum auth_outcome why)
{
	static const enum counter kinds[OUT__MAX] = {
	    [OUT_NONE] = COUNT_FAIL_AUTH,
	    [OUT_AUTH] = COUNT_FAIL_AUTH,
	    [OUT_AUTHZ] = COUNT_FAIL_USER,
	    [OUT_TEMP] = COUNT_FAIL_TEMP,
	    [OUT_DISABLED] = COUNT_FAIL_USER,
	    [OUT_EXPIRED] = COUNT_FAIL_USER,
	    [OUT_BASE64] = COUNT_FAIL_AUTH,
	    [OUT_NOLOGIN] = COUNT_FAIL_USER,
	    [OUT_MECH] = COUNT_FAIL_POLICY,
	    [OUT_PLAINTEXT] = COUNT_FAIL_POLICY,
	    [OUT_COMM] = COUNT_FAIL_TEMP,
	    [OUT_INTERNAL] = COUNT_FAIL_TEMP,
	    [OUT_LIMIT] = COUNT_FAIL_LIMIT,
	    [OUT_CERT] = COUNT_FAIL_POLICY,
	};

	count(s, kinds[why]);
}

void
count_tell(void)
{
	if (!untold)
		return;
	untold = false;
	timer_clear(&timer);
	peers_tell_stats(&stats);
}
