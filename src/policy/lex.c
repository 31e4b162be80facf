#include <ctype.h>
#include <string.h>

#include "policy/internal.h"

void
lex_init(struct lex *lx, const char *text, size_t len, const char *file)
{
	*lx = (struct lex){.p = text, .end = text + len, .line_start = text, .line = 1};
	lx->file = file;
}

static unsigned int
column(const struct lex *lx)
{
	return (unsigned int)(lx->p - lx->line_start) + 1;
}

static bool
word_char(char c)
{
	return isalnum((unsigned char)c) || (c != '\0' && strchr("_-.@/+", c) != NULL);
}

/* True if the line at s begins with a blank and says something; indented lines
 * that hold only a comment, or nothing, may come before it. */
static bool
continues(const char *s, const char *end)
{
	while (s < end && (*s == ' ' || *s == '\t')) {
		while (s < end && (*s == ' ' || *s == '\t' || *s == '\r'))
			s++;
		if (s < end && *s != '\n' && *s != '#')
			return true;
		while (s < end && *s != '\n')
			s++;
		if (s < end)
			s++;
	}
	return false;
}

static void
skip_blanks(struct lex *lx)
{
	while (lx->p < lx->end) {
		if (*lx->p == ' ' || *lx->p == '\t' || *lx->p == '\r') {
			lx->p++;
		} else if (*lx->p == '#') {
			while (lx->p < lx->end && *lx->p != '\n')
				lx->p++;
		} else if (*lx->p == '\n' && (!lx->began || continues(lx->p + 1, lx->end))) {
			lx->line_start = ++lx->p;
			lx->line++;
		} else {
			return;
		}
	}
}

static int
take(struct lex *lx, struct tok *t, const char *from, size_t len, struct diag *d)
{
	if (len >= sizeof(t->text)) {
		diag_set(d, lx->file, t->line, t->column, "\"%.20s...\" is too long: %zu bytes",
		    from, len);
		diag_hint(d, "at most %zu", sizeof(t->text) - 1);
		return -1;
	}
	memcpy(t->text, from, len);
	t->text[len] = '\0';
	return 0;
}

static int
lex_string(struct lex *lx, struct tok *t, struct diag *d)
{
	const char *from = ++lx->p;

	t->kind = TOK_STRING;
	while (lx->p < lx->end && *lx->p != '"' && *lx->p != '\n') {
		if ((unsigned char)*lx->p < 0x20 || *lx->p == 0x7f) {
			diag_set(d, lx->file, lx->line, column(lx),
			    "control character 0x%02x in a string", (unsigned char)*lx->p);
			diag_hint(d, "strings are for people: printable characters");
			return -1;
		}
		lx->p++;
	}
	if (lx->p == lx->end || *lx->p != '"') {
		diag_set(d, lx->file, t->line, t->column, "string without an end");
		diag_hint(d, "a string ends with \" on the same line");
		return -1;
	}
	return take(lx, t, from, (size_t)(lx->p++ - from), d);
}

static int
lex_punct(struct lex *lx, struct tok *t, struct diag *d)
{
	char c = *lx->p;
	size_t left = (size_t)(lx->end - lx->p), len = 1;

	t->kind = TOK_PUNCT;
	if (left >= 2 && lx->p[1] == '=' && (c == '=' || c == '<' || c == '>'))
		len = 2;
	else if (c == '\0' || strchr("{},&|<>", c) == NULL) {
		if (isprint((unsigned char)c))
			diag_set(d, lx->file, lx->line, column(lx), "unexpected '%c'", c);
		else
			diag_set(d, lx->file, lx->line, column(lx), "unexpected byte 0x%02x",
			    (unsigned char)c);
		if (c == '=')
			diag_hint(d, "equality is ==");
		else if (c == '!')
			diag_hint(d, "there is no negation: say what is allowed");
		else
			diag_hint(d, "words, numbers, \"strings\" and { } , & | == <= >= < > are known");
		return -1;
	}
	lx->p += len;
	return take(lx, t, lx->p - len, len, d);
}

int
lex_next(struct lex *lx, struct tok *t, struct diag *d)
{
	const char *from;

	skip_blanks(lx);
	t->line = lx->line;
	t->column = column(lx);
	t->text[0] = '\0';
	if (lx->p == lx->end || *lx->p == '\n') {
		/* The last line may lack its newline: it still ends its statement. */
		t->kind = lx->began ? TOK_EOL : TOK_EOF;
		lx->began = false;
		return 0;
	}
	lx->began = true;
	if (*lx->p == '"')
		return lex_string(lx, t, d);
	if (!word_char(*lx->p))
		return lex_punct(lx, t, d);
	t->kind = TOK_WORD;
	from = lx->p;
	while (lx->p < lx->end && word_char(*lx->p))
		lx->p++;
	return take(lx, t, from, (size_t)(lx->p - from), d);
}
