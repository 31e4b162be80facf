#include "auth/sockdir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"

static const char *dir = "/";
static int dir_fd = -1;

/* One system call under every C library: the policy knows fstat alone. */
static int
plain_fstat(int fd, struct stat *st)
{
#ifdef SYS_fstat
	return (int)syscall(SYS_fstat, fd, st);
#else
	return fstat(fd, st);
#endif
}

int
sockdir_open(const char *path)
{
	dir = path;
	if (dir_fd != -1)
		close(dir_fd);
	dir_fd = open(path, O_PATH | O_CLOEXEC);
	return dir_fd == -1 ? -1 : 0;
}

bool
sockdir_name_ok(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len < sizeof(((struct sockaddr_un *)0)->sun_path) - 1 &&
	    strchr(name, '/') == NULL && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static void
stop_if_stale(void)
{
	struct stat st;

	if (plain_fstat(dir_fd, &st) == 0 && st.st_nlink == 0)
		fatalx(EXIT_STALE_DIR, "the socket directory was replaced: starting anew");
}

int
sockdir_connect(const char *name)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	bool slash = strcmp(dir, "/") == 0;
	int fd, n, saved;

	if (!sockdir_name_ok(name)) {
		errno = EINVAL;
		return -1;
	}
	n = snprintf(un.sun_path, sizeof(un.sun_path), "%s%s%s", dir, slash ? "" : "/", name);
	if (n < 0 || (size_t)n >= sizeof(un.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return -1;
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
		return fd;
	saved = errno;
	close(fd);
	if (saved == ENOENT)
		stop_if_stale();
	errno = saved;
	return -1;
}

long
sock_read(int fd, void *buf, size_t cap)
{
	struct iovec iov = {.iov_base = buf, .iov_len = cap};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	do
		n = recvmsg(fd, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n == -1 && errno == EINTR);
	return n;
}

long
sock_write(int fd, const void *buf, size_t len, int pass_fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = {0};
	union {
		const void *in;
		void *out;
	} data = {.in = buf}; /* iovec has no const */
	struct iovec iov = {.iov_base = data.out, .iov_len = len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (pass_fd != -1) {
		struct cmsghdr *c;

		mh.msg_control = control.buf;
		mh.msg_controllen = sizeof(control.buf);
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &pass_fd, sizeof(int));
	}
	do
		n = sendmsg(fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n == -1 && errno == EINTR);
	return n;
}

bool
sock_inode(int fd, unsigned long *ino)
{
	struct stat st;

	if (plain_fstat(fd, &st) == -1 || !S_ISSOCK(st.st_mode))
		return false;
	*ino = st.st_ino;
	return true;
}
