#include "login/tls_settings.h"

#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_GROUPS "X25519:P-256:P-384"
#define DEFAULT_CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"

bool
tls_settings_fail(char *why, size_t cap, const char *what, const char *detail)
{
	unsigned long e = ERR_get_error();
	const char *reason = e != 0 ? ERR_reason_error_string(e) : NULL;

	snprintf(why, cap, "%s%s%s%s%s", what, detail[0] != '\0' ? ": " : "", detail,
	    reason != NULL ? ": " : "", reason != NULL ? reason : "");
	ERR_clear_error();
	return false;
}

/* OpenSSL has each of these twice. */
struct target {
	SSL_CTX *ctx;
	SSL *ssl; /* counts if ctx is NULL */
};

static bool
put_ciphers(const struct target *t, const char *list)
{
	return (t->ctx != NULL ? SSL_CTX_set_cipher_list(t->ctx, list)
			       : SSL_set_cipher_list(t->ssl, list)) == 1;
}

static bool
put_suites(const struct target *t, const char *list)
{
	return (t->ctx != NULL ? SSL_CTX_set_ciphersuites(t->ctx, list)
			       : SSL_set_ciphersuites(t->ssl, list)) == 1;
}

static bool
put_groups(const struct target *t, const char *list)
{
	return (t->ctx != NULL ? SSL_CTX_set1_groups_list(t->ctx, list)
			       : SSL_set1_groups_list(t->ssl, list)) == 1;
}

static bool
put_version(const struct target *t, uint16_t version)
{
	return (t->ctx != NULL ? SSL_CTX_set_min_proto_version(t->ctx, version)
			       : SSL_set_min_proto_version(t->ssl, version)) == 1;
}

static void
put_preference(const struct target *t, bool server)
{
	const uint64_t ours = SSL_OP_CIPHER_SERVER_PREFERENCE;

	if (t->ctx != NULL)
		server ? SSL_CTX_set_options(t->ctx, ours) : SSL_CTX_clear_options(t->ctx, ours);
	else
		server ? SSL_set_options(t->ssl, ours) : SSL_clear_options(t->ssl, ours);
}

/*
 * Keep only ECDHE with AEAD.  Anything else could not work here: the signer
 * has no RSA decryption, and CBC draws a random IV for each record, for which
 * the policy after login has no system call.
 */
static bool
set_ciphers(const struct target *t, const char *list, char *why, size_t cap)
{
	STACK_OF(SSL_CIPHER) *all;
	char kept[4096] = "";
	size_t n = 0;

	if (!put_ciphers(t, list))
		return tls_settings_fail(why, cap, "ssl_cipher_list", list);
	all = t->ctx != NULL ? SSL_CTX_get_ciphers(t->ctx) : SSL_get_ciphers(t->ssl);
	for (int i = 0; i < sk_SSL_CIPHER_num(all); i++) {
		const SSL_CIPHER *c = sk_SSL_CIPHER_value(all, i);
		const char *name = SSL_CIPHER_get_name(c);

		if (!SSL_CIPHER_is_aead(c) || SSL_CIPHER_get_kx_nid(c) != NID_kx_ecdhe)
			continue;
		if (n + strlen(name) + 2 > sizeof(kept))
			break;
		n += (size_t)snprintf(kept + n, sizeof(kept) - n, "%s%s", n > 0 ? ":" : "", name);
	}
	if (n == 0)
		return tls_settings_fail(why, cap, "ssl_cipher_list has no ECDHE suite with AES-GCM or "
		    "ChaCha20", list);
	return put_ciphers(t, kept) ||
	    tls_settings_fail(why, cap, "ssl_cipher_list", kept);
}

/* OpenSSL passes over names that it does not know, as long as it knows one. */
static bool
set_suites(const struct target *t, const char *list, char *why, size_t cap)
{
	char name[64];

	for (const char *p = list; *p != '\0'; p += p[0] == ':') {
		size_t n = strcspn(p, ":");

		if (n >= sizeof(name))
			return tls_settings_fail(why, cap, "ssl_cipher_suites", list);
		memcpy(name, p, n);
		name[n] = '\0';
		if (!put_suites(t, name))
			return tls_settings_fail(why, cap, "ssl_cipher_suites", list);
		p += n;
	}
	return put_suites(t, list) ||
	    tls_settings_fail(why, cap, "ssl_cipher_suites", list);
}

bool
tls_settings_apply(SSL_CTX *ctx, SSL *ssl, const struct rules *set, char *why, size_t cap)
{
	const char *groups = set->ssl_curve_list[0] != '\0' ? set->ssl_curve_list : DEFAULT_GROUPS;
	const char *list = set->ssl_cipher_list[0] != '\0' ? set->ssl_cipher_list : DEFAULT_CIPHERS;
	const char *suites = set->ssl_cipher_suites[0] != '\0' ? set->ssl_cipher_suites
							       : OSSL_default_ciphersuites();
	const struct target t = {ctx, ssl};

	put_preference(&t, set->ssl_prefer_server_ciphers);
	if (!put_version(&t, set->ssl_min_version))
		return tls_settings_fail(why, cap, "ssl_min_protocol", "");
	if (!put_groups(&t, groups))
		return tls_settings_fail(why, cap, "ssl_curve_list", groups);
	return set_suites(&t, suites, why, cap) && set_ciphers(&t, list, why, cap);
}
