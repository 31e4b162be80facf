/*
 * worker_spawn = fork: this process has loaded and rehearsed everything, and
 * forks a child for each connection, or, where process_min_avail asks for them,
 * before.  The child is the launcher's (CLONE_PARENT) and shares with its template
 * nothing but pages that neither writes.
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

/* What a handshake takes from the arena, populated in one go (measured, up to the
 * login): 33 KiB of small blocks, and of the large ones the first, which holds
 * handshake messages.  What more would cost is 100 workers' memory: of the record
 * buffers behind it a page or two are used. */
#define POPULATE ((size_t)36 << 10)
#define POPULATE_LARGE ((size_t)28 << 10)

/* 0, 1 and 2 are taken, so they must have come as these: the policies pin the
 * numbers. */
static void
check_numbers(const int fds[MSG_FDS_MAX])
{
	for (int i = 0; i < 4; i++)
		if (fds[i] != FD_CLIENT + i)
			fatalx(EX_SOFTWARE, "descriptor %d of a connection came as %d", i, fds[i]);
}

/* The connection has come, and not one byte of it is read: nothing above its
 * descriptors stays, the filter comes, and away. */
static void __attribute__((noreturn))
serve_one(struct worker *w, const struct conn_info *info, enum filter_slot filter,
    const struct late_plan *plan)
{
	static const struct rlimit none;

	if (close_range(0, 1, 0) == -1 || close_range(FD_CONTROL, ~0U, 0) == -1)
		fatal(EX_OSERR, "cannot close descriptors");
	/* here, not in the template: its clone would fail */
	if (setrlimit(RLIMIT_NPROC, &none) == -1)
		fatal(EX_OSERR, "setrlimit");
	if (w->set.exec_plan.nofile < w->set.template_plan.nofile)
		worker_limit_fds(w->set.exec_plan.nofile); /* a site has narrowed login */
	if (plan->seccomp != NEED_OFF && filters_install(filter) == -1)
		fatal(EX_OSERR, "cannot install the login filter");
	single_serve(w, info);
}

/* Returns only when there will be none. */
static void
wait_and_serve(struct worker *w, int control, enum filter_slot filter,
    const struct late_plan *plan)
{
	struct conn_info info;
	int fds[MSG_FDS_MAX];
	enum control_word word = control_take(control, &info, fds, true);

	if (word == CONTROL_END)
		return;
	if (word != CONTROL_CONN)
		fatal(EX_PROTOCOL, "unexpected message from the launcher");
	check_numbers(fds);
	serve_one(w, &info, filter, plan);
}

static void __attribute__((noreturn))
child_main(struct worker *w, const struct conn_info *info, bool waiting)
{
	static const struct rlimit none;

	if (waiting || (info->flags & CONN_TLS_IMPLICIT) != 0)
		heap_fork(POPULATE, POPULATE_LARGE);
	else
		heap_fork(0, 0);
	if (!waiting)
		serve_one(w, info, FILTER_LOGIN, &w->set.template_plan);
	/* The placeholders make room for its connection; the template's channel is
	 * not for it. */
	if (close_range(FD_CLIENT, FD_CONTROL, 0) == -1 ||
	    setrlimit(RLIMIT_NPROC, &none) == -1)
		fatal(EX_OSERR, "a waiting child cannot close descriptors");
	wait_and_serve(w, FD_WAIT, FILTER_LOGIN, &w->set.template_plan);
	_exit(EX_OK);
}

/*
 * First step of a child: a stack canary of its own (mechanisms 6), and away.  Must
 * not be inlined, must not return, and has no canary itself.
 */
static void __attribute__((noreturn, noinline, no_stack_protector))
child(struct worker *w, const struct conn_info *info, bool waiting)
{
	unsigned long canary = 0;

	if (getrandom(&canary, sizeof(canary), 0) != (ssize_t)sizeof(canary))
		_exit(EX_OSERR);
#if defined(__x86_64__)
	canary &= ~0xffUL; /* a zero byte stops string functions */
	__asm__ volatile("mov %0, %%fs:0x28" : : "r"(canary) : "memory");
#endif
	child_main(w, info, waiting);
}

static void
fork_one(struct worker *w, const struct conn_info *info, bool waiting)
{
	long pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		child(w, info, waiting);
	if (pid == -1)
		log_warn("cannot fork a worker (service %s)", service_name(w->service));
	if (pid == -1 && !waiting)
		control_done(info->id);
	else
		control_forked(waiting, info->id, pid == -1 ? 0 : (uint32_t)pid);
	close_range(FD_CLIENT, FD_MAIL, 0);
	if (waiting)
		close_range(FD_WAIT, FD_WAIT, 0);
}

int
template_run(struct worker *w)
{
	enum control_word word;
	struct conn_info info;
	int fds[MSG_FDS_MAX];

	while ((word = control_take(FD_CONTROL, &info, fds, true)) > CONTROL_END) {
		check_numbers(fds);
		if (word == CONTROL_FORK && fds[4] != FD_WAIT)
			fatalx(EX_SOFTWARE, "a child's channel came as %d", fds[4]);
		fork_one(w, &info, word == CONTROL_FORK);
	}
	if (word == CONTROL_BAD)
		fatal(EX_PROTOCOL, "unexpected message from the launcher");
	return EX_OK;
}

int
exec_run(struct worker *w)
{
	wait_and_serve(w, FD_CONTROL, FILTER_LOGIN_FULL, &w->set.exec_plan);
	return EX_OK;
}
