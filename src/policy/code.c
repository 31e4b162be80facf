/*
 * Programs with labels: written from above to below, shortened, assembled.  What they
 * decide is diff.c's business.
 */
#include "policy/code.h"

#include <stdlib.h>
#include <string.h>

int
code_label(struct code *c)
{
	if (c->nlabels == CODE_LABELS_MAX) {
		c->full = true;
		return 0;
	}
	return c->nlabels++;
}

void
code_emit(struct code *c, uint16_t code, uint32_t k, int jt, int jf)
{
	if (c->n == POLICY_INSN_MAX) {
		c->full = true;
		return;
	}
	c->insn[c->n] = (struct sock_filter){.code = code, .k = k};
	c->jt[c->n] = jt;
	c->jf[c->n++] = jf;
}

void
code_load(struct code *c, size_t offset)
{
	code_emit(c, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, CODE_NEXT, CODE_NEXT);
}

void
code_test(struct code *c, uint16_t op, uint32_t k, int jt, int jf)
{
	code_emit(c, (uint16_t)(BPF_JMP | op | BPF_K), k, jt, jf);
}

static bool
is_jump_to_next(const struct code *c, unsigned int pc)
{
	return c->insn[pc].code == (BPF_JMP | BPF_JA) && c->at[c->jt[pc]] == (int)pc + 1;
}

/* Jumps that lead to a plain jump go on to where that one leads. */
static int
follow(const struct code *c, int label)
{
	int steps = 0;

	while (label != CODE_NEXT && c->insn[c->at[label]].code == (BPF_JMP | BPF_JA) &&
	    steps++ < CODE_LABELS_MAX)
		label = c->jt[c->at[label]];
	return label;
}

static void
remove_insn(struct code *c, unsigned int pc)
{
	unsigned int rest = c->n - pc - 1;

	memmove(&c->insn[pc], &c->insn[pc + 1], rest * sizeof(c->insn[0]));
	memmove(&c->jt[pc], &c->jt[pc + 1], rest * sizeof(c->jt[0]));
	memmove(&c->jf[pc], &c->jf[pc + 1], rest * sizeof(c->jf[0]));
	c->n--;
	for (int i = 0; i < c->nlabels; i++)
		if (c->at[i] > (int)pc)
			c->at[i]--;
}

static bool
is_target(const struct code *c, unsigned int pc)
{
	for (unsigned int i = 0; i < c->n; i++) {
		if (BPF_CLASS(c->insn[i].code) != BPF_JMP)
			continue;
		if ((c->jt[i] != CODE_NEXT && c->at[c->jt[i]] == (int)pc) ||
		    (c->jf[i] != CODE_NEXT && c->at[c->jf[i]] == (int)pc))
			return true;
	}
	return false;
}

/* A comparison whose both ways leave it never reaches the jump behind it. */
static bool
reached_from_above(const struct code *c, unsigned int pc)
{
	const struct sock_filter *above = &c->insn[pc - 1];

	if (BPF_CLASS(above->code) == BPF_RET || above->code == (BPF_JMP | BPF_JA))
		return false;
	if (BPF_CLASS(above->code) != BPF_JMP)
		return true;
	return c->jt[pc - 1] == CODE_NEXT || c->jf[pc - 1] == CODE_NEXT;
}

/* A comparison that falls through into a plain jump takes over its target. */
static void
shorten(struct code *c)
{
	for (unsigned int pc = 0; pc < c->n; pc++) {
		if (BPF_CLASS(c->insn[pc].code) != BPF_JMP)
			continue;
		c->jt[pc] = follow(c, c->jt[pc]);
		c->jf[pc] = follow(c, c->jf[pc]);
		if (c->insn[pc].code == (BPF_JMP | BPF_JA) || pc + 1 == c->n ||
		    c->insn[pc + 1].code != (BPF_JMP | BPF_JA))
			continue;
		if (c->jt[pc] == CODE_NEXT)
			c->jt[pc] = c->jt[pc + 1];
		if (c->jf[pc] == CODE_NEXT)
			c->jf[pc] = c->jf[pc + 1];
	}
	for (unsigned int pc = c->n; pc-- > 1;)
		if (is_jump_to_next(c, pc) ||
		    (c->insn[pc].code == (BPF_JMP | BPF_JA) && !is_target(c, pc) &&
			!reached_from_above(c, pc)))
			remove_insn(c, pc);
}

static int
offset_of(const struct code *c, unsigned int pc, int label)
{
	return label == CODE_NEXT ? 0 : c->at[label] - (int)pc - 1;
}

/* Labels become distances. */
static bool
measure(struct code *c)
{
	for (unsigned int pc = 0; pc < c->n; pc++) {
		int t = offset_of(c, pc, c->jt[pc]), f = offset_of(c, pc, c->jf[pc]);

		if (BPF_CLASS(c->insn[pc].code) != BPF_JMP)
			continue;
		if (t < 0 || f < 0)
			return false;
		if (c->insn[pc].code == (BPF_JMP | BPF_JA)) {
			c->insn[pc].k = (uint32_t)t;
			continue;
		}
		if (t > 255 || f > 255)
			return false;
		c->insn[pc].jt = (uint8_t)t;
		c->insn[pc].jf = (uint8_t)f;
	}
	return true;
}

bool
code_assemble(struct code *c, struct policy_bpf *out)
{
	if (c->full)
		return false;
	shorten(c);
	if (!measure(c))
		return false;
	out->insn = malloc(c->n * sizeof(c->insn[0]));
	if (out->insn == NULL)
		return false;
	memcpy(out->insn, c->insn, c->n * sizeof(c->insn[0]));
	out->n = c->n;
	return true;
}
