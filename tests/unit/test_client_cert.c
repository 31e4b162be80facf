/*
 * Client certificates in the worker: what it takes for a user's name, and what it
 * does not start with.
 */
/* SRC: */
/* LIBS: -lssl -lcrypto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "login/client_cert.c"

static EVP_PKEY *key;

/* A certificate whose subject has these entries, n of them, as they stand. */
struct entry {
	int nid, type;
	const char *data;
	int len; /* -1: a string */
};

static X509 *
certificate(const struct entry *e, size_t n)
{
	X509 *x = throwaway(key);
	X509_NAME *subject = X509_NAME_new();

	assert_non_null(x);
	assert_non_null(subject);
	for (size_t i = 0; i < n; i++)
		if (X509_NAME_add_entry_by_NID(subject, e[i].nid, e[i].type,
			(const unsigned char *)e[i].data, e[i].len, -1, 0) != 1)
			fail_msg("no entry of type %d, %d bytes", e[i].type, e[i].len);
	assert_int_equal(X509_set_subject_name(x, subject), 1);
	X509_NAME_free(subject);
	/* as it would come over the wire */
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	return x;
}

static const char *
name_of(const struct entry *e, size_t n, int field, size_t cap)
{
	static char name[600];
	unsigned char *der = NULL;
	const unsigned char *p;
	X509 *x = certificate(e, n), *parsed;
	int len = i2d_X509(x, &der);

	assert_true(len > 0);
	p = der;
	parsed = d2i_X509(NULL, &p, len);
	assert_non_null(parsed);
	memset(name, 'x', sizeof(name));
	name[0] = '\0';
	user_name(parsed, OBJ_nid2sn(field), name, cap);
	for (size_t i = cap; i < sizeof(name); i++)
		assert_int_equal(name[i], 'x'); /* nothing behind the end */
	X509_free(parsed);
	X509_free(x);
	OPENSSL_free(der);
	return name;
}

#define CN(t, d) {NID_commonName, V_ASN1_##t, d, sizeof(d) - 1}
#define UID(t, d) {NID_x500UniqueIdentifier, V_ASN1_##t, d, sizeof(d) - 1}

static void
names_that_count(void **state)
{
	static const struct {
		const char *what;
		struct entry e;
		int field;
		const char *name;
	} cases[] = {
	    {"plain", CN(UTF8STRING, "alice"), NID_commonName, "alice"},
	    {"printable", CN(PRINTABLESTRING, "alice@example.org"), NID_commonName,
		"alice@example.org"},
	    {"UTF-8", CN(UTF8STRING, "j\xc3\xbcrgen"), NID_commonName, "j\xc3\xbcrgen"},
	    {"Latin 1", CN(T61STRING, "j\xfcrgen"), NID_commonName, "j\xc3\xbcrgen"},
	    {"16 bits", CN(BMPSTRING, "\0a\0\xfc\x20\xac"), NID_commonName,
		"a\xc3\xbc\xe2\x82\xac"},
	    {"NUL at the end", CN(UTF8STRING, "alice\0"), NID_commonName, ""},
	    {"NUL in the middle", CN(UTF8STRING, "alice\0.evil"), NID_commonName, ""},
	    {"NUL in 16 bits", CN(BMPSTRING, "\0a\0\0\0b"), NID_commonName, ""},
	    {"NUL alone", CN(UTF8STRING, "\0"), NID_commonName, ""},
	    {"nothing", CN(UTF8STRING, ""), NID_commonName, ""},
	    {"line feed", CN(UTF8STRING, "alice\nLogin: user=<bob>"), NID_commonName, ""},
	    {"tab: a field of the auth protocol", CN(UTF8STRING, "alice\tnologin"), NID_commonName,
		""},
	    {"escape", CN(UTF8STRING, "\x1b[31malice"), NID_commonName, ""},
	    {"DEL", CN(UTF8STRING, "alice\x7f"), NID_commonName, ""},
	    {"C1 control", CN(UTF8STRING, "alice\xc2\x9b"), NID_commonName, ""},
	    {"not quite C1", CN(UTF8STRING, "alice\xc2\xa0"), NID_commonName, "alice\xc2\xa0"},
	    {"control in 16 bits", CN(BMPSTRING, "\0a\0\n"), NID_commonName, ""},
	    {"another field", UID(UTF8STRING, "alice"), NID_commonName, ""},
	    {"another field, asked for", UID(UTF8STRING, "alice"), NID_x500UniqueIdentifier, "alice"},
	    {"no text", UID(BIT_STRING, "alice"), NID_x500UniqueIdentifier, ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *got = name_of(&cases[i].e, 1, cases[i].field, 256);

		if (strcmp(got, cases[i].name) != 0)
			fail_msg("%s: %s", cases[i].what, got);
	}
}

/* Text that is none, as only the wire can bring it. */
static void
broken_text_is_no_certificate(void **state)
{
	const struct entry e = CN(UTF8STRING, "alice\xc2\xa0");
	static const char *const broken[] = {"\xc0\x80", "\xc2\x28", "a\xc3", "\xff\xfe"};
	unsigned char *der = NULL, *at;
	X509 *x = certificate(&e, 1);
	int len = i2d_X509(x, &der);

	(void)state;
	assert_true(len > 0);
	at = memmem(der, (size_t)len, "alice\xc2\xa0", 7);
	assert_non_null(at);
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		const unsigned char *p = der;
		X509 *parsed;
		char name[256] = "";

		memcpy(at + 5, broken[i], 2);
		parsed = d2i_X509(NULL, &p, len);
		if (parsed != NULL)
			user_name(parsed, "commonName", name, sizeof(name));
		assert_string_equal(name, "");
		X509_free(parsed);
	}
	OPENSSL_free(der);
	X509_free(x);
}

static void
more_than_one_is_none(void **state)
{
	const struct entry two[] = {CN(UTF8STRING, "alice"), CN(UTF8STRING, "bob")};
	const struct entry other[] = {CN(UTF8STRING, "alice"), UID(UTF8STRING, "a-17")};

	(void)state;
	assert_string_equal(name_of(two, 2, NID_commonName, 256), "");
	assert_string_equal(name_of(NULL, 0, NID_commonName, 256), "");
	assert_string_equal(name_of(other, 2, NID_commonName, 256), "alice");
	assert_string_equal(name_of(other, 2, NID_x500UniqueIdentifier, 256), "a-17");
}

static void
a_long_name_is_none(void **state)
{
	static char text[20000];
	struct entry e = {NID_commonName, V_ASN1_UTF8STRING, text, 0};

	(void)state;
	memset(text, 'a', sizeof(text));
	e.len = 255;
	assert_int_equal(strlen(name_of(&e, 1, NID_commonName, 256)), 255);
	e.len = 256; /* never a part of it: that is another name */
	assert_string_equal(name_of(&e, 1, NID_commonName, 256), "");
	e.len = sizeof(text);
	assert_string_equal(name_of(&e, 1, NID_commonName, 256), "");
	e.len = 1;
	assert_string_equal(name_of(&e, 1, NID_commonName, 1), "");
}

/* ---- setting up ----------------------------------------------------------- */

static const struct rules asking = {.ssl_verify_client_cert = 1, .ssl_require_crl = 1,
    .ssl_cert_username_field = "commonName", .ca = 1};

/* The second ssl_ca of two; the first is nobody's. */
static const char *
start(bool with_ca, bool with_crl)
{
	static struct worker_settings set;
	static char pem[8192];
	X509 *ca = throwaway(key);
	X509_CRL *crl = throwaway_crl(ca, key);
	BIO *bio = BIO_new(BIO_s_mem());
	const char *bad;

	if (with_ca)
		assert_int_equal(PEM_write_bio_X509(bio, ca), 1);
	if (with_crl)
		assert_int_equal(PEM_write_bio_X509_CRL(bio, crl), 1);
	if (!with_ca && !with_crl)
		BIO_puts(bio, "nothing\n");
	set.ncas = 2;
	set.cas[1].pem_len = (size_t)(BIO_pending(bio) > 0 ? BIO_read(bio, pem, sizeof(pem)) : 0);
	set.cas[1].pem = (const uint8_t *)pem;
	bad = client_cert_init(&set);
	BIO_free(bio);
	X509_CRL_free(crl);
	X509_free(ca);
	return bad;
}

static void
stop(void)
{
	for (unsigned int i = 0; i < SETTINGS_CAS_MAX; i++) {
		X509_STORE_free(cas[i].store);
		sk_X509_NAME_pop_free(cas[i].names, X509_NAME_free);
		cas[i] = (struct ca){0};
	}
	ncas = 0;
}

static void
starts_with_what_it_needs(void **state)
{
	static const struct {
		bool ca, crl;
		const char *bad;
	} rows[] = {{true, true, NULL}, {true, false, NULL}, {false, false, "cannot read ssl_ca"},
	    {false, true, "cannot read ssl_ca"}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *bad = start(rows[i].ca, rows[i].crl);

		if ((bad == NULL) != (rows[i].bad == NULL))
			fail_msg("row %zu: %s", i, bad != NULL ? bad : "good");
		if (bad != NULL)
			assert_string_equal(bad, rows[i].bad);
		stop();
	}
}

/* Each connection is asked, or not, as its rules say, and may change its mind. */
static void
as_the_rules_say(void **state)
{
	struct rules r = asking;
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	SSL *ssl = SSL_new(ctx);
	const unsigned long crl = X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;

	(void)state;
	assert_null(start(true, true));
	assert_true(client_cert_ask(ssl, &r));
	assert_true((SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) != 0);
	assert_int_equal(X509_VERIFY_PARAM_get_flags(SSL_get0_param(ssl)) & crl, crl);
	assert_int_equal(SSL_get_num_tickets(ssl), 0);
	r.ssl_require_crl = 0;
	assert_true(client_cert_ask(ssl, &r));
	assert_int_equal(X509_VERIFY_PARAM_get_flags(SSL_get0_param(ssl)) & crl, 0);
	r.ssl_verify_client_cert = 0;
	assert_true(client_cert_ask(ssl, &r));
	assert_int_equal(SSL_get_verify_mode(ssl), SSL_VERIFY_NONE);
	assert_int_equal(SSL_get_num_tickets(ssl), SSL_CTX_get_num_tickets(ctx));
	/* Nobody's CAs, and no such: there is no handshake. */
	r = asking;
	for (r.ca = 0; r.ca < SETTINGS_CAS_MAX; r.ca++)
		assert_int_equal(client_cert_ask(ssl, &r), r.ca == 1);
	stop();
	SSL_free(ssl);
	SSL_CTX_free(ctx);
}

static void
a_field_that_is_none_has_no_name(void **state)
{
	const struct entry e[] = {CN(UTF8STRING, "alice")};
	X509 *x = certificate(e, 1);
	char name[64] = "";

	(void)state;
	user_name(x, "no-such-field", name, sizeof(name));
	assert_string_equal(name, "");
	user_name(x, "", name, sizeof(name));
	assert_string_equal(name, "");
	user_name(x, "CN", name, sizeof(name));
	assert_string_equal(name, "alice");
	X509_free(x);
}

static void
off_means_nothing_is_asked(void **state)
{
	static struct worker_settings set;
	static const struct rules off;
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	SSL *ssl = SSL_new(ctx);
	char name[8] = "before";

	(void)state;
	assert_null(client_cert_init(&set));
	assert_true(client_cert_ask(ssl, &off));
	assert_int_equal(SSL_get_verify_mode(ssl), SSL_VERIFY_NONE);
	assert_int_equal(client_cert_state(ssl, &off, name, sizeof(name)), CONN_CERT_NONE);
	assert_string_equal(name, "");
	SSL_free(ssl);
	SSL_CTX_free(ctx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names_that_count),
	    cmocka_unit_test(broken_text_is_no_certificate),
	    cmocka_unit_test(more_than_one_is_none),
	    cmocka_unit_test(a_long_name_is_none),
	    cmocka_unit_test(starts_with_what_it_needs),
	    cmocka_unit_test(as_the_rules_say),
	    cmocka_unit_test(a_field_that_is_none_has_no_name),
	    cmocka_unit_test(off_means_nothing_is_asked),
	};

	if ((key = EVP_EC_gen("P-256")) == NULL)
		return 1;
	return cmocka_run_group_tests_name("client_cert", tests, NULL, NULL);
}
