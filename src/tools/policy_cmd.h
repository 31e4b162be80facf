/*
 * The commands of `gatehouse policy`: what they share.  Statuses are those of
 * sysexits.h, and what each command says in addition.
 */
#ifndef TOOLS_POLICY_CMD_H
#define TOOLS_POLICY_CMD_H

#include <stdbool.h>

#include "policy/policy.h"

struct policy_args {
	const char *dir;  /* of names without a slash */
	bool dir_given;   /* by -d */
	const char *config; /* verify: the configuration of that gatehouse */
	bool json;
	enum policy_arch arch;
	const char *format; /* export: bpf asm oci systemd */
	int argc;           /* what is left */
	char **argv;
};

/* A file, or the name of a policy in args->dir; malloc'ed, or NULL after a
 * message on standard error. */
struct policy *policy_open(const struct policy_args *args, const char *name);
void policy_complain(const struct diag *d);

/* policy_query.c */
int policy_cmd_eval(const struct policy_args *args);
int policy_cmd_diff(const struct policy_args *args);
/* policy_verify.c */
int policy_cmd_verify(const struct policy_args *args);

#endif
