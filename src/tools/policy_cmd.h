/*
 * The commands of `gatehouse policy`: what they share.  Statuses are those of
 * sysexits.h, and what each command says in addition.
 */
#ifndef TOOLS_POLICY_CMD_H
#define TOOLS_POLICY_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "policy/policy.h"

struct policy_args;
struct policy_command {
	const char *name;
	int (*run)(const struct policy_args *args);
	int min, max;        /* operands */
	const char *options; /* letters that it takes */
	const char *synopsis, *what;
};

struct policy_args {
	const struct policy_command *command;
	bool help;
	const char *dir;  /* of names without a slash */
	bool dir_given;   /* by -d */
	const char *config; /* verify: the configuration of that gatehouse */
	const char *output; /* trace: where the report goes; NULL: standard error */
	const char *pid;    /* count: of this process */
	bool json;
	enum policy_arch arch;
	const char *format; /* export: bpf asm oci systemd */
	int argc;           /* what is left */
	char **argv;
};

/* A file, or the name of a policy in args->dir; malloc'ed, or NULL after a
 * message on standard error. */
struct policy *policy_open(const struct policy_args *args, const char *name);
/* The same without the message. */
struct policy *policy_read(const struct policy_args *args, const char *name, struct diag *d);
/* How to call the command, to standard error; returns EX_USAGE. */
int policy_usage(const struct policy_args *args);
void policy_complain(const struct diag *d);

/* policy_query.c */
int policy_cmd_eval(const struct policy_args *args);
int policy_cmd_diff(const struct policy_args *args);
/* policy_verify.c */
int policy_cmd_verify(const struct policy_args *args);
/* policy_count_pid.c */
int policy_count_pid(const struct policy_args *args, pid_t pid);
/* policy_doctor.c */
int policy_cmd_doctor(const struct policy_args *args);
/* policy_trace.c */
int policy_cmd_trace(const struct policy_args *args);

/* confine_cmd.c: where PATH, or the command itself, leads; false with errno. */
bool find_program(const char *command, char *dst, size_t cap);

#endif
