/*
 * login_log_format_elements and a client's name in it.  Input: a format, a NUL, a
 * name.  Whatever the modifiers make of a cleaned name is clean; what the check
 * accepts has no variable left over; what it refuses comes out, too, and does no harm.
 */
/* SRC: src/auth/logfmt.c src/auth/logmod.c src/ipc/logvar.c src/common/str.c */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "auth/logfmt.h"
#include "common/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char format[512], name[512], got[1 << 20], again[1 << 20], small[16];
	const uint8_t *nul = memchr(data, 0, size);
	struct log_vars v = {.v = {[LV_USER] = name, [LV_RIP] = "192.0.2.7", [LV_RPORT] = "4711"},
	    .passdb = "team=blue\nempty=\n"};
	size_t n, len = nul != NULL ? (size_t)(nul - data) : size;
	char why[200] = "";

	str_clean(format, sizeof(format), data, len);
	name[0] = '\0';
	if (nul != NULL)
		str_clean(name, sizeof(name), nul + 1, size - len - 1);
	n = logfmt_elements(format, &v, got, sizeof(got));
	str_clean(again, sizeof(again), got, n);
	if (strlen(got) != n || strcmp(got, again) != 0)
		abort();
	if (!logvar_check(format, LOGVAR_OF_ELEMENTS, why, sizeof(why)) && why[0] == '\0')
		abort();
	if (logfmt_elements(format, &v, small, sizeof(small)) >= sizeof(small))
		abort();
	n = logfmt_line(format, name, got, again, sizeof(again));
	if (strlen(again) != n)
		abort();
	return 0;
}
