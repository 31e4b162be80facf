#include "login/client_cert.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <string.h>

static X509_STORE *store;
static STACK_OF(X509_NAME) *names; /* of the CAs: a client picks its certificate by them */
static int field_nid;
static bool need_crl;

static unsigned long
flags(void)
{
	return need_crl ? X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL : 0;
}

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
rehearse(void)
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
take(const X509_INFO *info, unsigned int *crls)
{
	/* One entry may hold both. */
	if (info->x509 != NULL) {
		X509_NAME *name = X509_NAME_dup(X509_get_subject_name(info->x509));

		if (name == NULL || sk_X509_NAME_push(names, name) == 0) {
			X509_NAME_free(name);
			return false;
		}
		if (X509_STORE_add_cert(store, info->x509) != 1)
			return false;
	}
	if (info->crl == NULL)
		return true;
	++*crls;
	return X509_STORE_add_crl(store, info->crl) == 1;
}

const char *
client_cert_init(const struct worker_settings *set)
{
	BIO *bio;
	STACK_OF(X509_INFO) *all;
	unsigned int crls = 0;
	bool good;

	if (!set->ssl_verify_client_cert)
		return NULL;
	need_crl = set->ssl_require_crl;
	field_nid = OBJ_txt2nid(set->ssl_cert_username_field);
	store = X509_STORE_new();
	names = sk_X509_NAME_new_null();
	bio = BIO_new_mem_buf(set->ca, (int)set->ca_len);
	all = bio != NULL ? PEM_X509_INFO_read_bio(bio, NULL, NULL, NULL) : NULL;
	good = store != NULL && names != NULL && all != NULL;
	for (int i = 0; good && i < sk_X509_INFO_num(all); i++)
		good = take(sk_X509_INFO_value(all, i), &crls);
	sk_X509_INFO_pop_free(all, X509_INFO_free);
	BIO_free(bio);
	if (!good || sk_X509_NAME_num(names) == 0)
		return "cannot read ssl_ca";
	if (field_nid == NID_undef)
		return "ssl_cert_username_field is no field of a name";
	if (need_crl && crls == 0)
		return "ssl_ca has no CRL, and ssl_require_crl = yes";
	if (X509_STORE_set_flags(store, flags()) != 1 || !rehearse())
		return "rehearsal of a client certificate failed";
	return NULL;
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

bool
client_cert_ask(SSL_CTX *ctx)
{
	STACK_OF(X509_NAME) *list;

	if (store == NULL)
		return true;
	if ((list = SSL_dup_CA_list(names)) == NULL || SSL_CTX_set1_verify_cert_store(ctx, store) != 1)
		return false;
	SSL_CTX_set_client_CA_list(ctx, list);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE, NULL);
	SSL_CTX_set_verify_depth(ctx, CLIENT_CERT_DEPTH_MAX);
	SSL_CTX_set_max_cert_list(ctx, CLIENT_CERT_LIST_MAX);
	SSL_CTX_set_cert_verify_callback(ctx, judge, NULL);
	/* A resumed session would carry an old verdict. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	return true;
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
user_name(X509 *x, char *name, size_t cap)
{
	X509_NAME *subject = X509_get_subject_name(x);
	int i = X509_NAME_get_index_by_NID(subject, field_nid, -1), len;
	unsigned char *text = NULL;

	if (i < 0 || X509_NAME_get_index_by_NID(subject, field_nid, i) >= 0)
		return; /* none, or nobody knows which */
	len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i)));
	if (len > 0 && (size_t)len < cap && clean(text, len)) {
		memcpy(name, text, (size_t)len);
		name[len] = '\0';
	}
	OPENSSL_free(text);
}

enum conn_cert
client_cert_state(const SSL *ssl, char *name, size_t cap)
{
	X509 *x = store != NULL ? SSL_get0_peer_certificate(ssl) : NULL;

	name[0] = '\0';
	if (x == NULL)
		return CONN_CERT_NONE;
	if (SSL_session_reused(ssl) || SSL_get_verify_result(ssl) != X509_V_OK)
		return CONN_CERT_INVALID;
	user_name(x, name, cap);
	ERR_clear_error();
	return CONN_CERT_VALID;
}
