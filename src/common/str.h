/*
 * Small string helpers that allocate nothing.
 */
#ifndef COMMON_STR_H
#define COMMON_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copy with truncation, always terminated; true if it fitted. */
bool str_copy(char *dst, size_t cap, const char *src);
bool str_copy_n(char *dst, size_t cap, const void *src, size_t len);

/* Decimal without sign or blanks, at most max; false if it is anything else. */
bool str_to_u64(const char *s, uint64_t max, uint64_t *out);

/*
 * Make text safe for a log line or for a client: control characters, DEL and
 * bytes that are no valid UTF-8 become '?', so do U+0080-U+009F, line and
 * paragraph separators and the bidirectional controls.  At most cap - 1 bytes
 * are written, cut at a character's border.  Returns the length.
 */
size_t str_clean(char *dst, size_t cap, const void *src, size_t len);

/* Standard base64 (RFC 4648 4), strict: no blanks, right padding, zero spare
 * bits.  Returns the decoded length, or -1. */
long base64_decode(uint8_t *dst, size_t cap, const char *src, size_t len);
/* Returns the encoded length (no NUL is counted, one is written), -1 if cap
 * is too small (it needs 4 * ceil(len / 3) + 1). */
long base64_encode(char *dst, size_t cap, const void *src, size_t len);

#endif
