#include "probe/order.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "probe/sweep.h"

/* A few bytes; waits for them.  <= 0 at the end. */
static long
input(int fd, enum report_by how, char *buf, size_t cap)
{
	struct iovec v = {.iov_base = buf, .iov_len = cap};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
	long n;

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		if (how == REPORT_SENDMSG)
			n = quiet3(SYS_recvmsg, fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
		else
			n = quiet3(SYS_read, fd, buf, cap);
		if (n != -EAGAIN)
			return n;
		if (how != REPORT_SENDMSG) /* the auth client's policy has no ppoll: it spins */
			quiet6(SYS_ppoll, ARG(&p), 1, 0, 0, 0, 0);
	}
}

bool
order_read(struct order *o, int fd, enum report_by how)
{
	char line[160];
	size_t len = 0;
	char *space;

	do {
		long n = input(fd, how, line + len, sizeof(line) - 1 - len);

		if (n <= 0)
			return false;
		len += (size_t)n;
		line[len] = '\0';
	} while (strchr(line, '\n') == NULL && len < sizeof(line) - 1);
	line[strcspn(line, "\n")] = '\0';
	space = strchr(line, ' ');
	if (space == NULL || (size_t)(space - line) >= sizeof(o->id) ||
	    strlen(space + 1) >= sizeof(o->phase))
		return false;
	*space = '\0';
	strcpy(o->id, line);
	strcpy(o->phase, space + 1);
	report_to(fd, how);
	return true;
}

static void
hold(void)
{
	char c;

	report_outcome(blocked("holding"));
	while (input(place.client, REPORT_WRITE, &c, 1) > 0)
		;
}

void
order_do(const struct order *o)
{
	const struct test *t = table_find(o->id);

	if (strcmp(o->id, "hold") == 0)
		hold();
	else if (strncmp(o->id, "sweep:", 6) == 0)
		sweep_order(o->id + 6);
	else if (strncmp(o->id, "call:", 5) == 0)
		sweep_call_order(o->id + 5);
	else if (t != NULL)
		report_outcome(t->fn(t));
	else
		report_outcome(skipped("no such id"));
}
