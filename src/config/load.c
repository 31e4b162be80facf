#include "config/load.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/str.h"

#define VSZ_MIN (16ull << 20) /* image, arena and stack of a worker (mechanisms 7) */
#define IDLE_KILL_MS 60000
#define DIR_MODE_DEFAULT "/run/gatehouse"

static const struct {
	enum service service;
	const char *name;
	uint16_t port;
	bool ssl;
} standard[] = {
    {SERVICE_IMAP, "imap", 143, false},
    {SERVICE_IMAP, "imaps", 993, true},
    {SERVICE_POP3, "pop3", 110, false},
    {SERVICE_POP3, "pop3s", 995, true},
};

void
config_defaults(struct config *c)
{
	*c = (struct config){.protocols = "imap pop3",
	    .listen = "*, ::",
	    .rules = {.ssl = SSL_YES,
		.ssl_min_version = 0x0303,
		.disable_plaintext_auth = true,
		.ssl_require_crl = true,
		.ssl_cert_username_field = "commonName",
		.login_greeting = "Gatehouse ready.",
		.login_log_format = "%$: %s",
		.login_log_format_elements =
		    "user=<%u> method=%m rip=%r lip=%l mpid=%e %c session=<%{session}>",
		.imap_id_text = "name *",
		.mail_max_userip_connections = 10,
		.auth_max_attempts = 10,
		.login_timeout_ms = 180000,
		.auth_timeout_ms = 30000,
		.handoff_timeout_ms = 90000},
	    .ssl_session_lifetime_ms = 1800000,
	    .ssl_max_signature_rate = 5000,
	    .default_process_limit = 100,
	    .default_client_limit = 1000,
	    .default_vsz_limit = 256ull << 20,
	    .default_login_user = "dovenull",
	    .default_internal_user = "dovecot",
	    .default_keys_user = "gatehouse-keys",
	    .auth_socket_path = DIR_MODE_DEFAULT "/dovecot/login",
	    .login_socket_dir = DIR_MODE_DEFAULT "/dovecot",
	    .template_max_uses = 10000,
	    .template_max_age_ms = 3600000,
	    .policy_dir = POLICY_DIR,
	    .site_policy_dir = SYSCONF_DIR "/gatehouse/policy",
	    .libexec_dir = LIBEXEC_DIR,
	    .base_dir = DIR_MODE_DEFAULT,
	    .shutdown_timeout_ms = 30000};
	value_id_pairs(c->rules.imap_id_text, c->rules.imap_id_send, sizeof(c->rules.imap_id_send));
	for (int s = 0; s < SERVICE__MAX; s++)
		c->service[s] = (struct config_service){.service_count = 1, .idle_kill_ms = IDLE_KILL_MS};
	if (gethostname(c->hostname, sizeof(c->hostname) - 1) == -1)
		str_copy(c->hostname, sizeof(c->hostname), "localhost");
}

void
loading_init(struct loading *ld, const struct config *defaults, FILE *warn)
{
	memset(ld, 0, sizeof(*ld));
	ld->conf = *defaults;
	ld->warn = warn;
	for (size_t i = 0; i < sizeof(standard) / sizeof(standard[0]); i++) {
		struct config_listener *l =
		    loading_listener(ld, standard[i].service, standard[i].name);

		l->port = standard[i].port;
		l->ssl = standard[i].ssl;
	}
}

void
loading_notice(struct loading *ld, const char *fmt, ...)
{
	va_list ap;

	if (ld->warn == NULL)
		return;
	va_start(ap, fmt);
	vfprintf(ld->warn, fmt, ap);
	va_end(ap);
	fputc('\n', ld->warn);
}

struct config_listener *
loading_listener(struct loading *ld, enum service s, const char *name)
{
	struct config_listener *l;

	for (unsigned int i = 0; i < ld->nlisteners; i++)
		if (ld->listeners[i].service == s && strcmp(ld->listeners[i].name, name) == 0)
			return &ld->listeners[i];
	if (ld->nlisteners == CONFIG_LISTENERS_MAX || strlen(name) >= sizeof(l->name))
		return NULL;
	l = &ld->listeners[ld->nlisteners++];
	l->service = s;
	str_copy(l->name, sizeof(l->name), name);
	return l;
}

void
loading_seen(struct loading *ld, const struct setting *s, int service, const char *file,
    unsigned int line)
{
	(void)file;
	if (strcmp(s->name, "auth_socket_path") == 0)
		ld->auth_socket_set = true;
	if (service < 0)
		return;
	if (s->type == ST_SPAWN)
		ld->service_spawn_set[service] = true;
	if (strcmp(s->name, "vsz_limit") == 0)
		ld->vsz_line[service] = line;
}

/* ---- what must fit together ----------------------------------------------- */

static int
wrong(struct diag *d, const char *file, unsigned int line, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

static int
wrong(struct diag *d, const char *file, unsigned int line, const char *hint, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	diag_set(d, file, line, 0, "%s", text);
	if (hint != NULL)
		diag_hint(d, "%s", hint);
	return -1;
}

static bool
has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	while (*(list += strspn(list, " ,\t")) != '\0') {
		size_t len = strcspn(list, " ,\t");

		if (len == n && strncmp(list, word, n) == 0)
			return true;
		list += len;
	}
	return false;
}

static int
finish_protocols(struct config *c, const char *file, struct diag *d)
{
	const char *s = c->protocols;

	while (*(s += strspn(s, " ,\t")) != '\0') {
		size_t len = strcspn(s, " ,\t");

		if (!(len == 4 && (strncmp(s, "imap", 4) == 0 || strncmp(s, "pop3", 4) == 0)))
			return wrong(d, file, 0, "imap, pop3", "protocols: %.*s is not served",
			    (int)len, s);
		s += len;
	}
	for (int i = 0; i < SERVICE__MAX; i++)
		c->service[i].enabled = has_word(c->protocols, service_name((enum service)i));
	if (!c->service[SERVICE_IMAP].enabled && !c->service[SERVICE_POP3].enabled)
		return wrong(d, file, 0, NULL, "protocols: nothing is served");
	return 0;
}

static int
finish_service(struct loading *ld, enum service i, const char *file, struct diag *d)
{
	struct config *c = &ld->conf;
	struct config_service *s = &c->service[i];
	const char *name = service_name(i);

	if (s->process_limit == 0)
		s->process_limit = c->default_process_limit;
	if (s->client_limit == 0)
		s->client_limit = c->default_client_limit;
	if (s->service_count > 0 && s->client_limit > s->service_count)
		s->client_limit = s->service_count;
	if (s->vsz_limit == 0)
		s->vsz_limit = c->default_vsz_limit;
	if (!ld->service_spawn_set[i])
		s->spawn_exec = c->spawn_exec;
	if (s->service_count != 1 && s->client_limit > 1000)
		return wrong(d, file, 0, "raise process_limit instead",
		    "service %s-login: client_limit %u: a pooled worker serves at most 1000", name,
		    s->client_limit);
	if (s->vsz_limit != 0 && s->vsz_limit < VSZ_MIN)
		return wrong(d, file, ld->vsz_line[i], "64M is enough for one connection",
		    "service %s-login: vsz_limit below 16M leaves no room for the program, its memory "
		    "and its stack", name);
	if (s->idle_kill_ms == 0) /* Dovecot's word for its default */
		s->idle_kill_ms = IDLE_KILL_MS;
	if (s->process_min_avail > s->process_limit)
		return wrong(d, file, 0, "raise process_limit, or lower process_min_avail",
		    "service %s-login: process_min_avail (%u) is above process_limit (%u)", name,
		    s->process_min_avail, s->process_limit);
	return 0;
}

static int
add_listener(struct config *c, const struct config_listener *l, const char *address, size_t len,
    const char *file, struct diag *d)
{
	struct config_listener *to = &c->listeners[c->nlisteners];
	struct conn_net net;

	if (c->nlisteners == CONFIG_LISTENERS_MAX)
		return wrong(d, file, 0, NULL, "more than %d listening sockets", CONFIG_LISTENERS_MAX);
	*to = *l;
	if (len >= sizeof(to->address))
		return wrong(d, file, 0, NULL, "listen: %.*s is no address", (int)len, address);
	if (len >= 2 && address[0] == '[' && address[len - 1] == ']') {
		address++;
		len -= 2;
	}
	str_copy_n(to->address, sizeof(to->address), address, len);
	if (strcmp(to->address, "*") != 0 &&
	    (!conn_net_parse(to->address, &net) || strchr(to->address, '/') != NULL))
		return wrong(d, file, 0, "*, ::, 192.0.2.1 or 2001:db8::1", "%.60s is no address to "
		    "listen on", to->address);
	for (unsigned int i = 0; i < c->nlisteners; i++)
		if (c->listeners[i].port == to->port &&
		    strcmp(c->listeners[i].address, to->address) == 0)
			return wrong(d, file, 0, NULL, "inet_listener %s and %s both have %s port %u",
			    c->listeners[i].name, to->name, to->address, to->port);
	c->nlisteners++;
	return 0;
}

static int
finish_listeners(struct loading *ld, const char *file, struct diag *d)
{
	struct config *c = &ld->conf;

	c->nlisteners = 0;
	for (unsigned int i = 0; i < ld->nlisteners; i++) {
		const struct config_listener *l = &ld->listeners[i];
		const char *s = l->address[0] != '\0' ? l->address : c->listen;

		if (l->port == 0 || !c->service[l->service].enabled || (l->ssl && c->rules.ssl == SSL_NO))
			continue;
		while (*(s += strspn(s, " ,\t")) != '\0') {
			size_t len = strcspn(s, " ,\t");

			if (add_listener(c, l, s, len, file, d) == -1)
				return -1;
			s += len;
		}
	}
	if (c->nlisteners == 0)
		return wrong(d, file, 0, "inet_listener { port = ... }", "no listener is left");
	return 0;
}

static int
finish_cert(struct config *c, const char *file, struct diag *d)
{
	const struct config_cert *k = &c->rules.files;

	if (c->rules.ssl == SSL_NO)
		return 0;
	if ((k->cert_file[0] == '\0') != (k->key_file[0] == '\0') ||
	    (k->alt_cert_file[0] == '\0') != (k->alt_key_file[0] == '\0'))
		return wrong(d, file, 0, NULL, "a certificate and its key come together: %s",
		    (k->cert_file[0] == '\0') != (k->key_file[0] == '\0')
			? "ssl_cert and ssl_key" : "ssl_alt_cert and ssl_alt_key");
	if (k->cert_file[0] == '\0')
		return wrong(d, file, 0, "ssl_cert = </etc/.../fullchain.pem and ssl_key = <..., or "
		    "ssl = no", "ssl is on, but there is no ssl_cert");
	return 0;
}

/* Socket names are relative to login_socket_dir: that is the auth client's root. */
static int
finish_sockets(struct loading *ld, const char *file, struct diag *d)
{
	struct config *c = &ld->conf;
	const char *paths[] = {c->auth_socket_path, c->anvil_socket_path};
	size_t n;

	while ((n = strlen(c->login_socket_dir)) > 1 && c->login_socket_dir[n - 1] == '/')
		c->login_socket_dir[n - 1] = '\0';
	if (!ld->auth_socket_set)
		snprintf(c->auth_socket_path, sizeof(c->auth_socket_path), "%.240s/login",
		    c->login_socket_dir);
	for (size_t i = 0; i < 2; i++)
		if (paths[i][0] != '\0' && (strncmp(paths[i], c->login_socket_dir, n) != 0 ||
			paths[i][n] != '/' || strchr(paths[i] + n + 1, '/') != NULL ||
			paths[i][n + 1] == '\0' || strlen(paths[i] + n + 1) > 100))
			return wrong(d, file, 0, "the auth client sees that one directory and nothing "
			    "else", "%s does not lie in login_socket_dir %s", paths[i],
			    c->login_socket_dir);
	return 0;
}

int
loading_finish(struct loading *ld, const char *name, struct diag *d)
{
	str_copy(ld->conf.file, sizeof(ld->conf.file), name);
	if (loading_finish_blocks(ld, d) == -1 || finish_protocols(&ld->conf, name, d) == -1 ||
	    finish_cert(&ld->conf, name, d) == -1 || finish_listeners(ld, name, d) == -1 ||
	    finish_sockets(ld, name, d) == -1)
		return -1;
	for (int s = 0; s < SERVICE__MAX; s++)
		if (finish_service(ld, (enum service)s, name, d) == -1)
			return -1;
	return 0;
}

int
config_load(struct config *c, const char *path, FILE *warn, struct diag *d)
{
	struct loading *ld = malloc(sizeof(*ld));
	int rv = -1;

	if (ld == NULL) {
		diag_set(d, NULL, 0, 0, "out of memory");
		return -1;
	}
	loading_init(ld, c, warn);
	if (loading_file(ld, path, d) == 0 && loading_finish(ld, path, d) == 0) {
		*c = ld->conf;
		rv = 0;
	}
	free(ld);
	return rv;
}

int
config_parse(struct config *c, const char *name, const char *text, size_t len, FILE *warn,
    struct diag *d)
{
	struct loading *ld = malloc(sizeof(*ld));
	int rv = -1;

	if (ld == NULL) {
		diag_set(d, NULL, 0, 0, "out of memory");
		return -1;
	}
	loading_init(ld, c, warn);
	if (loading_text(ld, name, text, len, d) == 0 && loading_finish(ld, name, d) == 0) {
		*c = ld->conf;
		rv = 0;
	}
	free(ld);
	return rv;
}

int
config_account(const char *name, const char *setting, uid_t *uid, gid_t *gid, struct diag *d)
{
	uint64_t n;
	const struct passwd *pw;

	if (str_to_u64(name, INT_MAX, &n)) {
		pw = getpwuid((uid_t)n);
		*uid = (uid_t)n;
		*gid = pw != NULL ? pw->pw_gid : (gid_t)n;
		return 0;
	}
	pw = getpwnam(name);
	if (pw == NULL) {
		diag_set(d, NULL, 0, 0, "%s = %s: there is no such account", setting, name);
		diag_hint(d, "make it (useradd --system --no-create-home), or give a number: it needs "
		    "no passwd entry");
		return -1;
	}
	*uid = pw->pw_uid;
	*gid = pw->pw_gid;
	return 0;
}
