/* SEC: ways round the filter itself. */
#include <signal.h>
#include <sys/prctl.h>

#include "probe/numbers.h"
#include "probe/sys.h"

/* A call that a worker has, by another calling convention. */
static struct outcome
sec_abi(const struct test *t)
{
	const long a[6] = {t->a[1], ARG(scratch), 0, 0, 0, 0};
	long rv = sys_abi((enum abi)t->a[0], t->nr, a);

	return rv == -38 ? refused(rv) : opened("answered");
}

/* The same object for the kernel, another value for the filter. */
static struct outcome
sec_high(const struct test *t)
{
	long rv = sys6(t->nr, t->a[0], t->a[1], t->a[2], t->a[3], t->a[4], 0);

	return rv >= 0 ? opened("taken") : refused(rv);
}

static volatile int handled;

static void
on_sys(int sig)
{
	(void)sig;
	handled = 1;
}

/* With the kernel's own structure: libc's would need a restorer of ours. */
static struct outcome
sec_handler(const struct test *t)
{
	static struct {
		void (*handler)(int);
		unsigned long flags;
		void *restorer;
		unsigned long mask;
	} act = {.handler = on_sys};
	long rv = sys4(SYS_rt_sigaction, SIGSYS, &act, 0, 8);

	(void)t;
	if (rv < 0)
		return refused(rv);
	sys1(SYS_close, -1);
	return handled ? opened("the handler ran instead") : opened("a handler could be set");
}

static struct outcome
sec_filter(const struct test *t)
{
	if (t->nr == SYS_prctl)
		return open_if(sys5(SYS_prctl, 22, 2, &allow_all, 0, 0));
	return open_if(sys3(SYS_seccomp, t->a[0], t->a[1], &allow_all));
}

static struct outcome
sec_sigreturn(const struct test *t)
{
	(void)t;
	sys0(SYS_rt_sigreturn);
	return opened("came back");
}

static struct outcome
sec_direct(const struct test *t)
{
	return open_if(sys6(t->nr, t->a[0], t->a[1], t->a[2], t->a[3], t->a[4], t->a[5]));
}

/* Does any forbidden call answer? Each in its turn; the first is the last. */
static struct outcome
sec_oracle(const struct test *t)
{
	static const short calls[] = {SYS_getuid, SYS_getppid, SYS_sched_yield, SYS_uname, SYS_umask};

	(void)t;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		sys1(calls[i], scratch);
	return opened("calls answer");
}

#define CALL(nr_, ...) .fn = sec_direct, .nr = (nr_), .a = {__VA_ARGS__}
#define HIGH(nr_, ...) .fn = sec_high, .nr = (nr_), .a = {__VA_ARGS__}
#define BIT32 (1L << 32)

const struct test sec_tests[] = {
#if defined(__x86_64__)
    {"SEC-01.read", "i386 read, by int 0x80", "", .fn = sec_abi, .nr = 3, .a = {ABI_I386, 3}},
    {"SEC-01.write", "i386 write, by int 0x80", "", .fn = sec_abi, .nr = 4, .a = {ABI_I386, 3}},
    {"SEC-01.zero", "i386 restart_syscall (read's number)", "", .fn = sec_abi, .nr = 0,
	.a = {ABI_I386, 3}},
    {"SEC-01.one", "i386 unlink (number 10)", "", .fn = sec_abi, .nr = 10, .a = {ABI_I386, 0}},
    {"SEC-01.ppoll", "i386 ppoll", "", .fn = sec_abi, .nr = 309, .a = {ABI_I386, 0}},
    {"SEC-01.getrandom", "i386 getrandom", "", .fn = sec_abi, .nr = 355, .a = {ABI_I386, 0}},
    {"SEC-01.seccomp", "i386 seccomp", "", .fn = sec_abi, .nr = 354, .a = {ABI_I386, 1}},
    {"SEC-02.read", "x32 read", "KERN", .fn = sec_abi, .nr = 0, .a = {ABI_X32, 3}},
    {"SEC-02.write", "x32 write", "KERN", .fn = sec_abi, .nr = 1, .a = {ABI_X32, 3}},
    {"SEC-02.ppoll", "x32 ppoll", "KERN", .fn = sec_abi, .nr = 271, .a = {ABI_X32, 0}},
    {"SEC-02.getrandom", "x32 getrandom", "KERN", .fn = sec_abi, .nr = 318, .a = {ABI_X32, 0}},
#endif
    {"SEC-03.write", "write: descriptor with bit 32", "", HIGH(SYS_write, 3 | BIT32, ARG(scratch), 0)},
    {"SEC-03.read", "read: descriptor with bit 32", "", HIGH(SYS_read, 6 | BIT32, ARG(scratch), 0)},
    {"SEC-03.ppoll", "ppoll: 5 descriptors", "", HIGH(SYS_ppoll, ARG(scratch + 3000), 5, ARG(scratch + 3500), 0, 0)},
    {"SEC-03.ppoll_high", "ppoll: number with bit 32", "RL HOST",
	HIGH(SYS_ppoll, ARG(scratch + 3000), BIT32, ARG(scratch + 3500), 0, 0)},
    {"SEC-03.sigmask", "ppoll with a signal mask", "",
	HIGH(SYS_ppoll, ARG(scratch + 3000), 0, ARG(scratch + 3500), ARG(scratch + 3600), 8)},
    {"SEC-03.getrandom", "getrandom: 257 bytes", "", HIGH(SYS_getrandom, ARG(scratch), 257, 0)},
    {"SEC-03.random_flags", "getrandom: GRND_RANDOM", "", HIGH(SYS_getrandom, ARG(scratch), 8, 2)},
    {"SEC-03.random_high", "getrandom: flags with bit 32", "",
	HIGH(SYS_getrandom, ARG(scratch), 8, BIT32)},
    {"SEC-04", "write: descriptor -100", "KERN", HIGH(SYS_write, -100, ARG(scratch), 0)},
    {"SEC-06", "restart_syscall", "KERN", CALL(SYS_restart_syscall, 0)},
    {"SEC-07", "rt_sigreturn with no frame", "KERN", .fn = sec_sigreturn, .flags = T_CRASH},
    {"SEC-08", "a handler for SIGSYS", "", .fn = sec_handler},
    {"SEC-09", "does any forbidden call answer", "", .fn = sec_oracle},
    {"SEC-10.more", "another filter", "NNP", .fn = sec_filter, .nr = SYS_seccomp, .a = {1, 0},
	.flags = T_INFO},
    {"SEC-10.prctl", "another filter, by prctl", "NNP", .fn = sec_filter, .nr = SYS_prctl,
	.flags = T_INFO},
    {"SEC-10.strict", "strict mode, flags set", "KERN", .fn = sec_filter, .nr = SYS_seccomp,
	.a = {0, 1}},
    {"SEC-11.listener", "a filter with a listener", "NNP", .fn = sec_filter, .nr = SYS_seccomp,
	.a = {1, 8}, .flags = T_INFO},
    {"SEC-11.sizes", "sizes of notifications", "", CALL(SYS_seccomp, 3, 0, ARG(scratch))},
    {"SEC-12.sysemu", "ptrace SYSEMU of the process above", "KERN", CALL(SYS_ptrace, 31, 1, 0, 0)},
    {"SEC-12.dispatch", "system call user dispatch", "HOST",
	CALL(SYS_prctl, 59, 1, 0, 0x7fffffffffff, 0)},
    {"SEC-16", "clock_gettime of a clock that has no vDSO", "", CALL(SYS_clock_gettime, 3, ARG(scratch))},
    {"SEC-16.id", "clock_gettime of another process's clock", "KERN",
	CALL(SYS_clock_gettime, -6, ARG(scratch)), .flags = T_INFO},
    {0},
};
