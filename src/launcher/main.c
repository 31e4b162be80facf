/*
 * gatehouse-launcher: accepts connections, keeps the limits, starts and reaps
 * workers.  Its filter was installed before exec and is inherited by all of them.
 */
#include <errno.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "confine/late.h"
#include "ipc/fds.h"
#include "ipc/filters.h"
#include "launcher/crowd.h"
#include "launcher/launcher.h"

#define EVENTS 64
#define FDS_SPARE 32    /* of a pooled worker: its fixed ones, and a message's */
#define FDS_PER_CONN 4
#define TICK_MS 1000
#define FAST_TICK_MS 50 /* while somebody is being stopped */

struct launcher lr = {.control_fd = FD_CONTROL, .auth_fd = -1, .keys_fd = -1};

uint64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

bool
watch(int fd, enum source kind, unsigned int index)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = (uint64_t)kind << 32 | index};

	return epoll_ctl(lr.ep, EPOLL_CTL_ADD, fd, &e) == 0;
}

void
unwatch(int fd)
{
	epoll_ctl(lr.ep, EPOLL_CTL_DEL, fd, NULL);
}

static void
handle(const struct epoll_event *e, uint64_t now)
{
	unsigned int index = (uint32_t)e->data.u64;
	struct signalfd_siginfo si;

	switch ((enum source)(e->data.u64 >> 32)) {
	case SRC_SIGNAL:
		while (read(lr.signal_fd, &si, sizeof(si)) > 0)
			;
		reap(now);
		break;
	case SRC_CONTROL:
		if (lr.control_fd != -1)
			peers_control();
		break;
	case SRC_AUTH:
		if (lr.auth_fd != -1)
			peers_auth();
		break;
	case SRC_KEYS:
		if (lr.keys_fd != -1)
			peers_keys();
		break;
	case SRC_LISTENER:
		if (index < lr.nlisteners && lr.listeners[index].armed)
			accept_on(&lr.listeners[index], now);
		break;
	case SRC_WORKER:
		if (lr.workers[index].fd != -1)
			workers_read(&lr.workers[index], now);
		break;
	}
}

static bool
busy(void)
{
	for (int s = 0; s < SERVICE__MAX; s++)
		if (conns_stopping((enum service)s) > 0 || lr.service[s].failures > 0)
			return true;
	return false;
}

static void
tick(uint64_t now)
{
	accept_tick(now);
	if (now - lr.ticked_ms >= TICK_MS) {
		lr.ticked_ms = now;
		workers_tick(now);
	}
	if (lr.draining && lr.drain_kill_at != 0 && now >= lr.drain_kill_at) {
		lr.drain_kill_at = 0;
		for (struct conn *c = conns_next(NULL); c != NULL; c = conns_next(c)) {
			pid_t pid = c->worker != 0 ? lr.workers[c->worker - 1].pid : c->pid;

			if (pid > 1)
				kill(pid, SIGKILL);
		}
	}
}

static int
timeout(uint64_t now)
{
	int ms = busy() ? FAST_TICK_MS : TICK_MS;

	if (lr.retry_at == 0)
		return ms;
	return lr.retry_at <= now ? 0 : lr.retry_at - now < (uint64_t)ms ? (int)(lr.retry_at - now) : ms;
}

static void __attribute__((noreturn))
loop(void)
{
	struct epoll_event e[EVENTS];
	uint64_t fast_at = 0, now = now_ms();

	for (;;) {
		int n = epoll_wait(lr.ep, e, EVENTS, timeout(now));

		if (n == -1 && errno != EINTR)
			fatal(EX_OSERR, "epoll_wait");
		/* Anew each time: handlers look at the clock, too, and no time that they
		 * note may lie behind this one, or it would seem to be ages ago. */
		for (int i = 0; i < n; i++)
			handle(&e[i], now_ms());
		now = now_ms();
		if (lr.retry_at != 0 && now >= lr.retry_at)
			accept_again();
		if (now - fast_at >= FAST_TICK_MS) {
			fast_at = now;
			tick(now);
		}
	}
}

/* A pooled worker that could not receive one more descriptor would take it for a broken
 * message, and all its sessions would end: never more connections than descriptors. */
static void
limit_clients(enum service s)
{
	struct service_settings *set = &lr.service[s].set;
	struct rlimit l;
	rlim_t most;

	if (set->model != MODEL_POOLED || getrlimit(RLIMIT_NOFILE, &l) == -1)
		return;
	if (set->nofile != 0 && set->nofile < l.rlim_max)
		l.rlim_max = set->nofile; /* it takes that itself */
	most = l.rlim_max > FDS_SPARE + FDS_PER_CONN ? (l.rlim_max - FDS_SPARE) / FDS_PER_CONN : 1;
	if (set->client_limit <= most)
		return;
	log_warnx("%s-login: client_limit %u is more than the limit of open files (%llu) has room for: "
	    "%u", service_name(s), set->client_limit, (unsigned long long)l.rlim_max,
	    (unsigned int)most);
	set->client_limit = (uint32_t)most;
}

static void
read_settings(void)
{
	static uint8_t buf[LAUNCHER_SETTINGS_MAX];
	long len = settings_read(FD_SETTINGS, buf, sizeof(buf));
	struct rd r = {.p = buf, .end = buf + (len > 0 ? len : 0)};

	if (len == -1 || !launcher_settings_unpack(&r, &lr.set))
		fatalx(EX_CONFIG, "the settings from the supervisor cannot be read");
	log_set_debug(lr.set.debug != 0);
	for (int s = 0; s < SERVICE__MAX; s++) {
		lr.service[s].set = lr.set.service[s];
		limit_clients((enum service)s);
	}
}

/* Everything below FD_FIRST_FREE is taken, so that what comes later never has a
 * number that a new worker's descriptors are placed at. */
static void
fill_descriptors(void)
{
	static const int empty[] = {0, 1, FD_CLIENT, FD_AUTH, FD_SIGNER, FD_MAIL, FD_SETTINGS,
	    FD_FILTERS, FD_IMAGE};

	for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++)
		if (dup2(FD_LOG, empty[i]) == -1)
			fatal(EX_OSERR, "cannot place descriptor %d", empty[i]);
	if (!score_init() && dup2(FD_LOG, FD_OOM_SCORE) == -1)
		fatal(EX_OSERR, "cannot place descriptor %d", FD_OOM_SCORE);
}

static void
watch_children(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	lr.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	lr.ep = epoll_create1(EPOLL_CLOEXEC);
	if (lr.signal_fd == -1 || lr.ep == -1 || !watch(lr.signal_fd, SRC_SIGNAL, 0) ||
	    !watch(FD_CONTROL, SRC_CONTROL, 0))
		fatal(EX_OSERR, "cannot make the event loop");
}

int
main(void)
{
	struct layer_report rep = {0};
	struct msgout out;
	uint8_t packed[96];
	uint64_t key[3];

	prctl(PR_SET_NAME, "gatehouse-launcher");
	if (filters_map(FD_FILTERS) == -1) /* keeps the address taken: no filter of its own */
		fatal(EX_OSERR, "cannot map the filters");
	read_settings();
	if (late_enter(&lr.set.plan, &rep) == -1)
		fatalx(EX_OSERR, "%s", late_reason());
	rep.state[LAYER_SECCOMP] = LAYER_NOT_ASKED; /* it is the outer one */
	fill_descriptors();
	if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key))
		fatal(EX_OSERR, "getrandom");
	if (!conns_init((uint16_t)key[2]))
		fatal(EX_OSERR, "no memory for the table of connections");
	crowd_init(key);
	watch_children();
	hello_put(&out, R_LAUNCHER, packed, layer_report_pack(&rep, packed, sizeof(packed)));
	if (msg_send(FD_CONTROL, &out) == -1)
		fatal(EX_OSERR, "cannot greet the supervisor");
	loop();
}
