/*
 * The provider (provider-keymgmt(7), provider-signature(7)): only what a TLS server
 * asks of its own key.  Public operations are forwarded to a key object of the
 * default provider; exporting anything private fails, which also makes OpenSSL look
 * for the signature in this provider and not in its own.
 */
#include "login/remotekey.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <string.h>
#include <strings.h>

#define PROPS "provider=gatehouse"
/* How remotekey_new hands over the public key and the index: a name that no
 * other caller of EVP_PKEY_fromdata knows. */
#define PARAM_PUB "gatehouse-public"
#define PARAM_INDEX "gatehouse-index"

enum kind {
	KIND_EC,
	KIND_RSA,
	KIND_ED25519,
	KIND__MAX
};

static const char *const kind_names[] = {"EC", "RSA", "ED25519"};

struct remote_key {
	enum kind kind;
	EVP_PKEY *pub; /* of the default provider */
	uint16_t index;
};

static remotekey_sign_fn sign_fn;
static void *sign_arg;

void
remotekey_set_signer(remotekey_sign_fn fn, void *arg)
{
	sign_fn = fn;
	sign_arg = arg;
}

/* ---- keymgmt -------------------------------------------------------------- */

static void *
key_new(enum kind kind)
{
	struct remote_key *k = OPENSSL_zalloc(sizeof(*k));

	if (k != NULL)
		k->kind = kind;
	return k;
}

static void *
key_new_ec(void *provctx)
{
	(void)provctx;
	return key_new(KIND_EC);
}

static void *
key_new_rsa(void *provctx)
{
	(void)provctx;
	return key_new(KIND_RSA);
}

static void *
key_new_ed25519(void *provctx)
{
	(void)provctx;
	return key_new(KIND_ED25519);
}

static void
key_free(void *keydata)
{
	struct remote_key *k = keydata;

	if (k == NULL)
		return;
	EVP_PKEY_free(k->pub);
	OPENSSL_free(k);
}

static int
key_has(const void *keydata, int selection)
{
	const struct remote_key *k = keydata;

	(void)selection; /* the private part is there as far as anyone needs to know */
	return k != NULL && k->pub != NULL;
}

static int
key_match(const void *a, const void *b, int selection)
{
	const struct remote_key *x = a, *y = b;

	(void)selection;
	return x->pub != NULL && y->pub != NULL && EVP_PKEY_eq(x->pub, y->pub) == 1;
}

/* From OpenSSL itself: the certificate's key, to be compared with ours. */
static EVP_PKEY *
import_public(enum kind kind, const OSSL_PARAM params[])
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, kind_names[kind], "provider=default");
	EVP_PKEY *pub = NULL;

	if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1)
		EVP_PKEY_fromdata(ctx, &pub, EVP_PKEY_PUBLIC_KEY, (OSSL_PARAM *)(uintptr_t)params);
	EVP_PKEY_CTX_free(ctx);
	return pub;
}

static int
key_import(void *keydata, int selection, const OSSL_PARAM params[])
{
	const OSSL_PARAM *pub = OSSL_PARAM_locate_const(params, PARAM_PUB);
	const OSSL_PARAM *index = OSSL_PARAM_locate_const(params, PARAM_INDEX);
	struct remote_key *k = keydata;
	unsigned int n;

	(void)selection;
	if (pub == NULL) {
		k->pub = import_public(k->kind, params);
		return k->pub != NULL;
	}
	if (pub->data_size != sizeof(k->pub) || index == NULL ||
	    OSSL_PARAM_get_uint(index, &n) != 1 || n > UINT16_MAX)
		return 0;
	memcpy(&k->pub, pub->data, sizeof(k->pub));
	k->index = (uint16_t)n;
	return EVP_PKEY_up_ref(k->pub);
}

static const OSSL_PARAM *
key_import_types(int selection)
{
	static const OSSL_PARAM types[] = {
	    OSSL_PARAM_octet_string(PARAM_PUB, NULL, 0), OSSL_PARAM_uint(PARAM_INDEX, NULL),
	    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
	    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
	    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
	    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0), OSSL_PARAM_END};

	(void)selection;
	return types;
}

static int
key_get_params(void *keydata, OSSL_PARAM params[])
{
	struct remote_key *k = keydata;

	return k->pub != NULL && EVP_PKEY_get_params(k->pub, params);
}

static const OSSL_PARAM *
key_gettable_params(void *provctx)
{
	static const OSSL_PARAM types[] = {OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
	    OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
	    OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
	    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
	    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
	    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0), OSSL_PARAM_END};

	(void)provctx;
	return types;
}

static const char *
query_ec(int operation)
{
	return operation == OSSL_OP_SIGNATURE ? "ECDSA" : NULL;
}

static const char *
query_rsa(int operation)
{
	return operation == OSSL_OP_SIGNATURE ? "RSA" : NULL;
}

static const char *
query_ed25519(int operation)
{
	return operation == OSSL_OP_SIGNATURE ? "ED25519" : NULL;
}

#define FN(id, f) {id, (void (*)(void))f}
#define KEYMGMT(name) \
	static const OSSL_DISPATCH keymgmt_##name[] = {FN(OSSL_FUNC_KEYMGMT_NEW, key_new_##name), \
	    FN(OSSL_FUNC_KEYMGMT_FREE, key_free), FN(OSSL_FUNC_KEYMGMT_HAS, key_has), \
	    FN(OSSL_FUNC_KEYMGMT_MATCH, key_match), FN(OSSL_FUNC_KEYMGMT_IMPORT, key_import), \
	    FN(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, key_import_types), \
	    FN(OSSL_FUNC_KEYMGMT_GET_PARAMS, key_get_params), \
	    FN(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, key_gettable_params), \
	    FN(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, query_##name), {0, NULL}}

KEYMGMT(ec);
KEYMGMT(rsa);
KEYMGMT(ed25519);

static const OSSL_ALGORITHM keymgmts[] = {
    {"EC:id-ecPublicKey:1.2.840.10045.2.1", PROPS, keymgmt_ec, NULL},
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", PROPS, keymgmt_rsa, NULL},
    {"ED25519:1.3.101.112", PROPS, keymgmt_ed25519, NULL},
    {NULL, NULL, NULL, NULL}};

/* ---- signature ------------------------------------------------------------ */

struct signing {
	const struct remote_key *key;
	int hash; /* 256, 384, 512; 0: none (Ed25519) */
	bool pss;
};

static void *
sig_new(void *provctx, const char *propq)
{
	(void)provctx;
	(void)propq;
	return OPENSSL_zalloc(sizeof(struct signing));
}

static void
sig_free(void *ctx)
{
	OPENSSL_free(ctx);
}

static void *
sig_dup(void *ctx)
{
	return OPENSSL_memdup(ctx, sizeof(struct signing));
}

static bool
set_hash(struct signing *s, const char *name)
{
	static const struct {
		const char *name;
		int hash;
	} hashes[] = {{"SHA256", 256}, {"SHA2-256", 256}, {"SHA384", 384}, {"SHA2-384", 384},
	    {"SHA512", 512}, {"SHA2-512", 512}};

	for (size_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++) {
		if (strcasecmp(hashes[i].name, name) == 0) {
			s->hash = hashes[i].hash;
			return true;
		}
	}
	return false;
}

static int
sig_set_params(void *ctx, const OSSL_PARAM params[])
{
	const OSSL_PARAM *p;
	struct signing *s = ctx;
	int mode;

	if (params == NULL)
		return 1;
	p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_DIGEST);
	if (p != NULL && (p->data_type != OSSL_PARAM_UTF8_STRING || !set_hash(s, p->data)))
		return 0;
	p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE);
	if (p == NULL)
		return 1; /* salt length and MGF1 hash: TLS knows one value for each */
	if (p->data_type == OSSL_PARAM_UTF8_STRING) {
		s->pss = strcmp(p->data, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0;
		return s->pss || strcmp(p->data, OSSL_PKEY_RSA_PAD_MODE_PKCSV15) == 0;
	}
	if (OSSL_PARAM_get_int(p, &mode) != 1)
		return 0;
	s->pss = mode == RSA_PKCS1_PSS_PADDING;
	return s->pss || mode == RSA_PKCS1_PADDING;
}

static const OSSL_PARAM *
sig_settable_params(void *ctx, void *provctx)
{
	static const OSSL_PARAM types[] = {
	    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
	    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
	    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
	    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, NULL, 0), OSSL_PARAM_END};

	(void)ctx;
	(void)provctx;
	return types;
}

static int
sig_digest_sign_init(void *ctx, const char *mdname, void *key, const OSSL_PARAM params[])
{
	struct signing *s = ctx;

	s->key = key;
	s->hash = 0;
	s->pss = false;
	if (s->key->kind != KIND_ED25519 && mdname != NULL && mdname[0] != '\0' &&
	    !set_hash(s, mdname))
		return 0;
	return sig_set_params(ctx, params);
}

/* TLS SignatureScheme (RFC 8446 4.2.3); 0: no such one. */
static uint16_t
scheme(const struct signing *s)
{
	unsigned int row = s->hash == 256 ? 0 : s->hash == 384 ? 1 : 2;

	switch (s->key->kind) {
	case KIND_ED25519:
		return 0x0807;
	case KIND_EC:
		return s->hash == 0 ? 0 : (uint16_t)(0x0403 + 0x0100 * row);
	case KIND_RSA:
		if (s->hash == 0)
			return 0;
		return s->pss ? (uint16_t)(0x0804 + row) : (uint16_t)(0x0401 + 0x0100 * row);
	default:
		return 0;
	}
}

static int
sig_digest_sign(void *ctx, unsigned char *sig, size_t *siglen, size_t cap,
    const unsigned char *tbs, size_t tbslen)
{
	const struct signing *s = ctx;
	int size = EVP_PKEY_get_size(s->key->pub);
	uint16_t alg = scheme(s);
	long n;

	if (size <= 0 || alg == 0)
		return 0;
	if (sig == NULL) {
		*siglen = (size_t)size;
		return 1;
	}
	if (sign_fn == NULL)
		return 0;
	n = sign_fn(sign_arg, s->key->index, alg, tbs, tbslen, sig, cap);
	if (n <= 0) {
		ERR_raise_data(ERR_LIB_USER, ERR_R_OPERATION_FAIL, "the key signer did not sign");
		return 0;
	}
	*siglen = (size_t)n;
	return 1;
}

static const OSSL_DISPATCH signature[] = {FN(OSSL_FUNC_SIGNATURE_NEWCTX, sig_new),
    FN(OSSL_FUNC_SIGNATURE_FREECTX, sig_free), FN(OSSL_FUNC_SIGNATURE_DUPCTX, sig_dup),
    FN(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, sig_digest_sign_init),
    FN(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, sig_digest_sign),
    FN(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, sig_set_params),
    FN(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, sig_settable_params), {0, NULL}};

static const OSSL_ALGORITHM signatures[] = {{"ECDSA", PROPS, signature, NULL},
    {"RSA", PROPS, signature, NULL}, {"ED25519", PROPS, signature, NULL},
    {NULL, NULL, NULL, NULL}};

/* ---- provider ------------------------------------------------------------- */

static const OSSL_ALGORITHM *
query_operation(void *provctx, int operation, int *no_cache)
{
	(void)provctx;
	*no_cache = 0;
	return operation == OSSL_OP_KEYMGMT ? keymgmts : operation == OSSL_OP_SIGNATURE ? signatures
											  : NULL;
}

static int
provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
    void **provctx)
{
	static const OSSL_DISPATCH functions[] = {
	    FN(OSSL_FUNC_PROVIDER_QUERY_OPERATION, query_operation), {0, NULL}};

	(void)in;
	*out = functions;
	*provctx = (void *)(uintptr_t)handle;
	return 1;
}

bool
remotekey_init(void)
{
	/* Ours has the names of the default provider's algorithms; whoever does not
	 * ask for it by name must get the latter. */
	return OSSL_PROVIDER_add_builtin(NULL, "gatehouse", provider_init) == 1 &&
	    OSSL_PROVIDER_load(NULL, "default") != NULL &&
	    OSSL_PROVIDER_load(NULL, "gatehouse") != NULL &&
	    EVP_set_default_properties(NULL, "?provider=default") == 1;
}

/* Those that the signer serves, too; -1: another. */
static int
kind_of(const EVP_PKEY *pub)
{
	char group[32] = "";

	for (int i = 0; i < KIND__MAX; i++) {
		if (!EVP_PKEY_is_a(pub, kind_names[i]))
			continue;
		if (i != KIND_EC)
			return i;
		return EVP_PKEY_get_group_name(pub, group, sizeof(group), NULL) == 1 &&
			(strcmp(group, "prime256v1") == 0 || strcmp(group, "secp384r1") == 0)
		    ? i
		    : -1;
	}
	return -1;
}

EVP_PKEY *
remotekey_new(EVP_PKEY *pub, uint16_t index)
{
	unsigned int n = index;
	OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_octet_string(PARAM_PUB, (void *)&pub, sizeof(EVP_PKEY *)),
	    OSSL_PARAM_construct_uint(PARAM_INDEX, &n), OSSL_PARAM_construct_end()};
	EVP_PKEY_CTX *ctx = NULL;
	EVP_PKEY *key = NULL;
	int kind = kind_of(pub);

	if (kind == -1) {
		ERR_raise_data(ERR_LIB_USER, ERR_R_UNSUPPORTED,
		    "keys of this type are not served (EC P-256 and P-384, RSA, Ed25519 are)");
		return NULL;
	}
	ctx = EVP_PKEY_CTX_new_from_name(NULL, kind_names[kind], PROPS);
	if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1)
		EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params);
	EVP_PKEY_CTX_free(ctx);
	return key;
}
