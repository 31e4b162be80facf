/*
 * gatehouse.conf: what is read, what is refused and where, and that what
 * `gatehouse config` prints means the same.
 */
/* SRC: src/config/lex.c src/config/values.c src/config/settings.c src/config/parse.c src/config/load.c src/config/dump.c src/config/pack.c src/ipc/blocks.c src/ipc/conn.c src/ipc/logvar.c src/confine/layers.c src/common/str.c src/common/diag.c src/common/log.c src/ipc/codec.c src/ipc/rules.c src/config/blocks.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "config/config.h"
#include "config/internal.h"
#include "config/pack.h"

#define CERT "ssl_cert = </c\nssl_key = </k\n"

static struct config conf;
static struct diag diag;

static int
parse(const char *text, char **notices)
{
	size_t n;
	FILE *warn = notices != NULL ? open_memstream(notices, &n) : NULL;
	int rv;

	memset(&diag, 0, sizeof(diag));
	config_defaults(&conf);
	rv = config_parse(&conf, "t", text, strlen(text), warn, &diag);
	if (warn != NULL)
		fclose(warn);
	return rv;
}

static void
good(const char *text)
{
	char where[900];

	if (parse(text, NULL) == 0)
		return;
	diag_format(&diag, where, sizeof(where));
	fail_msg("<%s>: %s", text, where);
}

/* What holds for a connection, once what was read has gone through what is sent. */
static const struct rules *
holds(const char *local, const char *remote, enum service s, const char *name)
{
	static struct auth_settings set;
	static struct rules r;
	struct conn_info c = {.service = s};
	struct conn_net l, n;

	assert_true(conn_net_parse(local, &l) && conn_net_parse(remote, &n));
	c.local.family = l.family;
	c.remote.family = n.family;
	memcpy(c.local.ip, l.ip, 16);
	memcpy(c.remote.ip, n.ip, 16);
	memset(&set, 0, sizeof(set));
	config_to_auth(&conf, &set);
	rule_set_apply(&set.rules, rule_set_match(&set.rules, &c, name), &r);
	return &r;
}

static void
prints_the_same(const char *must_have)
{
	char *first, *second;
	size_t n;
	FILE *out = open_memstream(&first, &n);

	config_dump(&conf, true, out);
	fclose(out);
	good(first);
	out = open_memstream(&second, &n);
	config_dump(&conf, true, out);
	fclose(out);
	assert_string_equal(first, second);
	if (strstr(first, must_have) == NULL)
		fail_msg("<%s> is not in <%s>", must_have, first);
	free(first);
	free(second);
}

/* Wherever they stand in the file, the narrower one counts. */
static void
blocks_by_narrowness(void **state)
{
	static const struct {
		const char *local, *remote;
		enum service s;
		uint8_t ssl, hidden;
	} rows[] = {{"127.0.0.1", "192.0.2.1", SERVICE_IMAP, SSL_YES, 1},
	    {"127.0.0.1", "10.9.0.1", SERVICE_IMAP, SSL_REQUIRED, 1},
	    {"127.0.0.1", "10.1.0.1", SERVICE_IMAP, SSL_REQUIRED, 0},
	    {"127.0.0.1", "10.1.0.1", SERVICE_POP3, SSL_NO, 0},
	    {"127.0.0.1", "10.1.2.3", SERVICE_IMAP, SSL_REQUIRED, 0},
	    {"::1", "fe80::1", SERVICE_IMAP, SSL_YES, 0}};

	(void)state;
	good(CERT "remote 10.1.0.0/16 {\n  disable_plaintext_auth = no\n  local ::1 {\n"
	    "    ssl = required\n  }\n  local 127.0.0.1 {\n    protocol pop3 {\n      ssl = no\n"
	    "    }\n  }\n}\nremote 10.1.2.3 {\n  auth_allow_cleartext = yes\n}\n"
	    "remote 10.0.0.0/8 {\n  disable_plaintext_auth = yes\n  ssl = required\n}\n"
	    "remote fe80::/10 {\n  disable_plaintext_auth = no\n}\n");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct rules *r = holds(rows[i].local, rows[i].remote, rows[i].s, "");

		if (r->ssl != rows[i].ssl || r->disable_plaintext_auth != rows[i].hidden)
			fail_msg("row %zu: %u %u", i, r->ssl, r->disable_plaintext_auth);
	}
	prints_the_same("remote 10.1.0.0/16 {\n");
}

/* Every kind of value, names, one block in two places, $ as it is where it stands. */
static void
blocks_with_everything(void **state)
{
	const struct rules *r;

	(void)state;
	good(CERT "login_greeting = base\nimap_id_send = name a\n"
	    "local 192.0.2.0/24 {\n  login_greeting = $login_greeting 24\n"
	    "  local_name \"A.example  *.b.example\" {\n    ssl_cert = </n\n    ssl_key = </m\n"
	    "    imap_id_send = name b\n    protocol !pop3 {\n      imap_capability = +X\n    }\n  }\n"
	    "  local 192.0.2.1 {\n    login_greeting = $login_greeting 32\n"
	    "    mail_max_userip_connections = 3\n    login_trusted_networks = ::1 10.0.0.0/8\n"
	    "    login_timeout = 7 secs\n    ssl_min_protocol = TLSv1.3\n  }\n}\n"
	    "login_greeting = later\nlocal 192.0.2.1/32 { auth_verbose = yes }\n");
	assert_int_equal(conf.nblocks, 4);
	r = holds("192.0.2.1", "::1", SERVICE_IMAP, "x.b.example");
	assert_string_equal(r->login_greeting, "base 24 32");
	assert_string_equal(r->imap_id_send, "\"name\" \"b\"");
	assert_string_equal(r->imap_capability, "+X");
	assert_int_equal(r->mail_max_userip_connections, 3);
	assert_int_equal(r->login_timeout_ms, 7000);
	assert_int_equal(r->ssl_min_version, 0x0304);
	assert_true(r->auth_verbose);
	assert_int_equal(r->login_trusted_networks.len, 2 * NET_WIRE);
	r = holds("192.0.2.2", "::1", SERVICE_POP3, "a.example");
	assert_string_equal(r->login_greeting, "base 24");
	assert_string_equal(r->imap_id_send, "\"name\" \"b\"");
	assert_string_equal(r->imap_capability, "");
	r = holds("198.51.100.1", "::1", SERVICE_IMAP, "a.example");
	assert_string_equal(r->login_greeting, "later");
	assert_string_equal(r->imap_id_send, "\"name\" \"a\"");
	assert_int_equal(r->login_timeout_ms, 180000);
	prints_the_same("local 192.0.2.0/24 {\n  local_name \"a.example *.b.example\" {\n"
	    "    protocol imap {\n      imap_capability = +X\n");
	prints_the_same("local 192.0.2.1/32 {\n  ssl_min_protocol = TLSv1.3\n");
}

/* Before and behind what is for addresses alone. */
static void
names_before_addresses(void **state)
{
	(void)state;
	good(CERT "local_name a.test {\n  login_greeting = named\n}\n"
	    "local 192.0.2.1 {\n  login_greeting = one\n  remote ::1 {\n    imap_capability = +X\n  }\n}\n"
	    "local 192.0.2.0/24 {\n  local_name b.test {\n    login_greeting = also\n  }\n}\n");
	assert_string_equal(holds("192.0.2.1", "::1", SERVICE_IMAP, "")->login_greeting, "one");
	assert_string_equal(holds("192.0.2.1", "::1", SERVICE_IMAP, "a.test")->login_greeting, "named");
	assert_string_equal(holds("192.0.2.1", "::1", SERVICE_IMAP, "b.test")->login_greeting, "also");
	assert_string_equal(holds("192.0.3.1", "::1", SERVICE_IMAP, "b.test")->login_greeting,
	    "Gatehouse ready.");
	prints_the_same("local_name a.test {\n");
}

/* 64 of them, and the first that is too many is named. */
static void
too_many_blocks(void **state)
{
	static char text[16384];
	char where[900];
	size_t n = (size_t)snprintf(text, sizeof(text), CERT);

	(void)state;
	for (unsigned int i = 0; i <= BLOCKS_MAX; i++) {
		char *end = text + n;

		n += (size_t)snprintf(text + n, sizeof(text) - n,
		    "remote 10.0.0.%u {\n  auth_verbose = yes\n}\n", i);
		if (i < BLOCKS_MAX)
			continue;
		assert_int_equal(parse(text, NULL), -1);
		diag_format(&diag, where, sizeof(where));
		assert_non_null(strstr(where, "t:195: more than 64 local, remote, local_name and "
		    "protocol blocks (one local_name"));
		*end = '\0';
	}
	good(text);
	strcat(text, "remote 10.0.0.7 {\n  auth_verbose = no\n}\nremote ::1 {\n}\n"); /* no new one */
	good(text);
	assert_int_equal(conf.nblocks, BLOCKS_MAX);
}

static void
refused(void **state)
{
	static const struct {
		const char *text, *message;
	} rows[] = {
	    {"proces_limit = 1\n", "t:1:1: unknown setting proces_limit"},
	    {CERT "login_greting = x\n", "t:3:1: unknown setting login_greting (did you mean login_greeting?)"},
	    {"service imap-login {\n  service_cont = 1\n}\n", "t:2:1: unknown setting service_cont in a service (did you mean service_count?)"},
	    {"mail_location = maildir:~/Maildir\n", "t:1:1: unknown setting mail_location (gatehouse.conf is a file of its own"},
	    {"passdb {\n", "t:1:1: unknown section passdb"},
	    {"service lmtp {\n}\n", "t:1:1: gatehouse has the services imap-login and pop3-login"},
	    {"service imap-login {\n  service_count = 1\n", "t:1: the section that begins here is never closed (a } is missing)"},
	    {"}\n", "t:1:1: } without a section"},
	    {"ssl = maybe\n", "t:1:7: ssl: \"maybe\" must be yes, no or required"},
	    {"ssl_min_protocol = TLSv1\n", "t:1:20: ssl_min_protocol: \"TLSv1\" must be TLSv1.2 or TLSv1.3"},
	    {"default_process_limit = many\n", "t:1:25: default_process_limit: \"many\" is no number"},
	    {"default_process_limit = 0\n", "out of range (1 to 100000)"},
	    {"default_vsz_limit = 64X\n", "is no size (64M, 1G)"},
	    {"login_timeout = 3 parsecs\n", "is no time (30s, 3 min, 500 ms)"},
	    {"auth_verbose = perhaps\n", "must be yes or no"},
	    {"worker_spawn = thread\n", "must be fork or exec"},
	    {"login_trusted_networks = 10.0.0.0/8 nowhere\n", "has \"nowhere\", which is no network"},
	    {"confine_optional = user seccmp\n", "has \"seccmp\", which is no layer"},
	    {"remote 1.2.3 {\n", "t:1:1: remote 1.2.3: this is no network (10.0.0.0/8"},
	    {"local 1.2.3.4 1.2.3.5 {\n", "t:1:1: local 1.2.3.4 1.2.3.5: this is no network (10.0.0.0/8"},
	    {"local 1.2.3.4 {\n  local 1.2.3.5 {\n", "t:2:3: local 1.2.3.5: it does not lie within the block around it (no connection"},
	    {"local_name a.test {\n  local_name b.test {\n", "t:2:3: local_name b.test: it does not lie within"},
	    {"protocol imap {\n  protocol pop3 {\n", "t:2:3: protocol pop3: it does not lie within"},
	    {"protocol lmtp {\n", "t:1:1: protocol lmtp: gatehouse has the protocols imap and pop3 (protocol imap"},
	    {"protocol !lmtp {\n", "gatehouse has the protocols imap and pop3"},
	    {"protocol imap {\n  service_count = 3\n", "t:2:1: service_count cannot be set in a local, remote, local_name or protocol block (a process serves"},
	    {"remote ::1 {\n  base_dir = /\n", "t:2:1: base_dir cannot be set in a local, remote, local_name or protocol block (it is the same for all connections"},
	    {"remote ::1 {\n  ssl_session_lifetime = 1\n", "t:2:1: ssl_session_lifetime cannot be set in"},
	    {"remote ::1 {\n  login_greting = 1\n", "t:2:1: unknown setting login_greting in a local, remote, local_name or protocol block (did you mean login_greeting?)"},
	    {"remote ::1 {\n  mail_plugins = 1\n", "t:2:1: unknown setting mail_plugins in a local, remote"},
	    {"local_name a.test {\n  remote ::1 {\n    ssl = required\n", "t:3:1: ssl cannot be set in a local_name block (it is decided before"},
	    {"local_name a.test {\n  login_timeout = 3s\n", "t:2:1: login_timeout cannot be set in a local_name block"},
	    {"remote ::1 {\n  ssl = sure\n", "t:2:9: ssl: \"sure\" must be yes, no or required"},
	    {"remote ::1 {\n  login_trusted_networks = 10\n", "t:2:28: login_trusted_networks: \"10\" has \"10\", which is no network"},
	    {"remote ::1 {\n  imap_id_send = 'name \"x'\n", "t:2:18: imap_id_send: \"name \"x\" must be pairs of words"},
	    {"remote ::1 {\n  service imap-login {\n", "t:2:3: unknown section service imap-login"},
	    {"local_name a..b* {\n}\n", "t:1:1: local_name a..b*: a block needs one host name or more (mail.example.org"},
	    {"local_name *.* {\n}\n", "a block needs one host name or more"},
	    {"local_name * {\n}\n", "a block needs one host name or more"},
	    {CERT "protocol imap {\nssl = no\n}\nremote 10.0.0.0/8 {\nauth_verbose = yes\nssl = required\n}\n",
		"t:6: this block and the one of t:3 both set ssl, and there are connections that are in both (put one"},
	    {CERT "local_name a.test {\n remote ::1 {\n auth_verbose = no\n}\n}\nlocal ::1 {\n local_name a.test {\n"
		  "auth_verbose = yes\n}\n}\n", "t:9: this block and the one of t:4 both set auth_verbose"},
	    /* what protects is not the client's to choose, by the name that it asks for */
    {CERT "remote ::1 {\nssl_min_protocol = TLSv1.3\n}\nlocal_name a.test {\nssl_min_protocol = TLSv1.2\n}\n",
	"t:6: this block and the one of t:3 both set ssl_min_protocol"},
    {"ssl = no\nremote ::1 {\nssl = yes\n}\n", "t:2: this block has ssl, and outside of blocks it is off (set ssl = yes there"},
	    {CERT "local ::1 {\n  ssl_cert = </a\n}\n", "t:3: the certificate of this block has no ssl_key (a certificate and its key come together, in one block)"},
	    {CERT "local ::1 {\n  ssl_key = </a\n}\n", "t:3: the certificate of this block has no ssl_cert"},
	    {CERT "local ::1 {\n  ssl_cert = </a\n  ssl_key = </b\n  ssl_alt_cert = </c\n}\n", "t:3: the certificate of this block has no ssl_alt_key"},
	    {CERT "local ::1 {\n  ssl_key_password = x\n}\n", "t:3: the certificate of this block has no ssl_cert"},
	    {"login_greeting = $nothing\n", "t:1:18: $nothing: no setting has this name"},
	    {"login_log_format_elements = user=<%u> %Q\n", "t:1:29: login_log_format_elements: \"user=<%u> %Q\" has \"%Q\", which is no variable"},
	    {"ssl = no\nlogin_log_format = %$: %u\n", "t:2:20: login_log_format: \"%$: %u\" has \"%u\", which is no variable"},
	    {"login_log_format_elements = %{usr}\n", "has \"%{usr}\", which is no variable"},
	    {"login_log_format_elements = %5Mu\n", "has \"%5M\", which needs MD5: "},
	    {"login_log_format_elements = %{if;%u;eq;x;yes;no}\n", "has \"%{if;%u;eq;x;yes;no}\", which is a conditional"},
	    {"login_log_format_elements = %{sha256;truncate=32:user}\n", "which is a function that is not known here"},
	    {"login_log_format_elements = %{env:PATH}\n", "which is a variable of the environment"},
	    {"login_log_format_elements = 100%\n", "has \"%\", which is no variable (%% is a percent sign)"},
	    {"login_log_format_elements = %{user x}\n", "has \"%{user\", which has no }"},
	    {"login_log_format_elements = %99999u\n", "has \"%9999\", which is longer than any line"},
	    {"ssl_options = no_ticket compression\n", "t:1:15: ssl_options: \"no_ticket compression\" asks for compression"},
	    {"ssl_options = no_tickets\n", "has \"no_tickets\", which is neither no_ticket nor no_compression"},
	    {"login_greeting = \"open\n", "t:1: the quote \" is never closed"},
	    {"just words\n", "expected `name = value`, `section {` or `}`"},
	    {"!inklude x\n", "t:1:1: unknown directive !inklude x"},
	    {"!include /nonexistent/*.conf\n", "no file matches /nonexistent/*.conf (!include_try does not mind)"},
	    {"protocols = imap smtp\nssl = no\n", "protocols: smtp is not served"},
	    {"protocols = \nssl = no\n", "nothing is served"},
	    {"", "ssl is on, but there is no ssl_cert (ssl_cert = <"},
	    {"ssl_cert = </c\n", "a certificate and its key come together"},
	    {CERT "local_name {\n}\n", "t:3:1: local_name : a block needs one host name or more"},
	    {CERT "service imap-login {\n process_limit = 2\n process_min_avail = 3\n}\n",
		"process_min_avail (3) is above process_limit (2)"},
	    {CERT "service imap-login {\n  vsz_limit = 8M\n}\n", "t:4: service imap-login: vsz_limit below 16M"},
	    {CERT "auth_socket_path = /run/dovecot/login\n", "does not lie in login_socket_dir"},
	    {CERT "auth_socket_path = /run/gatehouse/dovecot/a/login\n", "does not lie in login_socket_dir"},
	    {CERT "service imap-login {\n inet_listener imap {\n  port = 993\n }\n}\n", "both have * port 993"},
	    {CERT "service imap-login {\n inet_listener imap {\n port = 70000\n }\n}\n", "out of range"},
	    {CERT "listen = nowhere\n", "nowhere is no address to listen on"},
	    {CERT "listen = 10.0.0.0/8\n", "is no address to listen on"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char where[900];

		if (parse(rows[i].text, NULL) == 0)
			fail_msg("accepted: <%s>", rows[i].text);
		diag_format(&diag, where, sizeof(where));
		if (strstr(where, rows[i].message) == NULL)
			fail_msg("<%s> is refused with <%s>, not <%s>", rows[i].text, where, rows[i].message);
	}
}

/* imap_id_send: as Dovecot's login processes read it. */
static void
id_send(void **state)
{
	static const struct {
		const char *value, *reply; /* NULL: refused */
	} rows[] = {
	    {"", ""},
	    {"name *", "\"name\" \"gatehouse\""},
	    {"NAME * foo *", "\"NAME\" \"gatehouse\" \"foo\" NIL"},
	    {"name", "\"name\" NIL"},
	    {"name \"a b\" x", "\"name\" \"a b\" \"x\" NIL"},
	    {"name \"a\\\"\\\\b\" k \"\"", "\"name\" \"a\\\"\\\\b\" \"k\" \"\""},
	    {"  name\tx  bar\tbaz ", "\"name\" \"x\" \"bar\" \"baz\""},
	    {"support-url * revision *", "\"support-url\" NIL \"revision\" NIL"},
	    {"name \"open", NULL}, {"name \"a\"b", NULL}, {"name j\303\274", NULL}, {"name a\001b", NULL},
	    {"a-key-that-is-longer-than-30-octets x", NULL},
	};
	char got[512], want[512];
	struct utsname u;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool good = value_id_pairs(rows[i].value, got, sizeof(got));

		assert_int_equal(good, rows[i].reply != NULL);
		if (good)
			assert_string_equal(got, rows[i].reply);
	}
	uname(&u);
	snprintf(want, sizeof(want), "\"version\" \"%s\" \"os\" \"%s\" \"os-version\" \"%s\"", VERSION,
	    u.sysname, u.release);
	assert_true(value_id_pairs("version * os * os-version *", got, sizeof(got)));
	assert_string_equal(got, want);
	assert_false(value_id_pairs("version * os * os-version *", got, 30));
}

static void
nul_is_refused(void **state)
{
	(void)state;
	config_defaults(&conf);
	assert_int_equal(config_parse(&conf, "t", "ssl = no\0\n", 10, NULL, &diag), -1);
}

static void
values(void **state)
{
	(void)state;
	good(CERT "login_greeting = \"a # \\\"b\\\" \" # comment\n"
	    "default_vsz_limit = 1 G\nlogin_timeout = 3 min\nauth_timeout=500ms\n"
	    "hostname = mail.\\\nexample\nlogin_trusted_networks = 10.0.0.0/8, ::1\n"
	    "confine_optional = user landlock\nauth_allow_cleartext = yes\nssl_min_protocol = TLSv1.3\n"
	    "service imap-login { service_count = 0 } # as manuals write it\n"
	    "service pop3-login {\n  restart_request_count = unlimited\n  idle_kill_interval = 2m }\n");
	assert_string_equal(conf.rules.login_greeting, "a # \"b\" ");
	assert_int_equal(conf.default_vsz_limit, 1u << 30);
	assert_int_equal(conf.rules.login_timeout_ms, 180000);
	assert_int_equal(conf.rules.auth_timeout_ms, 500);
	assert_string_equal(conf.hostname, "mail. example");
	assert_int_equal(conf.rules.login_trusted_networks.len, 2 * NET_WIRE);
	assert_false(conf.rules.disable_plaintext_auth);
	assert_int_equal(conf.rules.ssl_min_version, 0x0304);
	assert_int_equal(conf.service[SERVICE_IMAP].service_count, 0);
	assert_int_equal(conf.service[SERVICE_POP3].service_count, 0);
	assert_int_equal(conf.service[SERVICE_POP3].idle_kill_ms, 120000);
	good(CERT "default_process_limit = 7\nservice imap-login {\n  process_limit = $default_process_limit\n}\n"
	    "login_greeting = \"$default_process_limit\"\nhostname = h$default_process_limit\n"
	    "login_log_format = %$: %s $ $default_process_limit\n");
	assert_string_equal(conf.rules.login_log_format, "%$: %s $ 7");
	assert_int_equal(conf.service[SERVICE_IMAP].process_limit, 7);
	assert_string_equal(conf.rules.login_greeting, "$default_process_limit");
	assert_string_equal(conf.hostname, "h7");
}

static void
effective(void **state)
{
	(void)state;
	good(CERT);
	assert_int_equal(conf.nlisteners, 8); /* four, on * and :: */
	assert_int_equal(conf.service[SERVICE_IMAP].process_limit, 100);
	assert_int_equal(conf.service[SERVICE_IMAP].client_limit, 1);
	assert_int_equal(conf.service[SERVICE_IMAP].vsz_limit, 256u << 20);
	assert_string_equal(conf.auth_socket_path, "/run/gatehouse/dovecot/login");
	good(CERT "ssl_options = no_compression, no_ticket\nssl_dh = </x\nssl_crypto_device = y\n");
	assert_string_equal(conf.rules.ssl_options, "no_compression, no_ticket");
	good(CERT "login_socket_dir = /run/dovecot/login/\nlisten = 127.0.0.1\n"
	    "service imap-login {\n  service_count = 0\n  inet_listener imap {\n    port = 0\n  }\n}\n");
	assert_string_equal(conf.auth_socket_path, "/run/dovecot/login/login");
	assert_int_equal(conf.nlisteners, 3);
	assert_int_equal(conf.service[SERVICE_IMAP].client_limit, 1000);
	good("ssl = no\nprotocols = imap\n"); /* no TLS listeners then */
	assert_int_equal(conf.nlisteners, 2);
	assert_false(conf.listeners[0].ssl);
}

/* Both snippets of Dovecot's manual, with each line commented or not. */
static void
snippets(void **state)
{
	static const char *const lines[] = {"process_min_avail = 0", "process_limit = $default_process_limit",
	    "vsz_limit = 64M", "client_limit = $default_client_limit"};

	(void)state;
	for (int count = 0; count < 2; count++) {
		for (unsigned int mask = 0; mask < 16; mask++) {
			char text[600];
			size_t n = (size_t)snprintf(text, sizeof(text),
			    CERT "service imap-login {\n  service_count = %d\n", count);

			for (unsigned int i = 0; i < 4; i++)
				n += (size_t)snprintf(text + n, sizeof(text) - n, "  %s%s\n",
				    (mask >> i & 1) != 0 ? "" : "#", lines[i]);
			snprintf(text + n, sizeof(text) - n, "}\nservice pop3-login { service_count = %d }\n",
			    count);
			good(text);
			assert_int_equal(conf.service[SERVICE_IMAP].service_count, count);
			assert_int_equal(conf.service[SERVICE_IMAP].client_limit, count == 1 ? 1 : 1000);
			assert_int_equal(conf.service[SERVICE_IMAP].vsz_limit,
			    (mask & 4) != 0 ? 64u << 20 : 256u << 20);
		}
	}
}

static void
old_names(void **state)
{
	char *notices = NULL;

	(void)state;
	assert_int_equal(parse(CERT "login_process_per_connection = no\nlogin_processes_count = 3\n"
	    "login_max_processes_count = 128\nlogin_max_connections = 256\n", &notices), 0);
	assert_int_equal(conf.service[SERVICE_IMAP].service_count, 0);
	assert_int_equal(conf.service[SERVICE_POP3].process_min_avail, 3);
	assert_int_equal(conf.service[SERVICE_IMAP].process_limit, 128);
	assert_int_equal(conf.service[SERVICE_IMAP].client_limit, 256);
	assert_non_null(strstr(notices, "t:3: login_process_per_connection is a setting of Dovecot 1.x"));
	assert_non_null(strstr(notices, "process_min_avail = 3"));
	free(notices);
}

static char *
dump(const struct config *c, bool changed_only)
{
	char *text;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	config_dump(c, changed_only, f);
	fclose(f);
	return text;
}

static void
what_is_printed_means_the_same(void **state)
{
	static struct config first;

	(void)state;
	for (int changed_only = 0; changed_only < 2; changed_only++) {
		char *a, *b;

		good(CERT "login_greeting = \"x \\\"y\\\" # z\"\ndefault_vsz_limit = 100M\nlogin_timeout = 90s\n"
		    "listen = 127.0.0.1, ::1\nssl = required\nlogin_trusted_networks = 10.0.0.0/8\n"
		    "confine_optional = user\nlocal_name a.example {\n ssl_cert = </x\n ssl_key = </y\n}\n"
		    "service imap-login {\n  worker_spawn = exec\n  process_limit = 9\n  inet_listener imap {\n"
		    "    port = 0\n  }\n  inet_listener other {\n    port = 1143\n    address = 127.0.0.2\n"
		    "  }\n}\n");
		first = conf;
		a = dump(&first, changed_only);
		good(a);
		b = dump(&conf, changed_only);
		assert_string_equal(a, b);
		assert_int_equal(conf.nlisteners, first.nlisteners);
		free(a);
		free(b);
	}
}

static void
every_truncation_ends_well(void **state)
{
	static const char text[] = CERT "hostname = \"a\\\"b\" # c\n!include_try /none/*\nservice imap-login {\n"
	    "  inet_listener x {\n    port = 1\n  }\n}\nlisten = \\\n *\n";

	(void)state;
	for (size_t len = 0; len < sizeof(text); len++) {
		char *copy = malloc(len + 1); /* exact: a read beyond it shows */

		memcpy(copy, text, len);
		config_defaults(&conf);
		config_parse(&conf, "t", copy, len, NULL, &diag);
		free(copy);
	}
	good(text);
}

static void
includes(void **state)
{
	char dir[] = "/tmp/test_config.XXXXXX", path[80], text[200];
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a.conf", dir);
	f = fopen(path, "w");
	fprintf(f, CERT "!include b.inc\n");
	fclose(f);
	snprintf(path, sizeof(path), "%s/b.inc", dir);
	f = fopen(path, "w");
	fprintf(f, "ssl_key = <key.pem\nlogin_greting = x\n");
	fclose(f);
	snprintf(path, sizeof(path), "%s/a.conf", dir);
	config_defaults(&conf);
	assert_int_equal(config_load(&conf, path, NULL, &diag), -1);
	assert_non_null(strstr(diag.file, "b.inc"));
	assert_int_equal(diag.line, 2);
	snprintf(path, sizeof(path), "%s/b.inc", dir);
	f = fopen(path, "w");
	fprintf(f, "ssl_key = <key.pem\n");
	fclose(f);
	snprintf(path, sizeof(path), "%s/a.conf", dir);
	config_defaults(&conf);
	assert_int_equal(config_load(&conf, path, NULL, &diag), 0);
	snprintf(text, sizeof(text), "%s/key.pem", dir);
	assert_string_equal(conf.rules.files.key_file, text); /* relative to its file */
	f = fopen(path, "w");
	fprintf(f, "!include a.conf\n"); /* itself */
	fclose(f);
	config_defaults(&conf);
	assert_int_equal(config_load(&conf, path, NULL, &diag), -1);
	assert_non_null(strstr(diag.text, "too deeply"));
	unlink(path);
	snprintf(path, sizeof(path), "%s/b.inc", dir);
	unlink(path);
	rmdir(dir);
}

static void
models(void **state)
{
	static struct launcher_settings l;

	(void)state;
	good(CERT "worker_spawn = exec\nservice pop3-login { service_count = 5 }\n");
	config_to_launcher(&conf, &l);
	assert_int_equal(l.service[SERVICE_IMAP].model, MODEL_EXEC);
	assert_int_equal(l.service[SERVICE_POP3].model, MODEL_POOLED);
	assert_int_equal(l.service[SERVICE_POP3].client_limit, 5);
	good(CERT);
	config_to_launcher(&conf, &l);
	assert_int_equal(l.service[SERVICE_IMAP].model, MODEL_FORK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(blocks_by_narrowness),
	    cmocka_unit_test(blocks_with_everything),
	    cmocka_unit_test(names_before_addresses),
	    cmocka_unit_test(too_many_blocks),
	    cmocka_unit_test(refused),
	    cmocka_unit_test(id_send),
	    cmocka_unit_test(nul_is_refused),
	    cmocka_unit_test(values),
	    cmocka_unit_test(effective),
	    cmocka_unit_test(snippets),
	    cmocka_unit_test(old_names),
	    cmocka_unit_test(what_is_printed_means_the_same),
	    cmocka_unit_test(every_truncation_ends_well),
	    cmocka_unit_test(includes),
	    cmocka_unit_test(models),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
