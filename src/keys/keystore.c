#include "keys/keystore.h"

#include <openssl/core_names.h>
#include <openssl/decoder.h>
#include <openssl/ec.h>
#include <openssl/encoder.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/str.h"

static EVP_PKEY *keys[KEYSTORE_MAX];

/* ---- reading -------------------------------------------------------------- */

/* There is nobody to ask: an encrypted key is an error. */
static int
no_password(char *buf, int size, int rwflag, void *asked)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	*(bool *)asked = true;
	return -1;
}

static EVP_PKEY *
decode(const uint8_t *p, size_t len, bool *asked)
{
	OSSL_DECODER_CTX *ctx;
	EVP_PKEY *key = NULL;

	ctx = OSSL_DECODER_CTX_new_for_pkey(&key, NULL, NULL, NULL, EVP_PKEY_KEYPAIR, NULL, NULL);
	if (ctx != NULL && OSSL_DECODER_CTX_set_pem_password_cb(ctx, no_password, asked) == 1)
		OSSL_DECODER_from_data(ctx, &p, &len);
	OSSL_DECODER_CTX_free(ctx);
	return key;
}

/* The file straight into memory of the secret heap. */
static uint8_t *
slurp(int fd, size_t *len)
{
	uint8_t *buf = OPENSSL_malloc(KEY_FILE_MAX);
	ssize_t n = 0;

	*len = 0;
	while (buf != NULL && *len < KEY_FILE_MAX &&
	    (n = read(fd, buf + *len, KEY_FILE_MAX - *len)) > 0)
		*len += (size_t)n;
	if (buf != NULL && (n == -1 || *len == KEY_FILE_MAX)) {
		OPENSSL_clear_free(buf, KEY_FILE_MAX);
		return NULL;
	}
	return buf;
}

static bool
usable(const EVP_PKEY *key, char *error, size_t cap)
{
	char group[32] = "";

	if (EVP_PKEY_is_a(key, "ED25519"))
		return true;
	if (EVP_PKEY_is_a(key, "RSA")) {
		if (EVP_PKEY_get_bits(key) >= 2048 && EVP_PKEY_get_size(key) <= 512)
			return true;
		snprintf(error, cap, "is an RSA key of %d bits (2048 to 4096 are served)",
		    EVP_PKEY_get_bits(key));
		return false;
	}
	if (EVP_PKEY_is_a(key, "EC") &&
	    EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 &&
	    (strcmp(group, "prime256v1") == 0 || strcmp(group, "secp384r1") == 0))
		return true;
	snprintf(error, cap, "is of a type that is not served: %s %s (EC P-256 and P-384, RSA, "
	    "Ed25519 are)", EVP_PKEY_get0_type_name(key) != NULL ? EVP_PKEY_get0_type_name(key) : "?",
	    group);
	return false;
}

bool
keystore_load(unsigned int index, int fd, char *error, size_t cap)
{
	bool asked = false;
	uint8_t *file;
	EVP_PKEY *key;
	size_t len;

	if (index >= KEYSTORE_MAX) {
		snprintf(error, cap, "is one key too many");
		return false;
	}
	file = slurp(fd, &len);
	if (file == NULL) {
		snprintf(error, cap, "cannot be read, or is larger than %d bytes", KEY_FILE_MAX);
		return false;
	}
	key = decode(file, len, &asked);
	OPENSSL_clear_free(file, KEY_FILE_MAX);
	ERR_clear_error();
	if (key == NULL) {
		snprintf(error, cap, asked ? "is encrypted; take the password off (openssl pkey)"
			: len == 0	   ? "is empty"
					   : "holds no private key in PEM or DER");
		return false;
	}
	if (!usable(key, error, cap)) {
		EVP_PKEY_free(key);
		return false;
	}
	EVP_PKEY_free(keys[index]);
	keys[index] = key;
	return true;
}

size_t
keystore_describe(unsigned int index, char *type, size_t type_cap, uint8_t *spki, size_t cap)
{
	const EVP_PKEY *key = keys[index];
	int bits = EVP_PKEY_get_bits(key), n;
	unsigned char *der = NULL;

	if (EVP_PKEY_is_a(key, "EC"))
		snprintf(type, type_cap, "EC P-%d", bits);
	else if (EVP_PKEY_is_a(key, "RSA"))
		snprintf(type, type_cap, "RSA %d", bits);
	else
		str_copy(type, type_cap, "Ed25519");
	n = i2d_PUBKEY(key, &der);
	if (n <= 0 || (size_t)n > cap)
		n = 0;
	else
		memcpy(spki, der, (size_t)n);
	OPENSSL_free(der);
	ERR_clear_error();
	return (size_t)n;
}

/* ---- signing -------------------------------------------------------------- */

static enum key_type
type_of(const EVP_PKEY *key)
{
	return EVP_PKEY_is_a(key, "EC") ? KEY_EC : EVP_PKEY_is_a(key, "RSA") ? KEY_RSA : KEY_ED25519;
}

static bool
sign(EVP_PKEY *key, const struct scheme *s, const uint8_t *tbs, size_t len, uint8_t *sig,
    size_t *siglen)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx = NULL;
	bool good;

	good = ctx != NULL && EVP_DigestSignInit_ex(ctx, &pctx, s->hash, NULL, NULL, key, NULL) == 1;
	if (good && s->pss)
		good = EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
		    EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) == 1;
	if (good)
		good = EVP_DigestSign(ctx, sig, siglen, tbs, len) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return good;
}

enum sign_status
keystore_sign(unsigned int index, uint16_t sigalg, const uint8_t *tbs, size_t len, uint8_t *sig,
    size_t *siglen, const char **why)
{
	const struct scheme *s;
	enum content content;
	EVP_PKEY *key;

	*why = "no such key";
	if (index >= KEYSTORE_MAX || (key = keys[index]) == NULL)
		return SIGN_FAILED;
	content = content_check(tbs, len, why);
	if (content == CONTENT_BAD)
		return SIGN_REFUSED;
	s = content_scheme(sigalg, type_of(key), EVP_PKEY_get_bits(key), content);
	if (s == NULL) {
		*why = "a signature scheme that does not go with the key";
		return SIGN_REFUSED;
	}
	*siglen = 600;
	*why = "OpenSSL could not sign";
	return sign(key, s, tbs, len, sig, siglen) ? SIGN_GOOD : SIGN_FAILED;
}

/* ---- rehearsal ------------------------------------------------------------ */

/* Write key in one form, read it back. */
static bool
round_trip(EVP_PKEY *key, const char *format, const char *structure)
{
	OSSL_ENCODER_CTX *e = OSSL_ENCODER_CTX_new_for_pkey(key, EVP_PKEY_KEYPAIR, format, structure,
	    NULL);
	unsigned char *data = NULL;
	bool asked = false;
	EVP_PKEY *back = NULL;
	size_t len = 0;

	if (e != NULL && OSSL_ENCODER_to_data(e, &data, &len) == 1)
		back = decode(data, len, &asked);
	OSSL_ENCODER_CTX_free(e);
	OPENSSL_clear_free(data, len);
	EVP_PKEY_free(back);
	return back != NULL;
}

static bool
rehearse(EVP_PKEY *key, const uint16_t *algs, size_t nalgs, const char *old_form)
{
	static uint8_t tbs[64 + 4 + 65], sig[600];
	uint8_t spki[1200];
	char type[64];
	bool good;

	tbs[64] = 3; /* ServerKeyExchange on secp256r1: signs with every scheme */
	tbs[66] = 23;
	tbs[67] = 65;
	tbs[68] = 4;
	good = key != NULL && round_trip(key, "PEM", "PrivateKeyInfo") &&
	    round_trip(key, "DER", "PrivateKeyInfo") &&
	    (old_form == NULL || (round_trip(key, "PEM", old_form) && round_trip(key, "DER", old_form)));
	keys[0] = key;
	for (size_t i = 0; good && i < nalgs; i++) {
		const char *why;
		size_t len;

		good = keystore_sign(0, algs[i], tbs, sizeof(tbs), sig, &len, &why) == SIGN_GOOD;
	}
	good = good && keystore_describe(0, type, sizeof(type), spki, sizeof(spki)) > 0;
	keys[0] = NULL;
	EVP_PKEY_free(key);
	return good;
}

/* What is no key at all, and one with a password. */
static void
rehearse_failures(void)
{
	static const uint8_t garbage[] = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
	static const uint8_t encrypted[] = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
	    "DEK-Info: AES-256-CBC,00112233445566778899AABBCCDDEEFF\n\nAAAA\n"
	    "-----END RSA PRIVATE KEY-----\n";
	bool asked = false;

	EVP_PKEY_free(decode(garbage, sizeof(garbage) - 1, &asked));
	EVP_PKEY_free(decode(encrypted, sizeof(encrypted) - 1, &asked));
	ERR_clear_error();
}

bool
keystore_warm_up(void)
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
