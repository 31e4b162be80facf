/*
 * Inside src/policy: a program in the making, with labels in place of distances.
 * All labels lie below the jumps that lead to them.
 */
#ifndef POLICY_CODE_H
#define POLICY_CODE_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/internal.h"

#define CODE_LABELS_MAX 128
#define CODE_NEXT (-1) /* the instruction that follows */

struct code {
	struct sock_filter insn[POLICY_INSN_MAX];
	int jt[POLICY_INSN_MAX], jf[POLICY_INSN_MAX]; /* labels */
	unsigned int n;
	int at[CODE_LABELS_MAX]; /* position of a label */
	int nlabels;
	bool full; /* something did not fit: there will be no program */
};

/* A label of which the place, at[], is still to be set. */
int code_label(struct code *c);
void code_emit(struct code *c, uint16_t code, uint32_t k, int jt, int jf);
/* The word of struct seccomp_data at this offset. */
void code_load(struct code *c, size_t offset);
/* BPF_JEQ, BPF_JGT, BPF_JGE or BPF_JSET: on to jt or jf. */
void code_test(struct code *c, uint16_t op, uint32_t k, int jt, int jf);
/* Without jumps that lead to jumps, and malloc'ed.  False: too large, or no memory. */
bool code_assemble(struct code *c, struct policy_bpf *out);

#endif
