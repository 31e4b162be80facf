/*
 * CLIENT_ID's data, as a worker that was taken over may send it: nothing that comes of it
 * is longer than it may be, or holds a control character.
 */
/* SRC: src/auth/clientid.c src/ipc/conn.c src/ipc/codec.c src/common/str.c */
#include <stdlib.h>
#include <string.h>

#include "auth/clientid.h"
#include "common/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
clean(const char *s, size_t cap)
{
	static char again[2048];

	if (strlen(s) >= cap)
		abort();
	str_clean(again, sizeof(again), s, strlen(s));
	if (strcmp(again, s) != 0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conn_info info = {.session = "s", .remote = {AF_INET, 1, {1}}, .local = {AF_INET, 2, {2}}};
	char line[CLIENTID_LOG_MAX], kept[CLIENTID_RETAIN_MAX], forward[CLIENTID_FORWARD_MAX] = "";
	struct clientid id;

	if (!clientid_read(data, size, &id))
		return 0;
	if (id.n > CLIENTID_PAIRS_MAX)
		abort();
	clientid_log(&id, "*", line);
	clean(line, sizeof(line));
	clientid_retain(&id, kept);
	clean(kept, sizeof(kept));
	clientid_forward(&id, &info, forward);
	clean(info.session, sizeof(info.session));
	if (strlen(forward) >= sizeof(forward) || strpbrk(forward, "\001\r\n") != NULL ||
	    (info.remote.family != AF_INET && info.remote.family != AF_INET6))
		abort();
	return 0;
}
