/*
 * Private keys that are elsewhere: an OpenSSL 3 provider linked into the worker
 * (keymgmt and signature for EC P-256/P-384, RSA and RSA-PSS, Ed25519).  The
 * public part is local; a one-shot digest_sign sends the whole to-be-signed
 * content to the key signer over the connection's signing channel and returns
 * its signature.  No other operation exists.
 */
#ifndef LOGIN_REMOTEKEY_H
#define LOGIN_REMOTEKEY_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Register the provider "gatehouse" in the default library context.  Once,
 * before the first key; false: OpenSSL's error queue says why. */
bool remotekey_init(void);

/* A key that can sign as key `index` of the signer, with the public part taken
 * from pub (the certificate's).  NULL: unsupported type; error queue. */
EVP_PKEY *remotekey_new(EVP_PKEY *pub, uint16_t index);

/*
 * Where signing requests of the connection that is being worked on go.  The
 * callback sends SIGN_REQ and waits for SIGN_RES; see remotekey_channel.
 * It returns the signature's length, or -1.
 */
typedef long (*remotekey_sign_fn)(void *arg, uint16_t key, uint16_t sigalg, const uint8_t *tbs,
    size_t tbs_len, uint8_t *sig, size_t cap);
void remotekey_set_signer(remotekey_sign_fn fn, void *arg);

/* The usual callback: arg points to a struct remotekey_channel. */
struct remotekey_channel {
	int fd;              /* FD_SIGNER, or a pooled connection's */
	uint32_t timeout_ms;
	uint32_t next_id;
	uint8_t gets;        /* look-ups of sessions so far (resume.h) */
	bool put;            /* the last word, SESSION_PUT, was said */
	bool lost;           /* an answer did not come, or a wrong one: out of step */
};
long remotekey_channel(void *arg, uint16_t key, uint16_t sigalg, const uint8_t *tbs,
    size_t tbs_len, uint8_t *sig, size_t cap);

#endif
