/* PROC: what a process can change about itself, and how it can end. */
#include <signal.h>
#include <sys/prctl.h>

#include "probe/numbers.h"
#include "probe/sys.h"

static struct outcome
proc_dumpable(const struct test *t)
{
	long rv = sys5(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);

	(void)t;
	if (rv < 0)
		return refused(rv);
	return sys1(SYS_prctl, PR_GET_DUMPABLE) == 1 ? opened("dumpable again")
						      : blocked("still not dumpable");
}

/* Once with the value that it has: the effect is that a change would be taken. */
static struct outcome
proc_robust(const struct test *t)
{
	static struct {
		void *next;
		long offset;
		void *pending;
	} head;

	(void)t;
	head.next = &head;
	return open_if(sys2(SYS_set_robust_list, &head, sizeof(head)));
}

static struct outcome
proc_exit(const struct test *t)
{
	report_outcome(blocked("ends with a status"));
	sys1(SYS_exit_group, t->a[0]);
	return opened("still here");
}

static struct outcome
proc_stop(const struct test *t)
{
	long pid = quiet6(SYS_getppid, 0, 0, 0, 0, 0, 0);

	(void)t;
	(void)pid;
	return open_if(sys2(SYS_kill, 0, 0));
}

static volatile uintptr_t nowhere = 16, depth;

static struct outcome
proc_segv(const struct test *t)
{
	(void)t;
	*(volatile int *)nowhere = 1;
	return opened("page 0 is writable");
}

static struct outcome
proc_ill(const struct test *t)
{
	(void)t;
#if defined(__x86_64__)
	__asm__ volatile("ud2");
#else
	__builtin_trap();
#endif
	return opened("came back");
}

static int __attribute__((noinline))
deeper(volatile char *above)
{
	volatile char room[65536];

	room[0] = above != NULL ? above[0] : 1;
	if (depth++ > 1 << 20) /* 64 GiB */
		return 0;
	return deeper(room) + room[0];
}

static struct outcome
proc_overflow(const struct test *t)
{
	(void)t;
	return deeper(NULL) > 0 ? opened("endless stack") : opened("endless stack");
}

#define CALL(nr_, ...) .fn = try_call, .nr = (nr_), .a = {__VA_ARGS__}
#define PRCTL(...) .fn = try_call, .nr = SYS_prctl, .a = {__VA_ARGS__}

const struct test proc_more_tests[] = {
    {"PROC-15.ptracer", "PR_SET_PTRACER", "HOST", PRCTL(0x59616d61, -1)},
    {"PROC-15.dumpable", "PR_SET_DUMPABLE 1", "", .fn = proc_dumpable},
    {"PROC-15.set_mm", "PR_SET_MM", "CAP", PRCTL(35, 6, 0), .flags = T_ROOT | T_REACHED},
    {"PROC-15.name", "PR_SET_NAME", "", PRCTL(PR_SET_NAME, ARG("gatehouse-probe"))},
    {"PROC-15.subreaper", "PR_SET_CHILD_SUBREAPER", "", PRCTL(36, 1)},
    {"PROC-15.capbset", "PR_CAPBSET_DROP", "CAP", PRCTL(24, 25), .flags = T_ROOT},
    {"PROC-15.securebits", "PR_SET_SECUREBITS", "CAP", PRCTL(28, 0), .flags = T_ROOT},
    {"PROC-15.tsc", "PR_SET_TSC enable", "", PRCTL(26, 1)},
    {"PROC-15.slack", "PR_SET_TIMERSLACK", "", PRCTL(29, 1000)},
    {"PROC-15.speculation", "PR_SET_SPECULATION_CTRL", "HOST", PRCTL(53, 0, 2)},
    {"PROC-15.dispatch", "PR_SET_SYSCALL_USER_DISPATCH off", "", PRCTL(59, 0, 0, 0, 0)},
    {"PROC-15.vma", "PR_SET_VMA anonymous name", "HOST",
	PRCTL(0x53564d41, 0, ARG(scratch), 4096, 0)},
    {"PROC-15.merge", "PR_SET_MEMORY_MERGE", "CAP HOST", PRCTL(67, 1, 0, 0, 0)},
    {"PROC-15.core", "PR_SCHED_CORE", "HOST", PRCTL(62, 1, 0, 0, 0)},
    {"PROC-15.nnp", "PR_SET_NO_NEW_PRIVS 0", "KERN", PRCTL(38, 0, 0, 0, 0)},
    {"PROC-15.mdwe", "PR_SET_MDWE 0", "MDWE KERN", PRCTL(65, 0, 0, 0, 0), .flags = T_INFO},
#if defined(__x86_64__)
    {"PROC-16.gs", "arch_prctl ARCH_SET_GS", "", CALL(SYS_arch_prctl, 0x1001, 0)},
    {"PROC-16.get_fs", "arch_prctl ARCH_GET_FS", "", CALL(SYS_arch_prctl, 0x1003, ARG(scratch))},
    {"PROC-16.cpuid", "arch_prctl ARCH_SET_CPUID on", "HOST", CALL(SYS_arch_prctl, 0x1012, 1)},
    {"PROC-16.lam", "arch_prctl tagged addresses", "HOST", CALL(SYS_arch_prctl, 0x4002, 6)},
    {"PROC-16.shstk", "arch_prctl shadow stack off", "HOST", CALL(SYS_arch_prctl, 0x5002, 1)},
    {"PROC-16.xcomp", "arch_prctl ARCH_GET_XCOMP_SUPP", "",
	CALL(SYS_arch_prctl, 0x1021, ARG(scratch))},
#endif
    {"PROC-17.read", "personality", "", CALL(SYS_personality, 0xffffffff)},
    {"PROC-17.exec", "personality READ_IMPLIES_EXEC", "", CALL(SYS_personality, 0x0400000)},
    {"PROC-17.random", "personality ADDR_NO_RANDOMIZE", "", CALL(SYS_personality, 0x0040000)},
    {"PROC-18.robust", "set_robust_list", "", .fn = proc_robust},
    {"PROC-18.get", "get_robust_list", "", CALL(SYS_get_robust_list, 0, ARG(scratch), ARG(scratch + 8))},
    {"PROC-18.rseq", "rseq", "KERN", CALL(SYS_rseq, ARG(scratch), 32, 0, 0)},
    {"PROC-18.tid", "set_tid_address", "", CALL(SYS_set_tid_address, ARG(scratch))},
    {"PROC-19.pgid", "setpgid", "", CALL(SYS_setpgid, 0, 0)},
    {"PROC-19.sid", "setsid", "", CALL(SYS_setsid, 0), .flags = T_INFO},
    {"PROC-19.ctty", "TIOCSCTTY on an inherited descriptor", "FD KERN",
	CALL(SYS_ioctl, 3, 0x540e, 0)},
    {"PROC-19.pgrp", "TIOCSPGRP on an inherited descriptor", "FD KERN",
	CALL(SYS_ioctl, 3, 0x5410, ARG(scratch))},
    {"PROC-19.hangup", "vhangup", "CAP KERN", CALL(SYS_vhangup, 0)},
    {"PROC-20.zero", "end with status 0", "", .fn = proc_exit, .a = {0}, .flags = T_ALLOWED},
    {"PROC-20.one", "end with status 1", "", .fn = proc_exit, .a = {1}, .flags = T_ALLOWED},
    {"PROC-20.many", "end with status 255", "", .fn = proc_exit, .a = {255}, .flags = T_ALLOWED},
    {"PROC-20.signal", "signal the own group", "", .fn = proc_stop},
    {"PROC-21.segv", "crash: SIGSEGV", "KERN", .fn = proc_segv, .flags = T_CRASH | T_NO_CALL},
    {"PROC-21.ill", "crash: SIGILL", "KERN", .fn = proc_ill, .flags = T_CRASH | T_NO_CALL},
    {"PROC-21.stack", "crash: stack overflow", "KERN RL", .fn = proc_overflow,
	.flags = T_CRASH | T_NO_CALL},
    {0},
};
