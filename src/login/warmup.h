/*
 * Rehearsal: handshakes in memory before the filter is in force, so that every
 * run-once initialiser, fetch and table of OpenSSL has had its turn (a lazy one
 * would make a futex call later and die; sandbox-facts, trap 3).
 */
#ifndef LOGIN_WARMUP_H
#define LOGIN_WARMUP_H

#include <openssl/ssl.h>
#include <stdbool.h>

/* Whole handshakes, data both ways and closing with a throw-away key under the
 * settings of ctx; then a handshake with ctx itself up to the signature (there
 * is no signer yet), which also walks the failure path. */
bool warmup_context(SSL_CTX *ctx, bool thorough, char *why, size_t cap);

#endif
