#include "supervisor/generation.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine/layers.h"
#include "supervisor/helper.h"
#include "supervisor/reported.h"
#include "supervisor/rundir.h"
#include "supervisor/statistics.h"

#define START_MS 30000     /* from exec to hello and good keys */
#define STOP_MS 2000       /* from STOP to SIGKILL */
#define BACKOFF_MS 100     /* doubles with each failure in a row */
#define BACKOFF_MAX_MS 10000
#define STEADY_MS 10000    /* who lives that long starts anew without back-off */
#define EXIT_STALE_DIR 75  /* auth client: its socket directory was replaced */

static struct helper *
by_role(struct generation *g, enum role role)
{
	for (int i = 0; i < GEN_HELPERS; i++)
		if (g->helpers[i].role == role)
			return &g->helpers[i];
	return NULL;
}

static void
start_or_wait(struct generation *g, struct helper *h, uint64_t now)
{
	struct diag d = {0};
	char text[900];

	h->started_at = now;
	if (helper_start(h, g->plan, &d) == 0)
		return;
	diag_format(&d, text, sizeof(text));
	logger_line('E', "cannot start %s: %s", helper_name(h->role), text);
	if (g->state == GEN_STARTING) {
		g->state = GEN_FAILED;
		return;
	}
	h->failures++;
	h->restart_at = now + BACKOFF_MAX_MS;
}

static struct generation *
new_generation(struct plan *plan, unsigned int number, const struct listeners *l, uint64_t now)
{
	static const enum role order[GEN_HELPERS] = {R_KEYS, R_AUTH, R_LAUNCHER};
	struct generation *g = calloc(1, sizeof(*g));

	if (g == NULL) {
		plan_free(plan);
		return NULL;
	}
	g->plan = plan;
	g->number = number;
	g->listeners = *l;
	g->deadline = now + START_MS;
	for (int i = 0; i < GEN_HELPERS; i++) {
		g->helpers[i].role = order[i];
		g->helpers[i].control_fd = g->helpers[i].log.fd = g->helpers[i].worker_log.fd = -1;
	}
	return g;
}

struct generation *
generation_new(struct plan *plan, unsigned int number, const struct listeners *l, uint64_t now)
{
	struct generation *g = new_generation(plan, number, l, now);

	for (int i = 0; g != NULL && i < GEN_HELPERS && g->state == GEN_STARTING; i++)
		start_or_wait(g, &g->helpers[i], now);
	return g;
}

/* ---- what helpers say ----------------------------------------------------- */

static void
send_listeners(struct generation *g, struct helper *h)
{
	struct msgout m;

	for (unsigned int i = 0; i < g->listeners.n; i++) {
		const struct listening *l = &g->listeners.l[i];
		uint8_t flags = 0;

		if (l->conf.ssl)
			flags = CONN_TLS_IMPLICIT;
		else if (g->plan->conf.rules.ssl != SSL_NO && g->plan->nkeys > 0)
			flags = CONN_TLS_OFFERED;
		msg_begin(&m, MSG_LISTENER, 0);
		wr_u8(&m.w, (uint8_t)l->conf.service);
		wr_u8(&m.w, flags);
		wr_str(&m.w, l->conf.name);
		msg_add_fd(&m, l->fd);
		helper_tell(h, &m);
	}
	msg_begin(&m, MSG_START, 0);
	helper_tell(h, &m);
}

static bool
all_up(const struct generation *g)
{
	for (int i = 0; i < GEN_HELPERS; i++)
		if (g->helpers[i].state != HELPER_UP)
			return false;
	return g->keys_good == g->plan->nkeys;
}

static void
join(struct generation *g, struct helper *h)
{
	for (int i = 0; i < GEN_HELPERS; i++)
		if (&g->helpers[i] != h)
			helper_pair(h, &g->helpers[i]);
}

/* Everybody of the first start is there: connect them, open the doors. */
static void
go(struct generation *g)
{
	helper_pair(by_role(g, R_AUTH), by_role(g, R_KEYS));
	helper_pair(by_role(g, R_LAUNCHER), by_role(g, R_AUTH));
	helper_pair(by_role(g, R_LAUNCHER), by_role(g, R_KEYS));
	send_listeners(g, by_role(g, R_LAUNCHER));
	g->state = GEN_RUNNING;
	logger_line('I', "ready: generation %u, %u listeners", g->number, g->listeners.n);
}

static void
log_layers(const struct helper *h)
{
	char text[1000];

	layer_report_text(&h->layers, text, sizeof(text));
	logger_line('I', "%s (pid %d): %s", helper_name(h->role), (int)h->pid, text);
}

static bool
on_hello(struct generation *g, struct helper *h, struct msgin *m)
{
	struct layer_report late;
	struct msgout out;
	struct hello hello;

	if (!hello_get(m, h->role, &hello)) {
		logger_line('E', "%s is of another build (%s, not %s): reinstall gatehouse as a whole",
		    helper_name(h->role), hello.build_id, build_id);
		return false;
	}
	if (layer_report_unpack(&late, hello.layers, hello.layers_len) == -1)
		return false;
	layer_report_merge(&h->layers, &late);
	log_layers(h);
	reported_helper(g, h);
	hello_put(&out, R_SUPERVISOR, NULL, 0);
	h->state = HELPER_UP;
	if (!helper_tell(h, &out))
		return false;
	if (h->role == R_KEYS) {
		g->keys_good = 0;
		helper_send_keys(h, g->plan);
	}
	if (g->state == GEN_STARTING) {
		if (all_up(g))
			go(g);
		return true;
	}
	/* A restart: join the others; doors only for a launcher that is to accept. */
	join(g, h);
	if (h->role == R_LAUNCHER && g->state == GEN_RUNNING)
		send_listeners(g, h);
	return true;
}

static bool
on_key_info(struct generation *g, struct helper *h, struct msgin *m)
{
	const struct plan_key *k;
	char type[64], error[512];
	uint8_t status = rd_u8(&m->r);
	const uint8_t *spki;
	size_t len;

	(void)h;
	rd_str(&m->r, type, sizeof(type));
	spki = rd_block(&m->r, PLAN_SPKI_MAX, &len);
	rd_str(&m->r, error, sizeof(error));
	if (!msg_end(m) || m->id >= g->plan->nkeys)
		return false;
	k = &g->plan->keys[m->id];
	if (status != 0)
		logger_line('E', "key %s: %s", k->path, error);
	else if (len != k->spki_len || memcmp(spki, k->spki, len) != 0)
		logger_line('E', "key %s does not belong to certificate %s", k->path, k->cert);
	else {
		g->keys_good++;
		logger_line('I', "key %s: %s, fits %s", k->path, type, k->cert);
	}
	if (g->state == GEN_STARTING && g->keys_good <= m->id)
		g->state = GEN_FAILED;
	else if (g->state == GEN_STARTING && all_up(g))
		go(g);
	return true;
}

/* "imap template" */
static bool
wants_score(const struct plan *p, const char *what)
{
	static const char *const models[] = {
	    [MODEL_FORK] = " template", [MODEL_EXEC] = " exec", [MODEL_POOLED] = " pool"};

	for (uint8_t m = MODEL_FORK; m <= MODEL_POOLED; m++)
		if (strstr(what, models[m]) != NULL)
			return p->policies.policy[plan_worker_policy(m)].oom_need != NEED_OFF;
	return false;
}

static bool
on_worker_layers(struct generation *g, struct helper *h, struct msgin *m)
{
	struct layer_report rep, late;
	char what[64], text[1000];
	const uint8_t *p;
	size_t len;

	rd_str(&m->r, what, sizeof(what));
	p = rd_block(&m->r, 96, &len);
	if (!msg_end(m) || layer_report_unpack(&late, p, len) == -1)
		return false;
	rep = h->layers;
	if (wants_score(g->plan, what))
		layer_report_merge(&rep, &h->for_workers);
	layer_report_merge(&rep, &late);
	layer_report_text(&rep, text, sizeof(text));
	logger_line('I', "gatehouse-login %s: %s", what, text);
	reported_kind(g, what, &rep);
	return true;
}

static bool
on_stats(struct generation *g, struct helper *h, struct msgin *m)
{
	struct stats now;

	(void)g;
	if (!stats_get(&m->r, &now))
		return false;
	statistics_add(&h->stats, &now);
	return true;
}

static bool
on_drained(struct generation *g, struct helper *h, struct msgin *m)
{
	(void)h;
	(void)m;
	if (g->state == GEN_DRAINING) {
		struct msgout out;

		g->state = GEN_ENDING;
		for (int i = 0; i < GEN_HELPERS; i++) {
			msg_begin(&out, MSG_STOP, 0);
			if (g->helpers[i].state != HELPER_DOWN)
				helper_tell(&g->helpers[i], &out);
		}
		g->deadline = 0; /* tick sets it: there is no clock here */
	}
	return true;
}

static bool
dispatch(struct generation *g, struct helper *h, struct msgin *m)
{
	switch (m->type) {
	case MSG_HELLO:
		return on_hello(g, h, m);
	case MSG_KEY_INFO:
		return on_key_info(g, h, m);
	case MSG_WORKER_LAYERS:
		return on_worker_layers(g, h, m);
	case MSG_STATS:
		return on_stats(g, h, m);
	case MSG_DRAINED:
		return on_drained(g, h, m);
	default:
		return false;
	}
}

#define MESSAGES_PER_TURN 64

static void
read_control(struct generation *g, struct helper *h)
{
	static uint8_t buf[MSG_MAX];
	struct msgin m;
	int n = 1;

	/* A few at a time: whoever talks without end must not keep us from the others. */
	for (int i = 0; i < MESSAGES_PER_TURN; i++) {
		bool good;

		n = msg_recv(h->control_fd, R_SUPERVISOR, h->role, &m, buf);
		if (n != 1)
			break;
		good = dispatch(g, h, &m);

		msg_close_fds(&m);
		if (!good) {
			n = -1;
			errno = EBADMSG;
			break;
		}
	}
	if (n == 0 || (n == -1 && errno != EAGAIN)) {
		/* Gone, or talking nonsense: its end is seen when it is reaped. */
		if (n == -1 && errno == EBADMSG) {
			logger_line('E', "%s sent a malformed message: ended", helper_name(h->role));
			kill(h->pid, SIGKILL);
		}
		close(h->control_fd);
		h->control_fd = -1;
	}
}

/* ---- life and death ------------------------------------------------------- */

static void
describe_end(const struct helper *h, int status)
{
	if (WIFSIGNALED(status))
		logger_line('E', "%s (pid %d) died of signal %d (%s)%s", helper_name(h->role),
		    (int)h->pid, WTERMSIG(status), sigabbrev_np(WTERMSIG(status)),
		    WTERMSIG(status) == SIGSYS ? ": it made a system call that its policy forbids" : "");
	else if (WEXITSTATUS(status) == EXIT_STALE_DIR && h->role == R_AUTH)
		logger_line('W', "login_socket_dir was replaced: starting the auth client anew");
	else
		logger_line('E', "%s (pid %d) ended with status %d", helper_name(h->role),
		    (int)h->pid, WEXITSTATUS(status));
}

bool
generation_reaped(struct generation *g, pid_t pid, int status, uint64_t now)
{
	for (int i = 0; i < GEN_HELPERS; i++) {
		struct helper *h = &g->helpers[i];
		uint64_t wait_ms = BACKOFF_MS;

		if (h->state == HELPER_DOWN || h->pid != pid)
			continue;
		if (h->control_fd != -1) /* last words */
			read_control(g, h);
		if (g->state != GEN_ENDING && g->state != GEN_FAILED)
			describe_end(h, status);
		reported_end(g, h);
		helper_close(h);
		h->failures = now - h->started_at > STEADY_MS ? 0 : h->failures + 1;
		for (unsigned int k = 1; k < h->failures && wait_ms < BACKOFF_MAX_MS; k++)
			wait_ms *= 2;
		h->restart_at = now + (h->failures == 0 ? 0 : wait_ms);
		if (h->role == R_KEYS)
			g->keys_good = 0;
		if (g->state == GEN_STARTING)
			g->state = GEN_FAILED;
		if (g->state == GEN_DRAINING && h->role == R_LAUNCHER)
			generation_stop(g, now); /* its connections ended with it */
		return true;
	}
	return false;
}

void
generation_drain(struct generation *g, bool bye, uint32_t within_ms, uint64_t now)
{
	struct helper *h = by_role(g, R_LAUNCHER);
	struct msgout m;

	if (g->state == GEN_ENDING || g->state == GEN_FAILED)
		return;
	if (h->state != HELPER_UP) {
		generation_stop(g, now);
		return;
	}
	g->state = GEN_DRAINING;
	msg_begin(&m, MSG_DRAIN, 0);
	wr_u8(&m.w, bye);
	wr_u32(&m.w, within_ms);
	if (!helper_tell(h, &m))
		generation_stop(g, now);
}

void
generation_stop(struct generation *g, uint64_t now)
{
	struct msgout m;

	g->state = GEN_ENDING;
	g->deadline = now + STOP_MS;
	for (int i = 0; i < GEN_HELPERS; i++) {
		struct helper *h = &g->helpers[i];

		msg_begin(&m, MSG_STOP, 0);
		if (h->state == HELPER_UP && h->control_fd != -1)
			helper_tell(h, &m);
		else if (h->state != HELPER_DOWN)
			kill(h->pid, SIGKILL);
	}
}

static void
kill_all(struct generation *g)
{
	for (int i = 0; i < GEN_HELPERS; i++)
		if (g->helpers[i].state != HELPER_DOWN)
			kill(g->helpers[i].pid, SIGKILL);
}

void
generation_tick(struct generation *g, uint64_t now)
{
	switch (g->state) {
	case GEN_STARTING:
		if (now >= g->deadline) {
			logger_line('E', "the helpers did not come up within %d seconds",
			    START_MS / 1000);
			g->state = GEN_FAILED;
		}
		break;
	case GEN_RUNNING:
	case GEN_DRAINING:
		for (int i = 0; i < GEN_HELPERS; i++) {
			struct helper *h = &g->helpers[i];

			if (h->state == HELPER_DOWN && now >= h->restart_at)
				start_or_wait(g, h, now);
			else if (h->state == HELPER_STARTING && now > h->started_at + START_MS)
				kill(h->pid, SIGKILL);
		}
		break;
	case GEN_ENDING:
		if (g->deadline == 0)
			g->deadline = now + STOP_MS;
		if (now >= g->deadline)
			kill_all(g);
		break;
	case GEN_FAILED:
		kill_all(g);
		break;
	}
}

uint64_t
generation_next(const struct generation *g)
{
	uint64_t t = UINT64_MAX;

	if (g->state == GEN_STARTING || g->state == GEN_ENDING)
		return g->deadline;
	if (g->state == GEN_FAILED)
		return t;
	for (int i = 0; i < GEN_HELPERS; i++) {
		const struct helper *h = &g->helpers[i];

		if (h->state == HELPER_DOWN && h->restart_at < t)
			t = h->restart_at;
		if (h->state == HELPER_STARTING && h->started_at + START_MS < t)
			t = h->started_at + START_MS;
	}
	return t;
}

bool
generation_gone(const struct generation *g)
{
	for (int i = 0; i < GEN_HELPERS; i++)
		if (g->helpers[i].state != HELPER_DOWN)
			return false;
	return true;
}

void
generation_free(struct generation *g)
{
	for (int i = 0; i < GEN_HELPERS; i++)
		helper_close(&g->helpers[i]);
	rundir_forget(g->number);
	plan_free(g->plan);
	free(g);
}

/* ---- polling -------------------------------------------------------------- */

unsigned int
generation_polls(const struct generation *g, struct pollfd *p)
{
	unsigned int n = 0;

	for (int i = 0; i < GEN_HELPERS; i++) {
		const struct helper *h = &g->helpers[i];

		p[n++] = (struct pollfd){.fd = h->control_fd, .events = POLLIN};
		p[n++] = (struct pollfd){.fd = h->log.fd, .events = POLLIN};
		p[n++] = (struct pollfd){.fd = h->worker_log.fd, .events = POLLIN};
	}
	return n;
}

static void
read_log(struct logpipe *l)
{
	if (l->fd != -1 && !logpipe_read(l))
		logpipe_close(l);
}

void
generation_events(struct generation *g, const struct pollfd *p, unsigned int n, uint64_t now)
{
	(void)now;
	for (unsigned int i = 0; i + 2 < n; i += 3) {
		struct helper *h = &g->helpers[i / 3];

		if (p[i + 1].revents != 0)
			read_log(&h->log);
		if (p[i + 2].revents != 0)
			read_log(&h->worker_log);
		if (p[i].revents != 0 && h->control_fd != -1)
			read_control(g, h);
	}
}
