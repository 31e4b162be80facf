/*
 * login_log_format_elements (dovecot-protocols D.10): split at blanks; an element
 * in which no variable has a value is left out, unless one of them is the user's
 * name; the rest is joined by ", ".  login_log_format puts what happened before
 * it.  Variables and modifiers are ipc/logvar.h's.  Pure.
 */
#ifndef AUTH_LOGFMT_H
#define AUTH_LOGFMT_H

#include <stdbool.h>
#include <stddef.h>

#include "ipc/logvar.h"

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
