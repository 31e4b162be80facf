/*
 * What the processes that take connections say, and their end.
 */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "launcher/workers_internal.h"

static struct msgout out;

static void worker_over(struct worker *w, uint64_t now);

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
	    w->parent != workers_slot(template) + 1)
		return true; /* it was given up meanwhile: our end is closed, it goes */
	if (pid == 0) {
		workers_start_failed(&lr.service[w->service], now);
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
		if (c != NULL && c->template == workers_slot(w) + 1) {
			c->template = 0;
			reap_bind(c, (pid_t)pid, now);
		}
		return true;
	case MSG_CONN_DONE:
		/* It speaks for its own connections only. */
		if (c != NULL &&
		    (c->worker == workers_slot(w) + 1 || c->template == workers_slot(w) + 1))
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

	for (int i = 0; i < MESSAGES_PER_TURN && w->fd != -1; i++) {
		n = msg_recv(w->fd, R_LAUNCHER, R_WORKER, &m, buf);
		if (n == -1) {
			if (errno != EAGAIN)
				close_pair(w);
			return;
		}
		if (n == 0) {
			close_pair(w);
			return;
		}
		if (!dispatch(w, &m, now)) {
			log_errx("%s-login: malformed message from worker %d: killed",
			    service_name((enum service)w->service), (int)w->pid);
			workers_kill(w);
			close_pair(w);
		}
		msg_close_fds(&m);
	}
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
	workers_retire_children(slot, now);
}

/* What it had alone: a pooled worker's connections, and those that a template
 * had in its queue and not yet forked for. */
static void
end_conns(struct worker *w)
{
	struct conn *next;

	for (struct conn *c = conns_next(NULL); c != NULL; c = next) {
		next = conns_next(c);
		if (c->worker == workers_slot(w) + 1 || c->template == workers_slot(w) + 1)
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
		give_up_children(workers_slot(w), now);
		end_conns(w);
	} else {
		if (w->kind == W_POOLED)
			end_conns(w);
		if (st->processes > 0)
			st->processes--;
	}
	workers_free(w);
	if (young && !lr.draining)
		workers_start_failed(st, now);
	accept_again();
}

/* A worker that had no connection died in a way that speaks of an attack or of a
 * wrong policy: never in a loop without pauses. */
static void
idle_crash(enum service s, uint32_t layout, uint64_t now)
{
	workers_start_failed(&lr.service[s], now);
	workers_retire_layout(s, layout, now, "one of its waiting children crashed");
}

bool
workers_gone(pid_t pid, int code, int status, uint64_t now)
{
	for (unsigned int i = 0; i < lr.nworkers; i++) {
		struct worker *w = &lr.workers[i];
		enum service s = (enum service)w->service;
		bool crash = reap_is_crash(code, status);
		enum worker_kind kind = (enum worker_kind)w->kind;
		uint32_t layout = w->layout;

		if (w->kind == W_FREE || w->pid != pid)
			continue;
		if (code != CLD_EXITED || (!w->ready && status != 0))
			log_errx("%s-login: process %d %s %d%s", service_name(s), (int)pid,
			    code == CLD_EXITED ? "ended with status" : "died of signal", status,
			    w->ready ? "" : " before it was ready");
		if (crash && kind == W_POOLED)
			workers_crashed(&lr.service[s], w->born_ms);
		worker_over(w, now);
		if (crash && (kind == W_CHILD || kind == W_EXEC))
			idle_crash(s, layout, now);
		return true;
	}
	return false;
}
