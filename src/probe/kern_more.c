/* KERN: more of the kernel; none of these is used by a worker. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "probe/numbers.h"
#include "probe/sys.h"

/* Without root's rights only: with them it would be tried for real. */
static struct outcome
kern_module(const struct test *t)
{
	long uid = quiet6(SYS_geteuid, 0, 0, 0, 0, 0, 0);

	if (place.here && uid == 0)
		return skipped("not as root");
	return open_if(sys6(t->nr, t->a[0], t->a[1], t->a[2], t->a[3], t->a[4], 0));
}

static struct outcome
kern_remap(const struct test *t)
{
	long p = sys6(SYS_mmap, 0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	(void)t;
	if (p < 0 && p > -4096)
		return refused(p);
	return open_if(sys5(SYS_remap_file_pages, p, 4096, 0, 1, 0));
}

/* Every value, on a page of our own. */
static struct outcome
kern_madvise(const struct test *t)
{
	int n = 0;
	long rv = 0;

	(void)t;
	for (long advice = 0; advice < 26; advice++) {
		rv = sys3(SYS_madvise, scratch, 4096, advice);
		n += rv == 0;
	}
	return n > 0 ? opened("some advice is taken") : refused(rv);
}

static struct outcome
kern_vmsplice(const struct test *t)
{
	static int p[2];
	struct iovec v = {scratch, 16};
	long rv = sys4(SYS_vmsplice, place.client, &v, 1, 0);

	(void)t;
	if (quiet3(SYS_pipe2, p, 0, 0) < 0)
		return refused(rv);
	return open_if(sys4(SYS_vmsplice, p[1], &v, 1, 0));
}

static struct outcome
kern_tee(const struct test *t)
{
	static int p[2], q[2];
	long rv = sys4(SYS_tee, place.client, place.mail, 1, 2);

	(void)t;
	if (quiet3(SYS_pipe2, p, 0, 0) < 0 || quiet3(SYS_pipe2, q, 0, 0) < 0 ||
	    quiet3(SYS_write, p[1], "x", 1) != 1)
		return refused(rv);
	return open_if(sys4(SYS_tee, p[0], q[1], 1, 2));
}

static struct outcome
kern_shm(const struct test *t)
{
	long id = sys3(SYS_shmget, 0, 4096, 0600 | t->a[0]), p;

	if (id < 0)
		return refused(id);
	p = sys3(SYS_shmat, id, 0, t->a[1]);
	sys3(SYS_shmctl, id, 0, 0);
	return p < 0 && p > -4096 ? refused(p) : opened("shared memory");
}

static struct outcome
kern_futex_pi(const struct test *t)
{
	static unsigned int word[2];
	/* FUTEX_CMP_REQUEUE_PI of nobody */
	long rv = sys6(SYS_futex, ARG(&word[0]), 12, 1, 0, ARG(&word[1]), 0);

	(void)t;
	return open_if(rv);
}

static struct outcome
kern_ioctls(const struct test *t)
{
	static const unsigned int cmds[] = {0x541b, 0x5421, 0x5450, 0x5451, 0x8905, 0x8906, 0x8910,
	    0x8912, 0x8913, 0x8927, 0x5401, 0x894c};
	int n = 0;
	long rv = 0;

	(void)t;
	for (size_t i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++) {
		rv = sys3(SYS_ioctl, place.client, cmds[i], scratch);
		n += rv >= 0;
	}
	return n > 0 ? opened("commands are taken") : refused(rv);
}

static struct outcome
kern_oob(const struct test *t)
{
	struct iovec v = {scratch, 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};

	if (t->nr == SYS_sendmsg)
		return open_if(sys3(SYS_sendmsg, place.mail, &m, t->a[0] | MSG_DONTWAIT));
	if (t->nr == SYS_recvmsg) {
		long rv = sys3(SYS_recvmsg, place.mail, &m, t->a[0] | MSG_DONTWAIT);

		/* nothing is there, and that is an answer */
		return rv == -11 ? opened("taken") : open_if(rv);
	}
	if (t->nr == SYS_sendto)
		return open_if(sys6(SYS_sendto, place.client, ARG(scratch), 0, t->a[0], 0, 0));
	return open_if(sys6(SYS_recvfrom, place.client, ARG(scratch), 1, t->a[0] | MSG_DONTWAIT, 0, 0));
}

/* Bad pointers to what a worker may call: EFAULT, and it lives. */
static struct outcome
kern_pointer(const struct test *t)
{
	long rv;

	switch (t->a[0]) {
	case 0: rv = sys3(SYS_write, place.client, 8, 16); break;
	case 1: rv = sys3(SYS_read, place.client, t->what, 1); break;
	case 2: rv = sys6(SYS_ppoll, 8, 2, ARG(scratch), 0, 0, 0); break;
	case 3: rv = sys3(SYS_getrandom, 8, 16, 0); break;
	default: rv = sys3(SYS_write, place.client, -4096, 4096); break;
	}
	return rv >= 0 ? blocked("took it without harm") : refused(rv);
}

#define CALL(nr_, ...) .fn = try_call, .nr = (nr_), .a = {__VA_ARGS__}
#define FD(nr_, ...) .fn = try_fd, .nr = (nr_), .a = {__VA_ARGS__}
#define MOD(nr_, ...) .fn = kern_module, .nr = (nr_), .a = {__VA_ARGS__}

const struct test kern_more_tests[] = {
    {"KERN-13.init", "init_module", "CAP KERN", MOD(SYS_init_module, ARG(scratch), 0, ARG(""))},
    {"KERN-13.finit", "finit_module", "CAP KERN", MOD(SYS_finit_module, -1, ARG(""), 0)},
    {"KERN-13.delete", "delete_module", "CAP KERN",
	MOD(SYS_delete_module, ARG("gatehouse_probe_none"), 0x800)},
#ifdef SYS_kexec_load
    {"KERN-13.kexec", "kexec_load", "CAP KERN", MOD(SYS_kexec_load, 0, 0, 0, 0xffff0000)},
#endif
    {"KERN-14.iopl", "iopl", "CAP", CALL(NR_IOPL, 3), .flags = T_ROOT},
    {"KERN-14.ioperm", "ioperm", "CAP", CALL(NR_IOPERM, 0x80, 1, 1), .flags = T_ROOT},
    {"KERN-14.ldt", "modify_ldt", "", CALL(NR_MODIFY_LDT, 0, ARG(scratch), 64)},
    {"KERN-14.thread_area", "set_thread_area", "KERN", CALL(NR_SET_THREAD_AREA, ARG(scratch))},
    {"KERN-15.mremap", "mremap", "", CALL(SYS_mremap, ARG(scratch), 4096, 4096, 0, 0)},
    {"KERN-15.remap", "remap_file_pages", "", .fn = kern_remap},
    {"KERN-15.low", "map page 0", "HOST",
	CALL(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)},
    {"KERN-15.grow", "a mapping that grows down", "",
	CALL(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN,
	    -1, 0)},
    {"KERN-15.madvise", "every advice", "", .fn = kern_madvise},
    {"KERN-15.mbind", "mbind", "HOST", CALL(SYS_mbind, ARG(scratch), 4096, 0, 0, 0, 0)},
    {"KERN-16.vmsplice", "vmsplice into a pipe", "", .fn = kern_vmsplice},
    {"KERN-16.tee", "tee between pipes", "", .fn = kern_tee},
    {"KERN-17.shm", "System V shared memory", "", .fn = kern_shm, .a = {01000}},
    {"KERN-17.sem", "System V semaphores", "", CALL(SYS_semget, 0, 1, 01600)},
    {"KERN-17.msg", "System V messages", "", CALL(SYS_msgget, 0, 01600)},
    {"KERN-17.mq", "POSIX message queue", "RL HOST",
	CALL(SYS_mq_open, ARG("gatehouse-probe"), O_RDWR | O_CREAT, 0600, 0)},
    {"KERN-18.pi", "futex: requeue with priority inheritance", "", .fn = kern_futex_pi},
    {"KERN-18.wake", "futex: wake", "", CALL(SYS_futex, ARG(scratch), 1, 1)},
    {"KERN-18.wake2", "futex_wake", "HOST", CALL(NR_FUTEX_WAKE, ARG(scratch), ~0U, 1, 2)},
    {"KERN-18.waitv", "futex_waitv", "HOST", CALL(NR_FUTEX_WAITV, ARG(scratch), 0, 0, 0, 0),
	.flags = T_REACHED},
    {"KERN-19.seccomp", "seccomp: is an action available", "",
	CALL(SYS_seccomp, 2, 0, ARG("\0\0\377\177"))},
    {"KERN-19.prctl", "PR_GET_SECCOMP", "", CALL(SYS_prctl, 21)},
    {"KERN-20.timer", "timer_create", "", CALL(SYS_timer_create, 1, 0, ARG(scratch))},
    {"KERN-20.timerfd", "timerfd_create", "", FD(SYS_timerfd_create, 1, 0)},
    {"KERN-20.itimer", "setitimer", "", CALL(SYS_setitimer, 0, ARG(scratch + 3000), 0)},
    {"KERN-20.alarm", "alarm", "", CALL(NR_ALARM, 0)},
    {"KERN-20.adjtimex", "adjtimex, reading", "", CALL(SYS_adjtimex, ARG(scratch + 2000))},
    {"KERN-20.settime", "clock_settime", "CAP KERN", MOD(SYS_clock_settime, 0, ARG(scratch + 3000))},
    {"KERN-20.gettime", "clock_gettime, process clock", "",
	CALL(SYS_clock_gettime, 2, ARG(scratch))},
    {"KERN-21.epoll", "epoll_create1", "", FD(SYS_epoll_create1, 0)},
    {"KERN-21.eventfd", "eventfd2", "", FD(SYS_eventfd2, 0, 0)},
    {"KERN-21.signalfd", "signalfd4", "", FD(SYS_signalfd4, -1, ARG(scratch + 3000), 8, 0)},
    {"KERN-21.pipe", "pipe2", "", CALL(SYS_pipe2, ARG(scratch), 0)},
    {"KERN-21.watch", "pipe2 with notifications", "HOST", CALL(SYS_pipe2, ARG(scratch), 0x80)},
    {"KERN-22.pkey", "pkey_alloc", "HOST", CALL(SYS_pkey_alloc, 0, 0)},
    {"KERN-22.secret", "memfd_secret", "HOST", FD(NR_MEMFD_SECRET, 0)},
    {"KERN-22.mseal", "mseal", "HOST", CALL(NR_MSEAL, ARG(scratch), 4096, 0)},
    {"KERN-22.shstk", "map_shadow_stack", "HOST KERN", CALL(NR_MAP_SHADOW_STACK, 0, 4096, 0)},
    {"KERN-22.cachestat", "cachestat", "KERN", CALL(NR_CACHESTAT, -1, ARG(scratch), ARG(scratch), 0)},
    {"KERN-22.listns", "listns", "HOST", CALL(NR_LISTNS, ARG(scratch), ARG(scratch), 1, 0)},
    {"KERN-23", "command sweep on the client's socket", "", .fn = kern_ioctls},
    {"KERN-24.dup", "F_DUPFD", "", FD(SYS_fcntl, 3, F_DUPFD, 0)},
    {"KERN-24.pipe_size", "F_SETPIPE_SZ", "FD KERN", CALL(SYS_fcntl, 3, 1031, 4096)},
    {"KERN-24.seals", "F_ADD_SEALS", "FD KERN", CALL(SYS_fcntl, 3, 1033, 1)},
    {"KERN-24.notify", "F_NOTIFY", "FD KERN", CALL(SYS_fcntl, 3, 1026, 1)},
    {"KERN-24.hint", "F_SET_RW_HINT", "", CALL(SYS_fcntl, 3, 1036, ARG(scratch + 3000))},
    {"KERN-25.oob", "MSG_OOB on the mail channel", "", .fn = kern_oob, .nr = SYS_sendmsg,
	.a = {MSG_OOB}},
    {"KERN-25.peek", "MSG_PEEK on the mail channel", "", .fn = kern_oob, .nr = SYS_recvmsg,
	.a = {MSG_PEEK}},
    {"KERN-25.errqueue", "MSG_ERRQUEUE on the mail channel", "", .fn = kern_oob,
	.nr = SYS_recvmsg, .a = {MSG_ERRQUEUE}},
    {"KERN-25.zerocopy", "MSG_ZEROCOPY on the client's socket", "", .fn = kern_oob,
	.nr = SYS_sendto, .a = {0x4000000}},
    {"KERN-25.fastopen", "recvfrom on the client's socket", "", .fn = kern_oob,
	.nr = SYS_recvfrom, .a = {0}, .flags = T_INFO},
#if defined(__x86_64__)
    {"KERN-26.335", "uretprobe: a listed exception", "KERN", CALL(NR_URETPROBE, -1),
	.flags = T_KNOWN | T_CRASH},
    {"KERN-26.336", "uprobe: a listed exception", "KERN", CALL(NR_UPROBE, -1),
	.flags = T_KNOWN | T_CRASH},
#endif
    {"KERN-27.write", "write from unmapped memory", "KERN", .fn = kern_pointer, .a = {0},
	.flags = T_ALLOWED},
    {"KERN-27.read", "read into read-only memory", "KERN", .fn = kern_pointer, .a = {1},
	.flags = T_ALLOWED},
    {"KERN-27.ppoll", "ppoll of unmapped memory", "KERN", .fn = kern_pointer, .a = {2},
	.flags = T_ALLOWED},
    {"KERN-27.getrandom", "getrandom into unmapped memory", "KERN", .fn = kern_pointer, .a = {3},
	.flags = T_ALLOWED},
    {"KERN-27.end", "write from the end of the address space", "KERN", .fn = kern_pointer,
	.a = {4}, .flags = T_ALLOWED},
    {0},
};
