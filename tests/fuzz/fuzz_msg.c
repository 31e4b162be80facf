/*
 * libFuzzer: our own messages in every role, and the fields behind them.  The first
 * two bytes choose receiver and sender, the third the number of descriptors.
 */
/* SRC: src/ipc/msg.c src/ipc/codec.c src/ipc/conn.c src/ipc/settings.c src/common/str.c src/ipc/blocks.c src/ipc/rules.c */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/conn.h"
#include "ipc/msg.h"
#include "ipc/settings.h"

const char build_id[] = "fuzz";

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct worker_settings ws;
	static struct launcher_settings ls;
	static struct auth_settings as;
	static struct keys_settings ks;
	struct conn_info info;
	struct hello h;
	struct msgin m;
	struct rd r;

	if (size < 3)
		return 0;
	r = (struct rd){.p = data + 3, .end = data + size};
	worker_settings_unpack(&r, &ws);
	r = (struct rd){.p = data + 3, .end = data + size};
	launcher_settings_unpack(&r, &ls);
	r = (struct rd){.p = data + 3, .end = data + size};
	auth_settings_unpack(&r, &as);
	r = (struct rd){.p = data + 3, .end = data + size};
	keys_settings_unpack(&r, &ks);
	if (msg_parse(data + 3, size - 3, data[2] % 6, (enum role)(1 << data[0] % 5),
		(enum role)(1 << data[1] % 5), &m) == -1)
		return 0;
	if (m.type == MSG_HELLO) {
		hello_get(&m, (enum role)(1 << data[1] % 5), &h);
		if (h.layers_len > sizeof(h.layers) ||
		    memchr(h.build_id, 0, sizeof(h.build_id)) == NULL)
			abort();
	} else if (conn_get(&m.r, m.id, &info) &&
	    (info.service >= SERVICE__MAX || memchr(info.session, 0, sizeof(info.session)) == NULL)) {
		abort();
	}
	return 0;
}
