/* SRC: src/policy/lex.c src/policy/names.c src/policy/consts.c src/policy/syscalls.c src/policy/cond.c src/policy/parse.c src/policy/parse_layers.c src/policy/parse_rule.c src/policy/check.c src/policy/load.c src/policy/relate.c src/policy/compile.c src/policy/diff.c src/policy/prove.c src/policy/points.c src/policy/eval.c src/common/diag.c src/common/str.c src/common/log.c src/ipc/filters.c */
/* LIBS: -lseccomp -lcrypto */
/*
 * A policy's text: parsing never crashes and always explains itself; what is
 * accepted is no wider than itself, and what compiles is proven to be the text.
 */
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct policy p;

static void
compile(void)
{
	struct policy_bpf b;
	struct diag d = {0};

	/* a program that differs from its text must have been refused */
	if (policy_compile(&p, PARCH_X86_64, &b, &d) == -1 &&
	    strstr(d.text, "disagree") != NULL)
		abort();
	policy_bpf_free(&b);
	if (policy_compile_diff(&p, &p, PARCH_AARCH64, &b, &d) == -1 &&
	    strstr(d.text, "disagree") != NULL)
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
