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

/*
 * Keep only ECDHE with AEAD.  Anything else could not work here: the signer
 * has no RSA decryption, and CBC draws a random IV for each record, for which
 * the policy after login has no system call.
 */
static bool
set_ciphers(SSL_CTX *ctx, const char *list, char *why, size_t cap)
{
	STACK_OF(SSL_CIPHER) *all;
	char kept[4096] = "";
	size_t n = 0;

	if (SSL_CTX_set_cipher_list(ctx, list) != 1)
		return tls_settings_fail(why, cap, "ssl_cipher_list", list);
	all = SSL_CTX_get_ciphers(ctx);
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
	return SSL_CTX_set_cipher_list(ctx, kept) == 1 ||
	    tls_settings_fail(why, cap, "ssl_cipher_list", kept);
}

/* OpenSSL passes over names that it does not know, as long as it knows one. */
static bool
set_suites(SSL_CTX *ctx, const char *list, char *why, size_t cap)
{
	char name[64];

	for (const char *p = list; *p != '\0'; p += p[0] == ':') {
		size_t n = strcspn(p, ":");

		if (n >= sizeof(name))
			return tls_settings_fail(why, cap, "ssl_cipher_suites", list);
		memcpy(name, p, n);
		name[n] = '\0';
		if (SSL_CTX_set_ciphersuites(ctx, name) != 1)
			return tls_settings_fail(why, cap, "ssl_cipher_suites", list);
		p += n;
	}
	return SSL_CTX_set_ciphersuites(ctx, list) == 1 ||
	    tls_settings_fail(why, cap, "ssl_cipher_suites", list);
}

bool
tls_settings_apply(SSL_CTX *ctx, const struct worker_settings *set, char *why, size_t cap)
{
	const char *groups = set->ssl_curve_list[0] != '\0' ? set->ssl_curve_list : DEFAULT_GROUPS;
	const char *list = set->ssl_cipher_list[0] != '\0' ? set->ssl_cipher_list : DEFAULT_CIPHERS;
	const char *suites = set->ssl_cipher_suites;

	if (set->ssl_prefer_server_ciphers)
		SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
	if (SSL_CTX_set_min_proto_version(ctx, set->ssl_min_version) != 1)
		return tls_settings_fail(why, cap, "ssl_min_protocol", "");
	if (SSL_CTX_set1_groups_list(ctx, groups) != 1)
		return tls_settings_fail(why, cap, "ssl_curve_list", groups);
	if (suites[0] != '\0' && !set_suites(ctx, suites, why, cap))
		return false;
	return set_ciphers(ctx, list, why, cap);
}
