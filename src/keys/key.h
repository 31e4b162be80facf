/*
 * One private key: out of a file's bytes, judged, described, used.
 */
#ifndef KEYS_KEY_H
#define KEYS_KEY_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keys/content.h"

#define SIG_MAX 512   /* bytes of a signature: RSA 4096 */
#define SPKI_MAX 1200

/* PEM or DER; PKCS#8, SEC1, PKCS#1; in PEM the first private key, other blocks are
 * skipped.  password: NULL if there is none; asked: it is encrypted.  NULL: there is
 * no key, or the password is not that of the key.  The caller frees. */
EVP_PKEY *key_decode(const uint8_t *p, size_t len, const char *password, bool *asked);

/* EC P-256 and P-384, RSA 2048 to 4096, Ed25519.  False: error says what it is, as
 * the rest of a sentence that begins with the file's name. */
bool key_served(const EVP_PKEY *key, char *error, size_t cap);

/* Does the private half belong to the public one?  A damaged file would otherwise
 * show in every handshake, and with RSA a wrong factor gives the key away. */
bool key_consistent(EVP_PKEY *key);

enum key_type key_type(const EVP_PKEY *key);

struct key_description {
	char type[64];          /* "EC P-256", "RSA 2048", "Ed25519" */
	uint8_t spki[SPKI_MAX]; /* SubjectPublicKeyInfo, DER */
	size_t spki_len;
};
/* False: no memory. */
bool key_describe(EVP_PKEY *key, struct key_description *k);

enum key_result {
	KEY_SIGNED,
	KEY_FAILED, /* OpenSSL could not */
	KEY_FAULTY  /* it could, and the key's own public half does not verify it */
};
/* Hash, sign and verify.  *siglen: room in sig, at least SIG_MAX; set to the length.
 * Unless it is KEY_SIGNED the length is 0 and nothing is left in sig. */
enum key_result key_sign(EVP_PKEY *key, const struct scheme *s, const uint8_t *tbs, size_t len,
    uint8_t *sig, size_t *siglen);

/*
 * Everything that libcrypto initialises lazily on the ways above, with throw-away
 * keys; before the last filter and before any real key.  False: something does not
 * work.  (rehearsal.c)
 */
bool key_rehearse(void);

#endif
