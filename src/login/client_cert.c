#include "login/client_cert.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <string.h>

/* One ssl_ca.  The CAs' names: a client picks its certificate by them. */
struct ca {
	X509_STORE *store; /* NULL: it is empty, and no certificate is valid */
	STACK_OF(X509_NAME) *names;
};

static struct ca cas[SETTINGS_CAS_MAX];
static unsigned int ncas;

/* ---- rehearsal ------------------------------------------------------------ */

static X509 *
throwaway(EVP_PKEY *key)
{
	X509 *x = X509_new();

	if (x != NULL && X509_set_version(x, 2) && ASN1_INTEGER_set(X509_get_serialNumber(x), 1) &&
	    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
		(const unsigned char *)"rehearsal", -1, -1, 0) &&
	    X509_set_issuer_name(x, X509_get_subject_name(x)) &&
	    X509_gmtime_adj(X509_getm_notBefore(x), -60) != NULL &&
	    X509_gmtime_adj(X509_getm_notAfter(x), 3600) != NULL && X509_set_pubkey(x, key) &&
	    X509_sign(x, key, EVP_sha256()) > 0)
		return x;
	X509_free(x);
	return NULL;
}

static X509_CRL *
throwaway_crl(X509 *ca, EVP_PKEY *key)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *t = X509_gmtime_adj(NULL, -60), *next = X509_gmtime_adj(NULL, 3600);
	bool good = crl != NULL && t != NULL && next != NULL && X509_CRL_set_version(crl, 1) &&
	    X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca)) &&
	    X509_CRL_set1_lastUpdate(crl, t) && X509_CRL_set1_nextUpdate(crl, next) &&
	    X509_CRL_sign(crl, key, EVP_sha256()) > 0;

	ASN1_TIME_free(t);
	ASN1_TIME_free(next);
	if (good)
		return crl;
	X509_CRL_free(crl);
	return NULL;
}

static int
verify_with(X509_STORE *s, X509 *x)
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int rv = -1;

	if (ctx != NULL && X509_STORE_CTX_init(ctx, s, x, NULL) == 1) {
		X509_STORE_CTX_set_default(ctx, "ssl_client");
		rv = X509_verify_cert(ctx);
		X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx));
	}
	X509_STORE_CTX_free(ctx);
	return rv;
}

/* One certificate that is good, dates and CRL included, and one that is not. */
static bool
rehearse(X509_STORE *store)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = key != NULL ? throwaway(key) : NULL;
	X509_CRL *crl = x != NULL ? throwaway_crl(x, key) : NULL;
	X509_STORE *s = X509_STORE_new();
	bool good = crl != NULL && s != NULL && X509_STORE_add_cert(s, x) == 1 &&
	    X509_STORE_add_crl(s, crl) == 1 &&
	    X509_STORE_set_flags(s, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL) == 1 &&
	    verify_with(s, x) == 1 && verify_with(store, x) != 1;

	X509_STORE_free(s);
	X509_CRL_free(crl);
	X509_free(x);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return good;
}

/* ---- setting up ----------------------------------------------------------- */

static bool
take(struct ca *ca, const X509_INFO *info)
{
	/* One entry may hold both. */
	if (info->x509 != NULL) {
		X509_NAME *name = X509_NAME_dup(X509_get_subject_name(info->x509));

		if (name == NULL || sk_X509_NAME_push(ca->names, name) == 0) {
			X509_NAME_free(name);
			return false;
		}
		if (X509_STORE_add_cert(ca->store, info->x509) != 1)
			return false;
	}
	return info->crl == NULL || X509_STORE_add_crl(ca->store, info->crl) == 1;
}

static const char *
load(struct ca *ca, const struct ca_settings *from)
{
	BIO *bio = BIO_new_mem_buf(from->pem, (int)from->pem_len);
	STACK_OF(X509_INFO) *all = bio != NULL ? PEM_X509_INFO_read_bio(bio, NULL, NULL, NULL) : NULL;
	bool good;

	ca->store = X509_STORE_new();
	ca->names = sk_X509_NAME_new_null();
	good = ca->store != NULL && ca->names != NULL && all != NULL;
	for (int i = 0; good && i < sk_X509_INFO_num(all); i++)
		good = take(ca, sk_X509_INFO_value(all, i));
	sk_X509_INFO_pop_free(all, X509_INFO_free);
	BIO_free(bio);
	if (!good || sk_X509_NAME_num(ca->names) == 0)
		return "cannot read ssl_ca";
	return rehearse(ca->store) ? NULL : "rehearsal of a client certificate failed";
}

const char *
client_cert_init(const struct worker_settings *set)
{
	const char *wrong = NULL;

	ncas = set->ncas;
	for (unsigned int i = 0; i < ncas && wrong == NULL; i++)
		if (set->cas[i].pem_len > 0)
			wrong = load(&cas[i], &set->cas[i]);
	return wrong;
}

/* The library's own verdict, which stops at the first error; the handshake goes
 * on in any case, SSL_get_verify_result keeps it. */
static int
judge(X509_STORE_CTX *ctx, void *arg)
{
	(void)arg;
	if (X509_verify_cert(ctx) != 1 && X509_STORE_CTX_get_error(ctx) == X509_V_OK)
		X509_STORE_CTX_set_error(ctx, X509_V_ERR_UNSPECIFIED);
	ERR_clear_error();
	return 1;
}

void
client_cert_setup(SSL_CTX *ctx)
{
	SSL_CTX_set_cert_verify_callback(ctx, judge, NULL);
}

bool
client_cert_ask(SSL *ssl, const struct rules *r)
{
	const unsigned long crl = X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;
	const struct ca *ca = r->ca < ncas ? &cas[r->ca] : NULL;
	STACK_OF(X509_NAME) *list = NULL;
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	if (!r->ssl_verify_client_cert) {
		SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
		return SSL_set_num_tickets(ssl, SSL_CTX_get_num_tickets(SSL_get_SSL_CTX(ssl))) == 1;
	}
	if (ca == NULL || ca->store == NULL || SSL_set1_verify_cert_store(ssl, ca->store) != 1 ||
	    (list = SSL_dup_CA_list(ca->names)) == NULL)
		return false;
	SSL_set_client_CA_list(ssl, list);
	SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE, NULL);
	SSL_set_verify_depth(ssl, CLIENT_CERT_DEPTH_MAX);
	SSL_set_max_cert_list(ssl, CLIENT_CERT_LIST_MAX);
	X509_VERIFY_PARAM_clear_flags(param, crl);
	if (r->ssl_require_crl && X509_VERIFY_PARAM_set_flags(param, crl) != 1)
		return false;
	/* A resumed session would carry an old verdict (resume.c): none is handed out. */
	return SSL_set_num_tickets(ssl, 0) == 1;
}

/* ---- what came of it ------------------------------------------------------ */

/* p is well-formed UTF-8; U+0080 to U+009F are control characters, too. */
static bool
clean(const unsigned char *p, int len)
{
	for (int i = 0; i < len; i++)
		if (p[i] < ' ' || p[i] == 0x7f || (p[i] == 0xc2 && i + 1 < len && p[i + 1] < 0xa0))
			return false;
	return true;
}

static void
user_name(X509 *x, const char *field, char *name, size_t cap)
{
	X509_NAME *subject = X509_get_subject_name(x);
	int nid = OBJ_txt2nid(field), i = X509_NAME_get_index_by_NID(subject, nid, -1), len;
	unsigned char *text = NULL;

	if (nid == NID_undef || i < 0 || X509_NAME_get_index_by_NID(subject, nid, i) >= 0)
		return; /* none, or nobody knows which */
	len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i)));
	if (len > 0 && (size_t)len < cap && clean(text, len)) {
		memcpy(name, text, (size_t)len);
		name[len] = '\0';
	}
	OPENSSL_free(text);
}

enum conn_cert
client_cert_state(const SSL *ssl, const struct rules *r, char *name, size_t cap)
{
	X509 *x = r->ssl_verify_client_cert ? SSL_get0_peer_certificate(ssl) : NULL;

	name[0] = '\0';
	if (x == NULL)
		return CONN_CERT_NONE;
	if (SSL_session_reused(ssl) || SSL_get_verify_result(ssl) != X509_V_OK)
		return CONN_CERT_INVALID;
	user_name(x, r->ssl_cert_username_field, name, cap);
	ERR_clear_error();
	return CONN_CERT_VALID;
}
