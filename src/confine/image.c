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

static int
copy_range(int to, int from, off_t at, off_t left)
{
	if (lseek(to, at, SEEK_SET) == -1)
		return -1;
	while (left > 0) {
		ssize_t n = sendfile(to, from, &at, (size_t)left);

		if (n == 0)
			errno = EIO; /* it became shorter */
		if (n <= 0)
			return -1;
		left -= n;
	}
	return 0;
}

/*
 * What is loaded of a program: nobody can read here what lies behind it in the
 * file (symbols, debug information), and a memfd holds that, and what is between
 * aligned segments, in memory.  0: this is none whose segments can be told.
 */
static int
copy_segments(int to, int from)
{
	ElfW(Ehdr) e;
	ElfW(Phdr) ph;
	int done = 0;

	if (pread(from, &e, sizeof(e), 0) != (ssize_t)sizeof(e) ||
	    memcmp(e.e_ident, ELFMAG, SELFMAG) != 0 || e.e_phentsize != sizeof(ph))
		return 0;
	for (unsigned int i = 0; i < e.e_phnum; i++) {
		off_t at = (off_t)(e.e_phoff + i * sizeof(ph));

		if (pread(from, &ph, sizeof(ph), at) != (ssize_t)sizeof(ph))
			return 0;
		if (ph.p_type != PT_LOAD)
			continue;
		if (copy_range(to, from, (off_t)ph.p_offset, (off_t)ph.p_filesz) == -1)
			return -1;
		done++;
	}
	return done;
}

static int
copy_file(int to, int from)
{
	struct stat st;
	int n;

	if (fstat(from, &st) == -1)
		return -1;
	if (!S_ISREG(st.st_mode) || st.st_size == 0) {
		errno = ENOEXEC;
		return -1;
	}
	n = copy_segments(to, from);
	return n != 0 ? n : copy_range(to, from, 0, st.st_size);
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
