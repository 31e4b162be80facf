/*
 * Signing: what was made is verified, for every kind of key and scheme, whatever bit
 * of it is wrong; and it costs no memory that stays.
 */
/* SRC: src/keys/key.c src/keys/content.c src/ipc/codec.c src/common/str.c tests/lib/faulty_sign.c */
/* LIBS: -Wl,--wrap=EVP_DigestSign -lcrypto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "faulty_sign.h"
#include "keys/key.h"
#include "testkeys.h"

static const struct {
	enum test_key key;
	uint16_t sigalg;
} kinds[] = {
    {TK_P256, 0x0403},
    {TK_P384, 0x0503},
    {TK_RSA2048, 0x0401}, /* PKCS#1, TLS 1.2 */
    {TK_RSA2048, 0x0601},
    {TK_RSA2048, 0x0804}, /* PSS */
    {TK_RSA2048, 0x0806},
    {TK_ED25519, 0x0807},
};
#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))

static long blocks;
static size_t bytes;

/* ---- memory that is counted ---------------------------------------------------- */

static void *
count_malloc(size_t size, const char *file, int line)
{
	size_t *p = size == 0 ? NULL : malloc(16 + size);

	(void)file;
	(void)line;
	if (p == NULL)
		return NULL;
	*p = size;
	blocks++;
	bytes += size;
	return (uint8_t *)p + 16;
}

static void
count_free(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	if (p == NULL)
		return;
	p = (uint8_t *)p - 16;
	blocks--;
	bytes -= *(size_t *)p;
	free(p);
}

static void *
count_realloc(void *p, size_t size, const char *file, int line)
{
	void *n = count_malloc(size, file, line);
	size_t old = p == NULL ? 0 : *(size_t *)(void *)((uint8_t *)p - 16);

	if (n != NULL && p != NULL)
		memcpy(n, p, old < size ? old : size);
	if (n != NULL || size == 0)
		count_free(p, file, line);
	return n;
}

/* ---- signing -------------------------------------------------------------------- */

static const struct scheme *
scheme_of(size_t kind)
{
	EVP_PKEY *key = testkey(kinds[kind].key);
	const struct scheme *s = content_scheme(kinds[kind].sigalg, key_type(key),
	    EVP_PKEY_get_bits(key), CONTENT_TLS12);

	assert_non_null(s);
	return s;
}

static enum key_result
sign(size_t kind, const void *tbs, size_t len, uint8_t sig[SIG_MAX], size_t *siglen)
{
	*siglen = SIG_MAX;
	return key_sign(testkey(kinds[kind].key), scheme_of(kind), tbs, len, sig, siglen);
}

static void
good_ones(void **state)
{
	uint8_t sig[SIG_MAX];
	size_t len;

	(void)state;
	for (size_t k = 0; k < NKINDS; k++) {
		assert_int_equal(sign(k, "x", 1, sig, &len), KEY_SIGNED);
		assert_in_range(len, 64, SIG_MAX);
		assert_true(key_consistent(testkey(kinds[k].key)));
	}
}

static void
one_bit_is_wrong(void **state)
{
	uint8_t tbs[] = FAULT_WORDS "\0", sig[SIG_MAX];
	uint8_t *bit = tbs + sizeof(FAULT_WORDS) - 1;
	const uint8_t nothing[SIG_MAX] = {0};
	size_t len;

	(void)state;
	for (size_t k = 0; k < NKINDS; k++) {
		size_t bits = (size_t)EVP_PKEY_get_size(testkey(kinds[k].key)) * 8;

		/* RSA is slow, and no bit of it is different from the others. */
		for (size_t i = 0; i < bits; i += bits > 1000 ? 41 : 1) {
			bit[0] = (uint8_t)(i >> 8);
			bit[1] = (uint8_t)i;
			memset(sig, 0x55, sizeof(sig));
			if (sign(k, tbs, sizeof(tbs), sig, &len) != KEY_FAULTY)
				fail_msg("scheme %04x, bit %zu", kinds[k].sigalg, i);
			assert_int_equal(len, 0);
			assert_memory_equal(sig, nothing, sizeof(sig));
		}
		assert_int_equal(sign(k, tbs + 1, sizeof(tbs) - 1, sig, &len), KEY_SIGNED);
	}
}

/* Another key's public half: what a flipped bit in the private one amounts to. */
static void
halves_that_do_not_fit(void **state)
{
	size_t len;
	unsigned char *der = testkey_file(testkey(TK_P256), "DER", "type-specific", NULL, &len);
	EVP_PKEY *key;
	bool asked;

	(void)state;
	der[20] ^= 1; /* SEC1: in the scalar */
	key = key_decode(der, len, NULL, &asked);
	assert_non_null(key);
	assert_false(key_consistent(key));
	EVP_PKEY_free(key);
	OPENSSL_free(der);
}

/* What OpenSSL cannot do is no fault of the machine. */
static void
failed_is_not_faulty(void **state)
{
	static const struct scheme none = {"no such hash", 0};
	uint8_t sig[SIG_MAX];
	size_t len = sizeof(sig);

	(void)state;
	assert_int_equal(key_sign(testkey(TK_P256), &none, sig, 1, sig, &len), KEY_FAILED);
	assert_int_equal(len, 0);
}

static void
no_memory_stays(void **state)
{
	uint8_t tbs[] = FAULT_WORDS "\0", sig[SIG_MAX];
	size_t len;

	(void)state;
	for (size_t k = 0; k < NKINDS; k++) {
		long had_blocks;
		size_t had;

		/* The first ones make what stays with the key and the thread. */
		for (int i = 0; i < 2; i++) {
			sign(k, "x", 1, sig, &len);
			sign(k, tbs, sizeof(tbs), sig, &len);
		}
		had_blocks = blocks;
		had = bytes;
		for (int i = 0; i < 20; i++) {
			assert_int_equal(sign(k, "x", 1, sig, &len), KEY_SIGNED);
			assert_int_equal(sign(k, tbs, sizeof(tbs), sig, &len), KEY_FAULTY);
		}
		assert_int_equal(blocks, had_blocks);
		assert_int_equal(bytes, had);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(good_ones),
	    cmocka_unit_test(one_bit_is_wrong),
	    cmocka_unit_test(halves_that_do_not_fit),
	    cmocka_unit_test(failed_is_not_faulty),
	    cmocka_unit_test(no_memory_stays),
	};

	if (CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free) != 1)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
