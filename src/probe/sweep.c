/* SWEEP: every number of every calling convention. */
#include "probe/sweep.h"

#include "probe/numbers.h"
#include "probe/sys.h"

/* With any argument they end, stop or duplicate the process, or change something
 * beyond it.  They are tried by rows of their own. */
static const short never[] = {SYS_exit, SYS_exit_group, SYS_rt_sigreturn, SYS_sync, SYS_vhangup,
    SYS_restart_syscall, SYS_munlockall, SYS_setsid,
#if defined(__x86_64__)
    SYS_fork, SYS_vfork, SYS_pause,
#endif
    -1};
/* i386: exit fork pause sync vhangup sigreturn rt_sigreturn vfork exit_group
 * munlockall setsid restart_syscall */
static const short never_i386[] = {1, 2, 29, 36, 111, 119, 173, 190, 252, 153, 66, 0, -1};

bool
sweep_never(enum abi abi, long nr)
{
	const short *list = abi == ABI_I386 ? never_i386 : never;

	for (; *list != -1; list++)
		if (*list == nr)
			return true;
	return false;
}

/* Descriptors -1, pointers into nothing, flags with every bit: refused behind the
 * filter, and before any effect.  (msgget would make a queue with every flag.) */
long
sweep_call(enum abi abi, long nr)
{
	static const long all[6] = {-1, -1, -1, -1, -1, -1}, zero[6];

	return sys_abi(abi, nr, nr == SYS_msgget || (abi == ABI_I386 && nr == 399) ? zero : all);
}

static void
say(char what, long nr, long rv)
{
	char line[64], *p = line;

	*p++ = what;
	*p++ = ' ';
	p = put_hex(p, (uint64_t)nr);
	*p++ = ' ';
	p = put_hex(p, (uint64_t)rv);
	*p++ = '\n';
	report_line(line, (size_t)(p - line));
}

static long
hex(const char **p)
{
	uint64_t v = 0;

	for (; **p != '\0' && **p != ':'; (*p)++)
		v = v << 4 | (uint64_t)(**p <= '9' ? **p - '0' : **p - 'a' + 10);
	if (**p == ':')
		(*p)++;
	return (long)v;
}

void
sweep_order(const char *spec)
{
	enum abi abi = *spec == 'i' ? ABI_I386 : *spec == '3' ? ABI_X32 : ABI_NATIVE;
	const char *p = spec + 2;
	long from = hex(&p), to = *p != '\0' ? hex(&p) : from;

	for (long nr = from; nr <= to; nr++) {
		if (sweep_never(abi, nr))
			say('N', nr, 0);
		else
			say('V', nr, sweep_call(abi, nr));
	}
	report_outcome(blocked("through"));
}

void
sweep_call_order(const char *spec)
{
	long nr = hex(&spec), a[6] = {0};

	for (int i = 0; i < 6 && *spec != '\0'; i++)
		a[i] = hex(&spec);
	say('V', nr, sys_abi(ABI_NATIVE, nr, a));
	report_outcome(opened("came back"));
}

/* ---- single rows --------------------------------------------------------------- */

/* By number alone: ENOSYS is a kernel that has none. */
static struct outcome
sweep_number(const struct test *t)
{
	static const long all[6] = {-1, -1, -1, -1, -1, -1};
	long rv = sys_abi((enum abi)t->a[0], t->nr, all);

	return rv == -38 ? refused(rv) : opened("it came back from the kernel");
}

/* Ignored by the kernel, so that it is the call without it. */
static struct outcome
sweep_bit32(const struct test *t)
{
	static const long none[6];
	long rv = sys_abi(ABI_NATIVE, t->nr | 1L << 32, none);

	return rv == -38 ? refused(rv) : opened("taken for the number without bit 32");
}

static struct outcome
sweep_fds(const struct test *t)
{
	long rv = sys3(t->nr, t->a[0], scratch, t->nr == SYS_write ? 0 : 1);

	return rv == -9 ? refused(rv) : opened("not refused by number");
}

#if defined(__x86_64__)
static struct outcome
sweep_vsyscall(const struct test *t)
{
	long (*entry)(long *) = (long (*)(long *))(0xffffffffff600000 + t->a[0]);
	static const long none[6];

	(void)none;
	report_line("T v 0 0 0 0 0 0 0\n", 18);
	return entry((long *)(void *)scratch) >= 0 ? opened("answered") : blocked("refused");
}

static struct outcome
sweep_vsyscall_read(const struct test *t)
{
	(void)t;
	return *(volatile unsigned char *)0xffffffffff600000 != 0 ? opened("readable")
								  : opened("readable, and zero");
}

/* lcall through a call gate that is not there. */
static struct outcome
sweep_lcall(const struct test *t)
{
	static const struct __attribute__((packed)) {
		unsigned int off;
		unsigned short sel;
	} gate = {0, 0x07};

	(void)t;
	__asm__ volatile("lcall *%0" : : "m"(gate) : "memory", "rax", "rcx", "rdx");
	return opened("the gate answered");
}

/* To the 32-bit code segment and back: below 4 GiB there is no code of ours, so that
 * the fault shows that the switch itself leads nowhere. */
static struct outcome
sweep_farjump(const struct test *t)
{
	(void)t;
	__asm__ volatile("pushq $0x23\n\t"
			 "pushq $0x1000\n\t"
			 "lretq" : : : "memory");
	return opened("came back");
}

static struct outcome
sweep_sysenter(const struct test *t)
{
	(void)t;
	report_line("T i 14 0 0 0 0 0 0\n", 19);
	__asm__ volatile("mov $20, %%eax\n\tsysenter" : : : "rax", "rcx", "rdx", "rbp", "r11", "memory");
	return opened("came back");
}
#endif

static struct outcome
sweep_stacked(const struct test *t)
{
	return open_if(sys3(SYS_seccomp, 1, t->a[0], &allow_all));
}

#define NUM(abi, nr_) .fn = sweep_number, .nr = (nr_), .a = {abi}

const struct test sweep_tests[] = {
    {"SWEEP-64", "every number by the syscall instruction", "", .a = {ABI_NATIVE},
	.flags = T_SWEEP | T_INFO},
    {"SWEEP-X32", "the same with bit 30 (x32)", "KERN", .a = {ABI_X32},
	.flags = T_SWEEP | T_INFO},
    {"SWEEP-I386", "every number by int 0x80 (i386)", "", .a = {ABI_I386},
	.flags = T_SWEEP | T_INFO},
    {"SWEEP-NEG.minus", "number -1", "KERN", NUM(ABI_NATIVE, -1)},
    {"SWEEP-NEG.max", "number 0x7fffffff", "KERN", NUM(ABI_NATIVE, 0x7fffffff)},
    {"SWEEP-NEG.bit31", "getuid with bit 31", "KERN", NUM(ABI_NATIVE, SYS_getuid | 1L << 31)},
    {"SWEEP-NEG.bit32", "getuid with bit 32", "", .fn = sweep_bit32, .nr = SYS_getuid},
    {"SWEEP-FD.read", "read on descriptor 2000", "FD", .fn = sweep_fds, .nr = SYS_read, .a = {2000}},
    {"SWEEP-FD.write", "write on descriptor 2000", "FD", .fn = sweep_fds, .nr = SYS_write,
	.a = {2000}},
    {"SWEEP-FD.minus", "read on descriptor -1", "FD", .fn = sweep_fds, .nr = SYS_read, .a = {-1}},
    {"SWEEP-FD.cwd", "write on AT_FDCWD", "FD", .fn = sweep_fds, .nr = SYS_write, .a = {-100}},
    {"SWEEP-FD.max", "write on INT_MAX", "FD", .fn = sweep_fds, .nr = SYS_write, .a = {0x7fffffff}},
#if defined(__x86_64__)
    {"SWEEP-VSYS.gettimeofday", "vsyscall gettimeofday", "", .fn = sweep_vsyscall, .a = {0}},
    {"SWEEP-VSYS.time", "vsyscall time", "", .fn = sweep_vsyscall, .a = {0x400}},
    {"SWEEP-VSYS.getcpu", "vsyscall getcpu", "", .fn = sweep_vsyscall, .a = {0x800}},
    {"SWEEP-VSYS.read", "read the vsyscall page", "KERN", .fn = sweep_vsyscall_read,
	.flags = T_CRASH | T_NO_CALL},
    {"SWEEP-INSN.lcall", "lcall 7", "KERN", .fn = sweep_lcall, .flags = T_CRASH | T_NO_CALL},
    {"SWEEP-INSN.far", "far return to the 32-bit code segment", "KERN", .fn = sweep_farjump,
	.flags = T_CRASH | T_NO_CALL},
    {"SWEEP-INSN.sysenter", "sysenter (i386 getpid)", "KERN", .fn = sweep_sysenter,
	.flags = T_CRASH},
    {"SWEEP-KNOWN.335", "uretprobe: the kernel passes it by every filter", "KERN",
	NUM(ABI_NATIVE, NR_URETPROBE), .flags = T_KNOWN | T_CRASH},
    {"SWEEP-KNOWN.336", "uprobe: the kernel passes it by every filter", "KERN",
	NUM(ABI_NATIVE, NR_UPROBE), .flags = T_KNOWN | T_CRASH},
#endif
    {"SWEEP-STACKED.allow", "a further filter that allows everything", "", .fn = sweep_stacked},
    {"SWEEP-STACKED.listener", "a further filter with a listener", "", .fn = sweep_stacked, .a = {8}},
    {0},
};
