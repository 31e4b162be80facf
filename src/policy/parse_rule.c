#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "ipc/filters.h"
#include "policy/internal.h"

struct operand {
	const char *call, *arg;
	enum arg_type type;
};

int
parse_errno(struct parser *ps, int *err)
{
	*err = ps->t.kind == TOK_WORD ? const_errno(ps->t.text) : -1;
	if (*err == -1) {
		parse_error(ps, "\"%s\" is no errno", ps->t.text);
		diag_hint(ps->d, "a name such as EPERM, or a number");
		return -1;
	}
	return parse_next(ps);
}

static const struct policy_fd *
fd_by_name(const struct policy *p, const char *name)
{
	for (unsigned int i = 0; i < p->nfds; i++)
		if (strcmp(p->fds[i].name, name) == 0)
			return &p->fds[i];
	return NULL;
}

/* Does this use of the descriptor agree with the rights that its line states? */
static int
check_fd_right(struct parser *ps, const struct operand *o, const struct policy_fd *fd)
{
	char right = call_fd_right(o->call);

	if ((right != 'r' || fd->read) && (right != 'w' || fd->write))
		return 0;
	parse_error(ps, "\"%s\" is used by %s, but declared without %s", fd->name, o->call,
	    right == 'r' ? "read" : "write");
	diag_hint(ps->d, "the fd line says what a descriptor is for");
	return -1;
}

static int
unknown_value(struct parser *ps, const struct operand *o)
{
	const char *near = const_nearest(ps->t.text);

	if (ps->t.kind != TOK_WORD)
		return parse_error(ps, "expected a value for %s, found \"%s\"", o->arg, ps->t.text);
	parse_error(ps, "\"%s\" is no value for %s", ps->t.text, o->arg);
	if (o->type == ARG_FD)
		diag_hint(ps->d, "descriptors are named by an fd line above");
	else if (near != NULL)
		diag_hint(ps->d, "did you mean %s?", near);
	else
		diag_hint(ps->d, "a number, a known constant, or @NAME of a filter");
	return -1;
}

static bool
number(const char *s, int64_t *v)
{
	char *end;

	if ((*s < '0' || *s > '9') && (*s != '-' || s[1] < '0' || s[1] > '9'))
		return false;
	*v = *s == '-' ? strtoll(s, &end, 0) : (int64_t)strtoull(s, &end, 0);
	return *end == '\0';
}

/* One constant, number or @slot; -1 with a diag. */
static int
take_term(struct parser *ps, const struct operand *o, int64_t *v)
{
	const char *s = ps->t.text;
	int slot;

	if (ps->t.kind != TOK_WORD)
		return unknown_value(ps, o);
	if (*s == '@') {
		slot = filter_slot_by_name(s + 1);
		if (slot == -1 || o->type != ARG_PTR) {
			parse_error(ps, "\"%s\" is no filter that a pointer can name", s);
			diag_hint(ps->d, "@tls-proxy @login @template @login-full @pool @self");
			return -1;
		}
		*v = (int64_t)FILTER_ADDR(slot);
	} else if (!number(s, v) && !const_find(s, v)) {
		return unknown_value(ps, o);
	}
	if (o->type == ARG_FD && *v >= 0) {
		parse_error(ps, "descriptor %s has no name", s);
		diag_hint(ps->d, "write: fd %s NAME TYPE RIGHTS, and use the name here", s);
		return -1;
	}
	return parse_next(ps);
}

/* A value, or several joined by '|'. */
static int
take_value(struct parser *ps, const struct operand *o, int64_t *v)
{
	int64_t more;

	if (take_term(ps, o, v) == -1)
		return -1;
	while (parse_is(ps, TOK_PUNCT, "|")) {
		if (parse_next(ps) == -1 || take_term(ps, o, &more) == -1)
			return -1;
		*v |= more;
	}
	return 0;
}

static int
add_range(struct parser *ps, struct policy_cond *c, uint64_t first, uint64_t last)
{
	for (unsigned int i = 0; i < c->nvalues; i++)
		if (first <= c->last[i] && c->values[i] <= last)
			return parse_error(ps, "a value before \"%s\" stands there twice",
			    ps->t.text);
	if (c->nvalues == POLICY_VALUES_MAX)
		return parse_error(ps, "more than %d values", POLICY_VALUES_MAX);
	c->values[c->nvalues] = first;
	c->last[c->nvalues++] = last;
	return 0;
}

/*
 * The register's contents for a value.  The C library may hand over a negative
 * int with or without its sign extended, so both stand for it.
 */
static int
add_value(struct parser *ps, const struct operand *o, struct policy_cond *c, int64_t v)
{
	bool narrow = o->type == ARG_FD || o->type == ARG_INT || o->type == ARG_UINT;
	uint64_t u = (uint64_t)v;

	if (narrow && (v > UINT32_MAX || v < INT32_MIN)) {
		parse_error(ps, "%" PRId64 " does not fit into %s, which has 32 bits", v, o->arg);
		return -1;
	}
	if (!narrow || v >= 0)
		return add_range(ps, c, u, u);
	u &= UINT32_MAX;
	if (add_range(ps, c, u, u) == -1)
		return -1;
	return o->type == ARG_UINT ? 0 : add_range(ps, c, (uint64_t)v, (uint64_t)v);
}

/* A descriptor's name, a range N-M, or a value. */
static int
take_item(struct parser *ps, const struct operand *o, struct policy_cond *c)
{
	const struct policy_fd *fd = NULL;
	unsigned long long first, last;
	int64_t v;
	int n = 0;

	if (ps->t.kind == TOK_WORD && o->type == ARG_FD)
		fd = fd_by_name(ps->p, ps->t.text);
	if (fd != NULL) {
		if (check_fd_right(ps, o, fd) == -1 || parse_next(ps) == -1)
			return -1;
		return add_range(ps, c, (uint64_t)fd->number, (uint64_t)fd->last);
	}
	if (ps->t.kind == TOK_WORD && o->type != ARG_FD && strlen(ps->t.text) < 24 &&
	    sscanf(ps->t.text, "%llu-%llu%n", &first, &last, &n) == 2 && ps->t.text[n] == '\0') {
		if (last < first || last > UINT32_MAX)
			return parse_error(ps, "\"%s\" is no range", ps->t.text);
		return parse_next(ps) == -1 ? -1 : add_range(ps, c, first, last);
	}
	if (take_value(ps, o, &v) == -1)
		return -1;
	return add_value(ps, o, c, v);
}

static int
take_list(struct parser *ps, const struct operand *o, struct policy_cond *c)
{
	c->cmp = PCMP_IN;
	if (parse_next(ps) == -1)
		return -1;
	if (!parse_is(ps, TOK_PUNCT, "{"))
		return parse_error(ps, "expected \"{\", found \"%s\"", ps->t.text);
	do {
		if (parse_next(ps) == -1 || take_item(ps, o, c) == -1)
			return -1;
	} while (parse_is(ps, TOK_PUNCT, ","));
	if (!parse_is(ps, TOK_PUNCT, "}"))
		return parse_error(ps, "expected \",\" or \"}\", found \"%s\"", ps->t.text);
	return parse_next(ps);
}

/* ARG & MASK == VALUE */
static int
take_masked(struct parser *ps, const struct operand *o, struct policy_cond *c)
{
	int64_t mask, v;

	c->cmp = PCMP_MASKED;
	if (parse_next(ps) == -1 || take_value(ps, o, &mask) == -1)
		return -1;
	if (!parse_is(ps, TOK_PUNCT, "=="))
		return parse_error(ps, "expected \"==\", found \"%s\"", ps->t.text);
	if (parse_next(ps) == -1 || take_value(ps, o, &v) == -1)
		return -1;
	if (mask == 0 || (v & ~mask) != 0 || (c->is_int && (mask >> 32) != 0))
		return parse_error(ps, "%s: a value with bits outside of its mask, or a mask that "
		    "says nothing", o->arg);
	c->mask = (uint64_t)mask;
	c->values[0] = (uint64_t)v;
	c->nvalues = 1;
	return 0;
}

static int
take_ordered(struct parser *ps, const struct operand *o, struct policy_cond *c)
{
	static const struct word ops[] = {{"<=", PCMP_LE}, {">=", PCMP_GE}, {"<", PCMP_LT},
	    {">", PCMP_GT}, {NULL, 0}};
	const struct word *op = ps->t.kind == TOK_PUNCT ? word_find(ops, ps->t.text) : NULL;
	struct range none[POLICY_VALUES_MAX];
	int64_t v;

	if (op == NULL)
		return parse_error(ps, "expected a comparison after %s, found \"%s\"", o->arg,
		    ps->t.text);
	if (parse_next(ps) == -1 || take_value(ps, o, &v) == -1)
		return -1;
	if (v < 0 || (c->is_int && v > UINT32_MAX))
		return parse_error(ps, "%s %s %" PRId64 ": out of range", o->arg, op->name, v);
	c->cmp = (enum policy_cmp)op->value;
	c->values[0] = (uint64_t)v;
	c->nvalues = 1;
	if (cond_ranges(c, none) == 0)
		return parse_error(ps, "%s %s %" PRId64 " is never true", o->arg, op->name, v);
	return 0;
}

static int
take_cond(struct parser *ps, struct policy_rule *r)
{
	struct policy_cond *c = &r->conds[r->nconds];
	struct operand o = {.call = r->call};
	char arg[32], args[160];
	int index;

	str_copy(arg, sizeof(arg), ps->t.text);
	o.arg = arg;
	index = call_arg(r->call, arg, &o.type);
	if (index == -1) {
		call_args_text(r->call, args, sizeof(args));
		parse_error(ps, "%s has no argument \"%s\"", r->call, ps->t.text);
		diag_hint(ps->d, "its arguments: %s; the reason comes as: why \"...\"",
		    args[0] != '\0' ? args : "none");
		return -1;
	}
	if (rule_cond(r, (unsigned int)index) != NULL)
		return parse_error(ps, "%s is compared twice in one rule", arg);
	c->arg = (uint8_t)index;
	c->is_int = o.type == ARG_FD || o.type == ARG_INT || o.type == ARG_UINT;
	if (parse_next(ps) == -1)
		return -1;
	if (parse_is(ps, TOK_WORD, "in")) {
		if (take_list(ps, &o, c) == -1)
			return -1;
	} else if (parse_is(ps, TOK_PUNCT, "&")) {
		if (take_masked(ps, &o, c) == -1)
			return -1;
	} else if (parse_is(ps, TOK_PUNCT, "==")) {
		c->cmp = PCMP_IN;
		if (parse_next(ps) == -1 || take_item(ps, &o, c) == -1)
			return -1;
		if (c->nvalues == 1 && c->values[0] == c->last[0])
			c->cmp = PCMP_EQ;
	} else if (take_ordered(ps, &o, c) == -1) {
		return -1;
	}
	r->nconds++;
	return 0;
}

static int
take_call(struct parser *ps, struct policy_rule *r)
{
	const char *near;

	if (ps->t.kind != TOK_WORD || !str_copy(r->call, sizeof(r->call), ps->t.text))
		return parse_error(ps, "expected a system call, found \"%s\"", ps->t.text);
	if (!call_numbers(r->call, &r->nr_x86_64, &r->nr_aarch64)) {
		near = call_nearest(r->call);
		parse_error(ps, "\"%s\" is no system call", r->call);
		if (near != NULL)
			diag_hint(ps->d, "did you mean %s?", near);
		else
			diag_hint(ps->d, "calls that have no name yet: their number, from 424 on");
		return -1;
	}
	return parse_next(ps);
}

int
parse_rule(struct parser *ps, enum policy_action action)
{
	struct policy_rule *r = &ps->p->rules[ps->p->nrules];

	if (ps->p->nrules == POLICY_RULES_MAX)
		return parse_error(ps, "more than %d rules", POLICY_RULES_MAX);
	memset(r, 0, sizeof(*r));
	r->action = action;
	r->source = ps->source;
	if (action == PACT_ERRNO && parse_errno(ps, &r->err) == -1)
		return -1;
	r->line = ps->t.line;
	r->column = ps->t.column;
	if (take_call(ps, r) == -1)
		return -1;
	while (ps->t.kind == TOK_WORD && strcmp(ps->t.text, "why") != 0) {
		int rv;

		ps->record = r->text;
		ps->record_cap = sizeof(r->text);
		rv = take_cond(ps, r);
		ps->record = NULL;
		if (rv == -1)
			return -1;
	}
	if (!parse_is(ps, TOK_WORD, "why")) {
		parse_error(ps, "%s: this rule has no reason", r->call);
		diag_hint(ps->d, "end it with: why \"what needs this call\"");
		return -1;
	}
	if (parse_why(ps, r->why, sizeof(r->why)) == -1)
		return -1;
	ps->p->nrules++;
	return 0;
}
