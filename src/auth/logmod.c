#include "auth/logmod.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/str.h"

/* The value on its way. */
struct text {
	size_t len;
	int offset, width; /* %H takes them for itself */
	char p[LOGMOD_MAX];
};

static void
lower(struct text *t)
{
	for (size_t i = 0; i < t->len; i++)
		if (t->p[i] >= 'A' && t->p[i] <= 'Z')
			t->p[i] = (char)(t->p[i] + 32);
}

static void
upper(struct text *t)
{
	for (size_t i = 0; i < t->len; i++)
		if (t->p[i] >= 'a' && t->p[i] <= 'z')
			t->p[i] = (char)(t->p[i] - 32);
}

static void
reverse(struct text *t)
{
	for (size_t i = 0; i < t->len / 2; i++) {
		char c = t->p[i];

		t->p[i] = t->p[t->len - 1 - i];
		t->p[t->len - 1 - i] = c;
	}
}

static void
trim(struct text *t)
{
	while (t->len > 0 && (t->p[t->len - 1] == ' ' || t->p[t->len - 1] == '\t'))
		t->len--;
}

/* Each of these characters becomes a longer text. */
static void
replace(struct text *t, const char *which, const char *with, bool keep)
{
	char from[LOGMOD_MAX];
	size_t len = t->len, n = strlen(with);

	memcpy(from, t->p, len);
	t->len = 0;
	for (size_t i = 0; i < len; i++) {
		bool hit = from[i] != '\0' && strchr(which, from[i]) != NULL;

		if (t->len + (hit ? n : 0) + 1 > sizeof(t->p))
			return;
		if (hit) {
			memcpy(t->p + t->len, with, n);
			t->len += n;
		}
		if (!hit || keep)
			t->p[t->len++] = from[i];
	}
}

static void
escape(struct text *t)
{
	replace(t, "\"'\\", "\\", true);
}

/* For LDAP. */
static void
domain(struct text *t)
{
	replace(t, ".", ",dc=", false);
}

static void
hex(struct text *t)
{
	char digits[24];
	uint64_t n = 0;

	if (!str_copy_n(digits, sizeof(digits), t->p, t->len) || strlen(digits) != t->len ||
	    !str_to_u64(digits, UINT64_MAX, &n))
		n = 0;
	t->len = (size_t)snprintf(t->p, sizeof(t->p), "%llx", (unsigned long long)n);
}

/* Dovecot's old hash (PJW); the width is its modulus, the offset the number of
 * digits: %2.256Hu is 00 to ff. */
static void
hash(struct text *t)
{
	uint32_t h = 0, top;
	int digits = t->offset;

	for (size_t i = 0; i < t->len; i++) {
		h = (h << 4) + (unsigned char)t->p[i];
		if ((top = h & 0xf0000000u) != 0)
			h ^= top >> 24 ^ top;
	}
	if (t->width > 0)
		h %= (uint32_t)t->width;
	if (digits < 0 || digits > 8)
		digits = digits < 0 ? 0 : 8;
	t->len = (size_t)snprintf(t->p, sizeof(t->p), "%0*x", digits, h);
	t->offset = t->width = 0;
}

static const struct {
	char letter;
	void (*apply)(struct text *t);
} mods[] = {{'L', lower}, {'U', upper}, {'E', escape}, {'X', hex}, {'R', reverse}, {'D', domain},
    {'T', trim}, {'H', hash}};

/* Offset and width, in bytes as in Dovecot. */
static void
cut(struct text *t, bool zero)
{
	size_t from = 0, skip = (size_t)(t->offset < 0 ? -t->offset : t->offset);
	size_t width = (size_t)(t->width < 0 ? -t->width : t->width);

	if (t->offset < 0)
		from = skip < t->len ? t->len - skip : 0;
	else
		from = skip < t->len ? skip : t->len;
	t->len -= from;
	memmove(t->p, t->p + from, t->len);
	if (width == 0)
		return;
	if (zero && t->width > 0) {
		size_t zeros = width > t->len ? width - t->len : 0;

		if (zeros > sizeof(t->p) - t->len)
			zeros = sizeof(t->p) - t->len;
		memmove(t->p + zeros, t->p, t->len);
		memset(t->p, '0', zeros);
		t->len += zeros;
	} else if (t->width > 0) {
		t->len = width < t->len ? width : t->len;
	} else if (!zero) {
		t->len = width <= t->len ? t->len - width : t->len;
	}
}

size_t
logmod_apply(const struct logvar *v, const char *value, size_t len, char dst[LOGMOD_MAX])
{
	struct text t = {.offset = v->offset, .width = v->width};

	t.len = len < sizeof(t.p) ? len : sizeof(t.p);
	memcpy(t.p, value, t.len);
	for (const char *m = v->mods; *m != '\0'; m++)
		for (size_t i = 0; i < sizeof(mods) / sizeof(mods[0]); i++)
			if (mods[i].letter == *m)
				mods[i].apply(&t);
	cut(&t, v->zero);
	return str_clean(dst, LOGMOD_MAX, t.p, t.len);
}
