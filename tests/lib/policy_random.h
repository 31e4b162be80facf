/*
 * Random system calls that come near to what policies compare: numbers and
 * architectures that exist and that do not, arguments from the policy's own
 * constants, their neighbours, the same with other upper halves, and anything.
 * The same seed gives the same calls.
 */
#ifndef POLICY_RANDOM_H
#define POLICY_RANDOM_H

#include <linux/audit.h>
#include <linux/seccomp.h>

#include "policy/eval.h"
#include "policy/internal.h"

static uint64_t random_state = 1;

static inline uint64_t
random_next(void)
{
	/* xorshift64*, Vigna 2016 */
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * UINT64_C(2685821657736338717);
}

static inline unsigned int
random_below(unsigned int n)
{
	return (unsigned int)((random_next() >> 32) % n);
}

static inline uint64_t
random_interesting(void)
{
	static const uint64_t v[] = {0, 1, 2, 3, 4, 7, 8, 0xff, 0x100, 0x7fffffff, 0x80000000,
	    0xfffffffe, 0xffffffff, 0x100000000, 0x100000001, 0xffffffff00000000,
	    0x7fffffffffffffff, 0x8000000000000000, 0xfffffffffffffffe, UINT64_MAX};

	return v[random_below(sizeof(v) / sizeof(v[0]))];
}

/* A value near one with which p compares this argument of any call. */
static inline uint64_t
random_near(const struct policy *p, int nr, enum policy_arch arch, unsigned int arg)
{
	uint64_t v = random_interesting();
	unsigned int seen = 0;

	for (unsigned int i = 0; i < p->nrules; i++) {
		const struct policy_rule *r = &p->rules[i];
		const struct policy_cond *c = rule_cond(r, arg);

		if (c == NULL || (arch == PARCH_X86_64 ? r->nr_x86_64 : r->nr_aarch64) != nr ||
		    random_below(++seen) != 0)
			continue;
		v = c->values[0];
		if (c->cmp == PCMP_IN) {
			unsigned int k = random_below(c->nvalues);

			v = random_below(2) != 0 ? c->values[k] : c->last[k];
		}
		if (c->cmp == PCMP_MASKED && random_below(2) != 0)
			v ^= random_next() & (random_below(2) != 0 ? c->mask : ~c->mask);
	}
	switch (random_below(8)) {
	case 0:
		return v + 1;
	case 1:
		return v - 1;
	case 2:
		return v ^ UINT64_C(1) << random_below(64);
	case 3:
		return v | UINT64_C(0xffffffff00000000);
	case 4:
		return random_below(2) != 0 ? random_next() : random_interesting();
	default:
		return v;
	}
}

static inline int
random_number(const struct policy *p, enum policy_arch arch)
{
	const struct policy_rule *r = p->nrules > 0 ? &p->rules[random_below(p->nrules)] : NULL;
	int nr = r == NULL ? 0 : arch == PARCH_X86_64 ? r->nr_x86_64 : r->nr_aarch64;

	switch (random_below(16)) {
	case 0:
		return (int)random_below(700);
	case 1:
		return nr | 0x40000000;
	case 2:
		return (int)random_next();
	case 3:
		return nr + 1 - 2 * (int)random_below(2);
	default:
		return nr;
	}
}

static inline void
random_call(const struct policy *p, enum policy_arch arch, struct seccomp_data *sd)
{
	static const uint32_t arches[] = {AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64, AUDIT_ARCH_I386,
	    AUDIT_ARCH_ARM, 0, UINT32_MAX};

	sd->arch = policy_audit_arch(arch);
	if (random_below(16) == 0)
		sd->arch = arches[random_below(sizeof(arches) / sizeof(arches[0]))];
	sd->nr = random_number(p, arch);
	sd->instruction_pointer = random_next();
	for (unsigned int i = 0; i < POLICY_ARGS; i++)
		sd->args[i] = random_near(p, sd->nr, arch, i);
}

#endif
