/*
 * gatehouse-login: talks to one stranger (or, pooled, to many).  Executed by the
 * launcher from a sealed memfd, behind the launcher's walls; argv: mode, service.
 * Order: settings, arena, late layers, OpenSSL and rehearsal, hello, last filter,
 * connections.  Nothing that a client sent is read before the last filter.
 */
#include <errno.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "confine/late.h"
#include "ipc/fds.h"
#include "ipc/filters.h"
#include "login/heap.h"
#include "login/control.h"
#include "login/tls.h"
#include "login/worker.h"

static struct worker worker;
static const struct mode {
	const char *name;
	size_t plan; /* offset of its late_plan */
	enum filter_slot filter;
	bool filter_now; /* exec installs its filter when it has its connection */
	int (*run)(struct worker *w);
} modes[] = {
    {"template", offsetof(struct worker_settings, template_plan), FILTER_TEMPLATE, true,
	template_run},
    {"exec", offsetof(struct worker_settings, exec_plan), FILTER_LOGIN_FULL, false, exec_run},
    {"pool", offsetof(struct worker_settings, pool_plan), FILTER_POOL, true, pool_run},
};

static const struct mode *
find_mode(int argc, char **argv)
{
	for (size_t i = 0; argc == 3 && i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(modes[i].name, argv[1]) == 0)
			return &modes[i];
	fatalx(EX_USAGE, "gatehouse-login is started by gatehouse-launcher, not by hand");
}

static enum service
find_service(const char *name)
{
	for (int s = 0; s < SERVICE__MAX; s++)
		if (strcmp(service_name((enum service)s), name) == 0)
			return (enum service)s;
	fatalx(EX_USAGE, "unknown service %s", name);
}

static void
read_settings(struct worker *w)
{
	/* Not among the static data: there it would lie between pages that each forked
	 * child writes, and give it two page tables more. */
	uint8_t *settings = mmap(NULL, SETTINGS_MAX, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	long len = settings != MAP_FAILED ? settings_read(FD_SETTINGS, settings, SETTINGS_MAX) : -1;
	struct rd r = {.p = settings, .end = settings + (len > 0 ? len : 0)};

	if (len == -1 || !worker_settings_unpack(&r, &w->set))
		fatalx(EX_CONFIG, "the settings from the supervisor cannot be read");
	log_set_debug(w->set.debug != 0);
}

/* Numbers that the policies count on: a connection's four descriptors become 3-6
 * because 0-2 are taken; in a pooled worker 16 and above. */
static void
place_descriptors(bool pool)
{
	int last = pool ? FD_FIRST_FREE : FD_CLIENT;

	close_range(FD_CLIENT, FD_MAIL, 0);
	close_range(FD_SETTINGS, FD_FIRST_FREE - 1, 0);
	for (int fd = 0; fd < last; fd++)
		if (fd != FD_LOG && fd != FD_CONTROL && dup2(FD_LOG, fd) == -1)
			fatal(EX_OSERR, "cannot place descriptor %d", fd);
}

/* A pooled worker's connections share one arena: what vsz_limit leaves beside
 * the image, the settings and the stack. */
static size_t
pool_heap(void)
{
	const rlim_t beside = (rlim_t)28 << 20, most = (rlim_t)512 << 20;
	struct rlimit as;

	if (getrlimit(RLIMIT_AS, &as) == -1 || as.rlim_cur == RLIM_INFINITY)
		return most;
	if (as.rlim_cur < beside + ((rlim_t)4 << 20))
		return (size_t)4 << 20;
	return as.rlim_cur - beside < most ? (size_t)(as.rlim_cur - beside) & ~(size_t)4095 : most;
}

void
worker_limit_fds(uint32_t n)
{
	struct rlimit l;

	if (n == 0)
		return;
	if (getrlimit(RLIMIT_NOFILE, &l) == -1)
		fatal(EX_OSERR, "getrlimit");
	if (l.rlim_max > n)
		l.rlim_max = n;
	l.rlim_cur = l.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &l) == -1)
		fatal(EX_OSERR, "setrlimit");
}

int
main(int argc, char **argv)
{
	const struct mode *mode = find_mode(argc, argv);
	static const struct rlimit none;
	struct layer_report rep = {0};
	const struct late_plan *plan;
	bool pool = mode->run == pool_run;

	worker.service = find_service(argv[2]);
	prctl(PR_SET_NAME, "gatehouse-login");
	if (filters_map(FD_FILTERS) == -1)
		fatal(EX_OSERR, "cannot map the filters");
	read_settings(&worker);
	plan = (const struct late_plan *)((const char *)&worker.set + mode->plan);
	if (!heap_init(pool ? pool_heap() : worker.set.arena_bytes, pool))
		fatal(EX_OSERR, "cannot map OpenSSL's arena");
	if (late_enter(plan, &rep) == -1)
		fatalx(EX_OSERR, "%s", late_reason());
	if (!tls_init(&worker.set, worker.service, mode->run == template_run || pool))
		fatalx(EX_CONFIG, "TLS: %s", tls_error());
	log_debug("%s-login %s: arena %zu KiB used after the rehearsal", argv[2], argv[1],
	    heap_used() >> 10);
	place_descriptors(pool);
	if (pool && setrlimit(RLIMIT_NPROC, &none) == -1) /* exec and fork: once they have a connection */
		fatal(EX_OSERR, "setrlimit");
	if (pool && !pool_prepare())
		fatal(EX_OSERR, "cannot make an epoll instance");
	worker_limit_fds(plan->nofile);
	control_hello(&rep);
	if (mode->filter_now && late_filter(plan, mode->filter) == -1)
		fatal(EX_OSERR, "cannot install the %s filter", mode->name);
	return mode->run(&worker);
}
