#include "confine/late.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/prctl.h>

#include "common/log.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_GET_MDWE 66
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

static char reason[400];

const char *
late_reason(void)
{
	return reason;
}

/* What this errno says: EINVAL is how prctl answers an operation it does not know. */
static enum layer_state
state_of(int err)
{
	return err == ENOSYS || err == EOPNOTSUPP || err == EINVAL || err == ERANGE ? LAYER_ABSENT
										     : LAYER_REFUSED;
}

/* Note what became of a layer: err 0, it holds.  -1: it is required and does not. */
static int
note(struct layer_report *rep, enum layer l, enum layer_need need, int err, const char *way_out)
{
	rep->state[l] = (uint8_t)(err == 0 ? LAYER_ENFORCED : state_of(err));
	rep->err[l] = (int16_t)err;
	if (err == 0 || need != NEED_REQUIRED)
		return 0;
	snprintf(reason, sizeof(reason),
	    "the layer \"%s\" is required and %s (%s): %s; or set `confine_optional = %s` to do "
	    "without", layer_name(l), layer_state_name((enum layer_state)rep->state[l]),
	    errno_name(err), way_out, layer_word(l));
	return -1;
}

/* Also closes /proc/self and ptrace to others of the same uid. */
static int
not_dumpable(void)
{
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1)
		return errno;
	return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : EPERM;
}

static int
deny_write_execute(void)
{
	if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) == -1)
		return errno;
	return (prctl(PR_GET_MDWE, 0, 0, 0, 0) & PR_MDWE_REFUSE_EXEC_GAIN) != 0 ? 0 : EPERM;
}

static int
enter_landlock(const struct late_plan *plan, const struct landlock_rule *rules, unsigned int n,
    struct layer_report *rep)
{
	int abi = landlock_abi(), err = 0;

	if (abi == 0) {
		err = errno;
	} else if ((abi = landlock_enter(abi, rules, n)) == -1) {
		err = errno;
		abi = 0;
	} else if (abi < plan->landlock_min_abi) {
		err = ERANGE; /* it holds, but it is not what was asked for */
	}
	rep->landlock_abi = (uint8_t)abi;
	return note(rep, LAYER_LANDLOCK, (enum layer_need)plan->landlock, err,
	    landlock_way_out(err));
}

int
late_enter(const struct late_plan *plan, struct layer_report *rep)
{
	/* The root is the socket directory: connect to what lies there. */
	const struct landlock_rule sockets = {.path = "/",
	    .rights = landlock_reach(LANDLOCK_CONNECT_UNIX)};

	return late_enter_rules(plan, &sockets, plan->landlock_unix_dir != 0 ? 1 : 0, rep);
}

int
late_enter_rules(const struct late_plan *plan, const struct landlock_rule *rules, unsigned int n,
    struct layer_report *rep)
{
	reason[0] = '\0';
	if (note(rep, LAYER_DUMPABLE, NEED_REQUIRED, not_dumpable(), "prctl is filtered") == -1)
		return -1;
	if (plan->mdwe != NEED_OFF &&
	    note(rep, LAYER_MDWE, (enum layer_need)plan->mdwe, deny_write_execute(),
		"Linux has it since 6.3") == -1)
		return -1;
	if (plan->landlock != NEED_OFF && enter_landlock(plan, rules, n, rep) == -1)
		return -1;
	if (plan->seccomp != NEED_OFF) /* the hello goes out before; late_filter must not fail */
		rep->state[LAYER_SECCOMP] = LAYER_ENFORCED;
	return 0;
}

int
late_filter(const struct late_plan *plan, enum filter_slot slot)
{
	return plan->seccomp == NEED_OFF ? 0 : filters_install(slot);
}
