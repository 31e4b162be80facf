/*
 * Landlock (kernel documentation, userspace-api/landlock): a domain that handles
 * every right which the kernel knows, and has no rule, or few.  Raw system calls,
 * no allocation: linked into every helper.
 */
#ifndef CONFINE_LANDLOCK_H
#define CONFINE_LANDLOCK_H

#include <stddef.h>
#include <stdint.h>

#define LANDLOCK_ABI_KNOWN 10 /* a higher ABI is treated as this one */
#define LANDLOCK_ABI_NET 4    /* from here on TCP bind and connect are rights */

struct landlock_rights {
	uint64_t fs, net, scoped;
	size_t attr_size; /* of the attribute that this ABI takes */
};

/* The kernel's ABI, or 0 with errno: ENOSYS (not built in, or hidden by an outer
 * filter), EOPNOTSUPP (built in, but not enabled at boot), EPERM (refused by an
 * outer filter), or what else the kernel said. */
int landlock_abi(void);

/* All rights that abi (1 and up) has.  Pure, for tests by table. */
struct landlock_rights landlock_rights(int abi);

#define LANDLOCK_RULES_MAX 16

/* What stays possible: rights beneath a path, or to a TCP port. */
struct landlock_rule {
	const char *path; /* NULL: a port */
	uint16_t port;
	uint64_t rights;  /* those that the ABI lacks are left out */
};

/* Sets of rights for rules (landlock_rule.rights). */
enum landlock_reach {
	LANDLOCK_READ,    /* files and directories */
	LANDLOCK_WRITE,   /* and change, make and remove regular files and directories */
	LANDLOCK_EXECUTE, /* read, and execute */
	LANDLOCK_CONNECT_UNIX,
	LANDLOCK_BIND,    /* of a TCP port */
	LANDLOCK_CONNECT
};
uint64_t landlock_reach(enum landlock_reach what);

/*
 * Enter the domain; needs no_new_privs.  Without rules nothing stays possible.  A
 * rule's path that does not exist gives no right and is no error.  Returns the
 * ABI whose rights are all denied now: abi, LANDLOCK_ABI_KNOWN if abi is higher,
 * or less where a kernel claims an ABI and lacks part of it (some
 * distributions' do).  -1 with errno: nothing was entered.
 */
int landlock_enter(int abi, const struct landlock_rule *rules, unsigned int n);

/* What the errno of landlock_abi or landlock_enter means and what helps. */
const char *landlock_way_out(int err);

#endif
