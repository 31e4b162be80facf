/*
 * IMAP before login (RFC 3501, RFC 9051 6.1 and 6.2): texts and codes are those of
 * dovecot-protocols D.4 to D.6, so that clients and log tools see no difference.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/str.h"
#include "proto/imap_parse.h"
#include "proto/internal.h"

#define BAD_TEXT "Error in IMAP command received by server."
#define ID_FIELD_MAX 30
#define ID_VALUE_MAX 1024
/* AUTHENTICATE with an initial response of the largest size, and its tag. */
#define AUTH_LINE_MAX (DLG_SASL_B64_MAX + 256)

/* ---- capabilities --------------------------------------------------------- */

static void
put_capability(struct dialog *d)
{
	const char *own = d->set->imap_capability;

	if (own[0] != '\0' && own[0] != '+') {
		dlg_put(d, "%s", own);
	} else {
		dlg_put(d, "IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE%s%s LITERAL%c",
		    own[0] == '+' ? " " : "", own[0] == '+' ? own + 1 : "",
		    d->set->imap_literal_minus ? '-' : '+');
	}
	if (d->tls_offered && !d->tls_on)
		dlg_put(d, " STARTTLS");
	if (!dlg_password_usable(d))
		dlg_put(d, " LOGINDISABLED");
	for (unsigned int i = 0; i < d->nmechs; i++)
		if (dlg_mech_usable(d, &d->mechs[i]))
			dlg_put(d, " AUTH=%s", d->mechs[i].name);
}

void
imap_greet(struct dialog *d)
{
	dlg_put(d, "* OK [CAPABILITY ");
	put_capability(d);
	dlg_put(d, "] %s\r\n", d->set->greeting);
}

/* ---- failures ------------------------------------------------------------- */

void
imap_fail(struct dialog *d, enum dlg_fail why, const char *text)
{
	static const struct {
		const char *status, *code, *text; /* text NULL: the caller's */
	} rows[DLG_FAIL__MAX] = {
	    [DLG_FAIL_AUTH] = {"NO", "[AUTHENTICATIONFAILED] ", "Authentication failed."},
	    [DLG_FAIL_REASON] = {"NO", "[ALERT] ", NULL},
	    [DLG_FAIL_AUTHZ] = {"NO", "[AUTHORIZATIONFAILED] ", "Authorization failed"},
	    [DLG_FAIL_TEMP] = {"NO", "[UNAVAILABLE] ", NULL},
	    [DLG_FAIL_EXPIRED] = {"NO", "[EXPIRED] ", "Password expired"},
	    [DLG_FAIL_BASE64] = {"BAD", "", NULL},
	    [DLG_FAIL_NOLOGIN] = {"NO", "[CONTACTADMIN] ", NULL},
	    [DLG_FAIL_REFERRAL] = {"NO", "", NULL},
	    [DLG_FAIL_MECH] = {"NO", "[ALERT] ", "Unsupported authentication mechanism."},
	    [DLG_FAIL_PLAINTEXT] = {"NO", "[PRIVACYREQUIRED] ",
		"Plaintext authentication disallowed on non-secure (SSL/TLS) connections."},
	    [DLG_FAIL_SSL_REQUIRED] = {"NO", "[PRIVACYREQUIRED] ",
		"Authentication not allowed until SSL/TLS is enabled."},
	    [DLG_FAIL_LIMIT] = {"NO", "[LIMIT] ", NULL},
	    [DLG_FAIL_UNAVAILABLE] = {"NO", "[UNAVAILABLE] ", NULL},
	};
	const char *code = rows[why].code;
	char clean[1024];

	if (why == DLG_FAIL_PLAINTEXT && d->auth_command)
		text = DLG_NO_PLAINTEXT_SASL;
	else if (rows[why].text != NULL)
		text = rows[why].text;
	else if (why == DLG_FAIL_NOLOGIN && text[0] == '\0')
		text = "Login disabled for this user";
	if (why == DLG_FAIL_REASON && text[0] == '[')
		code = ""; /* it brings its own */
	if (!d->auth_command && (why == DLG_FAIL_PLAINTEXT || why == DLG_FAIL_SSL_REQUIRED)) {
		dlg_put(d, "* BAD [ALERT] Plaintext authentication not allowed without SSL/TLS, but "
		    "your client did it anyway. If anyone was listening, the password was "
		    "exposed.\r\n");
		text = rows[DLG_FAIL_PLAINTEXT].text;
	}
	dlg_put(d, "%s %s %s%s%s\r\n", d->tag, rows[why].status,
	    why == DLG_FAIL_REFERRAL ? "[REFERRAL " : code, dlg_clean(text, clean, sizeof(clean)),
	    why == DLG_FAIL_REFERRAL ? "] Try this server instead." : "");
	d->state = DLG_ST_COMMAND;
}

/* ---- commands ------------------------------------------------------------- */

/* What a command's handler says of it. */
enum verdict {
	DONE,
	BAD,
	BAD_UNCOUNTED /* said, but not one of the three */
};

typedef enum verdict (*handler)(struct dialog *d, struct imap_cursor *c, struct dlg_event *ev);

static enum verdict
no_args(struct imap_cursor *c)
{
	return imap_last(c) ? DONE : BAD;
}

static enum verdict
on_capability(struct dialog *d, struct imap_cursor *c, struct dlg_event *ev)
{
	(void)ev;
	if (no_args(c) == BAD)
		return BAD;
	d->capability_asked = !d->after_starttls;
	dlg_put(d, "* CAPABILITY ");
	put_capability(d);
	dlg_put(d, "\r\n%s OK Pre-login capabilities listed, post-login capabilities have more.\r\n",
	    d->tag);
	return DONE;
}

static enum verdict
on_noop(struct dialog *d, struct imap_cursor *c, struct dlg_event *ev)
{
	(void)ev;
	if (no_args(c) == BAD)
		return BAD;
	dlg_put(d, "%s OK NOOP completed.\r\n", d->tag);
	return DONE;
}

static enum verdict
on_logout(struct dialog *d, struct imap_cursor *c, struct dlg_event *ev)
{
	if (no_args(c) == BAD)
		return BAD;
	dlg_put(d, "* BYE Logging out\r\n%s OK Logout completed.\r\n", d->tag);
	dlg_close(ev, "Aborted login by logging out");
	return DONE;
}

/* ("field" value ...) or NIL.  Its contents change nothing (RFC 2971 3.3), but for
 * what trusted proxies say in it; that is the auth client's business. */
static bool
id_list(struct imap_cursor *c, struct dlg_event *ev)
{
	uint8_t key[ID_FIELD_MAX], text[ID_VALUE_MAX];
	const uint8_t *word;
	size_t len;
	bool nil;

	if (c->p < c->end && *c->p != '(')
		return imap_word(c, &word, &len) && dlg_word_is(word, len, "NIL");
	if (imap_eol(c))
		return false;
	c->p++;
	for (int pairs = 0; pairs <= DLG_ID_PAIRS_MAX; pairs++) {
		bool blank = imap_blanks(c);
		long nk, nv;

		if (c->p < c->end && *c->p == ')') {
			c->p++;
			return true;
		}
		if (imap_eol(c)) {
			c->error = "Missing ')'";
			return false;
		}
		if ((pairs > 0 && !blank) || (nk = imap_nstring(c, key, sizeof(key), &nil)) < 0 || nil ||
		    !imap_blanks(c) || (nv = imap_nstring(c, text, sizeof(text), &nil)) < 0)
			return false;
		dlg_id_pair(ev, key, (size_t)nk, text, (size_t)nv, nil);
	}
	return false;
}

static enum verdict
on_id(struct dialog *d, struct imap_cursor *c, struct dlg_event *ev)
{
	ev->id_cut = false;
	ev->id_pairs = 0;
	if (!imap_blanks(c) || !id_list(c, ev) || !imap_last(c)) {
		ev->data_len = 0;
		if (c->error != NULL)
			return BAD;
		c->error = "Invalid ID parameters";
		return BAD_UNCOUNTED;
	}
	if (d->set->imap_id_send[0] != '\0')
		dlg_put(d, "* ID (%s)\r\n", d->set->imap_id_send);
	else
		dlg_put(d, "* ID NIL\r\n");
	dlg_put(d, "%s OK ID completed.\r\n", d->tag);
	if (d->id_wanted)
		ev->type = DLG_ID;
	else
		ev->data_len = 0;
	return DONE;
}

static enum verdict
on_enable(struct dialog *d, struct imap_cursor *c, struct dlg_event *ev)
{
	const uint8_t *word;
	size_t len;

	(void)ev;
	if (!imap_blanks(c) || !imap_word(c, &word, &len))
		return BAD;
	dlg_put(d, "* ENABLED\r\n%s OK ENABLE ignored in non-authenticated state.\r\n", d->tag);
	return DONE;
}

static enum verdict
on_starttls(struct dialog *d, struct imap_cursor *c, struct dlg_event *ev)
{
	if (no_args(c) == BAD)
		return BAD;
	if (d->tls_on) {
		dlg_put(d, "%s BAD TLS is already active.\r\n", d->tag);
	} else if (!d->tls_offered) {
		dlg_put(d, "%s BAD TLS support isn't enabled.\r\n", d->tag);
	} else {
		dlg_put(d, "%s OK Begin TLS negotiation now.\r\n", d->tag);
		d->state = DLG_ST_TLS;
		ev->type = DLG_STARTTLS;
	}
	return DONE;
}

static enum verdict
on_login(struct dialog *d, struct imap_cursor *c, struct dlg_event *ev)
{
	static uint8_t user[DLG_LITERAL_MAX], pass[DLG_LITERAL_MAX];
	long nu = -1, np = -1;
	bool good;

	if (imap_blanks(c) && (nu = imap_astring(c, user, sizeof(user))) >= 0 && imap_blanks(c))
		np = imap_astring(c, pass, sizeof(pass));
	good = nu >= 0 && np >= 0 && imap_last(c);
	if (good)
		dlg_start_plain(d, user, (size_t)nu, pass, (size_t)np, ev);
	/* A malformed argument leaves a line's worth at most; wiping all 16 KiB
	 * would touch pages that nothing else does. */
	explicit_bzero(user, nu >= 0 ? (size_t)nu : DLG_LINE_MAX);
	explicit_bzero(pass, np >= 0 ? (size_t)np : DLG_LINE_MAX);
	return good ? DONE : BAD;
}

static enum verdict
on_authenticate(struct dialog *d, struct imap_cursor *c, struct dlg_event *ev)
{
	const uint8_t *mech, *ir = NULL;
	size_t mech_len, ir_len = 0;

	if (!imap_blanks(c) || !imap_word(c, &mech, &mech_len))
		return BAD;
	if (!imap_last(c) && (!imap_word(c, &ir, &ir_len) || !imap_last(c)))
		return BAD;
	dlg_start_sasl(d, mech, mech_len, ir, ir_len, ev);
	return DONE;
}

static const struct {
	const char *name;
	handler handle;
} commands[] = {
    {"CAPABILITY", on_capability},
    {"NOOP", on_noop},
    {"LOGOUT", on_logout},
    {"ID", on_id},
    {"ENABLE", on_enable},
    {"STARTTLS", on_starttls},
    {"LOGIN", on_login},
    {"AUTHENTICATE", on_authenticate},
};

static handler
find(const uint8_t *name, size_t len)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (dlg_word_is(name, len, commands[i].name))
			return commands[i].handle;
	return NULL;
}

/* ---- a whole command ------------------------------------------------------ */

/*
 * May a bad command's tag be repeated?  A browser that was led here must not read its
 * own words from us (ALPACA): nothing that could be markup or a header, and no
 * HTTP method.  Tags of mail programs are letters and digits.
 */
static bool
tag_harmless(const char *tag)
{
	static const char *const verbs[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT",
	    "OPTIONS", "TRACE", "PATCH"};

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcasecmp(tag, verbs[i]) == 0)
			return false;
	for (; *tag != '\0'; tag++)
		if (!(*tag >= '0' && *tag <= '9') && !((*tag | 32) >= 'a' && (*tag | 32) <= 'z') &&
		    strchr("._-#$", *tag) == NULL)
			return false;
	return true;
}

static void
put_bad(struct dialog *d, bool tagged, const char *text)
{
	dlg_put(d, "%s BAD %s\r\n", tagged && tag_harmless(d->tag) ? d->tag : "*", text);
}

/* Three in all, of whatever kind (D.4). */
static void
bad_command(struct dialog *d, bool tagged, const char *text, struct dlg_event *ev)
{
	if (++d->bad_commands >= DLG_BAD_MAX) {
		dlg_put(d, "* BYE Too many invalid IMAP commands.\r\n");
		dlg_close(ev, "Too many invalid commands");
		return;
	}
	put_bad(d, tagged, text);
}

static void
run(struct dialog *d, const uint8_t *in, size_t len, struct dlg_event *ev)
{
	struct imap_cursor c = {.p = in, .end = in + len};
	const uint8_t *tag, *name;
	size_t tag_len, name_len = 0;
	enum verdict verdict;
	handler h;

	ev->type = DLG_REPLIED;
	if (imap_eol(&c)) {
		bad_command(d, false, BAD_TEXT, ev);
		return;
	}
	if (!imap_word(&c, &tag, &tag_len) || !imap_tag_valid(tag, tag_len, DLG_TAG_MAX)) {
		bad_command(d, false, BAD_TEXT, ev);
		return;
	}
	str_copy_n(d->tag, sizeof(d->tag), tag, tag_len);
	if (!imap_space(&c) || !imap_word(&c, &name, &name_len)) {
		bad_command(d, true, c.error != NULL ? c.error : BAD_TEXT, ev);
		return;
	}
	h = find(name, name_len);
	if (h == NULL && dlg_word_is(tag, tag_len, "LOGIN")) {
		bad_command(d, true, "First parameter in line is IMAP's command tag, not the command "
		    "name. Add that before the command, like: a login user pass", ev);
		return;
	}
	verdict = h != NULL ? h(d, &c, ev) : BAD;
	if (verdict == DONE)
		return;
	ev->type = DLG_REPLIED;
	d->state = DLG_ST_COMMAND;
	if (verdict == BAD)
		bad_command(d, true, c.error != NULL ? c.error : BAD_TEXT, ev);
	else
		put_bad(d, true, c.error);
}

/* "tag AUTHENTICATE ": its line may be long. */
static bool
is_authenticate(const uint8_t *in, size_t len)
{
	struct imap_cursor c = {.p = in, .end = in + len};
	const uint8_t *word;
	size_t n;

	return imap_word(&c, &word, &n) && n <= DLG_TAG_MAX && imap_space(&c) &&
	    imap_word(&c, &word, &n) && dlg_word_is(word, n, "AUTHENTICATE");
}

/* An initial response over the limit: refused with its tag, swallowed, and the
 * connection stays. */
static void
long_authenticate(struct dialog *d, const uint8_t *in, size_t len, size_t *used,
    struct dlg_event *ev)
{
	struct imap_cursor c = {.p = in, .end = in + len};
	const uint8_t *tag;
	size_t n;

	imap_word(&c, &tag, &n);
	if (!imap_tag_valid(tag, n, DLG_TAG_MAX)) {
		dlg_put(d, "* BYE Input buffer full, aborting\r\n");
		dlg_close(ev, "Input buffer full");
		return;
	}
	str_copy_n(d->tag, sizeof(d->tag), tag, n);
	imap_fail(d, DLG_FAIL_REASON, "Authentication data is too long.");
	dlg_skip_line(d, in, len, used);
	ev->type = DLG_REPLIED;
}

void
imap_feed(struct dialog *d, const uint8_t *in, size_t len, size_t *used, struct dlg_event *ev)
{
	bool auth = is_authenticate(in, len);
	size_t end = 0;

	enum imap_extent extent;

	while ((extent = imap_extent(in, len, auth ? AUTH_LINE_MAX : DLG_LINE_MAX, DLG_LITERAL_MAX,
	    d->set->imap_literal_minus, d->prompted, &end)) == EXTENT_PROMPT) {
		d->prompted = end;
		dlg_put(d, "+ OK\r\n");
	}
	switch (extent) {
	case EXTENT_PROMPT:
	case EXTENT_MORE:
		if (len >= DLG_INPUT_MAX)
			break;
		return;
	case EXTENT_WHOLE:
		d->prompted = 0;
		*used = end;
		run(d, in, end, ev);
		return;
	case EXTENT_LITERAL_LARGE:
		dlg_put(d, "* BYE Literal size too large\r\n");
		dlg_close(ev, "Literal size too large");
		return;
	case EXTENT_NONSYNC_LARGE:
		dlg_put(d, "* BYE Non-synchronizing literal size too large\r\n");
		dlg_close(ev, "Literal size too large");
		return;
	case EXTENT_LINE_LONG:
		if (auth && dlg_line_end(in, len) > AUTH_LINE_MAX) {
			long_authenticate(d, in, len, used, ev);
			return;
		}
		break;
	}
	dlg_put(d, "* BYE Input buffer full, aborting\r\n");
	dlg_close(ev, "Input buffer full");
}
