/*
 * A walk along every path that a program can take for one call: number and
 * architecture are known, arguments are not.  Where a jump depends on a word of
 * an argument both ways are taken, and the values on either side are noted: what
 * is left undecided by the walk is decided by trying these.
 */
#include "policy/pass.h"

#include <string.h>

#include "policy/eval.h"

#define WORDS (2 * POLICY_ARGS)
#define WORD_POINTS 128
#define SEEN_BITS 14
#define TRIES_MAX (1u << 18)
#define INSN_MAX 4096 /* BPF_MAXINSNS */

/* What the accumulator holds. */
struct acc {
	enum {
		ACC_KNOWN,
		ACC_WORD,   /* word & mask */
		ACC_OPAQUE  /* something computed that this walk does not follow */
	} kind;
	uint32_t value, mask;
	unsigned int word;
};

struct walk {
	const struct policy_bpf *b;
	uint32_t nr, arch;
	int least, most;        /* strictness of the answers */
	uint32_t strictest;
	bool opaque;            /* an answer depends on what could not be followed */
	uint32_t v[WORDS][WORD_POINTS];
	unsigned int n[WORDS];
	uint32_t mask[WORDS];   /* the one that a word is compared under; 0: none yet */
	struct seen {
		uint32_t pc, kind, value, mask;
	} seen[1u << SEEN_BITS];
	unsigned int nseen;
};

static void
point(struct walk *w, unsigned int word, uint32_t v)
{
	for (unsigned int i = 0; i < w->n[word]; i++)
		if (w->v[word][i] == v)
			return;
	if (w->n[word] == WORD_POINTS)
		w->opaque = true;
	else
		w->v[word][w->n[word]++] = v;
}

/* Values on every side of a comparison of word & mask with k. */
static void
compared(struct walk *w, const struct acc *a, uint32_t mask, uint32_t k)
{
	uint32_t low = ~mask;

	/* Under several masks these values do not stand for all. */
	if (w->mask[a->word] != 0 && w->mask[a->word] != mask)
		w->opaque = true;
	w->mask[a->word] = mask;
	point(w, a->word, 0);
	point(w, a->word, UINT32_MAX);
	point(w, a->word, k);
	point(w, a->word, k | low);
	point(w, a->word, k - 1);
	point(w, a->word, k + 1);
	point(w, a->word, (k | low) + 1);
	for (unsigned int bit = 0; bit < 32 && low != 0; bit++)
		if ((mask >> bit & 1) != 0)
			point(w, a->word, k ^ UINT32_C(1) << bit);
}

/* False if this state was here before.  A full table: go on, but not for sure. */
static bool
first_time(struct walk *w, size_t pc, const struct acc *a)
{
	struct seen s = {(uint32_t)pc + 1, (uint32_t)a->kind << 8 | a->word,
	    a->kind == ACC_KNOWN ? a->value : 0, a->kind == ACC_WORD ? a->mask : 0};
	uint32_t h = (s.pc * 2654435761u) ^ (s.kind * 40503u) ^ (s.value * 2246822519u) ^ s.mask;
	uint32_t i = (h ^ h >> 15) & ((1u << SEEN_BITS) - 1);

	while (w->seen[i].pc != 0) {
		if (memcmp(&w->seen[i], &s, sizeof(s)) == 0)
			return false;
		i = (i + 1) & ((1u << SEEN_BITS) - 1);
	}
	if (w->nseen >= (1u << SEEN_BITS) - 1) {
		w->opaque = true;
		w->least = 0;
		w->most = policy_ret_rank(SECCOMP_RET_ALLOW);
		return false;
	}
	w->nseen++;
	w->seen[i] = s;
	return true;
}

static void
answer(struct walk *w, uint32_t ret)
{
	int rank = policy_ret_rank(ret);

	if (rank < w->least) {
		w->least = rank;
		w->strictest = ret;
	}
	if (rank > w->most)
		w->most = rank;
}

static void
load(const struct walk *w, struct acc *a, uint32_t offset)
{
	memset(a, 0, sizeof(*a));
	if (offset == offsetof(struct seccomp_data, nr)) {
		a->value = w->nr;
	} else if (offset == offsetof(struct seccomp_data, arch)) {
		a->value = w->arch;
	} else if (offset >= offsetof(struct seccomp_data, args)) {
		a->kind = ACC_WORD;
		a->mask = UINT32_MAX;
		a->word = (offset - (uint32_t)offsetof(struct seccomp_data, args)) / 4 % WORDS;
	} else {
		a->kind = ACC_OPAQUE; /* the instruction pointer */
	}
}

static void
arithmetic(struct acc *a, const struct sock_filter *f)
{
	if (a->kind == ACC_WORD && f->code == (BPF_ALU | BPF_AND | BPF_K)) {
		a->mask &= f->k;
	} else if (a->kind == ACC_KNOWN && f->code == (BPF_ALU | BPF_AND | BPF_K)) {
		a->value &= f->k;
	} else {
		memset(a, 0, sizeof(*a));
		a->kind = ACC_OPAQUE;
	}
}

static bool
holds(const struct sock_filter *f, uint32_t v)
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

static void walk_from(struct walk *w, size_t pc, struct acc a);

/* The offset of the way to go on with; the other, if it can be taken, is walked. */
static uint32_t
jump(struct walk *w, size_t pc, const struct acc *a)
{
	const struct sock_filter *f = &w->b->insn[pc];

	if (BPF_OP(f->code) == BPF_JA)
		return f->k;
	if (a->kind == ACC_KNOWN && BPF_SRC(f->code) == BPF_K)
		return holds(f, a->value) ? f->jt : f->jf;
	if (a->kind == ACC_WORD && BPF_SRC(f->code) == BPF_K) {
		if (BPF_OP(f->code) == BPF_JSET)
			compared(w, a, a->mask & f->k, 0);
		else
			compared(w, a, a->mask, f->k);
	} else {
		w->opaque = true;
	}
	walk_from(w, pc + 1 + f->jt, *a);
	return f->jf;
}

static void
walk_from(struct walk *w, size_t pc, struct acc a)
{
	for (; pc < w->b->n && first_time(w, pc, &a); pc++) {
		const struct sock_filter *f = &w->b->insn[pc];

		switch (BPF_CLASS(f->code)) {
		case BPF_RET:
			if (BPF_RVAL(f->code) == BPF_K || a.kind == ACC_KNOWN) {
				answer(w, BPF_RVAL(f->code) == BPF_K ? f->k : a.value);
			} else {
				answer(w, SECCOMP_RET_KILL_PROCESS);
				answer(w, SECCOMP_RET_ALLOW);
				w->opaque = true;
			}
			return;
		case BPF_LD:
			if (BPF_MODE(f->code) == BPF_ABS) {
				load(w, &a, f->k);
				break;
			}
			memset(&a, 0, sizeof(a));
			a.kind = BPF_MODE(f->code) == BPF_IMM ? ACC_KNOWN : ACC_OPAQUE;
			a.value = a.kind == ACC_KNOWN ? f->k : 0;
			break;
		case BPF_ALU:
			arithmetic(&a, f);
			break;
		case BPF_JMP:
			pc += jump(w, pc, &a);
			break;
		case BPF_MISC:
			if (BPF_MISCOP(f->code) == BPF_TXA) {
				memset(&a, 0, sizeof(a));
				a.kind = ACC_OPAQUE;
			}
			break;
		default: /* stores and the index register leave the accumulator as it is */
			break;
		}
	}
}

static void
add(struct policy_points *pt, unsigned int arg, uint64_t v)
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
collect(struct policy_points *pt, const struct walk *w, unsigned int *args)
{
	for (unsigned int arg = 0; arg < POLICY_ARGS; arg++) {
		static const uint32_t zero[1];
		const uint32_t *low = w->v[2 * arg], *high = w->v[2 * arg + 1];
		unsigned int nlow = w->n[2 * arg], nhigh = w->n[2 * arg + 1];

		if (nlow + nhigh == 0)
			continue;
		*args |= 1u << arg;
		if (nlow == 0) {
			low = zero;
			nlow = 1;
		}
		if (nhigh == 0) {
			high = zero;
			nhigh = 1;
		}
		for (unsigned int i = 0; i < nlow; i++)
			for (unsigned int j = 0; j < nhigh; j++)
				add(pt, arg, (uint64_t)high[j] << 32 | low[i]);
	}
}

/* Try the values that were noted, until one gets through. */
static void
try_points(const struct policy_points *pt, const struct policy_bpf *const *stack, unsigned int n,
    struct seccomp_data *sd, struct policy_passing *r)
{
	unsigned int pos[POLICY_ARGS] = {0}, tries = 0;
	int best = -1;

	policy_points_first(pt, sd);
	do {
		uint32_t ret = policy_bpf_stack(stack, n, sd);
		int rank = policy_ret_rank(ret);

		if (rank > best) {
			best = rank;
			r->ret = ret;
		}
		if (rank >= policy_ret_rank(SECCOMP_RET_LOG)) {
			r->pass = PASS_PINNED;
			return;
		}
		if (++tries == TRIES_MAX) {
			r->exact = false;
			break;
		}
	} while (policy_points_next(pt, pos, sd));
	if (best > policy_ret_rank(SECCOMP_RET_ERRNO))
		r->pass = PASS_ASKED;
	else
		r->pass = r->exact ? PASS_DENIED : PASS_UNDECIDED;
}

struct policy_passing
policy_pass_call(const struct policy_bpf *const *stack, unsigned int n, uint32_t audit_arch, uint32_t nr)
{
	static struct walk w; /* half a megabyte; the tools have one thread */
	static struct policy_points pt;
	struct policy_passing r = {.pass = PASS_FREE, .ret = SECCOMP_RET_ALLOW, .exact = true};
	struct seccomp_data sd = {.nr = (int)nr, .arch = audit_arch};
	const int allow = policy_ret_rank(SECCOMP_RET_LOG), deny = policy_ret_rank(SECCOMP_RET_ERRNO);
	bool denied = false, free = true;

	memset(pt.n, 0, sizeof(pt.n));
	pt.full = false;
	for (unsigned int i = 0; i < n; i++) {
		memset(&w, 0, sizeof(w));
		w.b = stack[i];
		w.nr = nr;
		w.arch = audit_arch;
		w.least = allow + 1;
		w.strictest = SECCOMP_RET_ALLOW;
		w.most = -1;
		if (w.b->n <= INSN_MAX)
			walk_from(&w, 0, (struct acc){.kind = ACC_KNOWN});
		denied = denied || w.most <= deny;
		free = free && w.least >= allow;
		r.exact = r.exact && !w.opaque;
		collect(&pt, &w, &r.args);
	}
	r.exact = r.exact && !pt.full;
	if (free)
		return r;
	if (denied) {
		sd = (struct seccomp_data){.nr = (int)nr, .arch = audit_arch};
		r.ret = policy_bpf_stack(stack, n, &sd);
		r.pass = PASS_DENIED;
		return r;
	}
	try_points(&pt, stack, n, &sd, &r);
	return r;
}
