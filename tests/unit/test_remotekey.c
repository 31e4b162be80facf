/*
 * The provider in the worker together with the real signer: whole TLS handshakes
 * in memory, for every kind of key, version, hash and group; what else somebody
 * might want of a private key is refused.
 */
/* SRC: src/login/remotekey.c src/login/remotekey_channel.c tests/lib/signer_driver.c src/policy/lex.c src/policy/names.c src/policy/consts.c src/policy/syscalls.c src/policy/cond.c src/policy/parse.c src/policy/parse_layers.c src/policy/parse_rule.c src/policy/check.c src/policy/load.c src/policy/relate.c src/policy/compile.c src/policy/diff.c src/policy/code.c src/policy/prove.c src/policy/points.c src/policy/eval.c src/common/diag.c src/common/str.c src/common/log.c src/ipc/filters.c src/ipc/msg.c src/ipc/codec.c src/ipc/conn.c src/ipc/settings.c src/ipc/blocks.c src/ipc/rules.c */
/* LIBS: -lseccomp -lssl -lcrypto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "login/remotekey.h"
#include "signer_driver.h"
#include "testkeys.h"

static struct signer signer;
static bool running;
static X509 *certs[TK__MAX];
static EVP_PKEY *remote[TK__MAX];

static int
setup(void **state)
{
	const char *why = signer_available();
	struct signer_options o = {.nkeys = TK__MAX};

	(void)state;
	if (!remotekey_init())
		return -1;
	for (int i = 0; i < TK__MAX; i++) {
		EVP_PKEY *pub;

		o.keys[i].data = testkey_file(testkey((enum test_key)i), "PEM", "PrivateKeyInfo", NULL,
		    &o.keys[i].len);
		certs[i] = testkey_cert(testkey((enum test_key)i));
		pub = X509_get0_pubkey(certs[i]);
		remote[i] = remotekey_new(pub, (uint16_t)i);
		if (remote[i] == NULL)
			return -1;
	}
	if (why != NULL) {
		print_message("without the signer: %s\n", why);
		return 0;
	}
	running = true;
	return signer_start(&signer, &o);
}

static int
teardown(void **state)
{
	(void)state;
	return running && signer_stop(&signer, true) != 0 ? -1 : 0;
}

static void
need_signer(void)
{
	if (!running)
		skip();
}

/* ---- handshakes ------------------------------------------------------------ */

struct shake {
	enum test_key key;
	int version;
	const char *suite;  /* TLS 1.3 or 1.2 */
	const char *groups; /* the client's, in its order; the first is its key share */
	const char *sigalgs; /* the client's; NULL: defaults */
	const char *server_groups; /* NULL: as the client's */
};

static SSL_CTX *
side(const struct shake *h, bool server)
{
	SSL_CTX *c = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	const char *groups = server && h->server_groups != NULL ? h->server_groups : h->groups;

	assert_non_null(c);
	assert_int_equal(SSL_CTX_set_min_proto_version(c, h->version), 1);
	assert_int_equal(SSL_CTX_set_max_proto_version(c, h->version), 1);
	assert_int_equal(SSL_CTX_set1_groups_list(c, groups), 1);
	if (h->version == TLS1_3_VERSION)
		assert_int_equal(SSL_CTX_set_ciphersuites(c, h->suite), 1);
	else
		assert_int_equal(SSL_CTX_set_cipher_list(c, h->suite), 1);
	if (server) {
		SSL_CTX_set_options(c, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
		assert_int_equal(SSL_CTX_use_certificate(c, certs[h->key]), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey(c, remote[h->key]), 1);
		assert_int_equal(SSL_CTX_check_private_key(c), 1);
	} else {
		X509_STORE_add_cert(SSL_CTX_get_cert_store(c), certs[h->key]);
		SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
		if (h->sigalgs != NULL)
			assert_int_equal(SSL_CTX_set1_sigalgs_list(c, h->sigalgs), 1);
	}
	return c;
}

/* True: both sides are through, and a byte got across in each direction. */
static bool
run(SSL *server, SSL *client)
{
	int s = 0, c = 0;
	char b;

	for (int i = 0; i < 30 && (s != 1 || c != 1); i++) {
		c = SSL_do_handshake(client);
		s = SSL_do_handshake(server);
	}
	return s == 1 && c == 1 && SSL_write(client, "x", 1) == 1 && SSL_read(server, &b, 1) == 1 &&
	    SSL_write(server, "y", 1) == 1 && SSL_read(client, &b, 1) == 1;
}

static bool
shake(const struct shake *h, int fd)
{
	struct remotekey_channel channel = {.fd = fd, .timeout_ms = 20000};
	SSL_CTX *sctx = side(h, true), *cctx = side(h, false);
	SSL *server = SSL_new(sctx), *client = SSL_new(cctx);
	BIO *a, *b;
	bool good;

	assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
	SSL_set_bio(server, a, a);
	SSL_set_bio(client, b, b);
	SSL_set_accept_state(server);
	SSL_set_connect_state(client);
	remotekey_set_signer(remotekey_channel, &channel);
	good = run(server, client);
	remotekey_set_signer(NULL, NULL);
	SSL_free(server);
	SSL_free(client);
	SSL_CTX_free(sctx);
	SSL_CTX_free(cctx);
	return good;
}

#define T13 TLS1_3_VERSION
#define T12 TLS1_2_VERSION
#define EC12 "ECDHE-ECDSA-AES256-GCM-SHA384"
#define RSA12 "ECDHE-RSA-AES128-GCM-SHA256"

static const struct shake shakes[] = {
    {TK_P256, T13, "TLS_AES_128_GCM_SHA256", "X25519", NULL, NULL},
    {TK_P256, T13, "TLS_AES_256_GCM_SHA384", "P-256", NULL, NULL},
    {TK_P256, T13, "TLS_CHACHA20_POLY1305_SHA256", "P-384", NULL, NULL},
    {TK_P384, T13, "TLS_AES_128_GCM_SHA256", "X25519", NULL, NULL},
    {TK_P384, T13, "TLS_AES_256_GCM_SHA384", "P-521", NULL, NULL},
    {TK_RSA2048, T13, "TLS_AES_128_GCM_SHA256", "X25519", NULL, NULL},
    {TK_RSA2048, T13, "TLS_AES_256_GCM_SHA384", "X25519", "rsa_pss_rsae_sha384", NULL},
    {TK_RSA3072, T13, "TLS_AES_256_GCM_SHA384", "P-256", "rsa_pss_rsae_sha512", NULL},
    {TK_ED25519, T13, "TLS_AES_128_GCM_SHA256", "X25519", NULL, NULL},
    {TK_ED25519, T13, "TLS_AES_256_GCM_SHA384", "X25519", NULL, NULL},
    /* HelloRetryRequest */
    {TK_P256, T13, "TLS_AES_128_GCM_SHA256", "P-521:X25519", NULL, "X25519"},
    {TK_RSA2048, T13, "TLS_AES_256_GCM_SHA384", "X25519:P-384", NULL, "P-384"},
    {TK_ED25519, T13, "TLS_AES_256_GCM_SHA384", "X25519:P-256", NULL, "P-256"},
    {TK_P256, T12, EC12, "X25519:P-256", NULL, NULL},
    {TK_P256, T12, EC12, "P-256", "ecdsa_secp256r1_sha256", NULL},
    {TK_P256, T12, EC12, "P-384:P-256", "ECDSA+SHA384", NULL},
    {TK_P256, T12, EC12, "P-521:P-256", "ECDSA+SHA512", NULL},
    {TK_P384, T12, EC12, "X25519:P-384", "ECDSA+SHA384", NULL},
    {TK_P384, T12, EC12, "P-256:P-384", "ECDSA+SHA256", NULL},
    {TK_P384, T12, "ECDHE-ECDSA-CHACHA20-POLY1305", "X448:P-384", NULL, NULL},
    {TK_RSA2048, T12, RSA12, "X25519", "RSA+SHA256", NULL},
    {TK_RSA2048, T12, RSA12, "P-256", "RSA+SHA384", NULL},
    {TK_RSA2048, T12, RSA12, "P-384", "RSA+SHA512", NULL},
    {TK_RSA2048, T12, RSA12, "P-521", "rsa_pss_rsae_sha256", NULL},
    {TK_RSA2048, T12, RSA12, "X25519", "rsa_pss_rsae_sha384", NULL},
    {TK_RSA3072, T12, RSA12, "X25519", "rsa_pss_rsae_sha512", NULL},
    {TK_RSA3072, T12, "ECDHE-RSA-AES256-GCM-SHA384", "X25519", NULL, NULL},
    {TK_ED25519, T12, EC12, "X25519", "ed25519:ECDSA+SHA256", NULL},
};

static void
handshakes(void **state)
{
	(void)state;
	need_signer();
	for (size_t i = 0; i < sizeof(shakes) / sizeof(shakes[0]); i++) {
		struct msgin m;
		uint32_t id;
		int fd = signer_conn(&signer, &id);

		assert_true(fd != -1);
		if (!shake(&shakes[i], fd)) {
			ERR_print_errors_fp(stderr);
			fail_msg("handshake %zu failed", i);
		}
		assert_int_equal(signer_auth_next(&signer, &m, 0), 0);
		assert_int_equal(m.type, MSG_CONN_TLS);
		assert_int_equal(m.id, id);
		close(fd);
	}
}

/* One channel, one handshake. */
static void
second_handshake_fails(void **state)
{
	struct msgin m;
	int fd;

	(void)state;
	need_signer();
	fd = signer_conn(&signer, NULL);
	assert_true(shake(&shakes[0], fd));
	assert_false(shake(&shakes[0], fd));
	ERR_clear_error();
	assert_int_equal(signer_auth_next(&signer, &m, 0), 0);
	assert_false(signer_wait(signer.auth, 50));
	close(fd);
}

/* What an old client would need and nobody shall have: key transport by RSA. */
static void
no_rsa_key_exchange(void **state)
{
	struct shake h = {TK_RSA2048, T12, "AES128-GCM-SHA256", "X25519", NULL, NULL};
	int fd;

	(void)state;
	need_signer();
	fd = signer_conn(&signer, NULL);
	assert_false(shake(&h, fd));
	ERR_clear_error();
	close(fd);
}

/* ---- other uses of the key ------------------------------------------------- */

static void
nothing_private_comes_out(void **state)
{
	static const char *const names[] = {OSSL_PKEY_PARAM_PRIV_KEY, OSSL_PKEY_PARAM_RSA_D,
	    OSSL_PKEY_PARAM_RSA_FACTOR1};

	(void)state;
	for (int i = 0; i < TK__MAX; i++) {
		OSSL_PARAM *params = NULL;
		unsigned char raw[1000], *der = NULL;
		size_t len = sizeof(raw);

		assert_int_not_equal(EVP_PKEY_todata(remote[i], EVP_PKEY_KEYPAIR, &params), 1);
		assert_null(params);
		assert_int_not_equal(EVP_PKEY_get_raw_private_key(remote[i], raw, &len), 1);
		for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
			OSSL_PARAM p[] = {OSSL_PARAM_construct_BN(names[n], raw, sizeof(raw)),
			    OSSL_PARAM_construct_end()};

			EVP_PKEY_get_params(remote[i], p);
			assert_false(OSSL_PARAM_modified(p));
		}
		assert_true(i2d_PrivateKey(remote[i], &der) <= 0);
		assert_null(der);
	}
	ERR_clear_error();
}

static int
init_of(const char *what, EVP_PKEY_CTX *c)
{
	if (strcmp(what, "sign") == 0)
		return EVP_PKEY_sign_init(c);
	if (strcmp(what, "decrypt") == 0)
		return EVP_PKEY_decrypt_init(c);
	if (strcmp(what, "decapsulate") == 0)
		return EVP_PKEY_decapsulate_init(c, NULL);
	return EVP_PKEY_derive_init(c);
}

static void
no_other_operation(void **state)
{
	static const char *const ops[] = {"sign", "decrypt", "decapsulate", "derive"};
	unsigned char in[32] = {1}, out[1000];

	(void)state;
	for (int i = 0; i < TK__MAX; i++) {
		for (size_t o = 0; o < sizeof(ops) / sizeof(ops[0]); o++) {
			EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(NULL, remote[i], NULL);

			assert_non_null(c);
			if (init_of(ops[o], c) > 0)
				fail_msg("%s of a key of type %d can be begun", ops[o], i);
			EVP_PKEY_CTX_free(c);
		}
		EVP_MD_CTX *md = EVP_MD_CTX_new();
		size_t len = sizeof(out);

		/* Without a way to the signer; and not bit by bit. */
		remotekey_set_signer(NULL, NULL);
		assert_int_equal(EVP_DigestSignInit_ex(md, NULL, i == TK_ED25519 ? NULL : "SHA256", NULL,
		    NULL, remote[i], NULL), 1);
		assert_int_not_equal(EVP_DigestSignUpdate(md, in, sizeof(in)), 1);
		assert_int_not_equal(EVP_DigestSign(md, out, &len, in, sizeof(in)), 1);
		EVP_MD_CTX_free(md);
	}
	ERR_clear_error();
}

static void
wrong_certificate(void **state)
{
	SSL_CTX *c = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *other = EVP_EC_gen("P-256"), *key = remotekey_new(other, 0);

	(void)state;
	assert_non_null(key);
	assert_int_equal(SSL_CTX_use_certificate(c, certs[TK_P256]), 1);
	assert_int_not_equal(SSL_CTX_use_PrivateKey(c, key), 1);
	assert_int_not_equal(SSL_CTX_use_PrivateKey(c, remote[TK_P384]), 1);
	assert_int_not_equal(SSL_CTX_check_private_key(c), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(c, remote[TK_P256]), 1);
	ERR_clear_error();
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
	SSL_CTX_free(c);
}

static void
unsupported_types(void **state)
{
	EVP_PKEY *p521 = EVP_EC_gen("P-521");
	EVP_PKEY *x25519 = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");

	(void)state;
	ERR_clear_error();
	assert_null(remotekey_new(p521, 0));
	assert_int_not_equal(ERR_peek_error(), 0);
	ERR_clear_error();
	assert_null(remotekey_new(x25519, 0));
	assert_int_not_equal(ERR_peek_error(), 0);
	ERR_clear_error();
	EVP_PKEY_free(p521);
	EVP_PKEY_free(x25519);
}

/* The default provider's own keys work as ever beside ours. */
static void
ordinary_keys_are_ordinary(void **state)
{
	(void)state;
	for (int i = 0; i < TK__MAX; i++) {
		EVP_MD_CTX *md = EVP_MD_CTX_new();
		const char *hash = i == TK_ED25519 ? NULL : "SHA256";
		unsigned char sig[1000];
		size_t len = sizeof(sig);

		assert_int_equal(EVP_DigestSignInit_ex(md, NULL, hash, NULL, NULL,
		    testkey((enum test_key)i), NULL), 1);
		assert_int_equal(EVP_DigestSign(md, sig, &len, (const unsigned char *)"abc", 3), 1);
		EVP_MD_CTX_free(md);
		md = EVP_MD_CTX_new();
		assert_int_equal(EVP_DigestVerifyInit_ex(md, NULL, hash, NULL, NULL,
		    X509_get0_pubkey(certs[i]), NULL), 1);
		assert_int_equal(EVP_DigestVerify(md, sig, len, (const unsigned char *)"abc", 3), 1);
		EVP_MD_CTX_free(md);
	}
}

/* ---- the channel, with a signer of our own making --------------------------- */

static long
channel_with(const void *answer, size_t len, bool closed, uint32_t ms)
{
	struct remotekey_channel c = {.timeout_ms = ms};
	uint8_t sig[512], tbs[100] = {0};
	int pair[2];
	long n;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	if (answer != NULL)
		assert_int_equal(write(pair[1], answer, len), (ssize_t)len);
	if (closed)
		close(pair[1]);
	c.fd = pair[0];
	n = remotekey_channel(&c, 0, 0x0403, tbs, sizeof(tbs), sig, sizeof(sig));
	close(pair[0]);
	if (!closed)
		close(pair[1]);
	return n;
}

static void
channel_answers(void **state)
{
	static const uint8_t sig[700] = {1, 2, 3};
	struct timespec t0, t1;
	struct msgout m;

	(void)state;
	for (uint8_t status = 0; status < 5; status++) {
		msg_begin(&m, MSG_SIGN_RES, 1);
		wr_u8(&m.w, status);
		wr_block(&m.w, sig, 70);
		assert_int_equal(channel_with(m.buf, m.w.len, false, 5000), status == 0 ? 70 : -1);
	}
	/* Truncated; longer than there is room for; none; of another request. */
	for (size_t len = 1; len < m.w.len; len++)
		assert_int_equal(channel_with(m.buf, len, false, 5000), -1);
	for (size_t n = 512; n < 514; n++) {
		msg_begin(&m, MSG_SIGN_RES, 1);
		wr_u8(&m.w, 0);
		wr_block(&m.w, sig, n);
		assert_int_equal(channel_with(m.buf, m.w.len, false, 5000), n == 512 ? 512 : -1);
	}
	msg_begin(&m, MSG_SIGN_RES, 1);
	wr_u8(&m.w, 0);
	wr_block(&m.w, sig, 0);
	assert_int_equal(channel_with(m.buf, m.w.len, false, 5000), -1);
	msg_begin(&m, MSG_SIGN_RES, 2);
	wr_u8(&m.w, 0);
	wr_block(&m.w, sig, 70);
	assert_int_equal(channel_with(m.buf, m.w.len, false, 5000), -1);
	assert_int_equal(channel_with(NULL, 0, true, 5000), -1);
	clock_gettime(CLOCK_MONOTONIC, &t0);
	assert_int_equal(channel_with(NULL, 0, false, 100), -1);
	clock_gettime(CLOCK_MONOTONIC, &t1);
	assert_true((t1.tv_sec - t0.tv_sec) * 1000 + (t1.tv_nsec - t0.tv_nsec) / 1000000 >= 99);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(handshakes),
	    cmocka_unit_test(second_handshake_fails),
	    cmocka_unit_test(no_rsa_key_exchange),
	    cmocka_unit_test(nothing_private_comes_out),
	    cmocka_unit_test(no_other_operation),
	    cmocka_unit_test(wrong_certificate),
	    cmocka_unit_test(unsupported_types),
	    cmocka_unit_test(ordinary_keys_are_ordinary),
	    cmocka_unit_test(channel_answers),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
