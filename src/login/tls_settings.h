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

#include "ipc/settings.h"

/* False: why names the setting and what is wrong with it. */
bool tls_settings_apply(SSL_CTX *ctx, const struct worker_settings *set, char *why, size_t cap);

/* "WHAT: DETAIL: OpenSSL's reason"; empties the error queue.  Returns false. */
bool tls_settings_fail(char *why, size_t cap, const char *what, const char *detail);

#endif
