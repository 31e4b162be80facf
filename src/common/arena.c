#include "common/arena.h"

#include <string.h>
#include <strings.h>

/*
 * Classes: multiples of 16 up to 128, then four for each doubling.  A block is a
 * header of 16 bytes (so that alignment stays 16) and the payload.
 */
#define MAGIC 0x6a72656eu
#define MAGIC_FREE 0x65657266u

struct head {
	uint32_t magic;
	uint32_t cls;
	size_t size; /* requested; for arena_resize */
};

struct arena_block {
	struct arena_block *next;
};

void
arena_make(struct arena *a, void *base, size_t size, bool wipe)
{
	memset(a, 0, sizeof(*a));
	a->base = a->bump = a->shared = base;
	a->limit = a->end = a->shared_end = a->base + size;
	a->wipe = wipe;
}

size_t
arena_class_size(unsigned int cls)
{
	unsigned int k;

	if (cls < 8)
		return (cls + 1) * 16;
	k = (cls - 8) / 4;
	return ((size_t)128 << k) / 4 * (4 + (cls - 8) % 4 + 1);
}

unsigned int
arena_class_of(size_t size)
{
	unsigned int cls;

	if (size <= 128)
		return size == 0 ? 0 : (unsigned int)((size - 1) / 16);
	/* 2^k * 128 < size <= 2^(k+1) * 128 */
	cls = 8 + 4 * (unsigned int)(63 - __builtin_clzl((size - 1) / 128));
	while (arena_class_size(cls) < size)
		cls++;
	return cls;
}

/* The first free block of a class; it stays in that class for ever. */
static void *
reuse(struct arena *a, unsigned int cls, size_t size)
{
	void *p = a->free[cls];
	struct head *h = (struct head *)((uint8_t *)p - ARENA_HEADER);

	a->free[cls] = a->free[cls]->next;
	h->magic = MAGIC;
	h->size = size;
	return p;
}

void *
arena_get(struct arena *a, size_t size)
{
	unsigned int cls;
	struct head *h;
	size_t whole;

	if (size > ARENA_BLOCK_MAX)
		return NULL;
	cls = arena_class_of(size);
	if (a->free[cls] != NULL)
		return reuse(a, cls, size);
	whole = ARENA_HEADER + arena_class_size(cls);
	if (whole > (size_t)(a->end - a->bump)) {
		/* Used up: what somebody had cut into larger blocks must not be lost
		 * to those who need smaller ones. */
		while (++cls < ARENA_CLASSES)
			if (a->free[cls] != NULL)
				return reuse(a, cls, size);
		return NULL;
	}
	if (whole >= ARENA_LARGE) {
		a->end -= whole;
		h = (struct head *)a->end;
	} else {
		h = (struct head *)a->bump;
		a->bump += whole;
	}
	h->magic = MAGIC;
	h->cls = cls;
	h->size = size;
	return (uint8_t *)h + ARENA_HEADER;
}

static struct head *
head_of(const struct arena *a, void *p)
{
	struct head *h = (struct head *)((uint8_t *)p - ARENA_HEADER);

	if ((uint8_t *)p < a->base + ARENA_HEADER || (uint8_t *)p >= a->limit || h->magic != MAGIC)
		__builtin_trap(); /* a heap that lies is worth one process */
	return h;
}

/* The parent's: writing would copy its page. */
static bool
is_shared(const struct arena *a, const void *p)
{
	return (const uint8_t *)p < a->shared || (const uint8_t *)p >= a->shared_end;
}

void
arena_put(struct arena *a, void *p)
{
	struct head *h;

	if (p == NULL)
		return;
	h = head_of(a, p);
	if (is_shared(a, p))
		return;
	if (a->wipe)
		explicit_bzero(p, arena_class_size(h->cls));
	h->magic = MAGIC_FREE;
	((struct arena_block *)p)->next = a->free[h->cls];
	a->free[h->cls] = p;
}

void *
arena_resize(struct arena *a, void *p, size_t size)
{
	struct head *h;
	void *q;

	if (p == NULL)
		return arena_get(a, size);
	h = head_of(a, p);
	if (size <= arena_class_size(h->cls) && !is_shared(a, p)) {
		h->size = size;
		return p;
	}
	q = arena_get(a, size);
	if (q == NULL)
		return NULL;
	memcpy(q, p, h->size < size ? h->size : size);
	arena_put(a, p);
	return q;
}

void
arena_freeze(struct arena *a)
{
	uintptr_t from = ((uintptr_t)a->bump + 4095) & ~(uintptr_t)4095;
	uintptr_t to = (uintptr_t)a->end & ~(uintptr_t)4095;

	memset(a->free, 0, sizeof(a->free));
	if (from < to) {
		a->bump = (uint8_t *)from;
		a->end = (uint8_t *)to;
	}
	a->shared = a->bump;
	a->shared_end = a->end;
}

void
arena_wipe(struct arena *a)
{
	for (unsigned int cls = 0; cls < ARENA_CLASSES; cls++) {
		for (struct arena_block *b = a->free[cls]; b != NULL; b = b->next)
			explicit_bzero((uint8_t *)b + sizeof(*b),
			    arena_class_size(cls) - sizeof(*b));
	}
}
