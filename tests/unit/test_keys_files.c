/*
 * Key files of every form, good and bad, taken by the real gatehouse-keys behind its
 * real filters.
 */
/* SRC: tests/lib/signer_driver.c src/policy/lex.c src/policy/names.c src/policy/consts.c src/policy/syscalls.c src/policy/cond.c src/policy/parse.c src/policy/parse_layers.c src/policy/parse_rule.c src/policy/check.c src/policy/load.c src/policy/relate.c src/policy/compile.c src/policy/diff.c src/policy/code.c src/policy/prove.c src/policy/points.c src/policy/eval.c src/common/diag.c src/common/str.c src/common/log.c src/ipc/filters.c src/ipc/msg.c src/ipc/codec.c src/ipc/conn.c src/ipc/settings.c src/ipc/blocks.c src/ipc/rules.c */
/* LIBS: -lseccomp -lcrypto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "signer_requests.h"

struct form {
	enum test_key key;
	const char *format, *structure, *cipher, *before;
	const char *type, *error;
	const char *password; /* that is given to the signer; "x" is right */
};

static const struct form forms[] = {
    {TK_P256, "PEM", "PrivateKeyInfo", NULL, NULL, "EC P-256", "", NULL},
    {TK_P256, "DER", "PrivateKeyInfo", NULL, NULL, "EC P-256", "", NULL},
    {TK_P256, "PEM", "type-specific", NULL, NULL, "EC P-256", "", NULL},
    {TK_P256, "DER", "type-specific", NULL, NULL, "EC P-256", "", NULL},
    {TK_P384, "PEM", "PrivateKeyInfo", NULL, "some text\n\n", "EC P-384", "", NULL},
    {TK_P256, "PEM", "type-specific", NULL,
	"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n",
	"EC P-256", "", NULL},
    {TK_RSA2048, "PEM", "PrivateKeyInfo", NULL, "cert", "RSA 2048", "", NULL},
    {TK_RSA2048, "DER", "PrivateKeyInfo", NULL, NULL, "RSA 2048", "", NULL},
    {TK_RSA2048, "PEM", "type-specific", NULL, NULL, "RSA 2048", "", NULL},
    {TK_RSA3072, "DER", "type-specific", NULL, NULL, "RSA 3072", "", NULL},
    {TK_ED25519, "PEM", "PrivateKeyInfo", NULL, NULL, "Ed25519", "", NULL},
    {TK_ED25519, "DER", "PrivateKeyInfo", NULL, NULL, "Ed25519", "", NULL},
    {TK_P256, "PEM", "EncryptedPrivateKeyInfo", "AES-256-CBC", NULL, "", "is encrypted", NULL},
    {TK_RSA2048, "DER", "EncryptedPrivateKeyInfo", "AES-128-CBC", NULL, "", "is encrypted", NULL},
    {TK_RSA2048, "PEM", "type-specific", "AES-256-CBC", NULL, "", "is encrypted", NULL},
    {TK_ED25519, "PEM", "EncryptedPrivateKeyInfo", "DES-EDE3-CBC", NULL, "", "is encrypted", NULL},
};

#define WITHOUT "is encrypted, and there is no ssl_key_password"
#define WRONG "is encrypted, and not with ssl_key_password"
static const struct form encrypted[] = {
    {TK_P256, "PEM", "EncryptedPrivateKeyInfo", "AES-256-CBC", NULL, "EC P-256", "", "x"},
    {TK_P256, "DER", "EncryptedPrivateKeyInfo", "AES-256-CBC", NULL, "EC P-256", "", "x"},
    {TK_P384, "PEM", "EncryptedPrivateKeyInfo", "AES-192-CBC", NULL, "EC P-384", "", "x"},
    {TK_RSA2048, "PEM", "EncryptedPrivateKeyInfo", "AES-128-CBC", "cert", "RSA 2048", "", "x"},
    {TK_RSA2048, "DER", "EncryptedPrivateKeyInfo", "AES-128-CBC", NULL, "RSA 2048", "", "x"},
    {TK_ED25519, "PEM", "EncryptedPrivateKeyInfo", "DES-EDE3-CBC", NULL, "Ed25519", "", "x"},
    {TK_RSA2048, "PEM", "type-specific", "AES-256-CBC", NULL, "RSA 2048", "", "x"},
    {TK_P256, "PEM", "type-specific", "AES-128-CBC", NULL, "EC P-256", "", "x"},
    {TK_RSA3072, "PEM", "type-specific", "DES-EDE3-CBC", NULL, "RSA 3072", "", "x"},
    {TK_P256, "PEM", "PrivateKeyInfo", NULL, NULL, "EC P-256", "", "x"}, /* needs none */
    {TK_P256, "PEM", "EncryptedPrivateKeyInfo", "AES-256-CBC", NULL, "", WITHOUT, ""},
    {TK_P256, "PEM", "EncryptedPrivateKeyInfo", "AES-256-CBC", NULL, "", WRONG, "X"},
    {TK_P256, "DER", "EncryptedPrivateKeyInfo", "AES-256-CBC", NULL, "", WRONG, "xx"},
    {TK_RSA2048, "PEM", "type-specific", "AES-256-CBC", NULL, "", WRONG, "y"},
    {TK_RSA2048, "PEM", "type-specific", "AES-256-CBC", NULL, "", WITHOUT, NULL},
};
#define NFORMS (sizeof(forms) / sizeof(forms[0]))
#define NENCRYPTED (sizeof(encrypted) / sizeof(encrypted[0]))

static struct signer_key
in_form(const struct form *f)
{
	size_t len, n = 0;
	unsigned char *key = testkey_file(testkey(f->key), f->format, f->structure, f->cipher, &len);
	unsigned char *all = OPENSSL_malloc(len + 8192);
	BIO *b = BIO_new(BIO_s_mem());

	if (f->before != NULL && strcmp(f->before, "cert") == 0)
		PEM_write_bio_X509(b, testkey_cert(testkey(f->key)));
	else if (f->before != NULL)
		BIO_puts(b, f->before);
	n = (size_t)BIO_ctrl_pending(b);
	BIO_read(b, all, (int)n);
	BIO_free(b);
	memcpy(all + n, key, len);
	OPENSSL_free(key);
	return (struct signer_key){all, n + len, f->password};
}

static void
take_all(const struct form *f, size_t nforms)
{
	struct signer_options o = {.nkeys = (unsigned int)nforms};
	struct signer s;

	need_signer();
	assert_true(nforms <= SIGNER_KEYS_MAX);
	for (size_t i = 0; i < nforms; i++)
		o.keys[i] = in_form(&f[i]);
	assert_int_equal(signer_start(&s, &o), 0);
	for (size_t i = 0; i < nforms; i++) {
		const struct signer_answer *a = &s.answers[i];
		unsigned char *der = NULL;
		int n = i2d_PUBKEY(testkey(f[i].key), &der);

		if (strncmp(a->error, f[i].error, strlen(f[i].error)) != 0 ||
		    strcmp(a->type, f[i].type) != 0)
			fail_msg("form %zu: type \"%s\", error \"%s\"", i, a->type, a->error);
		assert_int_equal(a->status, f[i].error[0] == '\0' ? 0 : 1);
		if (a->status == 0) {
			assert_int_equal(a->spki_len, n);
			assert_memory_equal(a->spki, der, (size_t)n);
		}
		OPENSSL_free(der);
		OPENSSL_free((void *)(uintptr_t)o.keys[i].data);
	}
	stop(&s);
}

static void
key_forms(void **state)
{
	(void)state;
	take_all(forms, NFORMS);
}

static void
encrypted_forms(void **state)
{
	(void)state;
	take_all(encrypted, NENCRYPTED);
}

/* A private half that belongs to another public one. */
static size_t
mismatched(unsigned char *dst)
{
	size_t len, other_len;
	EVP_PKEY *other = EVP_EC_gen("P-256");
	unsigned char *a = testkey_file(testkey(TK_P256), "DER", "type-specific", NULL, &len);
	unsigned char *b = testkey_file(other, "DER", "type-specific", NULL, &other_len);

	memcpy(dst, a, len);
	memcpy(dst + 7, b + 7, 32); /* SEC1: version, then the scalar */
	OPENSSL_free(a);
	OPENSSL_free(b);
	EVP_PKEY_free(other);
	return len;
}

static void
bad_keys(void **state)
{
	static unsigned char huge[70000], wrong[300], cut[4000];
	EVP_PKEY *p521 = EVP_EC_gen("P-521"), *rsa = EVP_RSA_gen(1024);
	EVP_PKEY *x25519 = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	static const char *const want[] = {"is empty", "holds no", "is larger", "is of a type",
	    "is an RSA key of 1024 bits", "is of a type", "is damaged", "holds no", "holds no", ""};
	struct signer_options o = {.nkeys = 10};
	struct signer s;
	size_t len;

	(void)state;
	need_signer();
	memset(huge, '\n', sizeof(huge));
	o.keys[0] = (struct signer_key){"", 0, NULL};
	o.keys[1] = (struct signer_key){"-----BEGIN PRIVATE KEY-----\nnonsense", 36, NULL};
	o.keys[2] = (struct signer_key){huge, sizeof(huge), NULL};
	o.keys[3].data = testkey_file(p521, "PEM", "PrivateKeyInfo", NULL, &o.keys[3].len);
	o.keys[4].data = testkey_file(rsa, "PEM", "PrivateKeyInfo", NULL, &o.keys[4].len);
	o.keys[5].data = testkey_file(x25519, "PEM", "PrivateKeyInfo", NULL, &o.keys[5].len);
	o.keys[6] = (struct signer_key){wrong, mismatched(wrong), NULL};
	o.keys[7].data = testkey_file(testkey(TK_RSA2048), "DER", "PrivateKeyInfo", NULL, &len);
	memcpy(cut, o.keys[7].data, len);
	o.keys[7] = (struct signer_key){cut, len / 2, NULL};
	o.keys[8] = (struct signer_key){"\x30\x84\xff\xff\xff\xff\x02\x01", 8, NULL};
	o.keys[9].data = testkey_file(testkey(TK_P256), "PEM", "PrivateKeyInfo", NULL,
	    &o.keys[9].len);
	assert_int_equal(signer_start(&s, &o), 0);
	for (size_t i = 0; i < o.nkeys; i++)
		if (strncmp(s.answers[i].error, want[i], strlen(want[i])) != 0 ||
		    s.answers[i].status != (want[i][0] != '\0'))
			fail_msg("key %zu: %s", i, s.answers[i].error);
	stop(&s);
}

/* The whole file, cut at every 16th byte and with every 16th byte changed. */
static void
mutilated_keys(void **state)
{
	static const char *const formats[] = {"PEM", "DER"};

	(void)state;
	need_signer();
	for (int f = 0; f < 2; f++) {
		struct signer_options o = {.nkeys = SIGNER_KEYS_MAX};
		unsigned char *files[SIGNER_KEYS_MAX];
		struct signer s;

		for (unsigned int i = 0; i < o.nkeys; i++) {
			size_t len;

			files[i] = testkey_file(testkey(i & 1 ? TK_RSA2048 : TK_P384), formats[f],
			    i & 2 ? "PrivateKeyInfo" : "type-specific", NULL, &len);
			if (i & 4)
				len = len * (i + 1) / (o.nkeys + 1);
			else
				files[i][len * (i + 1) / (o.nkeys + 2)] ^= 1u << (i & 7);
			o.keys[i] = (struct signer_key){files[i], len, NULL};
		}
		assert_int_equal(signer_start(&s, &o), 0);
		for (unsigned int i = 0; i < o.nkeys; i++)
			OPENSSL_free(files[i]);
		stop(&s);
	}
}

static void
late_key(void **state)
{
	struct msgout m;
	struct msgin in;
	struct signer s;
	uint8_t buf[MSG_MAX];

	(void)state;
	start(&s, (struct signer_options){0});
	msg_begin(&m, MSG_KEY, 1);
	wr_str(&m.w, "late");
	msg_add_fd(&m, s.log);
	assert_int_equal(msg_send(s.control, &m), 0);
	assert_true(signer_wait(s.control, ANSWER_MS));
	assert_int_equal(msg_recv(s.control, R_SUPERVISOR, R_KEYS, &in, buf), 1);
	assert_int_equal(in.type, MSG_KEY_INFO);
	assert_int_equal(rd_u8(&in.r), 1);
	honest(&s);
	stop(&s);
}

/* Less and less memory, until the start is refused for it, in words: never a crash. */
static void
small_arena(void **state)
{
	struct signer_options o = {.nkeys = 8, .arena_bytes = 1 << 20};
	unsigned int served = 0, lacking = 0;
	struct signer s;
	size_t len;

	(void)state;
	need_signer();
	o.keys[0].data = testkey_file(testkey(TK_RSA3072), "PEM", "PrivateKeyInfo", NULL, &len);
	for (unsigned int i = 0; i < o.nkeys; i++)
		o.keys[i] = (struct signer_key){o.keys[0].data, len, NULL};
	for (;; o.arena_bytes -= 16 << 10) {
		int status;

		if (signer_start(&s, &o) == -1) {
			assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
			assert_true(WIFEXITED(status));
			assert_int_not_equal(WEXITSTATUS(status), 0);
			close(s.control);
			close(s.log);
			break;
		}
		for (unsigned int i = 0; i < o.nkeys; i++)
			*(s.answers[i].status == 0 ? &served : &lacking) += 1;
		stop(&s);
	}
	print_message("refused at %u KiB; %u keys served, %u did not fit\n", o.arena_bytes >> 10,
	    served, lacking);
	assert_true(served > 0);
	OPENSSL_free((void *)(uintptr_t)o.keys[0].data);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(key_forms),
	    cmocka_unit_test(encrypted_forms),
	    cmocka_unit_test(bad_keys),
	    cmocka_unit_test(mutilated_keys),
	    cmocka_unit_test(late_key),
	    cmocka_unit_test(small_arena),
	};

	if (getenv("ONLY") != NULL)
		cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
