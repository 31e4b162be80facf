/*
 * The statements about a process's walls: identity to budget, everything but
 * the rules.
 */
#include <stdio.h>
#include <string.h>

#include "common/str.h"
#include "policy/internal.h"

/* required, optional or off; `required` where nothing is said. */
static int
maybe_need(struct parser *ps, enum layer_need *need)
{
	const struct word *w =
	    ps->t.kind == TOK_WORD ? word_find(policy_need_words, ps->t.text) : NULL;

	*need = w != NULL ? (enum layer_need)w->value : NEED_REQUIRED;
	return w != NULL ? parse_next(ps) : 0;
}

/* A later phase of the same process, or a new process: not both. */
static int
no_other(struct parser *ps, const char *word, const char *name)
{
	if (name[0] == '\0')
		return 0;
	return parse_error(ps, "%s, and \"%s %s\" above", parse_found(ps), word, name);
}

int
parse_st_follows(struct parser *ps)
{
	if (no_other(ps, "within", ps->p->within) == -1)
		return -1;
	return parse_word(ps, "a policy's name", ps->p->follows, sizeof(ps->p->follows));
}

int
parse_st_within(struct parser *ps)
{
	if (no_other(ps, "follows", ps->p->follows) == -1)
		return -1;
	return parse_word(ps, "a policy's name", ps->p->within, sizeof(ps->p->within));
}

static int
take_account(struct parser *ps, const char *word, enum policy_account *account, uint32_t *number)
{
	uint64_t v = 0;

	if (parse_keyword(ps, word) == -1)
		return -1;
	if (ps->t.text[0] >= '0' && ps->t.text[0] <= '9') {
		*account = PACC_NUMBER;
		if (parse_number(ps, word, UINT32_MAX - 1, &v) == -1)
			return -1;
		*number = (uint32_t)v;
		return 0;
	}
	if (parse_of(ps, "account", policy_account_words, &v) == -1)
		return -1;
	*account = (enum policy_account)v;
	return 0;
}

int
parse_st_identity(struct parser *ps)
{
	struct policy *p = ps->p;

	if (take_account(ps, "uid", &p->uid, &p->uid_number) == -1 ||
	    take_account(ps, "gid", &p->gid, &p->gid_number) == -1 ||
	    parse_keyword(ps, "groups") == -1)
		return -1;
	p->groups_none = parse_is(ps, TOK_WORD, "none");
	if (!p->groups_none && !parse_is(ps, TOK_WORD, "keep"))
		return parse_error(ps, "expected \"none\" or \"keep\", found %s", parse_found(ps));
	return parse_next(ps);
}

/* caps none | NAME... [no-user-namespace NAME...]  [required|optional] */
int
parse_st_caps(struct parser *ps)
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
		if (parse_of(ps, "capability that a policy can keep", policy_cap_words, &cap) == -1)
			return -1;
		if (((ps->p->caps | ps->p->caps_no_userns) & UINT64_C(1) << cap) != 0)
			return parse_error(ps, "the capability before %s is named twice", parse_found(ps));
		*set |= UINT64_C(1) << cap;
	} while (ps->t.kind == TOK_WORD && word_find(policy_need_words, ps->t.text) == NULL);
	return maybe_need(ps, &ps->p->caps_need);
}

int
parse_st_namespaces(struct parser *ps)
{
	bool seen[PNS__MAX] = {false};

	while (ps->t.kind == TOK_WORD) {
		uint64_t ns = 0;

		if (parse_of(ps, "namespace", policy_ns_words, &ns) == -1)
			return -1;
		if (seen[ns])
			return parse_error(ps, "namespace %s is named twice",
			    policy_ns_words[ns].name);
		seen[ns] = true;
		if (parse_need(ps, &ps->p->ns[ns]) == -1)
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

int
parse_st_root(struct parser *ps)
{
	static const struct word kinds[] = {{"host", PROOT_HOST}, {"empty", PROOT_EMPTY},
	    {"sockets", PROOT_SOCKETS}, {NULL, 0}};
	uint64_t kind = 0;

	if (parse_of(ps, "root (empty, sockets, host)", kinds, &kind) == -1)
		return -1;
	ps->p->root = (enum policy_root)kind;
	if (kind == PROOT_HOST) {
		ps->p->root_need = NEED_OFF;
		return 0;
	}
	if (parse_keyword(ps, "read-only") == -1)
		return -1;
	return maybe_need(ps, &ps->p->root_need);
}

/* The first stands alone: it never gets as far as take_reaches. */
static const struct word reach_words[] = {{"nothing", PREACH__MAX}, {"read", PREACH_READ},
    {"write", PREACH_WRITE}, {"execute", PREACH_EXECUTE}, {"bind", PREACH_BIND},
    {"connect", PREACH_CONNECT}, {NULL, 0}};

const char *
policy_reach_name(enum policy_reach_kind kind)
{
	for (const struct word *w = reach_words; w->name != NULL; w++)
		if (w->value == kind)
			return w->name;
	return NULL;
}

static int
take_reach(struct parser *ps, enum policy_reach_kind kind)
{
	struct policy *p = ps->p;
	struct policy_reach *r = &p->reach[p->nreach], *o;
	uint64_t port = 0;
	struct parser at = *ps; /* for the error: a port has its place behind it then */

	if (p->nreach == POLICY_REACH_MAX)
		return parse_error(ps, "more than %d paths and ports", POLICY_REACH_MAX);
	*r = (struct policy_reach){.kind = kind};
	if (kind >= PREACH_BIND ? parse_number(ps, "TCP port", UINT16_MAX, &port) == -1
				: parse_string(ps, "a path", r->path, sizeof(r->path)) == -1)
		return -1;
	r->port = (uint16_t)port;
	if (kind >= PREACH_BIND && p->landlock_min_abi < 4) {
		parse_error(&at, "Landlock knows ports from ABI 4 on");
		diag_hint(ps->d, "landlock required abi >= 4: an older one would leave every port open");
		return -1;
	}
	for (o = p->reach; o < r; o++)
		if (o->kind == kind && o->port == r->port && strcmp(o->path, r->path) == 0)
			return parse_error(&at, "%s is named twice", parse_found(&at));
	p->nreach++;
	return 0;
}

/* read "/usr" "/etc"  execute "/usr/bin"  bind 4433 */
static int
take_reaches(struct parser *ps)
{
	uint64_t kind = 0;

	do {
		struct parser at = *ps;

		if (parse_of(ps, "right of Landlock", reach_words, &kind) == -1)
			return -1;
		if (kind == PREACH__MAX)
			return parse_error(&at, "\"nothing\" stands alone");
		do {
			if (take_reach(ps, (enum policy_reach_kind)kind) == -1)
				return -1;
		} while (ps->t.kind == TOK_STRING ||
		    (ps->t.kind == TOK_WORD && ps->t.text[0] >= '0' && ps->t.text[0] <= '9'));
	} while (ps->t.kind == TOK_WORD);
	return 0;
}

/* landlock required abi >= 1 allow nothing */
int
parse_st_landlock(struct parser *ps)
{
	uint64_t abi = 0;

	if (parse_need(ps, &ps->p->landlock) == -1)
		return -1;
	if (ps->p->landlock == NEED_OFF)
		return 0;
	ps->p->landlock_min_abi = 1;
	if (parse_is(ps, TOK_WORD, "abi")) {
		if (parse_next(ps) == -1)
			return -1;
		if (!parse_is(ps, TOK_PUNCT, ">="))
			return parse_error(ps, "expected \">=\", found %s", parse_found(ps));
		if (parse_next(ps) == -1 || parse_number(ps, "Landlock ABI", 64, &abi) == -1)
			return -1;
		ps->p->landlock_min_abi = (unsigned int)abi;
	}
	if (parse_keyword(ps, "allow") == -1)
		return -1;
	/* What may be connected to, from ABI 9 on, is the socket directory and no more. */
	if (ps->p->root == PROOT_SOCKETS)
		return parse_keyword(ps, "sockets");
	if (ps->p->root == PROOT_HOST && !parse_is(ps, TOK_WORD, "nothing"))
		return take_reaches(ps);
	return parse_keyword(ps, "nothing");
}

int
parse_st_nesting(struct parser *ps)
{
	if (parse_keyword(ps, "none") == -1)
		return -1;
	return parse_need(ps, &ps->p->nesting);
}

/* oom-score 300 optional why "..." */
int
parse_st_oom_score(struct parser *ps)
{
	struct policy *p = ps->p;
	uint64_t score = 0;

	if (parse_number(ps, "oom_score_adj", POLICY_OOM_SCORE_MAX, &score) == -1)
		return -1;
	p->oom_score = (unsigned int)score;
	if (parse_is(ps, TOK_WORD, "off")) {
		parse_error(ps, "a score that is off");
		diag_hint(ps->d, "without this statement the score is inherited");
		return -1;
	}
	if (maybe_need(ps, &p->oom_need) == -1)
		return -1;
	return parse_why(ps, p->oom_why, sizeof(p->oom_why));
}

int
parse_st_mdwe(struct parser *ps)
{
	return parse_need(ps, &ps->p->mdwe);
}

int
parse_st_seccomp(struct parser *ps)
{
	if (!parse_is(ps, TOK_WORD, "off"))
		return parse_error(ps, "expected \"off\", found %s", parse_found(ps));
	ps->p->seccomp = NEED_OFF;
	return parse_next(ps);
}

int
parse_st_memory(struct parser *ps)
{
	if (parse_keyword(ps, "secret") == -1)
		return -1;
	return parse_need(ps, &ps->p->secret_memory);
}

int
parse_st_limit(struct parser *ps)
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
		if (parse_of(ps, "limit", policy_limit_words, &resource) == -1 ||
		    parse_number(ps, "limit", INT64_MAX, &l->value) == -1)
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
		return parse_error(ps, "expected a descriptor number, found %s", parse_found(ps));
	dash = strchr(text, '-');
	if (dash != NULL)
		*dash++ = '\0';
	if (!str_to_u64(text, 1u << 20, &first) ||
	    !str_to_u64(dash != NULL ? dash : text, 1u << 20, &last) || last < first) {
		parse_error(ps, "%s is no descriptor number", parse_found(ps));
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

int
parse_st_fd(struct parser *ps)
{
	struct policy_fd fd = {.line = ps->t.line, .column = ps->t.column, .source = ps->source};
	uint64_t ignored = 0;

	if (ps->p->nfds == POLICY_FDS_MAX)
		return parse_error(ps, "more than %d descriptors", POLICY_FDS_MAX);
	if (take_fd_numbers(ps, &fd) == -1 ||
	    parse_word(ps, "a name for the descriptor", fd.name, sizeof(fd.name)) == -1 ||
	    check_new_fd(ps, &fd) == -1)
		return -1;
	str_copy(fd.type, sizeof(fd.type), ps->t.text);
	if (parse_of(ps, "type of descriptor", policy_fd_type_words, &ignored) == -1)
		return -1;
	while (ps->t.kind == TOK_WORD) {
		bool *right = parse_is(ps, TOK_WORD, "read") ? &fd.read :
		    parse_is(ps, TOK_WORD, "write")          ? &fd.write :
							       NULL;

		if (right == NULL || *right)
			return parse_error(ps, "expected \"read\" or \"write\", once each, found %s",
			    parse_found(ps));
		*right = true;
		if (parse_next(ps) == -1)
			return -1;
	}
	ps->p->fds[ps->p->nfds++] = fd;
	return 0;
}

int
parse_st_default(struct parser *ps)
{
	if (parse_is(ps, TOK_WORD, "errno")) {
		ps->p->def = PACT_ERRNO;
		return parse_next(ps) == -1 ? -1 : parse_errno(ps, &ps->p->def_err);
	}
	if (!parse_is(ps, TOK_WORD, "kill-process")) {
		parse_error(ps, "expected \"kill-process\" or \"errno E\", found %s", parse_found(ps));
		diag_hint(ps->d, "a policy lists what is allowed");
		return -1;
	}
	ps->p->def = PACT_KILL;
	return parse_next(ps);
}

int
parse_st_budget(struct parser *ps)
{
	uint64_t calls = 0, unpinned = 0;

	ps->p->budget_line = ps->t.line;
	ps->p->budget_column = ps->t.column;
	if (parse_keyword(ps, "syscalls") == -1 || parse_number(ps, "number", 1000, &calls) == -1 ||
	    parse_keyword(ps, "unpinned") == -1 || parse_number(ps, "number", 1000, &unpinned) == -1)
		return -1;
	ps->p->budget_syscalls = (unsigned int)calls;
	ps->p->budget_unpinned = (unsigned int)unpinned;
	return 0;
}
