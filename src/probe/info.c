/* INFO: what can be learned. */
#include <sys/utsname.h>

#include "probe/numbers.h"
#include "probe/sys.h"

static struct outcome
info_uname(const struct test *t)
{
	static struct utsname u;
	long rv = sys1(SYS_uname, &u);

	(void)t;
	return open_if(rv);
}

#if defined(__x86_64__)
static struct outcome
info_instruction(const struct test *t)
{
	struct __attribute__((packed)) {
		unsigned short limit;
		unsigned long base;
	} table = {0, 0};
	unsigned long word = 0;

	switch (t->a[0]) {
	case 0: __asm__ volatile("sidt %0" : "=m"(table)); break;
	case 1: __asm__ volatile("sgdt %0" : "=m"(table)); break;
	case 2: __asm__ volatile("smsw %0" : "=r"(word)); break;
	case 3: __asm__ volatile("str %0" : "=r"(word)); break;
	default: __asm__ volatile("sldt %0" : "=r"(word)); break;
	}
	/* UMIP gives dummies: a base in the kernel's half is a real one. */
	return (table.base >> 47) == 0x1ffff && table.base != 0xfffffffffffe0000UL &&
		table.base != 0xffffffffffff0000UL && table.base < 0xffffff0000000000UL
	    ? opened("a kernel address")
	    : blocked("a dummy, or nothing");
}

static struct outcome
info_rdpmc(const struct test *t)
{
	unsigned int low, high;

	(void)t;
	__asm__ volatile("rdpmc" : "=a"(low), "=d"(high) : "c"(0));
	return opened("performance counters are readable");
}

static struct outcome
info_rdtsc(const struct test *t)
{
	unsigned int low, high;

	(void)t;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return opened("as documented: the clock of the vDSO needs it");
}
#endif

/* Fresh stack: not ours, not zero. */
static struct outcome __attribute__((noinline))
info_stack(const struct test *t)
{
	static const char pem[] = "-----BEGIN ";
	volatile char *low = __builtin_frame_address(0);

	(void)t;
	low -= 16384;
	for (int i = 0; i < 12000; i++) {
		int k = 0;

		while (k < 11 && low[i + k] == pem[k])
			k++;
		if (k == 11)
			return opened("somebody's PEM text on the stack");
	}
	return blocked("nothing of others");
}

#define CALL(nr_, ...) .fn = try_call, .nr = (nr_), .a = {__VA_ARGS__}
#define READS(path) .fn = info_file, .a = {ARG(path)}

static struct outcome
info_file(const struct test *t)
{
	long fd = sys4(SYS_openat, -100, t->a[0], 0, 0), n;

	if (fd < 0)
		return refused(fd);
	n = sys3(SYS_read, fd, scratch, 64);
	sys1(SYS_close, fd);
	return n > 0 ? opened("readable") : refused(n);
}

const struct test info_tests[] = {
    {"INFO-01.uname", "uname", "", .fn = info_uname},
    {"INFO-01.sysinfo", "sysinfo", "", CALL(SYS_sysinfo, ARG(scratch))},
    {"INFO-01.rusage", "getrusage", "", CALL(SYS_getrusage, 0, ARG(scratch))},
    {"INFO-01.times", "times", "", CALL(SYS_times, ARG(scratch))},
    {"INFO-01.cpu", "getcpu", "", CALL(SYS_getcpu, ARG(scratch), 0, 0)},
    {"INFO-01.affinity", "sched_getaffinity", "", CALL(SYS_sched_getaffinity, 0, 128, ARG(scratch))},
    {"INFO-01.proc", "/proc/version", "MNT LL", READS("/proc/version")},
    {"INFO-01.cpuinfo", "/proc/cpuinfo", "MNT LL", READS("/proc/cpuinfo")},
    {"INFO-01.sys", "/sys", "MNT LL", READS("/sys/kernel/mm/transparent_hugepage/enabled")},
    {"INFO-02.syslog", "the kernel's log", "HOST CAP", CALL(SYS_syslog, 3, ARG(scratch), 512),
	.flags = T_ROOT},
    {"INFO-02.kallsyms", "/proc/kallsyms", "MNT LL", READS("/proc/kallsyms")},
#if defined(__x86_64__)
    {"INFO-02.sidt", "sidt", "KERN", .fn = info_instruction, .a = {0}, .flags = T_NO_CALL | T_INFO},
    {"INFO-02.sgdt", "sgdt", "KERN", .fn = info_instruction, .a = {1}, .flags = T_NO_CALL | T_INFO},
    {"INFO-02.smsw", "smsw", "KERN", .fn = info_instruction, .a = {2}, .flags = T_NO_CALL | T_INFO},
    {"INFO-02.str", "str", "KERN", .fn = info_instruction, .a = {3}, .flags = T_NO_CALL | T_INFO},
    {"INFO-02.sldt", "sldt", "KERN", .fn = info_instruction, .a = {4}, .flags = T_NO_CALL | T_INFO},
    {"INFO-05.rdpmc", "rdpmc", "KERN", .fn = info_rdpmc, .flags = T_CRASH | T_NO_CALL},
    {"INFO-05.rdtsc", "rdtsc", "", .fn = info_rdtsc, .flags = T_NO_CALL | T_INFO},
#endif
    {"INFO-06.pid", "getpid (answered with 0)", "", CALL(SYS_getpid, 0), .flags = T_INFO},
    {"INFO-06.tid", "gettid", "", CALL(SYS_gettid, 0)},
    {"INFO-06.uid", "getuid", "", CALL(SYS_getuid, 0)},
    {"INFO-06.euid", "geteuid", "", CALL(SYS_geteuid, 0)},
    {"INFO-06.groups", "getgroups", "", CALL(SYS_getgroups, 0, 0)},
    {"INFO-06.resuid", "getresuid", "", CALL(SYS_getresuid, ARG(scratch), ARG(scratch + 8), ARG(scratch + 16))},
    {"INFO-07", "what lies on a fresh stack", "KERN", .fn = info_stack, .flags = T_NO_CALL},
    {0},
};
