#include "confine/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/str.h"
#include "confine/internal.h"
#include "confine/late.h"
#include "ipc/fds.h"
#include "policy/eval.h"

/* Against a child that hangs: a mount on a dead server, a debugger. */
int confine_deadline_ms = 10000;

struct start *
start_new(void)
{
	void *p = mmap(NULL, sizeof(struct start), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p != MAP_FAILED ? p : NULL;
}

void
start_free(struct start *s)
{
	if (s != NULL)
		munmap(s, sizeof(*s));
}

/* ---- the children's side --------------------------------------------------- */

static enum layer_state
state_of(int err)
{
	return err == ENOSYS || err == EINVAL || err == EOPNOTSUPP ? LAYER_ABSENT : LAYER_REFUSED;
}

bool
failed(struct entering *e, const char *what)
{
	/* The layer, if it is one, was noted by step(). */
	e->s->err = errno;
	e->s->what = what;
	e->s->failed = true;
	return false;
}

bool
step(struct entering *e, enum layer l, enum layer_need need, int rv, const char *what)
{
	int err = errno;

	if (rv == 0) {
		e->s->rep.state[l] = LAYER_ENFORCED;
		e->s->rep.err[l] = 0;
		return true;
	}
	e->s->rep.state[l] = (uint8_t)state_of(err);
	e->s->rep.err[l] = (int16_t)err;
	e->s->layer = l;
	if (need != NEED_REQUIRED || (e->req->optional >> l & 1) != 0)
		return true;
	errno = err;
	return failed(e, what);
}

static void __attribute__((noreturn))
stop(void)
{
	_exit(71); /* EX_OSERR; nobody reads it: *s says all */
}

/* Raw: the C library keeps two signals for itself, which may be ignored, too. */
static void
default_signals(void)
{
	struct {
		void (*handler)(int);
		unsigned long flags, restorer, mask;
	} sa = {.handler = SIG_DFL};
	sigset_t none;

	for (int s = 1; s < NSIG; s++)
		syscall(SYS_rt_sigaction, s, &sa, NULL, 8UL);
	sa.handler = SIG_IGN;
	syscall(SYS_rt_sigaction, SIGPIPE, &sa, NULL, 8UL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

bool
early_enter(struct entering *e)
{
	struct late_plan plan;
	bool good;

	if (e->req->early == NULL)
		return true;
	plan = *e->req->early;
	plan.seccomp = NEED_OFF; /* the outer filter is all there is */
	if ((e->req->optional >> LAYER_LANDLOCK & 1) != 0 && plan.landlock == NEED_REQUIRED)
		plan.landlock = NEED_OPTIONAL;
	if ((e->req->optional >> LAYER_MDWE & 1) != 0 && plan.mdwe == NEED_REQUIRED)
		plan.mdwe = NEED_OPTIONAL;
	good = (e->req->nreach > 0
		? late_enter_rules(&plan, e->req->reach, e->req->nreach, &e->s->rep)
		: late_enter(&plan, &e->s->rep)) == 0;
	e->s->rep.state[LAYER_DUMPABLE] = LAYER_NOT_ASKED; /* exec undoes it */
	if (good)
		return true;
	e->s->layer = e->s->rep.state[LAYER_LANDLOCK] >= LAYER_ABSENT ? LAYER_LANDLOCK : LAYER_MDWE;
	errno = e->s->rep.err[e->s->layer];
	return failed(e, layer_name(e->s->layer));
}

/* Filter and exec: nothing but memory can be written in between, so all that is
 * to be said is said before, and the errno afterwards. */
static void
execute(struct entering *e)
{
	const struct confine_req *r = e->req;
	char name[64];
	char *plain[] = {name, NULL}, *empty[] = {NULL};
	char *const *argv = r->argv != NULL ? r->argv : plain;
	char *const *envp = r->envp != NULL ? r->envp : empty;

	str_copy(name, sizeof(name), r->name);
	e->s->executing = true;
	if (r->outer != NULL &&
	    !step(e, LAYER_OUTER_SECCOMP, NEED_REQUIRED,
		(int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, r->outer), "seccomp"))
		stop();
	if (r->image_fd != -1)
		syscall(SYS_execveat, FD_IMAGE, "", argv, envp, AT_EMPTY_PATH);
	else
		syscall(SYS_execve, r->path, argv, envp);
	e->s->layer = LAYER__MAX;
	failed(e, "exec");
	stop();
}

/* A parent-death signal is lost by a change of ids, and by a parent that died
 * before it was asked for: then nobody holds the other end any more. */
static bool
follow_parent(struct entering *e)
{
	struct pollfd p = {.fd = e->alive_fd};

	if (e->pdeathsig == 0)
		return true;
	e->s->layer = LAYER__MAX;
	if (prctl(PR_SET_PDEATHSIG, e->pdeathsig, 0, 0, 0) == -1)
		return failed(e, "prctl(PR_SET_PDEATHSIG)");
	if (poll(&p, 1, 0) != 0) {
		errno = ESRCH;
		return failed(e, "parent");
	}
	return true;
}

static bool
first_process(struct entering *e)
{
	umask(077);
	prctl(PR_SET_NAME, e->req->name, 0, 0, 0);
	e->s->layer = LAYER__MAX;
	/* Whoever started us may have had no random layouts, or readable code. */
	if (personality(PER_LINUX) == -1)
		return failed(e, "personality");
	if (fds_place(e->req, &e->alive_fd) == -1)
		return failed(e, "descriptors");
	if (!score_enter(e) || !root_enter(e) || !caps_lock(e))
		return false;
	/* Without a user namespace the steps so far needed the caller's rights. */
	if (!e->userns && !ids_enter(e))
		return false;
	if (!caps_enter(e) || !limits_enter(e) || !follow_parent(e))
		return false;
	return step(e, LAYER_NO_NEW_PRIVS, NEED_REQUIRED, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
		   "prctl(PR_SET_NO_NEW_PRIVS)") &&
	    early_enter(e);
}

/*
 * Makes the namespaces, then PID 1 in them as a child of the caller.  The kernel
 * writes its pid to s->pid before it runs, so that the caller knows it even if
 * this process dies here.
 */
static bool
intermediate(struct entering *e, void (*last)(struct entering *e))
{
	long pid;

	default_signals();
	e->s->layer = LAYER__MAX;
	if (e->userns && (!ids_enter(e) || !ns_enter_user(e)))
		return false;
	if (!ns_enter_rest(e) || !ns_forbid_nesting(e))
		return false;
	pid = syscall(SYS_clone, CLONE_PARENT | CLONE_PARENT_SETTID | SIGCHLD, 0UL, &e->s->pid,
	    0UL, 0UL);
	if (pid == 0) {
		if (first_process(e))
			last(e);
		stop();
	}
	if (pid != -1)
		return true; /* from here on *s is the child's */
	e->s->layer = LAYER__MAX;
	return failed(e, "clone");
}

/* ---- the caller's side ----------------------------------------------------- */

static int
left_ms(const struct timespec *start)
{
	struct timespec now;
	long ms;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ms = (now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000;
	return ms >= confine_deadline_ms ? 0 : (int)(confine_deadline_ms - ms);
}

/* Until every writer of the pipe is gone: ended, or executing something else.
 * False: they took too long. */
static bool
wait_for_end(int fd)
{
	struct timespec start;
	int rv;

	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		rv = poll(&p, 1, left_ms(&start));
	} while (rv == -1 && errno == EINTR);
	return rv == 1;
}

static void
cannot(const struct confine_req *req, const char *what, struct diag *d)
{
	diag_set(d, NULL, 0, 0, "%s: %s: %s (%s)", req->name, what, strerror(errno),
	    errno_name(errno));
}

static void
reap(pid_t pid)
{
	while (waitpid(pid, NULL, 0) == -1 && errno == EINTR)
		;
}

static int
judge(const struct confine_req *req, const struct start *s, bool in_time, struct diag *d)
{
	if (!in_time) {
		diag_set(d, NULL, 0, 0, "%s: not behind its walls within %d ms, killed", req->name,
		    confine_deadline_ms);
		return -1;
	}
	if (s->failed) {
		explain(req, s, d);
		return -1;
	}
	if (s->pid <= 0 || !s->executing) {
		diag_set(d, NULL, 0, 0, "%s: died on its way behind its walls", req->name);
		diag_hint(d, "killed from outside, or by a seccomp filter around us");
		return -1;
	}
	return 0;
}

int
start_child(const struct confine_req *req, int pdeathsig, bool userns,
    void (*last)(struct entering *e), struct start *s, struct diag *d)
{
	struct entering e = {.req = req, .s = s, .userns = userns, .pdeathsig = pdeathsig};
	pid_t middle;
	int fds[2], rv;
	bool in_time;

	if (pipe2(fds, O_CLOEXEC) == -1) {
		cannot(req, "pipe", d);
		return -1;
	}
	middle = fork();
	if (middle == 0) {
		close(fds[0]);
		e.alive_fd = fds[1];
		intermediate(&e, last);
		_exit(0);
	}
	close(fds[1]);
	if (middle == -1) {
		cannot(req, "fork", d);
		close(fds[0]);
		return -1;
	}
	in_time = wait_for_end(fds[0]);
	if (!in_time)
		kill(middle, SIGKILL);
	reap(middle);
	rv = judge(req, s, in_time, d);
	if (rv == -1 && s->pid > 0) {
		kill(s->pid, SIGKILL);
		reap(s->pid);
	}
	close(fds[0]);
	return rv;
}

/*
 * Without a user namespace after all?  If it is not required and could not be
 * made; or if it could, but is worth nothing (AppArmor takes its capabilities
 * away), and root has rights of its own.
 */
static bool
try_without(const struct confine_req *req, const struct start *s)
{
	bool needed = req->policy->ns[PNS_USER] == NEED_REQUIRED &&
	    (req->optional >> LAYER_USERNS & 1) == 0;

	if (!s->failed || needed)
		return false;
	if (s->rep.state[LAYER_USERNS] != LAYER_ENFORCED)
		return s->layer == LAYER_USERNS;
	return geteuid() == 0 && (s->err == EPERM || s->err == EACCES) &&
	    s->layer >= LAYER_MOUNTNS && s->layer <= LAYER_CGROUPNS;
}

int
start_somehow(const struct confine_req *req, int pdeathsig, void (*last)(struct entering *e),
    struct start *s, struct diag *d)
{
	bool userns = req->policy->ns[PNS_USER] != NEED_OFF;
	int err, rv = start_child(req, pdeathsig, userns, last, s, d);
	struct start with;

	if (rv == 0 || !userns || !try_without(req, s))
		return rv;
	with = *s;
	err = s->err;
	memset(s, 0, sizeof(*s));
	s->rep.state[LAYER_USERNS] = (uint8_t)state_of(err);
	s->rep.err[LAYER_USERNS] = (int16_t)err;
	rv = start_child(req, pdeathsig, false, last, s, d);
	/* Of two failures the one that came further is the reason: without a user
	 * namespace it may be for want of a right that we gave up for good. */
	if (rv == -1 && with.layer > LAYER_USERNS && with.layer != LAYER__MAX &&
	    s->layer <= with.layer) {
		*s = with;
		explain(req, s, d);
	}
	return rv;
}

/* What can be told before anything is started; with the filter in force nobody
 * could give the reason any more. */
static int
check_exec(const struct confine_req *req, struct diag *d)
{
	struct seccomp_data sd = {.nr = req->image_fd != -1 ? SYS_execveat : SYS_execve,
	    .arch = policy_audit_arch(policy_native_arch())};
	uint32_t ret;

	if (req->image_fd == -1 && (req->path == NULL || req->policy->root != PROOT_HOST)) {
		diag_set(d, NULL, 0, 0, "%s: no program to execute in this root", req->name);
		return -1;
	}
	if (req->outer == NULL)
		return 0;
	if (req->image_fd != -1) {
		sd.args[0] = FD_IMAGE;
		sd.args[4] = AT_EMPTY_PATH;
	}
	ret = policy_bpf_run(req->outer->filter, req->outer->len, &sd) & SECCOMP_RET_ACTION_FULL;
	if (ret == SECCOMP_RET_ALLOW || ret == SECCOMP_RET_LOG)
		return 0;
	diag_set(d, NULL, 0, 0, "%s: the filter that is installed before exec does not allow %s",
	    req->name, req->image_fd != -1 ? "execveat" : "execve");
	diag_hint(d, "add to the policy: %s", req->image_fd != -1
		? "fd 10 image memfd read, and: allow execveat fd == image  flags == AT_EMPTY_PATH  why \"start\""
		: "allow execve why \"start\"");
	return -1;
}

int
confine_spawn(const struct confine_req *req, int pdeathsig, pid_t *pid, struct layer_report *rep,
    struct diag *d)
{
	struct start *s;
	int rv;

	*pid = -1;
	memset(rep, 0, sizeof(*rep));
	if (check_exec(req, d) == -1)
		return -1;
	s = start_new();
	if (s == NULL) {
		cannot(req, "mmap", d);
		return -1;
	}
	rv = start_somehow(req, pdeathsig, execute, s, d);
	*rep = s->rep;
	if (rv == 0)
		*pid = s->pid;
	start_free(s);
	return rv;
}
