#include "auth/clientid.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/str.h"

#define VALUE_CHARS 80 /* in the log, as in Dovecot */
#define FORWARD "x-forward-"

bool
clientid_read(const uint8_t *data, size_t len, struct clientid *id)
{
	const char *p = (const char *)data, *end = p + len;

	id->n = 0;
	if (len > CLIENTID_DATA_MAX || (len > 0 && end[-1] != '\0'))
		return false;
	while (p < end) {
		struct clientid_pair *pair = &id->pairs[id->n];

		if (id->n == CLIENTID_PAIRS_MAX)
			return false;
		pair->key = p;
		p += strlen(p) + 1;
		if (p == end || (*p != '=' && (p[0] != 'N' || p[1] != '\0')))
			return false;
		pair->value = *p == '=' ? p + 1 : NULL;
		p += strlen(p) + 1;
		id->n++;
	}
	return true;
}

/* ---- the log -------------------------------------------------------------- */

static bool
listed(const char *keys, const char *key)
{
	size_t n = strlen(key);

	while (*(keys += strspn(keys, " \t")) != '\0') {
		size_t len = strcspn(keys, " \t");

		if ((len == 1 && *keys == '*') || (len == n && strncasecmp(keys, key, n) == 0))
			return true;
		keys += len;
	}
	return false;
}

/* Cleaned and cut; what separates elements and values of a log line becomes '?'. */
static void
log_text(char *dst, size_t cap, const char *src)
{
	char *p = dst;
	size_t chars = 0;

	str_clean(dst, cap, src, strlen(src));
	for (; *p != '\0'; p++) {
		if (strchr("<>=,:()", *p) != NULL)
			*p = '?';
		if (((unsigned char)*p & 0xc0) != 0x80 && ++chars > VALUE_CHARS - 3 &&
		    strlen(p) > 3) {
			strcpy(p, "...");
			return;
		}
	}
}

bool
clientid_log(const struct clientid *id, const char *keys, char dst[CLIENTID_LOG_MAX])
{
	size_t n = 0;

	dst[0] = '\0';
	for (unsigned int i = 0; i < id->n; i++) {
		char key[VALUE_CHARS * 4 + 4], value[VALUE_CHARS * 4 + 4] = "NIL";
		int len;

		if (!listed(keys, id->pairs[i].key))
			continue;
		log_text(key, sizeof(key), id->pairs[i].key);
		if (id->pairs[i].value != NULL)
			log_text(value, sizeof(value), id->pairs[i].value);
		len = snprintf(dst + n, CLIENTID_LOG_MAX - n, "%s%s=%s", n > 0 ? ", " : "", key, value);
		if ((size_t)len >= CLIENTID_LOG_MAX - n) {
			dst[n] = '\0'; /* whole pairs */
			break;
		}
		n += (size_t)len;
	}
	return n > 0;
}

/* ---- whom a trusted proxy speaks for --------------------------------------- */

static bool
take_ip(struct conn_addr *a, const char *value)
{
	struct sockaddr_storage ss = {0};
	struct sockaddr_in *in = (struct sockaddr_in *)&ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;
	struct conn_addr got;

	ss.ss_family = strchr(value, ':') != NULL ? AF_INET6 : AF_INET;
	if (inet_pton(ss.ss_family, value, ss.ss_family == AF_INET ? (void *)&in->sin_addr
		: (void *)&in6->sin6_addr) != 1)
		return false;
	conn_addr_from(&got, &ss); /* IPv4-mapped ones become IPv4 */
	got.port = a->port;
	*a = got;
	return true;
}

static void
take_port(struct conn_addr *a, const char *value)
{
	uint64_t port;

	if (str_to_u64(value, 65535, &port) && port > 0)
		a->port = (uint16_t)port;
}

static void
remote_ip(struct conn_info *info, const char *value)
{
	take_ip(&info->remote, value);
}

static void
remote_port(struct conn_info *info, const char *value)
{
	take_port(&info->remote, value);
}

static void
local_ip(struct conn_info *info, const char *value)
{
	take_ip(&info->local, value);
}

static void
local_port(struct conn_info *info, const char *value)
{
	take_port(&info->local, value);
}

/* Base64 in Dovecot's; nothing that could be taken for more than one word. */
static void
session(struct conn_info *info, const char *value)
{
	size_t n = strspn(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	    "+/=_.:-");

	if (n > 0 && value[n] == '\0' && n < sizeof(info->session))
		memcpy(info->session, value, n + 1);
}

/* NULL: it is said to the next hop, and nothing here. */
static const struct {
	const char *key;
	void (*take)(struct conn_info *info, const char *value);
} proxy_keys[] = {
    {"x-originating-ip", remote_ip},
    {"x-originating-port", remote_port},
    {"x-connected-ip", local_ip},
    {"x-connected-port", local_port},
    {"x-session-id", session},
    {"x-proxy-ttl", NULL},
};

static bool
is_forward(const char *key)
{
	return strncasecmp(key, FORWARD, sizeof(FORWARD) - 1) == 0;
}

static bool
is_proxy_word(const char *key)
{
	for (size_t i = 0; i < sizeof(proxy_keys) / sizeof(proxy_keys[0]); i++)
		if (strcasecmp(proxy_keys[i].key, key) == 0)
			return true;
	return is_forward(key);
}

/* A name that is one, and a value without control characters: it is part of a list. */
static void
add_forward(char forward[CLIENTID_FORWARD_MAX], const char *name, const char *value)
{
	size_t n = strlen(forward), len = strlen(name), vlen = strlen(value);

	if (len == 0 || strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "0123456789_-") != len || n + len + vlen + 3 > CLIENTID_FORWARD_MAX)
		return;
	for (size_t i = 0; i < vlen; i++)
		if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f)
			return;
	snprintf(forward + n, CLIENTID_FORWARD_MAX - n, "%s%s=%s", n > 0 ? "\t" : "", name, value);
}

void
clientid_forward(const struct clientid *id, struct conn_info *info,
    char forward[CLIENTID_FORWARD_MAX])
{
	for (unsigned int i = 0; i < id->n; i++) {
		const char *key = id->pairs[i].key, *value = id->pairs[i].value;

		if (value == NULL)
			continue;
		if (is_forward(key))
			add_forward(forward, key + sizeof(FORWARD) - 1, value);
		for (size_t k = 0; k < sizeof(proxy_keys) / sizeof(proxy_keys[0]); k++)
			if (proxy_keys[k].take != NULL && strcasecmp(proxy_keys[k].key, key) == 0)
				proxy_keys[k].take(info, value);
	}
}

/* ---- the auth server ------------------------------------------------------ */

static size_t
quoted(char *dst, size_t cap, const char *s)
{
	char text[CLIENTID_RETAIN_MAX];
	size_t n = 0;

	str_clean(text, sizeof(text), s, strlen(s));
	if (cap < 3)
		return cap;
	dst[n++] = '"';
	for (const char *p = text; *p != '\0'; p++) {
		if (n + 3 >= cap)
			return cap;
		if (*p == '"' || *p == '\\')
			dst[n++] = '\\';
		dst[n++] = *p;
	}
	dst[n++] = '"';
	dst[n] = '\0';
	return n;
}

void
clientid_retain(const struct clientid *id, char dst[CLIENTID_RETAIN_MAX])
{
	size_t n = 0;

	dst[0] = '\0';
	for (unsigned int i = 0; i < id->n; i++) {
		char pair[2 * CLIENTID_RETAIN_MAX];
		size_t len;

		if (is_proxy_word(id->pairs[i].key))
			continue;
		len = quoted(pair, CLIENTID_RETAIN_MAX, id->pairs[i].key);
		if (len == CLIENTID_RETAIN_MAX)
			return;
		pair[len++] = ' ';
		if (id->pairs[i].value != NULL)
			len += quoted(pair + len, CLIENTID_RETAIN_MAX, id->pairs[i].value);
		else
			len += (size_t)snprintf(pair + len, sizeof(pair) - len, "NIL");
		if (n + len + 2 > CLIENTID_RETAIN_MAX)
			return;
		if (n > 0)
			dst[n++] = ' ';
		memcpy(dst + n, pair, len);
		n += len;
		dst[n] = '\0';
	}
}
