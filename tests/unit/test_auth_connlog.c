/*
 * The lines about connections: what a client can and cannot make them say, and
 * how many there can be.
 */
/* SRC: src/auth/lograte.c src/auth/logfmt.c src/auth/logmod.c src/ipc/logvar.c src/ipc/conn.c src/ipc/codec.c src/common/log.c src/common/str.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth/connlog.c"

#define ELEMENTS "user=<%u> method=%m rip=%r lip=%l mpid=%e %c session=<%{session}>"

static uint64_t now = 1000000;
static struct timer *armed;
static int pipe_fds[2];
static struct conn c;

const struct auth_settings *
conns_settings(void)
{
	static const struct auth_settings set = {.hostname = "mx.test"};

	return &set;
}

uint64_t
loop_now(void)
{
	return now;
}

void
timer_set(struct timer *t, uint32_t ms)
{
	t->due_ms = now + ms;
	t->next = t;
	armed = t;
}

static void
pass(uint64_t ms)
{
	now += ms;
	if (armed != NULL && now >= armed->due_ms) {
		struct timer *t = armed;

		armed = t->next = NULL;
		t->fire(t);
	}
}

static const char *
logged(void)
{
	static char text[1 << 18];
	ssize_t n = read(pipe_fds[0], text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static unsigned int
count(const char *text, const char *what)
{
	unsigned int n = 0;

	for (; (text = strstr(text, what)) != NULL; text++)
		n++;
	return n;
}

/* Each test has an address of its own, or it would inherit a spent allowance. */
static void
fresh(void)
{
	static uint8_t host = 1;

	memset(&c, 0, sizeof(c));
	c.rules = (struct rules){.login_log_format = "%$: %s", .login_log_format_elements = ELEMENTS,
	    .mail_max_userip_connections = 7, .auth_verbose = 1};
	c.info = (struct conn_info){.session = "SESS", .remote = {AF_INET, 1234, {192, 0, 2, host++}},
	    .local = {AF_INET, 993, {127, 0, 0, 1}}};
	c.ready_sent = true;
	c.opened_ms = c.first_auth_ms = now;
	pass(3600000);
	c.opened_ms = c.first_auth_ms = now;
	logged();
}

static int
setup(void **state)
{
	(void)state;
	assert_int_equal(pipe2(pipe_fds, O_NONBLOCK), 0);
	assert_int_not_equal(fcntl(pipe_fds[1], F_SETPIPE_SZ, 1 << 18), -1);
	log_to(pipe_fds[1], false, "x");
	lograte_init();
	return 0;
}

static void
tried(const char *user)
{
	c.attempts = 1;
	c.outcome = OUT_AUTH;
	strcpy(c.mech.name, "PLAIN");
	strcpy(c.user, user);
}

/* ---- what they say -------------------------------------------------------- */

#define A10 "aaaaaaaaaa"
#define U10 "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"

static const struct {
	const char *name, *user, *shown;
} hostile[] = {
    {"plain", "alice@example.test", "alice@example.test"},
    {"newline", "a\nIimap-login: Login: user=b", "a?Iimap-login: Login: user?b"},
    {"return", "a\r\nx", "a??x"},
    {"escape", "a\033[2J\033]0;x\007", "a?[2J?]0;x?"},
    {"delete_and_c1", "a\177\xc2\x9b" "31m", "a??31m"},
    {"next_element", "a>, rip=198.51.100.9, lip=1.2.3.4, session=<b", "a?? rip?198.51.100.9? lip?1.2.3.4? session??b"},
    {"brackets", "<>", "??"},
    {"right_to_left", "a\xe2\x80\xaetxt.exe\xe2\x80\xac", "a?txt.exe?"},
    {"isolates", "\xe2\x81\xa6x\xe2\x81\xa9", "?x?"},
    {"line_separator", "a\xe2\x80\xa8" "b", "a?b"},
    {"bom", "\xef\xbb\xbf" "a", "?a"},
    {"utf8", "j\xc3\xbcrgen", "j\xc3\xbcrgen"},
    {"latin1", "j\xfcrgen", "j?rgen"},
    {"overlong", "a\xc0\xaf", "a??"},
    {"surrogate", "\xed\xa0\x80", "???"},
    {"cut_utf8", "a\xe2\x82", "a??"},
    {"eighty", A10 A10 A10 A10 A10 A10 A10 A10, A10 A10 A10 A10 A10 A10 A10 A10},
    {"eighty_one", A10 A10 A10 A10 A10 A10 A10 A10 "a", A10 A10 A10 A10 A10 A10 A10 "aaaaaaa..."},
    {"long", A10 A10 A10 A10 A10 A10 A10 A10 A10 A10 A10 A10 A10, A10 A10 A10 A10 A10 A10 A10 "aaaaaaa..."},
    {"eighty_umlauts", U10 U10 U10 U10 U10 U10 U10 U10, U10 U10 U10 U10 U10 U10 U10 U10},
    {"too_many_umlauts", U10 U10 U10 U10 U10 U10 U10 U10 U10,
	U10 U10 U10 U10 U10 U10 U10 "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4..."},
    {"format", "%s%n%u", "%s%n%u"},
};

static void
hostile_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		char want[600];
		const char *got;

		fresh();
		tried(hostile[i].user);
		connlog_end(&c);
		snprintf(want, sizeof(want), "Iimap-login: Disconnected: Connection closed (auth failed, 1 "
		    "attempts in 0 secs): user=<%s>, method=PLAIN, rip=192.0.2.%u, lip=127.0.0.1, "
		    "session=<SESS>\n", hostile[i].shown, c.info.remote.ip[3]);
		got = logged();
		if (strcmp(got, want) != 0)
			fail_msg("%s: <%s> not <%s>", hostile[i].name, got, want);
	}
}

static void
hostile_workers(void **state)
{
	(void)state;
	/* A worker that was taken over tries to have somebody else banned. */
	fresh();
	strcpy(c.goodbye, "x (auth failed, 1 attempts in 1 secs): user=<a>, rip=198.51.100.9");
	connlog_end(&c);
	assert_null(strstr(logged(), "rip=198"));
	fresh();
	strcpy(c.goodbye, "TLS handshaking: x, rip=198.51.100.9, session=<");
	connlog_end(&c);
	assert_null(strstr(logged(), "rip=198"));
	fresh();
	strcpy(c.mech.name, "X, rip=198.51.100.9");
	c.refused = OUT_MECH;
	connlog_end(&c);
	assert_null(strstr(logged(), "rip=198"));
}

static void
reasons(void **state)
{
	static const struct {
		enum conn_state state;
		unsigned int attempts, successes;
		enum auth_outcome outcome, refused;
		bool aborted, unready;
		const char *goodbye, *says;
	} rows[] = {
	    {.says = "Connection closed (no auth attempts in 7 secs)"},
	    {.unready = true, .says = "(disconnected before auth was ready, waited 7 secs)"},
	    {.goodbye = "Inactivity", .says = "Disconnected: Inactivity (no auth attempts in 7 secs)"},
	    {.attempts = 1, .outcome = OUT_AUTH, .says = "(auth failed, 1 attempts in 7 secs)"},
	    {.attempts = 3, .outcome = OUT_AUTHZ, .says = "(authorization failed, 3 attempts in 7 secs)"},
	    {.attempts = 1, .outcome = OUT_TEMP, .says = "(auth service reported temporary failure)"},
	    {.attempts = 1, .outcome = OUT_DISABLED, .says = "(user disabled)"},
	    {.attempts = 1, .outcome = OUT_EXPIRED, .says = "(password expired)"},
	    {.attempts = 1, .outcome = OUT_BASE64, .says = "(sent invalid base64 in response)"},
	    {.attempts = 1, .outcome = OUT_NOLOGIN, .says = "(login disabled)"},
	    {.attempts = 1, .outcome = OUT_MECH, .says = "(tried to use unsupported auth mechanism)"},
	    {.refused = OUT_MECH, .says = "(tried to use unsupported auth mechanism)"},
	    {.refused = OUT_PLAINTEXT, .says = "(tried to use disallowed plaintext auth)"},
	    {.refused = OUT_PLAINTEXT, .attempts = 1, .outcome = OUT_AUTH, .says = "(auth failed, 1 attempts"},
	    {.attempts = 1, .outcome = OUT_COMM, .says = "(auth process communication failure)"},
	    {.attempts = 2, .outcome = OUT_LIMIT, .successes = 1,
		.says = "Disconnected: Maximum number of connections from user+IP exceeded "
			"(mail_max_userip_connections=7): user=<"},
	    {.attempts = 1, .outcome = OUT_INTERNAL, .successes = 1,
		.says = "(internal failure, 1 successful auths)"},
	    {.attempts = 1, .aborted = true, .says = "(aborted authentication)"},
	    {.attempts = 1, .state = CS_CLIENT, .says = "(client didn't finish SASL auth, waited 7 secs)"},
	    {.attempts = 1, .state = CS_AUTH, .says = "(disconnected while authenticating, waited 7 secs)"},
	    {.attempts = 1, .state = CS_HANDOFF, .successes = 1,
		.says = "(disconnected while finishing login, waited 7 secs)"},
	    {.goodbye = "TLS handshaking: SSL_accept() failed: wrong version number",
		.says = "Disconnected: Connection closed (no auth attempts in 7 secs): user=<>, rip="},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *got;

		fresh();
		c.state = rows[i].state;
		c.attempts = rows[i].attempts;
		c.successes = rows[i].successes;
		c.outcome = rows[i].outcome;
		c.refused = rows[i].refused;
		c.aborted = rows[i].aborted;
		c.ready_sent = !rows[i].unready;
		if (rows[i].goodbye != NULL)
			strcpy(c.goodbye, rows[i].goodbye);
		pass(7000);
		connlog_end(&c);
		got = logged();
		if (strstr(got, rows[i].says) == NULL)
			fail_msg("<%s> without <%s>", got, rows[i].says);
		assert_int_equal(count(got, "\n"), 1);
	}
	assert_int_equal(count("", "x"), 0);
}

static void
formats(void **state)
{
	(void)state;
	fresh();
	tried("alice@example.test");
	strcpy(c.original_user, "Alice");
	strcpy(c.auth_user, "master@admin");
	strcpy(c.passdb, "quota=5\nflag=yes\n");
	c.rules.login_log_format = "%{elements} <- %{message}";
	c.rules.login_log_format_elements =
	    "%n|%d|%{orig_username}|%{auth_domain} q=%{passdb:quota} z=%{passdb:z:none} %a %b";
	connlog_login(&c, 42);
	assert_string_equal(logged(),
	    "Iimap-login: alice|example.test|Alice|admin, q=5, z=none, 993, 1234 <- Login\n");
	fresh();
	tried("a");
	connlog_failed(&c, OUT_AUTH);
	connlog_failed(&c, OUT_EXPIRED);
	assert_non_null(strstr(logged(), "Auth failed: user=<a>"));
	c.rules.auth_verbose = 0;
	connlog_failed(&c, OUT_AUTH);
	assert_string_equal(logged(), "");
	c.rules.auth_verbose = 1;
}

/* ---- how many there are --------------------------------------------------- */

static void
one_address_cannot_fill_the_log(void **state)
{
	const char *text;
	unsigned int n;

	(void)state;
	fresh();
	for (int i = 0; i < 10000; i++) { /* 1000 a second for ten seconds, less a moment */
		connlog_end(&c);
		if (i % 1000 != 999)
			now++;
	}
	n = count(logged(), "no auth attempts");
	assert_in_range(n, LOGRATE_ADDRESS_BURST, LOGRATE_ADDRESS_BURST + 10 * LOGRATE_ADDRESS_RATE + 1);
	/* Failed logins from there are counted by themselves, and logins not at all. */
	tried("mallory");
	connlog_end(&c);
	for (int i = 0; i < 200; i++)
		connlog_login(&c, 1);
	text = logged();
	assert_int_equal(count(text, "user=<mallory>"), 201);
	assert_int_equal(count(text, ": Login: "), 200);
	/* Somebody else is not silenced by it. */
	c.info.remote.ip[0] = 198;
	connlog_end(&c);
	assert_int_equal(count(logged(), "rip=198."), 1);
	pass(LOGRATE_REPORT_MS);
	text = logged();
	assert_non_null(strstr(text, " lines about connections without a login were left out"));
	assert_non_null(strstr(text, "most recently from 192.0.2."));
	assert_int_equal(strtoul(text + 1, NULL, 10), 10000 - n);
	pass(LOGRATE_REPORT_MS);
	assert_string_equal(logged(), "");
}

static void
many_addresses_cannot_fill_the_log(void **state)
{
	unsigned int n;

	(void)state;
	fresh();
	c.info.remote.family = AF_INET6;
	for (unsigned int i = 0; i < 5000; i++) {
		memcpy(c.info.remote.ip, &i, sizeof(i));
		connlog_end(&c);
		now++;
	}
	n = count(logged(), "no auth attempts");
	assert_in_range(n, LOGRATE_IDLE_BURST, LOGRATE_IDLE_BURST + 5 * LOGRATE_IDLE_RATE + 1);
	/* One customer's /64 is one address. */
	fresh();
	c.info.remote.family = AF_INET6;
	for (unsigned int i = 0; i < 1000; i++) {
		memcpy(c.info.remote.ip + 8, &i, sizeof(i));
		connlog_end(&c);
	}
	assert_int_equal(count(logged(), "no auth attempts"), LOGRATE_ADDRESS_BURST);
	pass(LOGRATE_REPORT_MS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(hostile_names),
	    cmocka_unit_test(hostile_workers),
	    cmocka_unit_test(reasons),
	    cmocka_unit_test(formats),
	    cmocka_unit_test(one_address_cannot_fill_the_log),
	    cmocka_unit_test(many_addresses_cannot_fill_the_log),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
