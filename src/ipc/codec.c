#include "ipc/codec.h"

#include <string.h>

static void
put(struct wr *w, const void *p, size_t len)
{
	if (w->bad || len > w->cap - w->len) {
		w->bad = true;
		return;
	}
	if (len > 0)
		memcpy(w->p + w->len, p, len);
	w->len += len;
}

static void
put_int(struct wr *w, uint64_t v, size_t bytes)
{
	uint8_t b[8];

	for (size_t i = 0; i < bytes; i++)
		b[i] = (uint8_t)(v >> (8 * i));
	put(w, b, bytes);
}

void
wr_u8(struct wr *w, uint8_t v)
{
	put_int(w, v, 1);
}

void
wr_u16(struct wr *w, uint16_t v)
{
	put_int(w, v, 2);
}

void
wr_u32(struct wr *w, uint32_t v)
{
	put_int(w, v, 4);
}

void
wr_u64(struct wr *w, uint64_t v)
{
	put_int(w, v, 8);
}

void
wr_block(struct wr *w, const void *p, size_t len)
{
	if (len > UINT32_MAX) {
		w->bad = true;
		return;
	}
	wr_u32(w, (uint32_t)len);
	put(w, p, len);
}

void
wr_str(struct wr *w, const char *s)
{
	wr_block(w, s, s != NULL ? strlen(s) : 0);
}

static uint64_t
get_int(struct rd *r, size_t bytes)
{
	uint64_t v = 0;

	if (r->bad || (size_t)(r->end - r->p) < bytes) {
		r->bad = true;
		return 0;
	}
	for (size_t i = 0; i < bytes; i++)
		v |= (uint64_t)r->p[i] << (8 * i);
	r->p += bytes;
	return v;
}

uint8_t
rd_u8(struct rd *r)
{
	return (uint8_t)get_int(r, 1);
}

uint16_t
rd_u16(struct rd *r)
{
	return (uint16_t)get_int(r, 2);
}

uint32_t
rd_u32(struct rd *r)
{
	return (uint32_t)get_int(r, 4);
}

uint64_t
rd_u64(struct rd *r)
{
	return get_int(r, 8);
}

const uint8_t *
rd_block(struct rd *r, size_t max, size_t *len)
{
	static const uint8_t empty[1];
	const uint8_t *p;
	size_t n = rd_u32(r);

	*len = 0;
	if (r->bad || n > max || n > (size_t)(r->end - r->p)) {
		r->bad = true;
		return empty;
	}
	p = r->p;
	r->p += n;
	*len = n;
	return p;
}

void
rd_str(struct rd *r, char *dst, size_t cap)
{
	size_t len;
	const uint8_t *p = rd_block(r, cap - 1, &len);

	if (memchr(p, 0, len) != NULL) {
		r->bad = true;
		len = 0;
	}
	memcpy(dst, p, len);
	dst[len] = '\0';
}

bool
rd_end(const struct rd *r)
{
	return !r->bad && r->p == r->end;
}
