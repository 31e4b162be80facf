#include "proto/dialog.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/str.h"
#include "proto/internal.h"
#include "proto/sasl.h"

static const struct protocol {
	void (*greet)(struct dialog *d);
	void (*feed)(struct dialog *d, const uint8_t *in, size_t len, size_t *used,
	    struct dlg_event *ev);
	void (*fail)(struct dialog *d, enum dlg_fail why, const char *text);
	const char *bye; /* before the text of an unasked end */
} protocols[] = {
    [DLG_IMAP] = {imap_greet, imap_feed, imap_fail, "* BYE "},
    [DLG_POP3] = {pop3_greet, pop3_feed, pop3_fail, "-ERR "},
};

static const struct protocol *
of(const struct dialog *d)
{
	return &protocols[d->proto];
}

/* ---- output --------------------------------------------------------------- */

void
dlg_put_bytes(struct dialog *d, const void *p, size_t len)
{
	if (len > sizeof(d->out) - d->out_len)
		return;
	memcpy(d->out + d->out_len, p, len);
	d->out_len += len;
}

void
dlg_put(struct dialog *d, const char *fmt, ...)
{
	size_t room = sizeof(d->out) - d->out_len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(d->out + d->out_len, room, fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < room)
		d->out_len += (size_t)n;
}

void
dlg_put_base64(struct dialog *d, const uint8_t *p, size_t len)
{
	long n = base64_encode(d->out + d->out_len, sizeof(d->out) - d->out_len, p, len);

	if (n > 0)
		d->out_len += (size_t)n;
}

const char *
dlg_clean(const char *text, char *dst, size_t cap)
{
	str_clean(dst, cap, text, strlen(text));
	return dst;
}

/* ---- input ---------------------------------------------------------------- */

size_t
dlg_line_end(const uint8_t *in, size_t len)
{
	const uint8_t *lf = len > 0 ? memchr(in, '\n', len) : NULL;

	return lf != NULL ? (size_t)(lf - in) : len;
}

size_t
dlg_line_len(const uint8_t *in, size_t lf)
{
	return lf > 0 && in[lf - 1] == '\r' ? lf - 1 : lf;
}

bool
dlg_word_is(const uint8_t *p, size_t len, const char *upper)
{
	return strlen(upper) == len && strncasecmp((const char *)p, upper, len) == 0;
}

bool
dlg_skip_line(struct dialog *d, const uint8_t *in, size_t len, size_t *used)
{
	size_t lf = dlg_line_end(in, len);

	*used = lf < len ? lf + 1 : len;
	d->skipping = lf == len;
	return d->skipping;
}

void
dlg_close(struct dlg_event *ev, const char *reason)
{
	ev->type = DLG_CLOSE;
	ev->reason = reason;
}

void
dlg_id_pair(struct dlg_event *ev, const void *key, size_t key_len, const void *value,
    size_t value_len, bool nil)
{
	size_t n = key_len + value_len + 3;
	uint8_t *p = ev->data + ev->data_len;

	if (ev->id_cut || ev->id_pairs == DLG_ID_PAIRS_MAX || n > DLG_ID_MAX - ev->data_len) {
		ev->id_cut = true;
		return;
	}
	memcpy(p, key, key_len);
	p[key_len] = '\0';
	p[key_len + 1] = nil ? 'N' : '=';
	memcpy(p + key_len + 2, value, value_len);
	p[n - 1] = '\0';
	ev->data_len += n;
	ev->id_pairs++;
}

/* ---- mechanisms ----------------------------------------------------------- */

bool
dlg_mech_usable(const struct dialog *d, const struct dlg_mech *m)
{
	if ((m->flags & DLG_MECH_PRIVATE) != 0 || (d->set->ssl_required && !d->secured))
		return false;
	if ((m->flags & DLG_MECH_BINDING) != 0 && !d->tls_on)
		return false;
	return (m->flags & DLG_MECH_PLAINTEXT) == 0 || d->secured || d->set->plaintext_allowed;
}

const struct dlg_mech *
dlg_find_mech(const struct dialog *d, const char *name, size_t len)
{
	for (unsigned int i = 0; i < d->nmechs; i++)
		if (dlg_word_is((const uint8_t *)name, len, d->mechs[i].name))
			return &d->mechs[i];
	return NULL;
}

bool
dlg_password_usable(const struct dialog *d)
{
	const struct dlg_mech *plain = dlg_find_mech(d, "PLAIN", 5);

	return plain != NULL && dlg_mech_usable(d, plain);
}

static void
refuse(struct dialog *d, enum dlg_fail why, const char *text, struct dlg_event *ev)
{
	of(d)->fail(d, why, text);
	ev->type = DLG_REPLIED;
}

void
dlg_refuse_login(struct dialog *d, enum dlg_fail why, const char *mech, size_t mech_len,
    struct dlg_event *ev)
{
	ev->refused = (uint8_t)why;
	str_copy_n(ev->mech, sizeof(ev->mech), mech, mech_len);
	refuse(d, why, "", ev);
}

/* True: this mechanism (m NULL: there is none of that name) may be used now. */
static bool
admit(struct dialog *d, const struct dlg_mech *m, const char *name, size_t len,
    struct dlg_event *ev)
{
	if (d->set->ssl_required && !d->secured)
		dlg_refuse_login(d, DLG_FAIL_SSL_REQUIRED, name, len, ev);
	else if (m == NULL || (m->flags & DLG_MECH_PRIVATE) != 0 ||
	    ((m->flags & DLG_MECH_BINDING) != 0 && !d->tls_on))
		dlg_refuse_login(d, DLG_FAIL_MECH, name, len, ev);
	else if (!dlg_mech_usable(d, m))
		dlg_refuse_login(d, DLG_FAIL_PLAINTEXT, name, len, ev);
	else
		return true;
	return false;
}

void
dlg_start_sasl(struct dialog *d, const uint8_t *mech, size_t mech_len, const uint8_t *ir,
    size_t ir_len, struct dlg_event *ev)
{
	const struct dlg_mech *m = dlg_find_mech(d, (const char *)mech, mech_len);

	d->auth_command = true;
	ev->has_ir = false;
	ev->data_len = 0;
	if (!admit(d, m, (const char *)mech, mech_len, ev))
		return;
	if (ir != NULL) {
		switch (sasl_initial((const char *)ir, ir_len, ev)) {
		case SASL_GOOD:
			break;
		case SASL_TOO_LONG:
			refuse(d, DLG_FAIL_REASON, "Authentication data is too long.", ev);
			return;
		default:
			refuse(d, DLG_FAIL_BASE64, "Invalid base64 data in initial response", ev);
			return;
		}
	}
	str_copy(ev->mech, sizeof(ev->mech), m->name);
	d->state = DLG_ST_AUTH_WAIT;
	ev->type = DLG_AUTH_START;
}

/* A line of the exchange that is longer than any may be: swallowed, refused. */
static void
too_long(struct dialog *d, const uint8_t *in, size_t len, size_t *used, struct dlg_event *ev)
{
	dlg_skip_line(d, in, len, used);
	of(d)->fail(d, DLG_FAIL_REASON, "Authentication data is too long.");
	ev->type = DLG_AUTH_CANCEL;
}

void
dlg_continue_sasl(struct dialog *d, const uint8_t *in, size_t len, size_t *used,
    struct dlg_event *ev)
{
	size_t lf = dlg_line_end(in, len), n = dlg_line_len(in, lf);

	if (lf == len) { /* no whole line yet */
		if (len > DLG_SASL_B64_MAX + 1)
			too_long(d, in, len, used, ev);
		return;
	}
	if (n > DLG_SASL_B64_MAX) {
		too_long(d, in, len, used, ev);
		return;
	}
	*used = lf + 1;
	switch (sasl_response((const char *)in, n, ev)) {
	case SASL_GOOD:
		d->state = DLG_ST_AUTH_WAIT;
		ev->type = DLG_AUTH_CONT;
		return;
	case SASL_CANCELLED:
		of(d)->fail(d, DLG_FAIL_BASE64, "Authentication aborted by client.");
		break;
	default: /* the words of Dovecot's login processes */
		of(d)->fail(d, DLG_FAIL_REASON, "Invalid base64 in response");
		break;
	}
	ev->type = DLG_AUTH_CANCEL;
}

bool
dlg_start_plain(struct dialog *d, const uint8_t *user, size_t user_len, const uint8_t *pass,
    size_t pass_len, struct dlg_event *ev)
{
	d->auth_command = false;
	if (!admit(d, dlg_find_mech(d, "PLAIN", 5), "PLAIN", 5, ev))
		return false;
	if (!sasl_plain(user, user_len, pass, pass_len, ev)) {
		refuse(d, DLG_FAIL_AUTH, "", ev);
		return false;
	}
	d->state = DLG_ST_AUTH_WAIT;
	ev->type = DLG_AUTH_START;
	return true;
}

/* ---- dialog.h ------------------------------------------------------------- */

void
dlg_init(struct dialog *d, enum dlg_proto proto, const struct dlg_settings *set,
    bool tls_offered, bool tls_on, bool secured)
{
	/* Not the large output buffer: it is empty. */
	memset(d, 0, offsetof(struct dialog, out));
	d->proto = proto;
	d->set = set;
	d->tls_offered = tls_offered;
	d->tls_on = tls_on;
	d->secured = secured;
}

void
dlg_set_mechs(struct dialog *d, const struct dlg_mech *mechs, unsigned int nmechs)
{
	d->mechs = mechs;
	d->nmechs = nmechs;
}

void
dlg_set_apop(struct dialog *d, const char *challenge)
{
	str_copy(d->apop, sizeof(d->apop), challenge);
}

void
dlg_greet(struct dialog *d)
{
	of(d)->greet(d);
}

void
dlg_feed(struct dialog *d, const uint8_t *in, size_t len, size_t *used, struct dlg_event *ev)
{
	*used = 0;
	ev->type = DLG_MORE;
	ev->refused = 0;
	ev->has_ir = false;
	ev->data_len = 0;
	if (d->skipping) {
		if (dlg_skip_line(d, in, len, used))
			return;
		ev->type = DLG_REPLIED; /* the refusal went out when the skipping began */
		return;
	}
	if (d->state == DLG_ST_AUTH_CLIENT)
		dlg_continue_sasl(d, in, len, used, ev);
	else if (d->state == DLG_ST_COMMAND)
		of(d)->feed(d, in, len, used, ev);
	if (ev->type == DLG_CLOSE)
		d->state = DLG_ST_DONE;
}

void
dlg_tls_started(struct dialog *d)
{
	d->state = DLG_ST_COMMAND;
	d->tls_on = d->secured = true;
	d->tls_offered = false;
	/* Nothing said in the clear counts any more (RFC 9051 6.2.1). */
	d->capability_asked = false;
	d->after_starttls = true;
	d->user_len = 0;
	explicit_bzero(d->user, sizeof(d->user));
}

void
dlg_auth_challenge(struct dialog *d, const uint8_t *data, size_t len)
{
	/* It always fits (DLG_OUT_MAX); half a line would be worse than none. */
	if (sizeof(d->out) - d->out_len > (len + 2) / 3 * 4 + 5) {
		dlg_put(d, "+ ");
		dlg_put_base64(d, data, len);
		dlg_put(d, "\r\n");
	}
	d->state = DLG_ST_AUTH_CLIENT;
}

void
dlg_auth_fail(struct dialog *d, enum dlg_fail why, const char *text)
{
	of(d)->fail(d, why, text);
}

void
dlg_auth_wait(struct dialog *d)
{
	if (d->proto == DLG_IMAP)
		dlg_put(d, "* OK Waiting for authentication process to respond..\r\n");
}

void
dlg_bye(struct dialog *d, enum dlg_bye why)
{
	static const char *const texts[DLG_BYE__MAX] = {
	    [DLG_BYE_QUEUE_FULL] = "Connection queue full",
	    [DLG_BYE_SHUTDOWN] = "Server shutting down.",
	    [DLG_BYE_TIMEOUT] = "Disconnected for inactivity.",
	    [DLG_BYE_TIMEOUT_AUTH] = "Disconnected for inactivity during authentication.",
	    [DLG_BYE_TIMEOUT_LOGIN] = "Timeout while finishing login.",
	    [DLG_BYE_INTERNAL] = "Internal error occurred. Refer to server log for more information.",
	    [DLG_BYE_ATTEMPTS] = "Too many failed logins.",
	};

	if ((unsigned int)why < DLG_BYE__MAX)
		dlg_put(d, "%s%s\r\n", of(d)->bye, texts[why]);
	d->state = DLG_ST_DONE;
}

size_t
dlg_handoff_prefix(struct dialog *d, uint8_t *dst, size_t cap)
{
	size_t n = strlen(d->tag);

	if (d->proto != DLG_IMAP || n + 2 > cap)
		return 0;
	dst[0] = d->capability_asked ? '1' : '0';
	memcpy(dst + 1, d->tag, n + 1); /* with its NUL */
	return n + 2;
}
