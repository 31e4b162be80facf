#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/str.h"
#include "policy/internal.h"

static int parse_text(struct parser *ps);

/* Words with blanks between them, but none inside of {a, b} and a|b. */
static void
record_token(struct parser *ps)
{
	size_t len = strlen(ps->record);
	bool tight = strcmp(ps->t.text, ",") == 0 || strcmp(ps->t.text, "}") == 0 ||
	    strcmp(ps->t.text, "|") == 0 ||
	    (len > 0 && (ps->record[len - 1] == '{' || ps->record[len - 1] == '|'));

	snprintf(ps->record + len, ps->record_cap - len, "%s%s", len == 0 || tight ? "" : " ",
	    ps->t.text);
}

int
parse_next(struct parser *ps)
{
	if (ps->record != NULL)
		record_token(ps);
	return lex_next(&ps->lx, &ps->t, ps->d);
}

int
parse_error(struct parser *ps, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	diag_set(ps->d, ps->lx.file, ps->t.line, ps->t.column, "%s", text);
	return -1;
}

bool
parse_is(const struct parser *ps, enum tok_kind kind, const char *text)
{
	return ps->t.kind == kind && strcmp(ps->t.text, text) == 0;
}

/* What stands there, for messages. */
const char *
parse_found(const struct parser *ps)
{
	static char text[220];

	if (ps->t.kind == TOK_EOL || ps->t.kind == TOK_EOF)
		return "the end of the line";
	snprintf(text, sizeof(text), "\"%s\"", ps->t.text);
	return text;
}

static int
unknown(struct parser *ps, const char *what, const struct word *table)
{
	const char *near = word_nearest(table, ps->t.text);
	size_t len = 0;

	parse_error(ps, "%s is no %s", parse_found(ps), what);
	if (near != NULL) {
		diag_hint(ps->d, "did you mean \"%s\"?", near);
		return -1;
	}
	len = (size_t)snprintf(ps->d->hint, sizeof(ps->d->hint), "one of:");
	for (; table->name != NULL && len + strlen(table->name) + 2 < sizeof(ps->d->hint); table++)
		len += (size_t)snprintf(ps->d->hint + len, sizeof(ps->d->hint) - len, " %s",
		    table->name);
	return -1;
}

int
parse_word(struct parser *ps, const char *what, char *dst, size_t cap)
{
	if (ps->t.kind != TOK_WORD)
		return parse_error(ps, "expected %s, found %s", what, parse_found(ps));
	if (!str_copy(dst, cap, ps->t.text))
		return parse_error(ps, "%s is too long: at most %zu bytes", parse_found(ps), cap - 1);
	return parse_next(ps);
}

int
parse_string(struct parser *ps, const char *what, char *dst, size_t cap)
{
	if (ps->t.kind != TOK_STRING || ps->t.text[0] == '\0')
		return parse_error(ps, "expected %s in quotes, found %s", what, parse_found(ps));
	if (!str_copy(dst, cap, ps->t.text))
		return parse_error(ps, "%s is too long: at most %zu bytes", what, cap - 1);
	return parse_next(ps);
}

int
parse_of(struct parser *ps, const char *what, const struct word *table, uint64_t *value)
{
	const struct word *w = ps->t.kind == TOK_WORD ? word_find(table, ps->t.text) : NULL;

	if (w == NULL)
		return unknown(ps, what, table);
	*value = w->value;
	return parse_next(ps);
}

int
parse_number(struct parser *ps, const char *what, uint64_t max, uint64_t *value)
{
	char text[32];
	uint64_t unit = 1;
	size_t len;

	if (ps->t.kind != TOK_WORD || !str_copy(text, sizeof(text), ps->t.text))
		return parse_error(ps, "expected %s, found %s", what, parse_found(ps));
	len = strlen(text);
	if (len > 1 && (text[len - 1] == 'K' || text[len - 1] == 'M' || text[len - 1] == 'G')) {
		unit = text[len - 1] == 'K' ? 1u << 10 : text[len - 1] == 'M' ? 1u << 20 : 1u << 30;
		text[len - 1] = '\0';
	}
	if (!str_to_u64(text, max / unit, value)) {
		parse_error(ps, "%s is no %s", parse_found(ps), what);
		diag_hint(ps->d, "a decimal number, at most %llu", (unsigned long long)max);
		return -1;
	}
	*value *= unit;
	return parse_next(ps);
}

int
parse_keyword(struct parser *ps, const char *word)
{
	if (!parse_is(ps, TOK_WORD, word))
		return parse_error(ps, "expected \"%s\", found %s", word, parse_found(ps));
	return parse_next(ps);
}

int
parse_need(struct parser *ps, enum layer_need *need)
{
	uint64_t v = 0;

	if (parse_of(ps, "\"required\", \"optional\" or \"off\"", policy_need_words, &v) == -1)
		return -1;
	*need = (enum layer_need)v;
	return 0;
}

int
parse_why(struct parser *ps, char *dst, size_t cap)
{
	if (parse_keyword(ps, "why") == -1)
		return -1;
	if (ps->t.kind != TOK_STRING || strlen(ps->t.text) < 3 || !str_copy(dst, cap, ps->t.text))
		return parse_error(ps, "expected the reason in quotes, 3 to %zu bytes", cap - 1);
	return parse_next(ps);
}

static int
st_policy(struct parser *ps)
{
	uint64_t version = 0;

	if (parse_word(ps, "the policy's name", ps->p->name, sizeof(ps->p->name)) == -1 ||
	    parse_keyword(ps, "version") == -1 ||
	    parse_number(ps, "version", 1, &version) == -1)
		return -1;
	if (version != 1)
		return parse_error(ps, "version 0 does not exist");
	ps->p->version = 1;
	return 0;
}

static int
st_about(struct parser *ps)
{
	return parse_string(ps, "what this process does", ps->p->about, sizeof(ps->p->about));
}

static int
st_allow(struct parser *ps)
{
	return parse_rule(ps, PACT_ALLOW);
}

static int
st_log(struct parser *ps)
{
	return parse_rule(ps, PACT_LOG);
}

static int
st_errno(struct parser *ps)
{
	return parse_rule(ps, PACT_ERRNO);
}

/* One file of the same directory: rules and descriptors that several share. */
static int
st_include(struct parser *ps)
{
	struct policy *p = ps->p;
	struct parser sub = {.p = p, .d = ps->d, .included = true, .seen = ps->seen};
	char name[64], path[512], *text;
	size_t len = 0;
	ssize_t n = 0;
	int fd, rv;

	if (ps->included)
		return parse_error(ps, "an included file cannot include another");
	if (ps->dir == NULL)
		return parse_error(ps, "include is not possible here: the text has no directory");
	if (ps->t.kind == TOK_STRING && strchr(ps->t.text, '/') != NULL)
		return parse_error(ps, "%s: included files lie beside the policy", parse_found(ps));
	if (p->nsources == POLICY_SOURCES_MAX)
		return parse_error(ps, "more than %d included files", POLICY_SOURCES_MAX - 1);
	if (parse_string(ps, "a file name", name, sizeof(name)) == -1)
		return -1;
	snprintf(path, sizeof(path), "%s/%s", ps->dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return parse_error(ps, "cannot open %s: %s", path, strerror(errno));
	text = malloc(POLICY_TEXT_MAX + 1);
	while (text != NULL && len <= POLICY_TEXT_MAX &&
	    (n = read(fd, text + len, POLICY_TEXT_MAX + 1 - len)) > 0)
		len += (size_t)n;
	close(fd);
	if (text == NULL || n == -1 || len > POLICY_TEXT_MAX) {
		free(text);
		return parse_error(ps, "cannot read %s, or it is over %u bytes", path,
		    POLICY_TEXT_MAX);
	}
	sub.source = p->nsources;
	str_copy(p->source[p->nsources++], sizeof(p->source[0]), path);
	lex_init(&sub.lx, text, len, p->source[sub.source]);
	rv = parse_text(&sub);
	free(text);
	return rv;
}

/* In the order in which a policy names them; `mandatory` ones are the layers
 * that every policy has to say something about. */
static const struct statement {
	const char *name;
	int (*parse)(struct parser *);
	bool once, mandatory;
	const char *form; /* the hint where nothing better is known */
} statements[] = {
    {"policy", st_policy, true, true,
	"policy NAME version 1"},
    {"about", st_about, true, true,
	"about \"TEXT\""},
    {"follows", parse_st_follows, true, false,
	"follows NAME, or within NAME"},
    {"within", parse_st_within, true, false,
	"follows NAME, or within NAME"},
    {"identity", parse_st_identity, true, true,
	"identity uid ACCOUNT gid ACCOUNT groups none|keep"},
    {"caps", parse_st_caps, true, true,
	"caps none|NAME... [no-user-namespace NAME...] [NEED]"},
    {"namespaces", parse_st_namespaces, true, true,
	"namespaces user NEED mount NEED net NEED pid NEED ipc NEED uts NEED cgroup NEED"},
    {"nesting", parse_st_nesting, true, false,
	"nesting none required|optional|off"},
    {"oom-score", parse_st_oom_score, true, false,
	"oom-score NUMBER [required|optional] why \"REASON\""},
    {"root", parse_st_root, true, true,
	"root host, or root empty|sockets read-only [NEED]"},
    {"landlock", parse_st_landlock, true, true,
	"landlock off, or landlock NEED [abi >= N] allow nothing|sockets|RIGHT WHAT..."},
    {"mdwe", parse_st_mdwe, true, true,
	"mdwe required|optional|off"},
    {"memory", parse_st_memory, true, false,
	"memory secret required|optional|off"},
    {"seccomp", parse_st_seccomp, true, false,
	"seccomp off, or nothing"},
    {"limit", parse_st_limit, false, false,
	"limit NAME NUMBER..."},
    {"fd", parse_st_fd, false, false,
	"fd NUMBER[-NUMBER] NAME TYPE [read] [write]"},
    {"include", st_include, false, false,
	"include \"FILE\", in the policy itself"},
    {"default", parse_st_default, true, false,
	"default kill-process, or default errno ERROR"},
    {"allow", st_allow, false, false,
	"allow CALL [ARGUMENT OP VALUE]... why \"REASON\""},
    {"errno", st_errno, false, false,
	"errno ERROR CALL [ARGUMENT OP VALUE]... why \"REASON\""},
    {"log", st_log, false, false,
	"log CALL [ARGUMENT OP VALUE]... why \"REASON\""},
    {"budget", parse_st_budget, true, false,
	"budget syscalls N unpinned M"},
};
#define NSTATEMENTS (sizeof(statements) / sizeof(statements[0]))

static int
unknown_statement(struct parser *ps)
{
	static const struct word denials[] = {{"deny", 0}, {"kill", 0}, {"forbid", 0}, {"block", 0},
	    {"except", 0}, {NULL, 0}};
	static const struct word conditionals[] = {{"if", 0}, {"else", 0}, {"unless", 0}, {"when", 0},
	    {"case", 0}, {NULL, 0}};
	const char *near = NULL;
	unsigned int dist = UINT32_MAX;

	for (size_t i = 0; i < NSTATEMENTS; i++)
		near = word_nearer(near, statements[i].name, ps->t.text, &dist);
	parse_error(ps, "%s begins no statement", parse_found(ps));
	if (word_find(denials, ps->t.text) != NULL)
		diag_hint(ps->d, "there are no deny rules: what is not allowed is denied");
	else if (word_find(conditionals, ps->t.text) != NULL)
		diag_hint(ps->d, "there are no conditionals: a policy is the same everywhere");
	else if (near != NULL)
		diag_hint(ps->d, "did you mean \"%s\"?", near);
	else
		diag_hint(ps->d, "see gatehouse.policy(5)");
	return -1;
}

static int
known_statement(struct parser *ps, size_t i)
{
	if (ps->seen[0] == 0 && i != 0) {
		parse_error(ps, "%s before the policy's name", parse_found(ps));
		diag_hint(ps->d, "the first statement is: policy NAME version 1");
		return -1;
	}
	if (ps->included && statements[i].once)
		return parse_error(ps, "%s is not possible in an included file", parse_found(ps));
	if (statements[i].once && ps->seen[i] != 0)
		return parse_error(ps, "%s is given twice: first on line %u", parse_found(ps),
		    ps->seen[i]);
	ps->seen[i] = ps->t.line;
	if (parse_next(ps) == -1 || statements[i].parse(ps) == -1)
		return -1;
	if (ps->t.kind != TOK_EOL)
		return parse_error(ps, "%s does not belong here", parse_found(ps));
	return parse_next(ps);
}

static int
parse_statement(struct parser *ps)
{
	size_t i = 0;

	while (i < NSTATEMENTS && !parse_is(ps, TOK_WORD, statements[i].name))
		i++;
	if (i == NSTATEMENTS)
		return unknown_statement(ps);
	if (known_statement(ps, i) == 0)
		return 0;
	if (ps->d->hint[0] == '\0')
		diag_hint(ps->d, "%s", statements[i].form);
	return -1;
}

static int
parse_text(struct parser *ps)
{
	if (parse_next(ps) == -1)
		return -1;
	while (ps->t.kind != TOK_EOF)
		if (parse_statement(ps) == -1)
			return -1;
	return 0;
}

static int
check_mandatory(struct parser *ps)
{
	const struct policy *p = ps->p;

	for (size_t i = 0; i < NSTATEMENTS; i++) {
		const char *name = statements[i].name;
		bool rules = strcmp(name, "default") == 0 || strcmp(name, "budget") == 0;

		if (ps->seen[i] != 0 || !(statements[i].mandatory || (rules && p->seccomp != NEED_OFF)))
			continue;
		parse_error(ps, "there is no \"%s\"", name); /* at the end of the file */
		diag_hint(ps->d, "a policy says something about every layer: %s", statements[i].form);
		return -1;
	}
	return 0;
}

int
policy_parse(struct policy *p, const char *text, size_t len, const char *name, const char *dir,
    struct diag *d)
{
	unsigned int seen[NSTATEMENTS] = {0};
	struct parser ps = {.p = p, .d = d, .dir = dir, .seen = seen};

	memset(p, 0, sizeof(*p));
	memset(d, 0, sizeof(*d));
	str_copy(p->file, sizeof(p->file), name);
	str_copy(p->source[0], sizeof(p->source[0]), name);
	p->nsources = 1;
	p->seccomp = NEED_REQUIRED;
	if (len > POLICY_TEXT_MAX) {
		diag_set(d, name, 1, 1, "over %u bytes", POLICY_TEXT_MAX);
		diag_hint(d, "shorter comments, or includes");
		return -1;
	}
	lex_init(&ps.lx, text, len, p->file);
	if (parse_text(&ps) == -1 || check_mandatory(&ps) == -1)
		return -1;
	return policy_check(p, d);
}
