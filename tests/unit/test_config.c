/*
 * gatehouse.conf: what is read, what is refused and where, and that what
 * `gatehouse config` prints means the same.
 */
/* SRC: src/config/lex.c src/config/values.c src/config/settings.c src/config/parse.c src/config/load.c src/config/dump.c src/config/pack.c src/ipc/blocks.c src/ipc/conn.c src/ipc/logvar.c src/confine/layers.c src/common/str.c src/common/diag.c src/common/log.c src/ipc/codec.c */
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

static uint8_t
flags_of(const char *local, const char *remote, enum service s)
{
	static struct launcher_settings set;
	struct conn_info c = {.service = s, .flags = CONN_TLS_OFFERED};
	struct conn_net l, r;

	assert_true(conn_net_parse(local, &l) && conn_net_parse(remote, &r));
	c.local.family = l.family;
	c.remote.family = r.family;
	memcpy(c.local.ip, l.ip, 16);
	memcpy(c.remote.ip, r.ip, 16);
	memset(&set, 0, sizeof(set));
	config_to_launcher(&conf, &set);
	blocks_apply(set.blocks, set.nblocks, set.ssl, set.disable_plaintext_auth != 0, &c);
	return c.flags;
}

/* Wherever they stand in the file, the narrower one counts. */
static void
blocks_by_narrowness(void **state)
{
	char *first, *second;
	size_t n;
	FILE *out;

	(void)state;
	good(CERT "remote 10.1.0.0/16 {\n  disable_plaintext_auth = no\n  local ::1 {\n"
	    "    ssl = required\n  }\n  local 127.0.0.1 {\n    protocol pop3 {\n      ssl = no\n"
	    "    }\n  }\n}\nremote 10.1.2.3 {\n  auth_allow_cleartext = no\n}\n"
	    "remote 10.0.0.0/8 {\n  disable_plaintext_auth = yes\n  ssl = required\n}\n"
	    "remote fe80::/10 {\n  disable_plaintext_auth = no\n}\n");
	assert_int_equal(flags_of("127.0.0.1", "192.0.2.1", SERVICE_IMAP), CONN_TLS_OFFERED);
	assert_int_equal(flags_of("127.0.0.1", "10.9.0.1", SERVICE_IMAP),
	    CONN_TLS_OFFERED | CONN_RULED | CONN_TLS_REQUIRED);
	assert_int_equal(flags_of("127.0.0.1", "10.1.0.1", SERVICE_IMAP),
	    CONN_TLS_OFFERED | CONN_RULED | CONN_TLS_REQUIRED | CONN_CLEAR_ALLOWED);
	assert_int_equal(flags_of("127.0.0.1", "10.1.0.1", SERVICE_POP3),
	    CONN_RULED | CONN_CLEAR_ALLOWED);
	assert_int_equal(flags_of("127.0.0.1", "10.1.2.3", SERVICE_IMAP),
	    CONN_TLS_OFFERED | CONN_RULED | CONN_TLS_REQUIRED);
	assert_int_equal(flags_of("::1", "fe80::1", SERVICE_IMAP),
	    CONN_TLS_OFFERED | CONN_RULED | CONN_CLEAR_ALLOWED);
	out = open_memstream(&first, &n);
	config_dump(&conf, true, out);
	fclose(out);
	good(first);
	out = open_memstream(&second, &n);
	config_dump(&conf, true, out);
	fclose(out);
	assert_string_equal(first, second);
	assert_non_null(strstr(first, "remote 10.1.0.0/16 {\n"));
	free(first);
	free(second);
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
	    {"local 1.2.3.4 {\n  local 1.2.3.4 {\n", "t:2:3: local inside of local (put the two side by side"},
	    {"protocol lmtp {\n", "gatehouse has the protocols imap and pop3"},
	    {"protocol imap {\n  login_timeout = 3s\n", "t:2:1: login_timeout cannot be set in a local, remote or protocol block (ssl and"},
	    {"remote ::1 {\n  ssl = sure\n", "must be yes, no or required"},
	    {"remote ::1 {\n  service imap-login {\n", "t:2:3: unknown section service imap-login"},
	    {CERT "protocol imap {\nssl = no\n}\nremote 10.0.0.0/8 {\nssl = required\n}\n",
		"t:7: this block and the one of line 4 set the same for the same connections (put one"},
	    {"ssl = no\nremote ::1 {\nssl = yes\n}\n", "a local, remote or protocol block has ssl"},
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
	    {CERT "local_name a.example {\n}\n", "local_name a.example has no ssl_cert"},
	    {CERT "local_name {\n}\n", "local_name needs a host name"},
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
	assert_string_equal(conf.login_greeting, "a # \"b\" ");
	assert_int_equal(conf.default_vsz_limit, 1u << 30);
	assert_int_equal(conf.login_timeout_ms, 180000);
	assert_int_equal(conf.auth_timeout_ms, 500);
	assert_string_equal(conf.hostname, "mail. example");
	assert_int_equal(conf.nnets, 2);
	assert_false(conf.disable_plaintext_auth);
	assert_int_equal(conf.ssl_min_version, 0x0304);
	assert_int_equal(conf.service[SERVICE_IMAP].service_count, 0);
	assert_int_equal(conf.service[SERVICE_POP3].service_count, 0);
	assert_int_equal(conf.service[SERVICE_POP3].idle_kill_ms, 120000);
	good(CERT "default_process_limit = 7\nservice imap-login {\n  process_limit = $default_process_limit\n}\n"
	    "login_greeting = \"$default_process_limit\"\nhostname = h$default_process_limit\n"
	    "login_log_format = %$: %s $ $default_process_limit\n");
	assert_string_equal(conf.login_log_format, "%$: %s $ 7");
	assert_int_equal(conf.service[SERVICE_IMAP].process_limit, 7);
	assert_string_equal(conf.login_greeting, "$default_process_limit");
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
	assert_string_equal(conf.ssl_options, "no_compression, no_ticket");
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
	assert_string_equal(conf.certs[0].key_file, text); /* relative to its file */
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
