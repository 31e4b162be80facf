/* SRC: src/auth/answer.c src/auth/logfmt.c src/auth/logmod.c src/ipc/logvar.c src/auth/line.c src/ipc/conn.c src/ipc/codec.c src/common/str.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "auth/answer.h"

static struct auth_answer a;
static struct auth_failure f;

static void
read_answer(const char *text)
{
	static char line[2000];
	struct auth_line l;

	strcpy(line, text);
	assert_int_equal(authline_parse(line, strlen(text), &l), 0);
	answer_read(&l, &a, "%u %{passdb:quota:none} %{passdb:pass} %{passdb:flag}");
}

static void
expect_failure(const char *text, enum dlg_fail fail, enum auth_outcome outcome, const char *said)
{
	read_answer(text);
	answer_failure(&a, "mx.example.test", 1700000000, &f);
	assert_int_equal(f.fail, fail);
	assert_int_equal(f.outcome, outcome);
	assert_string_equal(f.text, said);
}

static void
failures(void **state)
{
	const char *temp = "Temporary authentication failure. [mx.example.test:2023-11-14 22:13:20]";

	(void)state;
	expect_failure("FAIL\t1\tuser=x", DLG_FAIL_AUTH, OUT_AUTH, "");
	expect_failure("FAIL\t1", DLG_FAIL_AUTH, OUT_AUTH, "");
	expect_failure("FAIL\t1\treason=Go away", DLG_FAIL_REASON, OUT_AUTH, "Go away");
	expect_failure("FAIL\t1\tcode=temp_fail\treason=db", DLG_FAIL_TEMP, OUT_TEMP, temp);
	expect_failure("FAIL\t1\ttemp", DLG_FAIL_TEMP, OUT_TEMP, temp);
	expect_failure("FAIL\t1\tcode=authz_fail", DLG_FAIL_AUTHZ, OUT_AUTHZ, "");
	expect_failure("FAIL\t1\tauthz", DLG_FAIL_AUTHZ, OUT_AUTHZ, "");
	expect_failure("FAIL\t1\tcode=user_disabled", DLG_FAIL_AUTH, OUT_DISABLED, "");
	expect_failure("FAIL\t1\tcode=pass_expired", DLG_FAIL_EXPIRED, OUT_EXPIRED, "");
	expect_failure("FAIL\t1\tpass_expired", DLG_FAIL_EXPIRED, OUT_EXPIRED, "");
	expect_failure("FAIL\t1\tcode=invalid_base64", DLG_FAIL_BASE64, OUT_BASE64,
	    "Invalid base64 data in response");
	expect_failure("FAIL\t1\tcode=from_the_future", DLG_FAIL_AUTH, OUT_AUTH, "");
	expect_failure("FAIL\t1\tnologin\treason=No", DLG_FAIL_NOLOGIN, OUT_NOLOGIN, "No");
}

static void
passdb_fields_for_the_log(void **state)
{
	(void)state;
	read_answer("OK\t1\tuser=a\tpass=secret\tquota=5\001nGB\tflag\tother=x");
	assert_string_equal(a.passdb, "quota=5?GB\nflag=yes\n");
	read_answer("FAIL\t1\tuser=a");
	assert_string_equal(a.passdb, "");
}

static void
hostile_texts_are_cleaned(void **state)
{
	(void)state;
	expect_failure("FAIL\t1\treason=a\001r\001nb OK done\001t\xff", DLG_FAIL_REASON, OUT_AUTH,
	    "a??b OK done??");
}

static void
success(void **state)
{
	(void)state;
	read_answer("OK\t1\t\tuser=first\tuser=al\xc3\xaf" "ce\tsomething=else\toriginal_user=AL\tanonymous");
	assert_false(a.bad);
	assert_string_equal(a.user, "al\xc3\xaf" "ce"); /* the last one; 8 bits are no trouble */
	assert_string_equal(a.original_user, "AL");
	assert_true(a.anonymous);
	assert_false(answer_refusal(&a, SERVICE_IMAP, "PLAIN", &f));
	read_answer("OK\t1\tuser=a\0010b");
	assert_true(a.bad);
}

static void
name_too_long(void **state)
{
	static char line[1000];

	(void)state;
	strcpy(line, "OK\t1\tuser=");
	memset(line + strlen(line), 'u', ANSWER_USER_MAX);
	read_answer(line);
	assert_true(a.bad);
}

static void
refusals(void **state)
{
	(void)state;
	read_answer("OK\t1\tuser=al ice@x;y\tnologin\thost=imap2.example.test\tport=1143");
	assert_true(answer_refusal(&a, SERVICE_IMAP, "PLAIN", &f));
	assert_int_equal(f.fail, DLG_FAIL_REFERRAL);
	assert_string_equal(f.text, "imap://al%20ice%40x%3By;AUTH=PLAIN@imap2.example.test:1143/");
	read_answer("OK\t1\tuser=x\tnologin\treason=Closed");
	assert_true(answer_refusal(&a, SERVICE_IMAP, "PLAIN", &f));
	assert_int_equal(f.fail, DLG_FAIL_NOLOGIN);
	assert_string_equal(f.text, "Closed");
	/* What would break the response code is no referral. */
	read_answer("OK\t1\tuser=x\tnologin\thost=a]\001r\001n* BYE");
	assert_true(answer_refusal(&a, SERVICE_IMAP, "PLAIN", &f));
	assert_int_equal(f.fail, DLG_FAIL_NOLOGIN);
	read_answer("OK\t1\tuser=x\tproxy\thost=192.0.2.1\tpass=secret");
	assert_true(answer_refusal(&a, SERVICE_IMAP, "PLAIN", &f));
	assert_int_equal(f.fail, DLG_FAIL_UNAVAILABLE);
}

static void
dates(void **state)
{
	char t[ANSWER_TEXT_MAX];

	(void)state;
	answer_stamped(t, "T", "h", 0);
	assert_string_equal(t, "T [h:1970-01-01 00:00:00]");
	answer_stamped(t, "T", "h", 951827696);
	assert_string_equal(t, "T [h:2000-02-29 12:34:56]");
	answer_stamped(t, "T", "h", 4102444799);
	assert_string_equal(t, "T [h:2099-12-31 23:59:59]");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(failures),
	    cmocka_unit_test(passdb_fields_for_the_log),
	    cmocka_unit_test(hostile_texts_are_cleaned),
	    cmocka_unit_test(success),
	    cmocka_unit_test(name_too_long),
	    cmocka_unit_test(refusals),
	    cmocka_unit_test(dates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
