/*
 * The difference program: with the filter of `from` in force, the shortest
 * sieve that leaves what `to` allows.  What `from` denies it need not deny
 * again, and a condition that `from` already imposes it need not repeat; it
 * checks neither architecture nor x32, which `from` kills.  Written by hand
 * because libseccomp cannot leave these out: such a program is installed once
 * for each connection.  Whatever comes out is proven against the text.
 */
#include <stdlib.h>
#include <string.h>

#include "policy/code.h"
#include "policy/eval.h"
#include "policy/internal.h"

#define CALLS_MAX 64

/* What is left to check of one call. */
struct residue {
	int nr;
	unsigned int nrules;
	struct policy_rule *rules; /* with the implied conditions taken out */
	int label;                 /* of its block; shared by equal residues */
};

struct job {
	const struct policy *from, *to;
	enum policy_arch arch;
	struct diag *d;
	struct code c;
	struct residue res[CALLS_MAX];
	unsigned int nres;
	struct policy_rule pool[CALLS_MAX];
	unsigned int npool;
	struct {
		uint32_t value;
		int label;
	} rets[8];
	unsigned int nrets;
};

static int
nr_of(const struct policy_rule *r, enum policy_arch arch)
{
	return arch == PARCH_X86_64 ? r->nr_x86_64 : r->nr_aarch64;
}

static size_t
word_offset(unsigned int arg, bool upper)
{
	return offsetof(struct seccomp_data, args) + 8 * arg + (upper ? 4 : 0);
}

static uint32_t
action_ret(enum policy_action action, int err)
{
	switch (action) {
	case PACT_ALLOW:
		return SECCOMP_RET_ALLOW;
	case PACT_LOG:
		return SECCOMP_RET_LOG;
	case PACT_ERRNO:
		return SECCOMP_RET_ERRNO | ((uint32_t)err & SECCOMP_RET_DATA);
	default:
		return SECCOMP_RET_KILL_PROCESS;
	}
}

/* The label of the return instruction with this value; they are written last. */
static int
ret_label(struct job *j, uint32_t value)
{
	for (unsigned int i = 0; i < j->nrets; i++)
		if (j->rets[i].value == value)
			return j->rets[i].label;
	if (j->nrets == sizeof(j->rets) / sizeof(j->rets[0])) {
		j->c.full = true;
		return 0;
	}
	j->rets[j->nrets].value = value;
	j->rets[j->nrets].label = code_label(&j->c);
	return j->rets[j->nrets++].label;
}

/* Every rule of `from` for this call holds the argument within c. */
static bool
implied(const struct job *j, int nr, const struct policy_cond *c)
{
	for (unsigned int i = 0; i < j->from->nrules; i++) {
		const struct policy_rule *r = &j->from->rules[i];
		const struct policy_cond *have = rule_cond(r, c->arg);

		if (nr_of(r, j->arch) == nr && (have == NULL || !cond_subset(have, c)))
			return false;
	}
	return true;
}

/* `from` lets the argument have 32 bits only. */
static bool
upper_is_zero(const struct job *j, int nr, unsigned int arg)
{
	const struct policy_cond low = {.arg = (uint8_t)arg, .cmp = PCMP_LE,
	    .values = {UINT32_MAX}, .nvalues = 1};

	return implied(j, nr, &low);
}

static void
emit_masked(struct code *c, const struct policy_cond *cond, bool upper_known, int no)
{
	uint64_t mask = cond_mask(cond), v = cond->values[0];

	if (mask >> 32 != 0 && !upper_known) {
		code_load(c, word_offset(cond->arg, true));
		if (mask >> 32 != UINT32_MAX)
			code_emit(c, BPF_ALU | BPF_AND | BPF_K, (uint32_t)(mask >> 32), CODE_NEXT, CODE_NEXT);
		code_test(c, BPF_JEQ, (uint32_t)(v >> 32), CODE_NEXT, no);
	}
	code_load(c, word_offset(cond->arg, false));
	if ((uint32_t)mask != UINT32_MAX)
		code_emit(c, BPF_ALU | BPF_AND | BPF_K, (uint32_t)mask, CODE_NEXT, CODE_NEXT);
	code_test(c, BPF_JEQ, (uint32_t)v, CODE_NEXT, no);
}

/* Ranges below 2^32, rising: to yes or no. */
static void
emit_low_ranges(struct code *c, const struct range *r, int n, int yes, int no)
{
	for (int i = 0; i < n; i++) {
		bool last = i == n - 1;

		if (r[i].first == r[i].last) {
			code_test(c, BPF_JEQ, (uint32_t)r[i].first, yes, last ? no : CODE_NEXT);
			continue;
		}
		if (r[i].first != 0)
			code_test(c, BPF_JGE, (uint32_t)r[i].first, CODE_NEXT, no);
		code_test(c, BPF_JGT, (uint32_t)r[i].last, last ? no : CODE_NEXT, yes);
	}
}

/* False where the range of values is not of a kind that this can express. */
static bool
emit_cond(struct job *j, int nr, const struct policy_cond *cond, int no)
{
	bool upper_known = upper_is_zero(j, nr, cond->arg);
	struct range r[POLICY_VALUES_MAX];
	int n = cond_ranges(cond, r), yes = code_label(&j->c);
	uint32_t upper;

	if (n == -1) {
		emit_masked(&j->c, cond, upper_known, no);
		j->c.at[yes] = (int)j->c.n;
		return true;
	}
	upper = (uint32_t)(r[0].first >> 32);
	for (int i = 0; i < n; i++)
		if (r[i].first >> 32 != upper || r[i].last >> 32 != upper)
			return false;
	if (!upper_known) {
		code_load(&j->c, word_offset(cond->arg, true));
		code_test(&j->c, BPF_JEQ, upper, CODE_NEXT, no);
	}
	code_load(&j->c, word_offset(cond->arg, false));
	emit_low_ranges(&j->c, r, n, yes, no);
	j->c.at[yes] = (int)j->c.n;
	return true;
}

/* One call's rules, one after the other; what satisfies none meets the default. */
static int
emit_block(struct job *j, const struct residue *res)
{
	int none = ret_label(j, action_ret(j->to->def, j->to->def_err));

	j->c.at[res->label] = (int)j->c.n;
	for (unsigned int i = 0; i < res->nrules; i++) {
		const struct policy_rule *r = &res->rules[i];
		int no = i + 1 == res->nrules ? none : code_label(&j->c);
		int yes = ret_label(j, action_ret(r->action, r->err));

		for (unsigned int k = 0; k < r->nconds; k++) {
			if (emit_cond(j, res->nr, &r->conds[k], no))
				continue;
			diag_set(j->d, rule_file(j->to, r), r->line, r->column,
			    "%s: %s cannot be narrowed to this from %s", r->call, j->to->name,
			    j->from->name);
			diag_hint(j->d, "compare values below 2^32, or the same in both policies");
			return -1;
		}
		code_emit(&j->c, BPF_JMP | BPF_JA, 0, yes, yes);
		if (no != none)
			j->c.at[no] = (int)j->c.n;
	}
	return 0;
}

/* Do both texts decide alike for every argument of this call? */
static bool
same_decision(const struct job *j, int nr, struct policy_points *pt)
{
	struct seccomp_data sd = {.nr = nr, .arch = policy_audit_arch(j->arch)};
	unsigned int pos[POLICY_ARGS] = {0};

	policy_points_init(pt);
	policy_points_of(pt, j->from, j->arch, nr);
	policy_points_of(pt, j->to, j->arch, nr);
	policy_points_ready(pt);
	policy_points_first(pt, &sd);
	do {
		if (policy_decide(j->from, j->arch, &sd) != policy_decide(j->to, j->arch, &sd))
			return false;
	} while (policy_points_next(pt, pos, &sd));
	return !pt->full;
}

static bool
same_block(const struct residue *a, const struct residue *b)
{
	if (a->nrules != b->nrules)
		return false;
	for (unsigned int i = 0; i < a->nrules; i++) {
		const struct policy_rule *x = &a->rules[i], *y = &b->rules[i];

		if (x->action != y->action || x->err != y->err || x->nconds != y->nconds ||
		    memcmp(x->conds, y->conds, x->nconds * sizeof(x->conds[0])) != 0)
			return false;
	}
	return true;
}

/* Copy the rules of one call of `to`, without what `from` imposes anyway. */
static void
residue_rules(struct job *j, struct residue *res)
{
	res->rules = &j->pool[j->npool];
	for (unsigned int i = 0; i < j->to->nrules; i++) {
		const struct policy_rule *r = &j->to->rules[i];
		struct policy_rule *copy = &j->pool[j->npool];

		if (nr_of(r, j->arch) != res->nr)
			continue;
		if (j->npool == CALLS_MAX) {
			j->c.full = true;
			return;
		}
		*copy = *r;
		copy->nconds = 0;
		for (unsigned int k = 0; k < r->nconds; k++)
			if (!implied(j, res->nr, &r->conds[k]))
				copy->conds[copy->nconds++] = r->conds[k];
		j->npool++;
		res->nrules++;
	}
}

static void
collect(struct job *j, struct policy_points *pt)
{
	for (unsigned int i = 0; i < j->to->nrules; i++) {
		struct residue *res = &j->res[j->nres];
		int nr = nr_of(&j->to->rules[i], j->arch);
		unsigned int k = 0;

		while (k < j->nres && j->res[k].nr != nr)
			k++;
		if (nr == -1 || k < j->nres)
			continue;
		if (j->nres == CALLS_MAX) {
			j->c.full = true;
			return;
		}
		memset(res, 0, sizeof(*res));
		res->nr = nr;
		res->label = -1;
		if (same_decision(j, nr, pt))
			res->label = ret_label(j, SECCOMP_RET_ALLOW);
		else
			residue_rules(j, res);
		j->nres++;
	}
}

static int
generate(struct job *j)
{
	int none = ret_label(j, action_ret(j->to->def, j->to->def_err));

	for (unsigned int i = 0; i < j->nres; i++) {
		for (unsigned int k = 0; j->res[i].nrules > 0 && k < i; k++)
			if (same_block(&j->res[i], &j->res[k]))
				j->res[i].label = j->res[k].label;
		if (j->res[i].label == -1)
			j->res[i].label = code_label(&j->c);
	}
	code_load(&j->c, offsetof(struct seccomp_data, nr));
	for (unsigned int i = 0; i < j->nres; i++)
		code_test(&j->c, BPF_JEQ, (uint32_t)j->res[i].nr, j->res[i].label,
		    i + 1 == j->nres ? none : CODE_NEXT);
	for (unsigned int i = 0; i < j->nres; i++) {
		bool done = j->res[i].nrules == 0;

		for (unsigned int k = 0; k < i; k++)
			done = done || j->res[k].label == j->res[i].label;
		if (!done && emit_block(j, &j->res[i]) == -1)
			return -1;
	}
	for (unsigned int i = 0; i < j->nrets; i++) {
		j->c.at[j->rets[i].label] = (int)j->c.n;
		code_emit(&j->c, BPF_RET | BPF_K, j->rets[i].value, CODE_NEXT, CODE_NEXT);
	}
	return 0;
}

int
policy_diff_with(const struct policy *from, const struct policy_bpf *from_bpf,
    const struct policy *to, enum policy_arch arch, struct policy_bpf *out, struct diag *d)
{
	const struct policy_bpf *stack[2] = {from_bpf, out};
	struct policy_points *pt = malloc(sizeof(*pt));
	struct job *j = calloc(1, sizeof(*j));
	int rv = -1;

	memset(out, 0, sizeof(*out));
	if (j == NULL || pt == NULL) {
		diag_set(d, to->file, 0, 0, "out of memory");
		goto out;
	}
	j->from = from;
	j->to = to;
	j->arch = arch;
	j->d = d;
	collect(j, pt);
	if (!j->c.full && generate(j) == -1)
		goto out;
	if (!code_assemble(&j->c, out))
		diag_set(d, to->file, 0, 0, "the difference between %s and %s is too large",
		    from->name, to->name);
	else if (policy_bpf_finish(to, out, d) == 0 && policy_prove(stack, 2, to, arch, d) == 0)
		rv = 0;
out:
	if (rv == -1)
		policy_bpf_free(out);
	free(j);
	free(pt);
	return rv;
}

int
policy_compile_diff(const struct policy *from, const struct policy *to, enum policy_arch arch,
    struct policy_bpf *out, struct diag *d)
{
	struct policy_bpf whole;
	int rv;

	memset(out, 0, sizeof(*out));
	if (to->seccomp == NEED_OFF)
		return 0;
	if (from->seccomp == NEED_OFF)
		return policy_compile(to, arch, out, d);
	if (policy_check_chain(from, to, d) == -1 || policy_compile(from, arch, &whole, d) == -1)
		return -1;
	rv = policy_diff_with(from, &whole, to, arch, out, d);
	policy_bpf_free(&whole);
	return rv;
}
