#include "ipc/logvar.h"

#include <stdio.h>
#include <string.h>

#define NUMBER_MAX 9999 /* longer than any line */
#define PASSDB "passdb:"

static const struct {
	char letter; /* 0: none */
	const char *name;
	enum log_var var;
	enum logvar_set set;
} names[] = {
    {'u', "user", LV_USER, LOGVAR_OF_ELEMENTS},
    {'n', "username", LV_USERNAME, LOGVAR_OF_ELEMENTS},
    {'d', "domain", LV_DOMAIN, LOGVAR_OF_ELEMENTS},
    {'s', "service", LV_SERVICE, LOGVAR_OF_ELEMENTS},
    {0, "protocol", LV_SERVICE, LOGVAR_OF_ELEMENTS},
    {'h', "home", LV_EMPTY, LOGVAR_OF_ELEMENTS},
    {'l', "lip", LV_LIP, LOGVAR_OF_ELEMENTS},
    {0, "local_ip", LV_LIP, LOGVAR_OF_ELEMENTS},
    {'r', "rip", LV_RIP, LOGVAR_OF_ELEMENTS},
    {0, "remote_ip", LV_RIP, LOGVAR_OF_ELEMENTS},
    {'p', "pid", LV_PID, LOGVAR_OF_ELEMENTS},
    {'m', "mech", LV_MECH, LOGVAR_OF_ELEMENTS},
    {0, "mechanism", LV_MECH, LOGVAR_OF_ELEMENTS},
    {'a', "lport", LV_LPORT, LOGVAR_OF_ELEMENTS},
    {0, "local_port", LV_LPORT, LOGVAR_OF_ELEMENTS},
    {'b', "rport", LV_RPORT, LOGVAR_OF_ELEMENTS},
    {0, "remote_port", LV_RPORT, LOGVAR_OF_ELEMENTS},
    {'c', "secured", LV_SECURED, LOGVAR_OF_ELEMENTS},
    {'k', "ssl_security", LV_SSL, LOGVAR_OF_ELEMENTS},
    {'e', "mail_pid", LV_MAIL_PID, LOGVAR_OF_ELEMENTS},
    {0, "session", LV_SESSION, LOGVAR_OF_ELEMENTS},
    {0, "real_lip", LV_REAL_LIP, LOGVAR_OF_ELEMENTS},
    {0, "real_rip", LV_REAL_RIP, LOGVAR_OF_ELEMENTS},
    {0, "real_lport", LV_REAL_LPORT, LOGVAR_OF_ELEMENTS},
    {0, "real_rport", LV_REAL_RPORT, LOGVAR_OF_ELEMENTS},
    {0, "real_local_ip", LV_REAL_LIP, LOGVAR_OF_ELEMENTS},
    {0, "real_remote_ip", LV_REAL_RIP, LOGVAR_OF_ELEMENTS},
    {0, "real_local_port", LV_REAL_LPORT, LOGVAR_OF_ELEMENTS},
    {0, "real_remote_port", LV_REAL_RPORT, LOGVAR_OF_ELEMENTS},
    {0, "orig_user", LV_ORIG_USER, LOGVAR_OF_ELEMENTS},
    {0, "original_user", LV_ORIG_USER, LOGVAR_OF_ELEMENTS},
    {0, "orig_username", LV_ORIG_USERNAME, LOGVAR_OF_ELEMENTS},
    {0, "orig_domain", LV_ORIG_DOMAIN, LOGVAR_OF_ELEMENTS},
    {0, "auth_user", LV_AUTH_USER, LOGVAR_OF_ELEMENTS},
    {0, "auth_username", LV_AUTH_USERNAME, LOGVAR_OF_ELEMENTS},
    {0, "auth_domain", LV_AUTH_DOMAIN, LOGVAR_OF_ELEMENTS},
    {0, "listener", LV_LISTENER, LOGVAR_OF_ELEMENTS},
    {0, "local_name", LV_LOCAL_NAME, LOGVAR_OF_ELEMENTS},
    {0, "hostname", LV_HOSTNAME, LOGVAR_OF_ELEMENTS},
    {'$', "message", LV_MESSAGE, LOGVAR_OF_LINE},
    {'s', "elements", LV_ELEMENTS, LOGVAR_OF_LINE},
    {'%', "", LV_PERCENT, LOGVAR_OF_LINE | LOGVAR_OF_ELEMENTS},
};

static bool
by_letter(char c, enum logvar_set set, enum log_var *var)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i].letter != 0 && names[i].letter == c && (names[i].set & set) != 0) {
			*var = names[i].var;
			return true;
		}
	}
	return false;
}

static bool
by_name(const char *p, size_t len, enum logvar_set set, struct logvar *v)
{
	const char *colon;

	if (set == LOGVAR_OF_ELEMENTS && len > sizeof(PASSDB) - 1 &&
	    strncmp(p, PASSDB, sizeof(PASSDB) - 1) == 0) {
		v->var = LV_PASSDB;
		v->field = p + sizeof(PASSDB) - 1;
		v->field_len = len - (sizeof(PASSDB) - 1);
		if ((colon = memchr(v->field, ':', v->field_len)) != NULL) {
			v->fallback = colon + 1;
			v->fallback_len = (size_t)(v->field + v->field_len - v->fallback);
			v->field_len = (size_t)(colon - v->field);
		}
		return v->field_len > 0;
	}
	for (size_t i = 0; len > 0 && i < sizeof(names) / sizeof(names[0]); i++) {
		if ((names[i].set & set) != 0 && strlen(names[i].name) == len &&
		    memcmp(names[i].name, p, len) == 0) {
			v->var = names[i].var;
			return true;
		}
	}
	return false;
}

/* Digits at *p; false: more than any line has characters. */
static bool
number(const char **p, const char *end, int *n)
{
	for (*n = 0; *p < end && **p >= '0' && **p <= '9'; (*p)++) {
		*n = *n * 10 + (**p - '0');
		if (*n > NUMBER_MAX)
			return false;
	}
	return true;
}

/* "5" "-2.3" "05" "2.04" "0.-2".  A sign without a dot, and a zero before the
 * offset, mean nothing, as in Dovecot. */
static bool
numbers(const char **p, const char *end, struct logvar *v)
{
	bool from_end = *p < end && **p == '-', cut_end = false;

	*p += from_end;
	v->zero = *p < end && **p == '0';
	if (!number(p, end, &v->width))
		return false;
	if (*p == end || **p != '.')
		return true;
	v->offset = from_end ? -v->width : v->width;
	++*p;
	v->zero = *p < end && **p == '0';
	*p += v->zero;
	cut_end = *p < end && **p == '-';
	*p += cut_end;
	if (!number(p, end, &v->width))
		return false;
	if (cut_end)
		v->width = -v->width;
	return true;
}

static bool
wrong(const char *p, size_t len, const char *what, char *why, size_t cap)
{
	if (why != NULL)
		snprintf(why, cap, "has \"%.*s\", which %s", (int)len, p, what);
	return false;
}

/* What Dovecot knows and we do not deserves words of its own. */
static const char *
what_is(char mod, const char *p, size_t len)
{
	if (mod == 'N' || mod == 'M')
		return "needs MD5: the process that writes the log has no hash functions (%H has none)";
	if (len > 3 && strncmp(p, "if;", 3) == 0)
		return "is a conditional: there are none here";
	if (len > 4 && strncmp(p, "env:", 4) == 0)
		return "is a variable of the environment: there is none here";
	if (memchr(p, ';', len) != NULL || memchr(p, ':', len) != NULL)
		return "is a function that is not known here";
	return "is no variable";
}

bool
logvar_parse(const char *start, const char *end, enum logvar_set set, struct logvar *v, char *why,
    size_t cap)
{
	const char *p = start + 1, *close;
	size_t mods = 0;

	memset(v, 0, sizeof(*v));
	if (!numbers(&p, end, v))
		return wrong(start, (size_t)(p - start), "is longer than any line", why, cap);
	while (mods < LOGVAR_MODS_MAX && p < end && *p != '\0' && strchr("LUEXRDTH", *p) != NULL)
		v->mods[mods++] = *p++;
	if (p == end)
		return wrong(start, (size_t)(end - start), "is no variable (%% is a percent sign)", why,
		    cap);
	if (*p != '{') {
		v->len = (size_t)(p + 1 - start);
		return by_letter(*p, set, &v->var) ||
		    wrong(start, v->len, what_is(*p, "", 0), why, cap);
	}
	if ((close = memchr(p, '}', (size_t)(end - p))) == NULL)
		return wrong(start, (size_t)(end - start), "has no }", why, cap);
	v->len = (size_t)(close + 1 - start);
	p++;
	return by_name(p, (size_t)(close - p), set, v) ||
	    wrong(start, v->len, what_is(0, p, (size_t)(close - p)), why, cap);
}

/* The next variable of *p, which is moved behind it.  1; 0: no more; -1: wrong. */
static int
next(const char **p, enum logvar_set set, struct logvar *v, char *why, size_t cap)
{
	const char *end;

	if ((*p = strchr(*p, '%')) == NULL)
		return 0;
	/* An element ends at a blank, whatever is open then. */
	end = *p + (set == LOGVAR_OF_ELEMENTS ? strcspn(*p, " ") : strlen(*p));
	if (!logvar_parse(*p, end, set, v, why, cap))
		return -1;
	*p += v->len;
	return 1;
}

bool
logvar_check(const char *format, enum logvar_set set, char *why, size_t cap)
{
	struct logvar v;
	int n;

	while ((n = next(&format, set, &v, why, cap)) == 1)
		;
	return n == 0;
}

bool
logvar_names(const char *format, enum logvar_set set, enum log_var var)
{
	struct logvar v;

	while (next(&format, set, &v, NULL, 0) == 1)
		if (v.var == var)
			return true;
	return false;
}
