#include "login/binding.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <string.h>

#define EXPORTER_LABEL "EXPORTER-Channel-Binding"
#define EXPORTER_LEN 32

static bool
tls12_with_ems(SSL *ssl)
{
	return SSL_version(ssl) == TLS1_2_VERSION && SSL_get_extms_support(ssl) == 1;
}

static size_t
exporter(SSL *ssl, uint8_t *dst)
{
	if (SSL_version(ssl) != TLS1_3_VERSION && !tls12_with_ems(ssl))
		return 0;
	/* A context of length zero, not none: in TLS 1.2 that makes a difference. */
	if (SSL_export_keying_material(ssl, dst, EXPORTER_LEN, EXPORTER_LABEL,
		sizeof(EXPORTER_LABEL) - 1, (const unsigned char *)"", 0, 1) != 1)
		return 0;
	return EXPORTER_LEN;
}

/* The Finished that was sent first: in a resumed handshake the server's. */
static size_t
unique(SSL *ssl, uint8_t *dst)
{
	if (!tls12_with_ems(ssl) || SSL_is_init_finished(ssl) != 1)
		return 0;
	return SSL_session_reused(ssl) ? SSL_get_finished(ssl, dst, BINDING_MAX)
				       : SSL_get_peer_finished(ssl, dst, BINDING_MAX);
}

/* A resumed session did not show a certificate: where there are two, nobody
 * knows which of them its client has in mind. */
static X509 *
own_certificate(SSL *ssl)
{
	if (SSL_session_reused(ssl) && SSL_set_current_cert(ssl, SSL_CERT_SET_FIRST) == 1 &&
	    SSL_set_current_cert(ssl, SSL_CERT_SET_NEXT) == 1)
		return NULL;
	return SSL_get_certificate(ssl);
}

static size_t
end_point(SSL *ssl, uint8_t *dst)
{
	X509 *cert = own_certificate(ssl);
	unsigned int len = 0;
	int hash = NID_undef;
	const EVP_MD *md;

	/* Ed25519 has no hash function of its own: the type is not defined then. */
	if (cert == NULL || X509_get_signature_info(cert, &hash, NULL, NULL, NULL) != 1 ||
	    hash == NID_undef)
		return 0;
	if (hash == NID_md5 || hash == NID_sha1)
		hash = NID_sha256;
	md = EVP_get_digestbynid(hash);
	if (md == NULL || X509_digest(cert, md, dst, &len) != 1)
		return 0;
	return len;
}

static const struct {
	const char *type;
	size_t (*get)(SSL *ssl, uint8_t *dst);
} types[] = {
    {"tls-exporter", exporter},
    {"tls-server-end-point", end_point},
    {"tls-unique", unique},
};

size_t
binding_get(SSL *ssl, const char *type, uint8_t dst[BINDING_MAX])
{
	size_t len = 0;

	for (size_t i = 0; ssl != NULL && i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(types[i].type, type) == 0)
			len = types[i].get(ssl, dst);
	ERR_clear_error();
	return len;
}

void
binding_rehearse(SSL *ssl)
{
	uint8_t dst[BINDING_MAX];

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		binding_get(ssl, types[i].type, dst);
}
