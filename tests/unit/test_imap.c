/*
 * IMAP before login (src/proto): exchanges, each whole, byte by byte and split at
 * every offset; hostile samples by name.
 */
/* SRC: src/proto/dialog.c src/proto/imap.c src/proto/imap_parse.c src/proto/pop3.c src/proto/sasl.c src/common/str.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dialog_table.h"

#include "common/str.h"
#include "proto/imap_parse.h"

#define CAPS "IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+"
#define BAD_TEXT "BAD Error in IMAP command received by server.\r\n"
#define NOAUTH "NO [AUTHENTICATIONFAILED] Authentication failed.\r\n"
#define EXPOSED \
	"* BAD [ALERT] Plaintext authentication not allowed without SSL/TLS, but your client did " \
	"it anyway. If anyone was listening, the password was exposed.\r\n"
#define BADID "BAD Invalid ID parameters\r\n"
#define NOMECH "NO [ALERT] Unsupported authentication mechanism.\r\n"
#define NOPLAIN \
	"NO [PRIVACYREQUIRED] Plaintext authentication disallowed on non-secure (SSL/TLS) " \
	"connections.\r\n"
#define TOOMANY "* BYE Too many invalid IMAP commands.\r\n"
#define FULL "* BYE Input buffer full, aborting\r\n"

static const struct row rows[] = {
    {"capability", T_TLS, "a CAPABILITY\r\n", 0, "",
	"* CAPABILITY " CAPS " AUTH=PLAIN AUTH=LOGIN AUTH=SCRAM-SHA-256\r\n"
	"a OK Pre-login capabilities listed, post-login capabilities have more.\r\n", ""},
    {"capability_in_the_clear", T_OFFERED, "a capability\r\n", 0, "",
	"* CAPABILITY " CAPS " STARTTLS LOGINDISABLED AUTH=SCRAM-SHA-256\r\n"
	"a OK Pre-login capabilities listed, post-login capabilities have more.\r\n", ""},
    {"capability_ssl_required", T_OFFERED | T_REQUIRED | T_CLEAR, "a CAPABILITY\r\n", 0, "",
	"* CAPABILITY " CAPS " STARTTLS LOGINDISABLED\r\n"
	"a OK Pre-login capabilities listed, post-login capabilities have more.\r\n", ""},
    {"noop_lf_only", T_TLS, "a NOOP\nb noop\r\n", 0, "",
	"a OK NOOP completed.\r\nb OK NOOP completed.\r\n", ""},
    {"logout", T_TLS, "a LOGOUT\r\nb NOOP\r\n", 0, "",
	"* BYE Logging out\r\na OK Logout completed.\r\n", "CLOSE Aborted login by logging out|"},
    {"enable", T_TLS, "a ENABLE CONDSTORE\r\n", 0, "",
	"* ENABLED\r\na OK ENABLE ignored in non-authenticated state.\r\n", ""},
    {"id", T_TLS, "a ID NIL\r\nb ID (\"name\" \"x\" \"version\" NIL)\r\nc ID ()\r\n", 0, "",
	"* ID NIL\r\na OK ID completed.\r\n* ID NIL\r\nb OK ID completed.\r\n"
	"* ID NIL\r\nc OK ID completed.\r\n", ""},
    {"id_refused", T_TLS, "a ID\r\nb ID (\"name\")\r\n", 0, "", "a " BADID "b " BADID, ""},
    {"id_refused_more", T_TLS, "a ID (name x)\r\nb ID (\"k\"  \"v\"\r\n", 0, "",
	"a " BADID "b BAD Missing ')'\r\n", ""},
    {"id_refused_is_not_counted", T_TLS, "a ID x\r\nb ID x\r\nc ID x\r\nd NOOP\r\n", 0, "",
	"a " BADID "b " BADID "c " BADID "d OK NOOP completed.\r\n", ""},
    {"id_wanted", T_TLS | T_ID, "a ID (\"name\" \"x \\\"y\" \"os\" NIL \"k\" {2}\r\nab)\r\nb ID NIL\r\nc ID ()\r\n", 0, "",
	"+ OK\r\n* ID NIL\r\na OK ID completed.\r\n* ID NIL\r\nb OK ID completed.\r\n* ID NIL\r\nc OK ID completed.\r\n",
	"ID name~=x \"y~os~N~k~=ab~|ID |ID |"},
    {"id_wanted_refused", T_TLS | T_ID, "a ID (\"name\" \"x\" \"v\")\r\nb ID (\"a\" \"b\"\r\n", 0, "",
	"a " BADID "b BAD Missing ')'\r\n", ""},
    {"id_blanks", T_TLS, "a ID ( \"name\"  \"x\" ) \r\n", 0, "", "* ID NIL\r\na OK ID completed.\r\n", ""},
    {"id_unclosed_at_the_paren", T_TLS, "a ID (\r\nb ID \r\n", 0, "", "a BAD Missing ')'\r\nb " BADID, ""},
    {"nested_parens", T_TLS, "a ID ((((((((\r\nb LOGIN (a) b\r\n", 0, "",
	"a " BADID "b " BAD_TEXT, ""},
    {"blanks_behind_are_harmless", T_TLS, "a NOOP  \r\nb LOGIN  x  y \r\n", 0, "f",
	"a OK NOOP completed.\r\nb " NOAUTH, "START PLAIN ~x~y|"},
    {"arguments_nobody_wants", T_TLS, "a NOOP x\r\nb LOGOUT x\r\n", 0, "", "a " BAD_TEXT "b " BAD_TEXT,
	""},
    {"login", T_TLS, "a LOGIN alice wonderland\r\n", 0, "f", "a " NOAUTH,
	"START PLAIN ~alice~wonderland|"},
    {"login_quoted", T_TLS, "a LOGIN \"al ice\" \"w\\\"o\\\\d\\x\"\r\n", 0, "f", "a " NOAUTH,
	"START PLAIN ~al ice~w\"o\\dx|"},
    {"login_sync_literals", T_TLS, "a LOGIN {5}\r\nalice {3}\r\na\r\n\r\n", 0, "f",
	"+ OK\r\n+ OK\r\na " NOAUTH, "START PLAIN ~alice~a\r\n|"},
    {"login_literal_without_size", T_TLS, "a LOGIN x {}\r\nb LOGIN x {+}\r\n", 0, "",
	"a BAD Invalid literal size\r\nb BAD Invalid literal size\r\n", ""},
    {"login_literal_not_at_the_end", T_TLS, "a LOGIN {5} x\r\nb LOGIN {-1}\r\n", 0, "",
	"a BAD Missing LF after literal size\r\nb BAD Invalid literal size\r\n", ""},
    {"login_literal_in_an_open_quote", T_TLS, "a LOGIN x \"{3+}\r\nabc\r\nb NOOP\r\n", 0, "",
	"a BAD Missing '\"'\r\nb OK NOOP completed.\r\n", ""},
    {"login_literal_behind_an_atom", T_TLS, "a LOGIN x y{3+}\r\nabc\r\nb NOOP\r\n", 0, "",
	"a BAD Invalid characters in atom\r\nb OK NOOP completed.\r\n", ""},
    {"tag_with_literal", T_TLS, "a{3+}\r\nb N\r\nc NOOP\r\n", 0, "",
	"* " BAD_TEXT "c OK NOOP completed.\r\n", ""},
    {"login_nonsync_literals", T_TLS, "a LOGIN {5+}\r\nalice {2+}\r\npw\r\nb NOOP\r\n", 0, "f",
	"a " NOAUTH "b OK NOOP completed.\r\n", "START PLAIN ~alice~pw|"},
    {"login_empty_password", T_TLS, "a LOGIN alice \"\"\r\n", 0, "f", "a " NOAUTH,
	"START PLAIN ~alice~|"},
    {"login_8bit", T_TLS, "a LOGIN \"\xc3\xa4\" \"\xff\"\r\n", 0, "f", "a " NOAUTH,
	"START PLAIN ~\xc3\xa4~\xff|"},
    {"login_8bit_atom", T_TLS, "a LOGIN \xc3\xa4 x\r\n", 0, "", "a BAD 8bit data in atom\r\n", ""},
    {"login_odd_password_atoms", T_TLS, "a LOGIN x %*\\]~+&\r\n", 0, "f", "a " NOAUTH,
	"START PLAIN ~x~%*\\]~+&|"},
    {"login_without_plain", T_TLS | T_NO_PLAIN, "a CAPABILITY\r\nb LOGIN x y\r\n", 0, "",
	"* CAPABILITY " CAPS " LOGINDISABLED AUTH=SCRAM-SHA-256\r\n"
	"a OK Pre-login capabilities listed, post-login capabilities have more.\r\nb " NOMECH, "REFUSED PLAIN|"},
    {"login_unclosed_quote", T_TLS, "a LOGIN \"x y\r\nb LOGIN \"x\\\r\n", 0, "",
	"a BAD Missing '\"'\r\nb BAD Missing '\"'\r\n", ""},
    {"login_atom_errors", T_TLS, "a LOGIN a(b c\r\nb LOGIN a b)c\r\n", 0, "",
	"a BAD Invalid characters in atom\r\nb BAD Unexpected ')'\r\n", ""},
    {"capability_secured_and_tls_required", T_SECURED | T_REQUIRED | T_OFFERED, "a CAPABILITY\r\n", 0,
	"", "* CAPABILITY " CAPS " STARTTLS AUTH=PLAIN AUTH=LOGIN AUTH=SCRAM-SHA-256\r\n"
	"a OK Pre-login capabilities listed, post-login capabilities have more.\r\n", ""},
    {"login_temp_failure", T_TLS, "a LOGIN a b\r\n", 0, "t",
	"a NO [UNAVAILABLE] Temporary authentication failure.\r\n", "START PLAIN ~a~b|"},
    {"login_without_arguments", T_TLS, "a LOGIN\r\nb LOGIN x\r\n", 0, "", "a " BAD_TEXT "b " BAD_TEXT,
	""},
    {"login_in_the_clear", T_OFFERED, "a LOGIN alice pw\r\n", 0, "", EXPOSED "a " NOPLAIN, "REFUSED PLAIN|"},
    {"login_in_the_clear_allowed", T_CLEAR, "a LOGIN a b\r\n", 0, "f", "a " NOAUTH,
	"START PLAIN ~a~b|"},
    {"login_secured_by_address", T_SECURED, "a LOGIN a b\r\n", 0, "f", "a " NOAUTH,
	"START PLAIN ~a~b|"},
    {"login_ssl_required", T_REQUIRED, "a LOGIN a b\r\n", 0, "", EXPOSED "a " NOPLAIN, "REFUSED PLAIN|"},
    {"login_ssl_required_secured_by_address", T_SECURED | T_REQUIRED, "a LOGIN a b\r\n", 0, "f",
	"a " NOAUTH, "START PLAIN ~a~b|"},
    {"unknown_mechanism_ssl_required", T_REQUIRED, "a AUTHENTICATE X\r\n", 0, "",
	"a NO [PRIVACYREQUIRED] Authentication not allowed until SSL/TLS is enabled.\r\n", "REFUSED X|"},
    {"authenticate_ssl_required", T_REQUIRED, "a AUTHENTICATE SCRAM-SHA-256\r\n", 0, "",
	"a NO [PRIVACYREQUIRED] Authentication not allowed until SSL/TLS is enabled.\r\n", "REFUSED SCRAM-SHA-256|"},
    {"authenticate_plain_in_the_clear", T_OFFERED, "a AUTHENTICATE PLAIN AGEAYg==\r\n", 0, "",
	"a NO [PRIVACYREQUIRED] Plaintext authentication disabled.\r\n", "REFUSED PLAIN|"},
    {"authenticate_blanks", T_TLS, "a AUTHENTICATE  PLAIN \r\n*\r\nb AUTHENTICATE PLAIN  AGEAYg== \r\n", 0,
	"cf", "+ \r\na BAD Authentication aborted by client.\r\nb " NOAUTH,
	"START PLAIN none|CANCEL|START PLAIN ~a~b|"},
    {"authenticate_two_words", T_TLS, "a AUTHENTICATE PLAIN AGEA Yg==\r\n", 0, "", "a " BAD_TEXT, ""},
    {"authenticate_nothing", T_TLS, "a AUTHENTICATE\r\nb AUTHENTICATE \r\n", 0, "",
	"a " BAD_TEXT "b " BAD_TEXT, ""},
    {"authenticate_literal", T_TLS, "a AUTHENTICATE PLAIN {8+}\r\nx LOGOUT\r\nb NOOP\r\n", 0, "",
	"a BAD Invalid base64 data in initial response\r\nb OK NOOP completed.\r\n", ""},
    {"tab_in_sasl", T_TLS, "a AUTHENTICATE PLAIN\r\nAGEA\tYg==\r\nb AUTHENTICATE PLAIN\tx\r\n", 0, "c",
	"+ \r\na NO [ALERT] Invalid base64 in response\r\nb " NOMECH,
	"START PLAIN none|CANCEL|REFUSED PLAIN	x|"},
    {"authenticate_initial_response", T_TLS, "a AUTHENTICATE plain AGEAYg==\r\n", 0, "f",
	"a " NOAUTH, "START PLAIN ~a~b|"},
    {"authenticate_empty_initial_response", T_TLS, "a AUTHENTICATE PLAIN =\r\n", 0, "f",
	"a " NOAUTH, "START PLAIN |"},
    {"authenticate_steps", T_TLS, "a AUTHENTICATE LOGIN\r\nYQ==\r\nYg==\r\nb NOOP\r\n", 0, "ccf",
	"+ \r\n+ \r\na " NOAUTH "b OK NOOP completed.\r\n", "START LOGIN none|CONT a|CONT b|"},
    {"authenticate_empty_response", T_TLS, "a AUTHENTICATE LOGIN\r\n\r\n", 0, "cf",
	"+ \r\na " NOAUTH, "START LOGIN none|CONT |"},
    {"authenticate_cancel", T_TLS, "a AUTHENTICATE PLAIN\r\n*\r\nb NOOP\r\n", 0, "c",
	"+ \r\na BAD Authentication aborted by client.\r\nb OK NOOP completed.\r\n",
	"START PLAIN none|CANCEL|"},
    {"authenticate_bad_base64", T_TLS, "a AUTHENTICATE PLAIN\r\nA!==\r\n", 0, "c",
	"+ \r\na NO [ALERT] Invalid base64 in response\r\n", "START PLAIN none|CANCEL|"},
    {"bad_base64_in_initial_response", T_TLS, "a AUTHENTICATE PLAIN AGEA\tYg=\r\n", 0, "",
	"a BAD Invalid base64 data in initial response\r\n", ""},
    {"unknown_mechanism", T_TLS, "a AUTHENTICATE NTLM\r\n", 0, "",
	"a " NOMECH, "REFUSED NTLM|"},
    {"private_mechanism", T_TLS, "a AUTHENTICATE APOP AA==\r\n", 0, "",
	"a " NOMECH, "REFUSED APOP|"},
    {"starttls", T_OFFERED, "a STARTTLS\r\n", 0, "", "a OK Begin TLS negotiation now.\r\n",
	"STARTTLS|"},
    {"starttls_twice", T_TLS, "a STARTTLS\r\n", 0, "", "a BAD TLS is already active.\r\n", ""},
    {"starttls_without_tls", 0, "a STARTTLS\r\n", 0, "", "a BAD TLS support isn't enabled.\r\n", ""},
    {"unknown_command", T_TLS, "a SELECT INBOX\r\nb NOOP\r\n", 0, "",
	"a " BAD_TEXT "b OK NOOP completed.\r\n", ""},
    {"three_bad_commands", T_TLS, "a X\r\nb NOOP\r\nc Y\r\nd Z\r\n", 0, "",
	"a " BAD_TEXT "b OK NOOP completed.\r\nc " BAD_TEXT TOOMANY, "CLOSE Too many invalid commands|"},
    {"http_verbs_not_echoed", T_TLS, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 0, "",
	"* " BAD_TEXT "* " BAD_TEXT TOOMANY, "CLOSE Too many invalid commands|"},
    {"markup_not_echoed", T_TLS, "<script> X\r\na:b X\r\n", 0, "", "* " BAD_TEXT "* " BAD_TEXT, ""},
    {"bad_tag_not_echoed", T_TLS, "a+b NOOP\r\na\x7f NOOP\r\n", 0, "", "* " BAD_TEXT "* " BAD_TEXT, ""},
    {"8bit_tag_not_echoed", T_TLS, "a\xc3\xa4 NOOP\r\n\tb NOOP\r\n", 0, "", "* " BAD_TEXT "* " BAD_TEXT, ""},
    {"login_hint", T_TLS, "LOGIN alice wonderland\r\n", 0, "",
	"LOGIN BAD First parameter in line is IMAP's command tag, not the command name. Add that "
	"before the command, like: a login user pass\r\n", ""},
    {"empty_lines", T_TLS, "\r\n\r\n\r\n", 0, "", "* " BAD_TEXT "* " BAD_TEXT TOOMANY,
	"CLOSE Too many invalid commands|"},
    {"cr_only", T_TLS, "a NOOP\rb NOOP\r\n", 0, "", "a BAD CR sent without LF\r\n", ""},
    {"cr_twice", T_TLS, "a LOGIN x y\r\r\nb LOGIN \"x\ry\" z\r\n", 0, "",
	"a BAD CR sent without LF\r\nb BAD Missing '\"'\r\n", ""},
    {"nul_in_login", T_TLS, "a LOGIN a\0b pw\r\nb LOGIN \"a\0b\" pw\r\n", 37, "",
	"a BAD Invalid characters in atom\r\nb BAD NULs not allowed in strings\r\n", ""},
    {"nul_in_login_literal", T_TLS, "a LOGIN {3+}\r\na\0b pw\r\n", 23, "",
	"a BAD NULs not allowed in strings\r\n", ""},
    {"nul_in_command", T_TLS, "a NO\0OP\r\n", 9, "", "a " BAD_TEXT, ""},
    {"literal_2gb", T_TLS, "a LOGIN {2147483648}\r\n", 0, "", "* BYE Literal size too large\r\n",
	"CLOSE Literal size too large|"},
    {"literal_huge_number", T_TLS, "a X {99999999999999999999999999999999}\r\n", 0, "",
	"* BYE Literal size too large\r\n", "CLOSE Literal size too large|"},
    {"literal_minus_limit", T_TLS | T_MINUS, "a LOGIN {4097+}\r\n", 0, "",
	"* BYE Non-synchronizing literal size too large\r\n", "CLOSE Literal size too large|"},
    {"literal_on_any_command", T_TLS, "a NOOP {3+}\r\nabc\r\n", 0, "", "a " BAD_TEXT, ""},
};

static void
exchanges(void **state)
{
	(void)state;
	check_rows(rows, sizeof(rows) / sizeof(rows[0]), DLG_IMAP);
}

static void
starttls_pipelined(void **state)
{
	static const struct row r = {"", T_OFFERED, "a STARTTLS\r\nb NOOP\r\n", 0, "", "", ""};
	static struct outcome o;

	(void)state;
	run_row(&r, DLG_IMAP, 100, 0, &o);
	assert_true(o.stopped);
	assert_int_equal(o.used, 12); /* "b NOOP" must not run as a command */
	assert_int_equal(npending, 8);
	dlg_tls_started(&dlg);
	assert_true(dlg.tls_on && dlg.secured && !dlg.tls_offered);
}

static void
sync_literal_is_prompted_once(void **state)
{
	static const struct row r = {"", T_TLS, "a LOGIN {5}\r\nal", 0, "", "", ""};
	static struct outcome o;

	(void)state;
	run_row(&r, DLG_IMAP, 1, 0, &o);
	assert_string_equal(o.replies, "+ OK\r\n");
	run_row(&r, DLG_IMAP, 100, 0, &o);
	assert_string_equal(o.replies, "+ OK\r\n");
}

/* A line that is too long ends it; one for SASL is refused, and the connection stays. */
static void
long_lines(void **state)
{
	static char in[40000];
	static struct outcome o;
	struct row r = {"20000_byte_line", T_TLS, in, 0, "", FULL, "CLOSE Input buffer full|"};
	size_t steps[] = {1, 1000, 40000};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		memset(in, 'x', 20000);
		strcpy(in + 20000, "\r\n");
		run_row(&r, DLG_IMAP, steps[i], 0, &o);
		check_outcome(&r, &o, "step", steps[i]);
	}
	r = (struct row){"oversized_initial_response", T_TLS, in, 0, "",
	    "a NO [ALERT] Authentication data is too long.\r\nb OK NOOP completed.\r\n", ""};
	for (size_t i = 0; i < 3; i++) {
		strcpy(in, "a AUTHENTICATE PLAIN ");
		memset(in + 21, 'A', 20000);
		strcpy(in + 20021, "\r\nb NOOP\r\n");
		run_row(&r, DLG_IMAP, steps[i], 0, &o);
		check_outcome(&r, &o, "step", steps[i]);
	}
	r = (struct row){"oversized_response", T_TLS, in, 0, "c",
	    "+ \r\na NO [ALERT] Authentication data is too long.\r\nb OK NOOP completed.\r\n",
	    "START PLAIN none|CANCEL|"};
	for (size_t i = 0; i < 3; i++) {
		strcpy(in, "a AUTHENTICATE PLAIN\r\n");
		memset(in + 22, 'A', 20000);
		strcpy(in + 20022, "\r\nb NOOP\r\n");
		run_row(&r, DLG_IMAP, steps[i], 0, &o);
		check_outcome(&r, &o, "step", steps[i]);
	}
}

/* What does not fit is left out, in whole pairs and from there on. */
static void
id_cut(void **state)
{
	static char in[9000];
	static struct outcome o;
	struct row r = {"", T_TLS | T_ID, in, 0, "", "", ""};
	char v[1025];

	(void)state;
	memset(v, 'v', 1024);
	v[1024] = '\0';
	snprintf(in, sizeof(in), "a ID (\"a\" {1000+}\r\n%.1000s \"b\" {1000+}\r\n%.1000s \"c\" {1000+}\r\n"
	    "%.1000s \"d\" \"e\")\r\n", v, v, v);
	run_row(&r, DLG_IMAP, 100, 0, &o);
	assert_string_equal(o.replies, "* ID NIL\r\na OK ID completed.\r\n");
	assert_int_equal(strlen(o.events), 3 + 2 * (1 + 1 + 1 + 1000 + 1) + 1);
	assert_null(strstr(o.events, "~d~"));
	snprintf(in, sizeof(in), "a ID (\"a\" {1025+}\r\n%sv)\r\n", v);
	run_row(&r, DLG_IMAP, 100, 0, &o);
	assert_string_equal(o.replies, "a " BADID);
	assert_string_equal(o.events, "");
}

/* 12288 octets of base64 are served (RFC 4954 4). */
static void
largest_sasl(void **state)
{
	static char in[20000];
	static struct outcome o;
	struct row r = {"", T_TLS, in, 0, "f", "", ""};

	(void)state;
	strcpy(in, "a AUTHENTICATE PLAIN ");
	memset(in + 21, 'Y', DLG_SASL_B64_MAX);
	strcpy(in + 21 + DLG_SASL_B64_MAX, "\r\n");
	run_row(&r, DLG_IMAP, 1024, 0, &o);
	assert_string_equal(o.replies, "a " NOAUTH);
	assert_int_equal(strlen(o.events), strlen("START PLAIN ") + DLG_SASL_RAW_MAX + 1);
}

static void
id_31_pairs(void **state)
{
	static char in[2000];
	static struct outcome o;
	struct row r = {"", T_TLS, in, 0, "", "", ""};

	(void)state;
	for (int pairs = 30; pairs <= 31; pairs++) {
		strcpy(in, "a ID (");
		for (int i = 0; i < pairs; i++)
			strcat(in, i > 0 ? " \"k\" \"v\"" : "\"k\" \"v\"");
		strcat(in, ")\r\n");
		run_row(&r, DLG_IMAP, 2000, 0, &o);
		assert_string_equal(o.replies, pairs == 30 ? "* ID NIL\r\na OK ID completed.\r\n"
							   : "a " BADID);
	}
}

static void
tag_limit(void **state)
{
	static struct outcome o;
	char in[300];
	struct row r = {"", T_TLS, in, 0, "", "", ""};

	(void)state;
	memset(in, 't', DLG_TAG_MAX);
	strcpy(in + DLG_TAG_MAX, " NOOP\r\n");
	run_row(&r, DLG_IMAP, 300, 0, &o);
	assert_int_equal(o.replies[0], 't');
	memset(in, 't', DLG_TAG_MAX + 1);
	strcpy(in + DLG_TAG_MAX + 1, " NOOP\r\n");
	run_row(&r, DLG_IMAP, 300, 0, &o);
	assert_string_equal(o.replies, "* " BAD_TEXT);
}

static void
handoff_prefix(void **state)
{
	static const struct row asked = {"", T_TLS, "x CAPABILITY\r\na1 LOGIN u p\r\n", 0, "", "", ""};
	static const struct row plain = {"", T_TLS, "a1 LOGIN u p\r\n", 0, "", "", ""};
	static struct outcome o;
	uint8_t prefix[160];

	(void)state;
	run_row(&plain, DLG_IMAP, 99, 0, &o);
	assert_int_equal(dlg_handoff_prefix(&dlg, prefix, sizeof(prefix)), 4);
	assert_memory_equal(prefix, "0a1", 4);
	run_row(&asked, DLG_IMAP, 99, 0, &o);
	assert_int_equal(dlg_handoff_prefix(&dlg, prefix, sizeof(prefix)), 4);
	assert_memory_equal(prefix, "1a1", 4);
	assert_int_equal(dlg_handoff_prefix(&dlg, prefix, 3), 0);
}

/* A reason of the auth server cannot become lines of its own. */
static void
failure_texts_are_one_line(void **state)
{
	static const struct row r = {"", T_TLS, "a1 LOGIN u p\r\n", 0, "", "", ""};
	static struct outcome o;

	(void)state;
	run_row(&r, DLG_IMAP, 99, 0, &o);
	dlg.out_len = 0;
	dlg_auth_fail(&dlg, DLG_FAIL_REASON, "x\r\n* PREAUTH y");
	take_out(&o);
	assert_non_null(strstr(o.replies, "a1 NO [ALERT] x??* PREAUTH y\r\n"));
	dlg_auth_fail(&dlg, DLG_FAIL_REASON, "[OVERQUOTA] full");
	take_out(&o);
	assert_non_null(strstr(o.replies, "a1 NO [OVERQUOTA] full\r\n"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(exchanges),
	    cmocka_unit_test(starttls_pipelined),
	    cmocka_unit_test(sync_literal_is_prompted_once),
	    cmocka_unit_test(long_lines),
	    cmocka_unit_test(id_cut),
	    cmocka_unit_test(largest_sasl),
	    cmocka_unit_test(id_31_pairs),
	    cmocka_unit_test(tag_limit),
	    cmocka_unit_test(handoff_prefix),
	    cmocka_unit_test(failure_texts_are_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
