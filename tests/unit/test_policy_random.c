/* SRC: src/policy/lex.c src/policy/names.c src/policy/consts.c src/policy/syscalls.c src/policy/cond.c src/policy/parse.c src/policy/parse_layers.c src/policy/parse_rule.c src/policy/check.c src/policy/load.c src/policy/relate.c src/policy/compile.c src/policy/diff.c src/policy/code.c src/policy/prove.c src/policy/points.c src/policy/eval.c src/common/diag.c src/common/str.c src/common/log.c src/ipc/filters.c */
/* LIBS: -lseccomp -lcrypto */
/*
 * What a policy's text says and what its program does, asked with random calls:
 * the shipped policies, the examples, and policies made at random.  The text is
 * evaluated without libseccomp (policy_decide).  tests/fuzz/fuzz_policy_calls.c
 * does the same for as long as one likes.
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

#define CALLS 20000     /* for each policy and architecture */
#define POLICIES 80     /* made at random */

static struct policy p, q;
static struct policy_set set;
static struct diag d;

static void
agree(const struct policy_bpf *const *stack, unsigned int n, const struct policy *text,
    enum policy_arch arch, unsigned int calls, const char *what)
{
	unsigned int allowed = 0;

	for (unsigned int i = 0; i < calls; i++) {
		struct seccomp_data sd;
		uint32_t is, should;

		random_call(text, arch, &sd);
		is = policy_bpf_stack(stack, n, &sd);
		should = policy_decide(text, arch, &sd);
		if (is != should)
			fail_msg("%s: call %d on 0x%x (0x%llx 0x%llx 0x%llx 0x%llx): program 0x%x, "
			    "text 0x%x", what, sd.nr, sd.arch, (unsigned long long)sd.args[0],
			    (unsigned long long)sd.args[1], (unsigned long long)sd.args[2],
			    (unsigned long long)sd.args[3], is, should);
		allowed += is == SECCOMP_RET_ALLOW;
	}
	/* The calls are such that both answers come up. */
	if (calls >= CALLS && (allowed < calls / 50 || allowed > calls - calls / 50))
		fail_msg("%s: %u of %u calls allowed: that shows little", what, allowed, calls);
}

static void
shipped_policies(void **state)
{
	(void)state;
	random_state = 4;
	if (policy_set_load(&set, "policy", NULL, false, &d) == -1)
		fail_msg("%s (run this from the top of the source tree)", d.text);
	for (int arch = 0; arch < 2; arch++) {
		struct policy_bpf whole[POL__MAX], diffs[2];
		const struct policy_bpf *stack[4] = {&whole[POL_LAUNCHER], &whole[POL_TEMPLATE],
		    &diffs[0], &diffs[1]};

		for (int id = 0; id < POL__MAX; id++) {
			const struct policy_bpf *one[1] = {&whole[id]};

			assert_int_equal(policy_compile(&set.policy[id], (enum policy_arch)arch,
			    &whole[id], &d), 0);
			if (set.policy[id].seccomp != NEED_OFF)
				agree(one, 1, &set.policy[id], (enum policy_arch)arch, CALLS,
				    policy_file_name((enum policy_id)id));
		}
		assert_int_equal(policy_compile_diff(&set.policy[POL_TEMPLATE],
		    &set.policy[POL_LOGIN], (enum policy_arch)arch, &diffs[0], &d), 0);
		assert_int_equal(policy_compile_diff(&set.policy[POL_LOGIN],
		    &set.policy[POL_TLS_PROXY], (enum policy_arch)arch, &diffs[1], &d), 0);
		agree(stack, 3, &set.policy[POL_LOGIN], (enum policy_arch)arch, CALLS, "login stack");
		agree(stack, 4, &set.policy[POL_TLS_PROXY], (enum policy_arch)arch, CALLS,
		    "tls-proxy stack");
		for (int id = 0; id < POL__MAX; id++)
			policy_bpf_free(&whole[id]);
		policy_bpf_free(&diffs[0]);
		policy_bpf_free(&diffs[1]);
	}
	policy_set_free(&set);
}

static void
example_policies(void **state)
{
	static const char *const names[] = {"xz", "openssl-server", "python"};

	(void)state;
	random_state = 5;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (policy_load(&p, "policy/examples", names[i], &d) == -1)
			fail_msg("%s", d.text);
		for (int arch = 0; arch < 2; arch++) {
			struct policy_bpf b;
			const struct policy_bpf *one[1] = {&b};

			assert_int_equal(policy_compile(&p, (enum policy_arch)arch, &b, &d), 0);
			agree(one, 1, &p, (enum policy_arch)arch, CALLS, names[i]);
			policy_bpf_free(&b);
		}
	}
}

/* ---- policies made at random ---------------------------------------------------- */

/* Calls with arguments of every type: descriptors, int, unsigned, 64 bits. */
static const struct {
	const char *name, *args[6];
} calls[] = {
    {"read", {"count"}},
    {"write", {"count"}},
    {"mmap", {"addr", "length", "prot", "flags", "offset"}},
    {"socket", {"domain", "type", "protocol"}},
    {"kill", {"pid", "sig"}},
    {"ppoll", {"nfds", "sigmask"}},
    {"prctl", {"op"}},
    {"clone", {"flags", "stack"}},
    {"openat", {"dirfd", "flags"}},
    {"471", {"arg0", "arg1", "arg2", "arg3", "arg4", "arg5"}},
    {"getpid", {NULL}},
};

static const char head[] = "policy t version 1\nabout \"test\"\nidentity uid self gid self groups none\n"
    "caps none\nnamespaces user off mount off net off pid off ipc off uts off cgroup off\n"
    "root host\nlandlock off\nmdwe off\n";

struct text {
	char s[16384];
	size_t len;
};

static void __attribute__((format(printf, 2, 3)))
say(struct text *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	t->len += (size_t)vsnprintf(t->s + t->len, sizeof(t->s) - t->len, fmt, ap);
	va_end(ap);
	assert_true(t->len < sizeof(t->s));
}

static unsigned long long
random_value(void)
{
	switch (random_below(4)) {
	case 0:
		return random_interesting();
	case 1:
		return random_next() >> random_below(64);
	default:
		return random_below(40);
	}
}

static void
random_condition(struct text *t, const char *arg)
{
	static const char *const ops[] = {"==", "<=", ">=", "<", ">"};
	unsigned long long v = random_value(), mask;

	switch (random_below(4)) {
	case 0: /* few bits, as flags are */
		mask = random_below(2) != 0 ? random_below(256) : random_value();
		say(t, "  %s & %llu == %llu", arg, mask, v & mask);
		return;
	case 1:
		say(t, "  %s in {%llu", arg, v % 1000);
		for (unsigned int i = random_below(6), at = (unsigned int)(v % 1000); i > 0; i--) {
			at += 1 + random_below(50);
			say(t, ", %u", at);
			if (random_below(2) != 0)
				say(t, "-%u", at + 9), at += 9;
		}
		say(t, "}");
		return;
	default:
		say(t, "  %s %s %llu", arg, ops[random_below(5)], v);
	}
}

/* One rule a line, so that another policy can take some of them. */
static void
random_rule(struct text *t)
{
	static const char *const actions[] = {"allow", "allow", "allow", "errno 13", "log"};
	unsigned int c = random_below(sizeof(calls) / sizeof(calls[0]));

	say(t, "%s %s", actions[random_below(5)], calls[c].name);
	for (unsigned int i = 0; i < 6 && calls[c].args[i] != NULL; i++)
		if (random_below(3) == 0)
			random_condition(t, calls[c].args[i]);
	say(t, "  why \"made at random\"\n");
}

static bool
taken(const char *why)
{
	/* What a text may be refused for; anything else is a fault. */
	static const char *const fair[] = {"moot", "nothing new", "another action", "never true",
	    "always true", "out of range", "bits outside", "32 bits", "combinations", "too many",
	    "instructions", "twice", "compares too much", "has no name"};

	for (size_t i = 0; i < sizeof(fair) / sizeof(fair[0]); i++)
		if (strstr(why, fair[i]) != NULL)
			return true;
	return false;
}

/* A text with rules that were accepted one by one. */
static void
random_policy(struct text *rules, struct policy *into, const char *def)
{
	static struct text all, next;

	rules->len = 0;
	rules->s[0] = '\0';
	for (unsigned int tries = 2 + random_below(12); tries > 0; tries--) {
		next = *rules;
		random_rule(&next);
		all.len = 0;
		say(&all, "%s%s%sallow exit_group why \"the end\"\nbudget syscalls 99 unpinned 99\n",
		    head, def, next.s);
		if (policy_parse(into, all.s, all.len, "random", NULL, &d) == 0)
			*rules = next;
		else if (!taken(d.text))
			fail_msg("%s\n%s", d.text, next.s);
	}
	all.len = 0;
	say(&all, "%s%s%sallow exit_group why \"the end\"\nbudget syscalls 99 unpinned 99\n", head, def,
	    rules->s);
	assert_int_equal(policy_parse(into, all.s, all.len, "random", NULL, &d), 0);
}

/* libseccomp (2.5) makes one decision tree of the rules for a call and does not
 * go back: where rules with different arguments overlap it may miss one.  The
 * proof has found that and refused the program, as it should. */
static bool
libseccomp_lost(const struct policy *of, const char *why)
{
	const char *at = strstr(why, "disagree: call ");
	unsigned int rules = 0;
	int nr = at != NULL ? atoi(at + strlen("disagree: call ")) : -1;

	for (unsigned int i = 0; i < of->nrules; i++)
		if (of->rules[i].nr_x86_64 == nr || of->rules[i].nr_aarch64 == nr)
			rules++;
	return rules > 1;
}

static void
policies_made_at_random(void **state)
{
	static struct text rules;
	unsigned int compiled = 0, tried = 0, faults = 0;

	(void)state;
	random_state = 6;
	for (unsigned int i = 0; i < POLICIES; i++) {
		enum policy_arch arch = (enum policy_arch)(i % 2);
		struct policy_bpf b;
		const struct policy_bpf *one[1] = {&b};

		random_policy(&rules, &p, random_below(2) != 0 ? "default kill-process\n"
							       : "default errno EPERM\n");
		tried++;
		if (policy_compile(&p, arch, &b, &d) == -1) {
			if (!taken(d.text) && !libseccomp_lost(&p, d.text))
				fail_msg("%s\n%s", d.text, rules.s);
			faults += !taken(d.text);
			continue;
		}
		compiled++;
		agree(one, 1, &p, arch, 1500, rules.s);
		policy_bpf_free(&b);
	}
	print_message("%u of %u policies made at random could be proven; libseccomp lost a rule in %u\n",
	    compiled, tried, faults);
	assert_true(compiled > POLICIES / 2);
}

/* Some of the rules, some of these with one condition more. */
static void
narrowed(const struct text *from, struct text *to)
{
	static char copy[sizeof(from->s)];
	char *save = NULL;

	memcpy(copy, from->s, from->len + 1);
	to->len = 0;
	say(to, "%sdefault kill-process\n", head);
	for (char *line = strtok_r(copy, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		char *why = strstr(line, "  why ");

		if (random_below(3) == 0)
			continue;
		*why = '\0';
		say(to, "%s", line);
		if (strstr(line, " 471") != NULL && strstr(line, "arg5") == NULL && random_below(2) != 0)
			random_condition(to, "arg5");
		if (strstr(line, " kill ") != NULL && strstr(line, "sig") == NULL)
			random_condition(to, "sig");
		say(to, "  why \"made at random\"\n");
	}
	say(to, "allow exit_group why \"the end\"\nbudget syscalls 99 unpinned 99\n");
}

static void
differences_made_at_random(void **state)
{
	static struct text rules, less;
	unsigned int compiled = 0;

	(void)state;
	random_state = 7;
	for (unsigned int i = 0; i < POLICIES; i++) {
		enum policy_arch arch = (enum policy_arch)(i % 2);
		struct policy_bpf whole, diff;
		const struct policy_bpf *stack[2] = {&whole, &diff};

		random_policy(&rules, &p, "default kill-process\n");
		narrowed(&rules, &less);
		if (policy_parse(&q, less.s, less.len, "less", NULL, &d) == -1 ||
		    policy_compile(&p, arch, &whole, &d) == -1) {
			if (!taken(d.text) && !libseccomp_lost(&p, d.text))
				fail_msg("%s\n%s", d.text, less.s);
			continue;
		}
		if (policy_compile_diff(&p, &q, arch, &diff, &d) == 0) {
			compiled++;
			agree(stack, 2, &q, arch, 1500, less.s);
			policy_bpf_free(&diff);
		} else if (strstr(d.text, "disagree") != NULL) {
			fail_msg("%s\n--- from:\n%s\n--- to:\n%s", d.text, rules.s, less.s);
		}
		policy_bpf_free(&whole);
	}
	print_message("%u differences made at random could be proven\n", compiled);
	assert_true(compiled > POLICIES / 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(shipped_policies),
	    cmocka_unit_test(example_policies),
	    cmocka_unit_test(policies_made_at_random),
	    cmocka_unit_test(differences_made_at_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
