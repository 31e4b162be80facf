/*
 * Channel binding data, against a second endpoint's own computation: the exporter
 * by the client of the same connection, the end point by the hash that RFC 5929
 * names for the certificate.
 */
/* SRC: src/login/binding.c */
/* LIBS: -lssl -lcrypto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <string.h>

#include "login/binding.h"

static SSL *server, *client;
static X509 *cert;

/* md NULL: the key has a hash of its own (Ed25519); pss: RSA-PSS signature. */
static X509 *
certificate(EVP_PKEY *key, const EVP_MD *md, bool pss)
{
	X509 *x = X509_new();
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx;

	assert_true(X509_set_version(x, 2) && ASN1_INTEGER_set(X509_get_serialNumber(x), 1) &&
	    X509_gmtime_adj(X509_getm_notBefore(x), 0) != NULL &&
	    X509_gmtime_adj(X509_getm_notAfter(x), 3600) != NULL && X509_set_pubkey(x, key));
	assert_int_equal(EVP_DigestSignInit(ctx, &pctx, md, NULL, key), 1);
	if (pss)
		assert_true(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) > 0);
	assert_true(X509_sign_ctx(x, ctx) > 0);
	EVP_MD_CTX_free(ctx);
	return x;
}

/* A joined pair after its handshake. */
static void
connect_pair(EVP_PKEY *key, int version, uint64_t client_options)
{
	SSL_CTX *s = SSL_CTX_new(TLS_server_method()), *c = SSL_CTX_new(TLS_client_method());
	BIO *a, *b;
	int done = 0;

	SSL_CTX_set_security_level(s, 0); /* certificates signed with MD5 */
	SSL_CTX_set_security_level(c, 0);
	SSL_CTX_set_min_proto_version(c, version);
	SSL_CTX_set_max_proto_version(c, version);
	SSL_CTX_set_options(c, client_options);
	assert_int_equal(SSL_CTX_use_certificate(s, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(s, key), 1);
	server = SSL_new(s);
	client = SSL_new(c);
	assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
	SSL_set_bio(server, a, a);
	SSL_set_bio(client, b, b);
	SSL_set_accept_state(server);
	SSL_set_connect_state(client);
	for (int i = 0; i < 20 && done != 2; i++)
		done = (SSL_do_handshake(client) == 1) + (SSL_do_handshake(server) == 1);
	assert_int_equal(done, 2);
	SSL_CTX_free(s);
	SSL_CTX_free(c);
}

static void
part(void)
{
	SSL_free(server);
	SSL_free(client);
	X509_free(cert);
}

static void
exporter_is_the_clients(void **state)
{
	static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};
	EVP_PKEY *key = EVP_EC_gen("P-256");
	uint8_t got[BINDING_MAX], own[32], before[32] = {0};

	(void)state;
	for (int i = 0; i < 4; i++) {
		cert = certificate(key, EVP_sha256(), false);
		connect_pair(key, versions[i % 2], 0);
		assert_int_equal(binding_get(server, "tls-exporter", got), 32);
		assert_int_equal(SSL_export_keying_material(client, own, sizeof(own),
		    "EXPORTER-Channel-Binding", 24, (const unsigned char *)"", 0, 1), 1);
		assert_memory_equal(got, own, 32);
		assert_memory_not_equal(got, before, 32); /* another connection's is another */
		memcpy(before, own, 32);
		part();
	}
	EVP_PKEY_free(key);
}

/* Without the extended master secret two connections may have the same value. */
static void
no_exporter_without_ems(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	uint8_t got[BINDING_MAX];

	(void)state;
	cert = certificate(key, EVP_sha256(), false);
	connect_pair(key, TLS1_2_VERSION, SSL_OP_NO_EXTENDED_MASTER_SECRET);
	assert_int_equal(binding_get(server, "tls-exporter", got), 0);
	assert_int_equal(binding_get(server, "tls-server-end-point", got), 32);
	part();
	cert = certificate(key, EVP_sha256(), false);
	connect_pair(key, TLS1_3_VERSION, SSL_OP_NO_EXTENDED_MASTER_SECRET); /* means nothing there */
	assert_int_equal(binding_get(server, "tls-exporter", got), 32);
	part();
	EVP_PKEY_free(key);
}

static void
unique_is_the_first_finished(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	uint8_t got[BINDING_MAX], own[BINDING_MAX];

	(void)state;
	cert = certificate(key, EVP_sha256(), false);
	connect_pair(key, TLS1_2_VERSION, 0);
	assert_int_equal(binding_get(server, "tls-unique", got), 12);
	assert_int_equal(SSL_get_finished(client, own, sizeof(own)), 12);
	assert_memory_equal(got, own, 12);
	part();
	cert = certificate(key, EVP_sha256(), false);
	connect_pair(key, TLS1_2_VERSION, SSL_OP_NO_EXTENDED_MASTER_SECRET);
	assert_int_equal(binding_get(server, "tls-unique", got), 0);
	part();
	cert = certificate(key, EVP_sha256(), false);
	connect_pair(key, TLS1_3_VERSION, 0);
	assert_int_equal(binding_get(server, "tls-unique", got), 0);
	part();
	EVP_PKEY_free(key);
}

static void
end_point_by_the_certificates_hash(void **state)
{
	const struct {
		EVP_PKEY *key;
		const EVP_MD *signature, *want; /* want NULL: not defined */
		bool pss;
	} t[] = {
	    {EVP_EC_gen("P-256"), EVP_sha256(), EVP_sha256(), false},
	    {EVP_EC_gen("P-384"), EVP_sha384(), EVP_sha384(), false},
	    {EVP_EC_gen("P-256"), EVP_sha512(), EVP_sha512(), false},
	    {EVP_EC_gen("P-256"), EVP_sha1(), EVP_sha256(), false},
	    {EVP_RSA_gen(2048), EVP_md5(), EVP_sha256(), false},
	    {EVP_RSA_gen(2048), EVP_sha1(), EVP_sha256(), false},
	    {EVP_RSA_gen(2048), EVP_sha384(), EVP_sha384(), false},
	    {EVP_RSA_gen(2048), EVP_sha256(), EVP_sha256(), true},
	    {EVP_RSA_gen(2048), EVP_sha512(), EVP_sha512(), true},
	    {EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), NULL, NULL, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		uint8_t got[BINDING_MAX], want[BINDING_MAX];
		unsigned int len = 0;
		X509 *seen;

		cert = certificate(t[i].key, t[i].signature, t[i].pss);
		connect_pair(t[i].key, TLS1_3_VERSION, 0);
		seen = SSL_get1_peer_certificate(client);
		if (t[i].want != NULL)
			assert_int_equal(X509_digest(seen, t[i].want, want, &len), 1);
		assert_int_equal(binding_get(server, "tls-server-end-point", got), len);
		assert_memory_equal(got, want, len);
		X509_free(seen);
		part();
		EVP_PKEY_free(t[i].key);
	}
}

static void
nothing_else(void **state)
{
	static const char *const types[] = {"", "tls-unique", "TLS-EXPORTER", "tls-exporter ",
	    "tls-server-end-point\t", "x"};
	EVP_PKEY *key = EVP_EC_gen("P-256");
	uint8_t got[BINDING_MAX];
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	SSL *fresh = SSL_new(ctx);

	(void)state;
	cert = certificate(key, EVP_sha256(), false);
	connect_pair(key, TLS1_3_VERSION, 0);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		assert_int_equal(binding_get(server, types[i], got), 0);
	assert_int_equal(binding_get(NULL, "tls-exporter", got), 0); /* no TLS */
	SSL_set_accept_state(fresh);
	assert_int_equal(binding_get(fresh, "tls-exporter", got), 0); /* no handshake yet */
	assert_int_equal(binding_get(fresh, "tls-server-end-point", got), 0);
	binding_rehearse(fresh);
	SSL_free(fresh);
	SSL_CTX_free(ctx);
	part();
	EVP_PKEY_free(key);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(exporter_is_the_clients),
	    cmocka_unit_test(no_exporter_without_ems),
	    cmocka_unit_test(unique_is_the_first_finished),
	    cmocka_unit_test(end_point_by_the_certificates_hash),
	    cmocka_unit_test(nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
