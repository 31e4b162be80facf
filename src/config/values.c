#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/utsname.h>

#include "common/str.h"
#include "config/internal.h"

bool
value_bool(const char *s, bool *out)
{
	if (strcasecmp(s, "yes") == 0 || strcasecmp(s, "y") == 0 || strcmp(s, "1") == 0 ||
	    strcasecmp(s, "true") == 0)
		*out = true;
	else if (strcasecmp(s, "no") == 0 || strcasecmp(s, "n") == 0 || strcmp(s, "0") == 0 ||
	    strcasecmp(s, "false") == 0)
		*out = false;
	else
		return false;
	return true;
}

bool
value_count(const char *s, uint64_t max, uint64_t *out)
{
	return str_to_u64(s, max, out);
}

/* Digits, then a unit; the unit's place in units is returned in *unit, with
 * blanks between allowed. */
static bool
number_and_unit(const char *s, uint64_t *n, const char **unit)
{
	char digits[24];
	size_t len = strspn(s, "0123456789");

	if (len == 0 || len >= sizeof(digits))
		return false;
	str_copy_n(digits, sizeof(digits), s, len);
	*unit = s + len + strspn(s + len, " ");
	return str_to_u64(digits, UINT64_MAX >> 1, n);
}

struct unit {
	const char *name;
	uint64_t factor;
};

static bool
scaled(const char *s, const struct unit *units, uint64_t bare, uint64_t *out)
{
	const char *unit;
	uint64_t n, factor = 0;

	if (!number_and_unit(s, &n, &unit))
		return false;
	if (*unit == '\0')
		factor = n == 0 ? 1 : bare;
	for (; *unit != '\0' && factor == 0 && units->name != NULL; units++)
		if (strcasecmp(units->name, unit) == 0)
			factor = units->factor;
	if (factor == 0 || n > (UINT64_MAX >> 1) / factor)
		return false;
	*out = n * factor;
	return true;
}

bool
value_size(const char *s, uint64_t *bytes)
{
	static const struct unit units[] = {{"B", 1}, {"k", 1u << 10}, {"kB", 1u << 10},
	    {"KiB", 1u << 10}, {"M", 1u << 20}, {"MB", 1u << 20}, {"MiB", 1u << 20},
	    {"G", 1u << 30}, {"GB", 1u << 30}, {"GiB", 1u << 30}, {0}};

	if (strcasecmp(s, "unlimited") == 0) {
		*bytes = UINT64_MAX;
		return true;
	}
	return scaled(s, units, 1, bytes);
}

bool
value_time_ms(const char *s, uint64_t *ms)
{
	static const struct unit units[] = {{"ms", 1}, {"msecs", 1}, {"s", 1000}, {"sec", 1000},
	    {"secs", 1000}, {"seconds", 1000}, {"second", 1000}, {"m", 60000}, {"min", 60000},
	    {"mins", 60000}, {"minutes", 60000}, {"minute", 60000}, {"h", 3600000},
	    {"hour", 3600000}, {"hours", 3600000}, {"d", 86400000}, {"day", 86400000},
	    {"days", 86400000}, {"w", 604800000}, {"weeks", 604800000}, {0}};

	return scaled(s, units, 1000, ms);
}

/* What "*" stands for, by its key; NULL: NIL. */
static const char *
id_own(const char *key, const struct utsname *u)
{
	const struct {
		const char *key, *value;
	} own[] = {{"name", "gatehouse"}, {"version", VERSION}, {"os", u->sysname},
	    {"os-version", u->release}};

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (strcasecmp(own[i].key, key) == 0)
			return own[i].value;
	return NULL;
}

struct id_out {
	char *p;
	size_t len, cap;
	bool full;
};

static void
id_put(struct id_out *o, char c)
{
	if (o->len + 1 < o->cap)
		o->p[o->len++] = c;
	else
		o->full = true;
	o->p[o->len] = '\0';
}

/* A quoted string (RFC 3501 9); NULL: NIL. */
static void
id_string(struct id_out *o, const char *s)
{
	if (o->len > 0)
		id_put(o, ' ');
	if (s == NULL) {
		for (s = "NIL"; *s != '\0'; s++)
			id_put(o, *s);
		return;
	}
	for (id_put(o, '"'); *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			id_put(o, '\\');
		id_put(o, *s);
	}
	id_put(o, '"');
}

/* The next word, which may stand in quotes.  1; 0: there is none; -1: it cannot be. */
static int
id_word(const char **s, char *dst, size_t cap)
{
	bool quoted;
	size_t n = 0;

	*s += strspn(*s, " \t");
	if (**s == '\0')
		return 0;
	quoted = **s == '"';
	*s += quoted;
	for (; **s != '\0' && (quoted ? **s != '"' : **s != ' ' && **s != '\t'); (*s)++) {
		if (quoted && **s == '\\' && (*s)[1] != '\0')
			(*s)++;
		if ((unsigned char)**s < 0x20 || (unsigned char)**s > 0x7e || n + 1 == cap)
			return -1;
		dst[n++] = **s;
	}
	dst[n] = '\0';
	if (!quoted)
		return 1;
	if (**s != '"' || ((*s)[1] != '\0' && (*s)[1] != ' ' && (*s)[1] != '\t'))
		return -1;
	++*s;
	return 1;
}

bool
value_id_pairs(const char *s, char *dst, size_t cap)
{
	struct id_out o = {.p = dst, .cap = cap};
	char key[32], value[512];
	struct utsname u;
	int got;

	dst[0] = '\0';
	uname(&u);
	while ((got = id_word(&s, key, sizeof(key))) == 1) {
		id_string(&o, key);
		if ((got = id_word(&s, value, sizeof(value))) == -1)
			break;
		id_string(&o, got == 0 ? NULL : strcmp(value, "*") == 0 ? id_own(key, &u) : value);
	}
	return got == 0 && !o.full;
}

void
format_size(uint64_t bytes, char *dst, size_t cap)
{
	static const char suffix[] = "kMG";
	int i = -1;

	if (bytes == UINT64_MAX) {
		snprintf(dst, cap, "unlimited");
		return;
	}
	while (bytes != 0 && bytes % 1024 == 0 && i < 2) {
		bytes /= 1024;
		i++;
	}
	if (i == -1)
		snprintf(dst, cap, "%llu", (unsigned long long)bytes);
	else
		snprintf(dst, cap, "%llu%c", (unsigned long long)bytes, suffix[i]);
}

void
format_time(uint64_t ms, char *dst, size_t cap)
{
	static const struct unit units[] = {
	    {"d", 86400000}, {"h", 3600000}, {"min", 60000}, {"s", 1000}, {"ms", 1}};
	size_t i = 0;

	while (ms == 0 ? i < 3 : ms % units[i].factor != 0)
		i++;
	snprintf(dst, cap, "%llu%s%s", (unsigned long long)(ms / units[i].factor),
	    units[i].factor == 60000 || units[i].factor == 1 ? " " : "", units[i].name);
}
