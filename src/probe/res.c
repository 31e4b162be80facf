/* RES: taking more than one's share. */
#include <sys/resource.h>
#include <sys/socket.h>

#include "probe/numbers.h"
#include "probe/sys.h"

static struct outcome
res_many(const struct test *t)
{
	long n = 0, rv = 0;

	rv = sys4(t->nr, t->a[0], t->a[1], t->a[2], t->a[3]);
	while (n < 1000 && rv >= 0) {
		n++;
		rv = quiet6(t->nr, t->a[0], t->a[1], t->a[2], t->a[3], 0, 0);
	}
	return n >= 1000 ? opened("a thousand descriptors, and no end") : refused(rv);
}

static struct outcome
res_bomb(const struct test *t)
{
	long n = 0, rv = 0;

	(void)t;
	while (n < 16 && (rv = sys_spawn(SYS_clone, 17, 0, 0, 0, 0)) > 0)
		n++;
	return n == 16 ? opened("16 processes, and no end") : refused(rv);
}

/* Above the hard limit; at most what it has now is no gain. */
static struct outcome
res_raise(const struct test *t)
{
	static struct rlimit now, more;
	long rv = sys4(SYS_prlimit64, 0, t->a[0], 0, &now);

	if (rv < 0)
		return refused(rv);
	if (now.rlim_max == RLIM_INFINITY)
		return opened("there is no limit");
	more.rlim_cur = more.rlim_max = now.rlim_max + 1;
	return open_if(sys4(SYS_prlimit64, 0, t->a[0], &more, 0));
}

static struct outcome
res_setrlimit(const struct test *t)
{
	static struct rlimit one = {1, 1};

	(void)t;
	return open_if(sys2(SYS_setrlimit, RLIMIT_CORE, &one));
}

static struct outcome
res_log(const struct test *t)
{
	static const char line[] = "I probe floods the log\n";
	long n = 0, rv = 0;

	(void)t;
	if (place.here)
		return skipped("no log of ours here");
	for (rv = sys3(SYS_write, 2, line, sizeof(line) - 1); n < 2000 && rv > 0; n++)
		rv = quiet3(SYS_write, 2, line, sizeof(line) - 1);
	return blocked("the supervisor limits what it writes; we never wait");
}

static struct outcome
res_forge(const struct test *t)
{
	static const char line[] = "E imap-login: Info: Login: user=<forged>\n\033[2J\r\nI more\n";

	(void)t;
	if (place.here)
		return skipped("no log of ours here");
	sys3(SYS_write, 2, line, sizeof(line) - 1);
	return blocked("said; the suite reads the log");
}

static struct outcome
res_random(const struct test *t)
{
	return open_if(sys3(SYS_getrandom, scratch, t->a[0], t->a[1]));
}

#define MANY(nr_, ...) .fn = res_many, .nr = (nr_), .a = {__VA_ARGS__}
#define CALL(nr_, ...) .fn = try_call, .nr = (nr_), .a = {__VA_ARGS__}

const struct test res_tests[] = {
    {"RES-01", "fork bomb", "RL", .fn = res_bomb},
    {"RES-03.itimer", "timer beyond the deadline", "", CALL(SYS_setitimer, 2, ARG(scratch + 3000), 0)},
    {"RES-03.cpu", "raise RLIMIT_CPU", "HOST RL", .fn = res_raise, .a = {RLIMIT_CPU}},
    {"RES-04.eventfd", "descriptors until it fails: eventfd", "RL HOST", MANY(SYS_eventfd2, 0, 0)},
    {"RES-04.epoll", "descriptors until it fails: epoll", "RL HOST", MANY(SYS_epoll_create1, 0)},
    {"RES-04.memfd", "descriptors until it fails: memfd", "RL HOST",
	MANY(SYS_memfd_create, ARG("probe"), 0)},
    {"RES-04.dup", "descriptors until it fails: dup", "RL HOST", MANY(SYS_dup, 3)},
    {"RES-04.socket", "descriptors until it fails: socket", "RL HOST",
	MANY(SYS_socket, AF_UNIX, SOCK_STREAM, 0)},
    {"RES-05.nofile", "raise RLIMIT_NOFILE", "CAP RL", .fn = res_raise, .a = {RLIMIT_NOFILE},
	.flags = T_ROOT},
    {"RES-05.nproc", "raise RLIMIT_NPROC", "CAP RL", .fn = res_raise, .a = {RLIMIT_NPROC},
	.flags = T_ROOT},
    {"RES-05.core", "raise RLIMIT_CORE", "CAP RL", .fn = res_raise, .a = {RLIMIT_CORE},
	.flags = T_ROOT},
    {"RES-05.as", "raise RLIMIT_AS", "CAP RL", .fn = res_raise, .a = {RLIMIT_AS},
	.flags = T_ROOT},
    {"RES-05.fsize", "raise RLIMIT_FSIZE", "CAP RL", .fn = res_raise, .a = {RLIMIT_FSIZE},
	.flags = T_ROOT},
    {"RES-05.set", "setrlimit of cores to 1", "CAP RL", .fn = res_setrlimit, .flags = T_ROOT},
    {"RES-07.timers", "POSIX timers", "", CALL(SYS_timer_create, 1, 0, ARG(scratch + 3000))},
    {"RES-07.inotify", "inotify", "UL", .fn = try_fd, .nr = SYS_inotify_init1, .a = {0}},
    {"RES-07.signals", "queue a signal for oneself", "KERN",
	CALL(SYS_rt_sigqueueinfo, 0, 0, ARG(scratch + 3000)), .flags = T_INFO},
    {"RES-08.flood", "flood the log", "KERN", .fn = res_log, .flags = T_ALLOWED},
    {"RES-08.forge", "a forged line in the log", "KERN", .fn = res_forge, .flags = T_ALLOWED},
    {"RES-12.length", "getrandom of a megabyte", "KERN HOST", .fn = res_random,
	.a = {1 << 20, 0}, .flags = T_INFO},
    {"RES-12.random", "getrandom with GRND_RANDOM", "", .fn = res_random, .a = {8, 2}},
    {"RES-12.insecure", "getrandom with GRND_INSECURE", "", .fn = res_random, .a = {8, 4}},
    {0},
};
