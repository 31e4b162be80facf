#include "auth/line.h"

#include <string.h>

#include "common/str.h"

void
line_reader_init(struct line_reader *r)
{
	r->len = r->start = r->seen = 0;
}

char *
line_reader_space(struct line_reader *r, size_t *room)
{
	if (r->start > 0) {
		memmove(r->buf, r->buf + r->start, r->len - r->start);
		r->len -= r->start;
		r->start = 0;
	}
	*room = sizeof(r->buf) - r->len;
	return r->buf + r->len;
}

void
line_reader_added(struct line_reader *r, size_t n)
{
	r->len += n;
}

int
line_reader_next(struct line_reader *r, char **line, size_t *len)
{
	char *from = r->buf + r->start;
	size_t have = r->len - r->start;
	char *lf = memchr(from + r->seen, '\n', have - r->seen);

	if (lf == NULL) {
		r->seen = have;
		return have > AUTH_LINE_MAX ? -1 : 0;
	}
	*line = from;
	*len = (size_t)(lf - from);
	r->start += *len + 1;
	r->seen = 0;
	return *len > AUTH_LINE_MAX ? -1 : 1;
}

/* ---- taking a line apart -------------------------------------------------- */

static const struct {
	const char *word;
	enum auth_verb verb;
} verbs[] = {
    {"OK", AV_OK},         {"FAIL", AV_FAIL},       {"CONT", AV_CONT},
    {"MECH", AV_MECH},     {"VERSION", AV_VERSION}, {"SPID", AV_SPID},
    {"CUID", AV_CUID},     {"COOKIE", AV_COOKIE},   {"DONE", AV_DONE},
    {"CANCELLED", AV_CANCELLED},
};

/* Cuts the next TAB-separated piece off, as it is.  False: the line is over. */
static bool
piece(struct auth_line *l, char **p, size_t *len)
{
	char *tab;

	if (l->p == NULL)
		return false;
	*p = l->p;
	tab = memchr(l->p, '\t', (size_t)(l->end - l->p));
	*len = (size_t)((tab != NULL ? tab : l->end) - l->p);
	l->p = tab != NULL ? tab + 1 : NULL;
	return true;
}

static bool
number(struct auth_line *l, uint32_t *out)
{
	char *p, text[12];
	uint64_t v;
	size_t len;

	if (!piece(l, &p, &len) || len >= sizeof(text))
		return false;
	str_copy_n(text, sizeof(text), p, len);
	if (strlen(text) != len || !str_to_u64(text, UINT32_MAX, &v))
		return false;
	*out = (uint32_t)v;
	return true;
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool
cookie(struct auth_line *l)
{
	char *p;
	size_t len;

	if (!piece(l, &p, &len) || len != 2 * sizeof(l->cookie))
		return false;
	for (size_t i = 0; i < sizeof(l->cookie); i++) {
		int hi = hex(p[2 * i]), lo = hex(p[2 * i + 1]);

		if (hi == -1 || lo == -1)
			return false;
		l->cookie[i] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}

int
authline_parse(char *line, size_t len, struct auth_line *l)
{
	char *p;
	size_t n;

	memset(l, 0, sizeof(*l));
	l->p = line;
	l->end = line + len;
	piece(l, &p, &n);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strlen(verbs[i].word) == n && memcmp(verbs[i].word, p, n) == 0)
			l->verb = verbs[i].verb;
	switch (l->verb) {
	case AV_VERSION:
		return number(l, &l->id) && number(l, &l->minor) ? 0 : -1;
	case AV_SPID:
	case AV_CUID:
	case AV_OK:
	case AV_FAIL:
	case AV_CANCELLED:
		return number(l, &l->id) ? 0 : -1;
	case AV_CONT:
		return number(l, &l->id) ? 0 : -1;
	case AV_COOKIE:
		return cookie(l) ? 0 : -1;
	case AV_MECH:
		return l->p != NULL && l->p != l->end ? 0 : -1;
	default:
		return 0;
	}
}

/* In place; an unknown escape stands for its letter, a lone SOH at the end for
 * nothing.  Returns the new length. */
static size_t
unescape(char *p, size_t len)
{
	size_t out = 0;

	for (size_t i = 0; i < len; i++) {
		char c = p[i];

		if (c == '\001') {
			if (++i == len)
				break;
			c = p[i];
			c = c == '0' ? '\0' : c == '1' ? '\001' : c == 't' ? '\t'
			    : c == 'r' ? '\r' : c == 'n' ? '\n' : c;
		}
		p[out++] = c;
	}
	return out;
}

bool
authline_field(struct auth_line *l, struct auth_field *f)
{
	char *p, *eq;
	size_t len;

	do {
		if (!piece(l, &p, &len))
			return false;
		len = unescape(p, len);
	} while (len == 0);
	eq = memchr(p, '=', len);
	f->key = p;
	f->key_len = eq != NULL ? (size_t)(eq - p) : len;
	f->has_value = eq != NULL;
	f->value = eq != NULL ? eq + 1 : p + len;
	f->value_len = eq != NULL ? len - f->key_len - 1 : 0;
	return true;
}

bool
authline_cont(struct auth_line *l, bool fields, struct auth_cont *c)
{
	struct auth_field f;
	char *p;

	*c = (struct auth_cont){.data = l->p != NULL ? l->p : l->end};
	c->len = (size_t)(l->end - c->data);
	if (!fields)
		return true;
	if (piece(l, &p, &c->len) && c->len == 1 && *p == '#') {
		c->out_of_band = true;
		c->len = 0;
	}
	while (authline_field(l, &f)) {
		if (!auth_field_is(&f, "channel_binding"))
			continue;
		if (f.value_len == 0 || !auth_field_copy(&f, c->binding, sizeof(c->binding)))
			return false;
		c->wants_binding = true;
	}
	return c->wants_binding || !c->out_of_band; /* what else could be answered? */
}

bool
auth_field_is(const struct auth_field *f, const char *key)
{
	return strlen(key) == f->key_len && memcmp(key, f->key, f->key_len) == 0;
}

bool
auth_field_copy(const struct auth_field *f, char *dst, size_t cap)
{
	if (f->value_len >= cap || memchr(f->value, 0, f->value_len) != NULL) {
		dst[0] = '\0';
		return false;
	}
	return str_copy_n(dst, cap, f->value, f->value_len);
}

/* ---- putting one together ------------------------------------------------- */

static void
put(struct auth_cmd *c, const char *p, size_t len)
{
	if (c->bad || len > AUTH_LINE_MAX - c->len) {
		c->bad = true;
		return;
	}
	memcpy(c->buf + c->len, p, len);
	c->len += len;
}

/* The one way for a value into the line. */
static void
put_escaped(struct auth_cmd *c, const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char letter = p[i] == '\0' ? '0' : p[i] == '\001' ? '1' : p[i] == '\t' ? 't'
		    : p[i] == '\r' ? 'r' : p[i] == '\n' ? 'n' : 0;

		if (letter != 0) {
			put(c, "\001", 1);
			put(c, &letter, 1);
		} else {
			put(c, &p[i], 1);
		}
	}
}

void
authcmd_begin(struct auth_cmd *c, const char *verb)
{
	c->len = 0;
	c->bad = false;
	put(c, verb, strlen(verb));
}

void
authcmd_number(struct auth_cmd *c, uint32_t n)
{
	char digits[10];
	size_t i = sizeof(digits);

	do
		digits[--i] = (char)('0' + n % 10);
	while ((n /= 10) != 0);
	put(c, "\t", 1);
	put(c, digits + i, sizeof(digits) - i);
}

void
authcmd_word(struct auth_cmd *c, const char *word)
{
	put(c, "\t", 1);
	put_escaped(c, word, strlen(word));
}

void
authcmd_field(struct auth_cmd *c, const char *key, const char *value)
{
	put(c, "\t", 1);
	put(c, key, strlen(key));
	if (value == NULL)
		return;
	put(c, "=", 1);
	put_escaped(c, value, strlen(value));
}

static void
put_base64(struct auth_cmd *c, const void *data, size_t len)
{
	long n;

	if (c->bad)
		return;
	n = base64_encode(c->buf + c->len, sizeof(c->buf) - c->len, data, len);
	if (n < 0)
		c->bad = true;
	else
		c->len += (size_t)n;
}

void
authcmd_resp(struct auth_cmd *c, const void *data, size_t len)
{
	put(c, "\tresp=", 6);
	put_base64(c, data, len);
}

void
authcmd_base64(struct auth_cmd *c, const void *data, size_t len)
{
	put(c, "\t", 1);
	put_base64(c, data, len);
}

void
authcmd_field_base64(struct auth_cmd *c, const char *key, const void *data, size_t len)
{
	put(c, "\t", 1);
	put(c, key, strlen(key));
	put(c, "=", 1);
	put_base64(c, data, len);
}

bool
authcmd_end(struct auth_cmd *c)
{
	if (c->bad)
		return false;
	c->buf[c->len++] = '\n';
	return true;
}

void
authcmd_wipe(struct auth_cmd *c)
{
	explicit_bzero(c->buf, c->len < sizeof(c->buf) ? c->len + 1 : sizeof(c->buf));
	c->len = 0;
}
