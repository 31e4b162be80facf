/*
 * A heap inside one mapping that the caller made: size classes with free lists,
 * first use in address order, larger free blocks and then NULL when it is full.
 * Large blocks come from the other end: they are buffers of which mostly a part is
 * used, and nothing that is populated beforehand (heap_fork) is spent on the rest.
 * No system call, ever; a foreign pointer or a double free ends the process (a trap
 * instruction).  One thread only.
 */
#ifndef COMMON_ARENA_H
#define COMMON_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARENA_CLASSES 80
#define ARENA_HEADER 16
#define ARENA_BLOCK_MAX ((size_t)1 << 24)
#define ARENA_LARGE ((size_t)12 << 10) /* with its header: from the end */

struct arena_block;

struct arena {
	uint8_t *base, *limit;
	uint8_t *bump, *end; /* between them: never used before */
	uint8_t *shared;     /* blocks below, and ... */
	uint8_t *shared_end; /* ... from here on, belong to the parent (arena_freeze) */
	bool wipe;           /* blocks are wiped when they are freed or moved */
	struct arena_block *free[ARENA_CLASSES];
};

/* base must be aligned to a page, zeroed and writable. */
void arena_make(struct arena *a, void *base, size_t size, bool wipe);
void *arena_get(struct arena *a, size_t size);
void arena_put(struct arena *a, void *p);
void *arena_resize(struct arena *a, void *p, size_t size);
/* What is there stays as it is: freeing it writes nothing, new blocks lie in pages of
 * their own.  For a forked child. */
void arena_freeze(struct arena *a);
/* Wipe all free blocks. */
void arena_wipe(struct arena *a);

/* For tests. */
size_t arena_class_size(unsigned int cls);
unsigned int arena_class_of(size_t size);

#endif
