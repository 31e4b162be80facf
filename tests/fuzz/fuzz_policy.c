/* SRC: src/policy/lex.c src/policy/names.c src/policy/consts.c src/policy/syscalls.c src/policy/cond.c src/policy/parse.c src/policy/parse_layers.c src/policy/parse_rule.c src/policy/check.c src/policy/load.c src/policy/relate.c src/policy/compile.c src/policy/diff.c src/policy/code.c src/policy/prove.c src/policy/points.c src/policy/eval.c src/common/diag.c src/common/str.c src/common/log.c src/ipc/filters.c */
/* LIBS: -lseccomp -lcrypto */
/*
 * A policy's text: parsing never crashes and always explains itself; what is
 * accepted is no wider than itself, and what compiles decides as the text does.
 */
#include <stdlib.h>
#include <string.h>

#include "../lib/policy_random.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct policy p;

/* What was compiled decides as the text does. */
static void
agree(const struct policy_bpf *b, enum policy_arch arch)
{
	const struct policy_bpf *one[1] = {b};

	for (int i = 0; b->n > 0 && i < 300; i++) {
		struct seccomp_data sd;

		random_call(&p, arch, &sd);
		if (policy_bpf_stack(one, 1, &sd) != policy_decide(&p, arch, &sd))
			abort();
	}
}

/* A program that differs from its text is refused, as libseccomp's sometimes are
 * (rules for one call that overlap); it never comes out. */
static void
compile(void)
{
	struct policy_bpf b;
	struct diag d = {0};

	for (int arch = 0; arch < 2; arch++) {
		if (policy_compile(&p, (enum policy_arch)arch, &b, &d) == 0)
			agree(&b, (enum policy_arch)arch);
		policy_bpf_free(&b);
	}
	if (policy_compile_diff(&p, &p, PARCH_AARCH64, &b, &d) == -1 && d.text[0] == '\0')
		abort();
	policy_bpf_free(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct diag d = {0};

	if (policy_parse(&p, (const char *)data, size, "fuzz", NULL, &d) == -1) {
		if (d.text[0] == '\0')
			abort();
		return 0;
	}
	if (p.nrules < 40 && policy_check_narrower(&p, &p, &d) == -1 &&
	    strstr(d.text, "too many values") == NULL)
		abort();
	/* compiling takes milliseconds: not each time */
	if (size % 16 == 0)
		compile();
	return 0;
}
