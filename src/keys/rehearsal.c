/*
 * The last filter knows no futex, no mmap and no brk.  So everything that libcrypto
 * does only once (fetching algorithms and decoders, run-once initialisers, error
 * texts, the random generators of this thread) is done here, on the ways that real
 * keys and requests will take, good and bad, with keys made for the purpose.
 */
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/encoder.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <string.h>

#include "keys/key.h"

static bool
reads(const void *p, size_t len, const char *password)
{
	bool asked;
	EVP_PKEY *key = key_decode(p, len, password, &asked);
	bool good = key != NULL && key_consistent(key);

	EVP_PKEY_free(key);
	return good;
}

/* Write key in one form, read it back.  cipher: with a password, without which, and
 * with another, it must not be readable. */
static bool
round_trip(EVP_PKEY *key, const char *format, const char *structure, const char *cipher)
{
	OSSL_ENCODER_CTX *e = OSSL_ENCODER_CTX_new_for_pkey(key, EVP_PKEY_KEYPAIR, format, structure,
	    NULL);
	unsigned char *data = NULL;
	size_t len = 0;
	bool good;

	good = e != NULL;
	if (good && cipher != NULL)
		good = OSSL_ENCODER_CTX_set_cipher(e, cipher, NULL) == 1 &&
		    OSSL_ENCODER_CTX_set_passphrase(e, (const unsigned char *)"x", 1) == 1;
	good = good && OSSL_ENCODER_to_data(e, &data, &len) == 1 && reads(data, len, "x") &&
	    reads(data, len, NULL) == (cipher == NULL) && reads(data, len, "y") == (cipher == NULL);
	OSSL_ENCODER_CTX_free(e);
	OPENSSL_clear_free(data, len);
	ERR_clear_error();
	return good;
}

/* TLS 1.2 content: signs with every scheme. */
static void
make_content(uint8_t tbs[133])
{
	memset(tbs, 0, 133);
	tbs[64] = 3; /* named curve */
	tbs[66] = 23;
	tbs[67] = 65;
	tbs[68] = 4;
}

static bool
rehearse(EVP_PKEY *key, const uint16_t *algs, size_t nalgs, const char *old_form)
{
	static struct key_description k;
	uint8_t tbs[133], sig[SIG_MAX];
	char error[200];
	bool good;

	good = key != NULL && round_trip(key, "DER", "PrivateKeyInfo", NULL) &&
	    round_trip(key, "PEM", "PrivateKeyInfo", NULL) &&
	    round_trip(key, "PEM", "EncryptedPrivateKeyInfo", "AES-256-CBC") &&
	    round_trip(key, "DER", "EncryptedPrivateKeyInfo", "AES-256-CBC");
	if (good && old_form != NULL)
		good = round_trip(key, "PEM", old_form, NULL) &&
		    round_trip(key, "DER", old_form, NULL) &&
		    round_trip(key, "PEM", old_form, "AES-128-CBC");
	good = good && key_describe(key, &k);
	key_served(key, error, sizeof(error)); /* RSA: no, it is small, for a quick start */
	make_content(tbs);
	for (size_t i = 0; good && i < nalgs; i++) {
		const struct scheme *s = content_scheme(algs[i], key_type(key),
		    EVP_PKEY_get_bits(key), content_check(tbs, sizeof(tbs), &(const char *){""}));
		size_t len = sizeof(sig);

		good = s != NULL && key_sign(key, s, tbs, sizeof(tbs), sig, &len) == KEY_SIGNED;
	}
	EVP_PKEY_free(key);
	return good;
}

/* What is no key, or one that is not served. */
static void
rehearse_failures(void)
{
	static const char *const texts[] = {
	    "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
	    "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n",
	    "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
	    "-----BEGIN", "\x30\x03\x02\x01\x01", "nothing of the kind\n"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		reads(texts[i], strlen(texts[i]), NULL);
}

bool
key_rehearse(void)
{
	static const uint16_t ec[] = {0x0403, 0x0503, 0x0603};
	static const uint16_t rsa[] = {0x0401, 0x0501, 0x0601, 0x0804, 0x0805, 0x0806};
	static const uint16_t ed[] = {0x0807};

	if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT |
	    OPENSSL_INIT_LOAD_CRYPTO_STRINGS, NULL) != 1)
		return false;
	rehearse_failures();
	return rehearse(EVP_EC_gen("P-256"), ec, 3, "type-specific") &&
	    rehearse(EVP_EC_gen("P-384"), ec, 3, "type-specific") &&
	    rehearse(EVP_RSA_gen(1280), rsa, 6, "type-specific") &&
	    rehearse(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), ed, 1, NULL);
}
