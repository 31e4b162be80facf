/*
 * What a stranger's bytes do to the worker's TLS server: its real contexts (src/login/
 * tls.c) over memory buffers.  The first byte says what the bytes behind it are:
 *   0  records, as they are, from the first byte on
 *   1  mutations (u16 position, u8 xor) of a real client's handshake, TLS 1.3
 *   2  the same, TLS 1.2
 *   3  a handshake as it should be, then these bytes as records
 *   4  the same, and these bytes as the text of records
 * The key is here, where the signer's answers are tested is fuzz_sign_content.  Random
 * numbers are OpenSSL's: an input that finds something may need a few tries.
 */
/* SRC: src/login/tls.c src/login/tls_settings.c src/login/resume.c src/login/warmup.c src/login/binding.c src/login/remotekey.c src/ipc/conn.c src/ipc/codec.c src/common/str.c src/common/log.c src/login/client_cert.c src/login/hello.c src/login/session_rules.c src/ipc/blocks.c src/ipc/rules.c */
/* LIBS: -lssl -lcrypto */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "login/remotekey.h"
#include "login/tls.h"
#include "testkeys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static SSL_CTX *client_ctx;

/* "localhost", which the client asks for, has a block; whoever asks for anything else,
 * or is cut off before, has none. */
static struct worker_settings set = {.rules = {.base = {.ssl = SSL_YES, .ssl_min_version = 0x0303,
	.ssl_cipher_list = "", .ssl_cipher_suites = "", .ssl_curve_list = "",
	.ssl_cert_username_field = ""}, .nblocks = 1,
	.blocks = {{.takes = {.service = SERVICE__MAX, .names = "localhost *.localhost"},
	    .has = RULE_BIT(RULE_CERT) | RULE_BIT(RULE_CURVES) | RULE_BIT(RULE_SUITES),
	    .set = {.cert = 1, .ssl_curve_list = "P-256:X25519",
		.ssl_cipher_suites = "TLS_AES_128_GCM_SHA256"}}}},
    .session_lifetime_ms = 60000, .ncerts = 2, .certs[1].set = 1}; /* the store is empty */

static long
sign(void *arg, uint16_t key, uint16_t sigalg, const uint8_t *tbs, size_t tbs_len, uint8_t *sig,
    size_t cap)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	size_t len = cap;
	long n = -1;

	(void)arg;
	(void)sigalg;
	if (key == 0 && EVP_DigestSignInit_ex(c, NULL, "SHA256", NULL, NULL, testkey(TK_P256), NULL) == 1 &&
	    EVP_DigestSign(c, sig, &len, tbs, tbs_len) == 1)
		n = (long)len;
	EVP_MD_CTX_free(c);
	return n;
}

static void
start(void)
{
	static BIO *pem; /* holds the text */
	X509 *cert = testkey_cert(testkey(TK_P256));
	char *text;

	pem = BIO_new(BIO_s_mem());
	if (PEM_write_bio_X509(pem, cert) != 1)
		abort();
	set.certs[0].pem_len = (size_t)BIO_get_mem_data(pem, &text);
	set.certs[0].pem = (const uint8_t *)text;
	set.certs[1].pem = set.certs[0].pem;
	set.certs[1].pem_len = set.certs[0].pem_len;
	if (!tls_init(&set, SERVICE_IMAP, true))
		abort();
	client_ctx = SSL_CTX_new(TLS_client_method());
	X509_free(cert);
}

/* What one side has to say to the other, every byte of it mutated as the input says. */
struct wire {
	const uint8_t *mutations;
	size_t n, at;
};

static bool
pass(SSL *from, SSL *to, struct wire *w)
{
	uint8_t buf[4096];
	int n = BIO_read(SSL_get_wbio(from), buf, sizeof(buf));

	if (n <= 0)
		return false;
	for (size_t i = 0; w != NULL && i + 3 <= w->n; i += 3) {
		size_t at = (size_t)(w->mutations[i] << 8 | w->mutations[i + 1]) % 2048;

		if (at >= w->at && at < w->at + (size_t)n)
			buf[at - w->at] ^= w->mutations[i + 2];
	}
	if (w != NULL)
		w->at += (size_t)n;
	BIO_write(SSL_get_rbio(to), buf, n);
	return true;
}

static bool
shake(SSL *server, SSL *client, struct wire *w)
{
	int s = 0, c = 0;

	for (int i = 0; i < 12 && (s != 1 || c != 1); i++) {
		c = SSL_do_handshake(client);
		pass(client, server, w);
		s = SSL_do_handshake(server);
		pass(server, client, NULL);
		if (SSL_get_error(server, s) == SSL_ERROR_SSL)
			break;
	}
	return s == 1 && c == 1;
}

/* As session_client.c reads: until there is nothing more, or it is over. */
static void
drain(SSL *server)
{
	static char buf[16384];
	int n, done = SSL_is_init_finished(server);

	for (int i = 0; i < 100; i++) {
		n = done ? SSL_read(server, buf, sizeof(buf)) : SSL_do_handshake(server);
		if (n <= 0) {
			char why[200];

			tls_failure(server, n, why, sizeof(why));
			return;
		}
		if (!done && SSL_is_init_finished(server)) {
			char name[256], how[160];

			tls_server_name(server, name, sizeof(name));
			tls_describe(server, how, sizeof(how));
			done = 1;
		}
	}
}

static SSL *
memory(SSL *ssl)
{
	if (ssl != NULL)
		SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	return ssl;
}

static SSL *
new_client(uint8_t kind)
{
	SSL *c = memory(SSL_new(client_ctx));

	SSL_set_connect_state(c);
	SSL_set_tlsext_host_name(c, "localhost");
	SSL_set_alpn_protos(c, (const unsigned char *)"\4imap", 5);
	if (kind == 2)
		SSL_set_max_proto_version(c, TLS1_2_VERSION);
	return c;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t kind = size > 0 ? data[0] % 5 : 0;
	struct wire w = {.mutations = data + 1, .n = size > 0 ? size - 1 : 0};
	struct conn_info info = {.service = SERVICE_IMAP};
	struct session_rules rules;
	SSL *server, *client = NULL;

	if (size == 0)
		return 0;
	if (client_ctx == NULL)
		start();
	remotekey_set_signer(sign, NULL);
	session_rules_begin(&rules, &set.rules, &info);
	server = memory(tls_new(0, &rules));
	if (kind != 0) {
		client = new_client(kind);
		if (!shake(server, client, kind < 3 ? &w : NULL) && kind >= 3)
			abort();
	}
	if (kind == 0 || kind == 3)
		BIO_write(SSL_get_rbio(server), data + 1, (int)size - 1);
	if (kind == 4 && size > 1) {
		SSL_write(client, data + 1, (int)size - 1);
		while (pass(client, server, NULL))
			;
	}
	drain(server);
	SSL_free(client);
	SSL_free(server);
	ERR_clear_error();
	return 0;
}
