/*
 * Landlock (Documentation/userspace-api/landlock.rst): a domain that has every
 * right which the kernel's ABI knows, and no rule.
 */
#ifndef CONFINE_LANDLOCK_H
#define CONFINE_LANDLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define LANDLOCK_ABI_KNOWN 9 /* a higher ABI is treated as this one */

struct landlock_rights {
	uint64_t fs, net, scoped;
};

/* The kernel's ABI; 0 with errno: ENOSYS (not built in, or refused by an outer
 * filter), EOPNOTSUPP (switched off at boot), EPERM (refused). */
int landlock_abi(void);
/* All rights that abi knows: pure, for tests by table. */
struct landlock_rights landlock_rights(int abi);
/* Enter the domain.  unix_dir: from ABI 9 on connect() to sockets beneath "/"
 * stays possible.  0, or -1 with errno. */
int landlock_enter(int abi, bool unix_dir);

#endif
