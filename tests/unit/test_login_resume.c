/*
 * The worker's side of resumption: whole handshakes in memory with a store that is
 * honest, forgetful or mad, and the signer's answers on the channel.
 */
/* SRC: src/login/resume.c src/login/remotekey_channel.c src/ipc/msg.c src/ipc/codec.c src/ipc/conn.c src/common/str.c src/login/hello.c src/login/session_rules.c src/ipc/blocks.c src/ipc/rules.c */
/* LIBS: -lssl -lcrypto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/msg.h"
#include "login/hello.h"
#include "login/remotekey.h"
#include "login/resume.h"
#include "login/tls.h"
#include "testkeys.h"

#define LIFETIME_MS 60000

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

/* ---- a store of one --------------------------------------------------------- */

static struct {
	uint8_t id[RESUME_ID_LEN], data[RESUME_DATA_MAX];
	size_t len;
	unsigned int gets, puts;
	size_t (*mangle)(uint8_t *data, size_t len); /* what it does to what it gives out */
} kept;

static size_t
kept_get(void *arg, const uint8_t id[RESUME_ID_LEN], uint8_t data[RESUME_DATA_MAX])
{
	size_t len = kept.len;

	(void)arg;
	kept.gets++;
	if (len == 0 || memcmp(id, kept.id, RESUME_ID_LEN) != 0)
		return 0;
	kept.len = 0;
	memcpy(data, kept.data, len);
	return kept.mangle != NULL ? kept.mangle(data, len) : len;
}

static void
kept_put(void *arg, const uint8_t *id, const uint8_t *data, size_t len)
{
	(void)arg;
	kept.puts++;
	memcpy(kept.id, id, RESUME_ID_LEN);
	memcpy(kept.data, data, len);
	kept.len = len;
}

static const struct resume_store honest = {kept_get, kept_put, NULL};

/* ---- handshakes ------------------------------------------------------------- */

struct shake {
	int version;
	const char *name, *groups;
	bool asks; /* for a client's certificate */
	const struct rule_set *set; /* blocks, NULL: none */
	struct conn_info info;
};

static unsigned int applied;

/* The real one changes certificate and settings; here it is enough that it is asked. */
bool
tls_apply(SSL *ssl, const struct session_rules *r)
{
	(void)ssl;
	applied++;
	return r->now.cert < 10;
}

static SSL_CTX *
server_ctx(void)
{
	SSL_CTX *c = SSL_CTX_new(TLS_server_method());

	SSL_CTX_use_certificate(c, testkey_cert(testkey(TK_P256)));
	SSL_CTX_use_PrivateKey(c, testkey(TK_P256));
	SSL_CTX_set1_groups_list(c, "X25519:P-256");
	resume_setup(c);
	hello_setup(c);
	return c;
}

static SSL *
new_client(const struct shake *h, SSL_SESSION *sess)
{
	SSL_CTX *c = SSL_CTX_new(TLS_client_method());
	SSL *ssl;

	SSL_CTX_set_min_proto_version(c, h->version);
	SSL_CTX_set_max_proto_version(c, h->version);
	SSL_CTX_set1_groups_list(c, h->groups != NULL ? h->groups : "X25519:P-256");
	ssl = SSL_new(c);
	SSL_CTX_free(c);
	if (h->name != NULL)
		SSL_set_tlsext_host_name(ssl, h->name);
	if (sess != NULL)
		SSL_set_session(ssl, sess);
	return ssl;
}

/* True: resumed.  *sess: offered, and what there is for the next time. */
static bool
shake(const struct shake *h, const struct resume_store *store, SSL_SESSION **sess)
{
	SSL_CTX *ctx = server_ctx();
	SSL *server, *client = new_client(h, *sess);
	struct session_rules rules;
	int s = 0, c = 0;
	BIO *a, *b;
	bool reused;
	char byte;

	if (h->asks)
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	server = SSL_new(ctx);
	if (h->set != NULL) {
		session_rules_begin(&rules, h->set, &h->info);
		hello_rules(server, &rules);
	}
	BIO_new_bio_pair(&a, 0, &b, 0);
	SSL_set_bio(server, a, a);
	SSL_set_bio(client, b, b);
	SSL_set_accept_state(server);
	SSL_set_connect_state(client);
	resume_set_store(store);
	for (int i = 0; i < 30 && (s != 1 || c != 1); i++) {
		c = SSL_do_handshake(client);
		s = SSL_do_handshake(server);
	}
	resume_set_store(NULL);
	assert_int_equal(s, 1);
	assert_int_equal(c, 1);
	assert_int_equal(SSL_write(server, "y", 1), 1);
	assert_int_equal(SSL_read(client, &byte, 1), 1);
	reused = SSL_session_reused(server) == 1;
	assert_int_equal(SSL_session_reused(client), reused);
	SSL_SESSION_free(*sess);
	*sess = SSL_get1_session(client);
	SSL_shutdown(server);
	SSL_shutdown(client);
	SSL_free(server);
	SSL_free(client);
	SSL_CTX_free(ctx);
	ERR_clear_error();
	return reused;
}

static int
fresh(void **state)
{
	(void)state;
	memset(&kept, 0, sizeof(kept));
	resume_init(LIFETIME_MS);
	hello_init(SERVICE_IMAP);
	return 0;
}

static void
resumed_once(void **state)
{
	(void)state;
	for (int v = 0; v < 2; v++) {
		struct shake h = {.version = versions[v], .name = "mx.test"};
		SSL_SESSION *sess = NULL, *again;

		memset(&kept, 0, sizeof(kept));
		assert_false(shake(&h, &honest, &sess));
		assert_int_equal(kept.puts, 1);
		again = sess;
		SSL_SESSION_up_ref(again);
		assert_true(shake(&h, &honest, &sess));
		assert_int_equal(kept.gets, 1);
		/* TLS 1.3 brings the next one; in TLS 1.2 it would have the old id. */
		assert_int_equal(kept.puts, v + 1);
		assert_false(shake(&h, &honest, &again));
		if (v == 1)
			assert_false(shake(&h, &honest, &sess)); /* that one made room: a store of one */
		SSL_SESSION_free(sess);
		SSL_SESSION_free(again);
	}
}

static void
name_and_service_must_fit(void **state)
{
	static const struct {
		const char *first, *second;
		enum service service;
		bool fits;
	} cases[] = {{"a.test", "a.test", SERVICE_IMAP, true}, {"a.test", "A.tEST", SERVICE_IMAP, true},
	    {"a.test", "b.test", SERVICE_IMAP, false}, {"a.test", "a.tes", SERVICE_IMAP, false},
	    {"a.test", NULL, SERVICE_IMAP, false}, {NULL, "a.test", SERVICE_IMAP, false},
	    {NULL, NULL, SERVICE_IMAP, true}, {NULL, NULL, SERVICE_POP3, false},
	    {"a.test", "a.test", SERVICE_POP3, false}};

	(void)state;
	for (int v = 0; v < 2; v++) {
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			struct shake h = {.version = versions[v], .name = cases[i].first};
			SSL_SESSION *sess = NULL;

			hello_init(SERVICE_IMAP);
			assert_false(shake(&h, &honest, &sess));
			h.name = cases[i].second;
			hello_init(cases[i].service);
			if (shake(&h, &honest, &sess) != cases[i].fits)
				fail_msg("version %d, case %zu", v, i);
			SSL_SESSION_free(sess);
		}
	}
}

/* A session of one certificate, or of other settings, is none where a block has its
 * own; blocks that say nothing about TLS do not count. */
static void
blocks_must_fit(void **state)
{
	static struct rule_set set = {.nblocks = 4,
	    .blocks = {{.takes = {.service = SERVICE__MAX}, .has = RULE_BIT(RULE_CERT), .set.cert = 1},
		{.takes = {.service = SERVICE__MAX}, .has = RULE_BIT(RULE_MIN_VERSION)},
		{.takes = {.service = SERVICE__MAX, .names = "a.test *.b.test"},
		    .has = RULE_BIT(RULE_CERT), .set.cert = 2},
		{.takes = {.service = SERVICE__MAX}, .has = RULE_BIT(RULE_GREETING),
		    .set.login_greeting = "x"}}};
	static const struct {
		uint8_t first, second; /* last octet of the local address */
		const char *name;
		bool fits;
		unsigned int applied; /* by both, TLS 1.2 and 1.3 */
	} cases[] = {{9, 9, NULL, true, 0}, {1, 1, NULL, true, 0}, {1, 9, NULL, false, 0},
	    {9, 1, NULL, false, 0}, {1, 2, NULL, false, 0}, {2, 2, "x.test", true, 0},
	    {2, 9, "x.test", false, 0}, {9, 3, NULL, true, 0}, {9, 3, "x.b.test", true, 2},
	    {1, 9, "a.test", false, 2}, {1, 1, "a.test", true, 2}};

	(void)state;
	conn_net_parse("10.0.0.1", &set.blocks[0].takes.local);
	conn_net_parse("10.0.0.2", &set.blocks[1].takes.local);
	conn_net_parse("10.0.0.3", &set.blocks[3].takes.local);
	for (int v = 0; v < 2; v++) {
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			struct shake h = {.version = versions[v], .name = cases[i].name, .set = &set};
			SSL_SESSION *sess = NULL;

			applied = 0;
			h.info.local = (struct conn_addr){AF_INET, 1, {10, 0, 0, cases[i].first}};
			assert_false(shake(&h, &honest, &sess));
			h.info.local.ip[3] = cases[i].second;
			if (shake(&h, &honest, &sess) != cases[i].fits || applied != cases[i].applied)
				fail_msg("version %d, case %zu, applied %u", v, i, applied);
			SSL_SESSION_free(sess);
		}
	}
}

static void
off(void **state)
{
	(void)state;
	resume_init(0);
	for (int v = 0; v < 2; v++) {
		struct shake h = {.version = versions[v]};
		SSL_SESSION *sess = NULL;

		assert_false(shake(&h, &honest, &sess));
		assert_false(shake(&h, &honest, &sess));
		assert_int_equal(kept.gets + kept.puts, 0);
		SSL_SESSION_free(sess);
	}
}

static void
without_a_store(void **state)
{
	(void)state;
	for (int v = 0; v < 2; v++) {
		struct shake h = {.version = versions[v]};
		SSL_SESSION *sess = NULL;

		assert_false(shake(&h, NULL, &sess));
		assert_false(shake(&h, NULL, &sess));
		SSL_SESSION_free(sess);
	}
}

/* What a certificate proved, a session does not prove again. */
static void
client_certificates(void **state)
{
	(void)state;
	for (int v = 0; v < 2; v++) {
		struct shake h = {.version = versions[v]};
		SSL_SESSION *sess = NULL;

		assert_false(shake(&h, &honest, &sess));
		h.asks = true;
		assert_false(shake(&h, &honest, &sess));
		assert_false(shake(&h, &honest, &sess));
		assert_int_equal(kept.gets, 0);
		assert_int_equal(kept.puts, v + 1);
		SSL_SESSION_free(sess);
	}
}

/* Two hellos offer it; it is there for the first only, and that is enough work. */
static void
retry_request(void **state)
{
	struct shake h = {.version = TLS1_3_VERSION, .groups = "P-521:P-256"};
	SSL_SESSION *sess = NULL;

	(void)state;
	assert_false(shake(&h, &honest, &sess));
	assert_false(shake(&h, &honest, &sess));
	assert_in_range(kept.gets, 1, 2);
	assert_int_equal(kept.puts, 2);
	SSL_SESSION_free(sess);
}

/* ---- a mad store ------------------------------------------------------------ */

static size_t mangle_at;

static size_t
cut(uint8_t *data, size_t len)
{
	(void)data;
	return mangle_at < len ? mangle_at : len - 1;
}

static size_t
too_long(uint8_t *data, size_t len)
{
	(void)data;
	(void)len;
	return RESUME_DATA_MAX + 1;
}

static size_t
noise(uint8_t *data, size_t len)
{
	memset(data, (int)mangle_at, len);
	return len;
}

static void
what_is_no_session_is_none(void **state)
{
	static size_t (*const ways[])(uint8_t *, size_t) = {cut, too_long, noise};

	(void)state;
	for (int v = 0; v < 2; v++) {
		for (size_t w = 0; w < 3; w++) {
			kept.mangle = ways[w];
			for (mangle_at = 1; mangle_at < 160; mangle_at += 7) {
				struct shake h = {.version = versions[v]};
				SSL_SESSION *sess = NULL;

				assert_false(shake(&h, &honest, &sess));
				assert_false(shake(&h, &honest, &sess)); /* a full one, no failure */
				SSL_SESSION_free(sess);
			}
		}
	}
}

/* ---- the signer's answers ---------------------------------------------------- */

static uint8_t id[RESUME_ID_LEN], got[RESUME_DATA_MAX];

static size_t
get_with(const void *answer, size_t len, bool closed)
{
	struct remotekey_channel c = {.timeout_ms = 50};
	int pair[2];
	size_t n;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	c.fd = pair[0];
	if (answer != NULL)
		assert_int_equal(write(pair[1], answer, len), (ssize_t)len);
	if (closed)
		close(pair[1]);
	n = resume_channel_get(&c, id, got);
	close(pair[0]);
	if (!closed)
		close(pair[1]);
	return n;
}

static void
answers(void **state)
{
	uint8_t data[RESUME_DATA_MAX + 1] = {1, 2, 3};
	struct msgout m;

	(void)state;
	msg_begin(&m, MSG_SESSION_RES, 1);
	wr_block(&m.w, data, 100);
	assert_int_equal(get_with(m.buf, m.w.len, false), 100);
	assert_memory_equal(got, data, 100);
	for (size_t len = 1; len < m.w.len; len++)
		assert_int_equal(get_with(m.buf, len, false), 0);
	assert_int_equal(get_with(m.buf, m.w.len + 1, false), 0);
	for (size_t n = 0; n <= RESUME_DATA_MAX + 1; n += RESUME_DATA_MAX / 10) {
		msg_begin(&m, MSG_SESSION_RES, 1);
		wr_block(&m.w, data, n);
		assert_int_equal(get_with(m.buf, m.w.len, false), n);
	}
	msg_begin(&m, MSG_SESSION_RES, 1);
	wr_block(&m.w, data, RESUME_DATA_MAX + 1);
	assert_int_equal(get_with(m.buf, m.w.len, false), 0);
	msg_begin(&m, MSG_SESSION_RES, 2); /* of another request */
	wr_block(&m.w, data, 100);
	assert_int_equal(get_with(m.buf, m.w.len, false), 0);
	msg_begin(&m, MSG_SIGN_RES, 1);
	wr_u8(&m.w, 0);
	wr_block(&m.w, data, 100);
	assert_int_equal(get_with(m.buf, m.w.len, false), 0);
	assert_int_equal(get_with(NULL, 0, true), 0);
	assert_int_equal(get_with(NULL, 0, false), 0); /* silence */
}

/* After a silence nothing is believed any more, not even the answer that is late. */
static void
out_of_step(void **state)
{
	struct remotekey_channel c = {.timeout_ms = 20};
	uint8_t sig[100], tbs[100] = {0};
	struct msgout m;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	c.fd = pair[0];
	assert_int_equal(resume_channel_get(&c, id, got), 0);
	msg_begin(&m, MSG_SESSION_RES, 1);
	wr_block(&m.w, id, sizeof(id));
	assert_int_equal(msg_write(pair[1], &m), 0);
	assert_int_equal(resume_channel_get(&c, id, got), 0);
	assert_int_equal(remotekey_channel(&c, 0, 0x0403, tbs, sizeof(tbs), sig, sizeof(sig)), -1);
	close(pair[0]);
	close(pair[1]);
}

static void
asks_no_more_than_the_signer_answers(void **state)
{
	struct remotekey_channel c = {.timeout_ms = 20};
	uint8_t buf[MSG_MAX];
	struct msgin in;
	struct msgout m;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	c.fd = pair[0];
	for (uint32_t i = 1; i <= RESUME_GETS_MAX + 5; i++) {
		msg_begin(&m, MSG_SESSION_RES, i);
		wr_block(&m.w, NULL, 0);
		assert_int_equal(msg_write(pair[1], &m), 0);
		assert_int_equal(resume_channel_get(&c, id, got), 0);
	}
	for (int i = 0; i < RESUME_GETS_MAX; i++) {
		assert_int_equal(msg_read(pair[1], R_KEYS, R_WORKER, &in, buf), 1);
		assert_int_equal(in.type, MSG_SESSION_GET);
	}
	/* And one last word, whatever is said twice. */
	resume_channel_put(&c, id, got, 10);
	resume_channel_put(&c, NULL, NULL, 0);
	resume_channel_put(&c, id, got, 10);
	assert_int_equal(msg_read(pair[1], R_KEYS, R_WORKER, &in, buf), 1);
	assert_int_equal(in.type, MSG_SESSION_PUT);
	assert_int_equal(msg_read(pair[1], R_KEYS, R_WORKER, &in, buf), -1);
	close(pair[0]);
	close(pair[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(resumed_once, fresh),
	    cmocka_unit_test_setup(name_and_service_must_fit, fresh),
	    cmocka_unit_test_setup(blocks_must_fit, fresh),
	    cmocka_unit_test_setup(off, fresh),
	    cmocka_unit_test_setup(without_a_store, fresh),
	    cmocka_unit_test_setup(client_certificates, fresh),
	    cmocka_unit_test_setup(retry_request, fresh),
	    cmocka_unit_test_setup(what_is_no_session_is_none, fresh),
	    cmocka_unit_test(answers),
	    cmocka_unit_test(out_of_step),
	    cmocka_unit_test(asks_no_more_than_the_signer_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
