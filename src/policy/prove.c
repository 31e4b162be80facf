#include <linux/audit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/eval.h"
#include "policy/internal.h"

#define CALLS_MAX 1024         /* beyond every number that a kernel has: all are tried */
#define TRIES_MAX (8u << 20)   /* combinations for one call */

/* Numbers of calls, or of architectures, from which on a program may decide
 * differently. */
struct borders {
	uint32_t v[2 * POLICY_INSN_MAX * 4 + 16];
	unsigned int n;
};

struct proof {
	const struct policy_bpf *const *stack;
	unsigned int n;
	const struct policy *p;
	enum policy_arch arch;
	struct diag *d;
	struct policy_points *points;
	struct borders calls, arches;
};

static void
add_border(struct borders *b, uint32_t v)
{
	for (unsigned int i = 0; i < b->n; i++)
		if (b->v[i] == v)
			return;
	if (b->n < sizeof(b->v) / sizeof(b->v[0]))
		b->v[b->n++] = v;
}

enum { HOLDS_CALL = 1, HOLDS_ARCH = 2, HOLDS_OTHER = 4 };

/* What the accumulator holds behind this instruction; 0 if that is lost. */
static unsigned int
holds_after(const struct sock_filter *f, unsigned int holds)
{
	if (f->code == (BPF_LD | BPF_W | BPF_ABS))
		return f->k == offsetof(struct seccomp_data, nr) ? HOLDS_CALL :
		    f->k == offsetof(struct seccomp_data, arch)  ? HOLDS_ARCH :
								   HOLDS_OTHER;
	if (BPF_CLASS(f->code) == BPF_JMP)
		return holds;
	return (holds & (HOLDS_CALL | HOLDS_ARCH)) != 0 ? 0 : HOLDS_OTHER;
}

static void
borders_of_jump(struct proof *pr, const struct sock_filter *f, unsigned int holds)
{
	if (f->code == (BPF_JMP | BPF_JA))
		return;
	for (int i = 0; i < 2; i++) {
		if ((holds & HOLDS_CALL) != 0)
			add_border(&pr->calls, f->k + (uint32_t)i);
		if ((holds & HOLDS_ARCH) != 0)
			add_border(&pr->arches, f->k + (uint32_t)i);
	}
}

/* Constants with which b compares call and architecture, and what follows them:
 * between two of these nothing changes.  False if it does more with them than
 * compare. */
static bool
borders_of(struct proof *pr, const struct policy_bpf *b)
{
	static uint8_t holds[POLICY_INSN_MAX + 1]; /* see points.c */

	if (b->n > POLICY_INSN_MAX)
		return false;
	memset(holds, 0, sizeof(holds));
	holds[0] = HOLDS_OTHER;
	for (size_t pc = 0; pc < b->n; pc++) {
		const struct sock_filter *f = &b->insn[pc];
		unsigned int after = holds_after(f, holds[pc]);
		bool jump = BPF_CLASS(f->code) == BPF_JMP, always = f->code == (BPF_JMP | BPF_JA);
		size_t to[2] = {pc + 1 + (always ? f->k : jump ? f->jt : 0),
		    pc + 1 + (jump && !always ? f->jf : 0)};

		if (holds[pc] == 0 || BPF_CLASS(f->code) == BPF_RET)
			continue;
		if (after == 0 || (BPF_OP(f->code) == BPF_JSET && jump &&
				      (after & (HOLDS_CALL | HOLDS_ARCH)) != 0))
			return false;
		if (jump)
			borders_of_jump(pr, f, after);
		for (int i = 0; i < (always ? 1 : 2); i++)
			if (to[i] < b->n)
				holds[to[i]] |= (uint8_t)after;
	}
	return true;
}

static int
differs(const struct proof *pr, const struct seccomp_data *sd, uint32_t is, uint32_t should)
{
	char got[32], want[32];

	policy_ret_text(is, got, sizeof(got));
	policy_ret_text(should, want, sizeof(want));
	diag_set(pr->d, pr->p->file, 0, 0,
	    "the compiled program and the text disagree: call %d on arch 0x%08x (0x%llx, 0x%llx, "
	    "0x%llx, 0x%llx, 0x%llx, 0x%llx): program says %s, text says %s",
	    sd->nr, sd->arch, (unsigned long long)sd->args[0], (unsigned long long)sd->args[1],
	    (unsigned long long)sd->args[2], (unsigned long long)sd->args[3],
	    (unsigned long long)sd->args[4], (unsigned long long)sd->args[5], got, want);
	diag_hint(pr->d, "nothing is installed; libseccomp loses rules for one call that overlap: "
	    "let one argument tell them apart");
	return -1;
}

static int
try_one(const struct proof *pr, const struct seccomp_data *sd)
{
	uint32_t is = policy_bpf_stack(pr->stack, pr->n, sd);
	uint32_t should = policy_decide(pr->p, pr->arch, sd);

	return is == should ? 0 : differs(pr, sd, is, should);
}

static int
prove_call(const struct proof *pr, uint32_t audit_arch, int nr)
{
	struct seccomp_data sd = {.nr = nr, .arch = audit_arch};
	unsigned int pos[POLICY_ARGS] = {0};
	double tries = 1;

	policy_points_init(pr->points);
	if (audit_arch == policy_audit_arch(pr->arch) && nr >= 0)
		policy_points_of(pr->points, pr->p, pr->arch, nr);
	for (unsigned int i = 0; i < pr->n; i++)
		policy_points_of_bpf(pr->points, pr->stack[i], audit_arch, nr);
	policy_points_ready(pr->points);
	for (unsigned int i = 0; i < POLICY_ARGS; i++)
		tries *= pr->points->n[i] > 0 ? pr->points->n[i] : 1;
	if (pr->points->full || tries > TRIES_MAX) {
		diag_set(pr->d, pr->p->file, 0, 0,
		    "call %d compares too much to be proven (%.0f combinations)", nr, tries);
		diag_hint(pr->d, "fewer values, or fewer compared arguments or masks");
		return -1;
	}
	policy_points_first(pr->points, &sd);
	do {
		if (try_one(pr, &sd) == -1)
			return -1;
	} while (policy_points_next(pr->points, pos, &sd));
	return 0;
}

static int
prove_arch(const struct proof *pr, uint32_t arch)
{
	for (int nr = 0; nr < CALLS_MAX; nr++)
		if (prove_call(pr, arch, nr) == -1 || prove_call(pr, arch, nr | 0x40000000) == -1)
			return -1;
	for (unsigned int i = 0; i < pr->calls.n; i++)
		if (prove_call(pr, arch, (int)pr->calls.v[i]) == -1)
			return -1;
	return 0;
}

static int
prove_all(struct proof *pr)
{
	static const uint32_t arches[] = {AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64, AUDIT_ARCH_I386,
	    AUDIT_ARCH_ARM, 0, UINT32_MAX};
	static const uint32_t odd[] = {CALLS_MAX, 0x40000000, 0x7fffffff, 0x80000000, 0xbfffffff,
	    0xfffffffe, 0xffffffff};

	for (size_t i = 0; i < sizeof(arches) / sizeof(arches[0]); i++)
		add_border(&pr->arches, arches[i]);
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		add_border(&pr->calls, odd[i]);
	for (unsigned int i = 0; i < pr->n; i++) {
		if (borders_of(pr, pr->stack[i]))
			continue;
		diag_set(pr->d, pr->p->file, 0, 0, "a program does what the proof cannot follow");
		return -1;
	}
	for (unsigned int i = 0; i < pr->arches.n; i++)
		if (prove_arch(pr, pr->arches.v[i]) == -1)
			return -1;
	return 0;
}

int
policy_prove(const struct policy_bpf *const *stack, unsigned int n, const struct policy *p,
    enum policy_arch arch, struct diag *d)
{
	static struct proof pr; /* see points.c */
	int rv;

	memset(&pr, 0, sizeof(pr));
	pr.stack = stack;
	pr.n = n;
	pr.p = p;
	pr.arch = arch;
	pr.d = d;
	pr.points = malloc(sizeof(*pr.points));
	if (pr.points == NULL) {
		diag_set(d, p->file, 0, 0, "out of memory");
		return -1;
	}
	rv = prove_all(&pr);
	free(pr.points);
	return rv;
}
