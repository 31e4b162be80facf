#include "confine/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Own numbers: the distribution's headers are older than its kernels. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif
#define CREATE_RULESET_VERSION 1u
#define RULE_PATH_BENEATH 1
#define FS_RESOLVE_UNIX (UINT64_C(1) << 16)

/* struct landlock_ruleset_attr, as long as the ABI knows it. */
struct ruleset_attr {
	uint64_t fs, net, scoped;
};

struct path_beneath {
	uint64_t allowed;
	int32_t parent_fd;
} __attribute__((packed));

/* Number of rights (bits from 0) at each ABI, and the length of the attribute. */
static const struct {
	uint8_t fs, net, scoped;
	size_t attr_size;
} by_abi[LANDLOCK_ABI_KNOWN + 1] = {
    [1] = {13, 0, 0, 8},  /* 5.13 */
    [2] = {14, 0, 0, 8},  /* 5.19: refer */
    [3] = {15, 0, 0, 8},  /* 6.2: truncate */
    [4] = {15, 2, 0, 16}, /* 6.7: TCP bind, connect */
    [5] = {16, 2, 0, 16}, /* 6.10: ioctl on devices */
    [6] = {16, 2, 2, 24}, /* 6.12: abstract UNIX sockets, signals */
    [7] = {16, 2, 2, 24}, /* 6.15: audit flags, no new right */
    [8] = {16, 2, 2, 24}, /* thread synchronisation, no new right */
    [9] = {17, 2, 2, 24}, /* resolving UNIX sockets by path */
};

static int
known(int abi)
{
	return abi > LANDLOCK_ABI_KNOWN ? LANDLOCK_ABI_KNOWN : abi;
}

int
landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, CREATE_RULESET_VERSION);

	return abi > 0 ? (int)abi : 0;
}

struct landlock_rights
landlock_rights(int abi)
{
	struct landlock_rights r = {0};

	abi = known(abi);
	if (abi < 1)
		return r;
	r.fs = (UINT64_C(1) << by_abi[abi].fs) - 1;
	r.net = (UINT64_C(1) << by_abi[abi].net) - 1;
	r.scoped = (UINT64_C(1) << by_abi[abi].scoped) - 1;
	return r;
}

static int
allow_sockets(int ruleset)
{
	struct path_beneath rule = {.allowed = FS_RESOLVE_UNIX};
	long rv;

	rule.parent_fd = open("/", O_PATH | O_CLOEXEC);
	if (rule.parent_fd == -1)
		return -1;
	rv = syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0);
	close(rule.parent_fd);
	return (int)rv;
}

int
landlock_enter(int abi, bool unix_dir)
{
	struct landlock_rights r = landlock_rights(abi);
	struct ruleset_attr attr = {.fs = r.fs, .net = r.net, .scoped = r.scoped};
	int fd, saved;
	long rv = -1;

	if (abi < 1) {
		errno = ENOSYS;
		return -1;
	}
	fd = (int)syscall(SYS_landlock_create_ruleset, &attr, by_abi[known(abi)].attr_size, 0u);
	if (fd == -1)
		return -1;
	if (!unix_dir || abi < 9 || allow_sockets(fd) == 0)
		rv = syscall(SYS_landlock_restrict_self, fd, 0u);
	saved = errno;
	close(fd);
	errno = saved;
	return (int)rv;
}
