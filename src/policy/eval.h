/*
 * Evaluating: what a compiled program, a stack of programs, or the text of a
 * policy answers to one system call.  Pure; written from the kernel's
 * documentation of classic BPF (networking/filter) and seccomp(2), so that a
 * mistake of the compiler does not hide in its own mirror.
 */
#ifndef POLICY_EVAL_H
#define POLICY_EVAL_H

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "policy/policy.h"

/* AUDIT_ARCH_* of arch. */
uint32_t policy_audit_arch(enum policy_arch arch);
/* The architecture that this program was built for. */
enum policy_arch policy_native_arch(void);

/* SECCOMP_RET_* and data of one program.  A program that the kernel would
 * refuse (jump out of range, unknown instruction, no return) kills the process. */
uint32_t policy_bpf_run(const struct sock_filter *insn, size_t n, const struct seccomp_data *sd);
/* Of a stack, oldest first: as the kernel does, the strictest; of equals, the newest. */
uint32_t policy_bpf_stack(const struct policy_bpf *const *stack, unsigned int n,
    const struct seccomp_data *sd);
/* Strictness: lower is stricter. */
int policy_ret_rank(uint32_t ret);

/* What the text says; `seccomp off` allows everything. */
uint32_t policy_decide(const struct policy *p, enum policy_arch arch,
    const struct seccomp_data *sd);
/* "allow", "kill-process", "errno EPERM" */
void policy_ret_text(uint32_t ret, char *dst, size_t cap);

/* Sets of values to try for each argument: one for every cell into which the
 * comparisons of texts and programs cut its values. */
#define POLICY_POINTS_MAX 4096
#define POLICY_WORD_MAX 256
#define POLICY_MASKS_MAX 8
struct policy_word { /* half an argument */
	uint32_t start[POLICY_WORD_MAX];
	uint32_t mask[POLICY_MASKS_MAX], value[POLICY_WORD_MAX];
	unsigned int nstarts, nmasks, nvalues;
};
struct policy_points {
	struct policy_word word[2 * POLICY_ARGS]; /* lower, upper half of each */
	uint64_t v[POLICY_ARGS][POLICY_POINTS_MAX];
	unsigned int n[POLICY_ARGS]; /* 0: nobody looks at this argument */
	bool full; /* too much, or nothing that can be followed: they do not stand for all */
};
void policy_points_init(struct policy_points *pt);
/* What p compares for call nr. */
void policy_points_of(struct policy_points *pt, const struct policy *p, enum policy_arch arch,
    int nr);
/* What a program compares for call nr. */
void policy_points_of_bpf(struct policy_points *pt, const struct policy_bpf *b, uint32_t audit_arch,
    int nr);
/* After all of these: v and n are filled. */
void policy_points_ready(struct policy_points *pt);
/* Steps sd->args through all combinations; false when all were seen.  pos starts zeroed. */
bool policy_points_next(const struct policy_points *pt, unsigned int pos[POLICY_ARGS],
    struct seccomp_data *sd);
void policy_points_first(const struct policy_points *pt, struct seccomp_data *sd);

#endif
