#include "tools/trace.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "policy/eval.h"

#ifndef SECCOMP_USER_NOTIF_FLAG_CONTINUE
#define SECCOMP_USER_NOTIF_FLAG_CONTINUE 1UL
#endif
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

/* What the child says before it executes: without a system call, since each of
 * them may already be one that has to be answered. */
struct words {
	volatile int listener; /* -1: none yet */
	volatile int err;      /* of the filter, or of exec */
	volatile bool failed, no_exec;
};

struct run {
	int listener, pidfd;
	pid_t pid;
	int status;
	bool ended;
	struct seccomp_notif_sizes sizes;
	struct seccomp_notif *in;
	struct seccomp_notif_resp *out;
};

void
trace_ask_instead(struct policy_bpf *b)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->insn[i].code == (BPF_RET | BPF_K) &&
		    policy_ret_rank(b->insn[i].k) < policy_ret_rank(SECCOMP_RET_ERRNO))
			b->insn[i].k = SECCOMP_RET_USER_NOTIF;
}

/* Shares its descriptors with the parent until exec, so that the listener is the
 * parent's as soon as it is there. */
static void __attribute__((noreturn))
child(const struct policy_bpf *b, const char *path, char **argv, struct words *w)
{
	struct sock_fprog prog = {.len = (unsigned short)b->n, .filter = b->insn};
	long fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER |
	    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &prog);
	if (fd == -1 && errno == EINVAL) /* before Linux 5.19 */
		fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
		    &prog);
	if (fd == -1) {
		w->err = errno;
		w->failed = true;
		_exit(127);
	}
	w->listener = (int)fd;
	execve(path, argv, environ);
	w->err = errno;
	w->no_exec = true;
	_exit(127);
}

static bool
start(struct run *r, const struct policy_bpf *b, const char *path, char **argv, struct words *w)
{
	static const struct timespec ms = {.tv_nsec = 1000000};

	/* glibc's fork handlers are of no use to a child that only executes */
	r->pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	if (r->pid == 0)
		child(b, path, argv, w);
	if (r->pid == -1)
		return false;
	while (w->listener == -1 && !w->failed &&
	    waitpid(r->pid, &r->status, WNOHANG) == 0)
		nanosleep(&ms, NULL);
	r->listener = w->listener;
	if (r->listener != -1)
		r->pidfd = (int)syscall(SYS_pidfd_open, r->pid, 0);
	if (r->listener != -1 && r->pidfd != -1)
		return true;
	errno = w->failed ? w->err : errno;
	return false;
}

static void
reply(struct run *r, trace_fn fn, void *ctx)
{
	memset(r->in, 0, r->sizes.seccomp_notif);
	if (ioctl(r->listener, SECCOMP_IOCTL_NOTIF_RECV, r->in) == -1)
		return; /* ENOENT: it has been killed meanwhile */
	fn(ctx, (pid_t)r->in->pid, &r->in->data);
	memset(r->out, 0, r->sizes.seccomp_notif_resp);
	r->out->id = r->in->id;
	r->out->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	ioctl(r->listener, SECCOMP_IOCTL_NOTIF_SEND, r->out);
}

/* Until nobody lives under the filter any more. */
static void
serve(struct run *r, trace_fn fn, void *ctx)
{
	struct pollfd p[2] = {{.fd = r->listener, .events = POLLIN},
	    {.fd = r->pidfd, .events = POLLIN}};

	while (p[0].fd != -1) {
		if (poll(p, 2, -1) == -1)
			continue;
		if ((p[0].revents & POLLIN) != 0)
			reply(r, fn, ctx);
		else if ((p[0].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0)
			p[0].fd = -1;
		if (!r->ended && p[1].revents != 0) {
			r->ended = waitpid(r->pid, &r->status, WNOHANG) == r->pid;
			p[1].fd = r->ended ? -1 : r->pidfd;
		}
	}
	while (!r->ended && waitpid(r->pid, &r->status, 0) == -1 && errno == EINTR)
		;
}

static bool
prepare(struct run *r)
{
	if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &r->sizes) == -1)
		return false;
	if (r->sizes.seccomp_notif < sizeof(*r->in))
		r->sizes.seccomp_notif = sizeof(*r->in);
	if (r->sizes.seccomp_notif_resp < sizeof(*r->out))
		r->sizes.seccomp_notif_resp = sizeof(*r->out);
	r->in = calloc(1, r->sizes.seccomp_notif);
	r->out = calloc(1, r->sizes.seccomp_notif_resp);
	return r->in != NULL && r->out != NULL;
}

int
trace_run(const struct policy_bpf *b, const char *path, char **argv, trace_fn fn, void *ctx,
    int *status, char *why, size_t cap)
{
	struct words *w = mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
	    -1, 0);
	struct run r = {.listener = -1, .pidfd = -1};
	int rv = -1;

	if (w == MAP_FAILED)
		return -1;
	w->listener = -1;
	w->err = 0;
	w->failed = w->no_exec = false;
	signal(SIGCHLD, SIG_DFL);
	if (!prepare(&r)) {
		snprintf(why, cap, "seccomp user notification: %s (Linux has it since 5.5)",
		    strerror(errno));
	} else if (!start(&r, b, path, argv, w)) {
		snprintf(why, cap, "cannot install the filter: %s%s", strerror(errno),
		    errno == EBUSY ? " (somebody traces us in this way already)" : "");
		if (r.pid > 0)
			waitpid(r.pid, NULL, WNOHANG);
	} else {
		/* The terminal's signals are the program's. */
		signal(SIGINT, SIG_IGN);
		signal(SIGQUIT, SIG_IGN);
		serve(&r, fn, ctx);
		*status = r.status;
		rv = w->no_exec ? -1 : 0;
		if (rv == -1)
			snprintf(why, cap, "cannot execute %s: %s", path, strerror(w->err));
	}
	if (r.listener != -1)
		close(r.listener);
	if (r.pidfd != -1)
		close(r.pidfd);
	free(r.in);
	free(r.out);
	munmap(w, sizeof(*w));
	return rv;
}
