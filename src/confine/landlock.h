/*
 * Landlock (kernel documentation, userspace-api/landlock): a domain that handles
 * every right which the kernel knows, and has no rule, or one.  Raw system calls,
 * no allocation: linked into every helper.
 */
#ifndef CONFINE_LANDLOCK_H
#define CONFINE_LANDLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LANDLOCK_ABI_KNOWN 10 /* a higher ABI is treated as this one */
#define LANDLOCK_ABI_UNIX 9   /* from here on connect() to a socket's path is a right */

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

/*
 * Enter the domain; needs no_new_privs.  unix_dir: connect() to sockets beneath
 * "/" stays possible where the ABI would deny it.  Returns the ABI whose rights
 * are all denied now: abi, LANDLOCK_ABI_KNOWN if abi is higher, or less where a
 * kernel claims an ABI and lacks part of it (some distributions' do).  -1 with
 * errno: nothing was entered.
 */
int landlock_enter(int abi, bool unix_dir);

/* What the errno of landlock_abi or landlock_enter means and what helps. */
const char *landlock_way_out(int err);

#endif
