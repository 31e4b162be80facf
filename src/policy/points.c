/*
 * Which argument values to try.  A text and a program look at arguments only
 * through comparisons with constants, a program at one 32-bit word at a time.
 * Each word's comparisons cut its values into cells within which nothing changes:
 * ranges between neighbouring constants, and, where a few bits are looked at by
 * themselves (prot & PROT_EXEC), one for each way in which these can stand.  The
 * smallest value of every cell, and every combination of the two halves and of
 * all arguments, stand for all values.
 */
#include <string.h>

#include "policy/eval.h"
#include "policy/internal.h"

#define FREE_BITS_MAX 10 /* of several masks together: 2^10 ways to stand */

void
policy_points_init(struct policy_points *pt)
{
	for (unsigned int i = 0; i < 2 * POLICY_ARGS; i++)
		pt->word[i].nstarts = pt->word[i].nmasks = pt->word[i].nvalues = 0;
	memset(pt->n, 0, sizeof(pt->n));
	pt->full = false;
}

/* Adds v to a set; false if there is no room. */
static bool
set_add(uint32_t *set, unsigned int *n, unsigned int max, uint32_t v)
{
	for (unsigned int i = 0; i < *n; i++)
		if (set[i] == v)
			return true;
	if (*n == max)
		return false;
	set[(*n)++] = v;
	return true;
}

/* From v on something may be different. */
static void
starts_at(struct policy_points *pt, unsigned int word, uint32_t v)
{
	struct policy_word *w = &pt->word[word];

	if (!set_add(w->start, &w->nstarts, POLICY_WORD_MAX, v))
		pt->full = true;
}

/* A comparison with k of what mask leaves. */
static void
compared(struct policy_points *pt, unsigned int word, uint32_t mask, uint32_t k)
{
	struct policy_word *w = &pt->word[word];
	uint32_t low = ~mask;

	starts_at(pt, word, 0);
	if ((low & (low + 1)) == 0) { /* the upper bits, or all: ranges */
		starts_at(pt, word, k & mask);
		starts_at(pt, word, (k | low) + 1);
	} else if (!set_add(w->mask, &w->nmasks, POLICY_MASKS_MAX, mask) ||
	    !set_add(w->value, &w->nvalues, POLICY_WORD_MAX, k & mask)) {
		pt->full = true;
	}
}

/* A range of 64-bit values begins at v: what is between the corners that the
 * words' own borders make has one of these in its corner. */
static void
begins_at(struct policy_points *pt, unsigned int arg, uint64_t v)
{
	unsigned int low = 2 * arg, high = low + 1;

	starts_at(pt, low, 0);
	starts_at(pt, high, 0);
	starts_at(pt, low, (uint32_t)v);
	starts_at(pt, high, (uint32_t)(v >> 32));
	starts_at(pt, high, (uint32_t)(v >> 32) + 1);
}

static void
points_of_cond(struct policy_points *pt, const struct policy_cond *c)
{
	struct range r[POLICY_VALUES_MAX];
	int n = cond_ranges(c, r);

	begins_at(pt, c->arg, 0);
	begins_at(pt, c->arg, (uint64_t)UINT32_MAX << 32); /* what sign extension looks like */
	for (int i = 0; i < n; i++) {
		begins_at(pt, c->arg, r[i].first);
		begins_at(pt, c->arg, r[i].last + 1);
	}
	if (n != -1)
		return;
	if ((uint32_t)cond_mask(c) != 0)
		compared(pt, 2u * c->arg, (uint32_t)cond_mask(c), (uint32_t)c->values[0]);
	if (cond_mask(c) >> 32 != 0)
		compared(pt, 2u * c->arg + 1, (uint32_t)(cond_mask(c) >> 32),
		    (uint32_t)(c->values[0] >> 32));
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

/* ---- from comparisons to values ---------------------------------------------- */

/* The smallest value from a on whose bits in mask stand as in v; false if there
 * is none. */
static bool
next_with(uint32_t a, uint32_t mask, uint32_t v, uint32_t *out)
{
	if ((a & mask) == v) {
		*out = a;
		return true;
	}
	/* Above bit i as in a, there 1 instead of 0, below it as small as can be. */
	for (unsigned int i = 0; i < 32; i++) {
		uint32_t bit = UINT32_C(1) << i, above = ~(bit | (bit - 1));

		if ((a & bit) != 0 || ((mask & bit) != 0 && (v & bit) == 0) ||
		    ((a ^ v) & mask & above) != 0)
			continue;
		*out = (a & above) | bit | (v & (bit - 1));
		return true;
	}
	return false;
}

struct values {
	uint32_t v[POLICY_POINTS_MAX];
	unsigned int n;
};

/* With these bits standing so: one value from each start on. */
static bool
values_with(const struct policy_word *w, uint32_t mask, uint32_t bits, struct values *out)
{
	uint32_t v;

	for (unsigned int i = 0; i < w->nstarts; i++)
		if (next_with(w->start[i], mask, bits, &v) &&
		    !set_add(out->v, &out->n, POLICY_POINTS_MAX, v))
			return false;
	return true;
}

/* One mask: it stands as one of the values, or with one bit different. */
static bool
values_of_mask(const struct policy_word *w, struct values *out)
{
	uint32_t mask = w->mask[0];

	for (unsigned int i = 0; i < w->nvalues; i++) {
		if (!values_with(w, mask, w->value[i], out))
			return false;
		for (uint32_t left = mask; left != 0; left &= left - 1)
			if (!values_with(w, mask, w->value[i] ^ (left & -left), out))
				return false;
	}
	return true;
}

static bool
values_of(const struct policy_word *w, struct values *out)
{
	uint32_t mask = 0, bits = 0;

	out->n = 0;
	if (w->nmasks == 0)
		return values_with(w, 0, 0, out);
	if (w->nmasks == 1)
		return values_of_mask(w, out);
	for (unsigned int i = 0; i < w->nmasks; i++)
		mask |= w->mask[i];
	if (__builtin_popcount(mask) > FREE_BITS_MAX)
		return false;
	do {
		if (!values_with(w, mask, bits, out))
			return false;
		bits = (bits - mask) & mask; /* the next way to stand */
	} while (bits != 0);
	return true;
}

void
policy_points_ready(struct policy_points *pt)
{
	static struct values low, high; /* the supervisor and the tools have one thread */

	for (unsigned int arg = 0; arg < POLICY_ARGS; arg++) {
		struct policy_word *w = &pt->word[2 * arg];

		pt->n[arg] = 0;
		if (w[0].nstarts == 0 && w[1].nstarts == 0)
			continue; /* nobody looks at it */
		starts_at(pt, 2 * arg, 0);
		starts_at(pt, 2 * arg + 1, 0);
		if (!values_of(&w[0], &low) || !values_of(&w[1], &high) ||
		    low.n * high.n > POLICY_POINTS_MAX) {
			pt->full = true;
			return;
		}
		for (unsigned int i = 0; i < high.n; i++)
			for (unsigned int k = 0; k < low.n; k++)
				pt->v[arg][pt->n[arg]++] = (uint64_t)high.v[i] << 32 | low.v[k];
	}
}

/* ---- walking through a program --------------------------------------------------- */

struct walk {
	const struct policy_bpf *b;
	struct policy_points *pt;
	uint32_t nr, arch;
	bool seen[POLICY_INSN_MAX + 1][2 * POLICY_ARGS + 1];
};

/* What the accumulator holds: a known value, or a word of an argument. */
struct acc {
	int word; /* -1: known */
	uint32_t value, mask;
};

static bool
acc_load(const struct walk *w, struct acc *a, uint32_t offset)
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
word_jump(struct walk *w, const struct acc *a, const struct sock_filter *f)
{
	unsigned int word = (unsigned int)a->word;
	uint32_t low = ~a->mask;

	if (BPF_OP(f->code) == BPF_JSET) {
		if ((a->mask & f->k) != 0)
			compared(w->pt, word, a->mask & f->k, 0);
	} else if (a->mask == 0) {
		return; /* nothing is left of it */
	} else {
		compared(w->pt, word, a->mask, f->k);
		/* k itself may be no value that the mask leaves, for < and > */
		if (BPF_OP(f->code) != BPF_JEQ && (f->k & low) != 0)
			w->pt->full = true;
	}
}

static void
walk_from(struct walk *w, size_t pc, struct acc a)
{
	for (; pc < w->b->n && !w->pt->full; pc++) {
		const struct sock_filter *f = &w->b->insn[pc];

		if (a.mask == UINT32_MAX) {
			if (w->seen[pc][a.word + 1])
				return;
			w->seen[pc][a.word + 1] = true;
		}
		if (BPF_CLASS(f->code) == BPF_RET) {
			w->pt->full = BPF_RVAL(f->code) != BPF_K;
			return;
		}
		if (f->code == (BPF_LD | BPF_W | BPF_ABS)) {
			w->pt->full = !acc_load(w, &a, f->k);
		} else if (f->code == (BPF_ALU | BPF_AND | BPF_K)) {
			a.mask &= f->k;
			a.value &= f->k;
		} else if (f->code == (BPF_JMP | BPF_JA)) {
			pc += f->k;
		} else if (BPF_CLASS(f->code) != BPF_JMP || BPF_SRC(f->code) != BPF_K) {
			w->pt->full = true;
		} else if (a.word == -1) {
			pc += known_jump(f, a.value) ? f->jt : f->jf;
		} else {
			word_jump(w, &a, f);
			walk_from(w, pc + 1 + f->jt, a);
			pc += f->jf;
		}
	}
}

void
policy_points_of_bpf(struct policy_points *pt, const struct policy_bpf *b, uint32_t audit_arch,
    int nr)
{
	static struct walk w; /* see policy_points_ready */

	if (b->n > POLICY_INSN_MAX) {
		pt->full = true;
		return;
	}
	memset(w.seen, 0, sizeof(w.seen[0]) * b->n);
	w.b = b;
	w.pt = pt;
	w.nr = (uint32_t)nr;
	w.arch = audit_arch;
	walk_from(&w, 0, (struct acc){.word = -1, .mask = UINT32_MAX});
}

/* ---- every combination -------------------------------------------------------- */

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
