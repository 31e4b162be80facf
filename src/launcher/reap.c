#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "launcher/launcher.h"

/* A template's message about its child may come after the child's end: what
 * nobody knows is remembered for a moment. */
#define UNKNOWN_MAX 256

static struct {
	pid_t pid;
	int code, status;
} unknown[UNKNOWN_MAX];
static unsigned int next_unknown;

/* Signals that speak of an attack, or of a policy that forbids what it should
 * not: the next worker gets another layout (design 2.5). */
bool
reap_is_crash(int code, int status)
{
	static const int signals[] = {SIGSYS, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP};

	if (code != CLD_KILLED && code != CLD_DUMPED)
		return false;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (signals[i] == status)
			return true;
	return false;
}

void
conn_over(struct conn *c)
{
	struct service_state *st = &lr.service[c->service];

	if (c->worker != 0) {
		struct worker *w = &lr.workers[c->worker - 1];

		if (w->conns > 0 && --w->conns == 0)
			w->idle_since = now_ms();
	} else if (st->processes > 0) {
		st->processes--;
	}
	conns_remove(c);
	accept_again();
	peers_check_drained();
}

static void
log_crash(enum service s, pid_t pid, int sig, const char *session)
{
	log_errx("%s-login: worker %d killed with signal %d (SIG%s)%s, session=<%s>", service_name(s),
	    (int)pid, sig, sigabbrev_np(sig), sig == SIGSYS ? ": a system call that its policy "
	    "forbids (the kernel's audit record, type 1326, names it)" : "", session);
}

/* The process of a connection is gone. */
static void
conn_gone(struct conn *c, int code, int status, uint64_t now)
{
	enum service s = (enum service)c->service;
	bool crash = reap_is_crash(code, status);
	uint32_t layout = c->layout;

	if (crash)
		log_crash(s, c->pid, status, c->session);
	conn_over(c);
	if (crash)
		workers_retire_layout(s, layout, now, "one of its workers crashed");
}

static void
remember(pid_t pid, int code, int status)
{
	for (unsigned int i = 0; i < UNKNOWN_MAX; i++)
		if (unknown[i].pid == pid)
			unknown[i].pid = 0; /* another, long ago */
	unknown[next_unknown].pid = pid;
	unknown[next_unknown].code = code;
	unknown[next_unknown].status = status;
	next_unknown = (next_unknown + 1) % UNKNOWN_MAX;
}

bool
reap_take_unknown(pid_t pid, int *code, int *status)
{
	siginfo_t si;

	for (unsigned int i = 0; i < UNKNOWN_MAX; i++) {
		if (unknown[i].pid != pid)
			continue;
		unknown[i].pid = 0;
		memset(&si, 0, sizeof(si));
		/* A child with this number: it is another's, used again. */
		if (waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG) == 0 && si.si_pid == 0)
			return false;
		*code = si.si_pid != 0 ? si.si_code : unknown[i].code;
		*status = si.si_pid != 0 ? si.si_status : unknown[i].status;
		return true;
	}
	return false;
}

void
reap_bind(struct conn *c, pid_t pid, uint64_t now)
{
	int code, status;

	conns_set_pid(c, pid);
	peers_tell_pid(c->id, pid);
	if (reap_take_unknown(pid, &code, &status))
		conn_gone(c, code, status, now);
}

void
reap(uint64_t now)
{
	siginfo_t si;

	for (;;) {
		struct conn *c;

		memset(&si, 0, sizeof(si));
		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG) == -1 || si.si_pid == 0)
			return;
		c = conns_by_pid(si.si_pid);
		if (c != NULL)
			conn_gone(c, si.si_code, si.si_status, now);
		else if (!workers_gone(si.si_pid, si.si_code, si.si_status, now))
			remember(si.si_pid, si.si_code, si.si_status);
	}
}
