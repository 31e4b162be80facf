/*
 * login_log_format_elements (dovecot-protocols D.10): split at blanks; an
 * element whose variables are all empty is left out, unless one of them is the
 * user's name; the rest is joined by ", ".  login_log_format puts what happened
 * before it.  Pure.
 *
 * Variables are %x or %{name}, 2.3's and 2.4's names; %% is a percent sign;
 * what is unknown stays as it is.
 */
#ifndef AUTH_LOGFMT_H
#define AUTH_LOGFMT_H

#include <stdbool.h>
#include <stddef.h>

enum log_var {
	LV_USER,     /* %u %{user}, cleaned, at most 80 characters */
	LV_USERNAME, /* %n: before the '@' */
	LV_DOMAIN,   /* %d: behind it */
	LV_SERVICE,
	LV_MECH,
	LV_RIP,
	LV_LIP,
	LV_RPORT,
	LV_LPORT,
	LV_MAIL_PID,
	LV_SECURED, /* "TLS", "secured" or empty */
	LV_SSL,     /* protocol and cipher */
	LV_SESSION,
	LV_LOCAL_NAME,
	LV_ORIG_USER,
	LV_ORIG_USERNAME,
	LV_ORIG_DOMAIN,
	LV_AUTH_USER,
	LV_AUTH_USERNAME,
	LV_AUTH_DOMAIN,
	LV_PASSDB, /* %{passdb:field} or %{passdb:field:default} */
	LV_EMPTY,  /* known, but never has a value here: home, pid, listener */
	LV__MAX
};

/* Values are borrowed, cleaned strings; NULL is empty. */
struct log_vars {
	const char *v[LV__MAX];
	const char *passdb; /* "field=value\n" for each that there is */
};

/* Into dst, always terminated; cut if it does not fit.  Returns the length. */
size_t logfmt_elements(const char *format, const struct log_vars *vars, char *dst, size_t cap);

/* login_log_format: %$ %{message} is what happened, %s %{elements} the above. */
size_t logfmt_line(const char *format, const char *message, const char *elements, char *dst,
    size_t cap);

/* Does the format name this passdb field? */
bool logfmt_wants_passdb(const char *format, const char *field, size_t len);

#endif
