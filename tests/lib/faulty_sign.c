#include "faulty_sign.h"

#include <openssl/evp.h>
#include <string.h>

int __real_EVP_DigestSign(EVP_MD_CTX *ctx, unsigned char *sig, size_t *siglen,
    const unsigned char *tbs, size_t len);
int __wrap_EVP_DigestSign(EVP_MD_CTX *ctx, unsigned char *sig, size_t *siglen,
    const unsigned char *tbs, size_t len);

int
__wrap_EVP_DigestSign(EVP_MD_CTX *ctx, unsigned char *sig, size_t *siglen,
    const unsigned char *tbs, size_t len)
{
	const unsigned char *p = memmem(tbs, len, FAULT_WORDS, sizeof(FAULT_WORDS) - 1);
	int rv = __real_EVP_DigestSign(ctx, sig, siglen, tbs, len);

	if (rv == 1 && p != NULL && sig != NULL) {
		size_t bit;

		p += sizeof(FAULT_WORDS) - 1;
		bit = (size_t)(p[0] << 8 | p[1]) % (*siglen * 8);
		sig[bit / 8] ^= (unsigned char)(1u << bit % 8);
	}
	return rv;
}
