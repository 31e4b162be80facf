/*
 * In the place of gatehouse-login, in all its modes.
 */
#include "probe/standin.h"

#include <errno.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "confine/late.h"
#include "ipc/conn.h"
#include "ipc/fds.h"
#include "ipc/filters.h"
#include "ipc/msg.h"
#include "ipc/settings.h"
#include "probe/order.h"
#include "probe/sys.h"

static struct worker_settings worker_set;
static struct msgout out;

static bool
take(struct conn_info *info, int fds[4])
{
	struct msgin m;

	if (standin_next(FD_CONTROL, R_WORKER, R_LAUNCHER, &m) == 0 || m.type == MSG_RETIRE)
		return false;
	if (m.type != MSG_CONN_TAKE || !conn_get(&m.r, m.id, info))
		fatalx(EX_PROTOCOL, "not a connection");
	for (unsigned int i = 0; i < 4; i++)
		fds[i] = msg_take_fd(&m, i);
	return true;
}

static void
tell(enum msg_type type, uint32_t id, uint32_t pid)
{
	msg_begin(&out, type, id);
	if (type == MSG_CONN_FORKED)
		wr_u32(&out.w, pid);
	msg_send(FD_CONTROL, &out);
}

static void
stand_at(const int fds[4])
{
	place.client = fds[0];
	place.auth = fds[1];
	place.signer = fds[2];
	place.mail = fds[3];
	place.control = -1;
	place.parent = 1;
}

/* The phases of a worker that has its connection: what it is to become, then
 * the attempt. */
static void __attribute__((noreturn))
serve(const struct order *o, const struct late_plan *plan)
{
	if (strcmp(o->phase, "tls-proxy") == 0 && plan->seccomp != NEED_OFF &&
	    filters_install(FILTER_TLS_PROXY) == -1)
		leave(EX_OSERR);
	if (standin_relays(o))
		standin_relay(o);
	else
		order_do(o);
	leave(0);
}

static void
template_loop(void)
{
	const struct late_plan *plan = &worker_set.template_plan;
	static const struct rlimit none;
	struct conn_info info;
	struct order o;
	int fds[4];

	while (take(&info, fds)) {
		long pid;

		stand_at(fds);
		if (!order_read(&o, fds[0], REPORT_WRITE)) {
			tell(MSG_CONN_DONE, info.id, 0);
			close_range(FD_CLIENT, FD_MAIL, 0);
			continue;
		}
		if (strcmp(o.phase, "template") == 0) {
			place.control = FD_CONTROL;
			order_do(&o);
			leave(0);
		}
		pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
		if (pid == 0) {
			if (close_range(0, 1, 0) == -1 || close_range(FD_CONTROL, ~0U, 0) == -1)
				leave(EX_OSERR);
			setrlimit(RLIMIT_NPROC, &none);
			if (plan->seccomp != NEED_OFF && filters_install(FILTER_LOGIN) == -1)
				leave(EX_OSERR);
			serve(&o, plan);
		}
		tell(MSG_CONN_FORKED, info.id, (uint32_t)pid);
		if (strcmp(o.id, "hold") == 0)
			place.victim = pid; /* the sibling of those that come */
		close_range(FD_CLIENT, FD_MAIL, 0);
	}
}

static void
exec_loop(void)
{
	static const struct rlimit none;
	struct conn_info info;
	struct order o;
	int fds[4];

	if (!take(&info, fds))
		return;
	stand_at(fds);
	setrlimit(RLIMIT_NPROC, &none);
	if (close_range(0, 1, 0) == -1 || close_range(FD_CONTROL, ~0U, 0) == -1)
		fatal(EX_OSERR, "cannot close descriptors");
	if (worker_set.exec_plan.seccomp != NEED_OFF && filters_install(FILTER_LOGIN_FULL) == -1)
		fatal(EX_OSERR, "cannot install the login filter");
	if (order_read(&o, fds[0], REPORT_WRITE))
		serve(&o, &worker_set.exec_plan);
}

static void
pool_loop(void)
{
	struct conn_info info;
	struct order o;
	int fds[4];

	while (take(&info, fds)) {
		stand_at(fds);
		place.control = FD_CONTROL;
		if (order_read(&o, fds[0], REPORT_WRITE)) {
			order_do(&o);
			leave(0);
		}
		for (int i = 0; i < 4; i++)
			close(fds[i]);
		tell(MSG_CONN_DONE, info.id, 0);
	}
}

/* As the real one does (login/main.c). */
static void
limit_fds(uint32_t n)
{
	struct rlimit l;

	if (n == 0 || getrlimit(RLIMIT_NOFILE, &l) == -1)
		return;
	if (l.rlim_max > n)
		l.rlim_max = n;
	l.rlim_cur = l.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &l) == -1)
		fatal(EX_OSERR, "setrlimit");
}

static void
place_descriptors(bool pool)
{
	int last = pool ? FD_FIRST_FREE : FD_CLIENT;

	close_range(FD_CLIENT, FD_MAIL, 0);
	close_range(FD_SETTINGS, FD_FIRST_FREE - 1, 0);
	for (int fd = 0; fd < last; fd++)
		if (fd != FD_LOG && fd != FD_CONTROL && dup2(FD_LOG, fd) == -1)
			fatal(EX_OSERR, "cannot place descriptor %d", fd);
	if (pool && epoll_create1(EPOLL_CLOEXEC) != FD_FIRST_FREE)
		fatal(EX_OSERR, "cannot place the epoll descriptor");
}

static const struct mode {
	const char *name;
	const struct late_plan *plan;
	enum filter_slot filter;
	bool filter_now;
	void (*loop)(void);
} modes[] = {
    {"template", &worker_set.template_plan, FILTER_TEMPLATE, true, template_loop},
    {"exec", &worker_set.exec_plan, FILTER_LOGIN_FULL, false, exec_loop},
    {"pool", &worker_set.pool_plan, FILTER_POOL, true, pool_loop},
};

int
standin_login(int argc, char **argv)
{
	static const struct rlimit none;
	struct layer_report rep = {0};
	const struct mode *mode = NULL;
	struct rd r;

	for (size_t i = 0; argc == 3 && i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(modes[i].name, argv[1]) == 0)
			mode = &modes[i];
	if (mode == NULL)
		fatalx(EX_USAGE, "started by gatehouse-launcher, not by hand");
	prctl(PR_SET_NAME, "gatehouse-login");
	if (filters_map(FD_FILTERS) == -1)
		fatal(EX_OSERR, "cannot map the filters");
	r = standin_settings();
	if (!worker_settings_unpack(&r, &worker_set))
		fatalx(EX_CONFIG, "malformed settings");
	if (late_enter(mode->plan, &rep) == -1)
		fatalx(EX_OSERR, "%s", late_reason());
	limit_fds(mode->plan->nofile);
	place_descriptors(mode->loop == pool_loop);
	if (mode->loop == pool_loop)
		setrlimit(RLIMIT_NPROC, &none);
	standin_hello(R_WORKER, &rep);
	if (mode->filter_now && late_filter(mode->plan, mode->filter) == -1)
		fatal(EX_OSERR, "cannot install the filter");
	mode->loop();
	return EX_OK;
}
