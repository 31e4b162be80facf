#include "keys/keystore.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/str.h"

struct entry {
	uint8_t *file; /* until it is parsed */
	size_t len;
	char *password; /* NULL: none; the same */
	EVP_PKEY *key;
	char name[256]; /* for messages */
};

static struct entry entries[KEYSTORE_MAX];

/* ---- reading -------------------------------------------------------------- */

/* By offset: a signer before us may have left the shared one anywhere. */
static ssize_t
read_at(int fd, uint8_t *p, size_t len, size_t at)
{
	ssize_t n;

	do
		n = pread(fd, p, len, (off_t)at);
	while (n == -1 && errno == EINTR);
	return n;
}

/* The whole file, straight into the secret heap, which is wiped on free. */
static bool
slurp(int fd, uint8_t *buf, size_t *len, char *error, size_t cap)
{
	ssize_t n;

	for (*len = 0; *len < KEY_FILE_MAX; *len += (size_t)n) {
		n = read_at(fd, buf + *len, KEY_FILE_MAX - *len, *len);
		if (n == 0)
			return true;
		if (n == -1) {
			snprintf(error, cap, "cannot be read (%s)", errno_name(errno));
			return false;
		}
	}
	snprintf(error, cap, "is larger than %d bytes", KEY_FILE_MAX);
	return false;
}

bool
keystore_read(unsigned int index, int fd, const char *name, const char *password, char *error,
    size_t cap)
{
	uint8_t *buf = OPENSSL_malloc(KEY_FILE_MAX);
	struct entry *e = &entries[index];
	bool good = false;

	str_copy(e->name, sizeof(e->name), name);
	if (buf == NULL) {
		snprintf(error, cap, "finds no memory");
		return false;
	}
	if (slurp(fd, buf, &e->len, error, cap)) {
		e->file = e->len > 0 ? OPENSSL_memdup(buf, e->len) : NULL;
		e->password = password[0] != '\0' ? OPENSSL_strdup(password) : NULL;
		good = e->file != NULL && (password[0] == '\0' || e->password != NULL);
		if (!good)
			snprintf(error, cap, e->len == 0 ? "is empty" : "finds no memory");
	}
	OPENSSL_clear_free(buf, KEY_FILE_MAX);
	return good;
}

static const char *
no_key(bool encrypted, bool password)
{
	if (!encrypted)
		return "holds no private key in PEM or DER";
	return password ? "is encrypted, and not with ssl_key_password (or in a way that is not "
			  "known here: PBES2 with AES and PBKDF2 is)"
			: "is encrypted, and there is no ssl_key_password";
}

bool
keystore_parse(unsigned int index, char *error, size_t cap)
{
	struct entry *e = &entries[index];
	bool asked, good = false;
	EVP_PKEY *key;

	key = key_decode(e->file, e->len, e->password, &asked);
	if (key == NULL)
		str_copy(error, cap, no_key(asked, e->password != NULL));
	OPENSSL_clear_free(e->file, e->len);
	OPENSSL_clear_free(e->password, e->password != NULL ? strlen(e->password) : 0);
	e->file = NULL;
	e->password = NULL;
	if (key == NULL)
		return false;
	if (key_served(key, error, cap) && !(good = key_consistent(key)))
		str_copy(error, cap, "is damaged: its private and public half do not fit");
	if (!good) {
		EVP_PKEY_free(key);
		return false;
	}
	e->key = key;
	return true;
}

bool
keystore_describe(unsigned int index, struct key_description *k)
{
	return entries[index].key != NULL && key_describe(entries[index].key, k);
}

enum sign_status
keystore_sign(const struct sign_request *q, uint8_t *sig, size_t *siglen, const char **why)
{
	const struct scheme *s;
	enum content content;
	EVP_PKEY *key;

	*why = "no such key";
	if (q->key >= KEYSTORE_MAX || (key = entries[q->key].key) == NULL)
		return SIGN_FAILED;
	content = content_check(q->tbs, q->len, why);
	if (content == CONTENT_BAD)
		return SIGN_REFUSED;
	s = content_scheme(q->sigalg, key_type(key), EVP_PKEY_get_bits(key), content);
	if (s == NULL) {
		*why = "a signature scheme that does not go with the key";
		return SIGN_REFUSED;
	}
	*siglen = SIG_MAX;
	*why = "OpenSSL could not sign";
	switch (key_sign(key, s, q->tbs, q->len, sig, siglen)) {
	case KEY_SIGNED:
		return SIGN_GOOD;
	case KEY_FAULTY:
		*why = entries[q->key].name;
		return SIGN_FAULTY;
	default:
		return SIGN_FAILED;
	}
}
