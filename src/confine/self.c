/*
 * The supervisor's own walls, and what this machine could enforce at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine/internal.h"
#include "confine/late.h"

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif
#define NOBODY 65534 /* who a throw-away child becomes if we are root */

/* ---- probe ------------------------------------------------------------------ */

static int
try_secret_memory(void)
{
	long fd = syscall(SYS_memfd_secret, O_CLOEXEC);

	if (fd == -1)
		return -1;
	close((int)fd);
	return 0;
}

static int
try_filter(void)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog prog = {.len = 1, .filter = &allow};

	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog);
}

static void
probe_rest(struct entering *e)
{
	static const struct late_plan plan = {.landlock = NEED_OPTIONAL, .mdwe = NEED_OPTIONAL};

	step(e, LAYER_SECRET_MEM, NEED_OPTIONAL, try_secret_memory(), "");
	late_enter(&plan, &e->s->rep);
	step(e, LAYER_SECCOMP, NEED_OPTIONAL, try_filter(), "");
	e->s->executing = true;
	_exit(0);
}

/* A policy that wants everything and insists on nothing. */
static void
want_all(struct policy *p)
{
	memset(p, 0, sizeof(*p));
	for (int i = 0; i < PNS__MAX; i++)
		p->ns[i] = NEED_OPTIONAL;
	p->nesting = NEED_OPTIONAL;
	p->oom_need = NEED_OPTIONAL; /* 0: as it is, but written */
	p->groups_none = true;
	p->root = PROOT_EMPTY;
	p->root_need = NEED_OPTIONAL;
}

/* Start a child that enters everything it can; true if it came to the end. */
static bool
probe(const struct policy *p, uid_t uid, bool userns, struct layer_report *rep)
{
	struct confine_req req = {.policy = p, .name = "gatehouse-probe", .uid = uid, .gid = uid,
	    .image_fd = -1, .optional = ~UINT64_C(0)};
	struct start *s = start_new();
	struct diag d;
	bool good;

	if (s == NULL)
		return false;
	good = (userns ? start_somehow(&req, 0, probe_rest, s, &d)
		       : start_child(&req, 0, false, probe_rest, s, &d)) == 0;
	if (good)
		while (waitpid(s->pid, NULL, 0) == -1 && errno == EINTR)
			;
	*rep = s->rep;
	start_free(s);
	return good;
}

static uid_t
probe_uid(void)
{
	return geteuid() == 0 ? NOBODY : (uid_t)-1;
}

void
confine_probe(struct layer_report *rep)
{
	static struct policy p; /* half a megabyte */

	want_all(&p);
	memset(rep, 0, sizeof(*rep));
	probe(&p, probe_uid(), true, rep);
}

/* A user namespace that can do something: on some systems it is made, but gives
 * no right to mount. */
static bool
userns_works(void)
{
	static struct policy p;
	struct layer_report rep;

	memset(&p, 0, sizeof(p));
	p.ns[PNS_USER] = p.ns[PNS_MOUNT] = NEED_OPTIONAL;
	p.root = PROOT_EMPTY;
	p.root_need = NEED_OPTIONAL;
	return probe(&p, probe_uid(), true, &rep) && rep.state[LAYER_USERNS] == LAYER_ENFORCED &&
	    rep.state[LAYER_ROOT] == LAYER_ENFORCED;
}

/* ---- the supervisor --------------------------------------------------------- */

static bool
only_ours(struct entering *e, const struct policy *p, bool userns)
{
	bool root = geteuid() == 0;
	uint64_t keep = root ? p->caps | (userns ? 0 : p->caps_no_userns) : 0;

	if (step(e, LAYER_CAPS, p->caps_need, caps_keep_only(keep), "capset"))
		return true;
	/* Only root, or whoever has CAP_SETPCAP, can empty the bounding set. */
	if (root)
		return false;
	e->s->failed = false;
	return true;
}

static bool
supervisor_layers(struct entering *e, const struct policy *p, bool userns)
{
	struct late_plan plan = {.mdwe = (uint8_t)p->mdwe};

	if (!only_ours(e, p, userns) || !limits_enter(e) ||
	    !step(e, LAYER_NO_NEW_PRIVS, NEED_REQUIRED, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
		"prctl(PR_SET_NO_NEW_PRIVS)"))
		return false;
	if (late_enter(&plan, &e->s->rep) == 0)
		return true;
	e->s->layer = LAYER_MDWE;
	errno = e->s->rep.err[LAYER_MDWE];
	if (e->s->rep.state[LAYER_DUMPABLE] != LAYER_ENFORCED) {
		e->s->layer = LAYER_DUMPABLE;
		errno = e->s->rep.err[LAYER_DUMPABLE];
	}
	return failed(e, layer_name(e->s->layer));
}

int
confine_self(const struct policy *p, struct layer_report *rep, struct diag *d)
{
	struct confine_req req = {.policy = p, .name = "gatehouse", .image_fd = -1};
	struct start s = {0};
	struct entering e = {.req = &req, .s = &s};
	/* Before anything is given up: the children's way decides what we need. */
	bool good = supervisor_layers(&e, p, userns_works());

	*rep = s.rep;
	if (good)
		return 0;
	explain(&req, &s, d);
	return -1;
}
