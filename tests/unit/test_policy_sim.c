/* SRC: src/policy/lex.c src/policy/names.c src/policy/consts.c src/policy/syscalls.c src/policy/cond.c src/policy/parse.c src/policy/parse_layers.c src/policy/parse_rule.c src/policy/check.c src/policy/load.c src/policy/relate.c src/policy/compile.c src/policy/diff.c src/policy/code.c src/policy/prove.c src/policy/points.c src/policy/eval.c src/tools/policy_text.c src/common/diag.c src/common/str.c src/common/log.c src/ipc/filters.c */
/* LIBS: -lseccomp -lcrypto */
/*
 * The shipped policies against two kinds of expectation:
 * tests/policy/NAME.sim   architecture, call, arguments, verdict (see login.sim)
 * tests/policy/golden/    what each policy amounts to, resolved to numbers, and
 *                         the two difference programs
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/audit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/filters.h"
#include "policy/eval.h"
#include "policy/internal.h"
#include "tools/policy_text.h"

#define SIM_DIR "tests/policy"

static struct policy_set set;
static struct diag d;
static struct policy_bpf whole[2][POL__MAX], diffs[2][2];
static char msg[1200];

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
	diag_format(&d, msg, sizeof(msg));
	if (rv == -1)
		print_error("%s\n(run this from the top of the source tree)\n", msg);
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

/* One line of a .sim file. */
struct sim {
	enum policy_arch arch;
	struct seccomp_data sd;
	unsigned int stars; /* bit i: argument i is '*' */
	char verdict[32];
};

static bool
sim_value(const struct policy *p, const char *word, uint64_t *v)
{
	char copy[200], *save = NULL, *end;
	int64_t c;

	*v = 0;
	snprintf(copy, sizeof(copy), "%s", word);
	for (char *w = strtok_r(copy, "|", &save); w != NULL; w = strtok_r(NULL, "|", &save)) {
		unsigned int i = 0;

		while (i < p->nfds && strcmp(p->fds[i].name, w) != 0)
			i++;
		if (i < p->nfds) {
			*v |= (uint64_t)p->fds[i].number;
		} else if (w[0] == '@' && filter_slot_by_name(w + 1) != -1) {
			*v |= FILTER_ADDR(filter_slot_by_name(w + 1));
		} else if (const_find(w, &c)) {
			*v |= (uint64_t)c;
		} else {
			*v |= w[0] == '-' ? (uint64_t)strtoll(w, &end, 0) : strtoull(w, &end, 0);
			if (*end != '\0')
				return false;
		}
	}
	return true;
}

static bool
sim_arch(struct sim *s, const char *name)
{
	s->arch = strcmp(name, "aarch64") == 0 ? PARCH_AARCH64 : PARCH_X86_64;
	s->sd.arch = strcmp(name, "i386") == 0 ? AUDIT_ARCH_I386 : policy_audit_arch(s->arch);
	return strcmp(name, "x86_64") == 0 || strcmp(name, "x32") == 0 ||
	    strcmp(name, "i386") == 0 || strcmp(name, "aarch64") == 0;
}

/* both: the architecture that "both" means this time. */
static bool
sim_parse(struct sim *s, const struct policy *p, char *line, enum policy_arch both)
{
	char *save = NULL, *end, *call;
	const char *arch = strtok_r(line, " \t\n", &save);
	char *words[16];
	int n = 0, x86_64, aarch64;

	memset(s, 0, sizeof(*s));
	call = strtok_r(NULL, " \t\n", &save);
	if (strcmp(arch, "both") == 0)
		arch = policy_arch_name(both);
	while (n < 16 && (words[n] = strtok_r(NULL, " \t\n", &save)) != NULL)
		n++;
	if (call == NULL || n < 1 || n > 8 || !sim_arch(s, arch))
		return false;
	s->sd.nr = (int)strtoul(call, &end, 0);
	if (*end != '\0') {
		if (!call_numbers(call, &x86_64, &aarch64))
			return false;
		s->sd.nr = s->arch == PARCH_X86_64 ? x86_64 : aarch64;
		if (s->sd.nr == -1)
			return false;
	}
	if (strcmp(arch, "x32") == 0)
		s->sd.nr |= 0x40000000;
	/* a verdict of two words: errno EPERM */
	if (n >= 2 && strcmp(words[n - 2], "errno") == 0)
		n--;
	snprintf(s->verdict, sizeof(s->verdict), "%s%s%s", words[n - 1],
	    strcmp(words[n - 1], "errno") == 0 ? " " : "",
	    strcmp(words[n - 1], "errno") == 0 ? words[n] : "");
	for (int i = 0; i < POLICY_ARGS; i++) {
		uint64_t v = 0;

		if (i >= n - 1 || strcmp(words[i], "*") == 0)
			s->stars |= 1u << i;
		else if (!sim_value(p, words[i], &v))
			return false;
		s->sd.args[i] = v;
	}
	return true;
}

static void
sim_try(const struct sim *s, const struct seccomp_data *sd, enum policy_id id, const char *where)
{
	const struct policy_bpf *stack[4] = {&whole[s->arch][id]};
	char text[32], program[32];

	policy_ret_text(policy_decide(&set.policy[id], s->arch, sd), text, sizeof(text));
	policy_ret_text(policy_bpf_stack(stack, 1, sd), program, sizeof(program));
	if (strcmp(text, s->verdict) != 0 || strcmp(program, s->verdict) != 0)
		fail_msg("%s: the text says %s, the program %s (arguments 0x%llx 0x%llx 0x%llx)", where,
		    text, program, (unsigned long long)sd->args[0], (unsigned long long)sd->args[1],
		    (unsigned long long)sd->args[2]);
	if (id != POL_LOGIN && id != POL_TLS_PROXY)
		return;
	/* what a forked worker really has: everything, one above the other */
	stack[0] = &whole[s->arch][POL_LAUNCHER];
	stack[1] = &whole[s->arch][POL_TEMPLATE];
	stack[2] = &diffs[s->arch][0];
	stack[3] = &diffs[s->arch][1];
	policy_ret_text(policy_bpf_stack(stack, id == POL_LOGIN ? 3 : 4, sd), program,
	    sizeof(program));
	if (strcmp(program, s->verdict) != 0)
		fail_msg("%s: the stack of filters says %s", where, program);
}

static void
sim_line(const struct sim *s, enum policy_id id, const char *where)
{
	static const uint64_t any[] = {0, 1, 3, 7, 4096, UINT32_MAX, 1ull << 32, UINT64_MAX};
	struct seccomp_data sd = s->sd;

	/* '*' stands for any value: some are tried, the same for all stars */
	for (size_t k = 0; k < sizeof(any) / sizeof(any[0]); k++) {
		for (int i = 0; i < POLICY_ARGS; i++)
			if ((s->stars >> i & 1) != 0)
				sd.args[i] = any[k];
		sim_try(s, &sd, id, where);
	}
}

static void
sims(void **state)
{
	unsigned int lines = 0;

	(void)state;
	for (int id = 0; id < POL__MAX; id++) {
		char path[100], line[400], copy[400], where[600];
		struct sim s;
		FILE *f;

		snprintf(path, sizeof(path), SIM_DIR "/%s.sim", policy_file_name((enum policy_id)id));
		f = fopen(path, "r");
		if (f == NULL && id == POL_SUPERVISOR)
			continue;
		if (f == NULL)
			fail_msg("cannot read %s", path);
		for (unsigned int n = 1; fgets(line, sizeof(line), f) != NULL; n++) {
			line[strcspn(line, "#\n")] = '\0';
			if (line[strspn(line, " \t")] == '\0')
				continue;
			snprintf(where, sizeof(where), "%s:%u: %s", path, n, line);
			for (int a = 0; a < (strncmp(line, "both", 4) == 0 ? 2 : 1); a++) {
				strcpy(copy, line);
				if (!sim_parse(&s, &set.policy[id], copy, (enum policy_arch)a))
					fail_msg("%s: cannot be read", where);
				sim_line(&s, (enum policy_id)id, where);
				lines++;
			}
		}
		fclose(f);
	}
	print_message("%u lines\n", lines);
}

/* True if the file holds exactly this text; with UPDATE_GOLDEN=1 it is written. */
static bool
golden_is(const char *name, const char *text, size_t len)
{
	static char have[1 << 17];
	char path[200];
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), SIM_DIR "/golden/%s", name);
	if (getenv("UPDATE_GOLDEN") != NULL) {
		f = fopen(path, "w");
		assert_non_null(f);
		fwrite(text, 1, len, f);
		fclose(f);
		return true;
	}
	f = fopen(path, "r");
	if (f != NULL) {
		n = fread(have, 1, sizeof(have), f);
		fclose(f);
	}
	if (n == len && memcmp(have, text, n) == 0)
		return true;
	print_error("%s is not what the policy now amounts to.  If the change is meant:\n"
		    "    UPDATE_GOLDEN=1 build/unit/test_policy_sim && git diff " SIM_DIR "/golden\n",
	    path);
	return false;
}

/* What each process may have at most, and that its budget is not larger than
 * what it uses: one call more has to be argued for in two places. */
static void
budgets(void **state)
{
	static const unsigned int most[POL__MAX] = {[POL_START] = 43, [POL_LAUNCHER] = 47,
	    [POL_TEMPLATE] = 12, [POL_LOGIN] = 6, [POL_TLS_PROXY] = 4, [POL_POOL] = 11,
	    [POL_AUTH_CLIENT] = 14, [POL_KEY_SIGNER] = 7};
	static struct policy p;

	(void)state;
	for (int id = POL_START; id < POL__MAX; id++) {
		unsigned int allowed, unpinned;
		const char *name = policy_file_name((enum policy_id)id);

		p = set.policy[id];
		policy_count(&p, &allowed, &unpinned);
		if (allowed > most[id])
			fail_msg("%s: %u calls, more than %u", name, allowed, most[id]);
		if (allowed != p.budget_syscalls || unpinned != p.budget_unpinned)
			fail_msg("%s: %u calls, %u of them unpinned; its budget says %u and %u", name, allowed,
			    unpinned, p.budget_syscalls, p.budget_unpinned);
		p.budget_syscalls--;
		assert_int_equal(policy_check(&p, &d), -1);
		assert_non_null(strstr(d.text, "over the budget"));
		p = set.policy[id];
		p.budget_unpinned--;
		assert_int_equal(policy_check(&p, &d), -1);
	}
}

static void
examples(void **state)
{
	static const char *const names[] = {"xz", "openssl-server", "python"};
	static struct policy p;
	bool same = true;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char name[100], *text = NULL;
		size_t len = 0;
		FILE *f = open_memstream(&text, &len);

		if (policy_load(&p, "policy/examples", names[i], &d) == -1)
			fail_msg("%s", d.text);
		policy_list(f, &p);
		fclose(f);
		snprintf(name, sizeof(name), "example-%s.txt", names[i]);
		same = golden_is(name, text, len) && same;
		free(text);
	}
	assert_true(same);
}

static void
goldens(void **state)
{
	static const char *const diff_names[] = {"login", "tls-proxy"};
	bool same = true;

	(void)state;
	for (int id = 0; id < POL__MAX; id++) {
		char name[100], *text = NULL;
		size_t len = 0;
		FILE *f = open_memstream(&text, &len);

		policy_list(f, &set.policy[id]);
		fclose(f);
		snprintf(name, sizeof(name), "%s.txt", policy_file_name((enum policy_id)id));
		same = golden_is(name, text, len) && same;
		free(text);
	}
	for (int i = 0; i < 4; i++) {
		enum policy_arch arch = (enum policy_arch)(i / 2);
		char name[100], *text = NULL;
		size_t len = 0;
		FILE *f = open_memstream(&text, &len);

		policy_asm(f, &diffs[arch][i % 2], arch);
		fclose(f);
		snprintf(name, sizeof(name), "%s-difference.%s.txt", diff_names[i % 2],
		    policy_arch_name(arch));
		same = golden_is(name, text, len) && same;
		free(text);
	}
	assert_true(same);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sims),
	    cmocka_unit_test(goldens),
	    cmocka_unit_test(budgets),
	    cmocka_unit_test(examples),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
