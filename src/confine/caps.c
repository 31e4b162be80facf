/*
 * Capabilities: all five sets, through libcap-ng, then checked against the
 * kernel; securebits set and locked.
 */
#include <cap-ng.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine/internal.h"

#define ALL_LOCKED \
	(SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | \
	    SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | \
	    SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

static bool
bounding_is(uint64_t keep)
{
	for (int c = 0; c <= CAP_LAST_CAP + 8; c++) {
		int have = prctl(PR_CAPBSET_READ, c, 0, 0, 0);

		if (have == 1 && (keep >> c & 1) == 0)
			return false;
	}
	return true;
}

static bool
sets_are(uint64_t keep)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];
	uint64_t eff, perm, inh;

	if (syscall(SYS_capget, &h, d) == -1)
		return false;
	eff = d[0].effective | (uint64_t)d[1].effective << 32;
	perm = d[0].permitted | (uint64_t)d[1].permitted << 32;
	inh = d[0].inheritable | (uint64_t)d[1].inheritable << 32;
	if ((eff & ~keep) != 0 || (perm & ~keep) != 0 || inh != 0)
		return false;
	for (int c = 0; c <= CAP_LAST_CAP; c++)
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, c, 0, 0) == 1)
			return false;
	return true;
}

bool
caps_are(uint64_t keep)
{
	return sets_are(keep) && bounding_is(keep);
}

/* capget/capset/prctl only: works without /proc. */
int
caps_reduce(uint64_t keep)
{
	if (capng_get_caps_process() == -1) {
		errno = EPERM;
		return -1;
	}
	for (int c = 0; c <= CAP_LAST_CAP; c++)
		if ((keep >> c & 1) == 0)
			prctl(PR_CAPBSET_DROP, c, 0, 0, 0); /* checked at the end */
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	capng_clear(CAPNG_SELECT_CAPS);
	for (int c = 0; c <= CAP_LAST_CAP; c++)
		if ((keep >> c & 1) != 0)
			capng_update(CAPNG_ADD, (capng_type_t)(CAPNG_EFFECTIVE | CAPNG_PERMITTED),
			    (unsigned int)c);
	if (capng_apply(CAPNG_SELECT_CAPS) != 0 && !sets_are(keep)) {
		errno = EPERM;
		return -1;
	}
	if (!sets_are(keep)) {
		errno = EPERM;
		return -1;
	}
	return 0;
}

bool
caps_enter(struct entering *e)
{
	uint64_t keep = e->req->policy->caps;
	int bits = prctl(PR_SET_SECUREBITS, ALL_LOCKED, 0, 0, 0);
	/* Without a user namespace an ordinary user cannot: refused, and said. */
	bool may_lack = e->rep.state[LAYER_USERNS] != LAYER_ENFORCED && geteuid() != 0;

	if (!step(e, LAYER_SECUREBITS, may_lack ? NEED_OPTIONAL : NEED_REQUIRED, bits,
		"locking securebits needs a user namespace or root"))
		return false;
	if (!step(e, LAYER_CAPS, NEED_REQUIRED, caps_reduce(keep), "capset must not be filtered"))
		return false;
	if (bounding_is(keep))
		return true;
	errno = EPERM;
	return step(e, LAYER_CAPS, may_lack ? NEED_OPTIONAL : NEED_REQUIRED, -1,
	    "emptying the bounding set needs a user namespace or root");
}
