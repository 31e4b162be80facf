/*
 * Policies and programs as text and JSON, for the commands of gatehouse-policy
 * and for the goldens in tests/policy.
 */
#ifndef TOOLS_POLICY_TEXT_H
#define TOOLS_POLICY_TEXT_H

#include <stdbool.h>
#include <stdio.h>

#include "policy/policy.h"

const char *policy_arch_name(enum policy_arch arch); /* "x86_64" */
bool policy_arch_by_name(const char *name, enum policy_arch *arch);
const char *policy_account_name(enum policy_account a);
const char *policy_need_name(enum layer_need need);
void policy_caps_text(uint64_t caps, char *dst, size_t cap); /* "setuid kill", "none" */

/* "6 syscalls (1 free, 5 pinned), i386 killed, x32 killed, default kill-process" */
void policy_count_text(const struct policy *p, char *dst, size_t cap);
/* The layers, one a line, and the rules with their values resolved: what the
 * goldens hold.  Independent of the machine and of libseccomp's version. */
void policy_list(FILE *f, const struct policy *p);
/* A condition with numbers: "fd in {2, 3-6}". */
void policy_cond_text(const struct policy_rule *r, const struct policy_cond *c, char *dst,
    size_t cap);
/* One line an instruction, jumps as absolute positions, with the names of calls. */
void policy_asm(FILE *f, const struct policy_bpf *b, enum policy_arch arch);

/* A JSON string with its quotes. */
void json_string(FILE *f, const char *s);

/* policy_explain.c: what each rule gives, and what somebody who has taken the
 * process over can and cannot do. */
void policy_explain(FILE *f, const struct policy *p);
void policy_explain_json(FILE *f, const struct policy *p);

/* policy_export.c */
void policy_export_oci(FILE *f, const struct policy *p);
void policy_export_systemd(FILE *f, const struct policy *p);

#endif
