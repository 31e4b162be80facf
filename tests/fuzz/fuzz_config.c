/*
 * libFuzzer: a configuration.  One that is accepted is printed and read again: it
 * must be accepted, and print the same.
 */
/* SRC: src/config/lex.c src/config/values.c src/config/settings.c src/config/parse.c src/config/load.c src/config/dump.c src/ipc/blocks.c src/ipc/conn.c src/ipc/logvar.c src/ipc/codec.c src/confine/layers.c src/common/str.c src/common/diag.c src/common/log.c src/ipc/rules.c src/config/blocks.c */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

static char *
print(const struct config *c, size_t *n)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, n);

	config_dump(c, false, f);
	fclose(f);
	return text;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config a, b;
	struct diag d = {0};
	char *first, *second, where[1200];
	size_t n, n2;

	/* No file of this machine is to be read. */
	if (memmem(data, size, "!include", 8) != NULL)
		return 0;
	config_defaults(&a);
	if (config_parse(&a, "fuzz", (const char *)data, size, NULL, &d) == -1) {
		diag_format(&d, where, sizeof(where));
		return 0;
	}
	first = print(&a, &n);
	config_defaults(&b);
	if (config_parse(&b, "again", first, n, NULL, &d) == -1)
		abort();
	second = print(&b, &n2);
	if (n != n2 || memcmp(first, second, n) != 0)
		abort();
	free(first);
	free(second);
	return 0;
}
