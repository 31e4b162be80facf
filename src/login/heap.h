/*
 * OpenSSL's heap in a worker: one mapping made before libcrypto's first call, so
 * that no brk or mmap is needed once the filter is in force.  When it is full an
 * allocation returns NULL, which costs the connection that asked, not a signal.
 */
#ifndef LOGIN_HEAP_H
#define LOGIN_HEAP_H

#include <stdbool.h>
#include <stddef.h>

/* Map it and hand it to CRYPTO_set_mem_functions.  Before anything else of
 * libcrypto; false: errno says why.  wipe: each block when it is freed, for a
 * process that outlives its connections: OpenSSL leaves traffic secrets in the
 * blocks of a session that it frees. */
bool heap_init(size_t bytes, bool wipe);

/* In a forked child, before its first allocation: the template's blocks stay
 * untouched, new ones come from a contiguous fresh range.  Of that the first `small`
 * bytes (for most blocks) and the last `large` ones (arena.h: large blocks) are mapped
 * at once, instead of a page fault at a time; both in whole pages.  (A kernel without
 * MADV_POPULATE_WRITE is fine.) */
void heap_fork(size_t small, size_t large);

/* Bytes handed out at the high-water mark, for sizing and the log. */
size_t heap_used(void);

/* Wipe everything that is free: what a dialog left behind in freed blocks.
 * Nothing to do where each was wiped as it was freed. */
void heap_wipe_free(void);

#endif
