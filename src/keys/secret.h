/*
 * The signer's whole OpenSSL heap, in memory that nobody else can read: not
 * through /proc/PID/mem, ptrace or process_vm_readv, and not in the kernel's own
 * map (memfd_secret(2)).  Where the kernel lacks it: locked, never dumped, wiped
 * when it is freed.  It is shared memory: the signer never forks.
 */
#ifndef KEYS_SECRET_H
#define KEYS_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "confine/layers.h"
#include "ipc/settings.h"

/* Before anything else of libcrypto.  Fills LAYER_SECRET_MEM of rep; false: need
 * says required and it is not there, or no memory (errno). */
bool secret_init(size_t bytes, enum layer_need need, struct layer_report *rep);

#endif
