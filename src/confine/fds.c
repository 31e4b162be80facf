/*
 * Fixed descriptors for a new process.  First everything moves out of the way,
 * then each goes to its number, then the rest is closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdlib.h>
#include <unistd.h>

#include "confine/internal.h"
#include "ipc/fds.h"

#define HIGH 256 /* above every fixed number */

static int
close_gap(int from, int to)
{
	return from > to ? 0 : close_range((unsigned int)from, (unsigned int)to, 0);
}

static int
ascending(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static int
close_others(const struct confine_req *req, int image, int keep)
{
	int list[CONFINE_FDS_MAX + 2], n = 0, next = 0;

	for (unsigned int i = 0; i < req->nfds; i++)
		list[n++] = req->fds[i].to;
	list[n++] = image;
	list[n++] = keep;
	qsort(list, (size_t)n, sizeof(list[0]), ascending);
	for (int i = 0; i < n; i++) {
		if (close_gap(next, list[i] - 1) == -1)
			return -1;
		next = list[i] + 1;
	}
	return close_range((unsigned int)next, ~0U, 0);
}

int
fds_place(const struct confine_req *req, int *keep_fd)
{
	int moved[CONFINE_FDS_MAX], image, keep;

	for (unsigned int i = 0; i < req->nfds; i++)
		if ((moved[i] = fcntl(req->fds[i].from, F_DUPFD, HIGH)) == -1)
			return -1;
	image = fcntl(req->image_fd, F_DUPFD, HIGH);
	keep = fcntl(*keep_fd, F_DUPFD_CLOEXEC, HIGH);
	if (image == -1 || keep == -1)
		return -1;
	for (unsigned int i = 0; i < req->nfds; i++)
		if (dup2(moved[i], req->fds[i].to) == -1)
			return -1;
	if (dup3(image, FD_IMAGE, O_CLOEXEC) == -1)
		return -1;
	*keep_fd = keep;
	return close_others(req, FD_IMAGE, keep);
}
