/*
 * The settings that OpenSSL reads: versions, groups, ciphers.  Applied by workers,
 * and tried out by the supervisor, so that nonsense stops a start or a reload and
 * not every handshake.
 */
#ifndef LOGIN_TLS_SETTINGS_H
#define LOGIN_TLS_SETTINGS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

#include "ipc/rules.h"

/* To all connections of a context, or (ctx NULL) to one that has said no more than its
 * hello.  False: why names the setting and what is wrong with it. */
bool tls_settings_apply(SSL_CTX *ctx, SSL *ssl, const struct rules *set, char *why, size_t cap);

/* "WHAT: DETAIL: OpenSSL's reason"; empties the error queue.  Returns false. */
bool tls_settings_fail(char *why, size_t cap, const char *what, const char *detail);

#endif
