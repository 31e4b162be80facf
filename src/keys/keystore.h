/*
 * The private keys.  Their files' bytes are taken into secret memory before the
 * last filter (so that it needs no read), and parsed behind it.
 */
#ifndef KEYS_KEYSTORE_H
#define KEYS_KEYSTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keys/content.h"
#include "keys/key.h"

#define KEYSTORE_MAX 64
#define KEY_FILE_MAX 65536 /* bytes */

/* Take a key file's bytes, all of it, its name and its password ("": none) into slot
 * index.  The descriptor stays the caller's.  False: error says why. */
bool keystore_read(unsigned int index, int fd, const char *name, const char *password,
    char *error, size_t cap);

/* Parse what was taken, sign with it and verify, and wipe it.  False: error
 * says why ("is encrypted", ...), as the rest of a sentence that begins with the
 * file's name. */
bool keystore_parse(unsigned int index, char *error, size_t cap);

/* False: no such key, or no memory. */
bool keystore_describe(unsigned int index, struct key_description *k);

enum sign_status {
	SIGN_GOOD,
	SIGN_REFUSED,  /* the content or the scheme: why says which */
	SIGN_TOO_MANY, /* counted by the caller, for one connection or for all */
	SIGN_FAILED,   /* no such key, or OpenSSL */
	SIGN_FAULTY    /* made, and did not verify; the worker is told SIGN_FAILED */
};

/* Check and sign.  sig holds SIG_MAX bytes; why is a text that stays: the reason, or
 * for SIGN_FAULTY the key's name. */
enum sign_status keystore_sign(const struct sign_request *q, uint8_t *sig, size_t *siglen,
    const char **why);

#endif
