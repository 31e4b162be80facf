#include "supervisor/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/str.h"
#include "confine/confine.h"
#include "supervisor/activation.h"
#include "supervisor/doors.h"
#include "supervisor/generation.h"
#include "supervisor/reported.h"
#include "supervisor/rundir.h"
#include "supervisor/statistics.h"

#define GENERATIONS_MAX 64

static struct {
	const char *config_file;
	bool foreground;
	struct generation *generations; /* newest first */
	unsigned int count;
	struct listeners passed; /* by the service manager: every generation has them */
	int signal_fd;
	int ready_fd;      /* of daemonize: the starter waits for a byte */
	bool ending;
	int status;
	uint64_t end_by;   /* after TERM: when patience ends */
} sv;

static uint64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void
log_diag(const char *what, const struct diag *d)
{
	char text[1200];

	diag_format(d, text, sizeof(text));
	logger_line('E', "%s%s", what, text);
}

static struct plan *
load_plan(const char *what)
{
	struct diag d = {0};
	char *notices = NULL, *line, *rest;
	size_t len;
	FILE *warn = open_memstream(&notices, &len);
	struct plan *p = plan_load(sv.config_file, warn, &d);

	if (warn != NULL)
		fclose(warn);
	for (line = notices; line != NULL && *line != '\0'; line = rest) {
		rest = strchr(line, '\n');
		if (rest != NULL)
			*rest++ = '\0';
		logger_line('W', "%s", line);
	}
	free(notices);
	if (p == NULL)
		log_diag(what, &d);
	return p;
}

static void
log_policies(const struct plan *p)
{
	const struct policy_set *s = &p->policies;

	for (int i = 0; i < POL__MAX; i++) {
		const struct policy *pol = &s->policy[i];
		const char *name = policy_file_name((enum policy_id)i);

		logger_line('I', "policy %s: %s%s%s", name,
		    pol->seccomp == NEED_OFF ? "seccomp off by policy" : s->fingerprint[i],
		    s->from_site[i] ? ", from " : "", s->from_site[i] ? pol->file : "");
		if (s->widened[i][0] != '\0')
			logger_line('W', "policy %s is WIDER than the shipped one, as policy_allow_widen "
			    "permits; to begin with: %s", name, s->widened[i]);
	}
}

/* ---- generations ---------------------------------------------------------- */

static void
list_helpers(void)
{
	pid_t pids[GENERATIONS_MAX * GEN_HELPERS];
	unsigned int n = 0;

	for (struct generation *g = sv.generations; g != NULL; g = g->next)
		for (int i = 0; i < GEN_HELPERS; i++)
			if (g->helpers[i].state != HELPER_DOWN &&
			    n < sizeof(pids) / sizeof(pids[0]))
				pids[n++] = g->helpers[i].pid;
	rundir_list(pids, n);
}

static void
reload(void)
{
	const struct listeners *now = doors_now(sv.generations);
	struct listeners next;
	struct generation *g;
	struct plan *p;
	struct diag d = {0};

	if (sv.count >= GENERATIONS_MAX) {
		logger_line('E', "reload refused: %u generations are still draining", sv.count - 1);
		return;
	}
	p = load_plan("reload refused, everything stays as it is: ");
	if (p == NULL)
		return;
	if (listeners_open(now, &p->conf, &next, &d) == -1) {
		log_diag("reload refused, everything stays as it is: ", &d);
		plan_free(p);
		return;
	}
	if (activation_used(&sv.passed, &next, &d) == -1) {
		log_diag("reload refused, everything stays as it is: ", &d);
		listeners_close_rest(&next, now);
		plan_free(p);
		return;
	}
	g = generation_new(p, sv.generations->number + 1, &next, now_ms());
	if (g == NULL || g->state == GEN_FAILED)
		logger_line('E', "reload refused, everything stays as it is");
	if (g == NULL) {
		listeners_close_rest(&next, now);
		return;
	}
	if (g->state != GEN_FAILED)
		log_policies(p);
	g->next = sv.generations;
	sv.generations = g;
	sv.count++;
	list_helpers();
}

/* The newest one runs: those before it let go. */
static void
retire_older(void)
{
	if (sv.generations == NULL || sv.generations->state != GEN_RUNNING)
		return;
	for (struct generation *g = sv.generations->next; g != NULL; g = g->next)
		if (g->state == GEN_RUNNING || g->state == GEN_STARTING)
			generation_drain(g, false, 0, now_ms());
}

static bool
serving(void)
{
	for (struct generation *g = sv.generations; g != NULL; g = g->next)
		if (g->state == GEN_STARTING || g->state == GEN_RUNNING)
			return true;
	return false;
}

static void
sweep(void)
{
	struct generation **at = &sv.generations;
	bool changed = false;

	while (*at != NULL) {
		struct generation *g = *at;

		if ((g->state != GEN_ENDING && g->state != GEN_FAILED) || !generation_gone(g)) {
			at = &g->next;
			continue;
		}
		if (g->state == GEN_FAILED)
			logger_line('E', "generation %u did not start", g->number);
		else
			logger_line('I', "generation %u has ended", g->number);
		*at = g->next;
		generation_free(g);
		sv.count--;
		changed = true;
	}
	if (changed)
		list_helpers();
	if (!sv.ending && !serving()) {
		sv.ending = true; /* the first start failed, as `gatehouse check` foretells: */
		sv.status = EX_CONFIG; /* trying again is of no use */
	}
}

/* ---- signals -------------------------------------------------------------- */

static void
drain_all(void)
{
	uint32_t ms = sv.generations != NULL ? sv.generations->plan->conf.shutdown_timeout_ms : 0;

	logger_line('I', "ending: connections have %u seconds", ms / 1000);
	sv.ending = true;
	sv.end_by = now_ms() + ms + 1000;
	for (struct generation *g = sv.generations; g != NULL; g = g->next)
		generation_drain(g, true, ms > 0 ? ms : 1, now_ms());
	doors_close(sv.generations); /* refused, not left waiting */
}

static void
stop_all(void)
{
	sv.ending = true;
	sv.end_by = 0;
	for (struct generation *g = sv.generations; g != NULL; g = g->next)
		if (g->state != GEN_ENDING)
			generation_stop(g, now_ms());
}

static void
reap(void)
{
	bool changed = false;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (struct generation *g = sv.generations; g != NULL; g = g->next)
			if (generation_reaped(g, pid, status, now_ms()))
				changed = true;
	if (changed)
		list_helpers();
}

static void
on_signal(void)
{
	struct signalfd_siginfo si;

	while (read(sv.signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		switch (si.ssi_signo) {
		case SIGHUP:
			logger_line('I', "reloading");
			if (!sv.ending)
				reload();
			break;
		case SIGUSR1:
			logger_reopen();
			break;
		case SIGTERM:
			if (!sv.ending)
				drain_all();
			break;
		case SIGINT:
			stop_all();
			break;
		}
	}
	reap(); /* SIGCHLD, and whatever came together with it */
}

static int
block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL); /* a caller that ignored it: the kernel would reap for us */
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* ---- the loop ------------------------------------------------------------- */

static int
timeout(uint64_t now)
{
	uint64_t t = sv.end_by != 0 ? sv.end_by : UINT64_MAX;

	for (struct generation *g = sv.generations; g != NULL; g = g->next)
		if (generation_next(g) < t)
			t = generation_next(g);
	if (statistics_next() < t)
		t = statistics_next();
	if (t == UINT64_MAX)
		return -1;
	return t <= now ? 0 : t - now > 60000 ? 60000 : (int)(t - now);
}

static void
wait_and_handle(void)
{
	struct pollfd p[1 + GENERATIONS_MAX * GENERATION_POLLS];
	unsigned int at[GENERATIONS_MAX], n = 1, i = 0;

	p[0] = (struct pollfd){.fd = sv.signal_fd, .events = POLLIN};
	for (struct generation *g = sv.generations; g != NULL && i < GENERATIONS_MAX; g = g->next) {
		at[i++] = n;
		n += generation_polls(g, p + n);
	}
	if (poll(p, n, timeout(now_ms())) == -1 && errno != EINTR)
		logger_line('E', "poll: %s", strerror(errno));
	i = 0;
	for (struct generation *g = sv.generations; g != NULL && i < GENERATIONS_MAX; g = g->next)
		generation_events(g, p + at[i++], GENERATION_POLLS, now_ms());
	if (p[0].revents != 0)
		on_signal();
}

static void
say_ready(void)
{
	if (sv.ready_fd != -1 && sv.generations != NULL && sv.generations->state == GEN_RUNNING) {
		if (write(sv.ready_fd, "", 1) == -1)
			logger_line('W', "cannot tell the starter that we are ready");
		close(sv.ready_fd);
		sv.ready_fd = -1;
	}
}

static int
loop(void)
{
	while (sv.generations != NULL || !sv.ending) {
		uint64_t now;

		wait_and_handle();
		now = now_ms();
		if (sv.end_by != 0 && now >= sv.end_by)
			stop_all();
		for (struct generation *g = sv.generations; g != NULL; g = g->next)
			generation_tick(g, now);
		statistics_tick(now);
		retire_older();
		doors_close(sv.generations);
		say_ready();
		sweep();
	}
	return sv.status;
}

/* ---- start ---------------------------------------------------------------- */

/* The starter waits until the doors are open and ends with our status. */
static int
daemonize(void)
{
	int fds[2], status;
	char byte;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) == -1 || (pid = fork()) == -1) {
		logger_line('E', "cannot go to the background: %s", strerror(errno));
		return -1;
	}
	if (pid == 0) {
		close(fds[0]);
		setsid();
		return fds[1];
	}
	close(fds[1]);
	if (read(fds[0], &byte, 1) == 1)
		_exit(EX_OK);
	if (waitpid(pid, &status, 0) == pid && WIFEXITED(status))
		_exit(WEXITSTATUS(status));
	_exit(EX_SOFTWARE);
}

static bool
open_log(const struct config *c)
{
	enum log_target t = sv.foreground ? LOG_TO_STDERR
	    : c->log_path[0] != '\0'	  ? LOG_TO_FILE
					  : LOG_TO_SYSLOG;

	if (logger_open(t, c->log_path) == 0)
		return true;
	logger_line('E', "cannot open log_path %s: %s", c->log_path, strerror(errno));
	return false;
}

static bool
confine_supervisor(const struct plan *p)
{
	struct layer_report rep = {0};
	struct diag d = {0};
	char text[1000];

	if (confine_self(&p->policies.policy[POL_SUPERVISOR], &rep, &d) == -1) {
		log_diag("", &d);
		return false;
	}
	layer_report_text(&rep, text, sizeof(text));
	logger_line('I', "gatehouse (pid %d): %s", (int)getpid(), text);
	reported_self(&rep);
	return true;
}

static void
standard_fds(void)
{
	int fd = open("/dev/null", O_RDWR);

	while (fd != -1 && fd < 2)
		fd = dup(fd);
	if (!sv.foreground && fd != -1) {
		dup2(fd, 0);
		dup2(fd, 1);
		dup2(fd, 2);
	} else if (fd != -1) {
		dup2(fd, 0);
	}
	if (fd > 2)
		close(fd);
}

/* Status: not being able to bind passes, a configuration that does not fit stays. */
static int
open_listeners(const struct plan *p, struct listeners *first)
{
	struct diag d = {0};
	int status = EX_OK;

	if (listeners_open(&sv.passed, &p->conf, first, &d) == -1)
		status = EX_UNAVAILABLE;
	else if (activation_used(&sv.passed, first, &d) == -1)
		status = EX_CONFIG;
	if (status != EX_OK)
		log_diag("", &d);
	return status;
}

int
supervise(const char *config_file, bool foreground)
{
	struct listeners first;
	struct diag d = {0};
	struct plan *p;
	int orphans, status;

	sv.config_file = config_file;
	sv.foreground = foreground;
	sv.ready_fd = -1;
	umask(077);
	if (activation_take(&sv.passed, &d) == -1) {
		log_diag("", &d);
		return EX_CONFIG;
	}
	p = load_plan("");
	if (p == NULL)
		return EX_CONFIG;
	if (!foreground && (sv.ready_fd = daemonize()) == -1)
		return EX_OSERR;
	if (rundir_lock(p->conf.base_dir, &d) == -1) {
		log_diag("", &d);
		return EX_UNAVAILABLE;
	}
	orphans = rundir_end_orphans();
	sv.signal_fd = block_signals();
	if ((status = open_listeners(p, &first)) != EX_OK)
		return status;
	if (!open_log(&p->conf))
		return EX_CANTCREAT;
	standard_fds();
	if (orphans > 0)
		logger_line('W', "ended %d processes of a supervisor that died", orphans);
	log_policies(p);
	if (!confine_supervisor(p))
		return EX_CONFIG;
	sv.generations = generation_new(p, 1, &first, now_ms());
	sv.count = 1;
	list_helpers();
	sv.status = loop();
	rundir_unlock();
	return sv.status;
}
