/* SRC: src/tools/policy_text.c src/tools/policy_export.c src/tools/trace.c src/policy/[a-z]*.c src/common/diag.c src/common/str.c src/common/log.c src/ipc/filters.c */
/* LIBS: -lseccomp -lcrypto */
/* What trace makes of the calls that it is told, those of other architectures
 * included: not every kernel runs them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tools/policy_trace.c"

struct policy *
policy_open(const struct policy_args *args, const char *name)
{
	(void)args;
	(void)name;
	return NULL;
}

void
policy_complain(const struct diag *d)
{
	(void)d;
}

bool
find_program(const char *command, char *dst, size_t cap)
{
	(void)command;
	(void)dst;
	(void)cap;
	return false;
}

static struct seen seen[SEEN_MAX];
static struct policy policy;

static struct trace
begin(void)
{
	memset(&policy, 0, sizeof(policy));
	strcpy(policy.name, "p");
	policy.nfds = 1;
	policy.fds[0] = (struct policy_fd){.number = 3, .last = 4, .name = "client", .read = true};
	return (struct trace){.p = &policy, .seen = seen};
}

static void
call(struct trace *t, uint32_t arch, int nr, uint64_t a0, uint64_t a1, uint64_t a2)
{
	struct seccomp_data sd = {.arch = arch, .nr = nr, .args = {a0, a1, a2}};

	on_call(t, getpid(), &sd);
}

static char *
report_text(struct trace *t, bool json)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	if (json)
		print_json(f, t, 9 << 8);
	else
		print_text(f, t);
	fclose(f);
	return text;
}

static int
number(const char *name)
{
	int x86_64, aarch64;

	assert_true(call_numbers(name, &x86_64, &aarch64));
	return policy_native_arch() == PARCH_X86_64 ? x86_64 : aarch64;
}

static void
has(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("no \"%s\" in:\n%s", part, text);
}

static void
foreign(void **state)
{
	struct trace t = begin();
	char *text;

	(void)state;
	call(&t, AUDIT_ARCH_I386, 20, 0, 0, 0);
	call(&t, AUDIT_ARCH_I386, 20, 0, 0, 0);
	call(&t, AUDIT_ARCH_I386, 102, 1, 2, 3);
	if (policy_native_arch() == PARCH_X86_64)
		call(&t, AUDIT_ARCH_X86_64, 0x40000000 + 39, 0, 0, 0);
	text = report_text(&t, false);
	has(text, "     2  i386 getpid()  by test_policy_tra (");
	has(text, "     1  i386 socketcall(0x1, 0x2, 0x3)");
	has(text, "# i386 getpid: no policy can allow calls of another architecture");
	assert_null(strstr(text, "\nallow "));
	if (policy_native_arch() == PARCH_X86_64)
		has(text, "1  x32 getpid()");
	free(text);
	text = report_text(&t, true);
	has(text, "{\"abi\":\"i386\",\"call\":\"getpid\",\"number\":20,\"count\":2,");
	has(text, "\"exit\":9,\"signal\":0");
	has(text, "\"rules\":[]}");
	free(text);
}

static void
proposals(void **state)
{
	uint32_t native = policy_audit_arch(policy_native_arch());
	struct trace t = begin();
	char *text;

	(void)state;
	call(&t, native, number("read"), 3, 0x1234, 100);
	call(&t, native, number("read"), 4, 0x5678, 200);
	call(&t, native, number("write"), 3, 0x1234, 100);
	call(&t, native, number("write"), 7, 0x1234, 100);
	call(&t, native, number("socket"), 1, 2, 0);
	call(&t, native, number("socket"), 1, 1, 0);
	for (unsigned int i = 0; i < VALUES_MAX + 2; i++)
		call(&t, native, number("madvise"), 0x1000, 4096, i);
	call(&t, native, number("openat"), (uint64_t)-100, 0x99, 0x80000);
	call(&t, native, number("exit_group"), 5, 0, 0);
	text = report_text(&t, false);
	has(text, "allow read  fd == client  why \"\"\n");
	has(text, "allow write  why \"\"\n"); /* 7 has no name */
	has(text, "allow socket  domain == 1  type in {2, 1}  protocol == 0  why \"\"\n");
	has(text, "allow madvise  why \"\"\n"); /* too many values */
	has(text, "allow openat  dirfd == AT_FDCWD  flags == 0x80000");
	has(text, "allow exit_group  why \"\"\n"); /* its status says nothing */
	free(text);
}

static void
nothing(void **state)
{
	struct trace t = begin();
	char *text = report_text(&t, false);

	(void)state;
	has(text, "policy p allows all of it");
	free(text);
}

/* More kinds than can be listed: said, and not lost in silence. */
static void
too_many(void **state)
{
	struct trace t = begin();
	char *text;

	(void)state;
	for (int nr = 0; nr < SEEN_MAX + 5; nr++)
		call(&t, AUDIT_ARCH_I386, nr, 0, 0, 0);
	assert_int_equal(t.n, SEEN_MAX);
	assert_int_equal(t.lost, 5);
	text = report_text(&t, false);
	has(text, "and 5 calls more of other kinds");
	free(text);
}

static void
kills_become_questions(void **state)
{
	struct sock_filter insn[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_THREAD),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	    BPF_STMT(BPF_LD | BPF_IMM, 0)};
	struct policy_bpf b = {.insn = insn, .n = 6};

	(void)state;
	trace_ask_instead(&b);
	for (int i = 0; i < 3; i++)
		assert_int_equal(insn[i].k, SECCOMP_RET_USER_NOTIF);
	assert_int_equal(insn[3].k, SECCOMP_RET_ERRNO | 1);
	assert_int_equal(insn[4].k, SECCOMP_RET_ALLOW);
	assert_int_equal(insn[5].k, 0);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(foreign),
	    cmocka_unit_test(proposals), cmocka_unit_test(nothing), cmocka_unit_test(too_many),
	    cmocka_unit_test(kills_become_questions)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
