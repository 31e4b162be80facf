/*
 * base64 and SASL responses: what is accepted decodes to what OpenSSL makes of it,
 * and encodes to the very same text (RFC 4648 3.5: no stray bits, no second form of
 * one message), so that what reaches the auth server's line is ours.  The first byte
 * says how it comes.
 */
/* SRC: src/proto/sasl.c src/common/str.c */
/* LIBS: -lcrypto */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "proto/sasl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
same_as_openssl(const char *text, size_t len, const struct dlg_event *ev)
{
	static unsigned char out[DLG_SASL_RAW_MAX + 3];
	size_t pad = len >= 2 && text[len - 2] == '=' ? 2 : len >= 1 && text[len - 1] == '=' ? 1 : 0;
	int n = EVP_DecodeBlock(out, (const unsigned char *)text, (int)len);

	if (n < 0 || (size_t)n - pad != ev->data_len || memcmp(out, ev->data, ev->data_len) != 0)
		abort();
}

static void
same_text_again(const char *text, size_t len, const struct dlg_event *ev)
{
	static char out[DLG_SASL_B64_MAX + 8];

	if (base64_encode(out, sizeof(out), ev->data, ev->data_len) != (long)len ||
	    memcmp(out, text, len) != 0)
		abort();
}

static void
plain(const uint8_t *p, size_t len, struct dlg_event *ev)
{
	size_t user = len > 0 ? p[0] % len : 0;

	if (len == 0 || !sasl_plain(p, user, p + user, len - user, ev))
		return;
	if (ev->data_len != len + 2 || ev->data[0] != 0 || ev->data[1 + user] != 0 ||
	    memchr(ev->data + 1, 0, ev->data_len - 1) != ev->data + 1 + user)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct dlg_event ev;
	enum sasl_result r;
	const char *text;
	size_t len;

	if (size == 0)
		return 0;
	if (data[0] % 3 == 2) {
		plain(data + 1, size - 1, &ev);
		return 0;
	}
	text = (const char *)data + 1;
	len = size - 1;
	r = data[0] % 3 == 0 ? sasl_response(text, len, &ev) : sasl_initial(text, len, &ev);
	if (ev.data_len > sizeof(ev.data) || (r != SASL_GOOD && ev.data_len != 0))
		abort();
	if (r != SASL_GOOD || (len == 1 && text[0] == '='))
		return 0;
	if (len > 0)
		same_as_openssl(text, len, &ev);
	same_text_again(text, len, &ev);
	return 0;
}
