#include <string.h>

#include "policy/internal.h"

const char *
rule_file(const struct policy *p, const struct policy_rule *r)
{
	return p->source[r->source];
}

static int
rule_error(const struct policy *p, const struct policy_rule *r, const struct policy_rule *other,
    struct diag *d, const char *what)
{
	diag_set(d, rule_file(p, r), r->line, r->column, "%s: %s %s:%u", r->call, what,
	    rule_file(p, other), other->line);
	return -1;
}

/* Two rules for one call: neither may make the other moot, and where they
 * differ in what they do, no arguments may satisfy both. */
static int
check_pair(const struct policy *p, const struct policy_rule *a, const struct policy_rule *b,
    struct diag *d)
{
	bool same = a->action == b->action && a->err == b->err;

	if (same && rule_subset(b, a)) {
		rule_error(p, b, a, d, "this rule says nothing new after");
		diag_hint(d, "remove one of the two, or make the earlier one narrower");
		return -1;
	}
	if (same && rule_subset(a, b)) {
		rule_error(p, a, b, d, "this rule is moot, it is part of");
		diag_hint(d, "remove one of the two, or make the later one narrower");
		return -1;
	}
	if (!same && !rule_disjoint(a, b)) {
		rule_error(p, b, a, d, "some arguments satisfy this rule and another action in");
		diag_hint(d, "one argument has to tell them apart");
		return -1;
	}
	return 0;
}

static int
check_rules(const struct policy *p, struct diag *d)
{
	for (unsigned int i = 0; i < p->nrules; i++) {
		const struct policy_rule *r = &p->rules[i];

		if (r->action == PACT_ERRNO && p->def == PACT_ERRNO && r->err == p->def_err) {
			diag_set(d, rule_file(p, r), r->line, r->column,
			    "%s: this rule is moot, the default is the same errno", r->call);
			diag_hint(d, "remove it");
			return -1;
		}
		for (unsigned int j = 0; j < i; j++)
			if (strcmp(p->rules[j].call, r->call) == 0 &&
			    check_pair(p, &p->rules[j], r, d) == -1)
				return -1;
	}
	return 0;
}

/* A rule uses a descriptor if it names it or leaves a descriptor argument open. */
static bool
rule_uses_fd(const struct policy_rule *r, const struct policy_fd *fd)
{
	enum arg_type type;

	for (unsigned int i = 0; call_arg_name(r->call, i, &type) != NULL; i++) {
		const struct policy_cond *c = rule_cond(r, i);

		if (type == ARG_FD && (c == NULL || cond_has(c, (uint64_t)fd->number)))
			return true;
		/* close_range and its like name descriptors by number */
		if (c != NULL && strncmp(r->call, "close", 5) == 0 &&
		    cond_has(c, (uint64_t)fd->number))
			return true;
	}
	return false;
}

static int
check_fds(const struct policy *p, struct diag *d)
{
	if (p->seccomp == NEED_OFF)
		return 0;
	for (unsigned int i = 0; i < p->nfds; i++) {
		bool used = false;

		for (unsigned int j = 0; j < p->nrules && !used; j++)
			used = rule_uses_fd(&p->rules[j], &p->fds[i]);
		if (!used) {
			diag_set(d, p->source[p->fds[i].source], p->fds[i].line, p->fds[i].column,
			    "descriptor %d, \"%s\", is used by no rule", p->fds[i].number,
			    p->fds[i].name);
			diag_hint(d, "remove its fd line, or allow what needs it");
			return -1;
		}
	}
	return 0;
}

/* Distinct calls that are let through, and those of them without any condition. */
void
policy_count(const struct policy *p, unsigned int *allowed, unsigned int *unpinned)
{
	*allowed = *unpinned = 0;
	for (unsigned int i = 0; i < p->nrules; i++) {
		const struct policy_rule *r = &p->rules[i];
		bool again = false;

		if (r->action == PACT_ERRNO)
			continue;
		for (unsigned int j = 0; j < i && !again; j++)
			again = p->rules[j].action != PACT_ERRNO &&
			    strcmp(p->rules[j].call, r->call) == 0;
		*allowed += !again;
		*unpinned += r->nconds == 0;
	}
}

static int
check_budget(const struct policy *p, struct diag *d)
{
	unsigned int allowed, unpinned;

	if (p->seccomp == NEED_OFF && p->nrules == 0)
		return 0;
	policy_count(p, &allowed, &unpinned);
	if (allowed == 0) {
		diag_set(d, p->file, p->budget_line, p->budget_column,
		    "no rule allows anything: the process could not even exit");
		diag_hint(d, "allow exit_group");
		return -1;
	}
	if (allowed <= p->budget_syscalls && unpinned <= p->budget_unpinned)
		return 0;
	diag_set(d, p->file, p->budget_line, p->budget_column,
	    "%u system calls, %u of them unpinned: over the budget of %u and %u",
	    allowed, unpinned, p->budget_syscalls, p->budget_unpinned);
	diag_hint(d, "remove or pin a call; raise the budget only with a reason");
	return -1;
}

int
policy_check(const struct policy *p, struct diag *d)
{
	if (check_rules(p, d) == -1 || check_fds(p, d) == -1)
		return -1;
	return check_budget(p, d);
}
