#include "login/resume.h"

#include <openssl/err.h>
#include <openssl/sha.h>
#include <string.h>

static const struct resume_store *store;
static enum service service;
static uint32_t lifetime_ms;

void
resume_init(enum service s, uint32_t ms)
{
	service = s;
	lifetime_ms = ms;
}

void
resume_set_store(const struct resume_store *s)
{
	store = s;
}

/* A client's certificate has to be shown and verified each time. */
static bool
wanted(const SSL *ssl)
{
	return store != NULL && (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) == 0;
}

static SSL_SESSION *
on_get(SSL *ssl, const unsigned char *id, int idlen, int *copy)
{
	uint8_t data[RESUME_DATA_MAX];
	const unsigned char *p = data;
	SSL_SESSION *sess = NULL;
	size_t len;

	*copy = 0; /* the reference is OpenSSL's */
	if (!wanted(ssl) || idlen != RESUME_ID_LEN)
		return NULL;
	len = store->get(store->arg, id, data);
	if (len > 0 && len <= sizeof(data))
		sess = d2i_SSL_SESSION(NULL, &p, (long)len);
	explicit_bzero(data, sizeof(data));
	return sess;
}

static int
on_new(SSL *ssl, SSL_SESSION *sess)
{
	uint8_t data[RESUME_DATA_MAX];
	unsigned char *p = data;
	unsigned int idlen;
	const unsigned char *id = SSL_SESSION_get_id(sess, &idlen);
	int len = i2d_SSL_SESSION(sess, NULL);

	if (wanted(ssl) && idlen == RESUME_ID_LEN && len > 0 && len <= (int)sizeof(data)) {
		i2d_SSL_SESSION(sess, &p);
		store->put(store->arg, id, data, (size_t)len);
		explicit_bzero(data, (size_t)len);
	}
	return 0; /* no reference is kept */
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

/* Before OpenSSL looks for a session: what the session must be of. */
static int
on_client_hello(SSL *ssl, int *alert, void *arg)
{
	uint8_t text[1 + 256], hash[SHA256_DIGEST_LENGTH];
	size_t len;

	(void)arg;
	text[0] = (uint8_t)service;
	len = 1 + hello_name(ssl, text + 1);
	if (EVP_Q_digest(NULL, "SHA256", NULL, text, len, hash, NULL) == 1 &&
	    SSL_set_session_id_context(ssl, hash, sizeof(hash)) == 1)
		return SSL_CLIENT_HELLO_SUCCESS;
	*alert = SSL_AD_INTERNAL_ERROR;
	return SSL_CLIENT_HELLO_ERROR;
}

void
resume_setup(SSL_CTX *ctx)
{
	/* Tickets of TLS 1.2 are encrypted state, for which there is no key; those of
	 * TLS 1.3 become the session's id. */
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_max_early_data(ctx, 0);
	if (lifetime_ms == 0) {
		SSL_CTX_set_num_tickets(ctx, 0);
		SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
		return;
	}
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_timeout(ctx, (lifetime_ms + 999) / 1000);
	SSL_CTX_set_session_cache_mode(ctx,
	    SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL | SSL_SESS_CACHE_NO_AUTO_CLEAR);
	SSL_CTX_sess_set_get_cb(ctx, on_get);
	SSL_CTX_sess_set_new_cb(ctx, on_new);
	SSL_CTX_set_client_hello_cb(ctx, on_client_hello, NULL);
}
