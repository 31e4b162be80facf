/*
 * Settings for some connections only, as they travel to a process: whole, cut off at
 * every byte, with every byte changed, and what a hostile sender would say.  And which
 * connections a block takes.
 */
/* SRC: src/ipc/rules.c src/ipc/blocks.c src/ipc/conn.c src/ipc/codec.c src/common/str.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "ipc/rules.h"

static uint8_t buf[256 << 10], again[256 << 10];
static struct rule_set in, out;

/* ---- as it travels --------------------------------------------------------- */

static const uint8_t net[NET_WIRE] = {4, 8, 10};

static void
fill(struct rule_set *s)
{
	*s = (struct rule_set){.nblocks = 3};
	s->base = (struct rules){.ssl = SSL_YES, .login_greeting = "Hello", .ssl_min_version = 0x0303,
	    .login_trusted_networks = {net, sizeof(net)}, .mail_max_userip_connections = UINT32_MAX};
	s->blocks[0] = (struct block){.takes = {.service = SERVICE__MAX, .names = "a.test *.b.test"},
	    .has = RULE_BIT(RULE_GREETING) | RULE_BIT(RULE_CERT) | RULE_BIT(RULE_USERIP),
	    .set = {.login_greeting = "", .cert = SETTINGS_CERTS_MAX - 1}};
	s->blocks[1] = (struct block){.takes.service = SERVICE_POP3,
	    .has = RULE_BIT(RULE_SSL) | RULE_BIT(RULE_TRUSTED) | RULE_BIT(RULE_VERBOSE),
	    .set = {.ssl = SSL_REQUIRED, .auth_verbose = 1, .login_trusted_networks = {net, 0}}};
	s->blocks[2] = (struct block){.takes.service = SERVICE__MAX,
	    .has = RULE_BIT(RULE_LOG_FORMAT) | RULE_BIT(RULE_LOGIN_TIMEOUT),
	    .set = {.login_log_format = "x%s", .login_timeout_ms = 7}};
	conn_net_parse("10.0.0.0/8", &s->blocks[1].takes.local);
	conn_net_parse("fe80::/10", &s->blocks[2].takes.remote);
}

static size_t
packed(const struct rule_set *s, enum rule_reader who)
{
	struct wr w = {.p = buf, .cap = sizeof(buf)};

	rule_set_pack(&w, s, who);
	assert_false(w.bad);
	return w.len;
}

static bool
unpacked(const uint8_t *p, size_t len, enum rule_reader who)
{
	struct rd r = {.p = p, .end = p + len};

	return rule_set_unpack(&r, &out, who) && rd_end(&r);
}

static void
each_is_told_its_own(void **state)
{
	(void)state;
	fill(&in);
	assert_true(unpacked(buf, packed(&in, TELL_WORKER), TELL_WORKER));
	assert_string_equal(out.base.login_greeting, "Hello");
	assert_string_equal(out.base.ssl_cipher_list, "");
	assert_null(out.base.login_log_format);
	assert_int_equal(out.nblocks, 3);
	assert_int_equal(out.blocks[0].set.cert, SETTINGS_CERTS_MAX - 1);
	assert_string_equal(out.blocks[0].takes.names, "a.test *.b.test");
	assert_int_equal(out.blocks[1].has, RULE_BIT(RULE_SSL));
	assert_memory_equal(&out.blocks[2].takes, &in.blocks[2].takes, sizeof(in.blocks[2].takes));
	assert_true(unpacked(buf, packed(&in, TELL_AUTH), TELL_AUTH));
	assert_null(out.base.login_greeting);
	assert_int_equal(out.base.mail_max_userip_connections, UINT32_MAX);
	assert_int_equal(out.nblocks, 3);
	assert_string_equal(out.blocks[2].set.login_log_format, "x%s");
	assert_true(unpacked(buf, packed(&in, TELL_LAUNCHER), TELL_LAUNCHER));
	assert_int_equal(out.nblocks, 2); /* the first has nothing for it */
	assert_int_equal(out.base.login_trusted_networks.len, NET_WIRE);
	assert_int_equal(out.blocks[0].takes.service, SERVICE_POP3);
	assert_false(unpacked(buf, packed(&in, TELL_AUTH), TELL_WORKER));
}

/* Cut off, with a byte too many, and with every byte changed to every value: refused,
 * or something that is within its limits (it packs to what was read). */
static void
cut_and_changed(void **state)
{
	static const enum rule_reader readers[] = {TELL_LAUNCHER, TELL_AUTH, TELL_WORKER};

	(void)state;
	for (size_t who = 0; who < 3; who++) {
		unsigned int taken = 0, refused = 0;
		size_t len;

		fill(&in);
		len = packed(&in, readers[who]);
		for (size_t n = 0; n < len; n++) {
			uint8_t *exact = malloc(n + 1); /* a reader that goes too far is seen */

			memcpy(exact, buf, n);
			assert_false(unpacked(exact, n, readers[who]));
			free(exact);
		}
		assert_false(unpacked(buf, len + 1, readers[who]));
		for (size_t at = 0; at < len; at++) {
			for (unsigned int v = 0; v < 256; v++) {
				struct wr w = {.p = again, .cap = sizeof(again)};
				uint8_t was = buf[at];

				buf[at] = (uint8_t)v;
				if (unpacked(buf, len, readers[who])) {
					rule_set_pack(&w, &out, readers[who]);
					assert_int_equal(w.len, len);
					assert_memory_equal(again, buf, len);
					taken++;
				} else {
					refused++;
				}
				buf[at] = was;
			}
		}
		assert_true(taken > 1000 && refused > 1000);
	}
}

/* A block of one rule, written by hand. */
static bool
hand_made(uint16_t n, uint8_t service, const char *names, const uint8_t *local, size_t local_len,
    uint64_t has, const void *value, size_t len)
{
	struct wr w = {.p = buf, .cap = sizeof(buf)};

	in = (struct rule_set){0};
	rule_set_pack(&w, &in, TELL_WORKER);
	w.len -= 2;
	wr_u16(&w, n);
	for (unsigned int i = 0; i < n; i++) {
		wr_u8(&w, service);
		wr_str(&w, names);
		wr_block(&w, local, local_len);
		wr_block(&w, NULL, 0);
		wr_u64(&w, has);
		memcpy(w.p + w.len, value, len);
		w.len += len;
	}
	assert_false(w.bad);
	return unpacked(buf, w.len, TELL_WORKER);
}

#define SSL_ONLY RULE_BIT(RULE_SSL), "\2", 1

static void
hostile(void **state)
{
	static const uint8_t odd[][NET_WIRE] = {{5, 8}, {4, 33}, {6, 129}, {0, 0}};
	char names[300], text[1100] = {0};

	(void)state;
	assert_true(hand_made(1, 0, "", NULL, 0, SSL_ONLY));
	assert_true(hand_made(BLOCKS_MAX, SERVICE__MAX, "", net, sizeof(net), SSL_ONLY));
	assert_int_equal(out.nblocks, BLOCKS_MAX);
	assert_false(hand_made(BLOCKS_MAX + 1, 0, "", NULL, 0, SSL_ONLY));
	assert_false(hand_made(1, SERVICE__MAX + 1, "", NULL, 0, SSL_ONLY));
	assert_false(hand_made(1, 0, "", net, 17, SSL_ONLY));
	assert_false(hand_made(1, 0, "", net, 19, SSL_ONLY));
	for (size_t i = 0; i < 4; i++)
		assert_false(hand_made(1, 0, "", odd[i], NET_WIRE, SSL_ONLY));
	memset(names, 'a', sizeof(names));
	names[256] = '\0';
	assert_false(hand_made(1, 0, names, NULL, 0, SSL_ONLY));
	names[255] = '\0';
	assert_true(hand_made(1, 0, names, NULL, 0, SSL_ONLY));
	assert_false(hand_made(1, 0, "", NULL, 0, 0, "", 0)); /* nothing in it */
	assert_false(hand_made(1, 0, "", NULL, 0, RULE_BIT(RULE_USERIP), "\1\0\0\0", 4)); /* not its */
	assert_false(hand_made(1, 0, "", NULL, 0, RULE_BIT(RULE__MAX), "\1", 1)); /* nobody's */
	assert_false(hand_made(1, 0, "", NULL, 0, (uint64_t)1 << 63, "\1", 1));
	assert_false(hand_made(1, 0, "", NULL, 0, RULE_BIT(RULE_SSL), "\3", 1));
	assert_false(hand_made(1, 0, "", NULL, 0, RULE_BIT(RULE_CERT), "\100\0", 2));
	assert_true(hand_made(1, 0, "", NULL, 0, RULE_BIT(RULE_GREETING), "\3\0\0\0hi", 7));
	assert_false(hand_made(1, 0, "", NULL, 0, RULE_BIT(RULE_GREETING), "\0\0\0\0", 4)); /* no NUL */
	assert_false(hand_made(1, 0, "", NULL, 0, RULE_BIT(RULE_GREETING), "\2\0\0\0hi", 6));
	assert_false(hand_made(1, 0, "", NULL, 0, RULE_BIT(RULE_GREETING), "\4\0\0\0h\0i", 8));
	assert_false(hand_made(1, 0, "", NULL, 0, RULE_BIT(RULE_GREETING), "\377\377\377\377hi", 7));
	memset(text, 'x', 4 + 256);
	memcpy(text, "\1\1\0\0", 4); /* 257 with its NUL */
	assert_false(hand_made(1, 0, "", NULL, 0, RULE_BIT(RULE_GREETING), text, 4 + 257));
	memcpy(text, "\0\1\0\0", 4);
	text[4 + 255] = '\0';
	assert_true(hand_made(1, 0, "", NULL, 0, RULE_BIT(RULE_GREETING), text, 4 + 256));
}

/* ---- which connections ------------------------------------------------------ */

static struct block_takes
takes(const char *local, const char *remote, const char *names, uint8_t service)
{
	struct block_takes t = {.service = service};

	if (local != NULL)
		assert_true(conn_net_parse(local, &t.local));
	if (remote != NULL)
		assert_true(conn_net_parse(remote, &t.remote));
	strcpy(t.names, names);
	return t;
}

static struct conn_info
conn(const char *local, const char *remote, enum service s)
{
	struct block_takes t = takes(local, remote, "", SERVICE__MAX);
	struct conn_info c = {.service = s};

	c.local.family = t.local.family;
	c.remote.family = t.remote.family;
	memcpy(c.local.ip, t.local.ip, 16);
	memcpy(c.remote.ip, t.remote.ip, 16);
	return c;
}

static void
names(void **state)
{
	static const struct {
		const char *list, *name;
		bool takes;
	} rows[] = {{"", "", true}, {"", "a.test", true}, {"a.test", "", false},
	    {"a.test", "a.test", true}, {"a.test", "A.Test", true}, {"a.test", "b.a.test", false},
	    {"a.test", "a.tes", false}, {"a.tes", "a.test", false}, {"*.test", "a.test", true},
	    {"*.test", "test", false}, {"*.test", ".test", false}, {"*.test", "b.a.test", false},
	    {"x *.test y", "a.test", true}, {"x *.test y", "y", true}, {"x y", "x y", false}};
	struct conn_info c = conn("::1", "::1", SERVICE_IMAP);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct block_takes t = takes(NULL, NULL, rows[i].list, SERVICE__MAX);

		if (block_takes(&t, &c, rows[i].name) != rows[i].takes)
			fail_msg("row %zu", i);
	}
}

static void
how_they_lie(void **state)
{
	static const struct {
		const char *a_local, *a_names, *b_local, *b_names;
		bool a_in_b, b_in_a, both;
	} rows[] = {{NULL, "", NULL, "", true, true, true},
	    {"10.0.0.1", "", "10.0.0.0/8", "", true, false, true},
	    {"10.0.0.1", "", "10.0.0.2", "", false, false, false},
	    {"10.0.0.0/8", "", "::/0", "", false, false, false},
	    {"10.0.0.1", "", NULL, "a", false, false, true},
	    {"10.0.0.1", "a", NULL, "a b", true, false, true},
	    {NULL, "a.x", NULL, "*.x", true, false, true}, {NULL, "*.x", NULL, "*.x *.y", true, false, true},
	    {NULL, "a.x b.y", NULL, "*.x", false, false, true}, {NULL, "a.x", NULL, "b.x", false, false, false},
	    {NULL, "*.x", NULL, "*.y", false, false, false}, {NULL, "*.x a.x", NULL, "*.x", true, true, true},
	    {"10.1.2.3/8", "", "10.9.9.9/8", "", true, true, true}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct block_takes a = takes(rows[i].a_local, NULL, rows[i].a_names, SERVICE__MAX);
		struct block_takes b = takes(rows[i].b_local, NULL, rows[i].b_names, SERVICE__MAX);

		if (block_within(&a, &b) != rows[i].a_in_b || block_within(&b, &a) != rows[i].b_in_a ||
		    block_overlaps(&a, &b) != rows[i].both || block_overlaps(&b, &a) != rows[i].both)
			fail_msg("row %zu", i);
		a.service = SERVICE_IMAP;
		assert_int_equal(block_within(&a, &b), rows[i].a_in_b);
		assert_false(block_within(&b, &a));
		b.service = SERVICE_POP3;
		assert_false(block_overlaps(&a, &b) || block_within(&a, &b));
	}
}

/* Later ones count, and only what they have. */
static void
applied(void **state)
{
	struct conn_info c = conn("10.1.1.1", "fe80::1", SERVICE_POP3);
	struct rules r;
	uint64_t m;

	(void)state;
	fill(&in);
	m = rule_set_match(&in, &c, "");
	assert_int_equal(m, 6);
	rule_set_apply(&in, m, &r);
	assert_string_equal(r.login_greeting, "Hello");
	assert_int_equal(r.ssl, SSL_REQUIRED);
	assert_int_equal(r.login_trusted_networks.len, 0);
	assert_int_equal(r.login_timeout_ms, 7);
	assert_int_equal(rule_set_having(&in, m, RULE_BIT(RULE_SSL) | RULE_BIT(RULE_CERT)), 2);
	assert_int_equal(rule_set_match(&in, &c, "x.b.test"), 7);
	rule_set_apply(&in, 7, &r);
	assert_string_equal(r.login_greeting, "");
	assert_int_equal(r.mail_max_userip_connections, 0);
	c.service = SERVICE_IMAP;
	c.remote.ip[0] = 0;
	assert_int_equal(rule_set_match(&in, &c, "b.test"), 0);
	rule_set_apply(&in, 0, &r);
	assert_memory_equal(&r, &in.base, sizeof(r));
	assert_true(net_list_has(&r.login_trusted_networks, &c.local));
	assert_false(net_list_has(&r.login_trusted_networks, &c.remote));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_is_told_its_own),
	    cmocka_unit_test(cut_and_changed),
	    cmocka_unit_test(hostile),
	    cmocka_unit_test(names),
	    cmocka_unit_test(how_they_lie),
	    cmocka_unit_test(applied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
