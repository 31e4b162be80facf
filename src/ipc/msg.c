#include "ipc/msg.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct msg_rule {
	const char *name;
	uint8_t from, to;
	uint16_t min, max;
	uint8_t fds_min, fds_max;
};

static const struct msg_rule rules[MSG__MAX] = {
#define MSG(name, from, to, min, max, fdmin, fdmax) \
	[MSG_##name] = {#name, from, to, min, max, fdmin, fdmax},
#include "ipc/msg.def"
#undef MSG
};

const char *
msg_name(unsigned int type)
{
	return type > MSG_NONE && type < MSG__MAX ? rules[type].name : "unknown";
}

const char *
role_name(enum role role)
{
	switch (role) {
	case R_SUPERVISOR:
		return "supervisor";
	case R_LAUNCHER:
		return "launcher";
	case R_AUTH:
		return "auth client";
	case R_KEYS:
		return "key signer";
	case R_WORKER:
		return "worker";
	default:
		return "unknown";
	}
}

void
msg_begin(struct msgout *m, enum msg_type type, uint32_t id)
{
	m->w = (struct wr){.p = m->buf, .cap = sizeof(m->buf)};
	m->nfds = 0;
	wr_u16(&m->w, (uint16_t)type);
	wr_u16(&m->w, 0);
	wr_u32(&m->w, id);
}

void
msg_add_fd(struct msgout *m, int fd)
{
	if (m->nfds == MSG_FDS_MAX || fd < 0)
		m->w.bad = true;
	else
		m->fds[m->nfds++] = fd;
}

static bool
sendable(const struct msgout *m)
{
	unsigned int type = m->buf[0] | (unsigned int)m->buf[1] << 8;
	const struct msg_rule *r;

	if (m->w.bad || m->w.len < MSG_HEADER || type == MSG_NONE || type >= MSG__MAX)
		return false;
	r = &rules[type];
	return m->w.len - MSG_HEADER >= r->min && m->w.len - MSG_HEADER <= r->max &&
	    m->nfds >= r->fds_min && m->nfds <= r->fds_max;
}

int
msg_write(int fd, struct msgout *m)
{
	ssize_t n;

	if (!sendable(m) || m->nfds > 0) {
		errno = EMSGSIZE;
		return -1;
	}
	do
		n = write(fd, m->buf, m->w.len);
	while (n == -1 && errno == EINTR);
	return n == -1 ? -1 : 0;
}

int
msg_send(int fd, struct msgout *m)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * MSG_FDS_MAX)];
	} control = {0};
	struct iovec iov = {.iov_base = m->buf, .iov_len = m->w.len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (!sendable(m)) {
		errno = EMSGSIZE;
		return -1;
	}
	if (m->nfds > 0) {
		struct cmsghdr *c;

		mh.msg_control = control.buf;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * m->nfds);
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * m->nfds);
		memcpy(CMSG_DATA(c), m->fds, sizeof(int) * m->nfds);
	}
	do
		n = sendmsg(fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n == -1 && errno == EINTR);
	return n == -1 ? -1 : 0;
}

int
msg_parse(const uint8_t *buf, size_t len, unsigned int nfds, enum role me, enum role from,
    struct msgin *m)
{
	struct rd r = {.p = buf, .end = buf + len};
	unsigned int type, zero;
	const struct msg_rule *rule;

	type = rd_u16(&r);
	zero = rd_u16(&r);
	m->id = rd_u32(&r);
	if (r.bad || zero != 0 || type == MSG_NONE || type >= MSG__MAX)
		return -1;
	rule = &rules[type];
	len -= MSG_HEADER;
	if ((rule->from & from) == 0 || (rule->to & me) == 0 || len < rule->min ||
	    len > rule->max || nfds < rule->fds_min || nfds > rule->fds_max)
		return -1;
	m->type = (enum msg_type)type;
	m->r = r;
	return 0;
}

/* Of a peer that has ended without reading all that it was sent the kernel tells that
 * first, once; what it had said before, and its end, come after. */
static bool
again(bool *reset)
{
	if (errno == ECONNRESET && !*reset)
		return *reset = true;
	return errno == EINTR;
}

int
msg_read(int fd, enum role me, enum role from, struct msgin *m, uint8_t *buf)
{
	bool reset = false;
	ssize_t n;

	m->nfds = 0;
	do
		n = read(fd, buf, MSG_MAX);
	while (n == -1 && again(&reset));
	if (n <= 0)
		return n == 0 ? 0 : -1;
	if (msg_parse(buf, (size_t)n, 0, me, from, m) == -1) {
		errno = EBADMSG;
		return -1;
	}
	return 1;
}

static void
collect_fds(struct msghdr *mh, struct msgin *m, unsigned int *count)
{
	*count = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c != NULL; c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; CMSG_LEN((i + 1) * sizeof(int)) <= c->cmsg_len; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			++*count;
			if (m->nfds < MSG_FDS_MAX)
				m->fds[m->nfds++] = fd;
			else
				close(fd);
		}
	}
}

int
msg_recv(int fd, enum role me, enum role from, struct msgin *m, uint8_t *buf)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * MSG_FDS_MAX)];
	} control;
	struct iovec iov = {.iov_base = buf, .iov_len = MSG_MAX};
	struct msghdr mh = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.buf,
	    .msg_controllen = sizeof(control.buf)};
	bool reset = false;
	unsigned int count;
	ssize_t n;

	m->nfds = 0;
	do
		n = recvmsg(fd, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n == -1 && again(&reset));
	if (n == -1)
		return -1;
	collect_fds(&mh, m, &count);
	if (n == 0 && count == 0)
		return 0;
	if ((mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ||
	    msg_parse(buf, (size_t)n, count, me, from, m) == -1) {
		msg_close_fds(m);
		errno = EBADMSG;
		return -1;
	}
	return 1;
}

int
msg_take_fd(struct msgin *m, unsigned int i)
{
	int fd;

	if (i >= m->nfds)
		return -1;
	fd = m->fds[i];
	m->fds[i] = -1;
	return fd;
}

void
msg_close_fds(struct msgin *m)
{
	for (unsigned int i = 0; i < m->nfds; i++)
		if (m->fds[i] != -1)
			close(m->fds[i]);
	m->nfds = 0;
}

bool
msg_end(const struct msgin *m)
{
	return rd_end(&m->r);
}

void
hello_put(struct msgout *m, enum role role, const uint8_t *layers, size_t layers_len)
{
	msg_begin(m, MSG_HELLO, 0);
	wr_str(&m->w, build_id);
	wr_u8(&m->w, (uint8_t)role);
	wr_u32(&m->w, (uint32_t)getpid());
	wr_block(&m->w, layers, layers_len);
}

bool
hello_get(struct msgin *m, enum role expect, struct hello *h)
{
	const uint8_t *p;

	memset(h, 0, sizeof(*h));
	if (m->type != MSG_HELLO)
		return false;
	rd_str(&m->r, h->build_id, sizeof(h->build_id));
	h->role = rd_u8(&m->r);
	h->pid = rd_u32(&m->r);
	p = rd_block(&m->r, sizeof(h->layers), &h->layers_len);
	memcpy(h->layers, p, h->layers_len);
	return msg_end(m) && h->role == (uint8_t)expect && strcmp(h->build_id, build_id) == 0;
}
