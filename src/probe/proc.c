/* PROC: more processes, and others' processes. */
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include "probe/numbers.h"
#include "probe/sys.h"

static uint8_t thread_stack[4096] __attribute__((aligned(16)));

/* All forms end at once in the child (sys_spawn). */
static struct outcome
proc_spawn(const struct test *t)
{
	long rv = sys_spawn(t->nr, t->a[0], t->a[1], 0, 0, 0);

	return rv > 0 ? opened("a process was made") : refused(rv);
}

static struct outcome
proc_thread(const struct test *t)
{
	long rv = sys_spawn(SYS_clone, t->a[0], ARG(thread_stack + sizeof(thread_stack)), 0, 0, 0);

	return rv > 0 ? opened("a thread was made") : refused(rv);
}

static struct outcome
proc_clone3(const struct test *t)
{
	static struct clone_args args;
	long rv;

	args.flags = (uint64_t)t->a[0];
	args.exit_signal = t->a[1] != 0 ? (uint64_t)t->a[1] : 0;
	rv = sys_spawn(NR_CLONE3, ARG(&args), sizeof(args), 0, 0, 0);
	return rv > 0 ? opened("a process was made") : refused(rv);
}

static struct outcome
proc_timer_thread(const struct test *t)
{
	static struct {
		uint64_t value;
		int signo, notify, tid;
		char rest[44];
	} ev = {.signo = SIGURG, .notify = 4 /* SIGEV_THREAD_ID */};
	static int timer;

	(void)t;
	ev.tid = (int)quiet6(SYS_gettid, 0, 0, 0, 0, 0, 0);
	return open_if(sys3(SYS_timer_create, 1, &ev, &timer));
}

/* ---- others ----------------------------------------------------------------- */

/* a[0]: 0 the process above us, 1 a sibling. */
static long
target(const struct test *t)
{
	return t->a[0] == 0 ? place.parent : place.victim;
}

static struct outcome
proc_ptrace(const struct test *t)
{
	long pid = target(t), rv;

	rv = sys4(SYS_ptrace, t->nr, pid > 0 ? pid : 1, 0, 0);
	if (rv == 0 && t->nr != PTRACE_TRACEME)
		quiet6(SYS_ptrace, PTRACE_DETACH, pid, 0, 0, 0, 0);
	if (t->nr != PTRACE_TRACEME && pid == 0)
		return skipped("no sibling is known here");
	return open_if(rv);
}

static const volatile char mark[16] = "gatehouse-probe";

static struct outcome
proc_vm_read(const struct test *t)
{
	static char copy[16];
	struct iovec mine = {copy, sizeof(copy)};
	struct iovec theirs = {(void *)(uintptr_t)mark, sizeof(copy)};
	long pid = target(t);
	long rv = sys6(t->nr, pid > 0 ? pid : 1, ARG(&mine), 1, ARG(&theirs), 1, 0);

	if (pid == 0)
		return skipped("no sibling is known here");
	if (rv < 0)
		return refused(rv);
	return t->nr == SYS_process_vm_writev || copy[0] == 'g' ? opened("its memory")
								 : blocked("nothing of it");
}

static struct outcome
proc_pidfd(const struct test *t)
{
	long pid = target(t), fd, rv = -1;

	fd = sys2(NR_PIDFD_OPEN, pid > 0 ? pid : 1, 0);
	if (pid == 0)
		return skipped("no sibling is known here");
	if (fd < 0)
		return refused(fd);
	switch (t->nr) {
	case 0:
		rv = 0;
		break;
	case NR_PIDFD_GETFD:
		rv = sys3(NR_PIDFD_GETFD, fd, 0, 0);
		break;
	case NR_PIDFD_SEND_SIGNAL:
		rv = sys4(NR_PIDFD_SEND_SIGNAL, fd, 0, 0, 0);
		break;
	case NR_PROCESS_MADVISE: {
		struct iovec v = {(void *)(uintptr_t)scratch, 4096};

		rv = sys5(NR_PROCESS_MADVISE, fd, &v, 1, 20 /* MADV_COLD */, 0);
		break;
	}
	case SYS_setns:
		rv = sys2(SYS_setns, fd, CLONE_NEWUTS);
		break;
	}
	sys1(SYS_close, fd);
	return open_if(rv);
}

static struct outcome
proc_direct(const struct test *t)
{
	return open_if(sys6(t->nr, t->a[0], t->a[1], t->a[2], t->a[3], t->a[4], t->a[5]));
}

/* Signal 0: the check is that of a signal, the effect none. */
static struct outcome
proc_kill(const struct test *t)
{
	static siginfo_t si = {.si_code = SI_QUEUE};
	long pid = target(t), rv = -1;

	if (t->a[0] == 1 && pid == 0)
		pid = -1;
	switch (t->nr) {
	case SYS_kill: rv = sys2(SYS_kill, t->a[0] == 2 ? -1 : pid, 0); break;
	case SYS_tkill: rv = sys2(SYS_tkill, pid, 0); break;
	case SYS_tgkill: rv = sys3(SYS_tgkill, pid, pid, 0); break;
	case SYS_rt_sigqueueinfo: rv = sys3(SYS_rt_sigqueueinfo, pid, 0, &si); break;
	case SYS_rt_tgsigqueueinfo: rv = sys4(SYS_rt_tgsigqueueinfo, pid, pid, 0, &si); break;
	}
	if (t->a[0] == 1 && place.victim == 0)
		return skipped("no sibling is known here");
	return open_if(rv);
}

static struct outcome
proc_setown(const struct test *t)
{
	long rv = sys3(SYS_fcntl, place.client, F_SETOWN, place.parent > 0 ? place.parent : 1);

	(void)t;
	if (rv < 0)
		return refused(rv);
	rv = sys3(SYS_fcntl, place.client, F_GETOWN, 0);
	return rv == place.parent ? opened("the owner is set") : blocked("the owner is not set");
}

static struct outcome
proc_owner_ioctl(const struct test *t)
{
	static int pid;

	pid = (int)place.parent;
	return open_if(sys3(SYS_ioctl, place.client, t->a[0], &pid));
}

static struct outcome
proc_prio(const struct test *t)
{
	long pid = t->a[0] == 2 ? 0 : target(t), rv;

	rv = sys3(SYS_setpriority, 0, pid, 19);
	if (t->a[0] == 1 && pid == 0)
		return skipped("no sibling is known here");
	return open_if(rv);
}

static struct outcome
proc_kcmp(const struct test *t)
{
	long pid = target(t);
	long rv = sys5(SYS_kcmp, pid > 0 ? pid : 1, pid > 0 ? pid : 1, 1, 0, 0);

	if (pid == 0)
		return skipped("no sibling is known here");
	return open_if(rv);
}

static struct outcome
proc_prlimit(const struct test *t)
{
	long pid = target(t);
	long rv = sys4(SYS_prlimit64, pid > 0 ? pid : 1, RLIMIT_NOFILE, 0, scratch);

	if (pid == 0)
		return skipped("no sibling is known here");
	return open_if(rv);
}

#define CALL(nr_, ...) .fn = proc_direct, .nr = (nr_), .a = {__VA_ARGS__}
#define ON(fn_, nr_, who) .fn = fn_, .nr = (nr_), .a = {who}

const struct test proc_tests[] = {
    {"PROC-01.fork", "fork", "RL", .fn = proc_spawn, .nr = NR_FORK},
    {"PROC-01.vfork", "vfork", "RL", .fn = proc_spawn, .nr = NR_VFORK},
    {"PROC-01.clone", "clone", "RL", .fn = proc_spawn, .nr = SYS_clone, .a = {SIGCHLD}},
    {"PROC-01.parent", "clone with CLONE_PARENT", "RL", .fn = proc_spawn, .nr = SYS_clone,
	.a = {CLONE_PARENT | SIGCHLD}},
    {"PROC-01.ptrace", "clone with CLONE_PTRACE", "RL", .fn = proc_spawn, .nr = SYS_clone,
	.a = {CLONE_PTRACE | SIGCHLD}},
    {"PROC-01.vm", "clone with CLONE_VM|CLONE_VFORK", "RL", .fn = proc_spawn, .nr = SYS_clone,
	.a = {CLONE_VM | CLONE_VFORK | SIGCHLD}},
    {"PROC-01.clone3", "clone3", "RL", .fn = proc_clone3, .a = {0, SIGCHLD}},
    {"PROC-02", "a thread", "RL", .fn = proc_thread,
	.a = {CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM}},
    {"PROC-03", "a timer that signals a thread", "", .fn = proc_timer_thread},
    {"PROC-04.traceme", "ptrace TRACEME", "", ON(proc_ptrace, PTRACE_TRACEME, 0)},
    {"PROC-04.attach", "ptrace ATTACH to a sibling", "DUMP", ON(proc_ptrace, PTRACE_ATTACH, 1)},
    {"PROC-04.seize", "ptrace SEIZE of a sibling", "DUMP", ON(proc_ptrace, PTRACE_SEIZE, 1)},
    {"PROC-04.above", "ptrace SEIZE of the process above", "DUMP LL",
	ON(proc_ptrace, PTRACE_SEIZE, 0)},
    {"PROC-05.read", "process_vm_readv of a sibling", "DUMP",
	ON(proc_vm_read, SYS_process_vm_readv, 1)},
    {"PROC-05.write", "process_vm_writev of a sibling", "DUMP",
	ON(proc_vm_read, SYS_process_vm_writev, 1), .flags = T_INFO},
    {"PROC-05.above", "process_vm_readv of the process above", "DUMP LL",
	ON(proc_vm_read, SYS_process_vm_readv, 0)},
    {"PROC-06.open", "pidfd_open of a sibling", "", ON(proc_pidfd, 0, 1)},
    {"PROC-06.getfd", "pidfd_getfd from a sibling", "DUMP", ON(proc_pidfd, NR_PIDFD_GETFD, 1)},
    {"PROC-06.above", "pidfd_getfd from the process above", "DUMP LL",
	ON(proc_pidfd, NR_PIDFD_GETFD, 0)},
    {"PROC-06.signal", "pidfd_send_signal to the process above", "LL",
	ON(proc_pidfd, NR_PIDFD_SEND_SIGNAL, 0)},
    {"PROC-06.clone", "clone with CLONE_PIDFD", "RL", .fn = proc_spawn, .nr = SYS_clone,
	.a = {CLONE_PIDFD | CLONE_PARENT_SETTID * 0 | SIGCHLD}},
    {"PROC-07.sibling", "signal a sibling", "", ON(proc_kill, SYS_kill, 1)},
    {"PROC-07.above", "signal the process above", "LL", ON(proc_kill, SYS_kill, 0)},
    {"PROC-07.all", "signal everybody", "", ON(proc_kill, SYS_kill, 2)},
    {"PROC-07.tkill", "tkill of the process above", "LL", ON(proc_kill, SYS_tkill, 0)},
    {"PROC-07.tgkill", "tgkill of the process above", "LL", ON(proc_kill, SYS_tgkill, 0)},
    {"PROC-07.queue", "rt_sigqueueinfo to the process above", "LL",
	ON(proc_kill, SYS_rt_sigqueueinfo, 0)},
    {"PROC-07.tgqueue", "rt_tgsigqueueinfo to the process above", "LL",
	ON(proc_kill, SYS_rt_tgsigqueueinfo, 0)},
    {"PROC-08.setown", "F_SETOWN to the process above", "", .fn = proc_setown},
    {"PROC-08.setsig", "F_SETSIG", "", CALL(SYS_fcntl, 3, 10, SIGURG)},
    {"PROC-08.async", "O_ASYNC", "", CALL(SYS_fcntl, 3, F_SETFL, O_ASYNC | O_NONBLOCK)},
    {"PROC-08.fiosetown", "FIOSETOWN", "", .fn = proc_owner_ioctl, .a = {0x8901}},
    {"PROC-08.spgrp", "SIOCSPGRP", "", .fn = proc_owner_ioctl, .a = {0x8902}},
    {"PROC-09.mq", "mq_notify", "KERN", CALL(SYS_mq_notify, -1, 0)},
    {"PROC-09.pdeathsig", "PR_SET_PDEATHSIG", "", CALL(SYS_prctl, PR_SET_PDEATHSIG, SIGURG)},
    {"PROC-09.tiocsti", "TIOCSTI on an inherited descriptor", "FD KERN",
	CALL(SYS_ioctl, 3, 0x5412, ARG(scratch))},
    {"PROC-10.madvise", "process_madvise of a sibling", "DUMP",
	ON(proc_pidfd, NR_PROCESS_MADVISE, 1)},
    {"PROC-10.direct", "process_madvise", "KERN", CALL(NR_PROCESS_MADVISE, -1, 0, 0, 0, 0)},
    {"PROC-10.mrelease", "process_mrelease", "KERN", CALL(NR_PROCESS_MRELEASE, -1, 0)},
    {"PROC-11.self", "setpriority of oneself", "", ON(proc_prio, 0, 2)},
    {"PROC-11.sibling", "setpriority of a sibling", "", ON(proc_prio, 0, 1)},
    {"PROC-11.ioprio", "ioprio_set", "", CALL(SYS_ioprio_set, 1, 0, 3 << 13)},
    {"PROC-11.sched", "sched_setattr to batch", "", CALL(SYS_sched_setscheduler, 0, 3, ARG(scratch))},
    {"PROC-11.affinity", "sched_setaffinity", "", CALL(SYS_sched_setaffinity, 0, 8, ARG("\377\377\377\377\377\377\377"))},
    {"PROC-11.mempolicy", "set_mempolicy", "", CALL(SYS_set_mempolicy, 0, 0, 0)},
    {"PROC-11.migrate", "migrate_pages of oneself", "", CALL(SYS_migrate_pages, 0, 0, 0, 0)},
    {"PROC-11.move", "move_pages of oneself", "", CALL(SYS_move_pages, 0, 0, 0, 0, 0, 0)},
    {"PROC-12", "kcmp of a sibling", "DUMP", ON(proc_kcmp, 0, 1)},
    {"PROC-13.read", "prlimit64 of a sibling", "DUMP", ON(proc_prlimit, 0, 1), .flags = T_INFO},
    {"PROC-13.above", "prlimit64 of the process above", "DUMP LL", ON(proc_prlimit, 0, 0),
	.flags = T_INFO},
    {"PROC-14.wait", "wait4", "KERN", CALL(SYS_wait4, -1, 0, 1, 0)},
    {"PROC-14.pgid", "getpgid of the process above", "", .fn = proc_direct, .nr = SYS_getpgid,
	.a = {1}},
    {"PROC-14.sid", "getsid of the process above", "", .fn = proc_direct, .nr = SYS_getsid,
	.a = {1}},
    {"PROC-14.ppid", "getppid", "", CALL(SYS_getppid, 0)},
    {"PROC-14.proc", "/proc/1", "MNT LL", CALL(SYS_openat, AT_FDCWD, ARG("/proc/1/status"), 0, 0)},
    {0},
};
