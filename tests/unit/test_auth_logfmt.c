/* SRC: src/auth/logfmt.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "auth/logfmt.h"

#define DEFAULT "user=<%u> method=%m rip=%r lip=%l mpid=%e %c session=<%{session}>"
#define DEFAULT_24 \
	"user=<%{user}> method=%{mechanism} rip=%{remote_ip} lip=%{local_ip} mpid=%{mail_pid} " \
	"%{secured} session=<%{session}>"

static void
expect(const char *format, const struct log_vars *v, const char *want)
{
	char got[300];

	assert_int_equal(logfmt_elements(format, v, got, sizeof(got)), strlen(want));
	assert_string_equal(got, want);
}

static void
defaults(void **state)
{
	struct log_vars v = {.v = {[LV_USER] = "alice", [LV_MECH] = "PLAIN", [LV_RIP] = "192.0.2.7",
	    [LV_LIP] = "127.0.0.1", [LV_MAIL_PID] = "42", [LV_SECURED] = "TLS",
	    [LV_SESSION] = "abc"}};
	const char *want =
	    "user=<alice>, method=PLAIN, rip=192.0.2.7, lip=127.0.0.1, mpid=42, TLS, session=<abc>";

	(void)state;
	expect(DEFAULT, &v, want);
	expect(DEFAULT_24, &v, want);
}

static void
empty_elements_are_left_out(void **state)
{
	struct log_vars v = {.v = {[LV_USER] = "", [LV_RIP] = "::1", [LV_SESSION] = "s"}};

	(void)state;
	expect(DEFAULT, &v, "user=<>, rip=::1, session=<s>");
	expect("%m  %c ", &v, "");
	expect("", &v, "");
	expect("plain %m words", &v, "plain, words");
	expect("%r/%m", &v, "::1/"); /* one of them has a value */
	expect("%h %{passdb:quota} %{listener} %r", &v, "::1");
}

static void
passdb_fields(void **state)
{
	struct log_vars v = {.passdb = "quota=5 GB\nq=\nflag=yes\n"};

	(void)state;
	expect("q=%{passdb:quota} %{passdb:flag}", &v, "q=5 GB, yes");
	expect("%{passdb:quot} %{passdb:quotas} %{passdb:q} x", &v, "x");
	expect("%{passdb:none:7} %{passdb:flag:no} %{passdb:q:x}", &v, "7, yes");
	expect("%{passdb:}", &v, "%{passdb:}");
	expect("%{passdb::} x", &v, "x");
	assert_true(logfmt_wants_passdb("%u %{passdb:a} %{passdb:bc:d}", "bc", 2));
	assert_true(logfmt_wants_passdb("%u %{passdb:a} %{passdb:bc:d}", "a", 1));
	assert_false(logfmt_wants_passdb("%u %{passdb:a} %{passdb:bc:d}", "b", 1));
	assert_false(logfmt_wants_passdb("%u %{passdb:a} %{passdb:bc:d}", "u", 1));
	assert_false(logfmt_wants_passdb("%{passdb:", "a", 1));
}

static void
all_names(void **state)
{
	static const char *const pairs[][2] = {{"%u", "%{user}"}, {"%n", "%{username}"},
	    {"%d", "%{domain}"}, {"%s", "%{service}"}, {"%s", "%{protocol}"}, {"%l", "%{lip}"},
	    {"%l", "%{local_ip}"}, {"%r", "%{rip}"}, {"%r", "%{remote_ip}"}, {"%m", "%{mech}"},
	    {"%m", "%{mechanism}"}, {"%a", "%{lport}"}, {"%a", "%{local_port}"}, {"%b", "%{rport}"},
	    {"%b", "%{remote_port}"}, {"%c", "%{secured}"}, {"%k", "%{ssl_security}"},
	    {"%e", "%{mail_pid}"}, {"%r", "%{real_rip}"}, {"%l", "%{real_lip}"},
	    {"%{orig_user}", "%{original_user}"}};
	struct log_vars v = {0};
	char text[LV__MAX][8], a[64], b[64];

	(void)state;
	for (int i = 0; i < LV__MAX; i++) {
		snprintf(text[i], sizeof(text[i]), "v%d", i);
		v.v[i] = text[i];
	}
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		assert_in_range(logfmt_elements(pairs[i][0], &v, a, sizeof(a)), 2, 3);
		logfmt_elements(pairs[i][1], &v, b, sizeof(b));
		assert_string_equal(a, b);
	}
	expect("%{orig_username} %{orig_domain} %{auth_user} %{auth_username} %{auth_domain}", &v,
	    "v15, v16, v17, v18, v19");
}

static void
whole_lines(void **state)
{
	char got[64];

	(void)state;
	logfmt_line("%$: %s", "Login", "user=<%u>", got, sizeof(got));
	assert_string_equal(got, "Login: user=<%u>");
	logfmt_line("[%{elements}] %{message} %% %x %", "a", "b", got, sizeof(got));
	assert_string_equal(got, "[b] a % %x %");
	logfmt_line("", "a", "b", got, sizeof(got));
	assert_string_equal(got, "");
	assert_int_equal(logfmt_line("%s%s%s", "", "0123456789012345678901234567890", got, sizeof(got)), 63);
}

static void
unknown_ones_stay(void **state)
{
	struct log_vars v = {.v = {[LV_RIP] = "::1"}};

	(void)state;
	expect("%Q %{what} %", &v, "%Q, %{what}, %");
	expect("100%% %{rip", &v, "100%, %{rip");
	expect("%{}", &v, "%{}");
}

static void
long_values_are_cut(void **state)
{
	struct log_vars v = {.v = {[LV_USER] = "0123456789"}};
	char got[8];

	(void)state;
	assert_int_equal(logfmt_elements("a=%u b", &v, got, sizeof(got)), 7);
	assert_string_equal(got, "a=01234");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(defaults),
	    cmocka_unit_test(empty_elements_are_left_out),
	    cmocka_unit_test(passdb_fields),
	    cmocka_unit_test(all_names),
	    cmocka_unit_test(whole_lines),
	    cmocka_unit_test(unknown_ones_stay),
	    cmocka_unit_test(long_values_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
