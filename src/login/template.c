/*
 * worker_spawn = fork: this process has loaded and rehearsed everything, and
 * forks a child for each connection.  The child is the launcher's (CLONE_PARENT)
 * and shares with its template nothing but pages that neither writes.
 */
#include <errno.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "ipc/fds.h"
#include "ipc/filters.h"
#include "login/heap.h"
#include "login/control.h"
#include "login/worker.h"

/* What a connection takes from the arena, populated in one go. */
#define POPULATE ((size_t)160 << 10)

static void __attribute__((noreturn))
child_main(struct worker *w, const struct conn_info *info)
{
	static const struct rlimit none;

	heap_fork(POPULATE);
	setrlimit(RLIMIT_NPROC, &none); /* here, not in the template: its clone would fail */
	if (w->set.exec_plan.nofile < w->set.template_plan.nofile)
		worker_limit_fds(w->set.exec_plan.nofile); /* a site has narrowed login */
	if (w->set.template_plan.seccomp != NEED_OFF && filters_install(FILTER_LOGIN) == -1)
		fatal(EX_OSERR, "cannot install the login filter");
	single_serve(w, info);
}

/*
 * First steps of a child: close everything but 2-6, a stack canary of its own
 * (mechanisms 6), and away.  Must not be inlined, must not return, and has no
 * canary itself.
 */
static void __attribute__((noreturn, noinline, no_stack_protector))
child(struct worker *w, const struct conn_info *info)
{
	unsigned long canary = 0;

	if (close_range(0, 1, 0) == -1 || close_range(FD_CONTROL, ~0U, 0) == -1 ||
	    getrandom(&canary, sizeof(canary), 0) != (ssize_t)sizeof(canary))
		_exit(EX_OSERR);
#if defined(__x86_64__)
	canary &= ~0xffUL; /* a zero byte stops string functions */
	__asm__ volatile("mov %0, %%fs:0x28" : : "r"(canary) : "memory");
#endif
	child_main(w, info);
}

static void
serve(struct worker *w, const struct conn_info *info)
{
	long pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		child(w, info);
	if (pid == -1) {
		log_warn("cannot fork a worker (service %s)", service_name(info->service));
		control_done(info->id);
	} else {
		control_forked(info->id, (uint32_t)pid);
	}
	close_range(FD_CLIENT, FD_MAIL, 0);
}

int
template_run(struct worker *w)
{
	struct conn_info info;
	int fds[4], n;

	while ((n = control_take(&info, fds, true)) == 1) {
		/* 0, 1 and 2 are taken, so they must have come as these: the
		 * policies pin the numbers. */
		if (fds[0] != FD_CLIENT || fds[1] != FD_AUTH || fds[2] != FD_SIGNER ||
		    fds[3] != FD_MAIL)
			fatalx(EX_SOFTWARE, "descriptors of a connection came as %d %d %d %d", fds[0],
			    fds[1], fds[2], fds[3]);
		serve(w, &info);
	}
	if (n == -1)
		fatal(EX_PROTOCOL, "unexpected message from the launcher");
	return EX_OK;
}

int
exec_run(struct worker *w)
{
	static const struct rlimit none;
	struct conn_info info;
	int fds[4], n = control_take(&info, fds, true);

	if (n == -1)
		fatal(EX_PROTOCOL, "unexpected message from the launcher");
	if (n == 0)
		return EX_OK;
	if (fds[0] != FD_CLIENT || fds[3] != FD_MAIL)
		fatalx(EX_SOFTWARE, "descriptors of a connection came as %d .. %d", fds[0], fds[3]);
	setrlimit(RLIMIT_NPROC, &none);
	if (close_range(0, 1, 0) == -1 || close_range(FD_CONTROL, ~0U, 0) == -1)
		fatal(EX_OSERR, "cannot close descriptors");
	if (w->set.exec_plan.seccomp != NEED_OFF && filters_install(FILTER_LOGIN_FULL) == -1)
		fatal(EX_OSERR, "cannot install the login filter");
	single_serve(w, &info);
}
