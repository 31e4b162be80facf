/*
 * What an administrator reads when a process did not get behind its walls: which
 * layer, which call, why, and the way out.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "confine/internal.h"

#define USERNS_SYSCTLS                                                             \
	"sysctl user.max_user_namespaces > 0, kernel.unprivileged_userns_clone = 1, "  \
	"kernel.apparmor_restrict_unprivileged_userns = 0"

static const char *const way_out[LAYER__MAX] = {
    [LAYER_IDS] = "only root can give a process an account of its own",
    [LAYER_GROUPS] = "setgroups must be possible for root: is it inside of a user namespace?",
    [LAYER_USERNS] = USERNS_SYSCTLS ", and no seccomp profile of a container around us",
    [LAYER_MOUNTNS] = "needs CAP_SYS_ADMIN or a user namespace",
    [LAYER_NETNS] = "needs CAP_SYS_ADMIN or a user namespace",
    [LAYER_PIDNS] = "needs CAP_SYS_ADMIN or a user namespace",
    [LAYER_IPCNS] = "needs CAP_SYS_ADMIN or a user namespace",
    [LAYER_UTSNS] = "needs CAP_SYS_ADMIN or a user namespace",
    [LAYER_CGROUPNS] = "needs CAP_SYS_ADMIN or a user namespace",
    [LAYER_NESTING] = "needs a user namespace, and a /proc/sys/user that can be written in it",
    [LAYER_OOM_SCORE] = "needs a /proc in which a process can write its own oom_score_adj",
    [LAYER_ROOT] = "mounting must be possible in a mount namespace of its own",
    [LAYER_CAPS] = "capset and prctl must not be filtered around us",
    [LAYER_SECUREBITS] = "needs CAP_SETPCAP or a user namespace",
    [LAYER_RLIMITS] = "the policy names a limit that this system does not know, or refuses",
    [LAYER_NO_NEW_PRIVS] = "prctl must not be filtered around us",
    [LAYER_OUTER_SECCOMP] = "needs CONFIG_SECCOMP_FILTER, and no filter around us that denies it",
};

/* The layers that cannot be had without namespaces, if the policy has them. */
static void
list_missing(const struct policy *p, char *dst, size_t cap)
{
	static const enum layer of[PNS__MAX] = {LAYER_USERNS, LAYER_MOUNTNS, LAYER_NETNS,
	    LAYER_PIDNS, LAYER_IPCNS, LAYER_UTSNS, LAYER_CGROUPNS};
	size_t n = 0;

	dst[0] = '\0';
	for (int i = 0; i < PNS__MAX && n < cap; i++)
		if (p->ns[i] == NEED_REQUIRED)
			n += (size_t)snprintf(dst + n, cap - n, "%s%s", n > 0 ? " " : "",
			    layer_word(of[i]));
	if (p->root != PROOT_HOST && p->root_need == NEED_REQUIRED && n < cap)
		snprintf(dst + n, cap - n, "%s%s", n > 0 ? " " : "", layer_word(LAYER_ROOT));
}

static bool
wants_userns(const struct start *s)
{
	return s->layer >= LAYER_MOUNTNS && s->layer <= LAYER_ROOT && s->layer != LAYER_OOM_SCORE &&
	    s->rep.state[LAYER_USERNS] >= LAYER_ABSENT;
}

static void
hint(const struct confine_req *req, const struct start *s, struct diag *d)
{
	char missing[64];

	if (wants_userns(s)) {
		list_missing(req->policy, missing, sizeof(missing));
		diag_hint(d, "no user namespace (%s): " USERNS_SYSCTLS
			     "; or without these walls: `confine_optional = %s`",
		    errno_name(s->rep.err[LAYER_USERNS]), missing);
	} else if (s->layer == LAYER_ROOT && req->policy->root == PROOT_SOCKETS &&
	    (s->err == ENOENT || s->err == EACCES || s->err == ENOTDIR)) {
		diag_hint(d, "%s must be a directory that the process's account can reach",
		    req->root_dir != NULL ? req->root_dir : "login_socket_dir");
	} else {
		diag_hint(d, "%s; or without this wall: `confine_optional = %s`",
		    way_out[s->layer] != NULL ? way_out[s->layer] : "see gatehouse policy doctor",
		    layer_word(s->layer));
	}
}

void
explain(const struct confine_req *req, const struct start *s, struct diag *d)
{
	const char *what = s->what != NULL ? s->what : "start";

	if (s->layer == LAYER__MAX) {
		diag_set(d, NULL, 0, 0, "%s: %s: %s (%s)", req->name, what, strerror(s->err),
		    errno_name(s->err));
		return;
	}
	diag_set(d, NULL, 0, 0, "%s: the layer \"%s\" is required and not enforced: %s: %s (%s)",
	    req->name, layer_name(s->layer), what, strerror(s->err), errno_name(s->err));
	hint(req, s, d);
}
