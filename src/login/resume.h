/*
 * Resumption of TLS sessions (RFC 8446 2.2, RFC 5246 7.3), the worker's side:
 * stateful in both versions.  OpenSSL keeps no cache and no ticket key; a session
 * goes to the key signer under its id of 32 random bytes, and comes back from it,
 * once.  A session is bound to what resume_bind was told (hello.c: the service, the
 * server name, the settings that the handshake depends on).  No early data; nothing is resumed where clients are asked
 * for certificates.
 */
#ifndef LOGIN_RESUME_H
#define LOGIN_RESUME_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/resume.h"

/* Once: how long sessions last; 0: no resumption. */
void resume_init(uint32_t lifetime_ms);
/* For each context: let it resume sessions, or do without. */
void resume_setup(SSL_CTX *ctx);

/* In the hello, before OpenSSL looks for a session: what it must be of.  False: it
 * cannot be said, and the handshake must not go on. */
bool resume_bind(SSL *ssl, const uint8_t *context, size_t len);

/*
 * Where sessions are: of the connection that is being worked on, set before each
 * step of its handshake.  get returns the session's length in data, 0 if there is
 * none; put keeps it, id NULL: there is none to keep.
 */
struct resume_store {
	size_t (*get)(void *arg, const uint8_t id[RESUME_ID_LEN], uint8_t data[RESUME_DATA_MAX]);
	void (*put)(void *arg, const uint8_t *id, const uint8_t *data, size_t len);
	void *arg;
};
void resume_set_store(const struct resume_store *store);

/* The usual store: the signer, over a struct remotekey_channel (remotekey.h). */
size_t resume_channel_get(void *arg, const uint8_t id[RESUME_ID_LEN],
    uint8_t data[RESUME_DATA_MAX]);
void resume_channel_put(void *arg, const uint8_t *id, const uint8_t *data, size_t len);

#endif
