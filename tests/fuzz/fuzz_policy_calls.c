/* SRC: src/policy/lex.c src/policy/names.c src/policy/consts.c src/policy/syscalls.c src/policy/cond.c src/policy/parse.c src/policy/parse_layers.c src/policy/parse_rule.c src/policy/check.c src/policy/load.c src/policy/relate.c src/policy/compile.c src/policy/diff.c src/policy/code.c src/policy/prove.c src/policy/points.c src/policy/eval.c src/common/diag.c src/common/str.c src/common/log.c src/ipc/filters.c */
/* LIBS: -lseccomp -lcrypto */
/*
 * Any system call, asked of the text of each shipped policy and of its program,
 * or of the stack of programs that a worker really has: the same verdict.
 *
 * Input: one byte chooses policy and architecture, one which arguments are taken
 * as they stand (else: near a constant of the policy), then struct seccomp_data.
 * Runs from the top of the source tree.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/policy_random.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define STACKS 2 /* besides: login and tls-proxy as a forked worker has them */

static struct policy_set set;
static struct policy_bpf whole[2][POL__MAX], diffs[2][2];

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct diag d = {0};
	int rv = policy_set_load(&set, "policy", NULL, false, &d);

	(void)argc;
	(void)argv;
	for (int a = 0; a < 2; a++) {
		enum policy_arch arch = (enum policy_arch)a;

		for (int i = 0; i < POL__MAX && rv == 0; i++)
			rv = policy_compile(&set.policy[i], arch, &whole[a][i], &d);
		if (rv == 0)
			rv = policy_compile_diff(&set.policy[POL_TEMPLATE], &set.policy[POL_LOGIN], arch,
			    &diffs[a][0], &d);
		if (rv == 0)
			rv = policy_compile_diff(&set.policy[POL_LOGIN], &set.policy[POL_TLS_PROXY], arch,
			    &diffs[a][1], &d);
	}
	if (rv == 0)
		return 0;
	fprintf(stderr, "%s: %s\n", d.file, d.text);
	exit(1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seccomp_data sd = {0};
	unsigned int id, a;
	enum policy_arch arch;

	if (size < 2)
		return 0;
	a = data[0] & 1;
	id = (data[0] >> 1) % (POL__MAX - 1 + STACKS) + 1; /* the supervisor has no filter */
	arch = (enum policy_arch)a;
	memcpy(&sd, data + 2, size - 2 < sizeof(sd) ? size - 2 : sizeof(sd));
	random_state = sd.instruction_pointer | 1;
	const struct policy_bpf *one[1] = {&whole[a][id < POL__MAX ? id : POL_LOGIN]};
	const struct policy_bpf *stack[4] = {&whole[a][POL_LAUNCHER], &whole[a][POL_TEMPLATE],
	    &diffs[a][0], &diffs[a][1]};
	unsigned int n = id < POL__MAX ? 1 : id - POL__MAX + 3;
	const struct policy *text = &set.policy[id < POL__MAX ? id :
	    id == POL__MAX				      ? POL_LOGIN :
								POL_TLS_PROXY];

	if ((data[1] & 0x40) != 0)
		sd.nr = random_number(text, arch);
	if ((data[1] & 0x80) != 0)
		sd.arch = policy_audit_arch(arch);
	for (unsigned int i = 0; i < POLICY_ARGS; i++)
		if ((data[1] >> i & 1) != 0)
			sd.args[i] = random_near(text, sd.nr, arch, i);
	if (policy_bpf_stack(n == 1 ? one : stack, n, &sd) != policy_decide(text, arch, &sd))
		abort();
	return 0;
}
