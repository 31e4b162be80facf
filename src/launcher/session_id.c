#include "launcher/session_id.h"

#include <string.h>

#include "common/str.h"

void
session_id_make(char dst[33], const struct conn_addr *remote, uint64_t now_us)
{
	static uint64_t last;
	size_t n = remote->family == AF_INET ? 4 : 16;
	uint8_t raw[24];

	if (now_us <= last)
		now_us = last + 1;
	last = now_us;
	for (int i = 0; i < 6; i++)
		raw[i] = (uint8_t)(now_us >> (8 * i));
	raw[6] = (uint8_t)remote->port;
	raw[7] = (uint8_t)(remote->port >> 8);
	memcpy(raw + 8, remote->ip, n);
	base64_encode(dst, 33, raw, 8 + n);
}
