#include "probe/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "probe/isolate.h"
#include "probe/sweep.h"
#include "probe/sys.h"

#define DEADLINE_MS 1500 /* an attempt takes a millisecond */

/* Ends of a worker's channels: [0] the attempt's, [1] ours. */
struct channels {
	int client[2], auth[2], signer[2], mail[2], report[2];
};

static bool
tcp_pair(int pair[2])
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok = false;

	pair[0] = pair[1] = -1;
	if (s != -1 && bind(s, (struct sockaddr *)&sin, sizeof(sin)) == 0 && listen(s, 1) == 0 &&
	    getsockname(s, (struct sockaddr *)&sin, &len) == 0 &&
	    (pair[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) != -1 &&
	    connect(pair[1], (struct sockaddr *)&sin, sizeof(sin)) == 0)
		ok = (pair[0] = accept4(s, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) != -1;
	if (s != -1)
		close(s);
	if (!ok && pair[1] != -1)
		close(pair[1]);
	return ok;
}

/* What a worker is not protected from by having nothing: an inherited directory. */
static void
send_directory(int fd)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} u = {0};
	struct iovec v = {.iov_base = (char[]){'d'}, .iov_len = 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &u,
	    .msg_controllen = sizeof(u)};
	int dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	u.h.cmsg_level = SOL_SOCKET;
	u.h.cmsg_type = SCM_RIGHTS;
	u.h.cmsg_len = CMSG_LEN(sizeof(int));
	if (dir == -1)
		return;
	memcpy(CMSG_DATA(&u.h), &dir, sizeof(dir));
	sendmsg(fd, &m, MSG_DONTWAIT);
	close(dir);
}

static bool
pair_of(int type, int pair[2])
{
	return socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0;
}

static bool
make_channels(struct channels *c)
{
	memset(c, 0xff, sizeof(*c));
	if (!tcp_pair(c->client) && !pair_of(SOCK_STREAM, c->client))
		return false;
	if (!pair_of(SOCK_SEQPACKET, c->auth) || !pair_of(SOCK_SEQPACKET, c->signer) ||
	    !pair_of(SOCK_STREAM, c->mail) || pipe2(c->report, O_CLOEXEC) == -1)
		return false;
	send_directory(c->auth[1]);
	return true;
}

static void
close_channels(struct channels *c)
{
	int *all = (int *)c;

	for (size_t i = 0; i < sizeof(*c) / sizeof(int); i++)
		if (all[i] != -1)
			close(all[i]);
}

/* Descriptors 3-6 as a worker has them, the report channel behind: 7. */
static void
take_places(const struct channels *c)
{
	const int from[] = {c->client[0], c->auth[0], c->signer[0], c->mail[0], c->report[1]};
	int high[5], null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int i = 0; i < 5; i++)
		high[i] = fcntl(from[i], F_DUPFD, 100);
	for (int i = 0; i < 5; i++) {
		dup2(high[i], 3 + i);
		close(high[i]);
	}
	for (int fd = 8; fd < 100; fd++)
		close(fd);
	for (int fd = 0; null != -1 && fd < 3; fd++)
		dup2(null, fd);
	place = (struct place){.client = 3, .auth = 4, .signer = 5, .mail = 6, .control = -1,
	    .victim = place.victim, .parent = getppid(), .here = true};
	report_to(7, REPORT_WRITE);
}

static void __attribute__((noreturn))
attempt(const struct test *t, const struct channels *c)
{
	static const struct rlimit none, stack = {8 << 20, 8 << 20};

	setrlimit(RLIMIT_STACK, &stack);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	setpgid(0, 0);
	setrlimit(RLIMIT_CORE, &none);
	signal(SIGPIPE, SIG_IGN);
	take_places(c);
	isolate_attempt();
	report_outcome(t->fn(t));
	leave(0);
}

/* Somebody of the same account, of the same program: a neighbouring worker. */
static pid_t
sibling(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		for (;;)
			pause();
	}
	return pid;
}

static void
end_sibling(void)
{
	if (place.victim > 0) {
		kill((pid_t)place.victim, SIGKILL);
		waitpid((pid_t)place.victim, NULL, 0);
	}
}

/* Somebody to find by an abstract name, in this network namespace. */
static void
open_door(void)
{
	static const struct sockaddr_un un = {.sun_family = AF_UNIX,
	    .sun_path = "\0gatehouse-probe-door"};
	static int fd = -1;

	if (fd == -1 && (fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) != -1 &&
	    bind(fd, (const struct sockaddr *)&un, sizeof(sa_family_t) + 21) == 0)
		listen(fd, 64);
}

bool
watch_can_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return pid > 0;
}

static void
parse(char *line, struct observed *o, bool *have)
{
	char name[16];
	unsigned long long nr;
	int at = 0;

	if (sscanf(line, "T %c %llx", &o->last_abi, &nr) == 2) {
		o->last_nr = (long)nr;
		return;
	}
	if (sscanf(line, "R %15s %x %n", name, &o->err, &at) < 2)
		return;
	for (int v = 0; v < V__MAX; v++)
		if (strcmp(verdict_name((enum verdict)v), name) == 0)
			o->v = (enum verdict)v;
	snprintf(o->note, sizeof(o->note), "%s", at > 0 ? line + at : "");
	*have = true;
}

static long
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* All lines until the pipe's end; false: the deadline has passed. */
static bool
listen_to(int fd, struct observed *o, bool *have)
{
	long end = now_ms() + DEADLINE_MS;
	char buf[8192];
	size_t len = 0;

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		long left = end - now_ms();
		ssize_t n;
		char *nl;

		if (left <= 0 || poll(&p, 1, (int)left) == 0)
			return false;
		n = read(fd, buf + len, sizeof(buf) - 1 - len);
		if (n <= 0)
			return true;
		len += (size_t)n;
		buf[len] = '\0';
		while ((nl = memchr(buf, '\n', len)) != NULL) {
			*nl = '\0';
			parse(buf, o, have);
			len -= (size_t)(nl + 1 - buf);
			memmove(buf, nl + 1, len + 1);
		}
		if (len == sizeof(buf) - 1)
			len = 0;
	}
}

static void
conclude(const struct test *t, int status, bool have, struct observed *o)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
		o->v = V_KILLED;
	} else if (WIFSIGNALED(status)) {
		o->v = V_CRASH;
		o->err = WTERMSIG(status);
	} else if (!have && (t->flags & T_EXEC) != 0) {
		o->v = V_OPEN;
		snprintf(o->note, sizeof(o->note), "another program ran in its place");
	} else if (!have) {
		o->v = V_CRASH;
		snprintf(o->note, sizeof(o->note), "ended without a word");
	}
}

/* Reached: neither killed nor absent nor refused before the arguments were read. */
static bool
sweep_reaches(enum abi abi, long nr)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		static const struct rlimit none;
		long rv;

		setpgid(0, 0);
		setrlimit(RLIMIT_CORE, &none);
		alarm(2);
		isolate_attempt();
		report_to(-1, REPORT_NONE);
		rv = sweep_call(abi, nr);
		leave(rv == -ENOSYS || rv == -EPERM || rv == -EACCES ? 0 : 1);
	}
	if (pid > 0)
		waitpid(pid, &status, 0);
	return pid > 0 && (WIFEXITED(status) ? WEXITSTATUS(status) == 1
					     : WTERMSIG(status) != SIGSYS);
}

static void
sweep(const struct test *t, struct observed *o)
{
	enum abi abi = (enum abi)t->a[0];
	int n = 0, tried = 0;

	*o = (struct observed){.last_nr = -1};
	for (long nr = 0; nr < SWEEP_NATIVE; nr++) {
		if (sweep_never(abi, nr))
			continue;
		tried++;
		n += sweep_reaches(abi, nr);
	}
	o->v = n > 0 ? V_OPEN : V_BLOCKED;
	snprintf(o->note, sizeof(o->note), "%d of %d numbers reachable", n, tried);
}

void
watch_run(const struct test *t, struct observed *o)
{
	struct channels c;
	bool have = false, in_time;
	int status = 0;
	pid_t pid;

	if ((t->flags & T_SWEEP) != 0) {
		sweep(t, o);
		return;
	}

	*o = (struct observed){.v = V_SKIP, .last_nr = -1, .note = "no channels can be made here"};
	place.victim = sibling(); /* before the channels, so that it holds none */
	if (!make_channels(&c)) {
		close_channels(&c);
		end_sibling();
		return;
	}
	o->note[0] = '\0';
	open_door();
	pid = fork();
	if (pid == 0)
		attempt(t, &c);
	close(c.report[1]);
	c.report[1] = -1;
	in_time = pid > 0 && listen_to(c.report[0], o, &have);
	if (pid > 0 && !in_time) {
		kill(-pid, SIGKILL);
		kill(pid, SIGKILL);
	}
	if (pid > 0)
		waitpid(pid, &status, 0);
	if (pid > 0 && !in_time && !have)
		o->v = V_HUNG;
	else if (pid > 0)
		conclude(t, status, have, o);
	end_sibling();
	close_channels(&c);
}

void
watch_inline(const struct test *t, struct observed *o)
{
	struct outcome r;

	*o = (struct observed){.last_nr = -1};
	place.here = true;
	r = t->fn(t);
	o->v = r.v;
	o->err = r.err;
	snprintf(o->note, sizeof(o->note), "%s", r.note != NULL ? r.note : "");
}

bool
watch_expected(const struct test *t, const struct observed *o)
{
	if ((t->flags & (T_KNOWN | T_INFO)) != 0)
		return true;
	if (o->v == V_CRASH)
		return (t->flags & T_CRASH) != 0;
	return o->v != V_OPEN && o->v != V_HUNG;
}
