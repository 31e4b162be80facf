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

/* What was accepted can be used: every connection gets rules with whole strings. */
static void
use(const struct rule_set *s)
{
	struct conn_info c = {.service = SERVICE_POP3, .local = {AF_INET, 1, {10, 0, 0, 1}},
	    .remote = {AF_INET6, 1, {0xfe, 0x80}}};
	const char *strings[] = {"", "a.test", "x.b.test"};
	struct rules r;

	for (int i = 0; i < 3; i++) {
		rule_set_apply(s, rule_set_match(s, &c, strings[i]), &r);
		net_list_has(&r.login_trusted_networks, &c.local);
		if ((r.login_greeting != NULL && strlen(r.login_greeting) > 255) ||
		    (r.login_log_format != NULL && strlen(r.login_log_format) > 255) ||
		    r.ssl > SSL_REQUIRED || r.cert >= SETTINGS_CERTS_MAX)
			abort();
	}
}

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
	if (worker_settings_unpack(&r, &ws))
		use(&ws.rules);
	r = (struct rd){.p = data + 3, .end = data + size};
	if (launcher_settings_unpack(&r, &ls))
		use(&ls.rules);
	r = (struct rd){.p = data + 3, .end = data + size};
	if (auth_settings_unpack(&r, &as))
		use(&as.rules);
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
