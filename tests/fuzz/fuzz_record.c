/* SRC: src/confine/record.c src/confine/layers.c src/common/str.c src/common/log.c src/ipc/codec.c */
#include <stdlib.h>

#include "confine/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct record r;

	if (record_parse(&r, (const char *)data, size) && r.n > RECORD_ENTRIES_MAX)
		abort();
	return 0;
}
