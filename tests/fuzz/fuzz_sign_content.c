/*
 * What a worker may send to the key signer: a whole message, its fields, the
 * content, the scheme.  Nothing that is no handshake content may come through, and
 * what comes through must be signable: so each accepted request is signed with a
 * throw-away key and verified.  The first byte chooses the kind of key.
 */
/* SRC: src/keys/content.c src/keys/key.c src/ipc/msg.c src/ipc/codec.c src/common/str.c */
/* LIBS: -lcrypto */
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/msg.h"
#include "keys/key.h"

const char build_id[] = "fuzz";
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static EVP_PKEY *
key_for(unsigned int which)
{
	static EVP_PKEY *keys[4];

	if (keys[0] == NULL) {
		keys[0] = EVP_EC_gen("P-256");
		keys[1] = EVP_EC_gen("P-384");
		keys[2] = EVP_RSA_gen(1280);
		keys[3] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	}
	return keys[which % 4];
}

/* The two forms once more, told from their ends. */
static bool
looks_like_a_handshake(const uint8_t *p, size_t len)
{
	if (len == 130 || len == 146) {
		bool spaces = true;

		for (size_t i = 0; i < 64; i++)
			spaces = spaces && p[i] == ' ';
		if (spaces && memcmp(p + 64, "TLS 1.3, server CertificateVerify", 34) == 0)
			return true;
	}
	return len >= 68 && p[64] == 3 && p[65] == 0 && len == 68u + p[67];
}

static void
sign_it(EVP_PKEY *key, const struct scheme *s, const struct sign_request *q)
{
	uint8_t sig[SIG_MAX];
	size_t len = sizeof(sig);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx = NULL;

	if (key_sign(key, s, q->tbs, q->len, sig, &len) != KEY_SIGNED ||
	    EVP_DigestVerifyInit_ex(ctx, &pctx, s->hash, NULL, NULL, key, NULL) != 1)
		abort();
	if (s->pss && EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) != 1)
		abort();
	if (EVP_DigestVerify(ctx, sig, len, q->tbs, q->len) != 1)
		abort();
	EVP_MD_CTX_free(ctx);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct scheme *s;
	struct sign_request q;
	enum content content;
	const char *why;
	struct msgin m;
	EVP_PKEY *key;

	if (size == 0)
		return 0;
	key = key_for(data[0]);
	if (msg_parse(data + 1, size - 1, 0, R_KEYS, R_WORKER, &m) == -1 ||
	    m.type != MSG_SIGN_REQ || !content_request(&m.r, &q))
		return 0;
	content = content_check(q.tbs, q.len, &why);
	if ((content == CONTENT_BAD) != (why[0] != '\0'))
		abort();
	s = content_scheme(q.sigalg, key_type(key), EVP_PKEY_get_bits(key), content);
	if (content == CONTENT_BAD) {
		if (s != NULL)
			abort();
		return 0;
	}
	if (!looks_like_a_handshake(q.tbs, q.len))
		abort();
	if (s != NULL)
		sign_it(key, s, &q);
	return 0;
}
