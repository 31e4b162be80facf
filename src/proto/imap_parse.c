#include "proto/imap_parse.h"

#include <string.h>
#include <strings.h>

#define LITERAL_MINUS_MAX 4096 /* RFC 7888 5 */

/* A literal's announcement at the end of a line: {n} or {n+}.  Returns false if
 * the line ends with none; huge numbers come out as UINT64_MAX. */
static bool
literal_at_end(const uint8_t *line, size_t len, uint64_t *size, bool *sync)
{
	uint64_t n = 0, factor = 1;
	size_t i = len, digits = 0;

	if (i < 3 || line[--i] != '}')
		return false;
	*sync = line[i - 1] != '+';
	if (!*sync)
		i--;
	while (i > 0 && line[i - 1] >= '0' && line[i - 1] <= '9') {
		unsigned int d = line[--i] - '0';

		if (++digits > 18 && d != 0)
			n = UINT64_MAX;
		if (n != UINT64_MAX && digits <= 18) {
			n += d * factor;
			factor *= 10;
		}
	}
	if (digits == 0 || i == 0 || line[i - 1] != '{')
		return false;
	*size = n;
	return true;
}

enum imap_extent
imap_extent(const uint8_t *in, size_t len, size_t line_max, size_t literal_max, bool minus,
    size_t prompted, size_t *end)
{
	size_t start = 0;

	for (;;) {
		const uint8_t *lf = start < len ? memchr(in + start, '\n', len - start) : NULL;
		size_t at = lf != NULL ? (size_t)(lf - in) : len, n = at - start;
		uint64_t size;
		bool sync;

		if (n > line_max)
			return EXTENT_LINE_LONG;
		if (lf == NULL)
			return EXTENT_MORE;
		if (n > 0 && in[at - 1] == '\r')
			n--;
		*end = at + 1;
		if (!literal_at_end(in + start, n, &size, &sync))
			return EXTENT_WHOLE;
		if (size > literal_max)
			return EXTENT_LITERAL_LARGE;
		if (!sync && minus && size > LITERAL_MINUS_MAX)
			return EXTENT_NONSYNC_LARGE;
		if (sync && *end > prompted)
			return EXTENT_PROMPT;
		if (len - (at + 1) < size)
			return EXTENT_MORE;
		start = at + 1 + (size_t)size;
	}
}

static bool
at_eol(const struct imap_cursor *c)
{
	return c->p == c->end || *c->p == '\n' ||
	    (*c->p == '\r' && c->p + 1 < c->end && c->p[1] == '\n');
}

bool
imap_eol(const struct imap_cursor *c)
{
	return at_eol(c);
}

bool
imap_space(struct imap_cursor *c)
{
	if (c->p == c->end || *c->p != ' ')
		return false;
	c->p++;
	return true;
}

bool
imap_blanks(struct imap_cursor *c)
{
	bool any = imap_space(c);

	while (imap_space(c))
		;
	return any;
}

bool
imap_last(struct imap_cursor *c)
{
	imap_blanks(c);
	return at_eol(c);
}

bool
imap_word(struct imap_cursor *c, const uint8_t **word, size_t *len)
{
	*word = c->p;
	while (!at_eol(c) && *c->p != ' ' && *c->p != '\r')
		c->p++;
	*len = (size_t)(c->p - *word);
	if (!at_eol(c) && *c->p == '\r')
		c->error = "CR sent without LF";
	return *len > 0 && c->error == NULL;
}

static long
wrong(struct imap_cursor *c, const char *what)
{
	c->error = what;
	return -1;
}

static long
quoted(struct imap_cursor *c, uint8_t *dst, size_t cap)
{
	size_t n = 0;

	for (c->p++; c->p < c->end; c->p++) {
		uint8_t ch = *c->p;

		if (ch == '"') {
			c->p++;
			return (long)n;
		}
		if (ch == '\\') {
			/* Only " and \\ need it (RFC 3501 9); Dovecot takes any, and so do
			 * clients that escape more than they must. */
			if (++c->p == c->end)
				break;
			ch = *c->p;
		}
		if (ch == '\0')
			return wrong(c, "NULs not allowed in strings");
		if (ch == '\r' || ch == '\n')
			break;
		if (n == cap)
			return -1;
		dst[n++] = ch;
	}
	return wrong(c, "Missing '\"'");
}

/* imap_extent has seen that the announced bytes are there. */
static long
literal(struct imap_cursor *c, uint8_t *dst, size_t cap)
{
	const uint8_t *digits = ++c->p;
	size_t size = 0;

	for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++) {
		size = size * 10 + (size_t)(*c->p - '0');
		if (size > cap)
			return -1;
	}
	if (c->p == digits)
		return wrong(c, "Invalid literal size");
	if (c->p < c->end && *c->p == '+')
		c->p++;
	if (c->p == c->end || *c->p++ != '}')
		return wrong(c, "Invalid literal size");
	if (c->p < c->end && *c->p == '\r')
		c->p++;
	if (c->p == c->end || *c->p++ != '\n' || (size_t)(c->end - c->p) < size)
		return wrong(c, "Missing LF after literal size");
	if (memchr(c->p, 0, size) != NULL)
		return wrong(c, "NULs not allowed in strings");
	memcpy(dst, c->p, size);
	c->p += size;
	return (long)size;
}

/* ASTRING-CHAR (RFC 3501 9). */
static bool
atom_char(uint8_t ch)
{
	return ch > ' ' && ch < 0x7f && strchr("(){\"\\%*", ch) == NULL;
}

/* What keeps the atom from going on. */
static const char *
atom_error(uint8_t ch, bool first)
{
	if (ch == '\r')
		return "CR sent without LF";
	if (ch == ')')
		return "Unexpected ')'";
	if (ch == '(' && first)
		return NULL; /* a list: nothing special */
	return ch >= 0x80 ? "8bit data in atom" : "Invalid characters in atom";
}

long
imap_astring(struct imap_cursor *c, uint8_t *dst, size_t cap)
{
	size_t n = 0;

	if (at_eol(c))
		return -1;
	if (*c->p == '"')
		return quoted(c, dst, cap);
	if (*c->p == '{')
		return literal(c, dst, cap);
	/* Dovecot takes % and * and a backslash in the atoms of LOGIN: people have
	 * such passwords. */
	while (!at_eol(c) && (atom_char(*c->p) || *c->p == '%' || *c->p == '*' || *c->p == '\\')) {
		if (n == cap)
			return -1;
		dst[n++] = *c->p++;
	}
	if (!at_eol(c) && *c->p != ' ')
		return wrong(c, atom_error(*c->p, n == 0));
	return n > 0 ? (long)n : -1;
}

long
imap_nstring(struct imap_cursor *c, uint8_t *dst, size_t cap, bool *nil)
{
	*nil = false;
	if (c->end - c->p >= 3 && strncasecmp((const char *)c->p, "NIL", 3) == 0) {
		*nil = true;
		c->p += 3;
		return 0;
	}
	if (c->p < c->end && *c->p == '"')
		return quoted(c, dst, cap);
	if (c->p < c->end && *c->p == '{')
		return literal(c, dst, cap);
	return -1;
}

bool
imap_tag_valid(const uint8_t *p, size_t len, size_t max)
{
	if (len == 0 || len > max)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!atom_char(p[i]) || p[i] == '+')
			return false;
	return true;
}
