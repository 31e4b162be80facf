#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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

/* One word as a quoted string (RFC 3501 9), "*" as what we say of ourselves. */
static size_t
put_quoted(char *dst, size_t cap, const char *key, const char *word, size_t len)
{
	size_t n = 0;

	if (len == 1 && *word == '*') {
		if (strcasecmp(key, "name") != 0)
			return (size_t)snprintf(dst, cap, "NIL");
		word = "gatehouse";
		len = 9;
	}
	for (size_t i = 0; i < len && n + 4 < cap; i++) {
		if (n == 0)
			dst[n++] = '"';
		if (word[i] == '"' || word[i] == '\\')
			dst[n++] = '\\';
		dst[n++] = word[i];
	}
	if (n + 2 > cap)
		return cap;
	dst[n++] = '"';
	dst[n] = '\0';
	return n;
}

bool
value_id_pairs(const char *s, char *dst, size_t cap)
{
	char key[64] = "";
	unsigned int words = 0;
	size_t n = 0, len;

	dst[0] = '\0';
	for (; *(s += strspn(s, " \t")) != '\0'; s += len, words++) {
		len = strcspn(s, " \t");
		if (words > 0 && n + 1 < cap)
			dst[n++] = ' ';
		if (words % 2 == 0 && !str_copy_n(key, sizeof(key), s, len))
			return false;
		for (size_t i = 0; i < len; i++)
			if ((unsigned char)s[i] < 0x20 || (unsigned char)s[i] > 0x7e)
				return false;
		n += put_quoted(dst + n, cap - n, words % 2 == 1 ? key : "", s, len);
		if (n + 2 > cap)
			return false;
	}
	return words % 2 == 0;
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
