/*
 * OpenSSL's heap in a worker: one mapping made before libcrypto's first call, so
 * that no brk or mmap is needed once the filter is in force.  When it is full an
 * allocation returns NULL, which costs the connection that asked, not a signal.
 *
 * Size classes with free lists, first use in address order.  A forked child
 * calls arena_fork: from then on it allocates from one contiguous fresh range
 * (populated at once, instead of a page fault at a time), and blocks that its
 * template made are never written by freeing them, so their pages stay shared.
 */
#ifndef LOGIN_ARENA_H
#define LOGIN_ARENA_H

#include <stdbool.h>
#include <stddef.h>

/* Map the arena and hand it to CRYPTO_set_mem_functions.  Before anything else
 * of libcrypto; false: errno says why. */
bool arena_init(size_t bytes);

/* In a forked child, before its first allocation: populate the next
 * `populate` bytes (0: none; a kernel without MADV_POPULATE_WRITE is fine). */
void arena_fork(size_t populate);

/* Bytes handed out at the high-water mark, for sizing and the log. */
size_t arena_used(void);

/* Wipe everything that is free: what a dialog left behind in freed blocks. */
void arena_wipe_free(void);

#endif
