/*
 * Client certificates (ssl_verify_client_cert): the one thing about a client that
 * the worker finds out and the auth client believes, where a site has turned it on
 * (SECURITY.md).  Whatever is wrong with a certificate does not end the handshake:
 * it is reported, and the login is judged by it.
 */
#ifndef LOGIN_CLIENT_CERT_H
#define LOGIN_CLIENT_CERT_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "ipc/conn.h"
#include "ipc/settings.h"

#define CLIENT_CERT_LIST_MAX (32 * 1024) /* bytes of a chain; more ends the handshake */
#define CLIENT_CERT_DEPTH_MAX 8

/*
 * Once, before the filter: reads the CAs and CRLs of every ssl_ca, rehearses a
 * verification, so that nothing (time zone, algorithms, error texts) is initialised
 * lazily.  Nothing is done if there is none.  NULL, or what is wrong.
 */
const char *client_cert_init(const struct worker_settings *set);
/* For each context: how certificates are judged if clients are asked for one. */
void client_cert_setup(SSL_CTX *ctx);
/* Ask for its certificate, or do not, as the rules of the connection say. */
bool client_cert_ask(SSL *ssl, const struct rules *r);

/* After the handshake.  name: the field ssl_cert_username_field of a valid
 * certificate, if it has exactly one, in UTF-8 without control characters; else
 * "". */
enum conn_cert client_cert_state(const SSL *ssl, const struct rules *r, char *name, size_t cap);

#endif
