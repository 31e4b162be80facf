#include "auth/answer.h"

#include <stdio.h>
#include <string.h>

#include "auth/logfmt.h"
#include "common/str.h"

#define STR(f) offsetof(struct auth_answer, f), sizeof(((struct auth_answer *)0)->f), false
#define FLAG(f) offsetof(struct auth_answer, f), 0, true

/* cut: a text for people may be cut; anything else must fit, or nothing is done. */
static const struct {
	const char *key;
	size_t off, size;
	bool flag, cut;
} fields[] = {
    {"user", STR(user), false},
    {"original_user", STR(original_user), true},
    {"auth_user", STR(auth_user), true},
    {"destuser", STR(destuser), false},
    {"code", STR(code), false},
    {"reason", STR(reason), true},
    {"host", STR(host), false},
    {"port", STR(port), false},
    {"postlogin_socket", STR(postlogin_socket), false},
    {"nologin", FLAG(nologin), false},
    {"proxy", FLAG(proxy), false},
    {"anonymous", FLAG(anonymous), false},
    /* Dovecot 2.2 said these as bare words. */
    {"pass_expired", FLAG(pass_expired), false},
    {"user_disabled", FLAG(user_disabled), false},
    {"authz", FLAG(authz), false},
    {"temp", FLAG(temp), false},
};

/* For the log: those that its format names, but never a password. */
static void
keep_passdb(struct auth_answer *a, const struct auth_field *f, const char *log_format)
{
	size_t at = strlen(a->passdb), room = sizeof(a->passdb) - at;
	char value[ANSWER_PASSDB_MAX];

	if (f->key_len == 0 || auth_field_is(f, "pass") ||
	    !logfmt_wants_passdb(log_format, f->key, f->key_len))
		return;
	str_clean(value, sizeof(value), f->has_value ? f->value : "yes", f->has_value ? f->value_len : 3);
	if (f->key_len + strlen(value) + 3 <= room)
		snprintf(a->passdb + at, room, "%.*s=%s\n", (int)f->key_len, f->key, value);
}

void
answer_read(struct auth_line *l, struct auth_answer *a, const char *log_format)
{
	struct auth_field f;

	memset(a, 0, sizeof(*a));
	while (authline_field(l, &f)) {
		keep_passdb(a, &f, log_format);
		for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
			char *at = (char *)a + fields[i].off;

			if (!auth_field_is(&f, fields[i].key))
				continue;
			if (fields[i].flag)
				*(bool *)(void *)at = true;
			else if (fields[i].cut)
				str_clean(at, fields[i].size, f.value, f.value_len);
			else if (!auth_field_copy(&f, at, fields[i].size))
				a->bad = true;
		}
	}
}

/* Days since 1970-01-01 to a date; no time zone files, no locale. */
static void
civil(int64_t days, int *year, int *month, int *day)
{
	int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;

	*day = (int)(doy - (153 * mp + 2) / 5 + 1);
	*month = (int)(mp < 10 ? mp + 3 : mp - 9);
	*year = (int)(yoe + era * 400 + (*month <= 2));
}

void
answer_stamped(char dst[ANSWER_TEXT_MAX], const char *text, const char *hostname, int64_t now)
{
	int64_t days = now / 86400;
	int rest = (int)(now % 86400), year, month, day;

	civil(days, &year, &month, &day);
	snprintf(dst, ANSWER_TEXT_MAX, "%.500s [%.255s:%04d-%02d-%02d %02d:%02d:%02d]", text, hostname,
	    year, month, day, rest / 3600, rest / 60 % 60, rest % 60);
}

void
answer_temp(const char *hostname, int64_t now, enum auth_outcome outcome, struct auth_failure *f)
{
	f->fail = DLG_FAIL_TEMP;
	f->outcome = outcome;
	answer_stamped(f->text, "Temporary authentication failure.", hostname, now);
}

/* code= of FAIL; .text is used if the server gives no reason. */
static const struct {
	const char *code;
	enum dlg_fail fail;
	enum auth_outcome outcome;
	const char *text;
} codes[] = {
    {"authz_fail", DLG_FAIL_AUTHZ, OUT_AUTHZ, ""},
    {"authz", DLG_FAIL_AUTHZ, OUT_AUTHZ, ""},
    {"user_disabled", DLG_FAIL_AUTH, OUT_DISABLED, ""},
    {"pass_expired", DLG_FAIL_EXPIRED, OUT_EXPIRED, ""},
    {"invalid_base64", DLG_FAIL_BASE64, OUT_BASE64, "Invalid base64 data in response"},
    {"login_disabled", DLG_FAIL_NOLOGIN, OUT_NOLOGIN, ""},
};

void
answer_failure(const struct auth_answer *a, const char *hostname, int64_t now,
    struct auth_failure *f)
{
	const char *code = a->code[0] != '\0' ? a->code : a->authz ? "authz_fail"
	    : a->user_disabled ? "user_disabled" : a->pass_expired ? "pass_expired" : "";

	/* a->bad, a name over the limit say, does not matter: it is a failure as it is. */
	if (a->temp || strcmp(code, "temp_fail") == 0 || strcmp(code, "temp") == 0) {
		answer_temp(hostname, now, OUT_TEMP, f);
		return;
	}
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		if (strcmp(code, codes[i].code) != 0)
			continue;
		f->fail = codes[i].fail;
		f->outcome = codes[i].outcome;
		str_copy(f->text, sizeof(f->text), a->reason[0] != '\0' ? a->reason : codes[i].text);
		return;
	}
	f->fail = a->nologin ? DLG_FAIL_NOLOGIN : a->reason[0] != '\0' ? DLG_FAIL_REASON : DLG_FAIL_AUTH;
	f->outcome = a->nologin ? OUT_NOLOGIN : OUT_AUTH;
	str_copy(f->text, sizeof(f->text), a->reason);
}

/* What RFC 5092 allows in a user name; the rest is percent-encoded. */
static size_t
url_encode(char *dst, size_t cap, const char *src)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t n = 0;

	for (; *src != '\0' && n + 4 < cap; src++) {
		unsigned char c = (unsigned char)*src;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    strchr("-._~!$'()*+,&=", c) != NULL) {
			dst[n++] = (char)c;
		} else {
			dst[n++] = '%';
			dst[n++] = hex[c >> 4];
			dst[n++] = hex[c & 15];
		}
	}
	dst[n] = '\0';
	return n;
}

/* "imap://USER;AUTH=MECH@HOST[:PORT]/" (RFC 2221). */
static void
referral(const struct auth_answer *a, enum service s, const char *mech, char *dst, size_t cap)
{
	char user[512], host[256];

	url_encode(user, sizeof(user), a->destuser[0] != '\0' ? a->destuser : a->user);
	str_clean(host, sizeof(host), a->host, strlen(a->host));
	snprintf(dst, cap, "%s://%s;AUTH=%s@%s%s%s/", service_name(s), user, mech, host,
	    a->port[0] != '\0' ? ":" : "", a->port);
}

static bool
digits(const char *s)
{
	return strspn(s, "0123456789") == strlen(s);
}

bool
answer_refusal(const struct auth_answer *a, enum service s, const char *mech,
    struct auth_failure *f)
{
	f->text[0] = '\0';
	f->outcome = OUT_NOLOGIN;
	if (a->proxy) {
		f->fail = DLG_FAIL_UNAVAILABLE;
		f->outcome = OUT_INTERNAL;
		str_copy(f->text, sizeof(f->text), "Account is temporarily unavailable.");
		return true;
	}
	if (!a->nologin)
		return false;
	if (a->host[0] != '\0' && strpbrk(a->host, " \t\r\n]\"\\") == NULL && digits(a->port)) {
		f->fail = DLG_FAIL_REFERRAL;
		referral(a, s, mech, f->text, sizeof(f->text));
		return true;
	}
	f->fail = DLG_FAIL_NOLOGIN;
	str_copy(f->text, sizeof(f->text), a->reason);
	return true;
}
