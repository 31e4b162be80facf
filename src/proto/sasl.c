#include "proto/sasl.h"

#include <string.h>

#include "common/str.h"

enum sasl_result
sasl_response(const char *line, size_t len, struct dlg_event *ev)
{
	long n;

	ev->data_len = 0;
	if (len == 1 && line[0] == '*')
		return SASL_CANCELLED;
	if (len > DLG_SASL_B64_MAX)
		return SASL_TOO_LONG;
	n = base64_decode(ev->data, sizeof(ev->data), line, len);
	if (n < 0)
		return SASL_BAD_BASE64;
	ev->data_len = (size_t)n;
	return SASL_GOOD;
}

enum sasl_result
sasl_initial(const char *word, size_t len, struct dlg_event *ev)
{
	ev->has_ir = true;
	ev->data_len = 0;
	if (len == 1 && word[0] == '=')
		return SASL_GOOD;
	if (len == 1 && word[0] == '*') /* no base64 */
		return SASL_BAD_BASE64;
	return sasl_response(word, len, ev);
}

bool
sasl_plain(const uint8_t *user, size_t user_len, const uint8_t *pass, size_t pass_len,
    struct dlg_event *ev)
{
	if (memchr(user, 0, user_len) != NULL || memchr(pass, 0, pass_len) != NULL ||
	    user_len + pass_len + 2 > sizeof(ev->data))
		return false;
	str_copy(ev->mech, sizeof(ev->mech), "PLAIN");
	ev->has_ir = true;
	ev->data[0] = 0;
	memcpy(ev->data + 1, user, user_len);
	ev->data[1 + user_len] = 0;
	memcpy(ev->data + 2 + user_len, pass, pass_len);
	ev->data_len = 2 + user_len + pass_len;
	return true;
}
