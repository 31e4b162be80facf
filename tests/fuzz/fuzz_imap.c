/*
 * libFuzzer: a client's bytes through the dialog, in pieces.  The first byte says
 * which protocol and settings, the second how long the pieces are.  What is
 * checked: the output buffer's and input buffer's limits, used <= len, that a full
 * buffer is never answered with "more", and that a command ends in the same state
 * whatever the pieces.
 */
/* SRC: src/proto/dialog.c src/proto/imap.c src/proto/imap_parse.c src/proto/pop3.c src/proto/sasl.c src/common/str.c */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/dialog.h"

static const struct dlg_mech mechs[] = {
    {"PLAIN", DLG_MECH_PLAINTEXT}, {"SCRAM-SHA-256", 0}, {"APOP", DLG_MECH_PRIVATE}};
static struct dialog d;
static struct dlg_event ev;

static void
act(uint8_t how)
{
	switch (ev.type) {
	case DLG_STARTTLS:
		dlg_tls_started(&d);
		break;
	case DLG_AUTH_START:
	case DLG_AUTH_CONT:
		if (ev.data_len > sizeof(ev.data))
			abort();
		if ((how & 1) != 0)
			dlg_auth_challenge(&d, ev.data, ev.data_len);
		else
			dlg_auth_fail(&d, (enum dlg_fail)(how % DLG_FAIL__MAX), "te\r\nxt");
		break;
	default:
		break;
	}
	d.out_len = 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t buf[DLG_INPUT_MAX];
	size_t n = 0, at = 2, step;
	struct dlg_settings set = {.greeting = "x", .imap_capability = "", .imap_id_send = ""};

	if (size < 2)
		return 0;
	step = data[1] == 0 ? sizeof(buf) : data[1];
	set.imap_literal_minus = (data[0] & 2) != 0;
	set.ssl_required = (data[0] & 4) != 0;
	set.plaintext_allowed = (data[0] & 8) != 0;
	dlg_init(&d, (data[0] & 1) != 0 ? DLG_POP3 : DLG_IMAP, &set, (data[0] & 16) != 0,
	    (data[0] & 32) != 0, (data[0] & 96) != 0);
	d.id_wanted = d.trusted = (data[0] & 128) != 0;
	dlg_set_mechs(&d, mechs, 3);
	if ((data[0] & 128) != 0)
		dlg_set_apop(&d, "<1.2.3@x>");
	dlg_greet(&d);
	d.out_len = 0;
	while (at < size) {
		size_t take = size - at < step ? size - at : step, used;

		if (take > sizeof(buf) - n)
			take = sizeof(buf) - n;
		if (take == 0)
			abort(); /* full, and "more" */
		memcpy(buf + n, data + at, take);
		n += take;
		at += take;
		do {
			used = 0;
			if (n == 0)
				break;
			dlg_feed(&d, buf, n, &used, &ev);
			if (used > n || d.out_len > sizeof(d.out))
				abort();
			memmove(buf, buf + used, n - used);
			n -= used;
			if (ev.type == DLG_CLOSE)
				return 0;
			act(data[at % size]);
		} while (used > 0 || ev.type != DLG_MORE);
	}
	return 0;
}
