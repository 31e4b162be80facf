#include "login/tls.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "common/str.h"
#include "login/client_cert.h"
#include "login/hello.h"
#include "login/remotekey.h"
#include "login/resume.h"
#include "login/tls_settings.h"
#include "login/warmup.h"

static SSL_CTX *contexts[SETTINGS_CERTS_MAX]; /* by RULE_CERT */
static bool available;
static const unsigned char *alpn_name;
static unsigned char alpn_len;
static char why[512];

const char *
tls_error(void)
{
	return why;
}

static bool
fail(const char *what, const char *detail)
{
	return tls_settings_fail(why, sizeof(why), what, detail);
}

/* What it means was settled with the hello (hello.c).  A name that we do not know gets
 * the usual certificate: the client judges. */
static int
on_server_name(SSL *ssl, int *alert, void *arg)
{
	(void)ssl;
	(void)alert;
	(void)arg;
	return SSL_TLSEXT_ERR_OK;
}

/* A client that offers ALPN without our protocol is talking to somebody else
 * (ALPACA): fatal no_application_protocol.  One that offers none is served. */
static int
on_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in,
    unsigned int inlen, void *arg)
{
	(void)ssl;
	(void)arg;
	for (unsigned int i = 0; i < inlen && in[i] < inlen - i; i += 1u + in[i]) {
		if (in[i] == alpn_len && memcmp(in + i + 1, alpn_name, alpn_len) == 0) {
			*out = in + i + 1;
			*outlen = alpn_len;
			return SSL_TLSEXT_ERR_OK;
		}
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static SSL_CTX *
new_ctx(const struct worker_settings *set)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (ctx == NULL) {
		fail("cannot make a TLS context", "");
		return NULL;
	}
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
	    SSL_OP_CLEANSE_PLAINTEXT);
	resume_setup(ctx);
	hello_setup(ctx);
	client_cert_setup(ctx);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ctx, 1); /* header and body of a record in one read */
	SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
	SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
	if (tls_settings_apply(ctx, NULL, &set->rules.base, why, sizeof(why)))
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

/* Add the chain in c to ctx, with a key that lives in the signer. */
static bool
add_cert(SSL_CTX *ctx, const struct cert_settings *c)
{
	BIO *bio = BIO_new_mem_buf(c->pem, (int)c->pem_len);
	X509 *leaf = bio != NULL ? PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL) : NULL;
	STACK_OF(X509) *chain = sk_X509_new_null();
	EVP_PKEY *key = NULL;
	X509 *ca;
	bool good = false;

	if (leaf == NULL || chain == NULL) {
		fail("cannot read a certificate", "");
		goto out;
	}
	while ((ca = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
		if (sk_X509_push(chain, ca) == 0)
			X509_free(ca);
	ERR_clear_error(); /* the end of the PEM blocks is reported as an error */
	key = remotekey_new(X509_get0_pubkey(leaf), c->key);
	if (key == NULL)
		fail("cannot use a certificate's key", "");
	else if (SSL_CTX_use_cert_and_key(ctx, leaf, key, chain, 1) != 1)
		fail("cannot use a certificate", "");
	else
		good = true;
out:
	EVP_PKEY_free(key);
	sk_X509_pop_free(chain, X509_free);
	X509_free(leaf);
	BIO_free(bio);
	return good;
}

static bool
add_certs(const struct worker_settings *set)
{
	for (unsigned int i = 0; i < set->ncerts; i++) {
		SSL_CTX **ctx = &contexts[set->certs[i].set];

		if (*ctx == NULL && (*ctx = new_ctx(set)) == NULL)
			return false;
		if (!add_cert(*ctx, &set->certs[i]))
			return false;
	}
	return contexts[set->rules.base.cert] != NULL ||
	    fail("there is no certificate outside of blocks", "");
}

bool
tls_init(const struct worker_settings *set, enum service service, bool thorough)
{
	const char *bad;

	if (set->rules.base.ssl == SSL_NO || set->ncerts == 0)
		return true;
	alpn_name = (const unsigned char *)service_name(service);
	alpn_len = (unsigned char)strlen(service_name(service));
	if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT |
	    OPENSSL_INIT_LOAD_SSL_STRINGS | OPENSSL_INIT_LOAD_CRYPTO_STRINGS, NULL) != 1)
		return fail("OpenSSL does not start", "");
	if (!remotekey_init())
		return fail("cannot register the key signer's provider", "");
	resume_init(set->session_lifetime_ms);
	hello_init(service);
	if ((bad = client_cert_init(set)) != NULL)
		return fail(bad, "");
	if (!add_certs(set))
		return false;
	for (unsigned int i = 0; i < SETTINGS_CERTS_MAX; i++)
		if (contexts[i] != NULL && !warmup_context(contexts[i], thorough, why, sizeof(why)))
			return false;
	available = true;
	return true;
}

bool
tls_available(void)
{
	return available;
}

bool
tls_apply(SSL *ssl, const struct session_rules *r)
{
	SSL_CTX *ctx = contexts[r->now.cert];

	if (ctx == NULL)
		return fail("there is no such certificate", "");
	/* First: it brings a certificate store of its own. */
	if (SSL_get_SSL_CTX(ssl) != ctx && SSL_set_SSL_CTX(ssl, ctx) == NULL)
		return fail("cannot change the certificate", "");
	/* Every context has what is set outside of blocks. */
	if (r->tuned && !tls_settings_apply(NULL, ssl, &r->now, why, sizeof(why)))
		return false;
	return client_cert_ask(ssl, &r->now) || fail("cannot ask for client certificates", "");
}

SSL *
tls_new(int fd, struct session_rules *r)
{
	SSL *ssl = contexts[r->now.cert] != NULL ? SSL_new(contexts[r->now.cert]) : NULL;

	if (ssl == NULL || SSL_set_fd(ssl, fd) != 1) {
		fail("Out of memory for TLS", "");
		SSL_free(ssl);
		return NULL;
	}
	hello_rules(ssl, r);
	if (!tls_apply(ssl, r)) {
		SSL_free(ssl);
		return NULL;
	}
	SSL_set_accept_state(ssl);
	return ssl;
}

void
tls_settled(SSL *ssl)
{
	hello_rules(ssl, NULL);
}

void
tls_describe(const SSL *ssl, char *dst, size_t cap)
{
	const SSL_CIPHER *c = SSL_get_current_cipher(ssl);
	int alg = 0, bits = c != NULL ? SSL_CIPHER_get_bits(c, &alg) : 0;

	snprintf(dst, cap, "%s with cipher %s (%d/%d bits)", SSL_get_version(ssl),
	    c != NULL ? SSL_CIPHER_get_name(c) : "none", bits, alg);
}

void
tls_server_name(const SSL *ssl, char *dst, size_t cap)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	size_t n = 0;

	for (; name != NULL && *name != '\0' && n + 1 < cap; name++) {
		bool good = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
		    (*name >= '0' && *name <= '9') || *name == '-' || *name == '.' || *name == '_';

		dst[n++] = good ? *name : '?';
	}
	dst[n] = '\0';
}

void
tls_failure(const SSL *ssl, int ret, char *dst, size_t cap)
{
	int saved = errno, err = SSL_get_error(ssl, ret);
	unsigned long e = ERR_peek_last_error();
	const char *reason = e != 0 ? ERR_reason_error_string(e) : NULL;

	if (reason != NULL && ERR_GET_REASON(e) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		reason = NULL;
	if (reason != NULL)
		snprintf(dst, cap, "%s", reason);
	else if (err == SSL_ERROR_SYSCALL && saved != 0 && e == 0)
		snprintf(dst, cap, "%s", errno_name(saved));
	else
		snprintf(dst, cap, "Connection closed");
	ERR_clear_error();
}
