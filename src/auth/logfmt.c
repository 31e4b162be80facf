#include "auth/logfmt.h"

#include <string.h>

static const struct {
	char letter; /* 0: none */
	const char *name;
	enum log_var var;
} names[] = {
    {'u', "user", LV_USER},
    {'n', "username", LV_USERNAME},
    {'d', "domain", LV_DOMAIN},
    {'s', "service", LV_SERVICE},
    {0, "protocol", LV_SERVICE},
    {'h', "home", LV_EMPTY},
    {'l', "lip", LV_LIP},
    {0, "local_ip", LV_LIP},
    {'r', "rip", LV_RIP},
    {0, "remote_ip", LV_RIP},
    {'p', "pid", LV_EMPTY},
    {'m', "mech", LV_MECH},
    {0, "mechanism", LV_MECH},
    {'a', "lport", LV_LPORT},
    {0, "local_port", LV_LPORT},
    {'b', "rport", LV_RPORT},
    {0, "remote_port", LV_RPORT},
    {'c', "secured", LV_SECURED},
    {'k', "ssl_security", LV_SSL},
    {'e', "mail_pid", LV_MAIL_PID},
    {0, "session", LV_SESSION},
    {0, "real_lip", LV_LIP},
    {0, "real_rip", LV_RIP},
    {0, "real_lport", LV_LPORT},
    {0, "real_rport", LV_RPORT},
    {0, "real_local_ip", LV_LIP},
    {0, "real_remote_ip", LV_RIP},
    {0, "real_local_port", LV_LPORT},
    {0, "real_remote_port", LV_RPORT},
    {0, "orig_user", LV_ORIG_USER},
    {0, "original_user", LV_ORIG_USER},
    {0, "orig_username", LV_ORIG_USERNAME},
    {0, "orig_domain", LV_ORIG_DOMAIN},
    {0, "auth_user", LV_AUTH_USER},
    {0, "auth_username", LV_AUTH_USERNAME},
    {0, "auth_domain", LV_AUTH_DOMAIN},
    {0, "listener", LV_EMPTY},
    {0, "local_name", LV_LOCAL_NAME},
};

#define PASSDB "passdb:"

struct out {
	char *p;
	size_t len, cap;
};

static void
put(struct out *o, const char *p, size_t len)
{
	size_t room = o->cap - 1 - o->len;

	if (len > room)
		len = room;
	memcpy(o->p + o->len, p, len);
	o->len += len;
	o->p[o->len] = '\0';
}

static bool
by_name(const char *p, size_t len, enum log_var *var)
{
	if (len > sizeof(PASSDB) - 1 && strncmp(p, PASSDB, sizeof(PASSDB) - 1) == 0) {
		*var = LV_PASSDB;
		return true;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strlen(names[i].name) == len && memcmp(names[i].name, p, len) == 0) {
			*var = names[i].var;
			return true;
		}
	}
	return false;
}

static bool
by_letter(char c, enum log_var *var)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i].letter != 0 && names[i].letter == c) {
			*var = names[i].var;
			return true;
		}
	}
	return false;
}

/* A variable at p ('%')?  Returns its length in the format, 0 if it is none. */
static size_t
variable(const char *p, const char *end, enum log_var *var)
{
	const char *close;

	if (end - p < 2)
		return 0;
	if (p[1] != '{')
		return by_letter(p[1], var) ? 2 : 0;
	close = memchr(p, '}', (size_t)(end - p));
	if (close == NULL || !by_name(p + 2, (size_t)(close - p - 2), var))
		return 0;
	return (size_t)(close - p) + 1;
}

/* The value of the passdb field that p ("%{passdb:field:default}", n bytes) names. */
static const char *
passdb_value(const char *p, size_t n, const struct log_vars *vars, size_t *len)
{
	const char *field = p + 2 + sizeof(PASSDB) - 1, *end = p + n - 1;
	const char *colon = memchr(field, ':', (size_t)(end - field));
	size_t flen = (size_t)((colon != NULL ? colon : end) - field);

	for (const char *at = vars->passdb; at != NULL && *at != '\0';) {
		size_t line = strcspn(at, "\n");

		if (line > flen && at[flen] == '=' && memcmp(at, field, flen) == 0) {
			*len = line - flen - 1;
			return at + flen + 1;
		}
		at += line + (at[line] == '\n');
	}
	*len = colon != NULL ? (size_t)(end - colon - 1) : 0;
	return colon != NULL ? colon + 1 : "";
}

bool
logfmt_wants_passdb(const char *format, const char *field, size_t len)
{
	static const char head[] = "%{" PASSDB;

	while ((format = strstr(format, head)) != NULL) {
		format += sizeof(head) - 1;
		if (strncmp(format, field, len) == 0 && (format[len] == '}' || format[len] == ':'))
			return true;
	}
	return false;
}

/* One element into o; false if it is to be left out. */
static bool
element(const char *p, const char *end, const struct log_vars *vars, struct out *o)
{
	bool any = false, filled = false;

	while (p < end) {
		enum log_var var = LV_EMPTY;
		size_t n = *p == '%' ? variable(p, end, &var) : 0;
		const char *value = vars->v[var];

		if (n > 0) {
			size_t len = value != NULL ? strlen(value) : 0;

			if (var == LV_PASSDB)
				value = passdb_value(p, n, vars, &len);
			any = true;
			filled = filled || var == LV_USER || var == LV_USERNAME || len > 0;
			if (len > 0)
				put(o, value, len);
			p += n;
			continue;
		}
		if (*p == '%' && p + 1 < end && p[1] == '%')
			p++;
		put(o, p++, 1);
	}
	return !any || filled;
}

size_t
logfmt_elements(const char *format, const struct log_vars *vars, char *dst, size_t cap)
{
	struct out o = {.p = dst, .cap = cap};

	dst[0] = '\0';
	while (*format != '\0') {
		size_t before = o.len, len = strcspn(format, " ");

		if (len > 0) {
			if (o.len > 0)
				put(&o, ", ", 2);
			if (!element(format, format + len, vars, &o)) {
				o.len = before;
				dst[o.len] = '\0';
			}
		}
		format += len;
		format += strspn(format, " ");
	}
	return o.len;
}

size_t
logfmt_line(const char *format, const char *message, const char *elements, char *dst, size_t cap)
{
	const struct {
		const char *name, *value;
	} vars[] = {{"%$", message}, {"%{message}", message}, {"%s", elements}, {"%{elements}", elements},
	    {"%%", "%"}};
	struct out o = {.p = dst, .cap = cap};

	dst[0] = '\0';
	while (*format != '\0') {
		size_t n = 0;

		for (size_t i = 0; *format == '%' && i < sizeof(vars) / sizeof(vars[0]) && n == 0; i++) {
			if (strncmp(format, vars[i].name, strlen(vars[i].name)) == 0) {
				n = strlen(vars[i].name);
				put(&o, vars[i].value, strlen(vars[i].value));
			}
		}
		if (n == 0)
			put(&o, format, n = 1);
		format += n;
	}
	return o.len;
}
