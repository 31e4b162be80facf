/*
 * Who a helper is.  With a user namespace this comes before it: one id is mapped
 * there, and from then on it cannot be changed.
 */
#include <errno.h>
#include <grp.h>
#include <unistd.h>

#include "confine/internal.h"

/* getgroups may name the primary group: that one is no right of its own. */
static bool
no_other_groups(gid_t own)
{
	gid_t list[2];
	int n = getgroups(0, NULL);

	return n == 0 || (n == 1 && getgroups(1, list) == 1 && list[0] == own);
}

static bool
drop_groups(struct entering *e, gid_t own)
{
	struct layer_report *rep = &e->s->rep;

	if (geteuid() == 0) {
		int rv = setgroups(0, NULL);

		if (rv == 0 && getgroups(0, NULL) != 0) {
			errno = EPERM;
			rv = -1;
		}
		return step(e, LAYER_GROUPS, NEED_REQUIRED, rv, "setgroups");
	}
	if (no_other_groups(own))
		return step(e, LAYER_GROUPS, NEED_REQUIRED, 0, "");
	/* An ordinary user has no right to drop them, neither here nor in a user
	 * namespace of his own: absent, and no reason not to start. */
	rep->state[LAYER_GROUPS] = LAYER_ABSENT;
	rep->err[LAYER_GROUPS] = EPERM;
	return true;
}

static int
become(uid_t uid, gid_t gid)
{
	uid_t u[3];
	gid_t g[3];

	if (setresgid(gid, gid, gid) == -1 || setresuid(uid, uid, uid) == -1)
		return -1;
	if (getresuid(&u[0], &u[1], &u[2]) == -1 || getresgid(&g[0], &g[1], &g[2]) == -1)
		return -1;
	for (int i = 0; i < 3; i++) {
		if (u[i] != uid || g[i] != gid) {
			errno = EPERM;
			return -1;
		}
	}
	return 0;
}

bool
ids_enter(struct entering *e)
{
	const struct confine_req *r = e->req;
	bool own = r->uid != (uid_t)-1;

	if (r->policy->groups_none && !drop_groups(e, own ? r->gid : getegid()))
		return false;
	return !own ||
	    step(e, LAYER_IDS, NEED_REQUIRED, become(r->uid, r->gid), "setresgid, setresuid");
}
