/* SRC: src/policy/lex.c src/policy/names.c src/policy/consts.c src/policy/syscalls.c src/policy/cond.c src/policy/parse.c src/policy/parse_layers.c src/policy/parse_rule.c src/policy/check.c src/policy/load.c src/policy/relate.c src/policy/compile.c src/policy/diff.c src/policy/code.c src/policy/prove.c src/policy/points.c src/policy/eval.c src/common/diag.c src/common/str.c src/common/log.c src/ipc/filters.c */
/* LIBS: -lseccomp -lcrypto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy/eval.h"
#include "policy/internal.h"

static struct policy p, q;
static struct diag d;
static char msg[1200];

#define HEAD                                                                                       \
	"policy t version 1\nabout \"test\"\nidentity uid self gid self groups none\ncaps none\n"  \
	"namespaces user off mount off net off pid off ipc off uts off cgroup off\n"               \
	"root host\nlandlock off\nmdwe off\ndefault kill-process\n"                                \
	"fd 3 client tcp read write\nfd 6 mail stream read write\nfd 16-4095 conn any read write\n"
#define END "allow exit_group why \"end\"\nallow close why \"all\"\nbudget syscalls 40 unpinned 40\n"

static const char *
text_of(const struct diag *x)
{
	diag_format(x, msg, sizeof(msg));
	return msg;
}

static void
parse(struct policy *into, const char *text)
{
	if (policy_parse(into, text, strlen(text), "t", NULL, &d) == -1)
		fail_msg("%s", text_of(&d));
}

static void
compile(enum policy_arch arch, struct policy_bpf *b)
{
	if (policy_compile(&p, arch, b, &d) == -1)
		fail_msg("%s", text_of(&d));
}

static uint32_t
run(const struct policy_bpf *b, uint32_t arch, int nr, uint64_t a0, uint64_t a1, uint64_t a2)
{
	const struct seccomp_data sd = {.nr = nr, .arch = arch, .args = {a0, a1, a2}};
	const struct policy_bpf *stack[1] = {b};

	return policy_bpf_stack(stack, 1, &sd);
}

#define X86 0xc000003eu
#define ARM64 0xc00000b7u
#define I386 0x40000003u
#define KILL SECCOMP_RET_KILL_PROCESS
#define ALLOW SECCOMP_RET_ALLOW

static void
every_comparison_at_its_borders(void **state)
{
	struct policy_bpf b;

	(void)state;
	parse(&p, HEAD "allow read fd in {client, conn} count <= 256 why \"x x\"\n"
		       "allow getrandom count < 10 flags > 2 why \"x x\"\n"
		       "allow mprotect prot & PROT_EXEC == 0 why \"x x\"\n"
		       "allow prctl op & 0xf0 == 0x20 why \"x x\"\n"
		       "allow kill sig >= 9 why \"x x\"\n"
		       "allow lseek fd == mail offset >= 0x100000001 why \"x x\"\n" END);
	compile(PARCH_X86_64, &b);
	assert_int_equal(run(&b, X86, 0, 3, 0, 256), ALLOW);
	assert_int_equal(run(&b, X86, 0, 3, 0, 257), KILL);
	assert_int_equal(run(&b, X86, 0, 3, 0, 1ull << 32), KILL);
	assert_int_equal(run(&b, X86, 0, 4, 0, 1), KILL);
	assert_int_equal(run(&b, X86, 0, 15, 0, 1), KILL);
	assert_int_equal(run(&b, X86, 0, 16, 0, 1), ALLOW);
	assert_int_equal(run(&b, X86, 0, 4095, 0, 1), ALLOW);
	assert_int_equal(run(&b, X86, 0, 4096, 0, 1), KILL);
	/* the upper half of an int counts, although the kernel would cut it off */
	assert_int_equal(run(&b, X86, 0, 0x100000003, 0, 1), KILL);
	assert_int_equal(run(&b, X86, 318, 0, 9, 3), ALLOW);
	assert_int_equal(run(&b, X86, 318, 0, 10, 3), KILL);
	assert_int_equal(run(&b, X86, 318, 0, 9, 2), KILL);
	assert_int_equal(run(&b, X86, 318, 0, 9, 0xffffffff), ALLOW);
	assert_int_equal(run(&b, X86, 318, 0, 9, 0x100000003), KILL);
	assert_int_equal(run(&b, X86, 10, 0, 0, 3), ALLOW);
	assert_int_equal(run(&b, X86, 10, 0, 0, 7), KILL);
	assert_int_equal(run(&b, X86, 157, 0x2f, 0, 0), ALLOW);
	assert_int_equal(run(&b, X86, 157, 0x30, 0, 0), KILL);
	assert_int_equal(run(&b, X86, 157, 0x100000020, 0, 0), KILL);
	assert_int_equal(run(&b, X86, 62, 0, 9, 0), ALLOW);
	assert_int_equal(run(&b, X86, 62, 0, 8, 0), KILL);
	assert_int_equal(run(&b, X86, 62, 0, 0x100000009, 0), KILL);
	assert_int_equal(run(&b, X86, 8, 6, 0x100000001, 0), ALLOW);
	assert_int_equal(run(&b, X86, 8, 6, 0x100000000, 0), KILL);
	policy_bpf_free(&b);
}

static void
foreign_architectures_die(void **state)
{
	struct policy_bpf b;

	(void)state;
	parse(&p, HEAD "allow read why \"x x\"\nallow mseal flags == 0 why \"x x\"\n" END);
	compile(PARCH_X86_64, &b);
	assert_int_equal(run(&b, X86, 0, 0, 0, 0), ALLOW);
	assert_int_equal(run(&b, X86, 0x40000000, 0, 0, 0), KILL);
	assert_int_equal(run(&b, I386, 0, 0, 0, 0), KILL);
	assert_int_equal(run(&b, ARM64, 0, 0, 0, 0), KILL);
	assert_int_equal(run(&b, X86, -1, 0, 0, 0), KILL);
	assert_int_equal(run(&b, X86, 462, 0, 0, 0), ALLOW);
	assert_int_equal(run(&b, X86, 462, 0, 0, 1), KILL);
	policy_bpf_free(&b);
	/* on the other architecture libseccomp cannot translate 462: the stand-in */
	compile(PARCH_AARCH64, &b);
	assert_int_equal(run(&b, ARM64, 63, 0, 0, 0), ALLOW);
	assert_int_equal(run(&b, X86, 63, 0, 0, 0), KILL);
	assert_int_equal(run(&b, ARM64, 462, 0, 0, 0), ALLOW);
	assert_int_equal(run(&b, ARM64, 462, 0, 0, 1), KILL);
	assert_int_equal(run(&b, ARM64, 89, 0, 0, 0), KILL); /* acct, the stand-in */
	policy_bpf_free(&b);
}

static void
errno_and_default(void **state)
{
	struct policy_bpf b;

	(void)state;
	parse(&p, "policy t version 1\nabout \"test\"\nidentity uid self gid self groups none\n"
		  "caps none\nnamespaces user off mount off net off pid off ipc off uts off cgroup off\n"
		  "root host\nlandlock off\nmdwe off\ndefault errno EPERM\n"
		  "errno 0 getpid why \"fork check\"\n" END);
	compile(PARCH_X86_64, &b);
	assert_int_equal(run(&b, X86, 39, 0, 0, 0), SECCOMP_RET_ERRNO);
	assert_int_equal(run(&b, X86, 0, 0, 0, 0), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(run(&b, I386, 0, 0, 0, 0), KILL);
	policy_bpf_free(&b);
}

/* Change one field of one instruction at a time: the proof has to notice each
 * change that alters what the program does. */
static void
proof_finds_changed_programs(void **state)
{
	struct policy_bpf b;
	const struct policy_bpf *stack[1] = {&b};
	unsigned int found = 0, unseen = 0;

	(void)state;
	parse(&p, HEAD "allow read fd in {client, mail} why \"x x\"\n"
		       "allow ppoll nfds <= 4 sigmask == 0 why \"x x\"\n" END);
	compile(PARCH_X86_64, &b);
	assert_int_equal(policy_prove(stack, 1, &p, PARCH_X86_64, &d), 0);
	for (size_t i = 0; i < b.n; i++) {
		struct sock_filter keep = b.insn[i];

		for (int change = 0; change < 5; change++) {
			b.insn[i] = keep;
			if (change == 0)
				b.insn[i].k ^= 1;
			else if (change == 1)
				b.insn[i].k ^= 0x100;
			else if (change == 2)
				b.insn[i].jt ^= 1;
			else if (change == 3)
				b.insn[i].jf ^= 1;
			else if (BPF_CLASS(keep.code) == BPF_JMP)
				b.insn[i].code = BPF_JMP | BPF_JGE | BPF_K;
			else
				continue;
			if ((change == 2 || change == 3) && BPF_CLASS(keep.code) != BPF_JMP)
				continue;
			if (policy_prove(stack, 1, &p, PARCH_X86_64, &d) == -1)
				found++;
			else
				unseen++;
		}
		b.insn[i] = keep;
	}
	/* These alter nothing: the border of x32 (no such number is allowed anyway),
	 * jumps past the end instead of to the killing return, the data of an
	 * allowing one. */
	print_message("%u changes found, %u without effect\n", found, unseen);
	assert_true(unseen <= 15 && found >= 80);
	policy_bpf_free(&b);
}

static void
proof_refuses_what_it_cannot_follow(void **state)
{
	struct sock_filter tax[] = {BPF_STMT(BPF_MISC | BPF_TAX, 0),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)};
	struct sock_filter ret_a[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 16),
	    BPF_STMT(BPF_RET | BPF_A, 0)};
	struct policy_bpf b = {.insn = tax, .n = 2};
	const struct policy_bpf *stack[1] = {&b};

	(void)state;
	parse(&p, HEAD END);
	assert_int_equal(policy_prove(stack, 1, &p, PARCH_X86_64, &d), -1);
	b.insn = ret_a;
	assert_int_equal(policy_prove(stack, 1, &p, PARCH_X86_64, &d), -1);
}

static void
evaluator_follows_the_kernel(void **state)
{
	struct sock_filter off_the_end[] = {BPF_JUMP(BPF_JMP | BPF_JA, 5, 0, 0)};
	struct sock_filter unaligned[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_filter beyond[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_filter scratch[] = {BPF_STMT(BPF_LD | BPF_IMM, 7), BPF_STMT(BPF_ST, 3),
	    BPF_STMT(BPF_LDX | BPF_MEM, 3), BPF_STMT(BPF_LD | BPF_IMM, 1),
	    BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 8, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW), BPF_STMT(BPF_RET | BPF_K, 0)};
	struct sock_filter log[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_LOG)};
	struct sock_filter e1[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1)};
	struct sock_filter e2[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 2)};
	struct policy_bpf a = {.insn = log, .n = 1}, b = {.insn = e1, .n = 1};
	struct policy_bpf c = {.insn = e2, .n = 1};
	const struct policy_bpf *stack[3] = {&a, &b, &c};
	const struct seccomp_data sd = {.arch = X86};

	(void)state;
	assert_int_equal(policy_bpf_run(off_the_end, 1, &sd), KILL);
	assert_int_equal(policy_bpf_run(unaligned, 2, &sd), KILL);
	assert_int_equal(policy_bpf_run(beyond, 2, &sd), KILL);
	assert_int_equal(policy_bpf_run(scratch, 8, &sd), ALLOW);
	/* the strictest wins; of equals, the one that was installed last */
	assert_int_equal(policy_bpf_stack(stack, 3, &sd), SECCOMP_RET_ERRNO | 2);
	assert_int_equal(policy_bpf_stack(stack, 1, &sd), SECCOMP_RET_LOG);
}

#define DIFF_FROM                                                                                  \
	HEAD "allow read fd in {client, mail} why \"x x\"\nallow write fd in {client, mail} why \"x x\"\n" \
	     "allow write fd == conn why \"x x\"\nallow kill sig in {1, 9, 15} why \"x x\"\n"      \
	     "allow mprotect prot & PROT_EXEC == 0 why \"x x\"\nallow getpid why \"x x\"\n"        \
	     "allow lseek why \"x x\"\n" END

static void
check_diff(const char *to, size_t most)
{
	struct policy_bpf b;
	int rv;

	parse(&p, DIFF_FROM);
	parse(&q, to);
	for (enum policy_arch arch = PARCH_X86_64; arch <= PARCH_AARCH64; arch++) {
		rv = policy_compile_diff(&p, &q, arch, &b, &d);
		if (rv == -1)
			fail_msg("%s", text_of(&d));
		if (b.n > most)
			fail_msg("%zu instructions, expected at most %zu, for %s", b.n, most, to);
		policy_bpf_free(&b);
	}
}

static void
differences_are_short_and_proven(void **state)
{
	(void)state;
	/* the same text: numbers only */
	check_diff(DIFF_FROM, 11);
	check_diff(HEAD "allow read fd == client why \"x x\"\n" END, 8);
	check_diff(HEAD "allow read fd == client why \"x x\"\nallow write fd == client why \"x x\"\n" END, 9);
	check_diff(HEAD "allow write fd in {client, conn} why \"x x\"\n" END, 10);
	check_diff(HEAD "allow kill sig in {9, 15} why \"x x\"\nerrno 0 getpid why \"x x\"\n" END, 11);
	check_diff(HEAD "allow mprotect prot & 6 == 0 why \"x x\"\n" END, 9);
	check_diff(HEAD "allow lseek fd == client offset <= 5 why \"x x\"\n" END, 14);
	check_diff(HEAD "allow lseek fd == client offset <= 5 why \"x x\"\n"
			"allow lseek fd == mail whence in {0, 2} why \"x x\"\n" END, 23);
	check_diff(HEAD "allow lseek offset & 0xff00000000ff == 0x10000000001 why \"x x\"\n" END, 12);
}

static void
differences_refuse_what_they_cannot_say(void **state)
{
	struct policy_bpf b;

	(void)state;
	parse(&p, DIFF_FROM);
	parse(&q, HEAD "allow lseek offset >= 0xffffffff why \"x x\"\n" END);
	assert_int_equal(policy_compile_diff(&p, &q, PARCH_X86_64, &b, &d), -1);
	assert_non_null(strstr(d.text, "lseek: t cannot be narrowed"));
	assert_null(b.insn);
	parse(&q, HEAD "allow ptrace why \"x x\"\n" END);
	assert_int_equal(policy_compile_diff(&p, &q, PARCH_X86_64, &b, &d), -1);
	assert_non_null(strstr(d.text, "denied by the filter that stays in force"));
}

static const struct {
	const char *outer, *inner, *says;
} chains[] = {
    {"allow read why \"x x\"\n", "allow read fd == client why \"x x\"\n", NULL},
    {"allow read fd == client why \"x x\"\n", "allow read why \"x x\"\n", "read("},
    {"allow read fd in {client, mail} why \"x x\"\n",
	"allow read fd == client why \"x x\"\nallow read fd == mail why \"x x\"\n", NULL},
    {"allow read fd == client why \"x x\"\nallow read fd == mail why \"x x\"\n",
	"allow read fd in {client, mail} why \"x x\"\n", NULL},
    {"allow read fd == conn why \"x x\"\n", "allow read fd in {client, conn} why \"x x\"\n", "read("},
    {"allow getpid why \"x x\"\n", "errno 0 getpid why \"x x\"\n", NULL},
    {"errno 0 getpid why \"x x\"\n", "allow getpid why \"x x\"\n", "getpid("},
    {"allow read why \"x x\"\n", "errno 0 getpid why \"x x\"\n", "getpid("},
    {"allow mmap prot & PROT_EXEC == 0 why \"x x\"\n", "allow mmap prot in {0-3} why \"x x\"\n", NULL},
    {"allow mmap prot & PROT_EXEC == 0 why \"x x\"\n", "allow mmap prot <= 4 why \"x x\"\n", "prot = 0x4"},
    {"allow mmap prot & 6 == 0 why \"x x\"\n", "allow mmap prot & 4 == 0 why \"x x\"\n", "mmap("},
    {"allow kill sig <= 9 why \"x x\"\n", "allow kill sig <= 10 why \"x x\"\n", "sig = 0xa"},
};

static void
chains_by_behaviour(void **state)
{
	char outer[2000], inner[2000];

	(void)state;
	for (size_t i = 0; i < sizeof(chains) / sizeof(chains[0]); i++) {
		int rv;

		snprintf(outer, sizeof(outer), "%s%s%s", HEAD, chains[i].outer, END);
		snprintf(inner, sizeof(inner), "%s%s%s", HEAD, chains[i].inner, END);
		parse(&p, outer);
		parse(&q, inner);
		rv = policy_check_chain(&p, &q, &d);
		if ((rv == 0) != (chains[i].says == NULL))
			fail_msg("case %zu: %d %s", i, rv, rv == -1 ? text_of(&d) : "");
		if (rv == -1 && strstr(d.text, chains[i].says) == NULL)
			fail_msg("case %zu: %s", i, text_of(&d));
	}
}

/* A site's file may only narrow: change one word of a policy, see the verdict. */
static const struct {
	const char *from, *to;
	bool wider;
} sites[] = {
    {"uid login", "uid self", true},
    {"groups none", "groups keep", true},
    {"caps       none", "caps kill", true},
    {"net required", "net optional", true},
    {"user optional", "user required", false},
    {"root       empty read-only", "root host", true},
    {"landlock   required", "landlock optional", true},
    {"abi >= 1", "abi >= 4", false},
    {"mdwe       optional", "mdwe required", false},
    {"mdwe       optional", "mdwe off", true},
    {"oom-score  300 optional", "oom-score 300 required", false},
    {"oom-score  300 optional", "oom-score 1000 optional", false},
    {"oom-score  300 optional", "oom-score 299 required", true},
    {"oom-score", "# oom-score", true},
    {"nofile 16", "nofile 17", true},
    {"nofile 16", "nofile 12", false},
    {"nofile 16", "", true},
    {"nfds <= 4", "nfds <= 5", true},
    {"nfds <= 4", "nfds <= 3", false},
    {"count <= 256", "count <= 64", false},
    {"nfds <= 4  sigmask == 0", "nfds <= 4", true},
    {"default    kill-process", "default errno EPERM", true},
    {"default    kill-process", "default kill-process\nseccomp off", true},
    {"fd 2 log     pipe       write", "fd 2 log pipe read write", true},
    {"errno 0 getpid ", "allow getpid ", true},
    {"budget     syscalls 6", "budget syscalls 9", false},
};

static void
sites_may_only_narrow(void **state)
{
	static char text[8192], changed[9000];
	char *budget;
	FILE *f = fopen("policy/login.policy", "r");
	size_t len;

	(void)state;
	if (f == NULL)
		fail_msg("run this from the top of the source tree");
	len = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[len] = '\0';
	parse(&p, text);
	for (size_t i = 0; i < sizeof(sites) / sizeof(sites[0]); i++) {
		const char *at = strstr(text, sites[i].from);
		int rv;

		if (at == NULL)
			fail_msg("login.policy has no \"%s\" any more", sites[i].from);
		snprintf(changed, sizeof(changed), "%.*s%s%s", (int)(at - text), text, sites[i].to,
		    at + strlen(sites[i].from));
		budget = strstr(changed, "budget ");
		if (budget != NULL && strncmp(sites[i].from, "budget", 6) != 0)
			strcpy(budget, "budget syscalls 9 unpinned 9\n");
		parse(&q, changed);
		rv = policy_check_narrower(&p, &q, &d);
		if ((rv == -1) != sites[i].wider)
			fail_msg("%s -> %s: %d %s", sites[i].from, sites[i].to, rv,
			    rv == -1 ? text_of(&d) : "");
	}
}

static struct policy_set set;

static void
shipped_set_loads(void **state)
{
	(void)state;
	if (policy_set_load(&set, "policy", NULL, false, &d) == -1)
		fail_msg("%s", text_of(&d));
	for (int i = 0; i < POL__MAX; i++) {
		assert_true(set.whole[i].n <= POLICY_INSN_MAX);
		assert_true(i == POL_SUPERVISOR || set.whole[i].n > 0);
		assert_int_equal(strlen(set.fingerprint[i]), i == POL_SUPERVISOR ? 3 : 16);
	}
	/* installed for each connection: every instruction costs */
	assert_true(set.login_diff.n <= 12);
	assert_true(set.tls_proxy_diff.n <= 10);
	policy_set_free(&set);
	policy_set_free(&set);
}

static void
write_site(const char *dir, const char *from, const char *to)
{
	static char text[8192];
	char path[200];
	FILE *f = fopen("policy/login.policy", "r");
	size_t len = fread(text, 1, sizeof(text) - 1, f);
	char *at;

	fclose(f);
	text[len] = '\0';
	at = strstr(text, from);
	assert_non_null(at);
	snprintf(path, sizeof(path), "%s/login.policy", dir);
	f = fopen(path, "w");
	fprintf(f, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
	fclose(f);
}

static void
site_files_replace_shipped_ones(void **state)
{
	char dir[] = "/tmp/test_policy.XXXXXX", path[200];

	(void)state;
	assert_non_null(mkdtemp(dir));
	write_site(dir, "count <= 256", "count <= 64");
	assert_int_equal(policy_set_load(&set, "policy", dir, false, &d), 0);
	assert_non_null(strstr(set.policy[POL_LOGIN].file, dir));
	policy_set_free(&set);
	write_site(dir, "count <= 256", "count <= 257");
	assert_int_equal(policy_set_load(&set, "policy", dir, false, &d), -1);
	/* even with policy_allow_widen the template's filter stays in force */
	assert_int_equal(policy_set_load(&set, "policy", dir, true, &d), -1);
	assert_non_null(strstr(d.text, "template"));
	/* the same process as before, without /proc */
	write_site(dir, "oom-score  300", "oom-score 301");
	assert_int_equal(policy_set_load(&set, "policy", dir, false, &d), -1);
	assert_non_null(strstr(d.text, "more than policy template says"));
	write_site(dir, "default    kill-process", "default kill-process\nseccomp off");
	assert_int_equal(policy_set_load(&set, "policy", dir, false, &d), -1);
	assert_int_equal(policy_set_load(&set, "policy", dir, true, &d), 0);
	assert_int_equal(set.whole[POL_LOGIN].n, 0);
	assert_int_equal(set.login_diff.n, 0);
	assert_string_equal(set.fingerprint[POL_LOGIN], "off");
	/* tls-proxy then has nothing before it to differ from */
	assert_int_equal(set.tls_proxy_diff.n, set.whole[POL_TLS_PROXY].n);
	policy_set_free(&set);
	snprintf(path, sizeof(path), "%s/login.policy", dir);
	unlink(path);
	rmdir(dir);
}

static int
install(const struct policy_bpf *b)
{
	const struct sock_fprog prog = {.len = (unsigned short)b->n, .filter = b->insn};

	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog);
}

/* In a child under both programs: one call, then exit_group. */
static int
status_of(const struct policy_bpf *first, const struct policy_bpf *second, long nr, long a0,
    long a1, long a2)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 || install(first) == -1 ||
		    (second != NULL && install(second) == -1))
			_exit(99);
		syscall(nr, a0, a1, a2, 0, 0, 0);
		syscall(SYS_exit_group, 7);
	}
	if (pid == -1 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void
kernel_agrees(void **state)
{
	struct policy_bpf from, diff;

	(void)state;
	parse(&p, HEAD "allow read fd in {client, mail} why \"x x\"\nallow seccomp why \"x x\"\n"
		       "allow getppid why \"x x\"\n" END);
	parse(&q, HEAD "allow read fd == client why \"x x\"\nerrno 5 getppid why \"x x\"\n" END);
	compile(policy_native_arch(), &from);
	assert_int_equal(policy_compile_diff(&p, &q, policy_native_arch(), &diff, &d), 0);
	assert_int_equal(status_of(&from, NULL, SYS_read, 6, 0, 0), 7);
	assert_int_equal(status_of(&from, NULL, SYS_read, 5, 0, 0), -SIGSYS);
	assert_int_equal(status_of(&from, NULL, SYS_getppid, 0, 0, 0), 7);
	assert_int_equal(status_of(&from, NULL, SYS_getpid, 0, 0, 0), -SIGSYS);
	assert_int_equal(status_of(&from, &diff, SYS_read, 3, 0, 0), 7);
	assert_int_equal(status_of(&from, &diff, SYS_read, 6, 0, 0), -SIGSYS);
	assert_int_equal(status_of(&from, &diff, SYS_read, 0x100000003, 0, 0), -SIGSYS);
	assert_int_equal(status_of(&from, &diff, SYS_getppid, 0, 0, 0), 7);
	assert_int_equal(status_of(&from, &diff, SYS_seccomp, 1, 0, 0), -SIGSYS);
	policy_bpf_free(&from);
	policy_bpf_free(&diff);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_comparison_at_its_borders),
	    cmocka_unit_test(foreign_architectures_die),
	    cmocka_unit_test(errno_and_default),
	    cmocka_unit_test(proof_finds_changed_programs),
	    cmocka_unit_test(proof_refuses_what_it_cannot_follow),
	    cmocka_unit_test(evaluator_follows_the_kernel),
	    cmocka_unit_test(differences_are_short_and_proven),
	    cmocka_unit_test(differences_refuse_what_they_cannot_say),
	    cmocka_unit_test(chains_by_behaviour),
	    cmocka_unit_test(sites_may_only_narrow),
	    cmocka_unit_test(shipped_set_loads),
	    cmocka_unit_test(site_files_replace_shipped_ones),
	    cmocka_unit_test(kernel_agrees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
