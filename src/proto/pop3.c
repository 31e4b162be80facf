/*
 * POP3 before login (RFC 1939, RFC 2449, RFC 2595, RFC 5034): texts and codes are
 * those of dovecot-protocols D.4 to D.6.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/str.h"
#include "proto/internal.h"

#define COMMAND_MAX 8 /* letters of a command's name (D.4) */
#define AUTH_LINE_MAX (DLG_SASL_B64_MAX + 64)
#define APOP_DIGEST 16

void
pop3_greet(struct dialog *d)
{
	dlg_put(d, "+OK %s%s%s%s\r\n", d->trusted ? "[XCLIENT] " : "", d->set->greeting,
	    d->apop[0] != '\0' ? " " : "", d->apop);
}

void
pop3_fail(struct dialog *d, enum dlg_fail why, const char *text)
{
	static const struct {
		const char *code, *text; /* text NULL: the caller's */
	} rows[DLG_FAIL__MAX] = {
	    [DLG_FAIL_AUTH] = {"[AUTH] ", "Authentication failed."},
	    [DLG_FAIL_REASON] = {"[AUTH] ", NULL},
	    [DLG_FAIL_AUTHZ] = {"[AUTH] ", "Authorization failed"},
	    [DLG_FAIL_TEMP] = {"[SYS/TEMP] ", NULL},
	    [DLG_FAIL_EXPIRED] = {"[AUTH] ", "Password expired"},
	    [DLG_FAIL_BASE64] = {"[AUTH] ", NULL},
	    [DLG_FAIL_NOLOGIN] = {"[AUTH] ", NULL},
	    [DLG_FAIL_REFERRAL] = {"", "Try this server instead."},
	    [DLG_FAIL_MECH] = {"[AUTH] ", "Unsupported authentication mechanism."},
	    [DLG_FAIL_PLAINTEXT] = {"[AUTH] ",
		"Plaintext authentication disallowed on non-secure (SSL/TLS) connections."},
	    [DLG_FAIL_SSL_REQUIRED] = {"[AUTH] ",
		"Authentication not allowed until SSL/TLS is enabled."},
	    [DLG_FAIL_LIMIT] = {"[IN-USE] ", NULL},
	    [DLG_FAIL_UNAVAILABLE] = {"[SYS/TEMP] ", NULL},
	};
	const char *code = rows[why].code;
	char clean[1024];

	if (why == DLG_FAIL_PLAINTEXT && d->auth_command)
		text = DLG_NO_PLAINTEXT_SASL;
	else if (rows[why].text != NULL)
		text = rows[why].text;
	else if (why == DLG_FAIL_NOLOGIN && text[0] == '\0')
		text = "Login disabled for this user";
	if ((why == DLG_FAIL_REASON && text[0] == '[') ||
	    (why == DLG_FAIL_BASE64 && strncmp(text, "Authentication aborted", 22) == 0))
		code = "";
	dlg_put(d, "-ERR %s%s\r\n", code, dlg_clean(text, clean, sizeof(clean)));
	d->state = DLG_ST_COMMAND;
}

/* ---- commands: arg is the rest of the line behind one blank ---------------- */

/* False: not a command in this form. */
typedef bool (*handler)(struct dialog *d, const uint8_t *arg, size_t len, struct dlg_event *ev);

static void
put_mechs(struct dialog *d, const char *before, const char *after)
{
	for (unsigned int i = 0; i < d->nmechs; i++)
		if (dlg_mech_usable(d, &d->mechs[i]))
			dlg_put(d, "%s%s%s", before, d->mechs[i].name, after);
}

static bool
on_capa(struct dialog *d, const uint8_t *arg, size_t len, struct dlg_event *ev)
{
	(void)arg;
	(void)len;
	(void)ev;
	dlg_put(d, "+OK\r\nCAPA\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nPIPELINING\r\nAUTH-RESP-CODE\r\n");
	if (d->tls_offered && !d->tls_on)
		dlg_put(d, "STLS\r\n");
	if (dlg_password_usable(d))
		dlg_put(d, "USER\r\n");
	dlg_put(d, "SASL");
	put_mechs(d, " ", "");
	dlg_put(d, "\r\n.\r\n");
	return true;
}

static bool
on_stls(struct dialog *d, const uint8_t *arg, size_t len, struct dlg_event *ev)
{
	(void)arg;
	(void)len;
	if (d->tls_on) {
		dlg_put(d, "-ERR TLS is already active.\r\n");
	} else if (!d->tls_offered) {
		dlg_put(d, "-ERR TLS support isn't enabled.\r\n");
	} else {
		dlg_put(d, "+OK Begin TLS negotiation now.\r\n");
		d->state = DLG_ST_TLS;
		ev->type = DLG_STARTTLS;
	}
	return true;
}

static bool
on_quit(struct dialog *d, const uint8_t *arg, size_t len, struct dlg_event *ev)
{
	(void)arg;
	(void)len;
	dlg_put(d, "+OK Logging out\r\n");
	dlg_close(ev, "Aborted login by logging out");
	return true;
}

static bool
on_user(struct dialog *d, const uint8_t *arg, size_t len, struct dlg_event *ev)
{
	d->auth_command = false;
	if (!dlg_password_usable(d)) {
		dlg_refuse_login(d,
		    dlg_find_mech(d, "PLAIN", 5) == NULL ? DLG_FAIL_MECH : DLG_FAIL_PLAINTEXT, "", 0, ev);
		return true;
	}
	if (len == 0 || len > sizeof(d->user)) {
		dlg_put(d, len == 0 ? "-ERR No username given.\r\n" : "-ERR Username too long.\r\n");
		return true;
	}
	memcpy(d->user, arg, len);
	d->user_len = len;
	dlg_put(d, "+OK\r\n");
	return true;
}

static bool
on_pass(struct dialog *d, const uint8_t *arg, size_t len, struct dlg_event *ev)
{
	d->auth_command = false;
	if (!dlg_password_usable(d))
		return on_user(d, arg, 0, ev); /* the same refusal */
	if (d->user_len == 0) {
		dlg_put(d, "-ERR No username given.\r\n");
		return true;
	}
	dlg_start_plain(d, (const uint8_t *)d->user, d->user_len, arg, len, ev);
	explicit_bzero(d->user, sizeof(d->user));
	d->user_len = 0;
	return true;
}

static bool
on_auth(struct dialog *d, const uint8_t *arg, size_t len, struct dlg_event *ev)
{
	const uint8_t *ir, *end;
	size_t mech_len = 0;

	while (len > 0 && arg[len - 1] == ' ') /* harmless, as in Dovecot */
		len--;
	if (len == 0) { /* an old form of listing them */
		dlg_put(d, "+OK\r\n");
		put_mechs(d, "", "\r\n");
		dlg_put(d, ".\r\n");
		return true;
	}
	while (mech_len < len && arg[mech_len] != ' ')
		mech_len++;
	for (ir = arg + mech_len, end = arg + len; ir < end && *ir == ' '; ir++)
		;
	dlg_start_sasl(d, arg, mech_len, ir < end ? ir : NULL, (size_t)(end - ir), ev);
	return true;
}

static int
hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* APOP name digest: challenge NUL name NUL digest for the auth server (A.8). */
static bool
on_apop(struct dialog *d, const uint8_t *arg, size_t len, struct dlg_event *ev)
{
	size_t clen = strlen(d->apop), nlen;
	uint8_t *w = ev->data;

	if (clen == 0) {
		dlg_put(d, "-ERR APOP not enabled.\r\n");
		return true;
	}
	if (d->set->ssl_required && !d->secured) {
		dlg_refuse_login(d, DLG_FAIL_SSL_REQUIRED, "APOP", 4, ev);
		return true;
	}
	if (len < APOP_DIGEST * 2 + 2 || arg[len - APOP_DIGEST * 2 - 1] != ' ') {
		dlg_put(d, "-ERR Invalid parameters.\r\n");
		return true;
	}
	nlen = len - APOP_DIGEST * 2 - 1;
	if (memchr(arg, 0, nlen) != NULL || memchr(arg, ' ', nlen) != NULL || clen + nlen + APOP_DIGEST + 2 > sizeof(ev->data)) {
		dlg_put(d, "-ERR Invalid parameters.\r\n");
		return true;
	}
	memcpy(w, d->apop, clen + 1);
	memcpy(w + clen + 1, arg, nlen);
	w[clen + 1 + nlen] = 0;
	for (size_t i = 0; i < APOP_DIGEST; i++) {
		int hi = hex(arg[nlen + 1 + 2 * i]), lo = hex(arg[nlen + 2 + 2 * i]);

		if (hi < 0 || lo < 0) {
			dlg_put(d, "-ERR Invalid characters in MD5 response.\r\n");
			return true;
		}
		w[clen + nlen + 2 + i] = (uint8_t)(hi << 4 | lo);
	}
	ev->data_len = clen + nlen + 2 + APOP_DIGEST;
	ev->has_ir = true;
	str_copy(ev->mech, sizeof(ev->mech), "APOP");
	d->auth_command = false;
	d->state = DLG_ST_AUTH_WAIT;
	ev->type = DLG_AUTH_START;
	return true;
}

/* ---- XCLIENT: a trusted proxy says whom it speaks for ------------------------ */

static bool
is_ip(const char *s)
{
	uint8_t ip[16];

	return inet_pton(strchr(s, ':') != NULL ? AF_INET6 : AF_INET, s, ip) == 1;
}

static bool
is_port(const char *s)
{
	uint64_t n;

	return str_to_u64(s, 65535, &n) && n > 0;
}

static bool
is_number(const char *s)
{
	uint64_t n;

	return str_to_u64(s, UINT32_MAX, &n);
}

/* "k=v TAB k=v ..."; a word alone has an empty value. */
static bool
forward(struct dlg_event *ev, const char *base64)
{
	uint8_t raw[DLG_LINE_MAX];
	long n = base64_decode(raw, sizeof(raw), base64, strlen(base64));
	const char *p = (const char *)raw, *end = p + (n > 0 ? n : 0);

	if (n <= 0 || memchr(raw, 0, (size_t)n) != NULL)
		return false;
	for (const char *tab; p < end; p = tab + 1) {
		char key[DLG_LINE_MAX + 16];
		const char *eq;
		size_t len;

		if ((tab = memchr(p, '\t', (size_t)(end - p))) == NULL)
			tab = end;
		if ((eq = memchr(p, '=', (size_t)(tab - p))) == NULL)
			eq = tab;
		len = (size_t)snprintf(key, sizeof(key), "x-forward-%.*s", (int)(eq - p), p);
		if (eq < tab)
			eq++;
		dlg_id_pair(ev, key, len, eq, (size_t)(tab - eq), false);
	}
	return true;
}

/* One KEY=VALUE; unknown keys are for other servers. */
static bool
xclient_word(struct dlg_event *ev, const char *word)
{
	static const struct {
		const char *key, *id; /* id NULL: checked, no more */
		bool (*good)(const char *value);
	} keys[] = {{"ADDR=", "x-originating-ip", is_ip}, {"PORT=", "x-originating-port", is_port},
	    {"SESSION=", "x-session-id", NULL}, {"TTL=", NULL, is_number}};

	if (strncasecmp(word, "FORWARD=", 8) == 0)
		return forward(ev, word + 8);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *value = word + strlen(keys[i].key);

		if (strncasecmp(word, keys[i].key, strlen(keys[i].key)) != 0)
			continue;
		if (keys[i].good != NULL && !keys[i].good(value))
			return false;
		if (keys[i].id != NULL)
			dlg_id_pair(ev, keys[i].id, strlen(keys[i].id), value, strlen(value), false);
	}
	return true;
}

static bool
speaks_for(struct dialog *d, bool good, struct dlg_event *ev)
{
	if (!d->trusted)
		dlg_put(d, "+OK You are not from trusted IP - ignoring\r\n");
	else
		dlg_put(d, good ? "+OK Updated\r\n" : "-ERR Invalid parameters\r\n");
	if (d->trusted && good)
		ev->type = DLG_ID;
	else
		ev->data_len = 0;
	return true;
}

static bool
on_xclient(struct dialog *d, const uint8_t *arg, size_t len, struct dlg_event *ev)
{
	bool good = true;

	ev->id_cut = false;
	ev->id_pairs = 0;
	for (size_t at = 0, n; d->trusted && good && at < len; at += n + 1) {
		const uint8_t *blank = memchr(arg + at, ' ', len - at);
		char word[DLG_LINE_MAX + 1];

		n = (blank != NULL ? (size_t)(blank - arg) : len) - at;
		str_copy_n(word, sizeof(word), arg + at, n);
		good = xclient_word(ev, word);
	}
	return speaks_for(d, good, ev);
}

/* An older form of XCLIENT ADDR=. */
static bool
on_xoip(struct dialog *d, const uint8_t *arg, size_t len, struct dlg_event *ev)
{
	char word[DLG_LINE_MAX + 8];

	ev->id_cut = false;
	ev->id_pairs = 0;
	snprintf(word, sizeof(word), "ADDR=%.*s", (int)len, (const char *)arg);
	return speaks_for(d, xclient_word(ev, word), ev);
}

static const struct {
	const char *name;
	handler handle;
} commands[] = {
    {"CAPA", on_capa},
    {"USER", on_user},
    {"PASS", on_pass},
    {"AUTH", on_auth},
    {"APOP", on_apop},
    {"STLS", on_stls},
    {"QUIT", on_quit},
    {"XCLIENT", on_xclient},
    {"XOIP", on_xoip},
};

static bool
run(struct dialog *d, const uint8_t *line, size_t len, struct dlg_event *ev)
{
	const uint8_t *blank = len > 0 ? memchr(line, ' ', len) : NULL;
	size_t n = blank != NULL ? (size_t)(blank - line) : len;

	if (n == 0 || n > COMMAND_MAX || memchr(line, 0, len) != NULL)
		return false;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (dlg_word_is(line, n, commands[i].name))
			return commands[i].handle(d, blank != NULL ? blank + 1 : line + n,
			    blank != NULL ? len - n - 1 : 0, ev);
	return false;
}

static bool
is_auth(const uint8_t *in, size_t len)
{
	return len >= 5 && strncasecmp((const char *)in, "AUTH ", 5) == 0;
}

/* Too long: AUTH is refused and swallowed, anything else ends it. */
static void
long_line(struct dialog *d, const uint8_t *in, size_t len, size_t *used, struct dlg_event *ev)
{
	if (is_auth(in, len)) {
		pop3_fail(d, DLG_FAIL_REASON, "Authentication data is too long.");
		dlg_skip_line(d, in, len, used);
		ev->type = DLG_REPLIED;
		return;
	}
	dlg_put(d, "-ERR Input buffer full, aborting\r\n");
	dlg_close(ev, "Input buffer full");
}

void
pop3_feed(struct dialog *d, const uint8_t *in, size_t len, size_t *used, struct dlg_event *ev)
{
	size_t lf = dlg_line_end(in, len), max = is_auth(in, len) ? AUTH_LINE_MAX : DLG_LINE_MAX;

	if (lf > max) {
		long_line(d, in, len, used, ev);
		return;
	}
	if (lf == len)
		return;
	*used = lf + 1;
	ev->type = DLG_REPLIED;
	if (run(d, in, dlg_line_len(in, lf), ev)) {
		/* Three in a row (D.4); a refused login is neither good nor bad. */
		if (ev->refused == 0)
			d->bad_commands = 0;
		return;
	}
	dlg_put(d, "-ERR Unknown command.\r\n");
	if (++d->bad_commands >= DLG_BAD_MAX) {
		dlg_put(d, "-ERR Too many invalid bad commands.\r\n");
		dlg_close(ev, "Too many invalid commands");
	}
}
