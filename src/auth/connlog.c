#include "auth/conn.h"

#include <stdio.h>
#include <string.h>

#include "auth/logfmt.h"
#include "auth/lograte.h"
#include "common/log.h"
#include "common/str.h"

#define USER_CHARS 80

struct name {
	char whole[USER_CHARS * 4 + 1], local[USER_CHARS * 4 + 1], domain[USER_CHARS * 4 + 1];
};

struct values {
	struct name user, orig, auth;
	char mech[32], local_name[256], secured[300], ssl[sizeof(((struct conn *)0)->tls_text)];
	char rip[INET6_ADDRSTRLEN], lip[INET6_ADDRSTRLEN], rport[8], lport[8];
	char real_rip[INET6_ADDRSTRLEN], real_lip[INET6_ADDRSTRLEN], real_rport[8], real_lport[8];
	char mail_pid[12], pid[12];
	char listener[sizeof(((struct conn_info *)0)->listener)];
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

/* Words of a client, or of a worker that he may have taken over, in the place of an
 * element's value: nothing in it may look like the end of that value, or like
 * another element. */
static void
tame(char *s)
{
	for (; *s != '\0'; s++)
		if (strchr("<>=,", *s) != NULL)
			*s = '?';
}

/* Cleaned, at most 80 characters (not bytes); what was cut shows. */
static void
user_text(char dst[USER_CHARS * 4 + 1], const char *src)
{
	size_t n = str_clean(dst, USER_CHARS * 4 + 1, src, strlen(src)), cut = 0;
	unsigned int chars = 0;

	for (size_t i = 0; i < n; i++) {
		if (((unsigned char)dst[i] & 0xc0) == 0x80)
			continue;
		if (chars == USER_CHARS - 3)
			cut = i;
		if (chars++ == USER_CHARS) {
			strcpy(dst + cut, "...");
			break;
		}
	}
	tame(dst);
}

static void
name_text(struct name *n, const char *src)
{
	char *at;

	user_text(n->whole, src);
	strcpy(n->local, n->whole);
	n->domain[0] = '\0';
	if ((at = strchr(n->local, '@')) != NULL) {
		strcpy(n->domain, at + 1);
		*at = '\0';
	}
}

#define HANDSHAKING "TLS handshaking"

/* %c, as Dovecot's: what went wrong in a handshake is part of it. */
static void
secured_text(const struct conn *c, char *dst, size_t cap)
{
	const char *text = c->tls ? "TLS" : (c->info.flags & CONN_SECURED) != 0 ? "secured" : "";

	if (strncmp(c->goodbye, HANDSHAKING, strlen(HANDSHAKING)) == 0)
		text = c->goodbye;
	str_copy(dst, cap, text);
	tame(dst);
}

static void
pid_text(char dst[12], uint32_t pid)
{
	dst[0] = '\0';
	if (pid > 0)
		snprintf(dst, 12, "%u", pid);
}

/* "imap-login: Info: WHAT: ELEMENTS", or as login_log_format has it. */
static void
line(const struct conn *c, const char *what, int32_t mail_pid)
{
	struct values v;
	struct log_vars vars = {.passdb = c->passdb};
	char elements[LOG_LINE_MAX], text[LOG_LINE_MAX];

	name_text(&v.user, c->user);
	name_text(&v.orig, c->original_user);
	name_text(&v.auth, c->auth_user);
	str_copy(v.mech, sizeof(v.mech), c->mech.name);
	tame(v.mech);
	str_copy(v.ssl, sizeof(v.ssl), c->tls ? c->tls_text : "");
	tame(v.ssl);
	secured_text(c, v.secured, sizeof(v.secured));
	conn_addr_text(&c->info.remote, v.rip);
	conn_addr_text(&c->info.local, v.lip);
	snprintf(v.rport, sizeof(v.rport), "%u", c->info.remote.port);
	snprintf(v.lport, sizeof(v.lport), "%u", c->info.local.port);
	conn_addr_text(&c->real_remote, v.real_rip);
	conn_addr_text(&c->real_local, v.real_lip);
	snprintf(v.real_rport, sizeof(v.real_rport), "%u", c->real_remote.port);
	snprintf(v.real_lport, sizeof(v.real_lport), "%u", c->real_local.port);
	pid_text(v.mail_pid, mail_pid > 0 ? (uint32_t)mail_pid : 0);
	pid_text(v.pid, c->pid);
	str_copy(v.listener, sizeof(v.listener), c->info.listener);
	tame(v.listener);
	vars.v[LV_USER] = v.user.whole;
	vars.v[LV_USERNAME] = v.user.local;
	vars.v[LV_DOMAIN] = v.user.domain;
	vars.v[LV_ORIG_USER] = v.orig.whole;
	vars.v[LV_ORIG_USERNAME] = v.orig.local;
	vars.v[LV_ORIG_DOMAIN] = v.orig.domain;
	vars.v[LV_AUTH_USER] = v.auth.whole;
	vars.v[LV_AUTH_USERNAME] = v.auth.local;
	vars.v[LV_AUTH_DOMAIN] = v.auth.domain;
	vars.v[LV_SERVICE] = service_name(c->info.service);
	vars.v[LV_MECH] = v.mech;
	vars.v[LV_RIP] = v.rip;
	vars.v[LV_LIP] = v.lip;
	vars.v[LV_RPORT] = v.rport;
	vars.v[LV_LPORT] = v.lport;
	vars.v[LV_REAL_RIP] = v.real_rip;
	vars.v[LV_REAL_LIP] = v.real_lip;
	vars.v[LV_REAL_RPORT] = v.real_rport;
	vars.v[LV_REAL_LPORT] = v.real_lport;
	vars.v[LV_MAIL_PID] = v.mail_pid;
	vars.v[LV_PID] = v.pid;
	vars.v[LV_LISTENER] = v.listener;
	vars.v[LV_HOSTNAME] = conns_settings()->hostname;
	vars.v[LV_SECURED] = v.secured;
	vars.v[LV_SSL] = v.ssl;
	vars.v[LV_SESSION] = c->info.session;
	vars.v[LV_LOCAL_NAME] = c->local_name;
	logfmt_elements(c->rules.login_log_format_elements, &vars, elements, sizeof(elements));
	logfmt_line(c->rules.login_log_format, what, elements, text, sizeof(text));
	log_info("%s-login: %s", service_name(c->info.service), text);
}

void
connlog_login(const struct conn *c, int32_t mail_pid)
{
	line(c, "Login", mail_pid);
}

void
connlog_id(const struct conn *c, const char *text)
{
	char what[CLIENTID_LOG_MAX + 16];

	if (!lograte_pass(LOGRATE_IDLE, &c->info.remote))
		return;
	snprintf(what, sizeof(what), "ID sent: %s", text);
	line(c, what, 0);
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
    [OUT_CERT] = {"client certificate required", false},
    [OUT_LIMIT] = {"too many sessions of the user from this address", false},
};

void
connlog_failed(const struct conn *c, enum auth_outcome outcome)
{
	char what[96];

	if (!c->rules.auth_verbose || !lograte_pass(LOGRATE_FAILED, &c->info.remote))
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

/* Where certificates are required their lack is the reason for all else. */
static const char *
lacks_cert(const struct conn *c)
{
	if (!c->rules.auth_ssl_require_client_cert)
		return NULL;
	if (!c->tls)
		return c->attempts > 0 ? "cert required, client didn't start TLS" : NULL;
	return c->cert == CONN_CERT_INVALID ? "client sent an invalid cert"
	    : c->cert == CONN_CERT_NONE ? "client didn't send a cert" : NULL;
}

static void
brackets(const struct conn *c, char *dst, size_t cap)
{
	enum auth_outcome o = c->outcome;
	const char *cert = lacks_cert(c);

	if (cert != NULL && c->ready_sent)
		snprintf(dst, cap, "%s", cert);
	else if (!c->ready_sent)
		snprintf(dst, cap, "disconnected before auth was ready, waited %u secs",
		    secs(c->opened_ms));
	else if (c->attempts == 0 && c->refused != OUT_NONE)
		snprintf(dst, cap, "%s", outcomes[c->refused].text);
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
	bool idle = c->attempts == 0 && c->refused == OUT_NONE;
	char what[512], why[128], goodbye[sizeof(c->goodbye)];

	if (!lograte_pass(idle ? LOGRATE_IDLE : LOGRATE_FAILED, &c->info.remote))
		return;
	str_copy(goodbye, sizeof(goodbye), c->goodbye);
	tame(goodbye);
	if (goodbye[0] == '\0' || strncmp(goodbye, HANDSHAKING, strlen(HANDSHAKING)) == 0)
		strcpy(goodbye, "Connection closed"); /* the rest is in %c */
	brackets(c, why, sizeof(why));
	if (c->outcome == OUT_LIMIT) /* Dovecot's words */
		snprintf(what, sizeof(what), "Disconnected: " AUTH_LIMIT_TEXT,
		    c->rules.mail_max_userip_connections);
	else
		snprintf(what, sizeof(what), "Disconnected: %s (%s)", goodbye, why);
	line(c, what, 0);
}
