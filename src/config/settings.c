#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/str.h"
#include "config/internal.h"
#include "confine/layers.h"
#include "ipc/logvar.h"

#define G(name, type, field, min, max, alias) \
	{name, SC_GLOBAL, type, offsetof(struct config, field), \
	    sizeof(((struct config *)0)->field), min, max, alias, RULE__MAX}
#define S(name, type, field, min, max, alias) \
	{name, SC_SERVICE, type, offsetof(struct config_service, field), \
	    sizeof(((struct config_service *)0)->field), min, max, alias, RULE__MAX}
#define L(name, type, field, min, max, alias) \
	{name, SC_LISTENER, type, offsetof(struct config_listener, field), \
	    sizeof(((struct config_listener *)0)->field), min, max, alias, RULE__MAX}
#define R(id, name, type, field, min, max, alias) \
	{name, SC_RULE, type, offsetof(struct config_rules, field), \
	    sizeof(((struct config_rules *)0)->field), min, max, alias, RULE_##id}
#define OLD(name) {name, SC_GLOBAL, ST_OLD, 0, 0, 0, 0, NULL, RULE__MAX}
#define IGNORED(scope, name) {name, scope, ST_IGNORED, 0, 0, 0, 0, NULL, RULE__MAX}

#define HOUR 3600000u
#define DAY (24 * HOUR)

/* In the order in which `gatehouse config` prints them. */
const struct setting settings[] = {
    G("protocols", ST_STR, protocols, 0, 0, NULL),
    G("listen", ST_STR, listen, 0, 0, NULL),
    R(SSL, "ssl", ST_SSL, ssl, 0, 0, NULL),
    R(CERT, "ssl_cert", ST_FILE, files.cert_file, 0, 0, "ssl_server_cert_file"),
    R(CERT, "ssl_key", ST_FILE, files.key_file, 0, 0, "ssl_server_key_file"),
    R(CERT, "ssl_key_password", ST_SECRET, files.key_password, 0, 0, "ssl_server_key_password"),
    R(CERT, "ssl_alt_cert", ST_FILE, files.alt_cert_file, 0, 0, "ssl_server_alt_cert_file"),
    R(CERT, "ssl_alt_key", ST_FILE, files.alt_key_file, 0, 0, "ssl_server_alt_key_file"),
    R(MIN_VERSION, "ssl_min_protocol", ST_TLSVER, ssl_min_version, 0, 0, NULL),
    R(CIPHERS, "ssl_cipher_list", ST_STR, ssl_cipher_list, 0, 0, NULL),
    R(SUITES, "ssl_cipher_suites", ST_STR, ssl_cipher_suites, 0, 0, NULL),
    R(CURVES, "ssl_curve_list", ST_STR, ssl_curve_list, 0, 0, NULL),
    R(PREFER, "ssl_prefer_server_ciphers", ST_BOOL, ssl_prefer_server_ciphers, 0, 0, NULL),
    R(OPTIONS, "ssl_options", ST_TLSOPT, ssl_options, 0, 0, NULL),
    G("ssl_session_lifetime", ST_TIME, ssl_session_lifetime_ms, 0, 7 * DAY, NULL),
    G("ssl_max_signature_rate", ST_U32, ssl_max_signature_rate, 0, 1000000, NULL),
    R(VERIFY, "ssl_verify_client_cert", ST_BOOL, ssl_verify_client_cert, 0, 0,
	"ssl_server_request_client_cert"),
    R(CA, "ssl_ca", ST_FILE, ssl_ca, 0, 0, "ssl_server_ca_file"),
    R(CRL, "ssl_require_crl", ST_BOOL, ssl_require_crl, 0, 0, "ssl_server_require_crl"),
    R(CERT_FIELD, "ssl_cert_username_field", ST_STR, ssl_cert_username_field, 0, 0,
	"ssl_server_cert_username_field"),
    R(REQUIRE_CERT, "auth_ssl_require_client_cert", ST_BOOL, auth_ssl_require_client_cert, 0, 0, NULL),
    R(CERT_NAME, "auth_ssl_username_from_cert", ST_BOOL, auth_ssl_username_from_cert, 0, 0, NULL),
    R(PLAINTEXT, "disable_plaintext_auth", ST_BOOL, disable_plaintext_auth, 0, 0, NULL),
    R(PLAINTEXT, "auth_allow_cleartext", ST_NOT_BOOL, disable_plaintext_auth, 0, 0, NULL),
    R(GREETING, "login_greeting", ST_STR, login_greeting, 0, 0, NULL),
    R(LOG_FORMAT, "login_log_format", ST_LOGFMT, login_log_format, 0, 0, NULL),
    R(LOG_ELEMENTS, "login_log_format_elements", ST_LOGFMT, login_log_format_elements, 0, 0, NULL),
    R(TRUSTED, "login_trusted_networks", ST_NETS, login_trusted_networks, 0, 0, NULL),
    R(CAPABILITY, "imap_capability", ST_STR, imap_capability, 0, 0, NULL),
    R(ID_SEND, "imap_id_send", ST_ID, imap_id_text, 0, 0, NULL),
    R(ID_LOG, "imap_id_log", ST_STR, imap_id_log, 0, 0, NULL),
    R(ID_RETAIN, "imap_id_retain", ST_BOOL, imap_id_retain, 0, 0, NULL),
    R(LITERAL_MINUS, "imap_literal_minus", ST_BOOL, imap_literal_minus, 0, 0, NULL),
    R(USERIP, "mail_max_userip_connections", ST_U32, mail_max_userip_connections, 0, UINT32_MAX, NULL),
    R(VERBOSE, "auth_verbose", ST_BOOL, auth_verbose, 0, 0, NULL),
    G("auth_debug", ST_BOOL, auth_debug, 0, 0, NULL),
    R(ATTEMPTS, "auth_max_attempts", ST_U32, auth_max_attempts, 1, 1000, NULL),
    R(AUTH_TIMEOUT, "auth_timeout", ST_TIME, auth_timeout_ms, 100, HOUR, NULL),
    R(LOGIN_TIMEOUT, "login_timeout", ST_TIME, login_timeout_ms, 100, HOUR, NULL),
    R(HANDOFF_TIMEOUT, "handoff_timeout", ST_TIME, handoff_timeout_ms, 100, HOUR, NULL),
    G("shutdown_timeout", ST_TIME, shutdown_timeout_ms, 0, DAY, NULL),
    G("default_process_limit", ST_U32, default_process_limit, 1, 100000, NULL),
    G("default_client_limit", ST_U32, default_client_limit, 1, 100000, NULL),
    G("default_vsz_limit", ST_SIZE, default_vsz_limit, 0, UINT64_MAX, NULL),
    G("default_login_user", ST_STR, default_login_user, 0, 0, NULL),
    G("default_internal_user", ST_STR, default_internal_user, 0, 0, NULL),
    G("default_keys_user", ST_STR, default_keys_user, 0, 0, NULL),
    G("login_socket_dir", ST_PATH, login_socket_dir, 0, 0, NULL),
    G("auth_socket_path", ST_PATH, auth_socket_path, 0, 0, NULL),
    G("anvil_socket_path", ST_PATH, anvil_socket_path, 0, 0, NULL),
    G("worker_spawn", ST_SPAWN, spawn_exec, 0, 0, NULL),
    G("template_max_uses", ST_U32, template_max_uses, 1, UINT32_MAX, NULL),
    G("template_max_age", ST_TIME, template_max_age_ms, 1000, DAY, NULL),
    G("base_dir", ST_PATH, base_dir, 0, 0, NULL),
    G("policy_dir", ST_PATH, policy_dir, 0, 0, NULL),
    G("site_policy_dir", ST_PATH, site_policy_dir, 0, 0, NULL),
    G("libexec_dir", ST_PATH, libexec_dir, 0, 0, NULL),
    G("log_path", ST_PATH, log_path, 0, 0, NULL),
    G("confine_optional", ST_LAYERS, confine_optional, 0, 0, NULL),
    G("policy_allow_widen", ST_BOOL, policy_allow_widen, 0, 0, NULL),
    G("hostname", ST_STR, hostname, 0, 0, NULL),
    S("service_count", ST_UNLIMITED, service_count, 0, UINT32_MAX, "restart_request_count"),
    S("client_limit", ST_U32, client_limit, 0, 100000, NULL),
    S("process_limit", ST_U32, process_limit, 0, 100000, NULL),
    S("process_min_avail", ST_U32, process_min_avail, 0, 10000, NULL),
    S("vsz_limit", ST_SIZE, vsz_limit, 0, UINT64_MAX, NULL),
    S("idle_kill", ST_TIME, idle_kill_ms, 0, DAY, "idle_kill_interval"),
    S("worker_spawn", ST_SPAWN, spawn_exec, 0, 0, NULL),
    IGNORED(SC_SERVICE, "chroot"),
    IGNORED(SC_SERVICE, "user"),
    IGNORED(SC_SERVICE, "group"),
    IGNORED(SC_SERVICE, "executable"),
    L("address", ST_STR, address, 0, 0, "listen"),
    L("port", ST_U32, port, 0, 65535, NULL),
    L("ssl", ST_BOOL, ssl, 0, 0, NULL),
    IGNORED(SC_LISTENER, "reuse_port"),
    IGNORED(SC_RULE, "ssl_dh"), /* only ECDHE */
    IGNORED(SC_RULE, "ssl_server_dh_file"),
    IGNORED(SC_RULE, "ssl_crypto_device"),
    OLD("login_processes_count"),
    OLD("login_max_processes_count"),
    OLD("login_process_per_connection"),
    OLD("login_max_connections"),
};
const size_t nsettings = sizeof(settings) / sizeof(settings[0]);

static bool
in_scope(const struct setting *s, enum setting_scope scope)
{
	return s->scope == scope || (scope == SC_GLOBAL && s->scope == SC_RULE);
}

const struct setting *
setting_find(enum setting_scope scope, const char *name)
{
	for (size_t i = 0; i < nsettings; i++)
		if (in_scope(&settings[i], scope) &&
		    (strcmp(settings[i].name, name) == 0 ||
			(settings[i].alias != NULL && strcmp(settings[i].alias, name) == 0)))
			return &settings[i];
	return NULL;
}

/* Edit distance, names of up to 63 bytes. */
static unsigned int
distance(const char *a, const char *b)
{
	unsigned int row[64], la = (unsigned int)strlen(a), lb = (unsigned int)strlen(b);

	if (la > 63 || lb > 63)
		return 99;
	for (unsigned int j = 0; j <= lb; j++)
		row[j] = j;
	for (unsigned int i = 1; i <= la; i++) {
		unsigned int diagonal = row[0];

		row[0] = i;
		for (unsigned int j = 1; j <= lb; j++) {
			unsigned int above = row[j], best = diagonal + (a[i - 1] != b[j - 1]);

			if (above + 1 < best)
				best = above + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diagonal = above;
			row[j] = best;
		}
	}
	return row[lb];
}

const char *
setting_nearest(enum setting_scope scope, const char *name)
{
	const char *best = NULL;
	unsigned int least = (unsigned int)strlen(name) / 3 + 1;

	for (size_t i = 0; i < nsettings; i++) {
		unsigned int d = distance(name, settings[i].name);

		if (!in_scope(&settings[i], scope) || d > least)
			continue;
		if (d < least || best == NULL)
			best = settings[i].name;
		least = d;
	}
	return best;
}

/* ---- storing -------------------------------------------------------------- */

static int
refuse(char *why, size_t cap, const char *text)
{
	snprintf(why, cap, "%s", text);
	return -1;
}

static int
store_number(const struct setting *s, void *p, const char *value, char *why, size_t cap)
{
	uint64_t v = 0;
	bool good;

	if (s->type == ST_UNLIMITED && strcasecmp(value, "unlimited") == 0)
		good = true;
	else if (s->type == ST_SIZE)
		good = value_size(value, &v);
	else if (s->type == ST_TIME)
		good = value_time_ms(value, &v);
	else
		good = value_count(value, UINT32_MAX, &v);
	if (!good)
		return refuse(why, cap, s->type == ST_SIZE ? "is no size (64M, 1G)"
			: s->type == ST_TIME		   ? "is no time (30s, 3 min, 500 ms)"
							   : "is no number");
	if (v < s->min || v > s->max) {
		snprintf(why, cap, "is out of range (%llu to %llu%s)", (unsigned long long)s->min,
		    (unsigned long long)s->max, s->type == ST_TIME ? " ms" : "");
		return -1;
	}
	if (s->size == 8)
		*(uint64_t *)p = v;
	else if (s->size == 4)
		*(uint32_t *)p = (uint32_t)v;
	else
		*(uint16_t *)p = (uint16_t)v;
	return 0;
}

static int
store_path(char *p, size_t size, const char *value, const char *dir, bool file, char *why,
    size_t cap)
{
	int n;

	if (file && *value == '<')
		value += 1 + strspn(value + 1, " ");
	/* Without a file to be relative to it stays as it is. */
	if (*value == '/' || *value == '\0' || dir[0] == '\0')
		n = snprintf(p, size, "%s", value);
	else
		n = snprintf(p, size, "%s/%s", dir, value);
	return n >= 0 && (size_t)n < size ? 0 : refuse(why, cap, "is too long");
}

static int
store_secret(char *p, size_t size, const char *value, const char *dir, char *why, size_t cap)
{
	if (*value != '<')
		return str_copy(p, size, value) ? 0 : refuse(why, cap, "is too long");
	p[0] = '<';
	return store_path(p + 1, size - 1, value, dir, true, why, cap);
}

static int
store_nets(struct config_nets *nets, const char *value, char *why, size_t cap)
{
	struct conn_net net;
	char word[64];

	nets->len = 0;
	while (*(value += strspn(value, " ,\t")) != '\0') {
		size_t n = strcspn(value, " ,\t");

		if (nets->len == sizeof(nets->p))
			return refuse(why, cap, "has too many networks");
		if (!str_copy_n(word, sizeof(word), value, n) || !conn_net_parse(word, &net)) {
			snprintf(why, cap, "has \"%.50s\", which is no network (10.0.0.0/8, ::1)", word);
			return -1;
		}
		net_list_put(nets->p + nets->len, &net);
		nets->len += NET_WIRE;
		value += n;
	}
	return 0;
}

/* ssl_options: Dovecot's words for what is so here in any case. */
static int
store_tls_options(const struct setting *s, char *p, const char *value, char *why, size_t cap)
{
	for (const char *at = value; *(at += strspn(at, " ,\t")) != '\0'; at += strcspn(at, " ,\t")) {
		size_t n = strcspn(at, " ,\t");

		if (n == 11 && strncmp(at, "compression", n) == 0)
			return refuse(why, cap, "asks for compression, which gives secrets away (CRIME): "
			    "there is none");
		if ((n != 9 || strncmp(at, "no_ticket", n) != 0) &&
		    (n != 14 || strncmp(at, "no_compression", n) != 0)) {
			snprintf(why, cap, "has \"%.*s\", which is neither no_ticket nor no_compression",
			    n < 50 ? (int)n : 50, at);
			return -1;
		}
	}
	return str_copy(p, s->size, value) ? 0 : refuse(why, cap, "is too long");
}

/* The text, and what is sent: both are in struct config_rules. */
static int
store_id(struct config_rules *rules, const char *value, char *why, size_t cap)
{
	if (!value_id_pairs(value, rules->imap_id_send, sizeof(rules->imap_id_send)))
		return refuse(why, cap, "must be pairs of words (in quotes where they hold blanks): "
		    "a key, and its value or *");
	return str_copy(rules->imap_id_text, sizeof(rules->imap_id_text), value)
	    ? 0 : refuse(why, cap, "is too long");
}

static int
store_layers(uint64_t *bits, const char *value, char *why, size_t cap)
{
	char word[64];

	*bits = 0;
	while (*(value += strspn(value, " ,\t")) != '\0') {
		size_t n = strcspn(value, " ,\t");
		int found = -1;

		str_copy_n(word, sizeof(word), value, n);
		for (int l = 0; l < LAYER__MAX; l++)
			if (strcmp(layer_word((enum layer)l), word) == 0)
				found = l;
		if (found == -1) {
			snprintf(why, cap, "has \"%.50s\", which is no layer (user, mount, net, pid, "
			    "ipc, root, landlock ...)", word);
			return -1;
		}
		*bits |= (uint64_t)1 << found;
		value += n;
	}
	return 0;
}

static int
store_word(const struct setting *s, void *p, const char *value, char *why, size_t cap)
{
	bool b = false;

	switch (s->type) {
	case ST_SSL:
		if (strcasecmp(value, "required") == 0)
			*(uint8_t *)p = SSL_REQUIRED;
		else if (value_bool(value, &b))
			*(uint8_t *)p = b ? SSL_YES : SSL_NO;
		else
			return refuse(why, cap, "must be yes, no or required");
		return 0;
	case ST_TLSVER:
		if (strcmp(value, "TLSv1.2") == 0)
			*(uint16_t *)p = 0x0303;
		else if (strcmp(value, "TLSv1.3") == 0)
			*(uint16_t *)p = 0x0304;
		else
			return refuse(why, cap, "must be TLSv1.2 or TLSv1.3 (older versions are not "
			    "served)");
		return 0;
	case ST_SPAWN:
		if (strcmp(value, "fork") != 0 && strcmp(value, "exec") != 0)
			return refuse(why, cap, "must be fork or exec");
		*(bool *)p = strcmp(value, "exec") == 0;
		return 0;
	default:
		if (!value_bool(value, &b))
			return refuse(why, cap, "must be yes or no");
		*(bool *)p = s->type == ST_NOT_BOOL ? !b : b;
		return 0;
	}
}

int
setting_store(const struct setting *s, void *base, const char *value, const char *dir, char *why,
    size_t cap)
{
	void *p = (char *)base + s->off;

	switch (s->type) {
	case ST_U32:
	case ST_SIZE:
	case ST_TIME:
	case ST_UNLIMITED:
		return store_number(s, p, value, why, cap);
	case ST_TLSOPT:
		return store_tls_options(s, p, value, why, cap);
	case ST_LOGFMT:
		if (!logvar_check(value, strcmp(s->name, "login_log_format") == 0 ? LOGVAR_OF_LINE
			: LOGVAR_OF_ELEMENTS, why, cap))
			return -1;
		return str_copy(p, s->size, value) ? 0 : refuse(why, cap, "is too long");
	case ST_ID:
		return store_id(base, value, why, cap);
	case ST_STR:
		return str_copy(p, s->size, value) ? 0 : refuse(why, cap, "is too long");
	case ST_PATH:
	case ST_FILE:
		return store_path(p, s->size, value, dir, s->type == ST_FILE, why, cap);
	case ST_SECRET:
		return store_secret(p, s->size, value, dir, why, cap);
	case ST_NETS:
		return store_nets(p, value, why, cap);
	case ST_LAYERS:
		return store_layers(p, value, why, cap);
	case ST_IGNORED:
	case ST_OLD:
		return 0;
	default:
		return store_word(s, p, value, why, cap);
	}
}

/* ---- printing ------------------------------------------------------------- */

static void
format_nets(const struct config_nets *nets, char *dst, size_t cap)
{
	size_t n = 0;

	dst[0] = '\0';
	for (size_t i = 0; i < nets->len; i += NET_WIRE) {
		struct conn_net net;
		struct conn_addr a = {0};
		char ip[INET6_ADDRSTRLEN];

		net_list_get(nets->p + i, &net);
		a.family = net.family;
		memcpy(a.ip, net.ip, sizeof(a.ip));
		n += (size_t)snprintf(dst + n, cap - n, "%s%s/%u", i > 0 ? " " : "",
		    conn_addr_text(&a, ip), net.prefix);
	}
}

static void
format_layers(uint64_t bits, char *dst, size_t cap)
{
	size_t n = 0;

	dst[0] = '\0';
	for (int l = 0; l < LAYER__MAX; l++)
		if ((bits >> l & 1) != 0)
			n += (size_t)snprintf(dst + n, cap - n, "%s%s", n > 0 ? " " : "",
			    layer_word((enum layer)l));
}

void
setting_format(const struct setting *s, const void *base, char *dst, size_t cap)
{
	static const char *const ssl_words[] = {"no", "yes", "required"};
	const void *p = (const char *)base + s->off;

	switch (s->type) {
	case ST_BOOL:
	case ST_NOT_BOOL:
		snprintf(dst, cap, "%s", *(const bool *)p == (s->type == ST_BOOL) ? "yes" : "no");
		break;
	case ST_U32:
	case ST_UNLIMITED:
		snprintf(dst, cap, "%u", s->size == 4 ? *(const uint32_t *)p : *(const uint16_t *)p);
		break;
	case ST_SIZE:
		format_size(*(const uint64_t *)p, dst, cap);
		break;
	case ST_TIME:
		format_time(*(const uint32_t *)p, dst, cap);
		break;
	case ST_SSL:
		snprintf(dst, cap, "%s", ssl_words[*(const uint8_t *)p % 3]);
		break;
	case ST_TLSVER:
		snprintf(dst, cap, "%s", *(const uint16_t *)p == 0x0304 ? "TLSv1.3" : "TLSv1.2");
		break;
	case ST_SPAWN:
		snprintf(dst, cap, "%s", *(const bool *)p ? "exec" : "fork");
		break;
	case ST_NETS:
		format_nets(p, dst, cap);
		break;
	case ST_LAYERS:
		format_layers(*(const uint64_t *)p, dst, cap);
		break;
	case ST_FILE:
		snprintf(dst, cap, "%s%s", *(const char *)p != '\0' ? "<" : "", (const char *)p);
		break;
	case ST_SECRET:
		if (*(const char *)p != '\0' && *(const char *)p != '<') {
			snprintf(dst, cap, "(hidden)");
			break;
		}
		/* fallthrough */
	case ST_STR:
	case ST_ID:
	case ST_LOGFMT:
	case ST_TLSOPT:
	case ST_PATH:
		snprintf(dst, cap, "%s", (const char *)p);
		break;
	case ST_OLD:
	case ST_IGNORED:
		dst[0] = '\0';
		break;
	}
}
