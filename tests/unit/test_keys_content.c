/*
 * What the signer is willing to sign: the two forms whole, every truncation, every
 * changed bit; and which scheme goes with which key.
 */
/* SRC: src/keys/content.c src/ipc/codec.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "keys/content.h"

#define PREFIX 98 /* bytes before the hash: 64 spaces, context string, NUL */

static const char *why;

static size_t
tls13(uint8_t *p, size_t hash)
{
	memset(p, ' ', 64);
	memcpy(p + 64, "TLS 1.3, server CertificateVerify", 34);
	memset(p + PREFIX, 0xa5, hash);
	return PREFIX + hash;
}

static size_t
tls12(uint8_t *p, uint16_t group, uint8_t len, uint8_t form)
{
	memset(p, 0xa5, 64);
	p[64] = 3;
	p[65] = (uint8_t)(group >> 8);
	p[66] = (uint8_t)group;
	p[67] = len;
	memset(p + 68, 0x5a, len);
	p[68] = form;
	return 68u + len;
}

static void
tls13_lengths(void **state)
{
	uint8_t p[400];

	(void)state;
	tls13(p, 300);
	for (size_t len = 0; len <= PREFIX + 300; len++) {
		enum content want = len == PREFIX + 32 || len == PREFIX + 48 ? CONTENT_TLS13
									       : CONTENT_BAD;

		assert_int_equal(content_check(p, len, &why), want);
		assert_true((why[0] == '\0') == (want != CONTENT_BAD));
	}
}

/* One bit wrong anywhere before the hash; any hash. */
static void
tls13_bits(void **state)
{
	static const size_t hashes[] = {32, 48};
	uint8_t p[400];

	(void)state;
	for (size_t h = 0; h < 2; h++) {
		size_t len = tls13(p, hashes[h]);

		for (size_t i = 0; i < len * 8; i++) {
			p[i / 8] ^= (uint8_t)(1u << i % 8);
			assert_int_equal(content_check(p, len, &why),
			    i / 8 < PREFIX ? CONTENT_BAD : CONTENT_TLS13);
			p[i / 8] ^= (uint8_t)(1u << i % 8);
		}
	}
}

static void
tls13_other_contexts(void **state)
{
	static const char *const contexts[] = {"TLS 1.3, client CertificateVerify",
	    "TLS 1.3, server CertificateVerif", "TLS 1.3, Server CertificateVerify",
	    "TLS 1.3, server CertificateVerify ", "QUIC, server CertificateVerify---"};
	uint8_t p[400];

	(void)state;
	for (size_t i = 0; i < sizeof(contexts) / sizeof(contexts[0]); i++) {
		size_t n = strlen(contexts[i]) + 1;

		memset(p, ' ', 64);
		memcpy(p + 64, contexts[i], n);
		memset(p + 64 + n, 1, 48);
		assert_int_equal(content_check(p, 64 + n + 32, &why), CONTENT_BAD);
		assert_int_equal(content_check(p, 64 + n + 48, &why), CONTENT_BAD);
		assert_int_equal(content_check(p, PREFIX + 32, &why), CONTENT_BAD);
	}
}

static const struct {
	uint16_t group;
	uint8_t len, form;
} curves[] = {{23, 65, 4}, {24, 97, 4}, {25, 133, 4}, {29, 32, 0}, {30, 56, 0}};
#define NCURVES (sizeof(curves) / sizeof(curves[0]))

static bool
known(uint16_t group, uint8_t len)
{
	for (size_t i = 0; i < NCURVES; i++)
		if (curves[i].group == group && curves[i].len == len)
			return true;
	return false;
}

static void
tls12_lengths(void **state)
{
	uint8_t p[400] = {0};

	(void)state;
	for (size_t c = 0; c < NCURVES; c++) {
		size_t whole = tls12(p, curves[c].group, curves[c].len, curves[c].form);

		for (size_t len = 0; len < whole + 100; len++)
			assert_int_equal(content_check(p, len, &why),
			    len == whole ? CONTENT_TLS12 : CONTENT_BAD);
	}
}

/* Every group with every length: five of them. */
static void
tls12_groups(void **state)
{
	unsigned int good = 0;
	uint8_t p[400];

	(void)state;
	for (unsigned int group = 0; group < 65536; group++) {
		for (unsigned int len = 0; len < 256; len += group < 256 ? 1 : 255) {
			size_t n = tls12(p, (uint16_t)group, (uint8_t)len, 4);
			enum content got = content_check(p, n, &why);

			assert_int_equal(got, known((uint16_t)group, (uint8_t)len) ? CONTENT_TLS12
										 : CONTENT_BAD);
			good += got == CONTENT_TLS12;
		}
	}
	assert_int_equal(good, NCURVES);
}

static void
tls12_bits(void **state)
{
	uint8_t p[400];

	(void)state;
	for (size_t c = 0; c < NCURVES; c++) {
		size_t len = tls12(p, curves[c].group, curves[c].len, curves[c].form);

		for (size_t i = 0; i < len * 8; i++) {
			bool head = i / 8 >= 64 && i / 8 < 68;
			bool form = i / 8 == 68 && curves[c].form == 4;

			p[i / 8] ^= (uint8_t)(1u << i % 8);
			assert_int_equal(content_check(p, len, &why),
			    head || form ? CONTENT_BAD : CONTENT_TLS12);
			p[i / 8] ^= (uint8_t)(1u << i % 8);
		}
	}
}

/* Explicit curves, compressed and hybrid points, the point at infinity. */
static void
tls12_hostile(void **state)
{
	static const uint8_t forms[] = {0, 2, 3, 5, 6, 7, 255};
	uint8_t p[400];
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(forms); i++) {
		len = tls12(p, 23, 65, forms[i]);
		assert_int_equal(content_check(p, len, &why), CONTENT_BAD);
	}
	len = tls12(p, 23, 33, 2);
	assert_int_equal(content_check(p, len, &why), CONTENT_BAD);
	for (uint8_t type = 0; type < 10; type++) {
		len = tls12(p, 23, 65, 4);
		p[64] = type;
		assert_int_equal(content_check(p, len, &why), type == 3 ? CONTENT_TLS12 : CONTENT_BAD);
	}
	/* 64 spaces are randoms as good as any: not taken for the other form. */
	len = tls12(p, 23, 65, 4);
	memset(p, ' ', 64);
	assert_int_equal(content_check(p, len, &why), CONTENT_TLS12);
	/* Finite-field parameters (RFC 5246 7.4.3), and a bare digest. */
	memset(p, 0, sizeof(p));
	p[65] = 1;
	assert_int_equal(content_check(p, 64 + 2 + 256, &why), CONTENT_BAD);
	for (size_t n = 0; n <= 64; n++)
		assert_int_equal(content_check(p, n, &why), CONTENT_BAD);
}

struct allowed {
	uint16_t sigalg;
	enum key_type type;
	int bits; /* 0: any of that type */
	enum content content;
	const char *hash;
	int pss;
};

/* RFC 8446 4.2.3 and RFC 8422 5.1.1, written down once more. */
static const struct allowed allowed[] = {
    {0x0403, KEY_EC, 256, CONTENT_TLS13, "SHA256", 0},
    {0x0503, KEY_EC, 384, CONTENT_TLS13, "SHA384", 0},
    {0x0603, KEY_EC, 521, CONTENT_TLS13, "SHA512", 0},
    {0x0804, KEY_RSA, 0, CONTENT_TLS13, "SHA256", 1},
    {0x0805, KEY_RSA, 0, CONTENT_TLS13, "SHA384", 1},
    {0x0806, KEY_RSA, 0, CONTENT_TLS13, "SHA512", 1},
    {0x0807, KEY_ED25519, 0, CONTENT_TLS13, NULL, 0},
    {0x0403, KEY_EC, 0, CONTENT_TLS12, "SHA256", 0},
    {0x0503, KEY_EC, 0, CONTENT_TLS12, "SHA384", 0},
    {0x0603, KEY_EC, 0, CONTENT_TLS12, "SHA512", 0},
    {0x0401, KEY_RSA, 0, CONTENT_TLS12, "SHA256", 0},
    {0x0501, KEY_RSA, 0, CONTENT_TLS12, "SHA384", 0},
    {0x0601, KEY_RSA, 0, CONTENT_TLS12, "SHA512", 0},
    {0x0804, KEY_RSA, 0, CONTENT_TLS12, "SHA256", 1},
    {0x0805, KEY_RSA, 0, CONTENT_TLS12, "SHA384", 1},
    {0x0806, KEY_RSA, 0, CONTENT_TLS12, "SHA512", 1},
    {0x0807, KEY_ED25519, 0, CONTENT_TLS12, NULL, 0},
};

static const struct allowed *
find(uint16_t alg, enum key_type type, int bits, enum content content)
{
	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		if (allowed[i].sigalg == alg && allowed[i].type == type &&
		    allowed[i].content == content &&
		    (allowed[i].bits == 0 || allowed[i].bits == bits))
			return &allowed[i];
	return NULL;
}

static void
schemes(void **state)
{
	static const struct {
		enum key_type type;
		int bits;
	} keys[] = {{KEY_EC, 256}, {KEY_EC, 384}, {KEY_RSA, 2048}, {KEY_RSA, 4096},
	    {KEY_ED25519, 253}};

	(void)state;
	for (unsigned int alg = 0; alg < 65536; alg++) {
		for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
			for (int c = CONTENT_TLS13; c <= CONTENT_TLS12; c++) {
				const struct allowed *a = find((uint16_t)alg, keys[k].type,
				    keys[k].bits, (enum content)c);
				const struct scheme *s = content_scheme((uint16_t)alg, keys[k].type,
				    keys[k].bits, (enum content)c);

				assert_true((a == NULL) == (s == NULL));
				if (a == NULL)
					continue;
				assert_int_equal(s->pss, a->pss);
				assert_true((s->hash == NULL) == (a->hash == NULL));
				if (a->hash != NULL)
					assert_string_equal(s->hash, a->hash);
			}
		}
		assert_null(content_scheme((uint16_t)alg, KEY_RSA, 2048, CONTENT_BAD));
	}
}

static bool
request(const uint8_t *p, size_t len, struct sign_request *q)
{
	struct rd r = {.p = p, .end = p + len};

	return content_request(&r, q);
}

static void
requests(void **state)
{
	static uint8_t buf[2000], tbs[700];
	struct wr w = {.p = buf, .cap = sizeof(buf)};
	struct sign_request q;

	(void)state;
	wr_u16(&w, 3);
	wr_u16(&w, 0x0804);
	wr_block(&w, tbs, 130);
	assert_true(request(buf, w.len, &q));
	assert_int_equal(q.key, 3);
	assert_int_equal(q.sigalg, 0x0804);
	assert_int_equal(q.len, 130);
	assert_ptr_equal(q.tbs, buf + 8);
	for (size_t len = 0; len < w.len; len++)
		assert_false(request(buf, len, &q));
	assert_false(request(buf, w.len + 1, &q));
	for (size_t n = CONTENT_MAX; n <= CONTENT_MAX + 1; n++) {
		w = (struct wr){.p = buf, .cap = sizeof(buf)};
		wr_u16(&w, 0);
		wr_u16(&w, 0);
		wr_block(&w, tbs, n);
		assert_true(request(buf, w.len, &q) == (n == CONTENT_MAX));
	}
	memset(buf + 4, 0xff, 4); /* a length of four gigabytes */
	assert_false(request(buf, w.len, &q));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tls13_lengths),
	    cmocka_unit_test(tls13_bits),
	    cmocka_unit_test(tls13_other_contexts),
	    cmocka_unit_test(tls12_lengths),
	    cmocka_unit_test(tls12_groups),
	    cmocka_unit_test(tls12_bits),
	    cmocka_unit_test(tls12_hostile),
	    cmocka_unit_test(schemes),
	    cmocka_unit_test(requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
