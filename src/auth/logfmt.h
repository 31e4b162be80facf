/*
 * login_log_format_elements (dovecot-protocols D.10): split at blanks; an
 * element whose variables are all empty is left out, unless one of them is the
 * user's name; the rest is joined by ", ".  Pure.
 *
 * Variables are %x or %{name}, 2.3's and 2.4's names; %% is a percent sign;
 * what is unknown stays as it is.
 */
#ifndef AUTH_LOGFMT_H
#define AUTH_LOGFMT_H

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
	LV_AUTH_USER,
	LV_EMPTY, /* known, but never has a value here: home, listener, passdb fields */
	LV__MAX
};

/* Values are borrowed, cleaned strings; NULL is empty. */
struct log_vars {
	const char *v[LV__MAX];
};

/* Into dst, always terminated; cut if it does not fit.  Returns the length. */
size_t logfmt_elements(const char *format, const struct log_vars *vars, char *dst, size_t cap);

#endif
