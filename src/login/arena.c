#include "login/arena.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/*
 * Classes: multiples of 16 up to 128, then four for each doubling.  A block is
 * a header of 16 bytes (class and size, so that alignment stays 16) and the
 * payload.
 */
#define CLASSES 80
#define HEADER 16
#define MAGIC 0x6a72656eu /* "arena" block: catches foreign and double frees */
#define MAGIC_FREE 0x65657266u

struct head {
	uint32_t magic;
	uint32_t cls;
	size_t size; /* requested; only for realloc */
};

struct free_block {
	struct free_block *next;
};

static struct {
	uint8_t *base, *end;
	uint8_t *bump;   /* never used before */
	uint8_t *shared; /* blocks below belong to the template */
	uint8_t *high;
	struct free_block *free[CLASSES];
} arena;

static size_t
class_size(unsigned int cls)
{
	unsigned int k;

	if (cls < 8)
		return (cls + 1) * 16;
	k = (cls - 8) / 4;
	return ((size_t)128 << k) / 4 * (4 + (cls - 8) % 4 + 1);
}

static unsigned int
class_of(size_t size)
{
	unsigned int cls, k;

	if (size <= 128)
		return size == 0 ? 0 : (unsigned int)((size - 1) / 16);
	/* 2^k * 128 < size <= 2^(k+1) * 128 */
	k = (unsigned int)(63 - __builtin_clzl((size - 1) / 128));
	cls = 8 + 4 * k;
	while (class_size(cls) < size)
		cls++;
	return cls;
}

static void *
arena_alloc(size_t size)
{
	unsigned int cls;
	struct head *h;
	size_t whole;

	if (size > (size_t)1 << 24)
		return NULL;
	cls = class_of(size);
	if (arena.free[cls] != NULL) {
		void *p = arena.free[cls];

		arena.free[cls] = arena.free[cls]->next;
		h = (struct head *)((uint8_t *)p - HEADER);
		h->magic = MAGIC;
		h->size = size;
		return p;
	}
	whole = HEADER + class_size(cls);
	if (whole > (size_t)(arena.end - arena.bump))
		return NULL;
	h = (struct head *)arena.bump;
	arena.bump += whole;
	h->magic = MAGIC;
	h->cls = cls;
	h->size = size;
	return (uint8_t *)h + HEADER;
}

static struct head *
head_of(void *p)
{
	struct head *h = (struct head *)((uint8_t *)p - HEADER);

	if ((uint8_t *)p < arena.base + HEADER || (uint8_t *)p >= arena.end || h->magic != MAGIC)
		__builtin_trap(); /* a heap that lies is worth one connection */
	return h;
}

static void
arena_release(void *p)
{
	struct head *h;

	if (p == NULL)
		return;
	h = head_of(p);
	if ((uint8_t *)p < arena.shared)
		return; /* the template's: writing would copy its page */
	h->magic = MAGIC_FREE;
	((struct free_block *)p)->next = arena.free[h->cls];
	arena.free[h->cls] = p;
}

static void *
hook_malloc(size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return size == 0 ? NULL : arena_alloc(size);
}

static void
hook_free(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	arena_release(p);
}

static void *
hook_realloc(void *p, size_t size, const char *file, int line)
{
	struct head *h;
	void *q;

	if (p == NULL)
		return hook_malloc(size, file, line);
	if (size == 0) {
		arena_release(p);
		return NULL;
	}
	h = head_of(p);
	if (size <= class_size(h->cls) && (uint8_t *)p >= arena.shared) {
		h->size = size;
		return p;
	}
	q = arena_alloc(size);
	if (q == NULL)
		return NULL;
	memcpy(q, p, h->size < size ? h->size : size);
	arena_release(p);
	return q;
}

bool
arena_init(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return false;
	madvise(p, bytes, MADV_DONTDUMP);
	arena.base = arena.bump = arena.shared = p;
	arena.end = arena.base + bytes;
	if (CRYPTO_set_mem_functions(hook_malloc, hook_realloc, hook_free) != 1) {
		errno = EBUSY; /* libcrypto has allocated already: our bug */
		return false;
	}
	return true;
}

void
arena_fork(size_t populate)
{
	uintptr_t from = ((uintptr_t)arena.bump + 4095) & ~(uintptr_t)4095;

	memset(arena.free, 0, sizeof(arena.free));
	if ((uint8_t *)from < arena.end)
		arena.bump = (uint8_t *)from;
	arena.shared = arena.bump;
	if (populate > (size_t)(arena.end - arena.bump))
		populate = (size_t)(arena.end - arena.bump) & ~(size_t)4095;
	if (populate > 0)
		madvise(arena.bump, populate, MADV_POPULATE_WRITE);
}

size_t
arena_used(void)
{
	return (size_t)(arena.bump - arena.base);
}

void
arena_wipe_free(void)
{
	for (unsigned int cls = 0; cls < CLASSES; cls++) {
		for (struct free_block *b = arena.free[cls]; b != NULL; b = b->next) {
			size_t len = class_size(cls) - sizeof(*b);

			explicit_bzero((uint8_t *)b + sizeof(*b), len);
		}
	}
}
