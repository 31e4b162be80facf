#include "confine/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/str.h"
#include "confine/internal.h"
#include "ipc/fds.h"

#define START_MS 10000

/* What the children say on the pipe; smaller than PIPE_BUF, so never mixed. */
enum word_kind {
	WORD_PID,    /* from the intermediate: pid of PID 1 */
	WORD_LAYERS, /* about to exec */
	WORD_FAILED  /* a layer, or (layer LAYER__MAX) the exec */
};

struct word {
	enum word_kind kind;
	pid_t pid;
	enum layer layer;
	int err;
	char hint[200];
	struct layer_report rep;
};

bool
step(struct entering *e, enum layer l, enum layer_need need, int rv, const char *hint)
{
	int err = errno;

	if (rv == 0) {
		e->rep.state[l] = LAYER_ENFORCED;
		e->rep.err[l] = 0;
		return true;
	}
	e->rep.state[l] = err == ENOSYS || err == EINVAL ? LAYER_ABSENT : LAYER_REFUSED;
	e->rep.err[l] = (int16_t)err;
	if (need != NEED_REQUIRED || (e->req->optional >> l & 1) != 0)
		return true;
	e->failed = l;
	e->failed_err = err;
	str_copy(e->hint, sizeof(e->hint), hint);
	return false;
}

static void
say(int fd, const struct word *w)
{
	while (write(fd, w, sizeof(*w)) == -1 && errno == EINTR)
		;
}

static void __attribute__((noreturn))
give_up(const struct entering *e, int fd, enum layer layer, int err)
{
	struct word w = {.kind = WORD_FAILED, .layer = layer, .err = err, .rep = e->rep};

	str_copy(w.hint, sizeof(w.hint), e->hint);
	say(fd, &w);
	_exit(71);
}

static void
clean_signals(void)
{
	sigset_t none;

	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
	signal(SIGPIPE, SIG_IGN); /* no handlers anywhere; EPIPE says it */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void __attribute__((noreturn))
execute(struct entering *e, int fd)
{
	const struct confine_req *r = e->req;
	char name[64];
	char *argv[] = {name, NULL}, *envp[] = {NULL};
	struct word w = {.kind = WORD_LAYERS};

	str_copy(name, sizeof(name), r->name);
	if (fds_place(r, &fd) == -1)
		give_up(e, fd, LAYER__MAX, errno);
	if (r->outer != NULL)
		e->rep.state[LAYER_OUTER_SECCOMP] = LAYER_ENFORCED; /* or give_up below */
	w.rep = e->rep;
	say(fd, &w);
	if (r->outer != NULL &&
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, r->outer) == -1)
		give_up(e, fd, LAYER_OUTER_SECCOMP, errno);
	syscall(SYS_execveat, FD_IMAGE, "", r->argv != NULL ? r->argv : argv,
	    r->envp != NULL ? r->envp : envp, AT_EMPTY_PATH);
	give_up(e, fd, LAYER__MAX, errno);
}

/* In the new namespaces: root, (without user namespace: ids), capabilities,
 * limits, no_new_privs. */
static bool
inner_layers(struct entering *e, bool ids_late)
{
	if (!root_enter(e) || (ids_late && !ids_enter(e)) || !caps_enter(e) || !limits_enter(e))
		return false;
	return step(e, LAYER_NO_NEW_PRIVS, NEED_REQUIRED, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
	    "prctl must not be filtered");
}

static void __attribute__((noreturn))
first_process(struct entering *e, int fd, int pdeathsig, bool ids_late)
{
	umask(077);
	clean_signals();
	prctl(PR_SET_NAME, e->req->name);
	if (!inner_layers(e, ids_late))
		give_up(e, fd, e->failed, e->failed_err);
	/* After the last change of ids, which clears it. */
	if (pdeathsig != 0 && prctl(PR_SET_PDEATHSIG, pdeathsig) == -1)
		give_up(e, fd, LAYER__MAX, errno);
	execute(e, fd);
}

/*
 * Can root do without a user namespace?  Then the namespaces come first, by its
 * own capabilities, and the ids after the root is made.
 */
static bool
user_namespace_works(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(unshare(CLONE_NEWUSER) == 0 ? 0 : 1);
	return pid != -1 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	    WEXITSTATUS(status) == 0;
}

static void __attribute__((noreturn))
intermediate(const struct confine_req *req, int fd, int pdeathsig)
{
	struct entering e = {.req = req};
	struct word w = {.kind = WORD_PID};
	bool ids_late = req->uid != (uid_t)-1 && req->policy->ns[PNS_USER] != NEED_OFF &&
	    !user_namespace_works();

	if ((!ids_late && !ids_enter(&e)) || !ns_enter_user(&e) || !ns_enter_rest(&e))
		give_up(&e, fd, e.failed, e.failed_err);
	w.pid = (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
	if (w.pid == 0)
		first_process(&e, fd, pdeathsig, ids_late);
	if (w.pid == -1)
		give_up(&e, fd, LAYER_PIDNS, errno);
	say(fd, &w);
	_exit(0);
}

/* ---- the caller's side ---------------------------------------------------- */

static int
left_ms(const struct timespec *start)
{
	struct timespec now;
	long ms;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ms = (now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000;
	return ms >= START_MS ? 0 : (int)(START_MS - ms);
}

static void
explain(const struct confine_req *req, const struct word *w, struct diag *d)
{
	if (w->layer == LAYER__MAX) {
		diag_set(d, NULL, 0, 0, "%s: cannot execute the program: %s", req->name,
		    strerror(w->err));
		return;
	}
	diag_set(d, NULL, 0, 0, "%s: the layer \"%s\" is required and not enforced: %s (%s)",
	    req->name, layer_name(w->layer), strerror(w->err), errno_name(w->err));
	diag_hint(d, "%s%sor set `confine_optional = %s` to do without it", w->hint,
	    w->hint[0] != '\0' ? "; " : "", layer_word(w->layer));
}

/* Read what the children say until the pipe closes.  0: executed. */
static int
listen_to(const struct confine_req *req, int fd, pid_t *pid, struct layer_report *rep,
    struct diag *d)
{
	struct timespec start;
	bool failed = false, layers = false;
	struct word w;

	clock_gettime(CLOCK_MONOTONIC, &start);
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int ready = poll(&p, 1, left_ms(&start));
		ssize_t n;

		if (ready == -1 && errno == EINTR)
			continue;
		if (ready <= 0) {
			diag_set(d, NULL, 0, 0, "%s: no answer within %d s", req->name, START_MS / 1000);
			return -1;
		}
		n = read(fd, &w, sizeof(w));
		if (n != (ssize_t)sizeof(w))
			break;
		if (w.kind == WORD_PID) {
			*pid = w.pid;
		} else {
			*rep = w.rep;
			layers = layers || w.kind == WORD_LAYERS;
			if (w.kind == WORD_FAILED) {
				failed = true;
				explain(req, &w, d);
			}
		}
	}
	if (!failed && !layers)
		diag_set(d, NULL, 0, 0, "%s died on its way behind its walls", req->name);
	return failed || !layers || *pid <= 0 ? -1 : 0;
}

static void
reap(pid_t pid)
{
	while (waitpid(pid, NULL, 0) == -1 && errno == EINTR)
		;
}

int
confine_spawn(const struct confine_req *req, int pdeathsig, pid_t *pid, struct layer_report *rep,
    struct diag *d)
{
	int fds[2], rv;
	pid_t middle;

	*pid = -1;
	memset(rep, 0, sizeof(*rep));
	if (pipe2(fds, O_CLOEXEC) == -1 || (middle = fork()) == -1) {
		diag_set(d, NULL, 0, 0, "%s: cannot fork: %s", req->name, strerror(errno));
		return -1;
	}
	if (middle == 0) {
		close(fds[0]);
		intermediate(req, fds[1], pdeathsig);
	}
	close(fds[1]);
	rv = listen_to(req, fds[0], pid, rep, d);
	close(fds[0]);
	if (rv == -1)
		kill(middle, SIGKILL); /* not reaped yet: the pid is still its own */
	reap(middle);
	if (rv == -1 && *pid > 0) {
		kill(*pid, SIGKILL);
		reap(*pid);
	}
	return rv;
}

/* ---- the supervisor's own ------------------------------------------------- */

int
confine_self(const struct policy *p, struct layer_report *rep, struct diag *d)
{
	static const struct rlimit none;
	struct confine_req req = {.policy = p, .optional = ~UINT64_C(0)};
	struct entering e = {.req = &req};
	uint64_t keep = p->caps;

	if (!user_namespace_works())
		keep |= p->caps_no_userns;
	if (geteuid() == 0) {
		step(&e, LAYER_CAPS, NEED_REQUIRED, caps_reduce(keep), "");
		errno = EPERM;
		if (!caps_are(keep))
			step(&e, LAYER_CAPS, NEED_REQUIRED, -1, "");
	} else {
		step(&e, LAYER_CAPS, NEED_OPTIONAL, caps_reduce(0), "");
	}
	step(&e, LAYER_RLIMITS, NEED_REQUIRED, setrlimit(RLIMIT_CORE, &none), "");
	step(&e, LAYER_NO_NEW_PRIVS, NEED_REQUIRED, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "");
	step(&e, LAYER_DUMPABLE, NEED_REQUIRED, prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "");
	*rep = e.rep;
	if (p->caps_need != NEED_REQUIRED || e.rep.state[LAYER_CAPS] == LAYER_ENFORCED)
		return 0;
	diag_set(d, NULL, 0, 0, "the supervisor cannot give up its capabilities: %s",
	    strerror(e.rep.err[LAYER_CAPS]));
	return -1;
}
