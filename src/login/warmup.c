#include "login/warmup.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "login/binding.h"
#include "login/hello.h"
#include "login/remotekey.h"
#include "login/resume.h"

struct rehearsal {
	int version;
	const char *groups; /* the client's; the first is its key share */
	const char *suite;  /* TLS 1.3 or 1.2 name */
};

/* The last lines of a thorough run: a retry (the client guesses a group that the
 * server may not have) and the other ciphers. */
static const struct rehearsal rehearsals[] = {
    {TLS1_3_VERSION, "X25519:P-256:P-384", "TLS_AES_256_GCM_SHA384"},
    {TLS1_2_VERSION, "X25519:P-256:P-384", "ECDHE-ECDSA-AES256-GCM-SHA384"},
    {TLS1_3_VERSION, "P-256:X25519:P-384", "TLS_AES_128_GCM_SHA256"},
    {TLS1_3_VERSION, "P-521:P-384:X25519:P-256", "TLS_CHACHA20_POLY1305_SHA256"},
    {TLS1_2_VERSION, "P-256:X25519:P-384", "ECDHE-ECDSA-CHACHA20-POLY1305"},
    {TLS1_2_VERSION, "P-384:X25519:P-256", "ECDHE-ECDSA-AES128-GCM-SHA256"},
};
#define BRIEF 2

static X509 *
throwaway_cert(EVP_PKEY *key)
{
	X509 *x = X509_new();

	if (x != NULL && X509_set_version(x, 2) && ASN1_INTEGER_set(X509_get_serialNumber(x), 1) &&
	    X509_gmtime_adj(X509_getm_notBefore(x), 0) != NULL &&
	    X509_gmtime_adj(X509_getm_notAfter(x), 3600) != NULL && X509_set_pubkey(x, key) &&
	    X509_sign(x, key, EVP_sha256()) > 0)
		return x;
	X509_free(x);
	return NULL;
}

static SSL_CTX *
client_ctx(const struct rehearsal *r)
{
	SSL_CTX *c = SSL_CTX_new(TLS_client_method());
	bool good = c != NULL && SSL_CTX_set_min_proto_version(c, r->version) == 1 &&
	    SSL_CTX_set_max_proto_version(c, r->version) == 1 &&
	    SSL_CTX_set1_groups_list(c, r->groups) == 1 &&
	    (r->version == TLS1_3_VERSION ? SSL_CTX_set_ciphersuites(c, r->suite)
					  : SSL_CTX_set_cipher_list(c, r->suite)) == 1;

	if (good)
		return c;
	SSL_CTX_free(c);
	return NULL;
}

/* Two SSL objects joined in memory. */
static bool
join(SSL *server, SSL *client)
{
	BIO *a = NULL, *b = NULL;

	if (BIO_new_bio_pair(&a, 0, &b, 0) != 1)
		return false;
	SSL_set_bio(server, a, a);
	SSL_set_bio(client, b, b);
	SSL_set_accept_state(server);
	SSL_set_connect_state(client);
	return true;
}

static bool
shake(SSL *server, SSL *client)
{
	int s = 0, c = 0;

	for (int i = 0; i < 20 && (s != 1 || c != 1); i++) {
		c = SSL_do_handshake(client);
		s = SSL_do_handshake(server);
	}
	return s == 1 && c == 1;
}

static bool
talk(SSL *server, SSL *client)
{
	char buf[64];

	/* In and out, a key update (RFC 8446 4.6.3), a normal end. */
	if (SSL_write(client, "a", 1) != 1 || SSL_read(server, buf, sizeof(buf)) != 1 ||
	    SSL_write(server, "b", 1) != 1 || SSL_read(client, buf, sizeof(buf)) != 1)
		return false;
	if (SSL_version(client) == TLS1_3_VERSION) {
		if (SSL_key_update(client, SSL_KEY_UPDATE_REQUESTED) != 1 ||
		    SSL_write(client, "c", 1) != 1 || SSL_read(server, buf, sizeof(buf)) != 1 ||
		    SSL_write(server, "d", 1) != 1 || SSL_read(client, buf, sizeof(buf)) != 1)
			return false;
	}
	SSL_shutdown(server);
	SSL_shutdown(client);
	SSL_shutdown(server);
	return true;
}

/* to_the_end: otherwise it may fail.  sess: the client's session, to begin with
 * unless it is NULL (then it has to be resumed), and what it has in the end. */
static bool
rehearse(SSL_CTX *sctx, const struct rehearsal *r, bool to_the_end, SSL_SESSION **sess)
{
	SSL_CTX *cctx = client_ctx(r);
	SSL *server = cctx != NULL ? SSL_new(sctx) : NULL;
	SSL *client = server != NULL ? SSL_new(cctx) : NULL;
	bool good = false;

	if (client != NULL && join(server, client)) {
		SSL_set_tlsext_host_name(client, "warm-up.invalid");
		if (sess != NULL && *sess != NULL)
			SSL_set_session(client, *sess);
		good = shake(server, client);
		if (good) {
			binding_rehearse(server);
			good = talk(server, client) &&
			    (sess == NULL || *sess == NULL || SSL_session_reused(client) == 1);
		} else if (!to_the_end)
			good = true;
	}
	if (sess != NULL) {
		SSL_SESSION_free(*sess);
		*sess = good ? SSL_get1_session(client) : NULL;
	}
	SSL_free(server);
	SSL_free(client);
	SSL_CTX_free(cctx);
	return good;
}

/* ctx's settings with a certificate whose key is here. */
static SSL_CTX *
local_ctx(EVP_PKEY *key, X509 *cert)
{
	SSL_CTX *c = SSL_CTX_new(TLS_server_method());

	if (c != NULL && SSL_CTX_use_certificate(c, cert) == 1 &&
	    SSL_CTX_use_PrivateKey(c, key) == 1) {
		SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION);
		resume_setup(c);
		hello_setup(c);
		SSL_CTX_set1_groups_list(c, "X25519:P-256:P-384");
		return c;
	}
	SSL_CTX_free(c);
	return NULL;
}

/* One session, here instead of in the signer. */
struct slot {
	uint8_t id[RESUME_ID_LEN], data[RESUME_DATA_MAX];
	size_t len;
};

static size_t
slot_get(void *arg, const uint8_t id[RESUME_ID_LEN], uint8_t data[RESUME_DATA_MAX])
{
	const struct slot *s = arg;

	if (s->len == 0 || memcmp(s->id, id, RESUME_ID_LEN) != 0)
		return 0;
	memcpy(data, s->data, s->len);
	return s->len;
}

static void
slot_put(void *arg, const uint8_t *id, const uint8_t *data, size_t len)
{
	struct slot *s = arg;

	memcpy(s->id, id, RESUME_ID_LEN);
	memcpy(s->data, data, len);
	s->len = len;
}

/* A full handshake, and where sessions are kept a second one that resumes it. */
static bool
rehearse_twice(SSL_CTX *ctx, const struct rehearsal *r)
{
	struct slot slot = {.len = 0};
	const struct resume_store store = {slot_get, slot_put, &slot};
	SSL_SESSION *sess = NULL;
	bool good;

	resume_set_store(&store);
	good = rehearse(ctx, r, true, &sess);
	if (good && SSL_CTX_get_session_cache_mode(ctx) != SSL_SESS_CACHE_OFF)
		good = rehearse(ctx, r, true, &sess);
	resume_set_store(NULL);
	SSL_SESSION_free(sess);
	return good;
}

static long
no_signer(void *arg, uint16_t key, uint16_t sigalg, const uint8_t *tbs, size_t tbs_len,
    uint8_t *sig, size_t cap)
{
	(void)arg;
	(void)key;
	(void)sigalg;
	(void)tbs;
	(void)tbs_len;
	(void)sig;
	(void)cap;
	return -1;
}

/* Error texts of what strangers cause most. */
static void
load_errors(void)
{
	char text[256];

	ERR_raise(ERR_LIB_SSL, SSL_R_NO_SHARED_CIPHER);
	ERR_error_string_n(ERR_peek_last_error(), text, sizeof(text));
	ERR_clear_error();
}

/* A client that speaks something else: the alert and error paths. */
static void
rehearse_garbage(SSL_CTX *ctx)
{
	static const char http[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
	SSL *server = SSL_new(ctx);
	BIO *in = BIO_new_mem_buf(http, sizeof(http) - 1), *out = BIO_new(BIO_s_mem());

	if (server != NULL && in != NULL && out != NULL) {
		SSL_set_bio(server, in, out);
		SSL_set_accept_state(server);
		SSL_do_handshake(server);
	}
	ERR_clear_error();
	SSL_free(server);
}

bool
warmup_context(SSL_CTX *ctx, bool thorough, char *why, size_t cap)
{
	size_t n = thorough ? sizeof(rehearsals) / sizeof(rehearsals[0]) : BRIEF;
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = key != NULL ? throwaway_cert(key) : NULL;
	SSL_CTX *local = cert != NULL ? local_ctx(key, cert) : NULL;
	bool good = local != NULL;

	remotekey_set_signer(no_signer, NULL);
	for (size_t i = 0; good && i < n; i++) {
		good = rehearse_twice(local, &rehearsals[i]);
		if (good)
			good = rehearse(ctx, &rehearsals[i], false, NULL);
	}
	if (!good) {
		unsigned long e = ERR_peek_error();

		snprintf(why, cap, "rehearsal of a TLS handshake failed: %s",
		    e != 0 ? ERR_reason_error_string(e) : "no reason given");
	}
	rehearse_garbage(ctx);
	load_errors();
	ERR_clear_error();
	SSL_CTX_free(local);
	X509_free(cert);
	EVP_PKEY_free(key);
	return good;
}
