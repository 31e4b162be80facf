/*
 * Writing and reading fields: the one encoding of messages (msg.h) and of
 * settings (settings.h).  Integers are little-endian; a string or block is a
 * u32 length and its bytes.  Nothing is ever cast to a struct.
 *
 * A writer that runs out of room, and a reader that runs out of data or meets
 * a length over the stated limit, become `bad` and stay so; a bad reader
 * returns zeros and empty blocks.  Check once, at the end.
 */
#ifndef IPC_CODEC_H
#define IPC_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wr {
	uint8_t *p;
	size_t len, cap;
	bool bad;
};

struct rd {
	const uint8_t *p, *end;
	bool bad;
};

void wr_u8(struct wr *w, uint8_t v);
void wr_u16(struct wr *w, uint16_t v);
void wr_u32(struct wr *w, uint32_t v);
void wr_u64(struct wr *w, uint64_t v);
void wr_block(struct wr *w, const void *p, size_t len);
void wr_str(struct wr *w, const char *s); /* NULL is written as empty */

uint8_t rd_u8(struct rd *r);
uint16_t rd_u16(struct rd *r);
uint32_t rd_u32(struct rd *r);
uint64_t rd_u64(struct rd *r);
/* Borrowed, points into the input; *len is 0 and the pointer valid on error. */
const uint8_t *rd_block(struct rd *r, size_t max, size_t *len);
/* Copied and terminated; a NUL inside, or no room in dst, makes r bad. */
void rd_str(struct rd *r, char *dst, size_t cap);
/* True if nothing went wrong and nothing is left. */
bool rd_end(const struct rd *r);

#endif
