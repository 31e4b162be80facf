/*
 * IMAP commands as bytes (RFC 3501 9, RFC 9051 9): where one ends, and its
 * arguments.  No recursion, no allocation, fixed limits.
 */
#ifndef PROTO_IMAP_PARSE_H
#define PROTO_IMAP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum imap_extent {
	EXTENT_MORE,          /* not whole yet */
	EXTENT_WHOLE,         /* *end bytes, line ends included */
	EXTENT_PROMPT,        /* a synchronising literal begins at *end: say "+ OK" */
	EXTENT_LITERAL_LARGE, /* over the limit */
	EXTENT_NONSYNC_LARGE, /* over LITERAL-'s limit (RFC 7888 5) */
	EXTENT_LINE_LONG      /* a line over line_max bytes */
};

/*
 * Find the end of the command that begins at in: lines joined by literals
 * ({n} and {n+}, RFC 7888; every line's end is looked at).  minus: LITERAL-, a
 * non-synchronising literal holds 4096 bytes at most.  prompted: the *end of the last
 * EXTENT_PROMPT for this command, 0 before; a literal is prompted for even if its
 * bytes are there already, so that replies do not depend on how bytes arrive.
 */
enum imap_extent imap_extent(const uint8_t *in, size_t len, size_t line_max, size_t literal_max,
    bool minus, size_t prompted, size_t *end);

/* Walks over the arguments of one whole command. */
struct imap_cursor {
	const uint8_t *p, *end;
	const char *error; /* what is wrong, in Dovecot's words; NULL: nothing special */
};

/* An atom-like word up to the next blank or the end; false: none is there. */
bool imap_word(struct imap_cursor *c, const uint8_t **word, size_t *len);
/* One blank; false: something else is there. */
bool imap_space(struct imap_cursor *c);
/* One blank or more: between arguments Dovecot's clients may send two. */
bool imap_blanks(struct imap_cursor *c);
/* Nothing is left but the line end. */
bool imap_eol(const struct imap_cursor *c);
/* The same behind the last argument, where blanks do no harm. */
bool imap_last(struct imap_cursor *c);
/*
 * astring: atom, quoted string (escapes resolved) or literal, into dst.
 * Returns its length, or -1: malformed or longer than cap.
 */
long imap_astring(struct imap_cursor *c, uint8_t *dst, size_t cap);
/* string or NIL (*nil): for ID's pairs. */
long imap_nstring(struct imap_cursor *c, uint8_t *dst, size_t cap, bool *nil);

/* A tag (RFC 3501 9): printable ASCII without specials, 1 to max bytes. */
bool imap_tag_valid(const uint8_t *p, size_t len, size_t max);

#endif
