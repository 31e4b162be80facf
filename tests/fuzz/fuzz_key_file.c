/*
 * Key files, as the signer takes them: PEM or DER of any sort.  They are an
 * administrator's, not a stranger's, but a damaged one must end in words.
 */
/* SRC: src/keys/content.c src/keys/key.c src/ipc/codec.c src/common/str.c */
/* LIBS: -lcrypto */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "keys/key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct key_description k;
	char error[200] = "";
	EVP_PKEY *key;
	bool asked;

	if (size == 0 || size > 8192)
		return 0;
	key = key_decode(data, size, NULL, &asked);
	if (key != NULL && asked)
		abort(); /* nobody gave a password */
	if (key == NULL && asked)
		key = key_decode(data, size, "x", &asked);
	if (key == NULL)
		return 0;
	if (!key_served(key, error, sizeof(error))) {
		if (error[0] == '\0')
			abort();
	} else if (key_consistent(key) && (!key_describe(key, &k) || k.spki_len == 0)) {
		abort();
	}
	EVP_PKEY_free(key);
	return 0;
}
