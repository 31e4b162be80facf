/*
 * Processes that take connections: templates and their waiting children (fork),
 * waiting workers (exec), pooled workers.  Their start, what they say, their end;
 * how many there should be is decided in keep.c and ready.c.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "ipc/fds.h"
#include "launcher/launcher.h"

#define BACKOFF_MS 200 /* doubles with each failed start in a row */
#define BACKOFF_MAX_MS 10000

static struct msgout out;

static unsigned int
slot_of(const struct worker *w)
{
	return (unsigned int)(w - lr.workers);
}

struct workers
workers_of(enum service s)
{
	return (struct workers){.w = lr.workers,
	    .n = lr.nworkers,
	    .service = s,
	    .client_limit = lr.service[s].set.client_limit};
}

static struct worker *
free_slot(void)
{
	for (unsigned int i = 0; i < WORKERS_MAX; i++) {
		if (lr.workers[i].kind != W_FREE)
			continue;
		if (i >= lr.nworkers)
			lr.nworkers = i + 1;
		return &lr.workers[i];
	}
	return NULL;
}

static void
free_worker(struct worker *w)
{
	if (w->fd != -1) {
		unwatch(w->fd);
		close(w->fd);
	}
	*w = (struct worker){.fd = -1};
	while (lr.nworkers > 0 && lr.workers[lr.nworkers - 1].kind == W_FREE)
		lr.nworkers--;
}

static void
end_worker(const struct worker *w)
{
	if (w->pid > 1)
		kill(w->pid, SIGKILL);
}

bool
workers_room(enum service s)
{
	return lr.service[s].processes < lr.service[s].set.process_limit;
}

/* ---- start ---------------------------------------------------------------- */

static void
start_failed(struct service_state *st, uint64_t now)
{
	uint64_t wait = BACKOFF_MS;

	st->failures++;
	for (unsigned int i = 1; i < st->failures && wait < BACKOFF_MAX_MS; i++)
		wait *= 2;
	st->start_after = now + (wait > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : wait);
}

/* In the table, watched, and counted if it counts. */
static void
enter(struct worker *w, enum service s, enum worker_kind kind, int fd, pid_t pid, uint64_t now)
{
	*w = (struct worker){.kind = (uint8_t)kind,
	    .service = (uint8_t)s,
	    .pid = pid,
	    .fd = fd,
	    .born_ms = now,
	    .idle_since = now};
	if (kind != W_TEMPLATE)
		lr.service[s].processes++;
	watch(fd, SRC_WORKER, slot_of(w));
}

bool
workers_start_process(enum service s, uint64_t now)
{
	static const enum worker_kind kinds[] = {
	    [MODEL_FORK] = W_TEMPLATE, [MODEL_EXEC] = W_EXEC, [MODEL_POOLED] = W_POOLED};
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
	enter(w, s, kinds[st->set.model], fd, pid, now);
	return true;
}

/*
 * One more child that waits: the template gets the other end of its pair, behind
 * four placeholders, so that it arrives as FD_WAIT and not as one of the numbers
 * that the child's connection will have.
 */
static bool
start_child(enum service s, struct worker *template, uint64_t now)
{
	static uint16_t sequence;
	struct worker *w = free_slot();
	int pair[2];
	bool sent;

	if (w == NULL || now < lr.service[s].start_after ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == -1)
		return false;
	enter(w, s, W_CHILD, pair[0], 0, now);
	w->ref = (uint32_t)++sequence << 16 | slot_of(w);
	w->parent = (uint16_t)(slot_of(template) + 1);
	msg_begin(&out, MSG_FORK, w->ref);
	for (int i = 0; i < 4; i++)
		msg_add_fd(&out, FD_WORKER_LOG);
	msg_add_fd(&out, pair[1]);
	sent = msg_send(template->fd, &out) == 0;
	close(pair[1]);
	if (sent) {
		template->uses++;
		return true;
	}
	lr.service[s].processes--;
	free_worker(w);
	return false; /* its queue is full: the next tick tries again */
}

static void
start_children(enum service s, unsigned int have, uint64_t now)
{
	struct service_state *st = &lr.service[s];
	struct workers all = workers_of(s);
	struct worker *template = ready_template(&all);

	if (template == NULL) {
		bool coming = false;

		for (unsigned int i = 0; i < all.n; i++)
			coming = coming || (all.w[i].kind == W_TEMPLATE && all.w[i].service == s &&
			    !all.w[i].retiring);
		if (!coming)
			workers_start_process(s, now);
		return; /* its hello comes here again */
	}
	while (have < st->wanted && workers_room(s) && start_child(s, template, now))
		have++;
}

void
workers_start_ready(enum service s, uint64_t now)
{
	struct service_state *st = &lr.service[s];
	struct workers all = workers_of(s);
	unsigned int have;

	if (!st->set.enabled || lr.draining || !lr.started)
		return;
	have = ready_count(&all);
	if (st->set.model == MODEL_FORK)
		start_children(s, have, now);
	else
		while (have < st->wanted && workers_room(s) && workers_start_process(s, now))
			have++;
}

/* ---- retiring ------------------------------------------------------------- */

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
workers_retire(struct worker *w, uint64_t now)
{
	if (w->retiring || w->fd == -1)
		return;
	w->retiring = true;
	w->retired_ms = now;
	msg_begin(&out, MSG_RETIRE, 0);
	if (msg_send(w->fd, &out) == -1)
		end_worker(w);
}

static void
retire_children(unsigned int slot, uint64_t now)
{
	for (unsigned int i = 0; i < lr.nworkers; i++)
		if (lr.workers[i].kind == W_CHILD && lr.workers[i].parent == slot + 1)
			workers_retire(&lr.workers[i], now);
}

void
workers_retire_template(struct worker *w, uint64_t now)
{
	workers_retire(w, now);
	retire_children(slot_of(w), now);
}

/* After a crash nothing more is asked of it: its layout, which its waiting
 * children share, is to be guessed at no longer. */
void
workers_retire_templates(enum service s, uint64_t now, const char *why)
{
	bool any = false;

	for (unsigned int i = 0; i < lr.nworkers; i++) {
		struct worker *w = &lr.workers[i];

		if (w->kind == W_TEMPLATE && w->service == s && !w->retiring) {
			any = true;
			workers_retire_template(w, now);
		}
	}
	if (any)
		log_info("%s-login: template retired: %s", service_name(s), why);
	workers_start_ready(s, now);
}

void
workers_hand_over(struct worker *w)
{
	free_worker(w); /* what is in the pair it reads all the same */
}

/* ---- what they say -------------------------------------------------------- */

static void worker_over(struct worker *w, uint64_t now);

static bool
on_hello(struct worker *w, struct msgin *m, uint64_t now)
{
	struct service_state *st = &lr.service[w->service];
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
	if (w->kind == W_TEMPLATE)
		workers_start_ready((enum service)w->service, now);
	accept_again();
	return true;
}

/* The template has forked a child that waits. */
static bool
on_forked(const struct worker *template, struct msgin *m, uint64_t now)
{
	uint32_t slot = m->id & 0xffff, pid = rd_u32(&m->r);
	struct worker *w = slot < lr.nworkers ? &lr.workers[slot] : NULL;
	int code, status;

	if (!msg_end(m) || pid == 1 || template->kind != W_TEMPLATE)
		return false;
	if (w == NULL || w->kind != W_CHILD || w->ref != m->id || w->pid != 0 ||
	    w->parent != slot_of(template) + 1)
		return true; /* it was given up meanwhile: our end is closed, it goes */
	if (pid == 0) {
		start_failed(&lr.service[w->service], now);
		worker_over(w, now);
		return true;
	}
	w->pid = (pid_t)pid;
	w->ready = true;
	w->idle_since = now;
	if (reap_take_unknown(w->pid, &code, &status))
		workers_gone(w->pid, code, status, now);
	else
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
		return !w->ready && w->kind != W_CHILD && on_hello(w, m, now);
	case MSG_FORKED:
		return on_forked(w, m, now);
	case MSG_CONN_FORKED:
		pid = rd_u32(&m->r);
		if (!msg_end(m) || pid < 2 || w->kind != W_TEMPLATE)
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
			end_worker(w);
			close_pair(w);
		}
		msg_close_fds(&m);
	}
	if (w->fd != -1 && errno != EAGAIN)
		close_pair(w);
}

/* ---- their end ------------------------------------------------------------ */

/* Children that it was asked for and has not told of: if one was made all the same,
 * it finds its channel closed and goes.  The others have its layout. */
static void
give_up_children(unsigned int slot, uint64_t now)
{
	for (unsigned int i = 0; i < lr.nworkers; i++) {
		struct worker *w = &lr.workers[i];

		if (w->kind == W_CHILD && w->parent == slot + 1 && w->pid == 0)
			worker_over(w, now);
	}
	retire_children(slot, now);
}

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
	bool young = !w->ready && w->pid != 0;

	if (w->fd != -1) /* last words: a template's CONN_FORKED */
		workers_read(w, now);
	close_pair(w);
	if (w->kind == W_TEMPLATE) {
		give_up_children(slot_of(w), now);
		end_conns(w);
	} else {
		if (w->kind == W_POOLED)
			end_conns(w);
		if (st->processes > 0)
			st->processes--;
	}
	free_worker(w);
	if (young && !lr.draining)
		start_failed(st, now);
	accept_again();
}

/* A worker that had no connection died in a way that speaks of an attack or of a
 * wrong policy: never in a loop without pauses. */
static void
idle_crash(enum service s, bool child, uint64_t now)
{
	start_failed(&lr.service[s], now);
	if (child && !lr.draining)
		workers_retire_templates(s, now, "one of its waiting children crashed");
}

bool
workers_gone(pid_t pid, int code, int status, uint64_t now)
{
	for (unsigned int i = 0; i < lr.nworkers; i++) {
		struct worker *w = &lr.workers[i];
		enum service s = (enum service)w->service;
		bool child = w->kind == W_CHILD;

		if (w->kind == W_FREE || w->pid != pid)
			continue;
		if (code != CLD_EXITED || (!w->ready && status != 0))
			log_errx("%s-login: process %d %s %d%s", service_name(s), (int)pid,
			    code == CLD_EXITED ? "ended with status" : "died of signal", status,
			    w->ready ? "" : " before it was ready");
		worker_over(w, now);
		if ((child || lr.service[s].set.model == MODEL_EXEC) && reap_is_crash(code, status))
			idle_crash(s, child, now);
		return true;
	}
	return false;
}
