#include "auth/logfmt.h"

#include <string.h>

#include "auth/logmod.h"

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
is_plain(const struct logvar *v)
{
	return v->mods[0] == '\0' && v->offset == 0 && v->width == 0;
}

/* As the variable has it.  True: it says something, which it would not for a value
 * that is not there (%04b of no port is "0000"). */
static bool
put_value(struct out *o, const struct logvar *v, const char *value, size_t len)
{
	char text[LOGMOD_MAX], empty[LOGMOD_MAX];
	size_t n, nempty;

	if (is_plain(v)) {
		put(o, value, len);
		return len > 0;
	}
	n = logmod_apply(v, value, len, text);
	nempty = logmod_apply(v, "", 0, empty);
	put(o, text, n);
	return n != nempty || memcmp(text, empty, n) != 0;
}

/* The value of the passdb field that v names. */
static const char *
passdb_value(const struct logvar *v, const struct log_vars *vars, size_t *len)
{
	for (const char *at = vars->passdb; at != NULL && *at != '\0';) {
		size_t line = strcspn(at, "\n");

		if (line > v->field_len && at[v->field_len] == '=' &&
		    memcmp(at, v->field, v->field_len) == 0) {
			*len = line - v->field_len - 1;
			return at + v->field_len + 1;
		}
		at += line + (at[line] == '\n');
	}
	*len = v->fallback_len;
	return v->fallback != NULL ? v->fallback : "";
}

bool
logfmt_wants_passdb(const char *format, const char *field, size_t len)
{
	struct logvar v;

	for (; (format = strchr(format, '%')) != NULL; format += v.len)
		if (!logvar_parse(format, format + strcspn(format, " "), LOGVAR_OF_ELEMENTS, &v, NULL, 0))
			v.len = 1;
		else if (v.var == LV_PASSDB && v.field_len == len && memcmp(v.field, field, len) == 0)
			return true;
	return false;
}

/* One element into o; false if it is to be left out. */
static bool
element(const char *p, const char *end, const struct log_vars *vars, struct out *o)
{
	bool filled = false;
	struct logvar v;

	while (p < end) {
		const char *value;
		size_t len;

		if (*p != '%' || !logvar_parse(p, end, LOGVAR_OF_ELEMENTS, &v, NULL, 0)) {
			put(o, p++, 1);
			continue;
		}
		value = v.var == LV_PERCENT ? "%" : vars->v[v.var] != NULL ? vars->v[v.var] : "";
		len = strlen(value);
		if (v.var == LV_PASSDB)
			value = passdb_value(&v, vars, &len);
		if (put_value(o, &v, value, len) && v.var != LV_PERCENT && v.var != LV_HOSTNAME)
			filled = true;
		if (v.var == LV_USER || v.var == LV_USERNAME)
			filled = true;
		p += v.len;
	}
	return filled;
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
	const char *values[LV__MAX] = {[LV_MESSAGE] = message, [LV_ELEMENTS] = elements,
	    [LV_PERCENT] = "%"};
	struct out o = {.p = dst, .cap = cap};
	const char *end = format + strlen(format);
	struct logvar v;

	dst[0] = '\0';
	while (format < end) {
		if (*format != '%' || !logvar_parse(format, end, LOGVAR_OF_LINE, &v, NULL, 0)) {
			put(&o, format++, 1);
			continue;
		}
		put_value(&o, &v, values[v.var], strlen(values[v.var]));
		format += v.len;
	}
	return o.len;
}
