#include <linux/audit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/eval.h"
#include "policy/internal.h"

#define CALLS_MAX 1024         /* beyond every number that a kernel has */
#define TRIES_MAX (8u << 20)   /* combinations for one call */

struct proof {
	const struct policy_bpf *const *stack;
	unsigned int n;
	const struct policy *p;
	enum policy_arch arch;
	struct diag *d;
	struct policy_points *points;
};

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
	diag_hint(pr->d, "a fault of the compiler or of libseccomp: nothing was installed");
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
	for (unsigned int i = 0; i < POLICY_ARGS; i++)
		tries *= pr->points->n[i] > 0 ? pr->points->n[i] : 1;
	if (pr->points->full || tries > TRIES_MAX) {
		diag_set(pr->d, pr->p->file, 0, 0,
		    "call %d compares too much to be proven (%.0f combinations)", nr, tries);
		diag_hint(pr->d, "fewer values or fewer compared arguments");
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
prove_all(const struct proof *pr)
{
	static const uint32_t arches[] = {AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64, AUDIT_ARCH_I386,
	    AUDIT_ARCH_ARM, 0, UINT32_MAX};
	static const uint32_t odd[] = {0x40000000, 0x7fffffff, 0x80000000, 0xbfffffff, 0xfffffffe,
	    0xffffffff};

	for (size_t a = 0; a < sizeof(arches) / sizeof(arches[0]); a++) {
		for (int nr = 0; nr < CALLS_MAX; nr++) {
			if (prove_call(pr, arches[a], nr) == -1 ||
			    prove_call(pr, arches[a], nr | 0x40000000) == -1)
				return -1;
		}
		for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
			if (prove_call(pr, arches[a], (int)odd[i]) == -1)
				return -1;
	}
	return 0;
}

int
policy_prove(const struct policy_bpf *const *stack, unsigned int n, const struct policy *p,
    enum policy_arch arch, struct diag *d)
{
	struct proof pr = {.stack = stack, .n = n, .p = p, .arch = arch, .d = d};
	int rv;

	pr.points = malloc(sizeof(*pr.points));
	if (pr.points == NULL) {
		diag_set(d, p->file, 0, 0, "out of memory");
		return -1;
	}
	rv = prove_all(&pr);
	free(pr.points);
	return rv;
}
