#include "login/heap.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <sys/mman.h>

#include "common/arena.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static struct arena heap;

static void *
hook_malloc(size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return size == 0 ? NULL : arena_get(&heap, size);
}

static void
hook_free(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	arena_put(&heap, p);
}

static void *
hook_realloc(void *p, size_t size, const char *file, int line)
{
	if (size == 0) {
		hook_free(p, file, line);
		return NULL;
	}
	return arena_resize(&heap, p, size);
}

bool
heap_init(size_t bytes, bool wipe)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return false;
	madvise(p, bytes, MADV_DONTDUMP);
	arena_make(&heap, p, bytes, wipe);
	if (CRYPTO_set_mem_functions(hook_malloc, hook_realloc, hook_free) != 1) {
		errno = EBUSY; /* libcrypto has allocated already: our bug */
		return false;
	}
	return true;
}

void
heap_fork(size_t small, size_t large)
{
	size_t room;

	arena_freeze(&heap);
	room = (size_t)(heap.end - heap.bump) & ~(size_t)4095;
	if (small + large > room)
		small = large = 0; /* nearly full: it does without */
	if (small > 0)
		madvise(heap.bump, small, MADV_POPULATE_WRITE);
	if (large > 0)
		madvise(heap.end - large, large, MADV_POPULATE_WRITE);
}

size_t
heap_used(void)
{
	return (size_t)(heap.bump - heap.base) + (size_t)(heap.limit - heap.end);
}

void
heap_wipe_free(void)
{
	if (!heap.wipe)
		arena_wipe(&heap);
}
