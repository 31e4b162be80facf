#include "common/str.h"

#include <string.h>

bool
str_copy_n(char *dst, size_t cap, const void *src, size_t len)
{
	size_t n = len < cap ? len : cap - 1;

	memcpy(dst, src, n);
	dst[n] = '\0';
	return n == len;
}

bool
str_copy(char *dst, size_t cap, const char *src)
{
	return str_copy_n(dst, cap, src, strlen(src));
}

bool
str_to_u64(const char *s, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (*s == '\0')
		return false;
	for (; *s != '\0'; s++) {
		unsigned int d = (unsigned int)(*s - '0');

		if (*s < '0' || *s > '9' || d > max || v > (max - d) / 10)
			return false;
		v = v * 10 + d;
	}
	*out = v;
	return true;
}

/* Length of the UTF-8 sequence at p (shortest form, no surrogates), 0 if bad. */
static size_t
utf8_char(const uint8_t *p, size_t len, uint32_t *cp)
{
	static const uint32_t lowest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = p[0] < 0x80 ? 1 : (p[0] & 0xe0) == 0xc0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3
	    : (p[0] & 0xf8) == 0xf0 ? 4 : 0;
	uint32_t v;

	if (n == 0 || n > len)
		return 0;
	v = n == 1 ? p[0] : p[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | (p[i] & 0x3f);
	}
	if (v < lowest[n] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
		return 0;
	*cp = v;
	return n;
}

static bool
printable(uint32_t cp)
{
	return !(cp < 0x20 || (cp >= 0x7f && cp <= 0x9f) || cp == 0x200e || cp == 0x200f ||
	    cp == 0x061c || (cp >= 0x2028 && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069) ||
	    cp == 0xfeff);
}

size_t
str_clean(char *dst, size_t cap, const void *src, size_t len)
{
	const uint8_t *p = src;
	size_t out = 0;

	while (len > 0) {
		uint32_t cp = 0;
		size_t n = utf8_char(p, len, &cp);
		bool good = n > 0 && printable(cp);
		size_t put = good ? n : 1;

		if (out + put >= cap)
			break;
		if (good)
			memcpy(dst + out, p, n);
		else
			dst[out] = '?';
		out += put;
		n = n > 0 ? n : 1;
		p += n;
		len -= n;
	}
	dst[out] = '\0';
	return out;
}

static int
b64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

long
base64_decode(uint8_t *dst, size_t cap, const char *src, size_t len)
{
	size_t out = 0, pad = 0;

	if (len % 4 != 0)
		return -1;
	if (len > 0 && src[len - 1] == '=')
		pad = src[len - 2] == '=' ? 2 : 1;
	for (size_t i = 0; i < len; i += 4) {
		size_t n = i + 4 == len ? 3 - pad : 3;
		uint32_t v = 0;

		for (size_t j = 0; j < 4; j++) {
			int b = j <= n ? b64_value(src[i + j]) : 0;

			if (b < 0)
				return -1;
			v = v << 6 | (uint32_t)b;
		}
		if ((n == 1 && (v & 0xffff) != 0) || (n == 2 && (v & 0xff) != 0) || out + n > cap)
			return -1;
		for (size_t j = 0; j < n; j++)
			dst[out++] = (uint8_t)(v >> (16 - 8 * j));
	}
	return (long)out;
}

long
base64_encode(char *dst, size_t cap, const void *src, size_t len)
{
	static const char abc[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *p = src;
	size_t out = 0;

	if (cap < (len + 2) / 3 * 4 + 1)
		return -1;
	for (size_t i = 0; i < len; i += 3) {
		size_t n = len - i < 3 ? len - i : 3;
		uint32_t v = (uint32_t)p[i] << 16;

		if (n > 1)
			v |= (uint32_t)p[i + 1] << 8;
		if (n > 2)
			v |= p[i + 2];
		dst[out++] = abc[v >> 18];
		dst[out++] = abc[v >> 12 & 63];
		dst[out++] = n > 1 ? abc[v >> 6 & 63] : '=';
		dst[out++] = n > 2 ? abc[v & 63] : '=';
	}
	dst[out] = '\0';
	return (long)out;
}
