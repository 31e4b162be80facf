/*
 * Whom the kernel ends first when memory runs out.  Raising oom_score_adj needs no
 * right and lowering does, so a process is only ever put before others, never behind
 * them; a value that whoever started us has set higher stays.  Children inherit it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "confine/internal.h"

#define OOM_SCORE_ADJ "/proc/self/oom_score_adj"
#define LOWEST (-1000)

/* Not close-on-exec: it stays only where it is asked for. */
static int
open_own(void)
{
	int fd, err;

	/* What is not dumpable has its files in /proc left to root (ns.c). */
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == -1)
		return -1;
	fd = open(OOM_SCORE_ADJ, O_RDWR);
	err = errno;
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1 && fd != -1) {
		err = errno;
		close(fd);
		fd = -1;
	}
	errno = err;
	return fd;
}

/* What is high enough is written as well: whether that is possible has to be known. */
static int
raise_to(int fd, int least)
{
	char text[16] = "";
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	int now, len;

	if (n <= 0)
		return -1;
	now = atoi(text);
	len = snprintf(text, sizeof(text), "%d", now > least ? now : least);
	n = write(fd, text, (size_t)len);
	if (n != -1 && n != len)
		errno = EIO;
	return n == len ? 0 : -1;
}

bool
score_enter(struct entering *e)
{
	const struct confine_req *r = e->req;
	bool own = r->policy->oom_need != NEED_OFF, pass = r->score_need != NEED_OFF;
	enum layer_need need = own ? r->policy->oom_need : r->score_need;
	int fd, rv, err;

	if (!own && !pass)
		return true;
	if (own && pass && r->score_need > need)
		need = r->score_need;
	fd = open_own();
	rv = fd != -1 ? raise_to(fd, own ? (int)r->policy->oom_score : LOWEST) : -1;
	if (rv == 0 && pass)
		rv = dup2(fd, r->score_fd) != -1 ? 0 : -1;
	err = errno;
	if (fd != -1 && !(rv == 0 && pass && fd == r->score_fd))
		close(fd);
	errno = err;
	return step(e, LAYER_OOM_SCORE, need, rv, OOM_SCORE_ADJ);
}
