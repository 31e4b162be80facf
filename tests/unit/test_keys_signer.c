/*
 * The real gatehouse-keys behind its real filters: key files of every form, good
 * and bad; requests of every kind; floods, full queues, peers that come and go.
 */
/* SRC: tests/lib/signer_driver.c src/policy/lex.c src/policy/names.c src/policy/consts.c src/policy/syscalls.c src/policy/cond.c src/policy/parse.c src/policy/parse_layers.c src/policy/parse_rule.c src/policy/check.c src/policy/load.c src/policy/relate.c src/policy/compile.c src/policy/diff.c src/policy/prove.c src/policy/points.c src/policy/eval.c src/common/diag.c src/common/str.c src/common/log.c src/ipc/filters.c src/ipc/msg.c src/ipc/codec.c src/ipc/conn.c src/ipc/settings.c */
/* LIBS: -lseccomp -lcrypto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/pem.h>

#include "signer_driver.h"
#include "testkeys.h"

#define ANSWER_MS 20000

static void
need_signer(void)
{
	const char *why = signer_available();

	if (why == NULL)
		return;
	print_message("skipped: %s\n", why);
	skip();
}

/* ---- requests by hand ------------------------------------------------------ */

static size_t
content_13(uint8_t *p, size_t hash)
{
	memset(p, ' ', 64);
	memcpy(p + 64, "TLS 1.3, server CertificateVerify", 34);
	memset(p + 98, 0x5a, hash);
	return 98 + hash;
}

static int
ask(int fd, uint32_t id, uint16_t key, uint16_t alg, const uint8_t *tbs, size_t len)
{
	struct msgout m;

	msg_begin(&m, MSG_SIGN_REQ, id);
	wr_u16(&m.w, key);
	wr_u16(&m.w, alg);
	wr_block(&m.w, tbs, len);
	return msg_write(fd, &m);
}

static int
ask_well(int fd, uint32_t id)
{
	uint8_t tbs[200];

	return ask(fd, id, 0, 0x0403, tbs, content_13(tbs, 32));
}

/* The status of the next answer; -1: the channel is closed; -2: silence. */
static int
answer(int fd, uint32_t id, unsigned int ms)
{
	static uint8_t buf[MSG_MAX];
	struct msgin m;
	size_t len;
	int n, status;

	if (!signer_wait(fd, ms))
		return -2;
	n = msg_read(fd, R_WORKER, R_KEYS, &m, buf);
	if (n != 1)
		return -1;
	assert_int_equal(m.type, MSG_SIGN_RES);
	assert_int_equal(m.id, id);
	status = rd_u8(&m.r);
	rd_block(&m.r, 512, &len);
	assert_true(msg_end(&m));
	assert_true((status == 0) == (len > 0));
	return status;
}

static void
conn_tls_comes(struct signer *s, uint32_t id)
{
	struct msgin m;

	assert_int_equal(signer_auth_next(s, &m, 0), 0);
	assert_int_equal(m.type, MSG_CONN_TLS);
	assert_int_equal(m.id, id);
}

/* An honest connection is served, now. */
static void
honest(struct signer *s)
{
	uint32_t id;
	int fd = signer_conn(s, &id);

	assert_true(fd != -1);
	assert_int_equal(ask_well(fd, 7), 0);
	assert_int_equal(answer(fd, 7, ANSWER_MS), 0);
	conn_tls_comes(s, id);
	close(fd);
}

static void
start(struct signer *s, struct signer_options o)
{
	static unsigned char *file;
	static size_t len;

	need_signer();
	if (file == NULL)
		file = testkey_file(testkey(TK_P256), "PEM", "PrivateKeyInfo", NULL, &len);
	o.nkeys = 1;
	o.keys[0] = (struct signer_key){file, len};
	assert_int_equal(signer_start(s, &o), 0);
	assert_string_equal(s->answers[0].error, "");
}

static void
stop(struct signer *s)
{
	assert_true(signer_alive(s));
	assert_int_equal(signer_stop(s, false), 0);
}

/* ---- keys ------------------------------------------------------------------ */

struct form {
	enum test_key key;
	const char *format, *structure, *cipher, *before;
	const char *type, *error;
};

static const struct form forms[] = {
    {TK_P256, "PEM", "PrivateKeyInfo", NULL, NULL, "EC P-256", ""},
    {TK_P256, "DER", "PrivateKeyInfo", NULL, NULL, "EC P-256", ""},
    {TK_P256, "PEM", "type-specific", NULL, NULL, "EC P-256", ""},
    {TK_P256, "DER", "type-specific", NULL, NULL, "EC P-256", ""},
    {TK_P384, "PEM", "PrivateKeyInfo", NULL, "some text\n\n", "EC P-384", ""},
    {TK_P256, "PEM", "type-specific", NULL,
	"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n",
	"EC P-256", ""},
    {TK_RSA2048, "PEM", "PrivateKeyInfo", NULL, "cert", "RSA 2048", ""},
    {TK_RSA2048, "DER", "PrivateKeyInfo", NULL, NULL, "RSA 2048", ""},
    {TK_RSA2048, "PEM", "type-specific", NULL, NULL, "RSA 2048", ""},
    {TK_RSA3072, "DER", "type-specific", NULL, NULL, "RSA 3072", ""},
    {TK_ED25519, "PEM", "PrivateKeyInfo", NULL, NULL, "Ed25519", ""},
    {TK_ED25519, "DER", "PrivateKeyInfo", NULL, NULL, "Ed25519", ""},
    {TK_P256, "PEM", "EncryptedPrivateKeyInfo", "AES-256-CBC", NULL, "", "is encrypted"},
    {TK_RSA2048, "DER", "EncryptedPrivateKeyInfo", "AES-128-CBC", NULL, "", "is encrypted"},
    {TK_RSA2048, "PEM", "type-specific", "AES-256-CBC", NULL, "", "is encrypted"},
    {TK_ED25519, "PEM", "EncryptedPrivateKeyInfo", "DES-EDE3-CBC", NULL, "", "is encrypted"},
};
#define NFORMS (sizeof(forms) / sizeof(forms[0]))

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
	return (struct signer_key){all, n + len};
}

static void
key_forms(void **state)
{
	struct signer_options o = {.nkeys = NFORMS};
	struct signer s;

	(void)state;
	need_signer();
	assert_true(NFORMS <= SIGNER_KEYS_MAX);
	for (size_t i = 0; i < NFORMS; i++)
		o.keys[i] = in_form(&forms[i]);
	assert_int_equal(signer_start(&s, &o), 0);
	for (size_t i = 0; i < NFORMS; i++) {
		const struct signer_answer *a = &s.answers[i];
		unsigned char *der = NULL;
		int n = i2d_PUBKEY(testkey(forms[i].key), &der);

		if (strncmp(a->error, forms[i].error, strlen(forms[i].error)) != 0 ||
		    strcmp(a->type, forms[i].type) != 0)
			fail_msg("form %zu: type \"%s\", error \"%s\"", i, a->type, a->error);
		assert_int_equal(a->status, forms[i].error[0] == '\0' ? 0 : 1);
		if (a->status == 0) {
			assert_int_equal(a->spki_len, n);
			assert_memory_equal(a->spki, der, (size_t)n);
		}
		OPENSSL_free(der);
		OPENSSL_free((void *)(uintptr_t)o.keys[i].data);
	}
	stop(&s);
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
	o.keys[0] = (struct signer_key){"", 0};
	o.keys[1] = (struct signer_key){"-----BEGIN PRIVATE KEY-----\nnonsense", 36};
	o.keys[2] = (struct signer_key){huge, sizeof(huge)};
	o.keys[3].data = testkey_file(p521, "PEM", "PrivateKeyInfo", NULL, &o.keys[3].len);
	o.keys[4].data = testkey_file(rsa, "PEM", "PrivateKeyInfo", NULL, &o.keys[4].len);
	o.keys[5].data = testkey_file(x25519, "PEM", "PrivateKeyInfo", NULL, &o.keys[5].len);
	o.keys[6] = (struct signer_key){wrong, mismatched(wrong)};
	o.keys[7].data = testkey_file(testkey(TK_RSA2048), "DER", "PrivateKeyInfo", NULL, &len);
	memcpy(cut, o.keys[7].data, len);
	o.keys[7] = (struct signer_key){cut, len / 2};
	o.keys[8] = (struct signer_key){"\x30\x84\xff\xff\xff\xff\x02\x01", 8};
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
			o.keys[i] = (struct signer_key){files[i], len};
		}
		assert_int_equal(signer_start(&s, &o), 0);
		for (unsigned int i = 0; i < o.nkeys; i++)
			OPENSSL_free(files[i]);
		stop(&s);
	}
}

/* ---- requests -------------------------------------------------------------- */

static void
one_signature_then_closed(void **state)
{
	struct signer s;
	uint32_t id;
	int fd;

	(void)state;
	start(&s, (struct signer_options){0});
	fd = signer_conn(&s, &id);
	assert_int_equal(ask_well(fd, 1), 0);
	assert_int_equal(answer(fd, 1, ANSWER_MS), 0);
	conn_tls_comes(&s, id);
	assert_int_equal(answer(fd, 1, ANSWER_MS), -1); /* our end is all there is */
	assert_int_equal(ask_well(fd, 2), -1);
	close(fd);
	stop(&s);
}

static void
too_many(void **state)
{
	struct signer s;
	uint32_t id;
	int fd;

	(void)state;
	start(&s, (struct signer_options){.sign_limit = 2});
	kill(s.pid, SIGSTOP);
	fd = signer_conn(&s, &id);
	for (uint32_t i = 1; i <= 3; i++)
		assert_int_equal(ask_well(fd, i), 0);
	kill(s.pid, SIGCONT);
	assert_int_equal(answer(fd, 1, ANSWER_MS), 0);
	assert_int_equal(answer(fd, 2, ANSWER_MS), 0);
	assert_int_equal(answer(fd, 3, ANSWER_MS), 2);
	assert_int_equal(answer(fd, 4, ANSWER_MS), -1);
	conn_tls_comes(&s, id);
	conn_tls_comes(&s, id);
	assert_false(signer_wait(s.auth, 0));
	close(fd);
	honest(&s);
	stop(&s);
}

/* status, or -1: dropped without a word. */
static int
try_request(struct signer *s, uint16_t key, uint16_t alg, const uint8_t *tbs, size_t len)
{
	int fd = signer_conn(s, NULL), status;

	assert_int_equal(ask(fd, 1, key, alg, tbs, len), 0);
	status = answer(fd, 1, ANSWER_MS);
	if (status != 0)
		assert_false(signer_wait(s->auth, 0)); /* TLS is not on */
	if (status > 0)
		assert_int_equal(answer(fd, 1, ANSWER_MS), -1);
	close(fd);
	return status;
}

static void
refusals(void **state)
{
	struct signer s;
	uint8_t tbs[600];
	size_t len;

	(void)state;
	start(&s, (struct signer_options){0});
	memset(tbs, 0x30, sizeof(tbs));
	assert_int_equal(try_request(&s, 0, 0x0403, tbs, 32), 1); /* a bare digest */
	assert_int_equal(try_request(&s, 0, 0x0403, tbs, 0), 1);
	assert_int_equal(try_request(&s, 0, 0x0403, tbs, 600), 1);
	len = content_13(tbs, 32);
	assert_int_equal(try_request(&s, 1, 0x0403, tbs, len), 3); /* no such key */
	assert_int_equal(try_request(&s, 63, 0x0403, tbs, len), 3);
	assert_int_equal(try_request(&s, 64, 0x0403, tbs, len), 3);
	assert_int_equal(try_request(&s, 65535, 0x0403, tbs, len), 3);
	assert_int_equal(try_request(&s, 0, 0x0503, tbs, len), 1); /* TLS 1.3: the curve's own hash */
	assert_int_equal(try_request(&s, 0, 0x0804, tbs, len), 1);
	assert_int_equal(try_request(&s, 0, 0x0807, tbs, len), 1);
	assert_int_equal(try_request(&s, 0, 0x0203, tbs, len), 1); /* SHA-1 */
	assert_int_equal(try_request(&s, 0, 0, tbs, len), 1);
	tbs[65] = 'l';
	assert_int_equal(try_request(&s, 0, 0x0403, tbs, len), 1);
	honest(&s);
	stop(&s);
}

static void
malformed_requests(void **state)
{
	static const char *const messages[] = {"x", "SIGN", "\x00\x00\x00\x00\x00\x00\x00\x00",
	    "\xff\xff\x00\x00\x01\x00\x00\x00"};
	struct msgout good;
	uint8_t tbs[200];
	struct signer s;
	int fd;

	(void)state;
	start(&s, (struct signer_options){0});
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		fd = signer_conn(&s, NULL);
		assert_true(write(fd, messages[i], i < 2 ? strlen(messages[i]) : 8) > 0);
		assert_int_equal(answer(fd, 0, ANSWER_MS), -1);
		close(fd);
	}
	/* Every truncation of a good one; and one byte more. */
	msg_begin(&good, MSG_SIGN_REQ, 5);
	wr_u16(&good.w, 0);
	wr_u16(&good.w, 0x0403);
	wr_block(&good.w, tbs, content_13(tbs, 32));
	for (size_t len = 1; len <= good.w.len + 1; len++) {
		if (len == good.w.len)
			continue;
		fd = signer_conn(&s, NULL);
		assert_int_equal(write(fd, good.buf, len), (ssize_t)len);
		assert_int_equal(answer(fd, 0, ANSWER_MS), -1);
		close(fd);
	}
	/* Another process's word, and descriptors. */
	fd = signer_conn(&s, NULL);
	hello_put(&good, R_WORKER, NULL, 0);
	assert_int_equal(msg_write(fd, &good), 0);
	assert_int_equal(answer(fd, 0, ANSWER_MS), -1);
	close(fd);
	fd = signer_conn(&s, NULL);
	struct msgout with_fd;

	msg_begin(&with_fd, MSG_CONN_OPEN, 1);
	conn_put(&with_fd.w, &(struct conn_info){.service = SERVICE_IMAP, .session = "A",
	    .remote = {.family = AF_INET}, .local = {.family = AF_INET}});
	msg_add_fd(&with_fd, fd);
	assert_int_equal(msg_send(fd, &with_fd), 0);
	assert_int_equal(answer(fd, 0, ANSWER_MS), -1);
	close(fd);
	honest(&s);
	stop(&s);
}

static void
a_flood_beside_an_honest_one(void **state)
{
	enum { N = 150 };
	struct signer s;
	int fds[N];

	(void)state;
	start(&s, (struct signer_options){0});
	kill(s.pid, SIGSTOP);
	for (int i = 0; i < N; i++) {
		uint8_t tbs[600] = {0};

		fds[i] = signer_conn(&s, NULL);
		assert_true(fds[i] != -1);
		for (int k = 0; k < 50; k++)
			if (ask(fds[i], 1, 0, 0x0403, tbs, sizeof(tbs)) == -1)
				break;
	}
	kill(s.pid, SIGCONT);
	honest(&s);
	for (int i = 0; i < N; i++) {
		int status = answer(fds[i], 1, ANSWER_MS);

		assert_true(status == 1 || status == -1);
		close(fds[i]);
	}
	stop(&s);
}

static void
thousands(void **state)
{
	enum { N = 3000 };
	struct signer s;
	static int fds[N];

	(void)state;
	start(&s, (struct signer_options){0});
	for (int i = 0; i < N; i++)
		assert_true((fds[i] = signer_conn(&s, NULL)) != -1);
	honest(&s);
	for (int i = 0; i < N; i += 2) {
		close(fds[i]);
		fds[i] = -1;
	}
	for (int i = 1; i < N; i += 2) {
		struct msgin m;

		assert_int_equal(ask_well(fds[i], 1), 0);
		assert_int_equal(answer(fds[i], 1, ANSWER_MS), 0);
		assert_int_equal(signer_auth_next(&s, &m, 0), 0);
		close(fds[i]);
	}
	honest(&s);
	stop(&s);
}

/* Out of descriptors: those channels are closed, the launcher's pair lives. */
static void
descriptor_limit(void **state)
{
	enum { N = 200 };
	unsigned int served = 0, closed = 0;
	struct signer s;
	int fds[N];

	(void)state;
	start(&s, (struct signer_options){.nofile = 64});
	for (int i = 0; i < N; i++)
		assert_true((fds[i] = signer_conn(&s, NULL)) != -1);
	for (int i = 0; i < N; i++) {
		struct msgin m;
		int status = ask_well(fds[i], 1) == -1 ? -1 : answer(fds[i], 1, ANSWER_MS);

		if (status == 0) {
			served++;
			assert_int_equal(signer_auth_next(&s, &m, 0), 0);
		} else {
			assert_int_equal(status, -1);
			closed++;
		}
	}
	assert_true(served >= 20);
	assert_true(closed >= 100);
	for (int i = 0; i < N; i++)
		close(fds[i]);
	honest(&s);
	stop(&s);
}

/* ---- the auth client ------------------------------------------------------- */

enum { CROWD = 700 };

/* All ask at once, and nobody reads the auth pair: some are served, the others
 * wait for CONN_TLS to be taken. */
static unsigned int
fill(struct signer *s, int fds[CROWD], uint32_t ids[CROWD], bool got[CROWD])
{
	unsigned int n = 0;

	for (int i = 0; i < CROWD; i++) {
		assert_true((fds[i] = signer_conn(s, &ids[i])) != -1);
		assert_int_equal(ask_well(fds[i], 1), 0);
		got[i] = false;
	}
	for (int i = 0; i < CROWD; i++) {
		int status = answer(fds[i], 1, n + 1 < CROWD && i > 0 && !got[i - 1] ? 20 : 2000);

		if (status == -2)
			break;
		assert_int_equal(status, 0);
		got[i] = true;
		n++;
	}
	return n;
}

static void
drain(struct signer *s, int fds[CROWD], bool got[CROWD])
{
	for (int i = 0; i < CROWD; i++) {
		struct msgin m;

		while (signer_auth_next(s, &m, 0) == 0)
			assert_int_equal(m.type, MSG_CONN_TLS);
		if (!got[i])
			assert_int_equal(answer(fds[i], 1, ANSWER_MS), 0);
		close(fds[i]);
	}
}

static void
full_queue_to_the_auth_client(void **state)
{
	static uint32_t ids[CROWD];
	static bool got[CROWD];
	static int fds[CROWD];
	unsigned int n, told = 0;
	struct signer s;
	struct msgin m;

	(void)state;
	start(&s, (struct signer_options){0});
	n = fill(&s, fds, ids, got);
	assert_true(n > 10);
	assert_true(n < CROWD); /* else the crowd is too small for this kernel's queues */
	/* No answer was given without the word to the auth client before it. */
	while (told < n) {
		assert_int_equal(signer_auth_next(&s, &m, 0), 0);
		told++;
	}
	drain(&s, fds, got);
	honest(&s);
	stop(&s);
}

static void
auth_client_goes_while_they_wait(void **state)
{
	static uint32_t ids[CROWD];
	static bool got[CROWD];
	static int fds[CROWD];
	struct signer s;

	(void)state;
	start(&s, (struct signer_options){0});
	assert_true(fill(&s, fds, ids, got) < CROWD);
	close(s.auth);
	s.auth = -1;
	for (int i = 0; i < CROWD; i++) {
		if (!got[i]) /* its login is refused by whoever misses the auth client */
			assert_int_equal(answer(fds[i], 1, ANSWER_MS), 0);
		close(fds[i]);
	}
	assert_int_equal(signer_peer(&s, R_AUTH), 0);
	honest(&s);
	stop(&s);
}

/* Workers that do not wait for their answers. */
static void
workers_go_while_they_wait(void **state)
{
	static uint32_t ids[CROWD];
	static bool got[CROWD];
	static int fds[CROWD];
	struct signer s;
	struct msgin m;

	(void)state;
	start(&s, (struct signer_options){0});
	assert_true(fill(&s, fds, ids, got) < CROWD);
	for (int i = 0; i < CROWD; i++)
		close(fds[i]);
	for (int i = 0; i < CROWD; i++)
		assert_int_equal(signer_auth_next(&s, &m, ANSWER_MS), 0);
	honest(&s);
	stop(&s);
}

/* ---- peers ----------------------------------------------------------------- */

static void
peers_come_and_go(void **state)
{
	struct msgout m;
	struct signer s;
	int old;

	(void)state;
	start(&s, (struct signer_options){0});
	old = signer_conn(&s, NULL);
	honest(&s);
	assert_int_equal(signer_peer(&s, R_LAUNCHER), 0); /* replaced before it ended */
	honest(&s);
	close(s.launcher);
	s.launcher = -1;
	assert_int_equal(signer_peer(&s, R_LAUNCHER), 0);
	assert_int_equal(signer_peer(&s, R_AUTH), 0);
	honest(&s);
	/* A launcher that talks nonsense loses its pair and no more. */
	assert_int_equal(write(s.launcher, "nonsense", 8), 8);
	assert_int_equal(signer_peer(&s, R_LAUNCHER), 0);
	msg_begin(&m, MSG_CONN_TLS, 1);
	assert_int_equal(write(s.auth, m.buf, m.w.len), (ssize_t)m.w.len);
	assert_int_equal(signer_peer(&s, R_AUTH), 0);
	honest(&s);
	/* What was open stayed open. */
	assert_int_equal(ask_well(old, 3), 0);
	assert_int_equal(answer(old, 3, ANSWER_MS), 0);
	close(old);
	stop(&s);
}

static void
peer_of_another_build(void **state)
{
	struct msgout m;
	struct signer s;
	int fd;

	(void)state;
	start(&s, (struct signer_options){0});
	assert_int_equal(signer_peer(&s, R_LAUNCHER), 0);
	msg_begin(&m, MSG_HELLO, 0); /* a second hello is not allowed either */
	wr_str(&m.w, "0.0-other");
	wr_u8(&m.w, R_LAUNCHER);
	wr_u32(&m.w, 1);
	wr_block(&m.w, NULL, 0);
	assert_int_equal(msg_write(s.launcher, &m), 0);
	fd = signer_conn(&s, NULL);
	if (fd != -1) {
		assert_int_equal(answer(fd, 1, ANSWER_MS), -1);
		close(fd);
	}
	stop(&s);
}

static void
supervisor_goes(void **state)
{
	struct signer s;
	int fd, status;

	(void)state;
	start(&s, (struct signer_options){0});
	fd = signer_conn(&s, NULL);
	close(s.control);
	s.control = -1;
	honest(&s); /* those who are here are served on */
	close(s.launcher);
	s.launcher = -1;
	assert_int_equal(ask_well(fd, 1), 0);
	assert_int_equal(answer(fd, 1, ANSWER_MS), 0);
	close(fd);
	assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
	assert_int_equal(status, 0);
	close(s.auth);
	close(s.log);
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

/*
 * Enough for the random generators to be seeded anew, behind the filter (a child
 * after 65536 requests): SOAK=200000 build/unit/test_keys_signer.
 */
static void
soak(void **state)
{
	const char *env = getenv("SOAK");
	uint32_t n = env != NULL ? (uint32_t)atoi(env) : 3000;
	struct signer s;
	int fd;

	(void)state;
	start(&s, (struct signer_options){.sign_limit = n + 1});
	fd = signer_conn(&s, NULL);
	for (uint32_t i = 1; i <= n; i++) {
		struct msgin m;

		assert_int_equal(ask_well(fd, i), 0);
		assert_int_equal(answer(fd, i, ANSWER_MS), 0);
		assert_int_equal(signer_auth_next(&s, &m, 0), 0);
	}
	close(fd);
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
		o.keys[i] = (struct signer_key){o.keys[0].data, len};
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
	if (getenv("ONLY") != NULL)
		cmocka_set_test_filter(getenv("ONLY"));
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(key_forms),
	    cmocka_unit_test(bad_keys),
	    cmocka_unit_test(mutilated_keys),
	    cmocka_unit_test(one_signature_then_closed),
	    cmocka_unit_test(too_many),
	    cmocka_unit_test(refusals),
	    cmocka_unit_test(malformed_requests),
	    cmocka_unit_test(a_flood_beside_an_honest_one),
	    cmocka_unit_test(thousands),
	    cmocka_unit_test(descriptor_limit),
	    cmocka_unit_test(full_queue_to_the_auth_client),
	    cmocka_unit_test(auth_client_goes_while_they_wait),
	    cmocka_unit_test(workers_go_while_they_wait),
	    cmocka_unit_test(peers_come_and_go),
	    cmocka_unit_test(peer_of_another_build),
	    cmocka_unit_test(supervisor_goes),
	    cmocka_unit_test(late_key),
	    cmocka_unit_test(soak),
	    cmocka_unit_test(small_arena),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
