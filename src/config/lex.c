#include <string.h>

#include "common/str.h"
#include "config/internal.h"

void
config_lex_init(struct lexer *l, const char *file, const char *text, size_t len)
{
	*l = (struct lexer){.file = file, .p = text, .end = text + len, .number = 1};
}

static bool
blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* The rest of the line says nothing more. */
static bool
line_ends(const struct lexer *l, const char *p)
{
	while (p < l->end && blank(*p))
		p++;
	return p >= l->end || *p == '\n' || *p == '#';
}

/*
 * A statement ends with its line; also after "{" of a section, and before a
 * last "}", so that `name { key = value }` may stand on one line.
 */
static bool
statement_ends(const struct lexer *l, const char *buf, size_t n, bool has_eq)
{
	char c = *l->p;

	if (c == '{')
		return !has_eq;
	return c == '}' && n > 0 && blank(buf[n - 1]) && line_ends(l, l->p + 1);
}

static void
skip_comment(struct lexer *l)
{
	while (l->p < l->end && *l->p != '\n')
		l->p++;
}

/*
 * Copy one statement (a backslash at the end of a line joins it with the next)
 * into buf, comments cut off.  Returns 0, 1 at the end of the file, -1 and d.
 */
static int
statement(struct lexer *l, char *buf, unsigned int *number, struct diag *d)
{
	bool has_eq = false;
	char quote = '\0';
	size_t n = 0;

	*number = l->number;
	if (l->p >= l->end)
		return 1;
	while (l->p < l->end) {
		char c = *l->p;

		if (c == '\0') {
			diag_set(d, l->file, l->number, 0, "a NUL byte");
			return -1;
		}
		if (c == '\n') {
			l->number++;
			l->p++;
			if (n == 0 || buf[n - 1] != '\\' || quote != '\0')
				break;
			buf[n - 1] = ' ';
			continue;
		}
		if (quote == '\0' && c == '#' && (n == 0 || blank(buf[n - 1]))) {
			skip_comment(l);
			continue;
		}
		if (quote == '\0' && statement_ends(l, buf, n, has_eq)) {
			if (c == '{') {
				buf[n++] = c;
				l->p++;
			}
			break;
		}
		if (quote != '\0' && c == '\\' && l->p + 1 < l->end && l->p[1] != '\n') {
			if (n + 2 < CONFIG_LINE_MAX)
				buf[n++] = c;
			c = *++l->p;
		} else if (c == quote) {
			quote = '\0';
		} else if (quote == '\0' && (c == '"' || c == '\'') && n > 0 &&
		    (blank(buf[n - 1]) || buf[n - 1] == '=')) {
			quote = c;
		} else if (quote == '\0' && c == '=') {
			has_eq = true;
		}
		if (n + 2 >= CONFIG_LINE_MAX) {
			diag_set(d, l->file, *number, 0, "line longer than %d bytes", CONFIG_LINE_MAX);
			return -1;
		}
		buf[n++] = c;
		l->p++;
	}
	if (quote != '\0') {
		diag_set(d, l->file, *number, 0, "the quote %c is never closed", quote);
		return -1;
	}
	buf[n] = '\0';
	return 0;
}

static char *
skip(char *s)
{
	while (blank(*s))
		s++;
	return s;
}

static void
trim(char *s)
{
	size_t n = strlen(s);

	while (n > 0 && blank(s[n - 1]))
		s[--n] = '\0';
}

/* A value in quotes loses them; \" \' and \\ are what they stand for. */
static void
unquote(struct line *out)
{
	char *s = out->value, *w = s, q = *s;
	size_t n = strlen(s);

	if (n < 2 || (q != '"' && q != '\'') || s[n - 1] != q)
		return;
	out->quoted = true;
	s[n - 1] = '\0';
	for (s++; *s != '\0'; s++) {
		if (*s == '\\' && s[1] != '\0')
			s++;
		*w++ = *s;
	}
	*w = '\0';
}

static int
parse_setting(struct lexer *l, char *start, char *s, char *eq, struct line *out, struct diag *d)
{
	char *value = skip(eq + 1);

	*eq = '\0';
	trim(s);
	if (*s == '\0' || strpbrk(s, " \t{}") != NULL || !str_copy(out->key, sizeof(out->key), s)) {
		diag_set(d, l->file, out->number, 0, "\"%.60s\" is no name of a setting", s);
		return -1;
	}
	out->kind = LINE_SETTING;
	out->column = (unsigned int)(value - start) + 1;
	trim(value);
	str_copy(out->value, sizeof(out->value), value);
	unquote(out);
	return 0;
}

static int
parse_section(struct lexer *l, char *s, char *brace, struct line *out, struct diag *d)
{
	char *arg;

	*brace = '\0';
	trim(s);
	arg = s + strcspn(s, " \t");
	if (*arg != '\0')
		*arg++ = '\0';
	arg = skip(arg);
	out->kind = LINE_SECTION;
	str_copy(out->value, sizeof(out->value), arg);
	unquote(out);
	if (*s == '\0' || !str_copy(out->key, sizeof(out->key), s) ||
	    !str_copy(out->arg, sizeof(out->arg), out->value)) {
		diag_set(d, l->file, out->number, 0, "a section needs a name before {");
		return -1;
	}
	return 0;
}

static int
parse_line(struct lexer *l, char *buf, struct line *out, struct diag *d)
{
	char *s = skip(buf), *eq = strchr(s, '='), *brace = strchr(s, '{');

	out->column = (unsigned int)(s - buf) + 1;
	if (*s == '}' && *skip(s + 1) == '\0') {
		out->kind = LINE_CLOSE;
		return 0;
	}
	if (*s == '!') {
		bool opt = strncmp(s, "!include_try", 12) == 0 && blank(s[12]);

		if (!opt && (strncmp(s, "!include", 8) != 0 || !blank(s[8]))) {
			diag_set(d, l->file, out->number, out->column, "unknown directive %.40s", s);
			diag_hint(d, "!include FILE, !include_try FILE");
			return -1;
		}
		out->kind = LINE_INCLUDE;
		str_copy(out->arg, sizeof(out->arg), opt ? "try" : "");
		s = skip(s + (opt ? 12 : 8));
		trim(s);
		str_copy(out->value, sizeof(out->value), s);
		return 0;
	}
	if (brace != NULL && (eq == NULL || brace < eq))
		return parse_section(l, s, brace, out, d);
	if (eq != NULL)
		return parse_setting(l, buf, s, eq, out, d);
	diag_set(d, l->file, out->number, out->column, "\"%.60s\": expected `name = value`, "
	    "`section {` or `}`", s);
	return -1;
}

int
config_lex_next(struct lexer *l, struct line *out, struct diag *d)
{
	static char buf[CONFIG_LINE_MAX];
	int rv;

	for (;;) {
		memset(out, 0, offsetof(struct line, value));
		out->value[0] = '\0';
		rv = statement(l, buf, &out->number, d);
		if (rv == -1)
			return -1;
		if (rv == 1) {
			out->kind = LINE_END;
			return 0;
		}
		if (*skip(buf) != '\0')
			return parse_line(l, buf, out, d);
	}
}
