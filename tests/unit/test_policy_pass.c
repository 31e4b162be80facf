/* SRC: src/policy/[a-z]*.c src/common/diag.c src/common/str.c src/common/log.c src/ipc/filters.c */
/* LIBS: -lseccomp -lcrypto */
/* What gets through programs of any origin. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/audit.h>
#include <stdlib.h>
#include <string.h>

#include "policy/eval.h"
#include "policy/internal.h"
#include "policy/pass.h"

#define LOAD(what) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, what))
#define RET(v) BPF_STMT(BPF_RET | BPF_K, v)
#define ALLOW RET(SECCOMP_RET_ALLOW)
#define KILL RET(SECCOMP_RET_KILL_PROCESS)
#define IF(op, k, t, f) BPF_JUMP(BPF_JMP | BPF_##op | BPF_K, k, t, f)

static uint32_t native;

static struct policy_passing
pass_of(struct sock_filter *insn, size_t n, uint32_t nr)
{
	struct policy_bpf b = {.insn = insn, .n = n};
	const struct policy_bpf *stack[] = {&b};

	return policy_pass_call(stack, 1, native, nr);
}
#define PASS(nr, ...)                                                   \
	({                                                              \
		struct sock_filter insn_[] = {__VA_ARGS__};             \
		pass_of(insn_, sizeof(insn_) / sizeof(insn_[0]), nr);   \
	})

static void
single_programs(void **state)
{
	struct policy_passing r;

	(void)state;
	r = policy_pass_call(NULL, 0, native, 5);
	assert_int_equal(r.pass, PASS_FREE);
	assert_int_equal(PASS(5, ALLOW).pass, PASS_FREE);
	r = PASS(5, KILL);
	assert_int_equal(r.pass, PASS_DENIED);
	assert_int_equal(r.ret, SECCOMP_RET_KILL_PROCESS);
	/* by number: either side */
	r = PASS(5, LOAD(nr), IF(JEQ, 5, 0, 1), ALLOW, RET(SECCOMP_RET_ERRNO | 38));
	assert_int_equal(r.pass, PASS_FREE);
	r = PASS(6, LOAD(nr), IF(JEQ, 5, 0, 1), ALLOW, RET(SECCOMP_RET_ERRNO | 38));
	assert_int_equal(r.pass, PASS_DENIED);
	assert_int_equal(r.ret, SECCOMP_RET_ERRNO | 38);
	/* by architecture */
	r = PASS(5, LOAD(arch), IF(JEQ, AUDIT_ARCH_I386, 0, 1), ALLOW, KILL);
	assert_int_equal(r.pass, PASS_DENIED);
	/* somebody else decides */
	assert_int_equal(PASS(5, RET(SECCOMP_RET_USER_NOTIF)).pass, PASS_ASKED);
	assert_int_equal(PASS(5, RET(SECCOMP_RET_TRACE)).pass, PASS_ASKED);
	assert_int_equal(PASS(5, RET(SECCOMP_RET_LOG)).pass, PASS_FREE);
	assert_int_equal(PASS(5, RET(SECCOMP_RET_TRAP)).pass, PASS_DENIED);
}

static void
arguments(void **state)
{
	struct policy_passing r;

	(void)state;
	/* one value out of 2^32, and the upper half */
	r = PASS(5, LOAD(args[2]), IF(JEQ, 0x12345678, 0, 1), ALLOW, KILL);
	assert_int_equal(r.pass, PASS_PINNED);
	assert_int_equal(r.args, 1u << 2);
	/* a mask */
	r = PASS(5, LOAD(args[1]), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff00),
	    IF(JEQ, 0x5400, 0, 1), ALLOW, KILL);
	assert_int_equal(r.pass, PASS_PINNED);
	r = PASS(5, LOAD(args[1]), IF(JSET, 0x80000000, 0, 1), ALLOW, KILL);
	assert_int_equal(r.pass, PASS_PINNED);
	/* a contradiction: no value is both, though there is a path */
	r = PASS(5, LOAD(args[0]), IF(JEQ, 7, 0, 2), IF(JEQ, 8, 0, 1), ALLOW, KILL);
	assert_int_equal(r.pass, PASS_DENIED);
	assert_true(r.exact);
	/* a range of one */
	r = PASS(5, LOAD(args[0]), IF(JGE, 41, 0, 2), IF(JGT, 41, 1, 0), ALLOW, KILL);
	assert_int_equal(r.pass, PASS_PINNED);
	/* looked at, but of no consequence */
	r = PASS(5, LOAD(args[0]), IF(JEQ, 7, 0, 0), ALLOW);
	assert_int_equal(r.pass, PASS_FREE);
}

/* Computed values are not followed: then nothing is claimed that is not shown. */
static void
beyond_the_walk(void **state)
{
	struct policy_passing r;

	(void)state;
	/* the values that are tried do not hit it */
	r = PASS(5, LOAD(args[0]), BPF_STMT(BPF_ALU | BPF_XOR | BPF_K, 0x5a5a1234),
	    IF(JEQ, 0x77777777, 0, 1), ALLOW, KILL);
	assert_int_equal(r.pass, PASS_UNDECIDED);
	assert_false(r.exact);
	/* through scratch memory */
	r = PASS(5, LOAD(args[0]), BPF_STMT(BPF_ST, 3), BPF_STMT(BPF_LD | BPF_MEM, 3),
	    IF(JEQ, 0x77777777, 0, 1), ALLOW, KILL);
	assert_int_equal(r.pass, PASS_UNDECIDED);
	/* whatever it is, it is allowed, or it is not */
	r = PASS(5, BPF_STMT(BPF_LD | BPF_MEM, 3), IF(JEQ, 7, 0, 0), ALLOW);
	assert_int_equal(r.pass, PASS_FREE);
	r = PASS(5, BPF_STMT(BPF_LD | BPF_MEM, 3), IF(JEQ, 7, 0, 0), KILL);
	assert_int_equal(r.pass, PASS_DENIED);
	/* the answer itself is computed */
	r = PASS(5, LOAD(args[0]), BPF_STMT(BPF_RET | BPF_A, 0));
	assert_true(r.pass == PASS_UNDECIDED || r.pass == PASS_PINNED);
}

static void
stacks(void **state)
{
	struct sock_filter low[] = {LOAD(args[0]), IF(JGT, 9, 1, 0), ALLOW, KILL};
	struct sock_filter high[] = {LOAD(args[0]), IF(JGT, 9, 0, 1), ALLOW, RET(SECCOMP_RET_ERRNO)};
	struct sock_filter all[] = {ALLOW};
	struct policy_bpf a = {.insn = low, .n = 4}, b = {.insn = high, .n = 4}, c = {.insn = all, .n = 1};
	const struct policy_bpf *both[] = {&a, &b}, *one[] = {&c, &a, &c};
	struct policy_passing r;

	(void)state;
	r = policy_pass_call(both, 2, native, 1);
	assert_int_equal(r.pass, PASS_DENIED);
	assert_true(r.exact);
	r = policy_pass_call(one, 3, native, 1);
	assert_int_equal(r.pass, PASS_PINNED);
}

/* For what the compiler makes, it has to say what the compiler's own count says. */
static void
shipped(void **state)
{
	static struct policy_set s;
	struct diag d = {0};

	(void)state;
	if (policy_set_load(&s, "policy", NULL, false, &d) == -1)
		fail_msg("%s:%u: %s", d.file, d.line, d.text);
	for (int i = POL_START; i < POL__MAX; i++) {
		const struct policy_bpf *stack[] = {&s.whole[i]};
		unsigned int allowed, unpinned, n[PASS__MAX] = {0};

		for (uint32_t nr = 0; nr < 1024; nr++) {
			n[policy_pass_call(stack, 1, native, nr).pass]++;
			assert_int_equal(policy_pass_call(stack, 1, AUDIT_ARCH_I386, nr).pass,
			    PASS_DENIED);
			if (native == AUDIT_ARCH_X86_64)
				assert_int_equal(policy_pass_call(stack, 1, native, nr | 0x40000000).pass,
				    PASS_DENIED);
		}
		policy_count(&s.policy[i], &allowed, &unpinned);
		assert_int_equal(n[PASS_UNDECIDED] + n[PASS_ASKED], 0);
		/* policy_count counts calls of both architectures */
		assert_true(n[PASS_FREE] <= unpinned && n[PASS_FREE] + 6 > unpinned);
		assert_true(n[PASS_FREE] + n[PASS_PINNED] <= allowed);
		assert_true(n[PASS_FREE] + n[PASS_PINNED] + 8 > allowed);
	}
	policy_set_free(&s);
}

static int
setup(void **state)
{
	(void)state;
	native = policy_audit_arch(policy_native_arch());
	return 0;
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(single_programs),
	    cmocka_unit_test(arguments), cmocka_unit_test(beyond_the_walk), cmocka_unit_test(stacks),
	    cmocka_unit_test(shipped)};

	return cmocka_run_group_tests(tests, setup, NULL);
}
