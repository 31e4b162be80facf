/*
 * gatehouse-keys behind its real filters on a machine that makes faults (linked with
 * tests/lib/faulty_sign.c): no faulty signature leaves, and the next one is good.
 * And on one that lacks memory for a moment.
 */
/* SRC: tests/lib/signer_driver.c src/policy/lex.c src/policy/names.c src/policy/consts.c src/policy/syscalls.c src/policy/cond.c src/policy/parse.c src/policy/parse_layers.c src/policy/parse_rule.c src/policy/check.c src/policy/load.c src/policy/relate.c src/policy/compile.c src/policy/diff.c src/policy/code.c src/policy/prove.c src/policy/points.c src/policy/eval.c src/common/diag.c src/common/str.c src/common/log.c src/ipc/filters.c src/ipc/msg.c src/ipc/codec.c src/ipc/conn.c src/ipc/settings.c src/ipc/blocks.c src/ipc/rules.c */
/* LIBS: -lseccomp -lcrypto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/rsa.h>
#include <stdlib.h>

#include "faulty_sign.h"
#include "signer_requests.h"

static const struct kind {
	uint16_t key, sigalg;
	const char *hash;
	bool pss, tls12;
} kinds[] = {
    {0, 0x0403, "SHA256", false, false},
    {1, 0x0804, "SHA256", true, false},
    {1, 0x0401, "SHA256", false, true},
    {2, 0x0807, NULL, false, false},
};
static const enum test_key keys[] = {TK_P256, TK_RSA2048, TK_ED25519};
#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))
#define NKEYS (sizeof(keys) / sizeof(keys[0]))

/* bit -1: no fault. */
static size_t
make_content(const struct kind *k, int bit, uint8_t tbs[200])
{
	size_t len = content_13(tbs, 32), at = 98;

	if (k->tls12) { /* two randoms, x25519 */
		memset(tbs, 7, 100);
		memcpy(tbs + 64, "\3\0\x1d\x20", 4);
		len = 100;
		at = 0;
	}
	if (bit >= 0) {
		memcpy(tbs + at, FAULT_WORDS, sizeof(FAULT_WORDS) - 1);
		at += sizeof(FAULT_WORDS) - 1;
		tbs[at] = (uint8_t)(bit >> 8);
		tbs[at + 1] = (uint8_t)bit;
	}
	return len;
}

static bool
verifies(const struct kind *k, const uint8_t *sig, size_t siglen, const uint8_t *tbs, size_t len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx = NULL;
	bool good;

	assert_int_equal(EVP_DigestVerifyInit_ex(ctx, &pctx, k->hash, NULL, NULL,
	    testkey(keys[k->key]), NULL), 1);
	if (k->pss)
		assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING), 1);
	good = EVP_DigestVerify(ctx, sig, siglen, tbs, len) == 1;
	EVP_MD_CTX_free(ctx);
	return good;
}

/* One connection.  The status; a signature that comes must be good. */
static int
handshake(struct signer *s, const struct kind *k, int bit)
{
	static uint8_t buf[MSG_MAX];
	uint8_t tbs[200];
	size_t len = make_content(k, bit, tbs), siglen;
	const uint8_t *sig;
	struct msgin m;
	uint32_t id;
	int fd = signer_conn(s, &id), status;

	assert_int_equal(ask(fd, 1, k->key, k->sigalg, tbs, len), 0);
	assert_true(signer_wait(fd, ANSWER_MS));
	assert_int_equal(msg_read(fd, R_WORKER, R_KEYS, &m, buf), 1);
	assert_int_equal(m.type, MSG_SIGN_RES);
	status = rd_u8(&m.r);
	sig = rd_block(&m.r, 512, &siglen);
	assert_true(msg_end(&m));
	if (status == 0) {
		assert_true(verifies(k, sig, siglen, tbs, len));
		conn_tls_comes(s, id);
	} else {
		assert_int_equal(siglen, 0);
		assert_false(signer_wait(s->auth, 0)); /* TLS is not on */
	}
	assert_int_equal(answer(fd, 1, ANSWER_MS), -1); /* that was it */
	close(fd);
	return status;
}

static void
begin(struct signer *s)
{
	struct signer_options o = {.image = SIGNER_FAULTY, .nkeys = NKEYS};

	need_signer();
	if (access(SIGNER_FAULTY, X_OK) == -1)
		fail_msg("no " SIGNER_FAULTY ": run make unit");
	for (size_t i = 0; i < NKEYS; i++)
		o.keys[i].data = testkey_file(testkey(keys[i]), "DER", "PrivateKeyInfo", NULL,
		    &o.keys[i].len);
	assert_int_equal(signer_start(s, &o), 0);
	for (size_t i = 0; i < NKEYS; i++) {
		assert_string_equal(s->answers[i].error, "");
		OPENSSL_free((void *)(uintptr_t)o.keys[i].data);
	}
}

static unsigned int
lines(struct signer *s, const char *text, char *all, size_t cap)
{
	unsigned int found = 0;
	ssize_t n;
	size_t len = 0;

	while ((n = read(s->log, all + len, cap - 1 - len)) > 0)
		len += (size_t)n;
	all[len] = '\0';
	for (const char *p = all; (p = strstr(p, text)) != NULL; p++)
		found++;
	return found;
}

static void
no_faulty_signature_leaves(void **state)
{
	static const int bits[] = {0, 7, 8, 100, 260, 511, 1024, 2040, 2047};
	static char log[65536];
	struct signer s;

	(void)state;
	begin(&s);
	for (size_t k = 0; k < NKINDS; k++) {
		assert_int_equal(handshake(&s, &kinds[k], -1), 0);
		for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
			assert_int_equal(handshake(&s, &kinds[k], bits[i]), 3);
			assert_int_equal(handshake(&s, &kinds[k], -1), 0);
		}
	}
	assert_true(signer_alive(&s));
	assert_true(lines(&s, "faulty", log, sizeof(log)) >= 1);
	assert_non_null(strstr(log, "Ea signature with key of the test was faulty and did not leave this "
	    "process (1 so far): doubt this machine's memory or processor\n"));
	assert_null(strstr(log, "refused to sign"));
	stop(&s);
}

/* Each handshake goes wrong: it is said once a second. */
static void
said_seldom(void **state)
{
	static char log[65536];
	struct signer s;
	unsigned int n = 0;

	(void)state;
	begin(&s);
	for (; n < 300; n++)
		assert_int_equal(handshake(&s, &kinds[0], (int)n), 3);
	assert_in_range(lines(&s, "faulty", log, sizeof(log)), 1, 100);
	assert_int_equal(handshake(&s, &kinds[0], -1), 0);
	stop(&s);
}

/* What the auth client does not hear of costs the client his login: it waits. */
static void
no_memory_to_tell(void **state)
{
	struct signer s;

	(void)state;
	begin(&s);
	s.next_conn = LACKING_CONN;
	assert_int_equal(handshake(&s, &kinds[0], -1), 0);
	assert_int_equal(handshake(&s, &kinds[0], -1), 0);
	stop(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_faulty_signature_leaves),
	    cmocka_unit_test(said_seldom),
	    cmocka_unit_test(no_memory_to_tell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
