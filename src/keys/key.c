#include "keys/key.h"

#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "common/str.h"

struct question {
	const char *password; /* NULL: there is none, and nobody to ask */
	bool asked;
};

static int
on_password(char *buf, int size, int rwflag, void *arg)
{
	struct question *q = arg;
	size_t len = q->password != NULL ? strlen(q->password) : 0;

	(void)rwflag;
	q->asked = true;
	if (q->password == NULL || size < 0 || len > (size_t)size)
		return -1;
	memcpy(buf, q->password, len);
	return (int)len;
}

/* The first private key among the blocks: some files hold certificates or curve
 * parameters before it. */
static EVP_PKEY *
decode_pem(const uint8_t *p, size_t len, struct question *q)
{
	BIO *in = BIO_new_mem_buf(p, (int)len);
	EVP_PKEY *key = NULL;

	if (in != NULL)
		key = PEM_read_bio_PrivateKey_ex(in, NULL, on_password, q, NULL, NULL);
	BIO_free(in);
	return key;
}

static EVP_PKEY *
decode_der(const uint8_t *p, size_t len, struct question *q)
{
	OSSL_DECODER_CTX *ctx;
	EVP_PKEY *key = NULL;

	ctx = OSSL_DECODER_CTX_new_for_pkey(&key, "DER", NULL, NULL, EVP_PKEY_KEYPAIR, NULL, NULL);
	if (ctx != NULL && OSSL_DECODER_CTX_set_pem_password_cb(ctx, on_password, q) == 1)
		OSSL_DECODER_from_data(ctx, &p, &len);
	OSSL_DECODER_CTX_free(ctx);
	return key;
}

EVP_PKEY *
key_decode(const uint8_t *p, size_t len, const char *password, bool *asked)
{
	struct question q = {.password = password};
	EVP_PKEY *key;

	key = decode_pem(p, len, &q);
	if (key == NULL && !q.asked)
		key = decode_der(p, len, &q);
	*asked = q.asked;
	ERR_clear_error();
	return key;
}

bool
key_served(const EVP_PKEY *key, char *error, size_t cap)
{
	const char *type = EVP_PKEY_get0_type_name(key);
	char group[32] = "";

	if (EVP_PKEY_is_a(key, "ED25519"))
		return true;
	if (EVP_PKEY_is_a(key, "RSA")) {
		if (EVP_PKEY_get_bits(key) >= 2048 && EVP_PKEY_get_size(key) <= SIG_MAX)
			return true;
		snprintf(error, cap, "is an RSA key of %d bits (2048 to 4096 are served)",
		    EVP_PKEY_get_bits(key));
		return false;
	}
	if (EVP_PKEY_is_a(key, "EC") &&
	    EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 &&
	    (strcmp(group, "prime256v1") == 0 || strcmp(group, "secp384r1") == 0))
		return true;
	snprintf(error, cap, "is of a type that is not served: %s %s (EC P-256 and P-384, RSA, "
	    "Ed25519 are)", type != NULL ? type : "?", group);
	return false;
}

typedef int (*begin_fn)(EVP_MD_CTX *, EVP_PKEY_CTX **, const char *, OSSL_LIB_CTX *, const char *,
    EVP_PKEY *, const OSSL_PARAM *);

/* The same hash and padding for signing and for verifying. */
static bool
begin(begin_fn init, EVP_MD_CTX *ctx, EVP_PKEY *key, const struct scheme *s)
{
	EVP_PKEY_CTX *pctx = NULL;

	if (init(ctx, &pctx, s->hash, NULL, NULL, key, NULL) != 1)
		return false;
	return !s->pss || (EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
	    EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) == 1);
}

/*
 * One faulty RSA signature made with the remainder theorem gives the factors away;
 * faults in ECDSA and Ed25519 give the key.  OpenSSL checks only the first, and that
 * before its last step.
 */
enum key_result
key_sign(EVP_PKEY *key, const struct scheme *s, const uint8_t *tbs, size_t len, uint8_t *sig,
    size_t *siglen)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	enum key_result result = KEY_FAILED;
	size_t room = *siglen;

	if (ctx != NULL && begin(EVP_DigestSignInit_ex, ctx, key, s) &&
	    EVP_DigestSign(ctx, sig, siglen, tbs, len) == 1 && EVP_MD_CTX_reset(ctx) == 1 &&
	    begin(EVP_DigestVerifyInit_ex, ctx, key, s))
		result = EVP_DigestVerify(ctx, sig, *siglen, tbs, len) == 1 ? KEY_SIGNED : KEY_FAULTY;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	if (result != KEY_SIGNED) {
		explicit_bzero(sig, room);
		*siglen = 0;
	}
	return result;
}

bool
key_consistent(EVP_PKEY *key)
{
	static const struct scheme schemes[] = {{"SHA256", 0}, {NULL, 0}};
	static const uint8_t text[] = "gatehouse-keys: one signature to see that the halves fit";
	const struct scheme *s = &schemes[EVP_PKEY_is_a(key, "ED25519") ? 1 : 0];
	size_t len = SIG_MAX;
	uint8_t sig[SIG_MAX];

	return key_sign(key, s, text, sizeof(text), sig, &len) == KEY_SIGNED;
}

enum key_type
key_type(const EVP_PKEY *key)
{
	return EVP_PKEY_is_a(key, "EC") ? KEY_EC : EVP_PKEY_is_a(key, "RSA") ? KEY_RSA : KEY_ED25519;
}

bool
key_describe(EVP_PKEY *key, struct key_description *k)
{
	unsigned char *der = NULL;
	int n;

	if (EVP_PKEY_is_a(key, "EC"))
		snprintf(k->type, sizeof(k->type), "EC P-%d", EVP_PKEY_get_bits(key));
	else if (EVP_PKEY_is_a(key, "RSA"))
		snprintf(k->type, sizeof(k->type), "RSA %d", EVP_PKEY_get_bits(key));
	else
		str_copy(k->type, sizeof(k->type), "Ed25519");
	n = i2d_PUBKEY(key, &der);
	k->spki_len = n > 0 && n <= SPKI_MAX ? (size_t)n : 0;
	if (k->spki_len > 0)
		memcpy(k->spki, der, k->spki_len);
	OPENSSL_free(der);
	ERR_clear_error();
	return k->spki_len > 0;
}
