#include "confine/late.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "common/log.h"
#include "confine/landlock.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

static char reason[320];

const char *
late_reason(void)
{
	return reason;
}

/* Note what became of a layer.  False: it is required and does not hold. */
static bool
note(struct layer_report *rep, enum layer l, enum layer_need need, int rv, const char *way_out)
{
	int err = errno;
	bool lacking = err == ENOSYS || err == EINVAL || err == EOPNOTSUPP;

	if (rv == 0) {
		rep->state[l] = LAYER_ENFORCED;
		rep->err[l] = 0;
		return true;
	}
	rep->state[l] = lacking ? LAYER_ABSENT : LAYER_REFUSED;
	rep->err[l] = (int16_t)err;
	if (need != NEED_REQUIRED)
		return true;
	snprintf(reason, sizeof(reason), "the layer \"%s\" is required and not enforced: %s (%s); %s",
	    layer_name(l), lacking ? "this kernel does not offer it" : "the kernel refused it",
	    errno_name(err), way_out);
	return false;
}

static int
not_dumpable(void)
{
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1)
		return -1;
	if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0)
		return 0;
	errno = EPERM;
	return -1;
}

static bool
enter_landlock(const struct late_plan *plan, struct layer_report *rep)
{
	int abi = landlock_abi(), rv = -1;

	rep->landlock_abi = (uint8_t)(abi > 255 ? 255 : abi);
	if (abi != 0 && abi < plan->landlock_min_abi)
		errno = ENOSYS;
	else if (abi != 0)
		rv = landlock_enter(abi, plan->landlock_unix_dir != 0);
	return note(rep, LAYER_LANDLOCK, (enum layer_need)plan->landlock, rv,
	    "boot with landlock in lsm=, allow it in an outer seccomp profile, or set "
	    "`confine_optional = landlock`");
}

int
late_enter(const struct late_plan *plan, struct layer_report *rep)
{
	if (!note(rep, LAYER_DUMPABLE, NEED_REQUIRED, not_dumpable(), "prctl must not be filtered"))
		return -1;
	if (plan->mdwe != NEED_OFF &&
	    !note(rep, LAYER_MDWE, (enum layer_need)plan->mdwe,
		prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0),
		"Linux 6.3 has it, or set `confine_optional = mdwe`"))
		return -1;
	if (plan->landlock != NEED_OFF && !enter_landlock(plan, rep))
		return -1;
	if (plan->seccomp != NEED_OFF)
		rep->state[LAYER_SECCOMP] = LAYER_ENFORCED;
	return 0;
}

int
late_filter(const struct late_plan *plan, enum filter_slot slot)
{
	return plan->seccomp == NEED_OFF ? 0 : filters_install(slot);
}
