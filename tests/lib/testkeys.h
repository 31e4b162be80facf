/*
 * Keys and certificates for tests, made on the spot.
 */
#ifndef TESTS_TESTKEYS_H
#define TESTS_TESTKEYS_H

#include <openssl/ec.h>
#include <openssl/encoder.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

enum test_key {
	TK_P256,
	TK_P384,
	TK_RSA2048,
	TK_RSA3072,
	TK_ED25519,
	TK__MAX
};

static inline EVP_PKEY *
testkey(enum test_key t)
{
	static EVP_PKEY *made[TK__MAX];

	if (made[t] == NULL)
		made[t] = t == TK_P256 ? EVP_EC_gen("P-256")
		    : t == TK_P384     ? EVP_EC_gen("P-384")
		    : t == TK_RSA2048  ? EVP_RSA_gen(2048)
		    : t == TK_RSA3072  ? EVP_RSA_gen(3072)
				       : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	return made[t];
}

/* In a form: "PEM" or "DER", "PrivateKeyInfo", "type-specific" ...; cipher and
 * password "x", or NULL.  The caller frees with OPENSSL_free. */
static inline unsigned char *
testkey_file(EVP_PKEY *key, const char *format, const char *structure, const char *cipher,
    size_t *len)
{
	OSSL_ENCODER_CTX *e = OSSL_ENCODER_CTX_new_for_pkey(key, EVP_PKEY_KEYPAIR, format, structure,
	    NULL);
	unsigned char *data = NULL;

	*len = 0;
	if (cipher != NULL) {
		OSSL_ENCODER_CTX_set_cipher(e, cipher, NULL);
		OSSL_ENCODER_CTX_set_passphrase(e, (const unsigned char *)"x", 1);
	}
	if (OSSL_ENCODER_to_data(e, &data, len) != 1)
		abort();
	OSSL_ENCODER_CTX_free(e);
	return data;
}

static inline X509 *
testkey_cert(EVP_PKEY *key)
{
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);
	unsigned char *der = NULL;
	const unsigned char *p;
	int n;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1,
	    -1, 0);
	X509_set_issuer_name(x, name);
	X509_set_pubkey(x, key);
	if (X509_sign(x, key, EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256()) <= 0)
		abort();
	/* Through its encoding: this object still holds the whole key. */
	n = i2d_X509(x, &der);
	X509_free(x);
	p = der;
	x = d2i_X509(NULL, &p, n);
	OPENSSL_free(der);
	return x;
}

#endif
