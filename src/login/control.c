#include "login/control.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>

#include "ipc/fds.h"
#include "ipc/msg.h"

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

int
control_take(struct conn_info *info, int fds[4], bool wait)
{
	struct msgin m;
	int n;

	for (;;) {
		struct pollfd p = {.fd = FD_CONTROL, .events = POLLIN};

		n = msg_recv(FD_CONTROL, R_WORKER, R_LAUNCHER, &m, inbuf);
		if (n != -1 || errno != EAGAIN)
			break;
		if (!wait)
			return -1;
		ppoll(&p, 1, NULL, NULL);
	}
	if (n <= 0)
		return n == 0 || errno == ECONNRESET ? 0 : -1;
	if (m.type == MSG_RETIRE)
		return 0;
	if (m.type != MSG_CONN_TAKE || !conn_get(&m.r, m.id, info)) {
		msg_close_fds(&m);
		errno = EBADMSG;
		return -1;
	}
	for (unsigned int i = 0; i < 4; i++)
		fds[i] = msg_take_fd(&m, i);
	return 1;
}

void
control_done(uint32_t id)
{
	msg_begin(&out, MSG_CONN_DONE, id);
	tell();
}

void
control_forked(uint32_t id, uint32_t pid)
{
	msg_begin(&out, MSG_CONN_FORKED, id);
	wr_u32(&out.w, pid);
	tell();
}
