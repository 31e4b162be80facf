/*
 * What the signer signs: the to-be-signed content of a TLS server's handshake, in
 * full, and nothing else.  Pure; the input is untrusted.
 *
 *  - TLS 1.3 CertificateVerify (RFC 8446 4.4.3): 64 spaces, the server's context
 *    string, a zero byte, one transcript hash of 32 or 48 bytes;
 *  - TLS 1.2 ServerKeyExchange (RFC 8422 5.4): both randoms and a named curve with
 *    a point of that curve's length and form.
 */
#ifndef KEYS_CONTENT_H
#define KEYS_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/codec.h"

#define CONTENT_MAX 600 /* bytes; the longest that is accepted has 201 */

enum content {
	CONTENT_BAD,
	CONTENT_TLS13,
	CONTENT_TLS12
};

/* why: set to a static text if it is CONTENT_BAD. */
enum content content_check(const uint8_t *p, size_t len, const char **why);

enum key_type {
	KEY_EC,     /* any curve; TLS 1.3 binds scheme and curve, see content_scheme */
	KEY_RSA,
	KEY_ED25519
};

/* How to sign by a TLS SignatureScheme (RFC 8446 4.2.3). */
struct scheme {
	const char *hash; /* "SHA256"; NULL for Ed25519 */
	int pss;
};

/* False-like NULL: this scheme does not go with this type of key (bits: its
 * size, for EC the curve) in this version. */
const struct scheme *content_scheme(uint16_t sigalg, enum key_type type, int bits,
    enum content content);

/* The fields of SIGN_REQ.  tbs is borrowed from the message. */
struct sign_request {
	uint16_t key;    /* index */
	uint16_t sigalg; /* TLS SignatureScheme */
	const uint8_t *tbs;
	size_t len;
};

/* False: malformed. */
bool content_request(struct rd *r, struct sign_request *q);

#endif
