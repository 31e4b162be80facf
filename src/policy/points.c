/*
 * Which argument values to try.  A text and a program look at arguments only
 * through comparisons with constants; between two neighbouring constants nothing
 * changes.  So one value on each side of every constant, for each 32-bit word
 * that a program loads and for each 64-bit comparison of a text, stands for all.
 */
#include <string.h>

#include "policy/eval.h"
#include "policy/internal.h"

#define WORDS (2 * POLICY_ARGS)
#define WORD_POINTS 256

void
policy_points_init(struct policy_points *pt)
{
	memset(pt->n, 0, sizeof(pt->n));
	pt->full = false;
}

void
policy_points_add(struct policy_points *pt, unsigned int arg, uint64_t v)
{
	for (unsigned int i = 0; i < pt->n[arg]; i++)
		if (pt->v[arg][i] == v)
			return;
	if (pt->n[arg] == POLICY_POINTS_MAX)
		pt->full = true;
	else
		pt->v[arg][pt->n[arg]++] = v;
}

static void
add_both_halves(struct policy_points *pt, unsigned int arg, uint64_t v)
{
	policy_points_add(pt, arg, v);
	policy_points_add(pt, arg, v ^ UINT64_C(1) << 32);
	policy_points_add(pt, arg, v | ~(uint64_t)UINT32_MAX);
}

static void
points_of_cond(struct policy_points *pt, const struct policy_cond *c)
{
	struct range r[POLICY_VALUES_MAX];
	int n = cond_ranges(c, r);

	policy_points_add(pt, c->arg, 0);
	policy_points_add(pt, c->arg, UINT64_MAX);
	for (int i = 0; i < n; i++) {
		add_both_halves(pt, c->arg, r[i].first);
		policy_points_add(pt, c->arg, r[i].first - 1);
		policy_points_add(pt, c->arg, r[i].last);
		policy_points_add(pt, c->arg, r[i].last + 1);
	}
	if (n != -1)
		return;
	add_both_halves(pt, c->arg, c->values[0]);
	policy_points_add(pt, c->arg, c->values[0] | ~cond_mask(c));
	for (unsigned int bit = 0; bit < 64; bit++)
		if ((c->mask >> bit & 1) != 0)
			policy_points_add(pt, c->arg, c->values[0] ^ UINT64_C(1) << bit);
}

void
policy_points_of(struct policy_points *pt, const struct policy *p, enum policy_arch arch, int nr)
{
	for (unsigned int i = 0; i < p->nrules; i++) {
		const struct policy_rule *r = &p->rules[i];

		if ((arch == PARCH_X86_64 ? r->nr_x86_64 : r->nr_aarch64) != nr)
			continue;
		for (unsigned int j = 0; j < r->nconds; j++)
			points_of_cond(pt, &r->conds[j]);
	}
}

/* What a walk through a program has found out. */
struct walk {
	const struct policy_bpf *b;
	uint32_t nr, arch;
	uint32_t v[WORDS][WORD_POINTS];
	unsigned int n[WORDS];
	bool seen[POLICY_INSN_MAX + 1][WORDS + 1];
	bool lost; /* the program does something that this walk does not follow */
};

/* What the accumulator holds: a known value, or a word of an argument. */
struct acc {
	int word; /* -1: known */
	uint32_t value, mask;
};

static void
word_add(struct walk *w, int word, uint32_t v)
{
	for (unsigned int i = 0; i < w->n[word]; i++)
		if (w->v[word][i] == v)
			return;
	if (w->n[word] == WORD_POINTS)
		w->lost = true;
	else
		w->v[word][w->n[word]++] = v;
}

/* Values on every side of a comparison with k of what is left of word by mask. */
static void
word_compared(struct walk *w, int word, uint32_t mask, uint32_t k)
{
	uint32_t low = ~mask;

	word_add(w, word, 0);
	word_add(w, word, UINT32_MAX);
	word_add(w, word, k);
	word_add(w, word, k | low);
	if ((low & (low + 1)) == 0) { /* upper bits: a range of values */
		word_add(w, word, k - 1);
		word_add(w, word, (k | low) + 1);
		return;
	}
	for (unsigned int bit = 0; bit < 32; bit++)
		if ((mask >> bit & 1) != 0)
			word_add(w, word, k ^ UINT32_C(1) << bit);
}

static bool
acc_load(struct walk *w, struct acc *a, uint32_t offset)
{
	a->mask = UINT32_MAX;
	a->word = -1;
	if (offset == offsetof(struct seccomp_data, nr)) {
		a->value = w->nr;
	} else if (offset == offsetof(struct seccomp_data, arch)) {
		a->value = w->arch;
	} else if (offset >= offsetof(struct seccomp_data, args) && (offset & 3) == 0 &&
	    offset < sizeof(struct seccomp_data)) {
		a->word = (int)(offset - offsetof(struct seccomp_data, args)) / 4;
	} else {
		return false;
	}
	return true;
}

static bool
known_jump(const struct sock_filter *f, uint32_t v)
{
	switch (BPF_OP(f->code)) {
	case BPF_JEQ:
		return v == f->k;
	case BPF_JGT:
		return v > f->k;
	case BPF_JGE:
		return v >= f->k;
	default:
		return (v & f->k) != 0;
	}
}

static void
walk_from(struct walk *w, size_t pc, struct acc a)
{
	for (; pc < w->b->n && !w->lost; pc++) {
		const struct sock_filter *f = &w->b->insn[pc];

		if (w->seen[pc][a.word + 1] && a.mask == UINT32_MAX)
			return;
		w->seen[pc][a.word + 1] = true;
		if (BPF_CLASS(f->code) == BPF_RET) {
			w->lost = w->lost || BPF_RVAL(f->code) != BPF_K;
			return;
		}
		if (f->code == (BPF_LD | BPF_W | BPF_ABS)) {
			w->lost = !acc_load(w, &a, f->k);
		} else if (f->code == (BPF_ALU | BPF_AND | BPF_K)) {
			a.mask &= f->k;
			a.value &= f->k;
		} else if (f->code == (BPF_JMP | BPF_JA)) {
			pc += f->k;
		} else if (BPF_CLASS(f->code) != BPF_JMP || BPF_SRC(f->code) != BPF_K) {
			w->lost = true;
		} else if (a.word == -1) {
			pc += known_jump(f, a.value) ? f->jt : f->jf;
		} else {
			if (BPF_OP(f->code) == BPF_JSET)
				word_compared(w, a.word, a.mask & f->k, 0);
			else
				word_compared(w, a.word, a.mask, f->k);
			walk_from(w, pc + 1 + f->jt, a);
			pc += f->jf;
		}
	}
}

void
policy_points_of_bpf(struct policy_points *pt, const struct policy_bpf *b, uint32_t audit_arch,
    int nr)
{
	static struct walk w; /* 20 KB; the supervisor and the tools have one thread */

	memset(w.n, 0, sizeof(w.n));
	memset(w.seen, 0, sizeof(w.seen[0]) * (b->n < POLICY_INSN_MAX ? b->n : POLICY_INSN_MAX));
	w.lost = false;
	w.b = b;
	w.nr = (uint32_t)nr;
	w.arch = audit_arch;
	if (b->n > POLICY_INSN_MAX) {
		pt->full = true;
		return;
	}
	walk_from(&w, 0, (struct acc){.word = -1, .mask = UINT32_MAX});
	if (w.lost)
		pt->full = true;
	for (unsigned int arg = 0; arg < POLICY_ARGS; arg++) {
		uint32_t *low = w.v[2 * arg], *high = w.v[2 * arg + 1];

		if (w.n[2 * arg] > 0 && w.n[2 * arg + 1] == 0)
			word_add(&w, (int)(2 * arg + 1), 0);
		if (w.n[2 * arg + 1] > 0 && w.n[2 * arg] == 0)
			word_add(&w, (int)(2 * arg), 0);
		for (unsigned int i = 0; i < w.n[2 * arg]; i++)
			for (unsigned int j = 0; j < w.n[2 * arg + 1]; j++)
				policy_points_add(pt, arg, (uint64_t)high[j] << 32 | low[i]);
	}
}

void
policy_points_first(const struct policy_points *pt, struct seccomp_data *sd)
{
	for (unsigned int i = 0; i < POLICY_ARGS; i++)
		sd->args[i] = pt->n[i] > 0 ? pt->v[i][0] : 0;
}

bool
policy_points_next(const struct policy_points *pt, unsigned int pos[POLICY_ARGS],
    struct seccomp_data *sd)
{
	for (unsigned int i = 0; i < POLICY_ARGS; i++) {
		if (pos[i] + 1 < pt->n[i]) {
			sd->args[i] = pt->v[i][++pos[i]];
			return true;
		}
		pos[i] = 0;
		sd->args[i] = pt->n[i] > 0 ? pt->v[i][0] : 0;
	}
	return false;
}
