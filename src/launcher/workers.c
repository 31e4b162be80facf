/*
 * Processes that take connections: templates and their waiting children (fork),
 * waiting workers (exec), pooled workers.  Their table, their start, and how they are
 * told to go; how many there should be is decided in keep.c and ready.c, what they
 * say and how they end is in workers_read.c.
 */
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "ipc/fds.h"
#include "launcher/workers_internal.h"

#define BACKOFF_MS 200 /* doubles with each failed start in a row */
#define BACKOFF_MAX_MS 10000
/* From one template or pooled worker that crashes to the birth of the next: whoever
 * can make them crash makes us start a few a second, which is no load, and those who
 * wait are served by each of them. */
#define CRASHED_MS 250

static struct msgout out;

unsigned int
workers_slot(const struct worker *w)
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

void
workers_free(struct worker *w)
{
	if (w->fd != -1) {
		unwatch(w->fd);
		close(w->fd);
	}
	*w = (struct worker){.fd = -1};
	while (lr.nworkers > 0 && lr.workers[lr.nworkers - 1].kind == W_FREE)
		lr.nworkers--;
}

void
workers_kill(const struct worker *w)
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

void
workers_start_failed(struct service_state *st, uint64_t now)
{
	uint64_t wait = BACKOFF_MS;

	st->failures++;
	for (unsigned int i = 1; i < st->failures && wait < BACKOFF_MAX_MS; i++)
		wait *= 2;
	st->start_after = now + (wait > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : wait);
}

void
workers_crashed(struct service_state *st, uint64_t born)
{
	if (st->start_after < born + CRASHED_MS)
		st->start_after = born + CRASHED_MS;
}

/* In the table, watched, and counted if it counts. */
static void
enter(struct worker *w, enum service s, enum worker_kind kind, int fd, pid_t pid, uint64_t now)
{
	static uint32_t last_layout;

	*w = (struct worker){.kind = (uint8_t)kind,
	    .service = (uint8_t)s,
	    .pid = pid,
	    .fd = fd,
	    .born_ms = now,
	    .idle_since = now};
	if (kind == W_TEMPLATE)
		w->layout = ++last_layout != 0 ? last_layout : ++last_layout;
	else
		lr.service[s].processes++;
	watch(fd, SRC_WORKER, workers_slot(w));
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
	fd = spawn_worker(s, &st->set, &pid);
	if (fd == -1) {
		log_warn("%s-login: cannot start a worker", service_name(s));
		workers_start_failed(st, now);
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
	w->ref = (uint32_t)++sequence << 16 | workers_slot(w);
	w->parent = (uint16_t)(workers_slot(template) + 1);
	w->layout = template->layout;
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
	workers_free(w);
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
		workers_kill(w);
}

void
workers_retire_children(unsigned int slot, uint64_t now)
{
	for (unsigned int i = 0; i < lr.nworkers; i++)
		if (lr.workers[i].kind == W_CHILD && lr.workers[i].parent == slot + 1)
			workers_retire(&lr.workers[i], now);
}

void
workers_retire_template(struct worker *w, uint64_t now)
{
	workers_retire(w, now);
	workers_retire_children(workers_slot(w), now);
}

/* After a crash nothing more is asked of it: its layout, which its waiting
 * children share, is to be guessed at no longer.  Templates that came after it are
 * none the worse: many crashes of one layout end one template. */
void
workers_retire_layout(enum service s, uint32_t layout, uint64_t now, const char *why)
{
	for (unsigned int i = 0; i < lr.nworkers; i++) {
		struct worker *w = &lr.workers[i];

		if (w->kind != W_TEMPLATE || w->layout != layout || w->retiring || lr.draining)
			continue;
		workers_crashed(&lr.service[s], w->born_ms);
		workers_retire_template(w, now);
		log_info("%s-login: template retired: %s", service_name(s), why);
		workers_start_ready(s, now);
		return;
	}
}

void
workers_hand_over(struct worker *w)
{
	workers_free(w); /* what is in the pair it reads all the same */
}
