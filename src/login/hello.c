#include "login/hello.h"

#include <string.h>

#include "login/resume.h"
#include "login/tls.h"

static enum service service;

void
hello_init(enum service s)
{
	service = s;
}

void
hello_rules(SSL *ssl, struct session_rules *r)
{
	SSL_set_app_data(ssl, r);
}

/* The server name in a hello, in lower case; 0: none, or one that is malformed,
 * which OpenSSL will refuse in a moment. */
static size_t
hello_name(SSL *ssl, uint8_t name[256])
{
	const unsigned char *ext;
	size_t len, n = 0;

	/* list length, type 0 (host_name), length, name */
	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext, &len) != 1 || len < 5 ||
	    len - 5 > 255)
		return 0;
	for (ext += 5, len -= 5; n < len; n++)
		name[n] = ext[n] >= 'A' && ext[n] <= 'Z' ? ext[n] | 0x20 : ext[n];
	return n;
}

/* Only what can be a host name chooses a block: the auth client sees no other. */
static bool
host_name(char dst[256], const uint8_t *name, size_t len)
{
	memcpy(dst, name, len < 256 ? len : 0);
	dst[len < 256 ? len : 0] = '\0';
	return len < 256 && strspn(dst, "abcdefghijklmnopqrstuvwxyz0123456789-._") == len;
}

static bool
choose(SSL *ssl, struct session_rules *r, const uint8_t *name, size_t len)
{
	uint64_t before = r->tls;
	char host[256];

	if (!host_name(host, name, len))
		host[0] = '\0';
	session_rules_name(r, host); /* of a retry's two hellos, the second counts */
	return r->tls == before || tls_apply(ssl, r);
}

/*
 * A session is bound to service, server name, and the blocks that the handshake
 * depends on: with another certificate, or under stricter settings, it is none.
 */
static bool
bind_session(SSL *ssl, const struct session_rules *r, const uint8_t *name, size_t len)
{
	uint8_t text[1 + 8 + 256];

	text[0] = (uint8_t)service;
	for (int i = 0; i < 8; i++)
		text[1 + i] = r != NULL ? (uint8_t)(r->tls >> i * 8) : 0;
	memcpy(text + 9, name, len);
	return resume_bind(ssl, text, 9 + len);
}

static int
on_client_hello(SSL *ssl, int *alert, void *arg)
{
	struct session_rules *r = SSL_get_app_data(ssl);
	uint8_t name[256];
	size_t len = hello_name(ssl, name);

	(void)arg;
	if ((r == NULL || choose(ssl, r, name, len)) && bind_session(ssl, r, name, len))
		return SSL_CLIENT_HELLO_SUCCESS;
	*alert = SSL_AD_INTERNAL_ERROR;
	return SSL_CLIENT_HELLO_ERROR;
}

void
hello_setup(SSL_CTX *ctx)
{
	SSL_CTX_set_client_hello_cb(ctx, on_client_hello, NULL);
}
