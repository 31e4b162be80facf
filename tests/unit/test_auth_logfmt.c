/* SRC: src/auth/logfmt.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
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
	    cmocka_unit_test(unknown_ones_stay),
	    cmocka_unit_test(long_values_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
