/*
 * Who a helper is.  Before the user namespace, which maps one id only.
 */
#include <errno.h>
#include <grp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "confine/internal.h"

static int
become(uid_t uid, gid_t gid)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;

	if (setresgid(gid, gid, gid) == -1 || setresuid(uid, uid, uid) == -1)
		return -1;
	if (getresuid(&r, &e, &s) == -1 || getresgid(&rg, &eg, &sg) == -1)
		return -1;
	if (r == uid && e == uid && s == uid && rg == gid && eg == gid && sg == gid)
		return 0;
	errno = EPERM;
	return -1;
}

static bool
drop_groups(struct entering *e)
{
	gid_t mine = getegid(), one[1];
	int n = getgroups(0, NULL);

	if (n == 0 || (n == 1 && getgroups(1, one) == 1 && one[0] == mine)) {
		e->rep.state[LAYER_GROUPS] = LAYER_ENFORCED;
		return true;
	}
	if (setgroups(0, NULL) == 0)
		return step(e, LAYER_GROUPS, NEED_REQUIRED, 0, "");
	/* An ordinary user has no way to drop them: absent, not an error. */
	e->rep.state[LAYER_GROUPS] = LAYER_ABSENT;
	e->rep.err[LAYER_GROUPS] = EPERM;
	return true;
}

bool
ids_enter(struct entering *e)
{
	const struct confine_req *r = e->req;

	if (r->policy->groups_none && !drop_groups(e))
		return false;
	if (r->uid == (uid_t)-1)
		return true;
	if (!step(e, LAYER_IDS, NEED_REQUIRED, become(r->uid, r->gid),
		"only root can give a helper an account of its own"))
		return false;
	/* setresuid has made us non-dumpable: /proc/self/uid_map belongs to root
	 * then, and the map could not be written. */
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0;
}
