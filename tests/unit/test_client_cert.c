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
	field_nid = field;
	memset(name, 'x', sizeof(name));
	name[0] = '\0';
	user_name(parsed, name, cap);
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
		field_nid = NID_commonName;
		if (parsed != NULL)
			user_name(parsed, name, sizeof(name));
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

static const char *
start(const char *field, bool crl_required, bool with_ca, bool with_crl)
{
	static char pem[8192];
	struct worker_settings set = {.ssl_verify_client_cert = 1,
	    .ssl_require_crl = crl_required};
	X509 *ca = throwaway(key);
	X509_CRL *crl = throwaway_crl(ca, key);
	BIO *bio = BIO_new(BIO_s_mem());
	const char *bad;

	if (with_ca)
		assert_int_equal(PEM_write_bio_X509(bio, ca), 1);
	if (with_crl)
		assert_int_equal(PEM_write_bio_X509_CRL(bio, crl), 1);
	set.ca_len = (size_t)(BIO_pending(bio) > 0 ? BIO_read(bio, pem, sizeof(pem)) : 0);
	set.ca = (const uint8_t *)pem;
	strcpy(set.ssl_cert_username_field, field);
	bad = client_cert_init(&set);
	X509_STORE_free(store);
	sk_X509_NAME_pop_free(names, X509_NAME_free);
	store = NULL;
	BIO_free(bio);
	X509_CRL_free(crl);
	X509_free(ca);
	return bad;
}

static void
starts_with_what_it_needs(void **state)
{
	(void)state;
	assert_null(start("commonName", true, true, true));
	assert_null(start("CN", true, true, true));
	assert_null(start("x500UniqueIdentifier", false, true, false));
	assert_string_equal(start("commonName", true, true, false),
	    "ssl_ca has no CRL, and ssl_require_crl = yes");
	assert_string_equal(start("commonName", false, false, false), "cannot read ssl_ca");
	assert_string_equal(start("commonName", true, false, true), "cannot read ssl_ca");
	assert_string_equal(start("no-such-field", false, true, false),
	    "ssl_cert_username_field is no field of a name");
	assert_string_equal(start("", false, true, false),
	    "ssl_cert_username_field is no field of a name");
}

static void
off_means_nothing_is_asked(void **state)
{
	struct worker_settings set = {0};
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	SSL *ssl = SSL_new(ctx);
	char name[8] = "before";

	(void)state;
	assert_null(client_cert_init(&set));
	assert_true(client_cert_ask(ctx));
	assert_int_equal(SSL_CTX_get_verify_mode(ctx), SSL_VERIFY_NONE);
	assert_int_equal(client_cert_state(ssl, name, sizeof(name)), CONN_CERT_NONE);
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
	    cmocka_unit_test(off_means_nothing_is_asked),
	};

	if ((key = EVP_EC_gen("P-256")) == NULL)
		return 1;
	return cmocka_run_group_tests_name("client_cert", tests, NULL, NULL);
}
