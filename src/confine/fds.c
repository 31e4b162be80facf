/*
 * Fixed descriptors for a new process.  First everything moves above all fixed
 * numbers, so that no target overwrites a source that is still needed; then each
 * goes to its number; then the gaps are closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdbool.h>
#include <unistd.h>

#include "confine/internal.h"
#include "ipc/fds.h"

static int
first_above(const struct confine_req *req)
{
	int base = FD_IMAGE + 1;

	for (unsigned int i = 0; i < req->nfds; i++)
		if (req->fds[i].to >= base)
			base = req->fds[i].to + 1;
	if (req->score_need != NEED_OFF && req->score_fd >= base)
		base = req->score_fd + 1;
	return base;
}

static bool
wanted(const struct confine_req *req, int fd)
{
	for (unsigned int i = 0; i < req->nfds; i++)
		if (req->fds[i].to == fd)
			return true;
	return req->image_fd != -1 && fd == FD_IMAGE;
}

/* Two for one number, or one where the image goes: our own mistake. */
static bool
sane(const struct confine_req *req)
{
	if (req->nfds > CONFINE_FDS_MAX)
		return false;
	for (unsigned int i = 0; i < req->nfds; i++) {
		if (req->fds[i].from < 0 || req->fds[i].to < 0 ||
		    (req->image_fd != -1 && req->fds[i].to == FD_IMAGE))
			return false;
		for (unsigned int j = 0; j < i; j++)
			if (req->fds[i].to == req->fds[j].to)
				return false;
	}
	return true;
}

/* Before Linux 5.9 there is no close_range: every number that there can be. */
static int
close_from(unsigned int first)
{
	long max = sysconf(_SC_OPEN_MAX);

	if (close_range(first, ~0U, 0) == 0)
		return 0;
	if (errno != ENOSYS)
		return -1;
	if (max < 0 || max > 1 << 20)
		max = 1 << 20;
	for (long fd = first; fd < max; fd++)
		close((int)fd);
	return 0;
}

int
fds_place(const struct confine_req *req, int *alive_fd)
{
	int moved[CONFINE_FDS_MAX], image = -1, alive, base = first_above(req);

	if (!sane(req)) {
		errno = EINVAL;
		return -1;
	}
	for (unsigned int i = 0; i < req->nfds; i++)
		if ((moved[i] = fcntl(req->fds[i].from, F_DUPFD_CLOEXEC, base)) == -1)
			return -1;
	if (req->image_fd != -1 && (image = fcntl(req->image_fd, F_DUPFD_CLOEXEC, base)) == -1)
		return -1;
	/* From the top of the stack of copies down to base, exactly. */
	if ((alive = fcntl(*alive_fd, F_DUPFD_CLOEXEC, base)) == -1)
		return -1;
	for (unsigned int i = 0; i < req->nfds; i++)
		if (dup3(moved[i], req->fds[i].to, 0) == -1)
			return -1;
	if (image != -1 && dup3(image, FD_IMAGE, O_CLOEXEC) == -1)
		return -1;
	if (alive != base && dup3(alive, base, O_CLOEXEC) == -1)
		return -1;
	*alive_fd = base;
	for (int fd = 0; fd < base; fd++)
		if (!wanted(req, fd))
			close(fd);
	return close_from((unsigned int)base + 1);
}
