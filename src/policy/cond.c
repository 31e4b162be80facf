#include <stdlib.h>
#include <string.h>

#include "policy/internal.h"

static uint64_t
cond_max(const struct policy_cond *c)
{
	return c->is_int ? UINT32_MAX : UINT64_MAX;
}

uint64_t
cond_mask(const struct policy_cond *c)
{
	return c->is_int ? c->mask | ~(uint64_t)UINT32_MAX : c->mask;
}

static int
by_first(const void *a, const void *b)
{
	uint64_t x = ((const struct range *)a)->first, y = ((const struct range *)b)->first;

	return x < y ? -1 : x > y;
}

/* Sorted, and joined where one ends next to the other. */
static int
tidy(struct range *r, int n)
{
	int out = 0;

	qsort(r, (size_t)n, sizeof(*r), by_first);
	for (int i = 1; i < n; i++) {
		if (r[out].last == UINT64_MAX || r[i].first <= r[out].last + 1) {
			if (r[i].last > r[out].last)
				r[out].last = r[i].last;
		} else {
			r[++out] = r[i];
		}
	}
	return out + 1;
}

int
cond_ranges(const struct policy_cond *c, struct range r[POLICY_VALUES_MAX])
{
	uint64_t v = c->values[0];

	switch (c->cmp) {
	case PCMP_EQ:
		r[0] = (struct range){v, v};
		return 1;
	case PCMP_LE:
		r[0] = (struct range){0, v};
		return 1;
	case PCMP_LT:
		r[0] = (struct range){0, v - 1};
		return v > 0 ? 1 : 0;
	case PCMP_GE:
		r[0] = (struct range){v, cond_max(c)};
		return v <= cond_max(c) ? 1 : 0;
	case PCMP_GT:
		r[0] = (struct range){v + 1, cond_max(c)};
		return v < cond_max(c) ? 1 : 0;
	case PCMP_IN:
		for (unsigned int i = 0; i < c->nvalues; i++)
			r[i] = (struct range){c->values[i], c->last[i]};
		return c->nvalues > 0 ? tidy(r, (int)c->nvalues) : 0;
	default:
		return -1;
	}
}

bool
cond_has(const struct policy_cond *c, uint64_t v)
{
	switch (c->cmp) {
	case PCMP_EQ:
		return v == c->values[0];
	case PCMP_LE:
		return v <= c->values[0];
	case PCMP_LT:
		return v < c->values[0];
	case PCMP_GE:
		return v >= c->values[0] && v <= cond_max(c);
	case PCMP_GT:
		return v > c->values[0] && v <= cond_max(c);
	case PCMP_IN:
		for (unsigned int i = 0; i < c->nvalues; i++)
			if (v >= c->values[i] && v <= c->last[i])
				return true;
		return false;
	case PCMP_MASKED:
		return (v & cond_mask(c)) == c->values[0];
	}
	return false;
}

static bool
range_in_masked(const struct range *r, const struct policy_cond *c)
{
	if (r->last - r->first > 4096)
		return false;
	for (uint64_t v = r->first;; v++) {
		if (!cond_has(c, v))
			return false;
		if (v == r->last)
			return true;
	}
}

static bool
range_in_ranges(const struct range *r, const struct range *set, int n)
{
	for (int i = 0; i < n; i++)
		if (r->first >= set[i].first && r->last <= set[i].last)
			return true;
	return false;
}

bool
cond_subset(const struct policy_cond *a, const struct policy_cond *b)
{
	struct range ra[POLICY_VALUES_MAX], rb[POLICY_VALUES_MAX];
	int na = cond_ranges(a, ra), nb = cond_ranges(b, rb);

	if (na == -1 && nb == -1)
		return (cond_mask(b) & ~cond_mask(a)) == 0 &&
		    (a->values[0] & cond_mask(b)) == b->values[0];
	if (na == -1) {
		/* from the value itself up to all free bits set */
		ra[0] = (struct range){a->values[0], a->values[0] | ~cond_mask(a)};
		na = 1;
	}
	for (int i = 0; i < na; i++)
		if (nb == -1 ? !range_in_masked(&ra[i], b) : !range_in_ranges(&ra[i], rb, nb))
			return false;
	return true;
}

bool
cond_disjoint(const struct policy_cond *a, const struct policy_cond *b)
{
	struct range ra[POLICY_VALUES_MAX], rb[POLICY_VALUES_MAX];
	int na = cond_ranges(a, ra), nb = cond_ranges(b, rb);

	if (na == -1 && nb == -1)
		return ((a->values[0] ^ b->values[0]) & cond_mask(a) & cond_mask(b)) != 0;
	if (na == -1)
		return cond_disjoint(b, a);
	for (int i = 0; i < na; i++) {
		if (nb == -1) {
			if (ra[i].last - ra[i].first > 4096)
				return false;
			for (uint64_t v = ra[i].first;; v++) {
				if (cond_has(b, v))
					return false;
				if (v == ra[i].last)
					break;
			}
			continue;
		}
		for (int j = 0; j < nb; j++)
			if (ra[i].first <= rb[j].last && rb[j].first <= ra[i].last)
				return false;
	}
	return true;
}

const struct policy_cond *
rule_cond(const struct policy_rule *r, unsigned int arg)
{
	for (unsigned int i = 0; i < r->nconds; i++)
		if (r->conds[i].arg == arg)
			return &r->conds[i];
	return NULL;
}

bool
rule_subset(const struct policy_rule *a, const struct policy_rule *b)
{
	for (unsigned int i = 0; i < b->nconds; i++) {
		const struct policy_cond *c = rule_cond(a, b->conds[i].arg);

		if (c == NULL || !cond_subset(c, &b->conds[i]))
			return false;
	}
	return true;
}

bool
rule_disjoint(const struct policy_rule *a, const struct policy_rule *b)
{
	for (unsigned int i = 0; i < b->nconds; i++) {
		const struct policy_cond *c = rule_cond(a, b->conds[i].arg);

		if (c != NULL && cond_disjoint(c, &b->conds[i]))
			return true;
	}
	return false;
}

bool
rule_matches(const struct policy_rule *r, const uint64_t args[POLICY_ARGS])
{
	for (unsigned int i = 0; i < r->nconds; i++)
		if (!cond_has(&r->conds[i], args[r->conds[i].arg]))
			return false;
	return true;
}
