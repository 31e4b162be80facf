/*
 * Channel binding data of a TLS connection (RFC 5056), for SASL's -PLUS
 * mechanisms: what ties a login to this very connection, so that somebody in the
 * middle with a certificate of his own cannot pass it on.
 */
#ifndef LOGIN_BINDING_H
#define LOGIN_BINDING_H

#include <openssl/ssl.h>
#include <stdint.h>

#define BINDING_MAX EVP_MAX_MD_SIZE

/*
 * type   "tls-exporter" (RFC 9266): 32 bytes; TLS 1.2 only with the extended
 *        master secret (RFC 7627), without which it does not bind
 *        "tls-server-end-point" (RFC 5929 4): a hash of our certificate, by its
 *        signature's hash function, SHA-256 in place of MD5 and SHA-1
 *
 *        "tls-unique" (RFC 5929 3): the first Finished message; TLS 1.2 with the
 *        extended master secret alone (without it: broken, above it: not defined).
 *        What clients of TLS 1.2 use
 *
 * Returns the length, 0: this connection has none of that type.
 */
size_t binding_get(SSL *ssl, const char *type, uint8_t dst[BINDING_MAX]);

/* Compute both, so that nothing is initialised lazily after the filter. */
void binding_rehearse(SSL *ssl);

#endif
