/*
 * POP3 before login (src/proto): exchanges, each whole, byte by byte and split at
 * every offset.
 */
/* SRC: src/proto/dialog.c src/proto/imap.c src/proto/imap_parse.c src/proto/pop3.c src/proto/sasl.c src/common/str.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dialog_table.h"

#define NOAUTH "-ERR [AUTH] Authentication failed.\r\n"
#define NOPLAIN \
	"-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.\r\n"
#define STRANGER "+OK You are not from trusted IP - ignoring\r\n"
#define UPDATED "+OK Updated\r\n"
#define INVALID "-ERR Invalid parameters\r\n"
#define UNKNOWN "-ERR Unknown command.\r\n"
#define CAPA "+OK\r\nCAPA\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nPIPELINING\r\nAUTH-RESP-CODE\r\n"
#define DIGEST "00112233445566778899aabbccddeeff"

static const struct row rows[] = {
    {"capa", T_TLS, "CAPA\r\n", 0, "", CAPA "USER\r\nSASL PLAIN LOGIN SCRAM-SHA-256\r\n.\r\n", ""},
    {"capa_in_the_clear", T_OFFERED, "capa\r\n", 0, "", CAPA "STLS\r\nSASL SCRAM-SHA-256\r\n.\r\n", ""},
    {"capa_ssl_required", T_OFFERED | T_REQUIRED, "CAPA\r\n", 0, "", CAPA "STLS\r\nSASL\r\n.\r\n", ""},
    {"user_pass", T_TLS, "USER alice\r\nPASS wonder land\r\n", 0, "f", "+OK\r\n" NOAUTH,
	"START PLAIN ~alice~wonder land|"},
    {"pass_without_user", T_TLS, "PASS x\r\n", 0, "", "-ERR No username given.\r\n", ""},
    {"user_is_forgotten_after_pass", T_TLS, "USER a\r\nPASS x\r\nPASS y\r\n", 0, "f",
	"+OK\r\n" NOAUTH "-ERR No username given.\r\n", "START PLAIN ~a~x|"},
    {"user_in_the_clear", T_OFFERED, "USER a\r\n", 0, "", NOPLAIN, "REFUSED|"},
    {"user_in_the_clear_allowed", T_CLEAR, "USER a\r\nPASS b\r\n", 0, "f", "+OK\r\n" NOAUTH,
	"START PLAIN ~a~b|"},
    {"auth_blanks", T_TLS, "AUTH PLAIN \r\n*\r\nAUTH PLAIN  AGEAYg== \r\nAUTH \r\n", 0, "cf",
	"+ \r\n-ERR Authentication aborted by client.\r\n" NOAUTH
	"+OK\r\nPLAIN\r\nLOGIN\r\nSCRAM-SHA-256\r\n.\r\n", "START PLAIN none|CANCEL|START PLAIN ~a~b|"},
    {"auth_plain_in_the_clear", T_OFFERED, "AUTH PLAIN AGEAYg==\r\nUSER a\r\nPASS b\r\n", 0, "",
	"-ERR [AUTH] Plaintext authentication disabled.\r\n" NOPLAIN NOPLAIN, "REFUSED PLAIN|REFUSED|REFUSED|"},
    {"without_plain", T_TLS | T_NO_PLAIN, "CAPA\r\nUSER a\r\n", 0, "",
	CAPA "SASL SCRAM-SHA-256\r\n.\r\n-ERR [AUTH] Unsupported authentication mechanism.\r\n", "REFUSED|"},
    {"tab_in_sasl", T_TLS, "AUTH PLAIN AGEA\tYg==\r\nAUTH PLAIN\tx\r\n", 0, "",
	"-ERR [AUTH] Invalid base64 data in initial response\r\n"
	"-ERR [AUTH] Unsupported authentication mechanism.\r\n", "REFUSED PLAIN	x|"},
    {"xclient_of_a_stranger", T_TLS, "XCLIENT ADDR=192.0.2.1\r\nXOIP 192.0.2.1\r\nxclient\r\nXCLIENT ADDR=x\r\n", 0, "",
	STRANGER STRANGER STRANGER STRANGER, ""},
    {"xclient", T_TLS | T_ID, "XCLIENT ADDR=192.0.2.1 PORT=77  SESSION=abc TTL=4 FOO=x FORWARD=YT1iCWM9ZCBlCWJhcmU=\r\n"
	"xclient addr=2001:db8::1\r\nXOIP 192.0.2.9\r\nXCLIENT\r\n", 0, "",
	UPDATED UPDATED UPDATED UPDATED,
	"ID x-originating-ip~=192.0.2.1~x-originating-port~=77~x-session-id~=abc~x-forward-a~=b~"
	"x-forward-c~=d e~x-forward-bare~=~|ID x-originating-ip~=2001:db8::1~|ID x-originating-ip~=192.0.2.9~|ID |"},
    {"xclient_malformed", T_TLS | T_ID, "XCLIENT ADDR=nonsense\r\nXCLIENT ADDR=192.0.2.1 PORT=65536\r\n"
	"XCLIENT TTL=x\r\nXCLIENT FORWARD=!!\r\nXCLIENT FORWARD=YT1iAGM=\r\nXOIP\r\nXOIP 1.2.3\r\nCAPA\r\n", 0, "",
	INVALID INVALID INVALID INVALID INVALID INVALID INVALID
	CAPA "USER\r\nSASL PLAIN LOGIN SCRAM-SHA-256\r\n.\r\n", ""},
    {"auth_list", T_TLS, "AUTH\r\n", 0, "", "+OK\r\nPLAIN\r\nLOGIN\r\nSCRAM-SHA-256\r\n.\r\n", ""},
    {"auth_initial_response", T_TLS, "AUTH PLAIN AGEAYg==\r\n", 0, "f", NOAUTH, "START PLAIN ~a~b|"},
    {"auth_empty_initial_response", T_TLS, "AUTH PLAIN =\r\n", 0, "f", NOAUTH, "START PLAIN |"},
    {"auth_steps", T_TLS, "AUTH LOGIN\r\nYQ==\r\nYg==\r\nQUIT\r\n", 0, "ccf",
	"+ \r\n+ \r\n" NOAUTH "+OK Logging out\r\n",
	"START LOGIN none|CONT a|CONT b|CLOSE Aborted login by logging out|"},
    {"auth_cancel", T_TLS, "AUTH PLAIN\r\n*\r\nCAPA x\r\n", 0, "c",
	"+ \r\n-ERR Authentication aborted by client.\r\n"
	CAPA "USER\r\nSASL PLAIN LOGIN SCRAM-SHA-256\r\n.\r\n", "START PLAIN none|CANCEL|"},
    {"auth_unknown", T_TLS, "AUTH NTLM\r\n", 0, "", "-ERR [AUTH] Unsupported authentication mechanism.\r\n", "REFUSED NTLM|"},
    {"auth_private", T_TLS, "AUTH APOP\r\n", 0, "", "-ERR [AUTH] Unsupported authentication mechanism.\r\n", "REFUSED APOP|"},
    {"auth_bad_base64", T_TLS, "AUTH PLAIN A=\r\n", 0, "",
	"-ERR [AUTH] Invalid base64 data in initial response\r\n", ""},
    {"auth_ssl_required", T_REQUIRED, "AUTH SCRAM-SHA-256\r\n", 0, "",
	"-ERR [AUTH] Authentication not allowed until SSL/TLS is enabled.\r\n", "REFUSED SCRAM-SHA-256|"},
    {"temporary_failure", T_TLS, "USER a\r\nPASS b\r\n", 0, "t",
	"+OK\r\n-ERR [SYS/TEMP] Temporary authentication failure.\r\n", "START PLAIN ~a~b|"},
    {"stls", T_OFFERED, "STLS\r\n", 0, "", "+OK Begin TLS negotiation now.\r\n", "STARTTLS|"},
    {"stls_twice", T_TLS, "STLS\r\n", 0, "", "-ERR TLS is already active.\r\n", ""},
    {"apop", T_APOP, "APOP alice " DIGEST "\r\n", 0, "f", NOAUTH,
	"START APOP <1.2.3@x>~alice~~\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff|"},
    {"apop_ssl_required", T_APOP | T_REQUIRED, "APOP alice " DIGEST "\r\n", 0, "",
	"-ERR [AUTH] Authentication not allowed until SSL/TLS is enabled.\r\n", "REFUSED APOP|"},
    {"apop_blanks_and_nul", T_APOP, "APOP al ice " DIGEST "\r\nAPOP a " DIGEST " \r\nAPOP a\0b " DIGEST "\r\n", 131,
	"", "-ERR Invalid parameters.\r\n-ERR Invalid parameters.\r\n" UNKNOWN, ""},
    {"apop_short_digest", T_APOP, "APOP a 0011\r\n", 0, "", "-ERR Invalid parameters.\r\n", ""},
    {"apop_bad_digest", T_APOP, "APOP a 0011223344556677889zaabbccddeeff\r\n", 0, "",
	"-ERR Invalid characters in MD5 response.\r\n", ""},
    {"apop_off", T_TLS, "APOP a " DIGEST "\r\n", 0, "", "-ERR APOP not enabled.\r\n", ""},
    {"quit", T_TLS, "QUIT\r\n", 0, "", "+OK Logging out\r\n", "CLOSE Aborted login by logging out|"},
    {"three_bad_in_a_row", T_TLS, "X\r\nY\r\nAUTH NTLM\r\nNOOP\r\nX\r\nTOOLONGNAME\r\n", 0, "",
	UNKNOWN UNKNOWN "-ERR [AUTH] Unsupported authentication mechanism.\r\n" UNKNOWN
	"-ERR Too many invalid bad commands.\r\n", "REFUSED NTLM|CLOSE Too many invalid commands|"},
    {"a_good_command_forgives", T_TLS, "X\r\nY\r\nUSER\r\nX\r\nY\r\nQUIT\r\n", 0, "",
	UNKNOWN UNKNOWN "-ERR No username given.\r\n" UNKNOWN UNKNOWN "+OK Logging out\r\n",
	"CLOSE Aborted login by logging out|"},
    {"nul_is_no_command", T_TLS, "CA\0PA\r\n", 7, "", UNKNOWN, ""},
    {"http", T_TLS, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 0, "",
	UNKNOWN UNKNOWN UNKNOWN "-ERR Too many invalid bad commands.\r\n",
	"CLOSE Too many invalid commands|"},
};

static void
exchanges(void **state)
{
	(void)state;
	check_rows(rows, sizeof(rows) / sizeof(rows[0]), DLG_POP3);
}

static void
stls_pipelined(void **state)
{
	static const struct row r = {"", T_OFFERED, "STLS\r\nCAPA\r\n", 0, "", "", ""};
	static struct outcome o;

	(void)state;
	run_row(&r, DLG_POP3, 100, 0, &o);
	assert_true(o.stopped);
	assert_int_equal(o.used, 6);
}

static void
long_lines(void **state)
{
	static char in[30000];
	static struct outcome o;
	struct row r = {"long", T_TLS, in, 0, "", "-ERR Input buffer full, aborting\r\n",
	    "CLOSE Input buffer full|"};
	size_t steps[] = {1, 1000, 30000};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		memset(in, 'x', 20000);
		strcpy(in + 20000, "\r\n");
		run_row(&r, DLG_POP3, steps[i], 0, &o);
		check_outcome(&r, &o, "step", steps[i]);
	}
	r = (struct row){"auth", T_TLS, in, 0, "",
	    "-ERR [AUTH] Authentication data is too long.\r\n+OK Logging out\r\n", "CLOSE Aborted login by logging out|"};
	for (size_t i = 0; i < 3; i++) {
		strcpy(in, "AUTH PLAIN ");
		memset(in + 11, 'A', 20000);
		strcpy(in + 20011, "\r\nQUIT\r\n");
		run_row(&r, DLG_POP3, steps[i], 0, &o);
		check_outcome(&r, &o, "step", steps[i]);
	}
}

static void
greeting(void **state)
{
	static const struct row r = {"", T_APOP, "QUIT\r\n", 0, "", "", ""};
	static struct outcome o;

	(void)state;
	run_row(&r, DLG_POP3, 100, 0, &o);
	dlg.out_len = 0;
	dlg_greet(&dlg);
	assert_memory_equal(dlg.out, "+OK Ready. <1.2.3@x>\r\n", 22);
	assert_int_equal(dlg_handoff_prefix(&dlg, (uint8_t *)o.replies, 100), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(exchanges),
	    cmocka_unit_test(stls_pipelined),
	    cmocka_unit_test(long_lines),
	    cmocka_unit_test(greeting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
