/*
 * The private keys: parsed here, once the process is confined, and used here.
 */
#ifndef KEYS_KEYSTORE_H
#define KEYS_KEYSTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keys/content.h"

#define KEYSTORE_MAX 64
#define KEY_FILE_MAX 65536

/* Everything that OpenSSL initialises lazily for reading keys and for signing, with
 * throw-away keys; before the last filter.  False: something does not work. */
bool keystore_warm_up(void);

/*
 * Read a key file (PEM or DER; PKCS#8, SEC1, PKCS#1) from fd, to its end, into
 * slot index.  The descriptor stays the caller's.  False: error says why ("is
 * encrypted", ...).
 */
bool keystore_load(unsigned int index, int fd, char *error, size_t cap);

/* "EC P-256", "RSA 2048", "Ed25519", and the SubjectPublicKeyInfo in DER (its
 * length; 0: too large). */
size_t keystore_describe(unsigned int index, char *type, size_t type_cap, uint8_t *spki,
    size_t cap);

enum sign_status {
	SIGN_GOOD,
	SIGN_REFUSED,  /* the content or the scheme: why says which */
	SIGN_TOO_MANY, /* counted by the caller */
	SIGN_FAILED    /* no such key, or OpenSSL */
};

/* Check and sign.  sig holds 600 bytes. */
enum sign_status keystore_sign(unsigned int index, uint16_t sigalg, const uint8_t *tbs,
    size_t len, uint8_t *sig, size_t *siglen, const char **why);

#endif
