#include "confine/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Own numbers: a distribution's headers are often older than its kernels. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif
#define CREATE_RULESET_VERSION 1u
#define RULE_PATH_BENEATH 1
#define RULE_NET_PORT 2

/* Rights by their bit (linux/landlock.h). */
#define FS(bit) (UINT64_C(1) << (bit))
#define FS_EXECUTE FS(0)
#define FS_WRITE_FILE FS(1)
#define FS_READ_FILE FS(2)
#define FS_READ_DIR FS(3)
#define FS_REMOVE (FS(4) | FS(5))
#define FS_MAKE_DIR FS(7)
#define FS_MAKE_REG FS(8)
#define FS_REFER FS(13)
#define FS_TRUNCATE FS(14)
#define FS_RESOLVE_UNIX FS(16)
/* What a rule for something that is no directory may hold. */
#define FS_OF_FILES (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE)
#define NET_BIND UINT64_C(1)
#define NET_CONNECT UINT64_C(2)

struct ruleset_attr {
	uint64_t fs, net, scoped;
};

struct path_beneath {
	uint64_t allowed;
	int32_t parent_fd;
} __attribute__((packed));

struct net_port {
	uint64_t allowed, port;
};

/* Number of rights of each kind (they are bits from 0 up), and the length of
 * the attribute that has room for them.  Longer ones are refused with E2BIG. */
static const struct {
	uint8_t fs, net, scoped, attr_size;
} by_abi[LANDLOCK_ABI_KNOWN + 1] = {
    [1] = {13, 0, 0, 8},   /* Linux 5.13 */
    [2] = {14, 0, 0, 8},   /* 5.19: moving between directories */
    [3] = {15, 0, 0, 8},   /* 6.2: truncate */
    [4] = {15, 2, 0, 16},  /* 6.7: TCP bind and connect */
    [5] = {16, 2, 0, 16},  /* 6.10: ioctl on devices */
    [6] = {16, 2, 2, 24},  /* 6.12: scopes: abstract UNIX sockets, signals */
    [7] = {16, 2, 2, 24},  /* 6.15: flags for the audit log, no right */
    [8] = {16, 2, 2, 24},  /* 7.0: all threads at once, no right */
    [9] = {17, 2, 2, 24},  /* 7.1: resolving paths of UNIX sockets */
    [10] = {17, 4, 2, 24}, /* 7.2: UDP bind, and connect or send */
};

static uint64_t
lowest(unsigned int n)
{
	return (UINT64_C(1) << n) - 1;
}

int
landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, CREATE_RULESET_VERSION);

	if (abi == 0)
		errno = EOPNOTSUPP;
	return abi > 0 ? (int)abi : 0;
}

struct landlock_rights
landlock_rights(int abi)
{
	struct landlock_rights r = {0};

	if (abi > LANDLOCK_ABI_KNOWN)
		abi = LANDLOCK_ABI_KNOWN;
	if (abi < 1)
		return r;
	r.fs = lowest(by_abi[abi].fs);
	r.net = lowest(by_abi[abi].net);
	r.scoped = lowest(by_abi[abi].scoped);
	r.attr_size = by_abi[abi].attr_size;
	return r;
}

static int
create_ruleset(int abi)
{
	struct landlock_rights r = landlock_rights(abi);
	struct ruleset_attr attr = {.fs = r.fs, .net = r.net, .scoped = r.scoped};

	return (int)syscall(SYS_landlock_create_ruleset, &attr, r.attr_size, 0u);
}

uint64_t
landlock_reach(enum landlock_reach what)
{
	static const uint64_t rights[] = {
	    [LANDLOCK_READ] = FS_READ_FILE | FS_READ_DIR,
	    [LANDLOCK_WRITE] = FS_READ_FILE | FS_READ_DIR | FS_WRITE_FILE | FS_TRUNCATE |
		FS_MAKE_REG | FS_MAKE_DIR | FS_REMOVE | FS_REFER,
	    [LANDLOCK_EXECUTE] = FS_READ_FILE | FS_READ_DIR | FS_EXECUTE,
	    [LANDLOCK_CONNECT_UNIX] = FS_RESOLVE_UNIX,
	    [LANDLOCK_BIND] = NET_BIND,
	    [LANDLOCK_CONNECT] = NET_CONNECT,
	};

	return rights[what];
}

static int
allow_port(int ruleset, const struct landlock_rule *r, uint64_t handled)
{
	struct net_port rule = {.allowed = r->rights & handled, .port = r->port};

	return rule.allowed == 0 ? 0
	    : (int)syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &rule, 0u);
}

static int
allow_path(int ruleset, const struct landlock_rule *r, uint64_t handled)
{
	struct path_beneath rule = {.allowed = r->rights & handled};
	struct stat st;
	long rv = -1;
	int saved;

	if (rule.allowed == 0)
		return 0;
	rule.parent_fd = open(r->path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd == -1)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
	if (fstat(rule.parent_fd, &st) == 0) {
		if (!S_ISDIR(st.st_mode))
			rule.allowed &= FS_OF_FILES;
		rv = syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0u);
	}
	saved = errno;
	close(rule.parent_fd);
	errno = saved;
	return (int)rv;
}

static int
allow_rules(int ruleset, int abi, const struct landlock_rule *rules, unsigned int n)
{
	struct landlock_rights handled = landlock_rights(abi);

	for (unsigned int i = 0; i < n; i++)
		if ((rules[i].path != NULL ? allow_path(ruleset, &rules[i], handled.fs)
			: allow_port(ruleset, &rules[i], handled.net)) == -1)
			return -1;
	return 0;
}

int
landlock_enter(int abi, const struct landlock_rule *rules, unsigned int n)
{
	int fd, saved;
	long rv = -1;

	if (abi < 1) {
		errno = EINVAL;
		return -1;
	}
	if (abi > LANDLOCK_ABI_KNOWN)
		abi = LANDLOCK_ABI_KNOWN;
	while ((fd = create_ruleset(abi)) == -1 && (errno == EINVAL || errno == E2BIG) && abi > 1)
		abi--;
	if (fd == -1)
		return -1;
	/* Flags 0: denials are logged for this program, not for what it executes. */
	if (allow_rules(fd, abi, rules, n) == 0)
		rv = syscall(SYS_landlock_restrict_self, fd, 0u);
	saved = errno;
	close(fd);
	errno = saved;
	return rv == 0 ? abi : -1;
}

const char *
landlock_way_out(int err)
{
	switch (err) {
	case ENOSYS:
		return "this kernel was built without Landlock, or an outer seccomp profile hides it";
	case EOPNOTSUPP:
		return "this kernel has Landlock, but it was not enabled at boot: add landlock to lsm=";
	case EPERM:
		return "an outer seccomp profile refuses Landlock: allow the landlock_* system calls";
	case ERANGE:
		return "this kernel's Landlock is older than the policy wants";
	default:
		return "the kernel refused the Landlock domain";
	}
}
