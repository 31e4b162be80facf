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
static const char *
found(const struct parser *ps)
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

	parse_error(ps, "%s is no %s", found(ps), what);
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

static int
take_word(struct parser *ps, const char *what, char *dst, size_t cap)
{
	if (ps->t.kind != TOK_WORD)
		return parse_error(ps, "expected %s, found %s", what, found(ps));
	if (!str_copy(dst, cap, ps->t.text))
		return parse_error(ps, "%s is too long: at most %zu bytes", found(ps), cap - 1);
	return parse_next(ps);
}

static int
take_string(struct parser *ps, const char *what, char *dst, size_t cap)
{
	if (ps->t.kind != TOK_STRING || ps->t.text[0] == '\0')
		return parse_error(ps, "expected %s in quotes, found %s", what, found(ps));
	if (!str_copy(dst, cap, ps->t.text))
		return parse_error(ps, "%s is too long: at most %zu bytes", what, cap - 1);
	return parse_next(ps);
}

static int
take_of(struct parser *ps, const char *what, const struct word *table, uint64_t *value)
{
	const struct word *w = ps->t.kind == TOK_WORD ? word_find(table, ps->t.text) : NULL;

	if (w == NULL)
		return unknown(ps, what, table);
	*value = w->value;
	return parse_next(ps);
}

static int
take_number(struct parser *ps, const char *what, uint64_t max, uint64_t *value)
{
	char text[32];
	uint64_t unit = 1;
	size_t len;

	if (ps->t.kind != TOK_WORD || !str_copy(text, sizeof(text), ps->t.text))
		return parse_error(ps, "expected %s, found %s", what, found(ps));
	len = strlen(text);
	if (len > 1 && (text[len - 1] == 'K' || text[len - 1] == 'M' || text[len - 1] == 'G')) {
		unit = text[len - 1] == 'K' ? 1u << 10 : text[len - 1] == 'M' ? 1u << 20 : 1u << 30;
		text[len - 1] = '\0';
	}
	if (!str_to_u64(text, max / unit, value)) {
		parse_error(ps, "%s is no %s", found(ps), what);
		diag_hint(ps->d, "a decimal number, at most %llu", (unsigned long long)max);
		return -1;
	}
	*value *= unit;
	return parse_next(ps);
}

static int
take_keyword(struct parser *ps, const char *word)
{
	if (!parse_is(ps, TOK_WORD, word))
		return parse_error(ps, "expected \"%s\", found %s", word, found(ps));
	return parse_next(ps);
}

/* required, optional or off; `required` where nothing is said. */
static int
maybe_need(struct parser *ps, enum layer_need *need)
{
	const struct word *w =
	    ps->t.kind == TOK_WORD ? word_find(policy_need_words, ps->t.text) : NULL;

	*need = w != NULL ? (enum layer_need)w->value : NEED_REQUIRED;
	return w != NULL ? parse_next(ps) : 0;
}

static int
take_need(struct parser *ps, enum layer_need *need)
{
	uint64_t v = 0;

	if (take_of(ps, "\"required\", \"optional\" or \"off\"", policy_need_words, &v) == -1)
		return -1;
	*need = (enum layer_need)v;
	return 0;
}

static int
st_policy(struct parser *ps)
{
	uint64_t version = 0;

	if (take_word(ps, "the policy's name", ps->p->name, sizeof(ps->p->name)) == -1 ||
	    take_keyword(ps, "version") == -1 ||
	    take_number(ps, "version", 1, &version) == -1)
		return -1;
	if (version != 1)
		return parse_error(ps, "version 0 does not exist");
	ps->p->version = 1;
	return 0;
}

static int
st_about(struct parser *ps)
{
	return take_string(ps, "what this process does", ps->p->about, sizeof(ps->p->about));
}

static int
st_follows(struct parser *ps)
{
	return take_word(ps, "a policy's name", ps->p->follows, sizeof(ps->p->follows));
}

static int
st_within(struct parser *ps)
{
	return take_word(ps, "a policy's name", ps->p->within, sizeof(ps->p->within));
}

static int
take_account(struct parser *ps, const char *word, enum policy_account *account, uint32_t *number)
{
	uint64_t v = 0;

	if (take_keyword(ps, word) == -1)
		return -1;
	if (ps->t.text[0] >= '0' && ps->t.text[0] <= '9') {
		*account = PACC_NUMBER;
		if (take_number(ps, word, UINT32_MAX - 1, &v) == -1)
			return -1;
		*number = (uint32_t)v;
		return 0;
	}
	if (take_of(ps, "account", policy_account_words, &v) == -1)
		return -1;
	*account = (enum policy_account)v;
	return 0;
}

static int
st_identity(struct parser *ps)
{
	struct policy *p = ps->p;

	if (take_account(ps, "uid", &p->uid, &p->uid_number) == -1 ||
	    take_account(ps, "gid", &p->gid, &p->gid_number) == -1 ||
	    take_keyword(ps, "groups") == -1)
		return -1;
	p->groups_none = parse_is(ps, TOK_WORD, "none");
	if (!p->groups_none && !parse_is(ps, TOK_WORD, "keep"))
		return parse_error(ps, "expected \"none\" or \"keep\", found %s", found(ps));
	return parse_next(ps);
}

/* caps none | NAME... [no-user-namespace NAME...]  [required|optional] */
static int
st_caps(struct parser *ps)
{
	uint64_t *set = &ps->p->caps, cap = 0;

	if (parse_is(ps, TOK_WORD, "none")) {
		if (parse_next(ps) == -1)
			return -1;
		return maybe_need(ps, &ps->p->caps_need);
	}
	do {
		if (set == &ps->p->caps && parse_is(ps, TOK_WORD, "no-user-namespace")) {
			set = &ps->p->caps_no_userns;
			if (parse_next(ps) == -1)
				return -1;
		}
		if (take_of(ps, "capability that a policy can keep", policy_cap_words, &cap) == -1)
			return -1;
		if (((ps->p->caps | ps->p->caps_no_userns) & UINT64_C(1) << cap) != 0)
			return parse_error(ps, "the capability before %s is named twice", found(ps));
		*set |= UINT64_C(1) << cap;
	} while (ps->t.kind == TOK_WORD && word_find(policy_need_words, ps->t.text) == NULL);
	return maybe_need(ps, &ps->p->caps_need);
}

static int
st_namespaces(struct parser *ps)
{
	bool seen[PNS__MAX] = {false};

	while (ps->t.kind == TOK_WORD) {
		uint64_t ns = 0;

		if (take_of(ps, "namespace", policy_ns_words, &ns) == -1)
			return -1;
		if (seen[ns])
			return parse_error(ps, "namespace %s is named twice",
			    policy_ns_words[ns].name);
		seen[ns] = true;
		if (take_need(ps, &ps->p->ns[ns]) == -1)
			return -1;
	}
	for (unsigned int i = 0; i < PNS__MAX; i++) {
		if (!seen[i]) {
			parse_error(ps, "namespace %s is not mentioned", policy_ns_words[i].name);
			diag_hint(ps->d, "all seven: required, optional or off");
			return -1;
		}
	}
	return 0;
}

static int
st_root(struct parser *ps)
{
	static const struct word kinds[] = {{"host", PROOT_HOST}, {"empty", PROOT_EMPTY},
	    {"sockets", PROOT_SOCKETS}, {NULL, 0}};
	uint64_t kind = 0;

	if (take_of(ps, "root (empty, sockets, host)", kinds, &kind) == -1)
		return -1;
	ps->p->root = (enum policy_root)kind;
	if (kind == PROOT_HOST) {
		ps->p->root_need = NEED_OFF;
		return 0;
	}
	if (take_keyword(ps, "read-only") == -1)
		return -1;
	return maybe_need(ps, &ps->p->root_need);
}

/* landlock required abi >= 1 allow nothing */
static int
st_landlock(struct parser *ps)
{
	uint64_t abi = 0;

	if (take_need(ps, &ps->p->landlock) == -1)
		return -1;
	if (ps->p->landlock == NEED_OFF)
		return 0;
	ps->p->landlock_min_abi = 1;
	if (parse_is(ps, TOK_WORD, "abi")) {
		if (parse_next(ps) == -1)
			return -1;
		if (!parse_is(ps, TOK_PUNCT, ">="))
			return parse_error(ps, "expected \">=\", found %s", found(ps));
		if (parse_next(ps) == -1 || take_number(ps, "Landlock ABI", 64, &abi) == -1)
			return -1;
		ps->p->landlock_min_abi = (unsigned int)abi;
	}
	if (take_keyword(ps, "allow") == -1)
		return -1;
	/* What may be connected to, from ABI 9 on, is the socket directory and no more. */
	if (ps->p->root == PROOT_SOCKETS)
		return take_keyword(ps, "sockets");
	return take_keyword(ps, "nothing");
}

static int
st_mdwe(struct parser *ps)
{
	return take_need(ps, &ps->p->mdwe);
}

static int
st_seccomp(struct parser *ps)
{
	if (!parse_is(ps, TOK_WORD, "off"))
		return parse_error(ps, "expected \"off\", found %s", found(ps));
	ps->p->seccomp = NEED_OFF;
	return parse_next(ps);
}

static int
st_memory(struct parser *ps)
{
	if (take_keyword(ps, "secret") == -1)
		return -1;
	return take_need(ps, &ps->p->secret_memory);
}

static int
st_limit(struct parser *ps)
{
	struct policy *p = ps->p;

	while (ps->t.kind == TOK_WORD) {
		struct policy_limit *l = &p->limits[p->nlimits];
		uint64_t resource = 0;

		if (p->nlimits == POLICY_LIMITS_MAX)
			return parse_error(ps, "more than %d limits", POLICY_LIMITS_MAX);
		str_copy(l->name, sizeof(l->name), ps->t.text);
		for (unsigned int i = 0; i < p->nlimits; i++)
			if (strcmp(p->limits[i].name, l->name) == 0)
				return parse_error(ps, "limit %s is set twice", l->name);
		if (take_of(ps, "limit", policy_limit_words, &resource) == -1 ||
		    take_number(ps, "limit", INT64_MAX, &l->value) == -1)
			return -1;
		p->nlimits++;
	}
	return 0;
}

/* fd 16-4095 or fd 3 */
static int
take_fd_numbers(struct parser *ps, struct policy_fd *fd)
{
	char text[32];
	char *dash;
	uint64_t first, last;

	if (ps->t.kind != TOK_WORD || !str_copy(text, sizeof(text), ps->t.text))
		return parse_error(ps, "expected a descriptor number, found %s", found(ps));
	dash = strchr(text, '-');
	if (dash != NULL)
		*dash++ = '\0';
	if (!str_to_u64(text, 1u << 20, &first) ||
	    !str_to_u64(dash != NULL ? dash : text, 1u << 20, &last) || last < first) {
		parse_error(ps, "%s is no descriptor number", found(ps));
		diag_hint(ps->d, "a number, or a range such as 16-4095");
		return -1;
	}
	fd->number = (int)first;
	fd->last = (int)last;
	return parse_next(ps);
}

static int
check_new_fd(struct parser *ps, const struct policy_fd *fd)
{
	for (unsigned int i = 0; i < ps->p->nfds; i++) {
		const struct policy_fd *o = &ps->p->fds[i];

		if (strcmp(o->name, fd->name) == 0)
			return parse_error(ps, "descriptor name \"%s\" is used twice", fd->name);
		if (fd->number <= o->last && o->number <= fd->last)
			return parse_error(ps, "descriptor %d is \"%s\" already",
			    fd->number > o->number ? fd->number : o->number, o->name);
	}
	return 0;
}

static int
st_fd(struct parser *ps)
{
	struct policy_fd fd = {0};
	uint64_t ignored = 0;

	if (ps->p->nfds == POLICY_FDS_MAX)
		return parse_error(ps, "more than %d descriptors", POLICY_FDS_MAX);
	if (take_fd_numbers(ps, &fd) == -1 ||
	    take_word(ps, "a name for the descriptor", fd.name, sizeof(fd.name)) == -1 ||
	    check_new_fd(ps, &fd) == -1)
		return -1;
	str_copy(fd.type, sizeof(fd.type), ps->t.text);
	if (take_of(ps, "type of descriptor", policy_fd_type_words, &ignored) == -1)
		return -1;
	while (ps->t.kind == TOK_WORD) {
		bool *right = parse_is(ps, TOK_WORD, "read") ? &fd.read :
		    parse_is(ps, TOK_WORD, "write")          ? &fd.write :
							       NULL;

		if (right == NULL || *right)
			return parse_error(ps, "expected \"read\" or \"write\", once each, found %s",
			    found(ps));
		*right = true;
		if (parse_next(ps) == -1)
			return -1;
	}
	ps->p->fds[ps->p->nfds++] = fd;
	return 0;
}

static int
st_default(struct parser *ps)
{
	if (parse_is(ps, TOK_WORD, "errno")) {
		ps->p->def = PACT_ERRNO;
		return parse_next(ps) == -1 ? -1 : parse_errno(ps, &ps->p->def_err);
	}
	if (!parse_is(ps, TOK_WORD, "kill-process")) {
		parse_error(ps, "expected \"kill-process\" or \"errno E\", found %s", found(ps));
		diag_hint(ps->d, "a policy lists what is allowed");
		return -1;
	}
	ps->p->def = PACT_KILL;
	return parse_next(ps);
}

static int
st_budget(struct parser *ps)
{
	uint64_t calls = 0, unpinned = 0;

	if (take_keyword(ps, "syscalls") == -1 || take_number(ps, "number", 1000, &calls) == -1 ||
	    take_keyword(ps, "unpinned") == -1 || take_number(ps, "number", 1000, &unpinned) == -1)
		return -1;
	ps->p->budget_syscalls = (unsigned int)calls;
	ps->p->budget_unpinned = (unsigned int)unpinned;
	return 0;
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
		return parse_error(ps, "%s: included files lie beside the policy", found(ps));
	if (p->nsources == POLICY_SOURCES_MAX)
		return parse_error(ps, "more than %d included files", POLICY_SOURCES_MAX - 1);
	if (take_string(ps, "a file name", name, sizeof(name)) == -1)
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
} statements[] = {
    {"policy", st_policy, true, true},
    {"about", st_about, true, true},
    {"follows", st_follows, true, false},
    {"within", st_within, true, false},
    {"identity", st_identity, true, true},
    {"caps", st_caps, true, true},
    {"namespaces", st_namespaces, true, true},
    {"root", st_root, true, true},
    {"landlock", st_landlock, true, true},
    {"mdwe", st_mdwe, true, true},
    {"memory", st_memory, true, false},
    {"seccomp", st_seccomp, true, false},
    {"limit", st_limit, false, false},
    {"fd", st_fd, false, false},
    {"include", st_include, false, false},
    {"default", st_default, true, false},
    {"allow", st_allow, false, false},
    {"errno", st_errno, false, false},
    {"log", st_log, false, false},
    {"budget", st_budget, true, false},
};
#define NSTATEMENTS (sizeof(statements) / sizeof(statements[0]))

static int
unknown_statement(struct parser *ps)
{
	const char *near = NULL;
	unsigned int dist = UINT32_MAX;

	for (size_t i = 0; i < NSTATEMENTS; i++)
		near = word_nearer(near, statements[i].name, ps->t.text, &dist);
	parse_error(ps, "%s begins no statement", found(ps));
	if (strcmp(ps->t.text, "deny") == 0 || strcmp(ps->t.text, "kill") == 0)
		diag_hint(ps->d, "there are no deny rules: what is not allowed is denied");
	else if (near != NULL)
		diag_hint(ps->d, "did you mean \"%s\"?", near);
	return -1;
}

static int
parse_statement(struct parser *ps)
{
	size_t i = 0;

	while (i < NSTATEMENTS && !parse_is(ps, TOK_WORD, statements[i].name))
		i++;
	if (i == NSTATEMENTS)
		return unknown_statement(ps);
	if (ps->seen[0] == 0 && i != 0) {
		parse_error(ps, "%s before the policy's name", found(ps));
		diag_hint(ps->d, "the first statement is: policy NAME version 1");
		return -1;
	}
	if (ps->included && statements[i].once)
		return parse_error(ps, "%s is not possible in an included file", found(ps));
	if (statements[i].once && ps->seen[i] != 0)
		return parse_error(ps, "%s is given twice: first on line %u", found(ps),
		    ps->seen[i]);
	ps->seen[i] = ps->t.line;
	if (parse_next(ps) == -1 || statements[i].parse(ps) == -1)
		return -1;
	if (ps->t.kind != TOK_EOL)
		return parse_error(ps, "%s does not belong here", found(ps));
	return parse_next(ps);
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
		diag_set(ps->d, p->file, 0, 0, "there is no \"%s\"", name);
		diag_hint(ps->d, "a policy says something about every layer; see gatehouse.policy(5)");
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
		diag_set(d, name, 0, 0, "over %u bytes", POLICY_TEXT_MAX);
		return -1;
	}
	lex_init(&ps.lx, text, len, p->file);
	if (parse_text(&ps) == -1 || check_mandatory(&ps) == -1)
		return -1;
	return policy_check(p, d);
}
