/*
 * The variables of login_log_format and login_log_format_elements, with the
 * modifiers of Dovecot 2.3: read by the supervisor, which refuses what it does not
 * know, and by the auth client, which fills them in.  Pure.
 *
 *     %[[-][0]OFFSET.][-][0]WIDTH[MODIFIERS]x      MODIFIERS: up to ten of L U E X R D T H
 *     %...{name}
 *
 * Names are 2.3's and 2.4's.
 */
#ifndef IPC_LOGVAR_H
#define IPC_LOGVAR_H

#include <stdbool.h>
#include <stddef.h>

#define LOGVAR_MODS_MAX 10

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
	LV_REAL_RIP, /* of the TCP connection, when a trusted proxy names others */
	LV_REAL_LIP,
	LV_REAL_RPORT,
	LV_REAL_LPORT,
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
	LV_PID,      /* of the login process */
	LV_LISTENER, /* name of its inet_listener */
	LV_HOSTNAME, /* the same for all: no reason to show an element */
	LV_PASSDB,   /* %{passdb:field} or %{passdb:field:default} */
	LV_EMPTY,    /* %h: a login process has no home in Dovecot, either */
	LV_MESSAGE,  /* login_log_format: %$, what happened */
	LV_ELEMENTS, /* login_log_format: %s, login_log_format_elements */
	LV_PERCENT,  /* %% */
	LV__MAX
};

/* Which setting a format is of. */
enum logvar_set {
	LOGVAR_OF_LINE = 1,    /* login_log_format */
	LOGVAR_OF_ELEMENTS = 2 /* login_log_format_elements */
};

/* One variable in a format; pointers go into the format. */
struct logvar {
	enum log_var var;
	size_t len;           /* of the whole expression, '%' included */
	int offset;           /* below 0: from the end */
	int width;            /* 0: all; below 0: all but that many at the end */
	bool zero;            /* no cutting: zeros before it, up to width */
	char mods[LOGVAR_MODS_MAX + 1];
	const char *field;    /* LV_PASSDB */
	size_t field_len;
	const char *fallback; /* LV_PASSDB: the default, NULL: none */
	size_t fallback_len;
};

/* The variable at p, where a '%' is.  False: it is none of this set; why (may be
 * NULL) says what is wrong with it. */
bool logvar_parse(const char *p, const char *end, enum logvar_set set, struct logvar *v, char *why,
    size_t cap);

/* Is every variable of this format one?  False: why says which is not. */
bool logvar_check(const char *format, enum logvar_set set, char *why, size_t cap);

/* Does a good format name this variable? */
bool logvar_names(const char *format, enum logvar_set set, enum log_var var);

#endif
