/*
 * What a client says of himself, in the log, to the auth server, and for whom a
 * trusted proxy speaks.
 */
/* SRC: src/auth/clientid.c src/ipc/conn.c src/ipc/codec.c src/common/str.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "auth/clientid.h"

static struct clientid id;
static char line[CLIENTID_LOG_MAX], kept[CLIENTID_RETAIN_MAX], forward[CLIENTID_FORWARD_MAX];

#define READ(text) assert_true(clientid_read((const uint8_t *)(text), sizeof(text) - 1, &id))

static void
pairs(void **state)
{
	static const char good[] = "name\0=Thunderbird\0os\0N\0version\0=\0\0=x\0";
	static const char *const bad[] = {"name", "name\0", "name\0x\0", "name\0Nx\0", "name\0=x"};
	static const size_t bad_len[] = {4, 5, 7, 8, 7};
	static char many[31 * 4];

	(void)state;
	READ(good);
	assert_int_equal(id.n, 4);
	assert_string_equal(id.pairs[0].key, "name");
	assert_string_equal(id.pairs[0].value, "Thunderbird");
	assert_null(id.pairs[1].value);
	assert_string_equal(id.pairs[2].value, "");
	assert_string_equal(id.pairs[3].key, "");
	READ("");
	assert_int_equal(id.n, 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(clientid_read((const uint8_t *)bad[i], bad_len[i], &id));
	/* Cut anywhere: refused, or the pairs before it. */
	for (size_t len = 1; len < sizeof(good) - 1; len++)
		if (clientid_read((const uint8_t *)good, len, &id))
			assert_in_range(id.n, 1, 3);
	for (int i = 0; i < 31; i++)
		memcpy(many + 4 * i, "k\0N", 4);
	assert_true(clientid_read((uint8_t *)many, sizeof(many) - 4, &id));
	assert_false(clientid_read((uint8_t *)many, sizeof(many), &id));
}

static void
in_the_log(void **state)
{
	(void)state;
	READ("name\0=Th\303\274nder\001 1\0VERSION\0=2.0\0os\0N\0x\0=\0");
	assert_true(clientid_log(&id, "*", line));
	assert_string_equal(line, "name=Th\303\274nder? 1, VERSION=2.0, os=NIL, x=");
	assert_true(clientid_log(&id, "version  os", line));
	assert_string_equal(line, "VERSION=2.0, os=NIL");
	assert_false(clientid_log(&id, "", line));
	assert_false(clientid_log(&id, "vers", line));
	READ("");
	assert_false(clientid_log(&id, "*", line));
}

static void
nothing_is_forged(void **state)
{
	(void)state;
	READ("name\0=x (auth failed, 1 attempts in 2 secs): user=<root>, rip=192.0.2.1\nLogin: user=<a>\0"
	    "a=b, rip\0=\033[2J\xff\0");
	assert_true(clientid_log(&id, "*", line));
	assert_string_equal(line, "name=x ?auth failed? 1 attempts in 2 secs?? user??root?? rip?192.0.2.1?Login? user...,"
	    " a?b? rip=?[2J?");
}

static void
bounded(void **state)
{
	static char data[2048];
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 8; i++) {
		n += (size_t)sprintf(data + n, "key%d", i) + 1;
		data[n++] = '=';
		memset(data + n, i % 2 ? '"' : 'v', 200);
		n += 201;
		data[n - 1] = '\0';
	}
	assert_true(clientid_read((uint8_t *)data, n, &id));
	assert_true(clientid_log(&id, "*", line));
	assert_int_equal(strlen(line), 8 * (5 + 80) + 7 * 2);
	clientid_retain(&id, kept);
	assert_int_equal(strlen(kept), 7 + 202); /* the second, escaped, is too much */
	id.n = 0;
	for (int i = 0; i < CLIENTID_PAIRS_MAX; i++)
		id.pairs[id.n++] = (struct clientid_pair){"0123456789012345678901234567", "0123456789012345"};
	assert_true(clientid_log(&id, "*", line));
	assert_in_range(strlen(line), CLIENTID_LOG_MAX - 60, CLIENTID_LOG_MAX - 1);
	assert_string_equal(line + strlen(line) - 3, "345"); /* whole pairs */
}

static void
retained(void **state)
{
	(void)state;
	READ("name\0=a \"b\" \\\t\0x-proxy-ttl\0=4\0X-Originating-IP\0=192.0.2.1\0os\0N\0x-forward-a\0=b\0x-other\0=z\0");
	clientid_retain(&id, kept);
	assert_string_equal(kept, "\"name\" \"a \\\"b\\\" \\\\?\" \"os\" NIL \"x-other\" \"z\"");
	READ("");
	clientid_retain(&id, kept);
	assert_string_equal(kept, "");
}

static void
forwarded(void **state)
{
	struct conn_info info = {.session = "own", .remote = {AF_INET, 1234, {10, 0, 0, 1}},
	    .local = {AF_INET, 143, {10, 0, 0, 2}}}, before;
	char ip[INET6_ADDRSTRLEN];

	(void)state;
	READ("X-Originating-IP\0=2001:db8::7\0x-originating-port\0=4711\0x-connected-ip\0=::ffff:192.0.2.9\0"
	    "x-connected-port\0=993\0x-session-id\0=abc/+DEF0123\0name\0=proxy\0x-forward-team\0=blue \303\251\0"
	    "x-forward-x_Y-1\0=\0");
	clientid_forward(&id, &info, forward);
	assert_string_equal(conn_addr_text(&info.remote, ip), "2001:db8::7");
	assert_int_equal(info.remote.port, 4711);
	assert_string_equal(conn_addr_text(&info.local, ip), "192.0.2.9");
	assert_int_equal(info.local.family, AF_INET);
	assert_int_equal(info.local.port, 993);
	assert_string_equal(info.session, "abc/+DEF0123");
	assert_string_equal(forward, "team=blue \303\251\tx_Y-1=");
	before = info;
	forward[0] = '\0';
	READ("x-originating-ip\0=192.0.2\0x-originating-port\0=70000\0x-connected-ip\0=a::b::c\0x-connected-port\0=0\0"
	    "x-session-id\0=a b\0x-forward-\0=x\0x-forward-a=b\0=x\0x-forward-c\0=x\ty\0x-forward-d\0N\0"
	    "x-forward-nopassword\0=\n\0");
	clientid_forward(&id, &info, forward);
	assert_memory_equal(&info, &before, sizeof(info));
	assert_string_equal(forward, "");
	READ("x-session-id\0=0123456789012345678901234567890123456789012345678901234567890123\0");
	clientid_forward(&id, &info, forward);
	assert_int_equal(strlen(info.session), 64);
	READ("x-session-id\0=01234567890123456789012345678901234567890123456789012345678901234\0x-session-id\0=\0");
	clientid_forward(&id, &info, forward);
	assert_int_equal(strlen(info.session), 64);
}

static void
forwarded_bounded(void **state)
{
	static char value[600];
	struct conn_info info = {.session = "own"};

	(void)state;
	forward[0] = '\0';
	memset(value, 'v', 200);
	id.n = 4;
	for (int i = 0; i < 4; i++)
		id.pairs[i] = (struct clientid_pair){"x-forward-k", value};
	id.pairs[3].value = "w";
	clientid_forward(&id, &info, forward);
	assert_int_equal(strlen(forward), 202 + 1 + 202 + 1 + 3); /* the third is too much, the last is not */
	id.n = 1;
	id.pairs[0].value = "again";
	clientid_forward(&id, &info, forward);
	assert_non_null(strstr(forward, "\tk=w\tk=again")); /* of another XCLIENT: added */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(pairs),
	    cmocka_unit_test(in_the_log),
	    cmocka_unit_test(nothing_is_forged),
	    cmocka_unit_test(bounded),
	    cmocka_unit_test(retained),
	    cmocka_unit_test(forwarded),
	    cmocka_unit_test(forwarded_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
