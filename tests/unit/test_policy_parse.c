/* SRC: src/policy/lex.c src/policy/names.c src/policy/consts.c src/policy/syscalls.c src/policy/cond.c src/policy/parse.c src/policy/parse_layers.c src/policy/parse_rule.c src/policy/check.c src/policy/load.c src/policy/relate.c src/policy/compile.c src/policy/diff.c src/policy/code.c src/policy/prove.c src/policy/points.c src/policy/eval.c src/common/diag.c src/common/str.c src/common/log.c src/ipc/filters.c */
/* LIBS: -lseccomp -lcrypto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/filters.h"
#include "policy/internal.h"

static struct policy p;
static struct diag d;

#define HEAD                                                                                       \
	"policy t version 1\nabout \"test\"\nidentity uid self gid self groups none\ncaps none\n"  \
	"namespaces user off mount off net off pid off ipc off uts off cgroup off\n"               \
	"root host\nlandlock off\nmdwe off\ndefault kill-process\n"
#define FD "fd 3 client tcp read write\n"
#define END "allow exit_group why \"end\"\nbudget syscalls 20 unpinned 20\n"

static int
parse(const char *text)
{
	return policy_parse(&p, text, strlen(text), "t.policy", NULL, &d);
}

static void
good(const char *text)
{
	char msg[1200];

	if (parse(text) == 0)
		return;
	diag_format(&d, msg, sizeof(msg));
	fail_msg("%s", msg);
}

/* Every error names its place, the word, and what to do. */
static const struct bad {
	const char *text;
	unsigned int line, column;
	const char *says, *hint;
} bad[] = {
    {"alow read why \"xxx\"\n", 1, 1, "\"alow\" begins no statement", "did you mean \"allow\""},
    {"about \"x\"\n", 1, 1, "before the policy's name", "policy NAME version 1"},
    {"policy t version 2\n", 1, 18, "\"2\" is no version", ""},
    {"policy t version 1 x\n", 1, 20, "\"x\" does not belong here", ""},
    {"policy t version 1\npolicy u version 1\n", 2, 1, "given twice: first on line 1", ""},
    {"policy t version 1\nabout bare\n", 2, 7, "expected what this process does in quotes", ""},
    {"policy t version 1\nabout \"open\n", 2, 7, "string without an end", "same line"},
    {"policy t version 1\nabout \"a\x01\"\n", 2, 9, "control character 0x01", ""},
    {"policy t version 1\ncaps sys_admn\n", 2, 6, "\"sys_admn\" is no capability", "sys_admin"},
    {"policy t version 1\ncaps kill kill\n", 2, 15, "named twice", ""},
    {"policy t version 1\nnamespaces user required\n", 2, 25, "namespace mount is not mentioned",
	"all seven"},
    {"policy t version 1\nnamespaces usr required\n", 2, 12, "\"usr\" is no namespace", "user"},
    {"policy t version 1\nnamespaces user maybe\n", 2, 17, "\"maybe\" is no", "one of: required"},
    {"policy t version 1\nroot empty\n", 2, 11, "expected \"read-only\"", ""},
    {"policy t version 1\nroot empty read-only\nlandlock required allow something\n", 3, 25,
	"expected \"nothing\"", ""},
    {"policy t version 1\nroot host\nlandlock required allow something\n", 3, 25,
	"\"something\" is no right of Landlock", "did you mean \"nothing\""},
    {"policy t version 1\nroot host\nlandlock required allow read /usr\n", 3, 30,
	"expected a path in quotes", ""},
    {"policy t version 1\nroot host\nlandlock required allow read \"/a\" \"/b\" \"/a\"\n", 3, 40,
	"\"/a\" is named twice", ""},
    {"policy t version 1\nroot host\nlandlock required allow bind 70000\n", 3, 30,
	"\"70000\" is no TCP port", "at most 65535"},
    {"policy t version 1\nroot host\nlandlock required abi >= 3 allow bind 25\n", 3, 39,
	"ports from ABI 4", "abi >= 4"},
    {"policy t version 1\nroot empty read-only\nlandlock required allow read \"/\"\n", 3, 25,
	"expected \"nothing\"", ""},
    {"policy t version 1\nlimit nproc 0 nproc 1\n", 2, 15, "limit nproc is set twice", ""},
    {"policy t version 1\nlimit nproc many\n", 2, 13, "\"many\" is no limit", "decimal"},
    {"policy t version 1\nfd 3 a tcp read\nfd 3 b tcp read\n", 3, 8, "descriptor 3 is \"a\"", ""},
    {"policy t version 1\nfd 3 a tcp read\nfd 4 a tcp read\n", 3, 8, "\"a\" is used twice", ""},
    {"policy t version 1\nfd 3 a tpc read\n", 2, 8, "\"tpc\" is no type", "tcp"},
    {"policy t version 1\nfd 3 a tcp read read\n", 2, 17, "once each", ""},
    {"policy t version 1\nfd 9-3 a tcp read\n", 2, 4, "\"9-3\" is no descriptor", "range"},
    {"policy t version 1\ndefault allow\n", 2, 9, "expected \"kill-process\"", "what is allowed"},
    {"policy t version 1\ndeny ptrace\n", 2, 1, "\"deny\" begins no statement", "no deny rules"},
    {"policy t version 1\nallow raed why \"xxx\"\n", 2, 7, "\"raed\" is no system call", "read"},
    {"policy t version 1\nallow 17 why \"xxx\"\n", 2, 7, "\"17\" is no system call", "from 424"},
    {"policy t version 1\nallow read\n", 2, 11, "no reason", "why"},
    {"policy t version 1\nallow read why \"\"\n", 2, 16, "reason in quotes", ""},
    {"policy t version 1\nallow read fdd == 1 why \"x\"\n", 2, 12, "no argument \"fdd\"",
	"fd, buf, count"},
    {"policy t version 1\nallow read fd == 3 why \"xxx\"\n", 2, 18, "descriptor 3 has no name",
	"write: fd 3"},
    {"policy t version 1\nallow read fd in {client} why \"x\"\n", 2, 19, "\"client\" is no value",
	"fd line"},
    {"policy t version 1\nfd 3 c tcp write\nallow read fd == c why \"xxx\"\n", 3, 18,
	"declared without read", ""},
    {"policy t version 1\n" FD "allow read fd in {client, client} why \"x\"\n", 3, 33, "twice", ""},
    {"policy t version 1\n" FD "allow read fd in {client why \"x\"\n", 3, 26, "expected \",\"", ""},
    {"policy t version 1\nallow read fd = 3 why \"x\"\n", 2, 15, "unexpected '='", "=="},
    {"policy t version 1\nallow read count != 3 why \"x\"\n", 2, 18, "unexpected '!'", "negation"},
    {"policy t version 1\nallow read count <= 1 count >= 2 why \"x\"\n", 2, 23, "twice", ""},
    {"policy t version 1\nallow read count < 0 why \"xxx\"\n", 2, 22, "never true", ""},
    {"policy t version 1\nallow mmap prot & 0 == 0 why \"x\"\n", 2, 26, "bits outside", ""},
    {"policy t version 1\nallow mmap prot & 1 == 2 why \"x\"\n", 2, 26, "bits outside", ""},
    {"policy t version 1\nallow mmap prot == PROT_EXE why \"x\"\n", 2, 20, "\"PROT_EXE\"",
	"PROT_EXEC"},
    {"policy t version 1\nallow ppoll nfds <= 0x100000000 why \"x\"\n", 2, 33, "out of range", ""},
    {"policy t version 1\nallow kill sig == 0x100000000 why \"x\"\n", 2, 31, "32 bits", ""},
    {"policy t version 1\nallow seccomp args == @nothing why \"x\"\n", 2, 23, "no filter",
	"@tls-proxy"},
    {"policy t version 1\nallow seccomp op == @login why \"x\"\n", 2, 21, "no filter", ""},
    {"policy t version 1\nerrno EWHAT read why \"xxx\"\n", 2, 7, "\"EWHAT\" is no errno", "EPERM"},
    {"policy t version 1\ninclude \"x\"\n", 2, 9, "no directory", ""},
    {"policy t version 1\n;\n", 2, 1, "unexpected ';'", ""},
    {"policy t version 1\n\xff\n", 2, 1, "unexpected byte 0xff", ""},
    {"policy t version 1\nseccomp on\n", 2, 9, "expected \"off\"", ""},
    {"policy t version 1\nabout \"x\"\n", 3, 1, "there is no \"identity\"", "every layer"},
    {"policy t version 1\nif x86_64\n", 2, 1, "\"if\" begins no statement", "no conditionals"},
    {"policy t version 1\nforbid ptrace\n", 2, 1, "\"forbid\" begins", "no deny rules"},
    {"policy t version 1\nfrobnicate\n", 2, 1, "begins no statement", "gatehouse.policy(5)"},
    {"policy t version 1\nallow read unless count == 1 why \"xxx\"\n", 2, 12, "no argument \"unless\"",
	"fd, buf, count"},
    {"policy t version 1\nallow read count not 1 why \"xxx\"\n", 2, 18, "", "allow CALL"},
    {"policy t version 1\nidentity uid nobody\n", 2, 14, "\"nobody\" is no account", "login"},
    {"policy t version 1\nidentity uid self gid self groups some\n", 2, 35, "expected \"none\"",
	"identity uid ACCOUNT"},
    {"policy t version 1\nmdwe on\n", 2, 6, "\"on\" is no", "required"},
    {"policy t version 1\noom-score 1001 required why \"xxx\"\n", 2, 11, "\"1001\" is no oom_score_adj",
	"at most 1000"},
    {"policy t version 1\noom-score -5 why \"xxx\"\n", 2, 11, "\"-5\" is no oom_score_adj", "at most 1000"},
    {"policy t version 1\noom-score off\n", 2, 11, "\"off\" is no oom_score_adj", "at most 1000"},
    {"policy t version 1\noom-score 3 off why \"xxx\"\n", 2, 13, "a score that is off", "inherited"},
    {"policy t version 1\noom-score 3 required\n", 2, 21, "expected \"why\"", "oom-score NUMBER"},
    {"policy t version 1\noom-score 3 why \"xx\"\n", 2, 17, "expected the reason", "oom-score NUMBER"},
    {"policy t version 1\noom-score 3 why \"xxx\"\noom-score 3 why \"xxx\"\n", 3, 1, "given twice",
	"oom-score NUMBER"},
    {"policy t version 1\nmemory locked required\n", 2, 8, "expected \"secret\"", "memory secret"},
    {"policy t version 1\nbudget 6\n", 2, 8, "expected \"syscalls\"", "budget syscalls N"},
    {"policy t version 1\nallow read why \"x\"\n", 2, 16, "3 to", "why"},
    /* what only the whole shows */
    {HEAD "allow read why \"xxx\"\nallow read count <= 5 why \"xxx\"\n" END, 11, 7,
	"says nothing new after t.policy:10", "remove"},
    {HEAD "allow read count <= 5 why \"xxx\"\nallow read why \"xxx\"\n" END, 10, 7,
	"moot, it is part of t.policy:11", "remove"},
    {HEAD "allow read why \"xxx\"\nallow read why \"xxx\"\n" END, 11, 7, "says nothing new", ""},
    {HEAD "allow read count <= 5 why \"xxx\"\nerrno 1 read count >= 5 why \"xxx\"\n" END, 11, 9,
	"another action", "tell them apart"},
    {HEAD FD END, 10, 4, "descriptor 3, \"client\", is used by no rule", "remove"},
    {HEAD "allow read why \"x x\"\nbudget syscalls 0 unpinned 0\n", 11, 8, "over the budget of 0",
	"remove or pin"},
    {HEAD "errno 1 read why \"xxx\"\nbudget syscalls 0 unpinned 0\n", 11, 8, "could not even exit", ""},
    {HEAD "follows a\nwithin b\n" END, 11, 8, "\"b\", and \"follows a\" above", "or within"},
    {HEAD "within b\nfollows a\n" END, 11, 9, "\"a\", and \"within b\" above", "or within"},
};

static void
errors_have_place_word_and_hint(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char msg[1200];

		if (parse(bad[i].text) == 0)
			fail_msg("accepted: %s", bad[i].text);
		diag_format(&d, msg, sizeof(msg));
		if (strstr(d.text, bad[i].says) == NULL || strstr(d.hint, bad[i].hint) == NULL ||
		    d.hint[0] == '\0' || d.line == 0 || strcmp(d.file, "t.policy") != 0 || d.line != bad[i].line || d.column != bad[i].column)
			fail_msg("%s\n  for: %s  expected %u:%u \"%s\" (%s)", msg, bad[i].text,
			    bad[i].line, bad[i].column, bad[i].says, bad[i].hint);
	}
}

static void
layers_are_read(void **state)
{
	(void)state;
	good("policy k version 1\nabout \"x\"\nwithin start\n"
	     "identity uid keys gid 77 groups none\ncaps kill setuid no-user-namespace sys_admin optional\n"
	     "namespaces user optional mount required net required pid required ipc required\n"
	     "\tuts optional cgroup off\n"
	     "root sockets read-only\nlandlock required abi >= 3 allow sockets\nmdwe optional\n"
	     "oom-score 1000 why \"last of all\"\n"
	     "memory secret required\nlimit nofile 64 as 16M\nlimit core 0\n"
	     "fd 2 log pipe write\nfd 16-31 conn any read\n"
	     "default errno EPERM\nallow read fd in {conn} why \"input\"\n"
	     "allow write fd == log why \"log\"\nallow exit_group why \"end\"\n"
	     "budget syscalls 3 unpinned 1\n");
	assert_int_equal(p.uid, PACC_KEYS);
	assert_int_equal(p.gid, PACC_NUMBER);
	assert_int_equal(p.gid_number, 77);
	assert_true(p.groups_none);
	assert_int_equal(p.caps, 1 << 5 | 1 << 7);
	assert_int_equal(p.caps_no_userns, 1 << 21);
	assert_int_equal(p.caps_need, NEED_OPTIONAL);
	assert_int_equal(p.ns[PNS_NET], NEED_REQUIRED);
	assert_int_equal(p.ns[PNS_CGROUP], NEED_OFF);
	assert_int_equal(p.root, PROOT_SOCKETS);
	assert_int_equal(p.root_need, NEED_REQUIRED);
	assert_int_equal(p.landlock_min_abi, 3);
	assert_int_equal(p.secret_memory, NEED_REQUIRED);
	assert_int_equal(p.oom_need, NEED_REQUIRED);
	assert_int_equal(p.oom_score, 1000);
	assert_string_equal(p.oom_why, "last of all");
	assert_int_equal(p.seccomp, NEED_REQUIRED);
	assert_int_equal(p.nlimits, 3);
	assert_int_equal(p.limits[1].value, 16 << 20);
	assert_int_equal(p.fds[1].last, 31);
	assert_false(p.fds[1].write);
	assert_int_equal(p.def, PACT_ERRNO);
	assert_int_equal(p.def_err, 1);
	assert_string_equal(p.rules[0].text, "fd in {conn}");
	assert_int_equal(p.rules[0].conds[0].values[0], 16);
	assert_int_equal(p.rules[0].conds[0].last[0], 31);
}

static void
values_become_registers(void **state)
{
	const struct policy_rule *r = p.rules;

	(void)state;
	good(HEAD "allow clone flags == CLONE_PARENT|SIGCHLD stack == NULL why \"fork\"\n"
		  "allow newfstatat dirfd == AT_FDCWD why \"signed\"\n"
		  "allow seccomp op == SET_MODE_FILTER args == @tls-proxy why \"pin\"\n"
		  "allow mprotect prot & PROT_EXEC == 0 why \"mask\"\n"
		  "allow close_range first in {3-6, 9} last == UINT_MAX why \"range\"\n"
		  "allow 471 arg1 == 0x100000000 why \"numeric\"\n"
		  "allow mseal flags == 0 why \"young\"\n" END);
	assert_int_equal(r[0].conds[0].values[0], 0x8000 | 17);
	assert_false(r[0].conds[0].is_int);
	/* a negative int comes with or without its sign extended */
	assert_int_equal(r[1].conds[0].nvalues, 2);
	assert_int_equal(r[1].conds[0].values[0], 0xffffff9c);
	assert_true(r[1].conds[0].values[1] == 0xffffffffffffff9c);
	assert_int_equal(r[2].conds[1].values[0], FILTER_ADDR(FILTER_TLS_PROXY));
	assert_int_equal(r[3].conds[0].cmp, PCMP_MASKED);
	assert_int_equal(r[3].conds[0].mask, 4);
	assert_int_equal(r[4].conds[0].nvalues, 2);
	assert_int_equal(r[4].conds[1].values[0], 0xffffffff);
	assert_int_equal(r[5].nr_aarch64, 471);
	assert_int_equal(r[6].nr_x86_64, 462);
}

static void
calls_of_one_architecture_only(void **state)
{
	(void)state;
	good(HEAD "allow epoll_wait why \"loop\"\nallow dup2 why \"two\"\n" END);
	assert_int_equal(p.rules[0].nr_x86_64, 232);
	assert_int_equal(p.rules[0].nr_aarch64, -1);
	assert_int_equal(p.rules[1].nr_aarch64, -1);
}

static void
last_line_may_lack_its_newline(void **state)
{
	char text[2000];

	(void)state;
	snprintf(text, sizeof(text), "%s", HEAD END);
	text[strlen(text) - 1] = '\0';
	good(text);
}

static void
blank_lines_comments_and_crlf(void **state)
{
	(void)state;
	good("# c\r\n\r\n   \n" HEAD "   # indented comment\nallow read # comment\n"
	     "  # in between\n  count <= 5\n\twhy \"goes on\"\n" END);
	assert_int_equal(p.nrules, 2);
	assert_int_equal(p.rules[0].nconds, 1);
}

static void
off_needs_no_rules(void **state)
{
	(void)state;
	good("policy t version 1\nabout \"test\"\nidentity uid self gid self groups none\ncaps none\n"
	     "namespaces user off mount off net off pid off ipc off uts off cgroup off\n"
	     "root host\nlandlock off\nmdwe off\nseccomp off\n");
	assert_int_equal(p.seccomp, NEED_OFF);
}

static char dir[] = "/tmp/test_policy.XXXXXX";

static void
put(const char *name, const char *text)
{
	char path[100];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void
include_goes_one_level(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(dir));
	put("t.policy", HEAD "include \"more\"\n" END);
	put("more", "allow read why \"included\"\n");
	assert_int_equal(policy_load(&p, dir, "t", &d), 0);
	assert_int_equal(p.nrules, 2);
	assert_int_equal(p.rules[0].source, 1);
	put("more", "\nallow raed why \"x\"\n");
	assert_int_equal(policy_load(&p, dir, "t", &d), -1);
	assert_non_null(strstr(d.file, "/more"));
	assert_int_equal(d.line, 2);
	put("more", "include \"more\"\n");
	assert_int_equal(policy_load(&p, dir, "t", &d), -1);
	assert_non_null(strstr(d.text, "cannot include another"));
	put("more", "default kill-process\n");
	assert_int_equal(policy_load(&p, dir, "t", &d), -1);
	assert_non_null(strstr(d.text, "not possible in an included file"));
	put("t.policy", HEAD "include \"../x\"\n" END);
	assert_int_equal(policy_load(&p, dir, "t", &d), -1);
	assert_non_null(strstr(d.text, "lie beside the policy"));
	put("u.policy", HEAD END);
	assert_int_equal(policy_load(&p, dir, "u", &d), -1);
	assert_non_null(strstr(d.text, "calls itself \"t\""));
	assert_int_equal(policy_load(&p, dir, "none", &d), -1);
	assert_non_null(strstr(d.text, "cannot read"));
}

static int
remove_dir(void **state)
{
	char cmd[200];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return strchr(dir, 'X') == NULL ? system(cmd) : 0;
}

/* A file that ends early or has a byte changed is refused or means something
 * else, but it never crashes (run with SAN=address,undefined). */
static void
every_prefix_and_many_changes(void **state)
{
	static char text[8192], copy[8192];
	FILE *f = fopen("policy/login.policy", "r");
	size_t len;

	(void)state;
	if (f == NULL)
		fail_msg("run this from the top of the source tree");
	len = fread(text, 1, sizeof(text), f);
	fclose(f);
	assert_int_equal(policy_parse(&p, text, len, "login", NULL, &d), 0);
	for (size_t i = 0; i < len; i++) {
		int rv = policy_parse(&p, text, i, "cut", NULL, &d);

		assert_true(rv == 0 || d.text[0] != '\0');
		memcpy(copy, text, len);
		copy[i] = (char)(copy[i] ^ (1 << i % 8));
		policy_parse(&p, copy, len, "changed", NULL, &d);
	}
}

static void
limits_hold(void **state)
{
	static char text[(256 << 10) + 2], one[100];
	size_t len;

	(void)state;
	memset(text, '#', sizeof(text));
	assert_int_equal(policy_parse(&p, text, sizeof(text), "big", NULL, &d), -1);
	assert_non_null(strstr(d.text, "over 262144 bytes"));
	len = (size_t)snprintf(text, sizeof(text), "%s", HEAD);
	for (int i = 0; i < POLICY_RULES_MAX + 1; i++) {
		snprintf(one, sizeof(one), "allow %d why \"many\"\n", 424 + i);
		strcpy(text + len, one);
		len += strlen(one);
	}
	assert_int_equal(policy_parse(&p, text, len, "many", NULL, &d), -1);
	assert_non_null(strstr(d.text, "more than 160 rules"));
	len = (size_t)snprintf(text, sizeof(text), "%s", HEAD "allow read count in {");
	for (int i = 0; i < POLICY_VALUES_MAX + 1; i++)
		len += (size_t)snprintf(text + len, 20, "%s%d", i > 0 ? "," : "", 2 * i);
	len += (size_t)snprintf(text + len, 20, "} why \"x x\"\n");
	assert_int_equal(policy_parse(&p, text, len, "values", NULL, &d), -1);
	assert_non_null(strstr(d.text, "more than 32 values"));
	memset(text, 'a', 300);
	assert_int_equal(policy_parse(&p, text, 300, "word", NULL, &d), -1);
	assert_non_null(strstr(d.text, "too long"));
	assert_int_equal(policy_parse(&p, "", 0, "empty", NULL, &d), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(errors_have_place_word_and_hint),
	    cmocka_unit_test(layers_are_read),
	    cmocka_unit_test(values_become_registers),
	    cmocka_unit_test(calls_of_one_architecture_only),
	    cmocka_unit_test(last_line_may_lack_its_newline),
	    cmocka_unit_test(blank_lines_comments_and_crlf),
	    cmocka_unit_test(off_needs_no_rules),
	    cmocka_unit_test_teardown(include_goes_one_level, remove_dir),
	    cmocka_unit_test(every_prefix_and_many_changes),
	    cmocka_unit_test(limits_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
