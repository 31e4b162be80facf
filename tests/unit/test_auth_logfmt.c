/* SRC: src/auth/logfmt.c src/auth/logmod.c src/ipc/logvar.c src/common/str.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "auth/logfmt.h"
#include "auth/logmod.h"
#include "common/str.h"

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
	expect("plain %m words", &v, ""); /* as in Dovecot: nothing in it can differ */
	expect("site=x/%r 100%% %{hostname}", &v, "site=x/::1");
	expect("%r/%m", &v, "::1/"); /* one of them has a value */
	expect("%h %{passdb:quota} %{listener} %r", &v, "::1");
}

static void
passdb_fields(void **state)
{
	struct log_vars v = {.passdb = "quota=5 GB\nq=\nflag=yes\n"};

	(void)state;
	expect("q=%{passdb:quota} %{passdb:flag}", &v, "q=5 GB, yes");
	expect("%{passdb:quot} %{passdb:quotas} %{passdb:q}", &v, "");
	expect("%U{passdb:flag} %-2.{passdb:quota}", &v, "YES, GB");
	expect("%{passdb:none:7} %{passdb:flag:no} %{passdb:q:x}", &v, "7, yes");
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
	    {"%e", "%{mail_pid}"}, {"%{real_remote_ip}", "%{real_rip}"}, {"%{real_local_ip}", "%{real_lip}"},
	    {"%{real_local_port}", "%{real_lport}"}, {"%{real_remote_port}", "%{real_rport}"},
	    {"%p", "%{pid}"}, {"%{orig_user}", "%{original_user}"}};
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
	    "v19, v20, v21, v22, v23");
}

static void
whole_lines(void **state)
{
	char got[64];

	(void)state;
	logfmt_line("%$: %s", "Login", "user=<%u>", got, sizeof(got));
	assert_string_equal(got, "Login: user=<%u>");
	logfmt_line("[%{elements}] %{message} %% %U$ %2s", "a", "bcd", got, sizeof(got));
	assert_string_equal(got, "[bcd] a % A bc");
	logfmt_line("", "a", "b", got, sizeof(got));
	assert_string_equal(got, "");
	assert_int_equal(logfmt_line("%s%s%s", "", "0123456789012345678901234567890", got, sizeof(got)), 63);
}

/* What Dovecot 2.3.19's own login process logged for this client. */
static void
as_dovecot_has_it(void **state)
{
	static const char *const rows[][2] = {
	    {"%u|", "Us.er'x@Example.COM |"}, {"%Lu|", "us.er'x@example.com |"},
	    {"%Uu|", "US.ER'X@EXAMPLE.COM |"}, {"%5u", "Us.er"}, {"%2.3u", ".er"}, {"%-3.2u", "OM"},
	    {"%0.-2u", "Us.er'x@Example.CO"}, {"%-3u", "Us."}, {"%-0.3u", "Us."}, {"%0u", "Us.er'x@Example.COM "},
	    {"%050u", "000000000000000000000000000000Us.er'x@Example.COM "},
	    {"%1.040u", "000000000000000000000s.er'x@Example.COM "},
	    {"%2.-3u", ".er'x@Example.C"}, {"%2.-30u", ".er'x@Example.COM "},
	    {"%Hu", "1004c80"}, {"%256Hu", "80"}, {"%12Hu", "4"}, {"%3.12Hu", "004"}, {"%2.256Hu", "80"},
	    {"%Hm%256Hm", "5505dede"}, {"%Ru|", " MOC.elpmaxE@x're.sU|"},
	    {"%Du|", "Us,dc=er'x@Example,dc=COM |"}, {"%Eu|", "Us.er\\'x@Example.COM |"},
	    {"%Tu|", "Us.er'x@Example.COM|"}, {"%LRu|", " moc.elpmaxe@x're.su|"}, {"%3LRu", " mo"},
	    {"%L{user}|", "us.er'x@example.com |"}, {"%3L{username}", "us."}, {"%Ud|", "EXAMPLE.COM |"},
	    {"%Xb", "b878"}, {"%010b", "0000047224"}, {"%-2.b", "24"}, {"%-200.3r", "127"}, {"%3.0r", ".0.0.1"},
	    {"%3{rip}", "127"}, {"%-3.3L{mech}", "ain"}, {"%3.-1L{mech}", "i"}, {"%04m", "PLAIN"},
	    {"%LULULULULUm", "PLAIN"}, {"%200.5r", ""}, {"%300.-1r", ""}, {"%5.5m", ""},
	    {"%Xm.", ""}, {"%Xu.", "0."}, {"%04e %4e", ""}};
	struct log_vars v = {.v = {[LV_USER] = "Us.er'x@Example.COM ", [LV_USERNAME] = "Us.er'x",
	    [LV_DOMAIN] = "Example.COM ", [LV_MECH] = "PLAIN", [LV_RIP] = "127.0.0.1",
	    [LV_RPORT] = "47224"}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char why[200];

		if (!logvar_check(rows[i][0], LOGVAR_OF_ELEMENTS, why, sizeof(why)))
			fail_msg("%s: %s", rows[i][0], why);
		expect(rows[i][0], &v, rows[i][1]);
	}
	v.v[LV_USER] = "\303\251\303\274xyz~";
	expect("%Hu", &v, "5f40dfe");
}

/* A name that was cleaned does not become dangerous by being cut or turned. */
static void
cleaned_after_modifiers(void **state)
{
	struct log_vars v = {.v = {[LV_USER] = "\303\251x\342\200\200\306\233"}}; /* e' x U+2000 U+019B */
	static const char *const formats[] = {"%1u", "%1.1u", "%Ru", "%-1.u", "%3.1u", "%4.2u", "%0.-1u",
	    "%02.2Ru", "%ERu", "%-4.2LRu"};
	char got[300];

	(void)state;
	expect("%1u", &v, "?");
	expect("%1.2u", &v, "?x");
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		char again[300];
		size_t n = logfmt_elements(formats[i], &v, got, sizeof(got));

		assert_true(n > 0);
		str_clean(again, sizeof(again), got, n);
		assert_string_equal(got, again);
	}
	/* Turned around, these bytes would be U+202E, which turns the rest of a line. */
	v.v[LV_USER] = "\304\200\200\303\242"; /* not valid as it stands, but who knows */
	logfmt_elements("%Ru", &v, got, sizeof(got));
	assert_null(strstr(got, "\342\200"));
	v.v[LV_USER] = "a\nb\033[2J";
	expect("%Lu", &v, "a?b?[2j");
}

static void
long_modified_values(void **state)
{
	static char name[4000], got[9000];
	struct log_vars v = {.v = {[LV_USER] = name}};

	(void)state;
	memset(name, '.', sizeof(name) - 1);
	assert_in_range(logfmt_elements("%Du", &v, got, sizeof(got)), 1000, LOGMOD_MAX);
	assert_in_range(logfmt_elements("%9999EDRu", &v, got, sizeof(got)), 1000, LOGMOD_MAX);
	memset(name, '"', sizeof(name) - 1);
	assert_in_range(logfmt_elements("%EEEEEEEEEEu", &v, got, sizeof(got)), 1000, LOGMOD_MAX);
	name[1] = '\0';
	assert_int_equal(logfmt_elements("%09999u", &v, got, sizeof(got)), LOGMOD_MAX - 1);
}

/* They are refused when the configuration is read; if one came through all the
 * same it would stay as it is. */
static void
unknown_ones(void **state)
{
	static const char *const bad[] = {"%Q", "%{what}", "%", "x%5", "%{rip", "%{}", "%L", "%{user|lower}",
	    "%{passdb:}", "%{passdb::x}", "%Nu", "%Mu", "%{md5:user}", "%LULULULULULm", "%-", "%.", "%0",
	    "%10000u", "%1.10000u", "%99999999999999999999u", "%{if;a;eq;a;b;c}", "%{env:HOME}",
	    "%{5user}", "%w", "%i", "%{client_id}", "%$", "%{elements}"};
	struct log_vars v = {.v = {[LV_RIP] = "::1"}};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char why[200] = "", format[64], want[64];

		assert_false(logvar_check(bad[i], LOGVAR_OF_ELEMENTS, why, sizeof(why)));
		assert_memory_equal(why, "has \"%", 6);
		snprintf(format, sizeof(format), "%%r|%s", bad[i]);
		snprintf(want, sizeof(want), "::1|%s", bad[i]);
		if (strcmp(bad[i], "%") != 0) /* "%" would join with nothing */
			expect(format, &v, want);
	}
	assert_false(logvar_check("%u", LOGVAR_OF_LINE, NULL, 0));
	assert_false(logvar_check("%{user}", LOGVAR_OF_LINE, NULL, 0));
	assert_true(logvar_check("%s %$ %L{message} %%", LOGVAR_OF_LINE, NULL, 0));
	assert_true(logvar_check("", LOGVAR_OF_ELEMENTS, NULL, 0));
	assert_true(logvar_names("%u x=%3Up", LOGVAR_OF_ELEMENTS, LV_PID));
	assert_true(logvar_names("%{pid}", LOGVAR_OF_ELEMENTS, LV_PID));
	assert_false(logvar_names("%u %%p", LOGVAR_OF_ELEMENTS, LV_PID));
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
	    cmocka_unit_test(as_dovecot_has_it),
	    cmocka_unit_test(cleaned_after_modifiers),
	    cmocka_unit_test(long_modified_values),
	    cmocka_unit_test(unknown_ones),
	    cmocka_unit_test(long_values_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
