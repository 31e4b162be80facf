#include "auth/conn.h"

#include <stdio.h>
#include <string.h>

#include "auth/logfmt.h"
#include "common/log.h"
#include "common/str.h"

#define USER_CHARS 80

struct values {
	char user[USER_CHARS * 4 + 1], username[USER_CHARS * 4 + 1], domain[USER_CHARS * 4 + 1];
	char orig_user[USER_CHARS * 4 + 1], auth_user[USER_CHARS * 4 + 1];
	char rip[INET6_ADDRSTRLEN], lip[INET6_ADDRSTRLEN], rport[8], lport[8], pid[12];
};

bool
loglimit_pass(struct loglimit *l, unsigned int burst)
{
	uint64_t now = loop_now();

	if (l->since_ms == 0 || now - l->since_ms >= 60000) {
		if (l->lost > 0)
			log_warnx("%u more of these in the last minutes were not logged", l->lost);
		*l = (struct loglimit){.since_ms = now > 0 ? now : 1};
	}
	if (l->n < burst) {
		l->n++;
		return true;
	}
	l->lost++;
	return false;
}

/* Cleaned, at most 80 characters (not bytes). */
static void
user_text(char dst[USER_CHARS * 4 + 1], const char *src)
{
	size_t n = str_clean(dst, USER_CHARS * 4 + 1, src, strlen(src));
	unsigned int chars = 0;

	for (size_t i = 0; i < n; i++) {
		if (((unsigned char)dst[i] & 0xc0) != 0x80 && chars++ == USER_CHARS) {
			dst[i] = '\0';
			return;
		}
	}
}

static void
split_user(struct values *v)
{
	char *at;

	strcpy(v->username, v->user);
	v->domain[0] = '\0';
	if ((at = strchr(v->username, '@')) != NULL) {
		strcpy(v->domain, at + 1);
		*at = '\0';
	}
}

/* "imap-login: WHAT: ELEMENTS" */
static void
line(const struct conn *c, const char *what, int32_t mail_pid)
{
	struct values v;
	struct log_vars vars = {0};
	char text[LOG_LINE_MAX];

	user_text(v.user, c->user);
	user_text(v.orig_user, c->original_user);
	user_text(v.auth_user, c->auth_user);
	split_user(&v);
	conn_addr_text(&c->info.remote, v.rip);
	conn_addr_text(&c->info.local, v.lip);
	snprintf(v.rport, sizeof(v.rport), "%u", c->info.remote.port);
	snprintf(v.lport, sizeof(v.lport), "%u", c->info.local.port);
	v.pid[0] = '\0';
	if (mail_pid > 0)
		snprintf(v.pid, sizeof(v.pid), "%d", mail_pid);
	vars.v[LV_USER] = v.user;
	vars.v[LV_USERNAME] = v.username;
	vars.v[LV_DOMAIN] = v.domain;
	vars.v[LV_ORIG_USER] = v.orig_user;
	vars.v[LV_AUTH_USER] = v.auth_user;
	vars.v[LV_SERVICE] = service_name(c->info.service);
	vars.v[LV_MECH] = c->mech.name;
	vars.v[LV_RIP] = v.rip;
	vars.v[LV_LIP] = v.lip;
	vars.v[LV_RPORT] = v.rport;
	vars.v[LV_LPORT] = v.lport;
	vars.v[LV_MAIL_PID] = v.pid;
	vars.v[LV_SECURED] = c->tls ? "TLS" : (c->info.flags & CONN_SECURED) != 0 ? "secured" : "";
	vars.v[LV_SSL] = c->tls ? c->tls_text : "";
	vars.v[LV_SESSION] = c->info.session;
	vars.v[LV_LOCAL_NAME] = c->local_name;
	logfmt_elements(conns_settings()->log_format, &vars, text, sizeof(text));
	log_info("%s-login: %s: %s", service_name(c->info.service), what, text);
}

void
connlog_login(const struct conn *c, int32_t mail_pid)
{
	line(c, "Login", mail_pid);
}

/* ---- failures ------------------------------------------------------------- */

/* count: ", N attempts in N secs" follows (D.10's words). */
static const struct {
	const char *text;
	bool count;
} outcomes[OUT__MAX] = {
    [OUT_NONE] = {"auth failed", true},
    [OUT_AUTH] = {"auth failed", true},
    [OUT_AUTHZ] = {"authorization failed", true},
    [OUT_TEMP] = {"auth service reported temporary failure", false},
    [OUT_DISABLED] = {"user disabled", false},
    [OUT_EXPIRED] = {"password expired", false},
    [OUT_BASE64] = {"sent invalid base64 in response", false},
    [OUT_NOLOGIN] = {"login disabled", false},
    [OUT_MECH] = {"tried to use unsupported auth mechanism", false},
    [OUT_PLAINTEXT] = {"tried to use disallowed plaintext auth", false},
    [OUT_COMM] = {"auth process communication failure", false},
    [OUT_INTERNAL] = {"internal failure", false},
    [OUT_LIMIT] = {"too many sessions of the user from this address", false},
};

void
connlog_failed(const struct conn *c, enum auth_outcome outcome)
{
	char what[96];

	if (!conns_settings()->auth_verbose)
		return;
	if (outcome == OUT_AUTH)
		strcpy(what, "Auth failed");
	else
		snprintf(what, sizeof(what), "Auth failed (%s)", outcomes[outcome].text);
	line(c, what, 0);
}

static unsigned int
secs(uint64_t from)
{
	return (unsigned int)((loop_now() - from) / 1000);
}

/* What the client was at, when its first attempt was cut short. */
static bool
cut_short(const struct conn *c, char *dst, size_t cap)
{
	unsigned int waited = secs(c->first_auth_ms);

	if (c->attempts > 1)
		return false;
	switch (c->state) {
	case CS_CLIENT:
		snprintf(dst, cap, "client didn't finish SASL auth, waited %u secs", waited);
		return true;
	case CS_QUEUED:
	case CS_AUTH:
		snprintf(dst, cap, "disconnected while authenticating, waited %u secs", waited);
		return true;
	case CS_LIMIT:
	case CS_GRANTED:
	case CS_HANDOFF:
	case CS_RETRY:
		snprintf(dst, cap, "disconnected while finishing login, waited %u secs", waited);
		return true;
	default:
		if (c->aborted)
			snprintf(dst, cap, "aborted authentication");
		return c->aborted;
	}
}

static void
brackets(const struct conn *c, char *dst, size_t cap)
{
	enum auth_outcome o = c->outcome;

	if (!c->ready_sent)
		snprintf(dst, cap, "disconnected before auth was ready, waited %u secs",
		    secs(c->opened_ms));
	else if (c->attempts == 0)
		snprintf(dst, cap, "no auth attempts in %u secs", secs(c->opened_ms));
	else if (cut_short(c, dst, cap))
		return;
	else if (o == OUT_COMM || o == OUT_LIMIT)
		snprintf(dst, cap, "%s", outcomes[o].text);
	else if (c->successes > 0)
		snprintf(dst, cap, "internal failure, %u successful auths", c->successes);
	else if (outcomes[o].count)
		snprintf(dst, cap, "%s, %u attempts in %u secs", outcomes[o].text, c->attempts,
		    secs(c->first_auth_ms));
	else
		snprintf(dst, cap, "%s", outcomes[o].text);
}

void
connlog_end(const struct conn *c)
{
	char what[512], why[128];

	brackets(c, why, sizeof(why));
	snprintf(what, sizeof(what), "Disconnected: %s (%s)",
	    c->goodbye[0] != '\0' ? c->goodbye : "Connection closed", why);
	line(c, what, 0);
}
