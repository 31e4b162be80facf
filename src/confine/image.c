/*
 * Sealed memfds: programs to execute in a root without files, and data that
 * nobody can change any more.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "confine/confine.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#define MFD_NOEXEC_SEAL 0x0008U
#endif

static int
new_memfd(const char *name, bool executable)
{
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create(name, flags | (executable ? MFD_EXEC : MFD_NOEXEC_SEAL));

	if (fd == -1 && errno == EINVAL) /* before Linux 6.3 */
		fd = memfd_create(name, flags);
	return fd;
}

static int
seal(int fd)
{
	return fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
}

int
confine_seal_image(const char *path, const char *name)
{
	int in = open(path, O_RDONLY | O_CLOEXEC), fd = -1, saved;
	struct stat st;
	off_t left;
	bool good = false;

	if (in == -1 || fstat(in, &st) == -1 || (fd = new_memfd(name, true)) == -1)
		goto out;
	for (left = st.st_size; left > 0;) {
		ssize_t n = sendfile(fd, in, NULL, (size_t)left);

		if (n <= 0)
			goto out;
		left -= n;
	}
	good = fchmod(fd, 0555) == 0 && seal(fd) == 0;
out:
	saved = errno;
	if (in != -1)
		close(in);
	if (fd != -1 && !good) {
		close(fd);
		fd = -1;
	}
	errno = saved;
	return fd;
}

int
confine_seal_data(const void *p, size_t len, const char *name)
{
	int fd = new_memfd(name, false), ro, saved;
	char path[40];

	if (fd == -1)
		return -1;
	if (write(fd, p, len) != (ssize_t)len || seal(fd) == -1) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	if (ro == -1) /* a non-dumpable supervisor of an ordinary user; sealed all the same */
		return fd;
	close(fd);
	return ro;
}
