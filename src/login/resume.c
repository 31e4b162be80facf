#include "login/resume.h"

#include <openssl/err.h>
#include <openssl/sha.h>
#include <string.h>

static const struct resume_store *store;
static uint32_t lifetime_ms;

void
resume_init(uint32_t ms)
{
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

bool
resume_bind(SSL *ssl, const uint8_t *context, size_t len)
{
	uint8_t hash[SHA256_DIGEST_LENGTH];

	return lifetime_ms == 0 ||
	    (EVP_Q_digest(NULL, "SHA256", NULL, context, len, hash, NULL) == 1 &&
		SSL_set_session_id_context(ssl, hash, sizeof(hash)) == 1);
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
}
