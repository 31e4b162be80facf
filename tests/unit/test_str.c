/*
 * Text that comes from strangers: cleaning, base64, numbers.
 */
/* SRC: src/common/str.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/str.h"

static void
clean(void **state)
{
	static const struct {
		const char *in;
		size_t len;
		const char *out;
	} rows[] = {
	    {"plain", 5, "plain"},
	    {"a\r\nb\tc\0d\x7f", 9, "a??b?c?d?"},
	    {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
	    {"\xc3", 1, "?"},
	    {"\xe2\x82", 2, "??"},
	    {"\xc0\xaf", 2, "??"},             /* over-long */
	    {"\xed\xa0\x80", 3, "???"},        /* a surrogate */
	    {"\xf5\x80\x80\x80", 4, "????"},   /* beyond Unicode */
	    {"a\xe2\x80\xae" "b", 5, "a?b"},   /* right-to-left override */
	    {"a\xe2\x80\xa8" "b", 5, "a?b"},   /* line separator */
	    {"\xc2\x85", 2, "?"},              /* C1 */
	    {"\x1b[31m", 5, "?[31m"},
	};
	char out[64];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(str_clean(out, sizeof(out), rows[i].in, rows[i].len),
		    strlen(rows[i].out));
		assert_string_equal(out, rows[i].out);
	}
	/* Cut at a character's border, never beyond cap. */
	for (size_t cap = 1; cap < 8; cap++) {
		size_t n = str_clean(out, cap, "\xe2\x82\xac\xe2\x82\xac", 6);

		assert_int_equal(n, (cap - 1) / 3 * 3);
		assert_int_equal(out[n], 0);
	}
}

static void
base64_round_trips(void **state)
{
	uint8_t in[300] = {0}, back[300];
	char text[420];

	(void)state;
	for (size_t len = 0; len < sizeof(in); len++) {
		long n;

		for (size_t i = 0; i < len; i++)
			in[i] = (uint8_t)(i * 7 + len);
		n = base64_encode(text, sizeof(text), in, len);
		assert_int_equal(n, (len + 2) / 3 * 4);
		assert_int_equal(base64_decode(back, sizeof(back), text, (size_t)n), len);
		assert_memory_equal(in, back, len);
		assert_int_equal(base64_encode(text, (size_t)n, in, len), -1);
		if (len > 0)
			assert_int_equal(base64_decode(back, len - 1, text, (size_t)n), -1);
	}
}

static void
base64_is_strict(void **state)
{
	static const char *const bad[] = {"A", "AA", "AAA", "AA=", "A===", "====", "=AAA", "AA=A",
	    "AAAA=", "AA AA", "AAA\n", "AA\tA", "A-_A", "AB==", "AAB=", "AAAAA", "AA==AAAA"};
	uint8_t out[16];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (base64_decode(out, sizeof(out), bad[i], strlen(bad[i])) != -1)
			fail_msg("accepted: %s", bad[i]);
	assert_int_equal(base64_decode(out, sizeof(out), "A\0AA", 4), -1);
	assert_int_equal(base64_decode(out, sizeof(out), "", 0), 0);
}

static void
numbers(void **state)
{
	uint64_t v = 7;

	(void)state;
	assert_true(str_to_u64("0", 10, &v) && v == 0);
	assert_true(str_to_u64("18446744073709551615", UINT64_MAX, &v) && v == UINT64_MAX);
	assert_false(str_to_u64("18446744073709551616", UINT64_MAX, &v));
	assert_false(str_to_u64("11", 10, &v));
	assert_false(str_to_u64("9", 8, &v));
	assert_false(str_to_u64("", 10, &v));
	assert_false(str_to_u64("-1", 10, &v));
	assert_false(str_to_u64("+1", 10, &v));
	assert_false(str_to_u64(" 1", 10, &v));
	assert_false(str_to_u64("1x", 10, &v));
}

static void
copies(void **state)
{
	char out[4];

	(void)state;
	assert_true(str_copy(out, sizeof(out), "abc"));
	assert_false(str_copy(out, sizeof(out), "abcd"));
	assert_string_equal(out, "abc");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(clean),
	    cmocka_unit_test(base64_round_trips),
	    cmocka_unit_test(base64_is_strict),
	    cmocka_unit_test(numbers),
	    cmocka_unit_test(copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
