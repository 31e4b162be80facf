/*
 * Sealed memfds: programs to execute where there are no files, and data that
 * nobody can change any more.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "confine/confine.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#define MFD_EXEC 0x0010U
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
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
	int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

	/* The mode, too, where the kernel can; F_SEAL_SEAL last, for both. */
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_EXEC) == -1 && errno != EINVAL)
		return -1;
	return fcntl(fd, F_ADD_SEALS, seals | F_SEAL_SEAL);
}

static void
close_keep_errno(int fd)
{
	int saved = errno;

	if (fd != -1)
		close(fd);
	errno = saved;
}

/*
 * How much of a program is loaded: up to the end of its last segment.  What lies
 * behind it in the file (symbols, debug information, section headers) nobody can
 * read here, and a memfd holds in memory.  All of it, if that cannot be told.
 */
static off_t
loaded_size(int fd, off_t size)
{
	ElfW(Ehdr) e;
	ElfW(Phdr) ph;
	off_t end = 0;

	if (pread(fd, &e, sizeof(e), 0) != (ssize_t)sizeof(e) ||
	    memcmp(e.e_ident, ELFMAG, SELFMAG) != 0 || e.e_phentsize != sizeof(ph))
		return size;
	for (unsigned int i = 0; i < e.e_phnum; i++) {
		off_t at = (off_t)(e.e_phoff + i * sizeof(ph));

		if (pread(fd, &ph, sizeof(ph), at) != (ssize_t)sizeof(ph))
			return size;
		if (ph.p_filesz > 0 && (off_t)(ph.p_offset + ph.p_filesz) > end)
			end = (off_t)(ph.p_offset + ph.p_filesz);
	}
	return end > 0 && end < size ? end : size;
}

static int
copy_file(int to, int from)
{
	struct stat st;
	off_t left;

	if (fstat(from, &st) == -1)
		return -1;
	if (!S_ISREG(st.st_mode) || st.st_size == 0) {
		errno = ENOEXEC;
		return -1;
	}
	for (left = loaded_size(from, st.st_size); left > 0;) {
		ssize_t n = sendfile(to, from, NULL, (size_t)left);

		if (n == 0)
			errno = EIO; /* it became shorter */
		if (n <= 0)
			return -1;
		left -= n;
	}
	return 0;
}

int
confine_seal_image(const char *path, const char *name)
{
	int in = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), fd = -1, rv = -1;

	if (in == -1 || (fd = new_memfd(name, true)) == -1)
		goto out;
	/* Executable, not readable: whoever runs it is not dumpable from the first
	 * instruction, before he can say so himself. */
	if (copy_file(fd, in) == -1 || fchmod(fd, 0111) == -1 || seal(fd) == -1)
		goto out;
	rv = fd;
	fd = -1; /* now the caller's */
out:
	close_keep_errno(in);
	close_keep_errno(fd);
	return rv;
}

static int
write_all(int fd, const char *p, size_t len)
{
	/* pwrite: the offset stays 0 for whoever reads. */
	for (size_t done = 0; done < len;) {
		ssize_t n = pwrite(fd, p + done, len - done, (off_t)done);

		if (n == -1 && errno != EINTR)
			return -1;
		if (n > 0)
			done += (size_t)n;
	}
	return 0;
}

int
confine_seal_data(const void *p, size_t len, const char *name)
{
	int fd = new_memfd(name, false), ro;
	char path[40];

	if (fd == -1)
		return -1;
	if (write_all(fd, p, len) == -1 || seal(fd) == -1) {
		close_keep_errno(fd);
		return -1;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	if (ro == -1) /* an ordinary user who is not dumpable; the seals hold all the same */
		return fd;
	close(fd);
	return ro;
}
