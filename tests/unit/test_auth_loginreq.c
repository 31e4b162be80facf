/* SRC: src/auth/loginreq.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "auth/loginreq.h"

#if defined(__x86_64__) || defined(__aarch64__)

/* By hand from dovecot-protocols B.2 (little-endian LP64). */
static const uint8_t image_23[] = {
    0x04, 0x03, 0x02, 0x01,                         /* tag */
    0x0d, 0x0c, 0x0b, 0x0a,                         /* auth_pid */
    0x02, 0x00, 0x00, 0x00,                         /* auth_id */
    0xff, 0xff, 0xff, 0xff,                         /* client_pid */
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, /* cookie */
    0x02, 0x00, 0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* local_ip */
    0x0a, 0x00, 0, 0, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, /* remote_ip */
    0xe1, 0x03,                                     /* 993 */
    0x6e, 0xb2,                                     /* 45678 */
    0x06, 0x00, 0x00, 0x00,                         /* flags */
    0x0a, 0x00, 0x00, 0x00,                         /* data_size */
    0, 0, 0, 0,                                     /* padding */
    0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, /* ino */
    's', 'i', 'd', 0, '0', 'a', '1', 0, 'x', '\n'};

static const uint8_t image_24[] = {
    0x04, 0x03, 0x02, 0x01,
    0x0d, 0x0c, 0x0b, 0x0a,
    0x02, 0x00, 0x00, 0x00,
    0xff, 0xff, 0xff, 0xff,
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
    0x02, 0x00, 0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0x0a, 0x00, 0, 0, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0,
    0xe1, 0x03,
    0x6e, 0xb2,
    0x06, 0x00, 0x00, 0x00,
    0x0a, 0x00, 0x00, 0x00,
    0, 0, 0, 0,
    0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
    's', 'i', 'd', 0, '0', 'a', '1', 0, 'x', '\n'};

static struct loginreq
request(void)
{
	struct loginreq r = {.tag = 0x01020304, .auth_pid = 0x0a0b0c0d, .auth_id = 2,
	    .client_pid = UINT32_MAX, .local = {AF_INET, 993, {127, 0, 0, 1, 0xde, 0xad}},
	    .remote = {AF_INET6, 45678, {0x20, 1, 0xd, 0xb8, [15] = 7}}, .flags = 6,
	    .ino = 0x1122334455667788, .session = "sid", .prefix = "0a1", .prefix_len = 4,
	    .input = "x\n", .input_len = 2};

	for (uint8_t i = 0; i < 16; i++)
		r.cookie[i] = i;
	return r;
}

static void
image_of_23(void **state)
{
	struct loginreq r = request();
	uint8_t b[LOGINREQ_MAX];

	(void)state;
	memset(b, 0xee, sizeof(b));
	assert_int_equal(sizeof(image_23), 96 + 10);
	assert_int_equal(loginreq_pack(&r, false, b), sizeof(image_23));
	assert_memory_equal(b, image_23, sizeof(image_23));
}

static void
image_of_24(void **state)
{
	struct loginreq r = request();
	uint8_t b[LOGINREQ_MAX];

	(void)state;
	memset(b, 0xee, sizeof(b));
	assert_int_equal(sizeof(image_24), 104 + 10);
	assert_int_equal(loginreq_pack(&r, true, b), sizeof(image_24));
	assert_memory_equal(b, image_24, sizeof(image_24));
}

/* The same as C sees it: the compiler's own layout. */
struct ip_24 {
	uint16_t family;
	uint8_t ip[18];
	uint32_t scope;
};
struct wire_24 {
	uint32_t tag;
	int32_t auth_pid;
	uint32_t auth_id, client_pid;
	uint8_t cookie[16];
	struct ip_24 local, remote;
	uint16_t local_port, remote_port;
	uint32_t flags, data_size;
	uint64_t ino;
};

static void
layout_of_the_compiler(void **state)
{
	(void)state;
	assert_int_equal(sizeof(struct wire_24), 104);
	assert_int_equal(offsetof(struct wire_24, remote), 56);
	assert_int_equal(offsetof(struct wire_24, ino), 96);
}

static void
data_limit(void **state)
{
	static uint8_t big[2000];
	struct loginreq r = request();
	uint8_t b[LOGINREQ_MAX];

	(void)state;
	r.input = big;
	r.input_len = LOGINREQ_DATA_MAX - 8;
	assert_int_equal(loginreq_pack(&r, true, b), LOGINREQ_MAX);
	r.input_len++;
	assert_int_equal(loginreq_pack(&r, true, b), 0);
	r.input_len = SIZE_MAX;
	assert_int_equal(loginreq_pack(&r, true, b), 0);
}

static void
answer(void **state)
{
	static const uint8_t b[12] = {1, 0, 0, 0, 0, 0, 0, 0, 0x39, 0x30, 0, 0};
	struct loginreq_answer a;

	(void)state;
	loginreq_answer(b, &a);
	assert_int_equal(a.tag, 1);
	assert_int_equal(a.status, 0);
	assert_int_equal(a.pid, 12345);
}

#endif

static void
prefixes(void **state)
{
	uint8_t longest[130];

	(void)state;
	assert_true(loginreq_prefix_ok(SERVICE_IMAP, (const uint8_t *)"0a1", 4));
	assert_true(loginreq_prefix_ok(SERVICE_IMAP, (const uint8_t *)"1x", 3));
	assert_false(loginreq_prefix_ok(SERVICE_IMAP, (const uint8_t *)"", 0));
	assert_false(loginreq_prefix_ok(SERVICE_IMAP, (const uint8_t *)"0", 2)); /* PREAUTH */
	assert_false(loginreq_prefix_ok(SERVICE_IMAP, (const uint8_t *)"2a1", 4));
	assert_false(loginreq_prefix_ok(SERVICE_IMAP, (const uint8_t *)"0a1", 3));
	assert_false(loginreq_prefix_ok(SERVICE_IMAP, (const uint8_t *)"0a\0b", 5));
	assert_false(loginreq_prefix_ok(SERVICE_IMAP, (const uint8_t *)"0a\r\n", 5));
	assert_true(loginreq_prefix_ok(SERVICE_POP3, (const uint8_t *)"", 0));
	assert_false(loginreq_prefix_ok(SERVICE_POP3, (const uint8_t *)"0a1", 4));
	memset(longest, 'a', sizeof(longest));
	longest[0] = '0';
	longest[127] = '\0';
	assert_true(loginreq_prefix_ok(SERVICE_IMAP, longest, 128));
	longest[127] = 'a';
	longest[128] = '\0';
	assert_false(loginreq_prefix_ok(SERVICE_IMAP, longest, 129));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#if defined(__x86_64__) || defined(__aarch64__)
	    cmocka_unit_test(image_of_23),
	    cmocka_unit_test(image_of_24),
	    cmocka_unit_test(layout_of_the_compiler),
	    cmocka_unit_test(data_limit),
	    cmocka_unit_test(answer),
#endif
	    cmocka_unit_test(prefixes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
