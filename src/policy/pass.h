/*
 * Can a call get through a stack of filters, and does that depend on its
 * arguments?  For programs of any origin: whatever classic BPF seccomp takes.
 */
#ifndef POLICY_PASS_H
#define POLICY_PASS_H

#include "policy/policy.h"

enum policy_pass {
	PASS_DENIED,    /* no arguments get it through */
	PASS_FREE,      /* all arguments do */
	PASS_PINNED,    /* some do */
	PASS_ASKED,     /* another process decides: a tracer, a notification */
	PASS_UNDECIDED, /* too much is compared to tell denied from pinned */
	PASS__MAX
};

struct policy_passing {
	enum policy_pass pass;
	uint32_t ret;       /* of DENIED: what happens instead */
	unsigned int args;  /* bits: the arguments that are looked at */
	bool exact;         /* FREE is certain anyway; else: no instruction was beyond us */
};

/* The stack (oldest first) on one number.  Not reentrant. */
struct policy_passing policy_pass_call(const struct policy_bpf *const *stack, unsigned int n,
    uint32_t audit_arch, uint32_t nr);

#endif
