/* SRC: src/auth/line.c src/common/str.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "auth/line.h"

static char scratch[32768];

static int
parse(const char *text, struct auth_line *l)
{
	strcpy(scratch, text);
	return authline_parse(scratch, strlen(text), l);
}

static void
greeting_words(void **state)
{
	struct auth_line l;

	(void)state;
	assert_int_equal(parse("VERSION\t1\t4\tmore", &l), 0);
	assert_int_equal(l.verb, AV_VERSION);
	assert_int_equal(l.id, 1);
	assert_int_equal(l.minor, 4);
	assert_int_equal(parse("SPID\t4294967295", &l), 0);
	assert_int_equal(l.id, UINT32_MAX);
	assert_int_equal(parse("COOKIE\t00112233445566778899aabbccddeeFF", &l), 0);
	assert_int_equal(l.cookie[1], 0x11);
	assert_int_equal(l.cookie[15], 0xff);
	assert_int_equal(parse("DONE", &l), 0);
	assert_int_equal(l.verb, AV_DONE);
	assert_int_equal(parse("SHINY\tnew\tthing", &l), 0);
	assert_int_equal(l.verb, AV_UNKNOWN);
	assert_int_equal(parse("", &l), 0);
	assert_int_equal(l.verb, AV_UNKNOWN);
}

static void
garbage_is_refused(void **state)
{
	static const char *const bad[] = {"VERSION", "VERSION\t1", "VERSION\tx\t1", "SPID",
	    "SPID\t", "SPID\t-1", "SPID\t4294967296", "SPID\t99999999999999999999", "COOKIE\t00",
	    "COOKIE\t0011223344556677889_aabbccddeeff", "COOKIE\t00112233445566778899aabbccddeeff0",
	    "OK", "OK\t", "OK\tx\tuser=a", "FAIL\t 1", "CONT", "CONT\t1x\tAA", "MECH", "MECH\t"};
	struct auth_line l;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse(bad[i], &l), -1);
	/* A NUL inside a number does not end it. */
	memcpy(scratch, "SPID\t12\0", 8);
	assert_int_equal(authline_parse(scratch, 8, &l), -1);
}

static void
fields_are_split_then_unescaped(void **state)
{
	struct auth_line l;
	struct auth_field f;
	char v[64];

	(void)state;
	assert_int_equal(parse("OK\t7\t\t\tuser=a\001tb\001nc\001zd\001\tnologin\t=x\tuser=last\t", &l), 0);
	assert_int_equal(l.id, 7);
	assert_true(authline_field(&l, &f)); /* empty ones are skipped */
	assert_true(auth_field_is(&f, "user"));
	assert_true(auth_field_copy(&f, v, sizeof(v)));
	assert_string_equal(v, "a\tb\nczd"); /* unknown escape: its letter; lone SOH: nothing */
	assert_true(authline_field(&l, &f));
	assert_true(auth_field_is(&f, "nologin"));
	assert_false(f.has_value);
	assert_true(authline_field(&l, &f));
	assert_true(auth_field_is(&f, ""));
	assert_true(authline_field(&l, &f));
	assert_true(auth_field_copy(&f, v, sizeof(v)));
	assert_string_equal(v, "last");
	assert_false(authline_field(&l, &f));
	assert_int_equal(parse("OK\t7\tuser=a\0010b", &l), 0);
	assert_true(authline_field(&l, &f));
	assert_int_equal(f.value_len, 3);
	assert_false(auth_field_copy(&f, v, sizeof(v))); /* a NUL inside is no name */
}

static void
cont_data(void **state)
{
	/* len of data from minor 3 on, -1: it cannot be; below 3 all is data */
	static const struct {
		const char *line;
		int len;
		bool out_of_band;
		const char *binding;
	} t[] = {
	    {"CONT\t3\tQUJD", 4, false, ""},
	    {"CONT\t3\t", 0, false, ""},
	    {"CONT\t3", 0, false, ""},
	    {"CONT\t3\tQUI=", 4, false, ""},
	    {"CONT\t3\tQUJD\tchannel_binding=x", 4, false, "x"},
	    {"CONT\t3\tQUJD\t\tnew\tchannel_binding=a\001tb\tmore=1", 4, false, "a\tb"},
	    {"CONT\t3\tQUJD\tother=x", 4, false, ""},
	    {"CONT\t3\t#\tchannel_binding=tls-exporter", 0, true, "tls-exporter"},
	    {"CONT\t3\t#", -1, false, ""},
	    {"CONT\t3\t#\tother=x", -1, false, ""},
	    {"CONT\t3\t##\tchannel_binding=x", 2, false, "x"},
	    {"CONT\t3\tQUJD\tchannel_binding=", -1, false, ""},
	    {"CONT\t3\tQUJD\tchannel_binding", -1, false, ""},
	    {"CONT\t3\tQUJD\tchannel_binding=x\0010", -1, false, ""},
	    {"CONT\t3\tQUJD\tchannel_binding=0123456789abcdef0123456789abcde", 4, false,
		"0123456789abcdef0123456789abcde"},
	    {"CONT\t3\tQUJD\tchannel_binding=0123456789abcdef0123456789abcdef", -1, false, ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct auth_line l;
		struct auth_cont c;

		assert_int_equal(parse(t[i].line, &l), 0);
		assert_int_equal(l.id, 3);
		assert_true(authline_cont(&l, false, &c));
		assert_int_equal(c.len, strlen(t[i].line) < 7 ? 0 : strlen(t[i].line) - 7);
		assert_false(c.out_of_band || c.wants_binding);
		assert_int_equal(parse(t[i].line, &l), 0);
		assert_int_equal(authline_cont(&l, true, &c), t[i].len != -1);
		if (t[i].len == -1)
			continue;
		assert_int_equal(c.len, t[i].len);
		assert_int_equal(c.out_of_band, t[i].out_of_band);
		assert_string_equal(c.binding, t[i].binding);
		assert_int_equal(c.wants_binding, t[i].binding[0] != '\0');
	}
}

/* Feeds text in pieces of `step`; appends the lines that come out to got. */
static int
read_lines(const char *text, size_t len, size_t step, char *got)
{
	static struct line_reader r;
	int n = 0;

	line_reader_init(&r);
	got[0] = '\0';
	while (len > 0) {
		size_t room, k, line_len;
		char *line, *p = line_reader_space(&r, &room);

		k = step < len ? step : len;
		k = k < room ? k : room;
		memcpy(p, text, k);
		line_reader_added(&r, k);
		text += k;
		len -= k;
		while ((n = line_reader_next(&r, &line, &line_len)) == 1) {
			strncat(got, line, line_len);
			strcat(got, "|");
		}
		if (n == -1)
			return -1;
	}
	return 0;
}

static void
whole_and_byte_by_byte(void **state)
{
	static const char text[] = "VERSION\t1\t2\n\nSPID\t5\nDONE\nhalf";
	char a[100], b[100];

	(void)state;
	assert_int_equal(read_lines(text, strlen(text), 1000, a), 0);
	assert_int_equal(read_lines(text, strlen(text), 1, b), 0);
	assert_string_equal(a, "VERSION\t1\t2||SPID\t5|DONE|");
	assert_string_equal(a, b);
}

static void
line_length_limit(void **state)
{
	static char text[40000], got[40000];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[AUTH_LINE_MAX] = '\n';
	assert_int_equal(read_lines(text, AUTH_LINE_MAX + 1, 40000, got), 0);
	assert_int_equal(strlen(got), AUTH_LINE_MAX + 1);
	assert_int_equal(read_lines(text, AUTH_LINE_MAX + 1, 7, got), 0);
	text[AUTH_LINE_MAX] = 'x';
	text[AUTH_LINE_MAX + 1] = '\n';
	assert_int_equal(read_lines(text, AUTH_LINE_MAX + 2, 40000, got), -1);
	assert_int_equal(read_lines(text, AUTH_LINE_MAX + 1, 1, got), -1);
}

static void
commands(void **state)
{
	static struct auth_cmd c;

	(void)state;
	authcmd_begin(&c, "AUTH");
	authcmd_number(&c, 4294967295u);
	authcmd_word(&c, "PLAIN");
	authcmd_field(&c, "service", "imap");
	authcmd_field(&c, "secured", NULL);
	authcmd_resp(&c, "\0a\0b", 4);
	assert_true(authcmd_end(&c));
	assert_int_equal(c.buf[c.len - 1], '\n');
	c.buf[c.len] = '\0';
	assert_string_equal(c.buf, "AUTH\t4294967295\tPLAIN\tservice=imap\tsecured\tresp=AGEAYg==\n");
	authcmd_begin(&c, "AUTH");
	authcmd_number(&c, 0);
	authcmd_resp(&c, NULL, 0); /* the empty response, not none */
	authcmd_end(&c);
	assert_int_equal(c.len, strlen("AUTH\t0\tresp=\n"));
	assert_memory_equal(c.buf, "AUTH\t0\tresp=\n", c.len);
}

/* CVE-2026-33603: no value adds a field or a line. */
static void
tab_and_lf_injection(void **state)
{
	static struct auth_cmd c;
	static const char evil[] = "x\tuser=root\nAUTH\t1\r\001";
	unsigned int tabs = 0, lfs = 0;

	(void)state;
	authcmd_begin(&c, "AUTH");
	authcmd_word(&c, evil);
	authcmd_field(&c, "session", evil);
	authcmd_base64(&c, evil, sizeof(evil));
	assert_true(authcmd_end(&c));
	for (size_t i = 0; i < c.len; i++) {
		tabs += c.buf[i] == '\t';
		lfs += c.buf[i] == '\n';
		assert_true(c.buf[i] != '\r' && c.buf[i] != '\0');
	}
	assert_int_equal(tabs, 3);
	assert_int_equal(lfs, 1);
}

static void
too_long_is_never_sent(void **state)
{
	static struct auth_cmd c;
	static char data[13000];

	(void)state;
	authcmd_begin(&c, "CONT");
	authcmd_number(&c, 1);
	authcmd_base64(&c, data, 12280);
	assert_true(c.len <= AUTH_LINE_MAX || c.bad);
	authcmd_begin(&c, "CONT");
	authcmd_base64(&c, data, sizeof(data));
	assert_false(authcmd_end(&c));
	memset(data, '\t', sizeof(data) - 1);
	authcmd_begin(&c, "AUTH");
	authcmd_word(&c, data);
	assert_false(authcmd_end(&c));
	authcmd_begin(&c, "AUTH");
	memset(data, 'a', sizeof(data) - 1);
	authcmd_word(&c, data);
	assert_true(authcmd_end(&c));
	authcmd_wipe(&c);
	assert_int_equal(c.buf[7], 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(greeting_words),
	    cmocka_unit_test(garbage_is_refused),
	    cmocka_unit_test(fields_are_split_then_unescaped),
	    cmocka_unit_test(cont_data),
	    cmocka_unit_test(whole_and_byte_by_byte),
	    cmocka_unit_test(line_length_limit),
	    cmocka_unit_test(commands),
	    cmocka_unit_test(tab_and_lf_injection),
	    cmocka_unit_test(too_long_is_never_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
