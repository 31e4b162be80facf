#include "ipc/filters.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_mseal
#define SYS_mseal 462
#endif

static const char *const slot_names[FILTER__MAX] = {
    [FILTER_TLS_PROXY] = "tls-proxy",
    [FILTER_LOGIN] = "login",
    [FILTER_TEMPLATE] = "template",
    [FILTER_LOGIN_FULL] = "login-full",
    [FILTER_POOL] = "pool",
    [FILTER_SELF] = "self",
};

const char *
filter_slot_name(enum filter_slot slot)
{
	return (unsigned int)slot < FILTER__MAX ? slot_names[slot] : NULL;
}

int
filter_slot_by_name(const char *name)
{
	for (int i = 0; i < FILTER__MAX; i++)
		if (strcmp(slot_names[i], name) == 0)
			return i;
	return -1;
}

/* Before Linux 6.7 a write-sealed memfd can be mapped MAP_SHARED only through
 * a descriptor that was opened read-only. */
static int
reopen_readonly(int fd)
{
	char path[40];
	int ro;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	return ro != -1 ? ro : fcntl(fd, F_DUPFD_CLOEXEC, 0); /* not dumpable, ordinary user */
}

static int
write_slot(int fd, int slot, const struct sock_fprog *prog)
{
	unsigned char page[FILTER_SLOT_SIZE] = {0};
	struct sock_fprog head = {.len = prog->len};

	if (prog->len > FILTER_INSN_MAX) {
		errno = E2BIG;
		return -1;
	}
	head.filter = (struct sock_filter *)(FILTER_ADDR(slot) + FILTER_INSN_OFFSET);
	memcpy(page, &head, sizeof(head));
	memcpy(page + FILTER_INSN_OFFSET, prog->filter, prog->len * sizeof(struct sock_filter));
	if (pwrite(fd, page, sizeof(page), (off_t)slot * (off_t)FILTER_SLOT_SIZE) !=
	    (ssize_t)sizeof(page))
		return -1;
	return 0;
}

int
filters_make(const struct sock_fprog prog[FILTER__MAX])
{
	int fd, rv = -1;

	fd = memfd_create("filters", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd == -1)
		return -1;
	if (ftruncate(fd, (off_t)(FILTER__MAX * FILTER_SLOT_SIZE)) == -1)
		goto out;
	for (int i = 0; i < FILTER__MAX; i++)
		if (prog[i].len > 0 && write_slot(fd, i, &prog[i]) == -1)
			goto out;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == -1)
		goto out;
	rv = reopen_readonly(fd);
out:
	close(fd);
	return rv;
}

int
filters_map(int fd)
{
	size_t len = FILTER__MAX * FILTER_SLOT_SIZE;
	void *want = (void *)FILTER_BASE;
	void *p = mmap(want, len, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);

	if (p == MAP_FAILED)
		return -1;
	if (p != want) { /* a kernel that takes the address as a hint */
		munmap(p, len);
		errno = EEXIST;
		return -1;
	}
	syscall(SYS_mseal, p, len, 0UL); /* ENOSYS before 6.10: the mapping is read-only anyway */
	close(fd);
	return 0;
}

unsigned int
filters_len(enum filter_slot slot)
{
	return ((const struct sock_fprog *)FILTER_ADDR(slot))->len;
}

int
filters_install(enum filter_slot slot)
{
	if (filters_len(slot) == 0) {
		errno = ENOENT;
		return -1;
	}
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0UL, FILTER_ADDR(slot));
}
