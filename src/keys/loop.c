#include "keys/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"

#define BATCH 64

static uint8_t kinds[LOOP_FDS_MAX]; /* enum watch, by descriptor */
static int fds_max;

int
loop_init(void)
{
	struct rlimit rl;
	int fd;

	if (getrlimit(RLIMIT_NOFILE, &rl) == -1)
		return -1;
	fds_max = rl.rlim_cur < LOOP_FDS_MAX ? (int)rl.rlim_cur : LOOP_FDS_MAX;
	fd = epoll_create1(EPOLL_CLOEXEC);
	if (fd == -1 || fd == LOOP_FD)
		return fd == -1 ? -1 : 0;
	if (dup3(fd, LOOP_FD, O_CLOEXEC) == -1)
		return -1;
	return close(fd);
}

uint64_t
loop_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t); /* vDSO */
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int
loop_fds(void)
{
	return fds_max;
}

static int
control(int op, int fd, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.fd = fd};

	return epoll_ctl(LOOP_FD, op, fd, &ev);
}

int
loop_add(int fd, enum watch kind)
{
	if (fd < 0 || fd >= fds_max || control(EPOLL_CTL_ADD, fd, EPOLLIN) == -1)
		return -1;
	kinds[fd] = (uint8_t)kind;
	return 0;
}

void
loop_want_write(int fd, int want)
{
	control(EPOLL_CTL_MOD, fd, want ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void
loop_pause(int fd)
{
	control(EPOLL_CTL_DEL, fd, 0);
	kinds[fd] = WATCH_NONE;
}

/* Taken out by hand: whoever passed the descriptor may still have it open, and
 * then closing it alone would leave it in the set. */
void
loop_close(int fd)
{
	if (kinds[fd] != WATCH_NONE)
		loop_pause(fd);
	close(fd);
}

void
loop_once(const loop_fn handlers[WATCH__MAX], int timeout_ms)
{
	struct epoll_event batch[BATCH];
	int n = epoll_pwait(LOOP_FD, batch, BATCH, timeout_ms, NULL);

	if (n == -1 && errno != EINTR)
		fatal(EX_OSERR, "epoll_pwait");
	for (int i = 0; i < n; i++) {
		int fd = batch[i].data.fd;
		loop_fn fn = handlers[kinds[fd]];

		if (fn != NULL) /* NULL: closed earlier in this batch */
			fn(fd, batch[i].events);
	}
}
