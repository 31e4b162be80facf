/* SRC: src/policy/lex.c src/policy/names.c src/policy/consts.c src/policy/syscalls.c src/policy/cond.c src/policy/parse.c src/policy/parse_layers.c src/policy/parse_rule.c src/policy/check.c src/policy/load.c src/policy/relate.c src/policy/compile.c src/policy/diff.c src/policy/code.c src/policy/prove.c src/policy/points.c src/policy/eval.c src/common/diag.c src/common/str.c src/common/log.c src/ipc/filters.c */
/* LIBS: -lseccomp -lcrypto */
/*
 * Does the proof say no when it should?  Programs with one instruction changed,
 * texts with one rule, condition or value changed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy_random.h"

#define X86 0xc000003eu

static struct policy p;
static struct policy_set set;
static struct diag d;
static struct policy_bpf whole[2][POL__MAX], diffs[2][2];

static int
load(void **state)
{
	int rv = policy_set_load(&set, "policy", NULL, false, &d);

	(void)state;
	for (int arch = 0; arch < 2 && rv == 0; arch++) {
		for (int i = 0; i < POL__MAX && rv == 0; i++)
			rv = policy_compile(&set.policy[i], (enum policy_arch)arch, &whole[arch][i], &d);
		if (rv == 0)
			rv = policy_compile_diff(&set.policy[POL_TEMPLATE], &set.policy[POL_LOGIN],
			    (enum policy_arch)arch, &diffs[arch][0], &d);
		if (rv == 0)
			rv = policy_compile_diff(&set.policy[POL_LOGIN], &set.policy[POL_TLS_PROXY],
			    (enum policy_arch)arch, &diffs[arch][1], &d);
	}
	if (rv == -1)
		print_error("%s\n(run this from the top of the source tree)\n", d.text);
	return rv;
}

static int
unload(void **state)
{
	(void)state;
	for (int arch = 0; arch < 2; arch++) {
		for (int i = 0; i < POL__MAX; i++)
			policy_bpf_free(&whole[arch][i]);
		policy_bpf_free(&diffs[arch][0]);
		policy_bpf_free(&diffs[arch][1]);
	}
	policy_set_free(&set);
	return 0;
}

/* ---- programs ------------------------------------------------------------------- */

/* Change number `which` of an instruction; false: there is none, or it is none. */
static bool
change(struct sock_filter *f, unsigned int which)
{
	const struct sock_filter was = *f;
	bool jump = BPF_CLASS(f->code) == BPF_JMP && f->code != (BPF_JMP | BPF_JA);
	uint8_t t = f->jt;

	switch (which) {
	case 0:
		f->k ^= 1;
		break;
	case 1:
		f->k += BPF_CLASS(f->code) == BPF_LD ? 4 : 1;
		break;
	case 2:
		f->k -= BPF_CLASS(f->code) == BPF_LD ? 4 : 1;
		break;
	case 3:
		f->k ^= 0x100;
		break;
	case 4:
		f->k ^= 0x80000000;
		break;
	case 5: /* gone */
		*f = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JA, 0, 0, 0);
		break;
	case 6:
		f->jt = jump ? f->jf : f->jt;
		f->jf = jump ? t : f->jf;
		break;
	case 7:
		f->jt = (uint8_t)(f->jt + jump);
		break;
	case 8:
		f->jf = (uint8_t)(f->jf + jump);
		break;
	case 9:
		f->jt = jump ? 0 : f->jt;
		break;
	case 10:
		f->jf = jump ? 0 : f->jf;
		break;
	case 11:
	case 12:
	case 13:
		if (jump)
			f->code = (uint16_t)(BPF_JMP | BPF_K |
			    (which == 11 ? BPF_JEQ : which == 12 ? BPF_JGE : BPF_JGT));
		break;
	case 14:
	case 15:
		if (BPF_CLASS(f->code) == BPF_RET)
			f->k = which == 14 ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | 1;
		break;
	default:
		return false;
	}
	return memcmp(&was, f, sizeof(was)) != 0;
}
#define CHANGES 16

/* The proof was content: then it must not make any difference, asked at random. */
static void
makes_no_difference(const struct policy_bpf *const *was, const struct policy_bpf *const *is,
    unsigned int n, const struct policy *text, enum policy_arch arch, unsigned int pc,
    unsigned int which)
{
	for (unsigned int i = 0; i < 4000; i++) {
		struct seccomp_data sd;

		random_call(text, arch, &sd);
		if (policy_bpf_stack(was, n, &sd) != policy_bpf_stack(is, n, &sd))
			fail_msg("%s: change %u of instruction %u alters call %d on 0x%x (0x%llx, 0x%llx, "
			    "0x%llx), and the proof did not see it", text->name, which, pc, sd.nr, sd.arch,
			    (unsigned long long)sd.args[0], (unsigned long long)sd.args[1],
			    (unsigned long long)sd.args[2]);
	}
}

static void
changed_program(const struct policy_bpf *const *stack, unsigned int n, const struct policy *text,
    enum policy_arch arch, unsigned int *found, unsigned int *idle)
{
	const struct policy_bpf *last = stack[n - 1];
	struct policy_bpf copy = {.n = last->n, .insn = malloc(last->n * sizeof(last->insn[0]))};
	const struct policy_bpf *with[2] = {stack[0], &copy};
	const struct policy_bpf *const *is = n == 1 ? &with[1] : with;

	assert_int_equal(policy_prove(stack, n, text, arch, &d), 0);
	for (unsigned int pc = 0; pc < last->n; pc++) {
		for (unsigned int which = 0; which < CHANGES; which++) {
			memcpy(copy.insn, last->insn, last->n * sizeof(last->insn[0]));
			if (!change(&copy.insn[pc], which))
				continue;
			if (policy_prove(is, n, text, arch, &d) == -1) {
				++*found;
				continue;
			}
			++*idle;
			makes_no_difference(stack, is, n, text, arch, pc, which);
		}
	}
	free(copy.insn);
}

static void
changed_differences(void **state)
{
	unsigned int found = 0, idle = 0;

	(void)state;
	random_state = 8;
	for (int arch = 0; arch < 2; arch++) {
		const struct policy_bpf *login[2] = {&whole[arch][POL_TEMPLATE], &diffs[arch][0]};
		const struct policy_bpf *proxy[2] = {&whole[arch][POL_LOGIN], &diffs[arch][1]};

		changed_program(login, 2, &set.policy[POL_LOGIN], (enum policy_arch)arch, &found, &idle);
		changed_program(proxy, 2, &set.policy[POL_TLS_PROXY], (enum policy_arch)arch, &found,
		    &idle);
	}
	print_message("%u changes found, %u without effect\n", found, idle);
	assert_true(found > 300 && idle < found / 4);
}

static void
changed_whole_programs(void **state)
{
	static const enum policy_id ids[] = {POL_TLS_PROXY, POL_KEY_SIGNER};
	unsigned int found = 0, idle = 0;

	(void)state;
	random_state = 9;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		enum policy_arch arch = (enum policy_arch)(i % 2);
		const struct policy_bpf *one[1] = {&whole[arch][ids[i]]};

		changed_program(one, 1, &set.policy[ids[i]], arch, &found, &idle);
	}
	print_message("%u changes found, %u without effect\n", found, idle);
	assert_true(found > 300 && idle < found / 4);
}

/* ---- texts ---------------------------------------------------------------------- */

static void
must_refuse(enum policy_arch arch, enum policy_id id, const struct policy_rule *r, const char *what)
{
	const struct policy_bpf *one[1] = {&whole[arch][id]};
	const struct policy_bpf *two[2] = {&whole[arch][POL_TEMPLATE], &diffs[arch][0]};

	if (policy_prove(one, 1, &p, arch, &d) == 0 ||
	    (id == POL_LOGIN && policy_prove(two, 2, &p, arch, &d) == 0))
		fail_msg("%s, %s on %s: %s, and the proof did not see it", p.name, r->call,
		    arch == PARCH_X86_64 ? "x86_64" : "aarch64", what);
}

static void
changed_conditions(enum policy_arch arch, enum policy_id id, unsigned int rule, unsigned int *n)
{
	struct policy_rule *r = &p.rules[rule];
	const struct policy_rule keep = *r;

	for (unsigned int i = 0; i < keep.nconds; i++) {
		r->conds[i] = keep.conds[--r->nconds];
		must_refuse(arch, id, r, "a condition is missing");
		*r = keep;
		r->conds[i].values[0]++;
		if (r->conds[i].cmp == PCMP_IN && r->conds[i].last[0] < r->conds[i].values[0])
			r->conds[i].last[0] = r->conds[i].values[0];
		must_refuse(arch, id, r, "a value is one higher");
		*r = keep;
		if (r->conds[i].cmp == PCMP_IN && r->conds[i].nvalues > 1) {
			r->conds[i].nvalues--;
			must_refuse(arch, id, r, "the last value is missing");
			*r = keep;
			++*n;
		}
		*n += 2;
	}
}

static void
changed_texts(void **state)
{
	unsigned int n = 0;

	(void)state;
	for (int a = 0; a < 2; a++) {
		enum policy_arch arch = (enum policy_arch)a;

		for (int id = POL_START; id < POL__MAX; id++) {
			p = set.policy[id];
			for (unsigned int i = 0; i < p.nrules; i++) {
				struct policy_rule *r = &p.rules[i];
				const struct policy_rule keep = *r;

				if ((arch == PARCH_X86_64 ? r->nr_x86_64 : r->nr_aarch64) == -1)
					continue;
				r->nr_x86_64 = r->nr_aarch64 = -1;
				must_refuse(arch, (enum policy_id)id, r, "the rule is missing");
				*r = keep;
				r->action = r->action == PACT_ALLOW ? PACT_LOG : PACT_ALLOW;
				must_refuse(arch, (enum policy_id)id, r, "the action is another");
				*r = keep;
				n += 2;
				changed_conditions(arch, (enum policy_id)id, i, &n);
			}
			p.def_err = p.def == PACT_ERRNO ? p.def_err + 1 : 1;
			p.def = PACT_ERRNO;
			must_refuse(arch, (enum policy_id)id, &p.rules[0], "the default is another");
		}
	}
	print_message("%u changes of texts found\n", n);
	assert_true(n > 1000);
}

/* ---- where a proof might look away ------------------------------------------------- */

static void
parse(const char *rules)
{
	char text[2000];

	snprintf(text, sizeof(text), "policy t version 1\nabout \"t\"\nidentity uid self gid self "
	    "groups none\ncaps none\nnamespaces user off mount off net off pid off ipc off uts off "
	    "cgroup off\nroot host\nlandlock off\nmdwe off\ndefault kill-process\n%s"
	    "budget syscalls 9 unpinned 9\n", rules);
	if (policy_parse(&p, text, strlen(text), "t", NULL, &d) == -1)
		fail_msg("%s", d.text);
}

static void
refuses(const struct sock_filter *insn, size_t n, const char *says)
{
	struct policy_bpf b = {.insn = (struct sock_filter *)(uintptr_t)insn, .n = n};
	const struct policy_bpf *one[1] = {&b};

	assert_int_equal(policy_prove(one, 1, &p, PARCH_X86_64, &d), -1);
	if (strstr(d.text, says) == NULL)
		fail_msg("%s", d.text);
}

#define NR BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0)
#define ARCH BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 4)
#define LOW(i) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 16 + 8 * (i))
#define HIGH(i) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 20 + 8 * (i))
#define AND(k) BPF_STMT(BPF_ALU | BPF_AND | BPF_K, k)
#define IF(op, k, t, f) BPF_JUMP(BPF_JMP | (op) | BPF_K, k, t, f)
#define YES BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define NO BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)
#define N(a) (sizeof(a) / sizeof((a)[0]))
#define ONLY_X86 ARCH, IF(BPF_JEQ, X86, 1, 0), NO, NR, IF(BPF_JEQ, 231, 0, 1), YES

/* Wrong only where two masks are satisfied at once. */
static void
two_masks(void **state)
{
	const struct sock_filter wrong[] = {ONLY_X86, IF(BPF_JEQ, 9, 1, 0), NO, LOW(2), AND(5),
	    IF(BPF_JEQ, 1, 0, 3), LOW(2), AND(10), IF(BPF_JEQ, 2, 0, 0), YES, YES};
	struct sock_filter bad[N(wrong)];

	(void)state;
	parse("allow exit_group why \"end\"\nallow mmap why \"all\"\n");
	memcpy(bad, wrong, sizeof(bad));
	bad[13].jt = 1; /* both: the second return */
	bad[N(bad) - 1] = (struct sock_filter)NO;
	refuses(bad, N(bad), "disagree");
}

/* The same place is reached with a mask on and then without. */
static void
masked_and_bare(void **state)
{
	const struct sock_filter bad[] = {ONLY_X86, IF(BPF_JEQ, 9, 1, 0), NO,
	    /* by the low bit of argument 0: argument 2 masked, or as it is */
	    LOW(0), IF(BPF_JSET, 1, 0, 2), LOW(2), IF(BPF_JEQ, 0, 1, 1), LOW(2) /* not masked */,
	    IF(BPF_JEQ, 0x1234567, 1, 0), YES, NO};
	const struct sock_filter bad2[] = {ONLY_X86, IF(BPF_JEQ, 9, 1, 0), NO, LOW(0),
	    IF(BPF_JEQ, 7, 0, 3), LOW(2), AND(0xff), IF(BPF_JEQ, 1, 1, 1), LOW(2),
	    IF(BPF_JEQ, 0x1234567, 1, 0), YES, NO};

	(void)state;
	parse("allow exit_group why \"end\"\nallow mmap why \"all\"\n");
	refuses(bad, N(bad), "disagree");
	refuses(bad2, N(bad2), "disagree");
}

/* One number, far from any that exists; one architecture that nobody has. */
static void
far_numbers(void **state)
{
	const struct sock_filter number[] = {ONLY_X86, IF(BPF_JEQ, 123456789, 0, 1), YES, NO};
	const struct sock_filter above[] = {ONLY_X86, IF(BPF_JGT, 0x12345678, 0, 2),
	    IF(BPF_JGE, 0x1234567b, 1, 0), YES, NO};
	const struct sock_filter arch[] = {ARCH, IF(BPF_JEQ, 0xdead, 0, 1), YES, ONLY_X86, NO};
	const struct sock_filter masked[] = {ARCH, IF(BPF_JEQ, X86, 1, 0), NO, NR, AND(0xffffff),
	    IF(BPF_JEQ, 231, 0, 1), YES, NO};

	(void)state;
	parse("allow exit_group why \"end\"\n");
	refuses(number, N(number), "disagree: call 123456789");
	refuses(above, N(above), "disagree: call 305419897");
	refuses(arch, N(arch), "on arch 0x0000dead");
	refuses(masked, N(masked), "cannot follow");
}

/* The border of a 64-bit comparison lies between the borders of its halves. */
static void
halves(void **state)
{
	/* 0x100000005 <= offset, asked as: upper half not 0, or ... lower half >= 5 */
	const struct sock_filter bad[] = {ONLY_X86, IF(BPF_JEQ, 9, 1, 0), NO, HIGH(5),
	    IF(BPF_JGT, 0, 0, 3), LOW(5), IF(BPF_JGE, 5, 0, 1), YES, NO};

	(void)state;
	parse("allow exit_group why \"end\"\nallow mmap offset >= 0x100000005 why \"xxx\"\n");
	refuses(bad, N(bad), "disagree"); /* 0x200000000 is allowed by the text */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(changed_differences),
	    cmocka_unit_test(changed_whole_programs),
	    cmocka_unit_test(changed_texts),
	    cmocka_unit_test(two_masks),
	    cmocka_unit_test(masked_and_bare),
	    cmocka_unit_test(far_numbers),
	    cmocka_unit_test(halves),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
