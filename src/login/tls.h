/*
 * The worker's TLS server: contexts with the configured certificates, chosen by
 * address and SNI (RFC 6066 3), ALPN (RFC 7301), no ticket key, no renegotiation, no
 * compression, AEAD suites with ECDHE only (the signer can do nothing else, and
 * a record then never draws randomness after login).
 */
#ifndef LOGIN_TLS_H
#define LOGIN_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "ipc/settings.h"
#include "login/session_rules.h"

/*
 * Initialise OpenSSL, build the contexts, rehearse: full handshakes in memory
 * for each version and group, so that nothing is initialised lazily once the
 * filter is in force.  thorough: more combinations (a template starts seldom, an
 * exec'd worker for each connection).  False: tls_error() says why.
 */
bool tls_init(const struct worker_settings *set, enum service service, bool thorough);
const char *tls_error(void);
/* No certificate is configured (ssl = no). */
bool tls_available(void);

/* A server for the client on fd under these rules, which the hello may change: r stays
 * until tls_settled.  NULL: tls_error(). */
SSL *tls_new(int fd, struct session_rules *r);
/* The handshake is over: no rule changes any more. */
void tls_settled(SSL *ssl);
/* Before anything is chosen (hello.c): certificate and settings as r says. */
bool tls_apply(SSL *ssl, const struct session_rules *r);

/* "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)" */
void tls_describe(const SSL *ssl, char *dst, size_t cap);
/* SNI name that the client sent, cleaned to host name characters; "" if none. */
void tls_server_name(const SSL *ssl, char *dst, size_t cap);
/* Why the last operation on ssl failed, for the log; empties the error queue. */
void tls_failure(const SSL *ssl, int ret, char *dst, size_t cap);

#endif
