/*
 * Processes that take connections: templates (fork), waiting workers (exec),
 * pooled workers.  How many are kept ready, which one is next, when they go.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "launcher/launcher.h"

#define BACKOFF_MS 200 /* doubles with each failed start in a row */
#define BACKOFF_MAX_MS 10000
#define START_MS 30000 /* from exec to hello */

static bool
is(const struct worker *w, enum service s)
{
	return w->pid != 0 && w->service == s;
}

static unsigned int
slot_of(const struct worker *w)
{
	return (unsigned int)(w - lr.workers);
}

static bool
has_room(const struct worker *w)
{
	const struct service_settings *set = &lr.service[w->service].set;

	if (w->fd == -1 || !w->ready || w->retiring || w->holds_conn)
		return false;
	return set->model != MODEL_POOLED || w->conns < set->client_limit;
}

/* Workers of s with room, or on their way to have it. */
static unsigned int
coming(enum service s)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < lr.nworkers; i++) {
		const struct worker *w = &lr.workers[i];

		if (is(w, s) && (has_room(w) || (w->fd != -1 && !w->ready && !w->retiring)))
			n++;
	}
	return n;
}

static struct worker *
free_slot(void)
{
	for (unsigned int i = 0; i < WORKERS_MAX; i++) {
		if (lr.workers[i].pid != 0)
			continue;
		if (i >= lr.nworkers)
			lr.nworkers = i + 1;
		return &lr.workers[i];
	}
	return NULL;
}

static void
start_failed(struct service_state *st, uint64_t now)
{
	uint64_t wait = BACKOFF_MS;

	st->failures++;
	for (unsigned int i = 1; i < st->failures && wait < BACKOFF_MAX_MS; i++)
		wait *= 2;
	st->start_after = now + (wait > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : wait);
}

static bool
start_one(enum service s, uint64_t now)
{
	struct service_state *st = &lr.service[s];
	struct worker *w = free_slot();
	pid_t pid;
	int fd;

	if (w == NULL || now < st->start_after)
		return false;
	fd = spawn_worker(s, st->set.model, st->set.vsz_limit, &pid);
	if (fd == -1) {
		log_warn("%s-login: cannot start a worker", service_name(s));
		start_failed(st, now);
		return false;
	}
	*w = (struct worker){.pid = pid, .fd = fd, .service = (uint8_t)s, .born_ms = now,
	    .idle_since = now};
	if (st->set.model != MODEL_FORK) /* a template is no worker yet */
		st->processes++;
	watch(fd, SRC_WORKER, slot_of(w));
	return true;
}

bool
workers_room(enum service s)
{
	return lr.service[s].processes < lr.service[s].set.process_limit;
}

void
workers_start_ready(enum service s, uint64_t now)
{
	struct service_state *st = &lr.service[s];
	unsigned int have = coming(s), want = st->wanted;

	if (!st->set.enabled || lr.draining || !lr.started)
		return;
	if (st->set.model == MODEL_FORK)
		want = 1; /* the template; it makes one for each connection */
	while (have < want && (st->set.model == MODEL_FORK || workers_room(s)) && start_one(s, now))
		have++;
}

struct worker *
workers_pick(enum service s)
{
	struct worker *best = NULL;

	/* The fullest with room: the others can become idle and go.  Of templates
	 * the newest: its older twin is on its way out. */
	for (unsigned int i = 0; i < lr.nworkers; i++) {
		struct worker *w = &lr.workers[i];

		if (!is(w, s) || !has_room(w))
			continue;
		if (best == NULL || w->conns > best->conns ||
		    (w->conns == best->conns && w->born_ms > best->born_ms))
			best = w;
	}
	return best;
}

static void
close_pair(struct worker *w)
{
	if (w->fd == -1)
		return;
	unwatch(w->fd);
	close(w->fd);
	w->fd = -1;
	w->retiring = true;
}

/* Our end stays open until it has ended: what it still says (CONN_FORKED of a
 * connection that it had in its queue) must not get lost. */
void
workers_retire(struct worker *w)
{
	struct msgout m;

	if (w->retiring || w->fd == -1)
		return;
	w->retiring = true;
	msg_begin(&m, MSG_RETIRE, 0);
	if (msg_send(w->fd, &m) == -1 && w->pid > 1)
		kill(w->pid, SIGKILL);
}

/* ---- templates ------------------------------------------------------------ */

/*
 * Number two starts beside it; when that has said hello, number one is told to
 * retire.  After a crash nothing more is asked of it at once:
 * its layout is to be guessed at no longer.
 */
void
workers_retire_template(enum service s, uint64_t now, const char *why)
{
	bool any = false;

	for (unsigned int i = 0; i < lr.nworkers; i++) {
		struct worker *w = &lr.workers[i];

		if (is(w, s) && !w->retiring) {
			any = true;
			workers_retire(w);
		}
	}
	if (any)
		log_info("%s-login: template retired: %s", service_name(s), why);
	workers_start_ready(s, now);
}

/* Age and use: without a gap. */
static void
replace_old_template(enum service s, uint64_t now)
{
	const struct service_settings *set = &lr.service[s].set;
	struct worker *old = NULL, *fresh = NULL;

	for (unsigned int i = 0; i < lr.nworkers; i++) {
		struct worker *w = &lr.workers[i];

		if (!is(w, s) || w->retiring)
			continue;
		if (w->uses >= set->template_max_uses ||
		    now - w->born_ms >= set->template_max_age_ms)
			old = w;
		else
			fresh = w;
	}
	if (old == NULL)
		return;
	if (fresh != NULL && fresh->ready)
		workers_retire(old);
	else if (fresh == NULL)
		start_one(s, now);
}

/* ---- what they say -------------------------------------------------------- */

static bool
on_hello(struct worker *w, struct msgin *m, uint64_t now)
{
	struct service_state *st = &lr.service[w->service];
	struct msgout out;
	struct hello hello;
	char what[64];
	static const char *const models[] = {"template", "exec", "pool"};

	if (!hello_get(m, R_WORKER, &hello)) {
		log_errx("gatehouse-login is of another build (%s): reinstall gatehouse as a whole",
		    hello.build_id);
		return false;
	}
	w->ready = true;
	w->idle_since = now;
	st->failures = 0;
	if (!st->said_layers && lr.control_fd != -1) {
		st->said_layers = true;
		what[0] = '\0';
		strcat(strcat(strcat(what, service_name((enum service)w->service)), " "),
		    models[st->set.model]);
		msg_begin(&out, MSG_WORKER_LAYERS, 0);
		wr_str(&out.w, what);
		wr_block(&out.w, hello.layers, hello.layers_len);
		msg_send(lr.control_fd, &out);
	}
	accept_again();
	return true;
}

static bool
dispatch(struct worker *w, struct msgin *m, uint64_t now)
{
	struct conn *c = conns_by_id(m->id);
	uint32_t pid;

	switch (m->type) {
	case MSG_HELLO:
		return !w->ready && on_hello(w, m, now);
	case MSG_CONN_FORKED:
		pid = rd_u32(&m->r);
		if (!msg_end(m) || pid < 2 || lr.service[w->service].set.model != MODEL_FORK)
			return false;
		if (c != NULL && c->template == slot_of(w) + 1) {
			c->template = 0;
			reap_bind(c, (pid_t)pid, now);
		}
		return true;
	case MSG_CONN_DONE:
		/* It speaks for its own connections only. */
		if (c != NULL && (c->worker == slot_of(w) + 1 || c->template == slot_of(w) + 1))
			conn_over(c);
		return true;
	default:
		return false;
	}
}

void
workers_read(struct worker *w, uint64_t now)
{
	static uint8_t buf[MSG_MAX];
	struct msgin m;
	int n;

	while (w->fd != -1 && (n = msg_recv(w->fd, R_LAUNCHER, R_WORKER, &m, buf)) != -1) {
		if (n == 0) {
			close_pair(w);
			return;
		}
		if (!dispatch(w, &m, now)) {
			log_errx("%s-login: malformed message from worker %d: killed",
			    service_name((enum service)w->service), (int)w->pid);
			kill(w->pid, SIGKILL);
			close_pair(w);
		}
		msg_close_fds(&m);
	}
	if (w->fd != -1 && errno != EAGAIN)
		close_pair(w);
}

/* ---- their end ------------------------------------------------------------ */

/* What it had alone: a pooled worker's connections, and those that a template
 * had in its queue and not yet forked for. */
static void
end_conns(struct worker *w)
{
	struct conn *next;

	for (struct conn *c = conns_next(NULL); c != NULL; c = next) {
		next = conns_next(c);
		if (c->worker == slot_of(w) + 1 || c->template == slot_of(w) + 1)
			conn_over(c);
	}
}

static void
worker_over(struct worker *w, uint64_t now)
{
	struct service_state *st = &lr.service[w->service];
	bool young = !w->ready;

	if (w->fd != -1) /* last words: a template's CONN_FORKED */
		workers_read(w, now);
	close_pair(w);
	if (st->set.model != MODEL_EXEC)
		end_conns(w);
	if (st->set.model != MODEL_FORK && st->processes > 0)
		st->processes--;
	w->pid = 0;
	if (young && !lr.draining)
		start_failed(st, now);
}

bool
workers_gone(pid_t pid, int code, int status, uint64_t now)
{
	for (unsigned int i = 0; i < lr.nworkers; i++) {
		struct worker *w = &lr.workers[i];

		if (w->pid != pid)
			continue;
		if (code != 1 /* CLD_EXITED */ || (!w->ready && status != 0))
			log_errx("%s-login: process %d %s %d%s",
			    service_name((enum service)w->service), (int)pid,
			    code == 1 ? "ended with status" : "died of signal", status,
			    w->ready ? "" : " before it was ready");
		worker_over(w, now);
		return true;
	}
	return false;
}

/* ---- time ----------------------------------------------------------------- */

/* Once a second: a burst doubles what is kept ready, calm takes one away. */
static void
adapt(enum service s)
{
	struct service_state *st = &lr.service[s];
	uint32_t least = st->set.process_min_avail > 0 ? st->set.process_min_avail : 1;

	if (st->missed && st->wanted < st->set.process_limit)
		st->wanted = st->wanted * 2 > st->set.process_limit ? st->set.process_limit
								    : st->wanted * 2;
	else if (!st->missed && st->wanted > least)
		st->wanted--;
	if (st->wanted < least)
		st->wanted = least;
	st->missed = false;
}

/* Exec'd workers that wait, and pooled ones without a connection, above what is
 * kept ready: after idle_kill they go. */
static void
end_idle(enum service s, uint64_t now)
{
	struct service_state *st = &lr.service[s];
	unsigned int have = coming(s);

	for (unsigned int i = 0; i < lr.nworkers && have > st->wanted; i++) {
		struct worker *w = &lr.workers[i];

		if (is(w, s) && has_room(w) && w->conns == 0 &&
		    now - w->idle_since >= st->set.idle_kill_ms) {
			workers_retire(w);
			have--;
		}
	}
}

static void
end_silent(uint64_t now)
{
	for (unsigned int i = 0; i < lr.nworkers; i++) {
		struct worker *w = &lr.workers[i];

		if (w->pid != 0 && !w->ready && w->fd != -1 && now - w->born_ms > START_MS) {
			log_errx("%s-login: worker %d is not ready after %d s: killed",
			    service_name((enum service)w->service), (int)w->pid, START_MS / 1000);
			kill(w->pid, SIGKILL);
		}
	}
}

void
workers_tick(uint64_t now)
{
	end_silent(now);
	for (int i = 0; i < SERVICE__MAX; i++) {
		enum service s = (enum service)i;

		if (!lr.service[s].set.enabled || lr.draining || !lr.started)
			continue;
		if (lr.service[s].set.model == MODEL_FORK)
			replace_old_template(s, now);
		adapt(s);
		workers_start_ready(s, now);
		if (lr.service[s].set.model != MODEL_FORK)
			end_idle(s, now);
	}
}
