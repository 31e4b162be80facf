/*
 * Starting one helper, and the pairs between helpers.
 */
#include "supervisor/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "confine/confine.h"
#include "ipc/fds.h"

static const struct kind {
	enum role role;
	const char *name;
	enum image image;
	enum policy_id policy; /* identity, namespaces, root, limits */
	enum policy_id outer;  /* the filter before exec */
} kinds[] = {
    {R_KEYS, "gatehouse-keys", IMAGE_KEYS, POL_KEY_SIGNER, POL_START},
    {R_AUTH, "gatehouse-auth", IMAGE_AUTH, POL_AUTH_CLIENT, POL_START},
    {R_LAUNCHER, "gatehouse-launcher", IMAGE_LAUNCHER, POL_LAUNCHER, POL_LAUNCHER},
};

static const struct kind *
kind_of(enum role role)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].role == role)
			return &kinds[i];
	return &kinds[0];
}

const char *
helper_name(enum role role)
{
	return kind_of(role)->name;
}

static void
add_fd(struct confine_req *req, int from, int to)
{
	req->fds[req->nfds++] = (struct confine_fd){.from = from, .to = to};
}

static void
account(const struct plan *p, enum role role, struct confine_req *req)
{
	req->uid = role == R_LAUNCHER ? p->login_uid : role == R_AUTH ? p->auth_uid : p->keys_uid;
	req->gid = role == R_LAUNCHER ? p->login_gid : role == R_AUTH ? p->auth_gid : p->keys_gid;
}

/* It is its workers' scores that the launcher can raise. */
static void
take_out_score(struct helper *h)
{
	h->for_workers.state[LAYER_OOM_SCORE] = h->layers.state[LAYER_OOM_SCORE];
	h->for_workers.err[LAYER_OOM_SCORE] = h->layers.err[LAYER_OOM_SCORE];
	h->layers.state[LAYER_OOM_SCORE] = LAYER_NOT_ASKED;
	h->layers.err[LAYER_OOM_SCORE] = 0;
}

static int
spawn(struct helper *h, const struct plan *p, int control, int log, int worker_log,
    struct diag *d)
{
	const struct kind *k = kind_of(h->role);
	struct sock_fprog outer = {.len = (unsigned short)p->policies.whole[k->outer].n,
	    .filter = p->policies.whole[k->outer].insn};
	struct confine_req req = {.policy = &p->policies.policy[k->policy],
	    .name = k->name,
	    .image_fd = p->image_fd[k->image],
	    .outer = outer.len > 0 ? &outer : NULL,
	    .root_dir = p->conf.login_socket_dir,
	    .optional = p->conf.confine_optional};

	account(p, h->role, &req);
	add_fd(&req, log, FD_LOG);
	add_fd(&req, control, FD_CONTROL);
	add_fd(&req, p->settings_fd[k->image], FD_SETTINGS);
	add_fd(&req, p->filters_fd[k->image], FD_FILTERS);
	if (h->role == R_LAUNCHER) {
		add_fd(&req, p->settings_fd[IMAGE_LOGIN], FD_WORKER_SETTINGS);
		add_fd(&req, p->filters_fd[IMAGE_LOGIN], FD_WORKER_FILTERS);
		add_fd(&req, p->image_fd[IMAGE_LOGIN], FD_WORKER_IMAGE);
		add_fd(&req, worker_log, FD_WORKER_LOG);
		req.score_need = p->score_need;
		req.score_fd = FD_OOM_SCORE;
	}
	memset(&h->for_workers, 0, sizeof(h->for_workers));
	if (confine_spawn(&req, 0, &h->pid, &h->layers, d) == -1)
		return -1;
	if (h->role == R_LAUNCHER)
		take_out_score(h);
	return 0;
}

static void
close_fd(int fd)
{
	if (fd != -1)
		close(fd);
}

int
helper_start(struct helper *h, const struct plan *p, struct diag *d)
{
	int pair[2] = {-1, -1}, log = -1, worker_log = -1, rv = -1;

	log = logpipe_open(&h->log, helper_name(h->role), true);
	if (h->role == R_LAUNCHER)
		worker_log = logpipe_open(&h->worker_log, "gatehouse-login", false);
	if (log == -1 || (h->role == R_LAUNCHER && worker_log == -1) ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == -1)
		diag_set(d, NULL, 0, 0, "%s: %s", helper_name(h->role), strerror(errno));
	else
		rv = spawn(h, p, pair[1], log, worker_log, d);
	close_fd(log);
	close_fd(worker_log);
	close_fd(pair[1]);
	if (rv == -1) {
		close_fd(pair[0]);
		logpipe_close(&h->log);
		logpipe_close(&h->worker_log);
		return -1;
	}
	h->control_fd = pair[0];
	h->state = HELPER_STARTING;
	return 0;
}

void
helper_close(struct helper *h)
{
	close_fd(h->control_fd);
	h->control_fd = -1;
	logpipe_close(&h->log);
	logpipe_close(&h->worker_log);
	memset(&h->stats, 0, sizeof(h->stats));
	h->state = HELPER_DOWN;
	h->pid = 0;
}

bool
helper_tell(struct helper *h, struct msgout *m)
{
	if (h->control_fd != -1 && msg_send(h->control_fd, m) == 0)
		return true;
	logger_line('W', "cannot reach %s: %s", helper_name(h->role), strerror(errno));
	return false;
}

void
helper_send_keys(struct helper *h, const struct plan *p)
{
	for (unsigned int i = 0; i < p->nkeys; i++) {
		struct msgout m;

		msg_begin(&m, MSG_KEY, i);
		wr_str(&m.w, p->keys[i].path);
		wr_str(&m.w, p->keys[i].password);
		msg_add_fd(&m, p->keys[i].fd);
		helper_tell(h, &m);
		explicit_bzero(m.buf, m.w.len);
	}
}

void
helper_pair(struct helper *a, struct helper *b)
{
	struct msgout m;
	int pair[2];

	if (a->state != HELPER_UP || b->state != HELPER_UP)
		return; /* whoever comes up later joins them */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == -1) {
		logger_line('E', "socketpair: %s", strerror(errno));
		return;
	}
	msg_begin(&m, MSG_PEER, 0);
	wr_u8(&m.w, (uint8_t)b->role);
	msg_add_fd(&m, pair[0]);
	helper_tell(a, &m);
	msg_begin(&m, MSG_PEER, 0);
	wr_u8(&m.w, (uint8_t)a->role);
	msg_add_fd(&m, pair[1]);
	helper_tell(b, &m);
	close(pair[0]);
	close(pair[1]);
}
