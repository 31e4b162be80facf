/*
 * Capabilities: all five sets, through libcap-ng, then read back from the kernel;
 * securebits set and locked.  After the user namespace, which refills the sets.
 */
#include <cap-ng.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine/internal.h"

/* Uid 0 means nothing for capabilities, changing ids neither; nothing of it can
 * be taken back. */
#define BITS                                                                            \
	(SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |                \
	    SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |                   \
	    SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

static bool
in_set(uint64_t set, int c)
{
	return c < 64 && (set >> c & 1) != 0;
}

/* Drop all others from the bounding set; -1 if one is still there. */
static int
reduce_bounding(uint64_t keep)
{
	/* Up to the first number that this kernel does not know. */
	for (int c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++)
		if (!in_set(keep, c) && prctl(PR_CAPBSET_READ, c, 0, 0, 0) == 1 &&
		    prctl(PR_CAPBSET_DROP, c, 0, 0, 0) == -1)
			return -1;
	return 0;
}

static int
eperm(void)
{
	errno = EPERM;
	return -1;
}

/*
 * capng_apply says how it went, but also looks for /proc, which is gone by now:
 * what counts is what the kernel answers.
 */
static int
sets_are(uint64_t active, uint64_t passed_on)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];
	uint64_t effective, permitted, inheritable;

	if (syscall(SYS_capget, &h, d) == -1)
		return -1;
	effective = d[0].effective | (uint64_t)d[1].effective << 32;
	permitted = d[0].permitted | (uint64_t)d[1].permitted << 32;
	inheritable = d[0].inheritable | (uint64_t)d[1].inheritable << 32;
	if (effective != active || permitted != active || inheritable != passed_on)
		return eperm();
	for (int c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++)
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, c, 0, 0) !=
		    (in_set(passed_on, c) ? 1 : 0))
			return eperm();
	return 0;
}

static void
update(capng_type_t type, uint64_t set)
{
	for (unsigned int c = 0; c < 64; c++)
		if (in_set(set, (int)c))
			capng_update(CAPNG_ADD, type, c);
}

/* Only what differs: with the securebits locked nothing can be raised any more,
 * not even again, so libcap-ng's way (clear, then raise) would lose it. */
static void
set_ambient(uint64_t set)
{
	for (int c = 0, have; (have = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, c, 0, 0)) >= 0; c++)
		if (have != (in_set(set, c) ? 1 : 0))
			prctl(PR_CAP_AMBIENT, have ? PR_CAP_AMBIENT_LOWER : PR_CAP_AMBIENT_RAISE, c,
			    0, 0);
}

/* Permitted and effective become `active`, inheritable and ambient `passed_on`. */
static int
apply(uint64_t active, uint64_t passed_on)
{
	capng_clear(CAPNG_SELECT_ALL);
	update((capng_type_t)(CAPNG_EFFECTIVE | CAPNG_PERMITTED), active);
	update(CAPNG_INHERITABLE, passed_on);
	capng_apply(CAPNG_SELECT_CAPS);
	set_ambient(passed_on);
	return sets_are(active, passed_on);
}

int
caps_keep_only(uint64_t keep)
{
	/* First the bounding set: it needs CAP_SETPCAP, which the rest takes away. */
	int rv = reduce_bounding(keep), err = errno;

	if (apply(keep, 0) == -1)
		return -1;
	errno = err;
	return rv;
}

/* What the process has now, of what it may keep: a right that the caller lacks
 * is not granted by naming it. */
static uint64_t
permitted_now(void)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &h, d) == -1)
		return 0;
	return d[0].permitted | (uint64_t)d[1].permitted << 32;
}

/* An ordinary user without a user namespace has no right to either: refused,
 * said, and no reason not to start, since his own sets are empty. */
static enum layer_need
need_of(const struct entering *e)
{
	bool may = e->userns || (permitted_now() & UINT64_C(1) << CAP_SETPCAP) != 0;

	return may && e->req->policy->caps_need == NEED_REQUIRED ? NEED_REQUIRED : NEED_OPTIONAL;
}

bool
caps_lock(struct entering *e)
{
	uint64_t keep = e->req->policy->caps & permitted_now();
	enum layer_need need = need_of(e);

	if (!step(e, LAYER_CAPS, need, reduce_bounding(keep), "prctl(PR_CAPBSET_DROP)"))
		return false;
	/* Ambient: what is kept has to pass exec, and cannot be raised any more once
	 * the securebits are locked. */
	if (keep != 0 && apply(permitted_now(), keep) == -1)
		return step(e, LAYER_CAPS, NEED_REQUIRED, -1, "capset");
	return step(e, LAYER_SECUREBITS, need, prctl(PR_SET_SECUREBITS, BITS, 0, 0, 0),
	    "prctl(PR_SET_SECUREBITS)");
}

bool
caps_enter(struct entering *e)
{
	uint64_t keep = e->req->policy->caps & permitted_now();

	if (apply(keep, keep) == -1)
		return step(e, LAYER_CAPS, NEED_REQUIRED, -1, "capset");
	return true; /* caps_lock has noted the bounding set */
}
