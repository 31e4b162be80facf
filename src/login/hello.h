/*
 * The first thing that a client says in TLS: which server it asks for (RFC 6066 3)
 * decides which settings hold, before OpenSSL chooses version, certificate or
 * session.
 */
#ifndef LOGIN_HELLO_H
#define LOGIN_HELLO_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "ipc/conn.h"
#include "login/session_rules.h"

void hello_init(enum service service);
/* For each context. */
void hello_setup(SSL_CTX *ctx);
/* The rules of ssl's connection, which a hello changes; NULL: none (a rehearsal, or the
 * handshake is over). */
void hello_rules(SSL *ssl, struct session_rules *r);

#endif
