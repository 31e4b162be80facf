#include "login/control.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>

#include "ipc/fds.h"

static struct msgout out;
static uint8_t inbuf[MSG_MAX];

static void
tell(void)
{
	/* The launcher outlives us and is always reading; when its queue is full
	 * for a moment, waiting is right. */
	while (msg_send(FD_CONTROL, &out) == -1 && errno == EAGAIN) {
		struct pollfd p = {.fd = FD_CONTROL, .events = POLLOUT};

		ppoll(&p, 1, NULL, NULL);
	}
}

void
control_hello(const struct layer_report *rep)
{
	uint8_t packed[96];

	hello_put(&out, R_WORKER, packed, layer_report_pack(rep, packed, sizeof(packed)));
	tell();
}

enum control_word
control_take(int fd, struct conn_info *info, int fds[MSG_FDS_MAX], bool wait)
{
	struct msgin m;
	int n;

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		n = msg_recv(fd, R_WORKER, R_LAUNCHER, &m, inbuf);
		if (n != -1 || errno != EAGAIN)
			break;
		if (!wait)
			return CONTROL_BAD;
		ppoll(&p, 1, NULL, NULL);
	}
	if (n <= 0)
		return n == 0 || errno == ECONNRESET ? CONTROL_END : CONTROL_BAD;
	if (m.type == MSG_RETIRE)
		return CONTROL_END;
	info->id = m.id;
	if (m.type != MSG_FORK && (m.type != MSG_CONN_TAKE || !conn_get(&m.r, m.id, info))) {
		msg_close_fds(&m);
		errno = EBADMSG;
		return CONTROL_BAD;
	}
	for (unsigned int i = 0; i < MSG_FDS_MAX; i++)
		fds[i] = msg_take_fd(&m, i);
	return m.type == MSG_FORK ? CONTROL_FORK : CONTROL_CONN;
}

void
control_done(uint32_t id)
{
	msg_begin(&out, MSG_CONN_DONE, id);
	tell();
}

void
control_forked(bool waiting, uint32_t id, uint32_t pid)
{
	msg_begin(&out, waiting ? MSG_FORKED : MSG_CONN_FORKED, id);
	wr_u32(&out.w, pid);
	tell();
}
