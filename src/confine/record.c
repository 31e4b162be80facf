#include "confine/record.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/str.h"

static void
print_entry(FILE *f, const struct record_entry *e)
{
	const char *blank = "";

	fprintf(f, "%s\t%d\t%llu\t%u\t", e->what, (int)e->pid, e->started, e->layers.landlock_abi);
	for (int l = 0; l < LAYER__MAX; l++) {
		if (e->layers.state[l] == LAYER_NOT_ASKED)
			continue;
		fprintf(f, "%s%s=%s", blank, layer_word((enum layer)l),
		    layer_state_name((enum layer_state)e->layers.state[l]));
		if (e->layers.err[l] != 0)
			fprintf(f, ":%d", e->layers.err[l]);
		blank = " ";
	}
	fputc('\n', f);
}

int
record_write(const char *path, const struct record *r)
{
	char tmp[PATH_MAX + 8];
	FILE *f;

	snprintf(tmp, sizeof(tmp), "%s.new", path);
	f = fopen(tmp, "we");
	if (f == NULL)
		return -1;
	fprintf(f, "generation\t%u\t%d\n", r->generation, (int)r->supervisor);
	for (unsigned int i = 0; i < r->n; i++)
		print_entry(f, &r->entry[i]);
	if (fclose(f) == 0 && rename(tmp, path) == 0)
		return 0;
	unlink(tmp);
	return -1;
}

/* word=state or word=state:errno */
static bool
parse_layer(struct layer_report *rep, char *text)
{
	char *state = strchr(text, '='), *err;
	uint64_t number = 0;

	if (state == NULL)
		return false;
	*state++ = '\0';
	err = strchr(state, ':');
	if (err != NULL) {
		*err++ = '\0';
		if (!str_to_u64(err, 4095, &number))
			return false;
	}
	for (int l = 0; l < LAYER__MAX; l++) {
		if (strcmp(layer_word((enum layer)l), text) != 0)
			continue;
		for (int s = LAYER_ENFORCED; s <= LAYER_REFUSED; s++) {
			if (strcmp(layer_state_name((enum layer_state)s), state) != 0)
				continue;
			rep->state[l] = (uint8_t)s;
			rep->err[l] = (int16_t)number;
			return true;
		}
	}
	return false;
}

static bool
parse_entry(struct record_entry *e, char *line)
{
	char *field[5], *save = NULL;
	uint64_t pid, started, abi;

	for (int i = 0; i < 5; i++) {
		field[i] = line;
		line += strcspn(line, "\t");
		if (i < 4 && *line == '\0')
			return false;
		if (i < 4)
			*line++ = '\0';
	}
	memset(e, 0, sizeof(*e));
	if (!str_copy(e->what, sizeof(e->what), field[0]) || !str_to_u64(field[1], INT_MAX, &pid) ||
	    !str_to_u64(field[2], UINT64_MAX, &started) || !str_to_u64(field[3], 255, &abi))
		return false;
	e->pid = (pid_t)pid;
	e->started = started;
	e->layers.landlock_abi = (uint8_t)abi;
	for (char *w = strtok_r(field[4], " ", &save); w != NULL; w = strtok_r(NULL, " ", &save))
		if (!parse_layer(&e->layers, w))
			return false;
	return true;
}

bool
record_parse(struct record *r, const char *text, size_t len)
{
	char copy[RECORD_BYTES_MAX + 1], *line, *save = NULL;
	int supervisor;

	memset(r, 0, sizeof(*r));
	if (len > RECORD_BYTES_MAX || memchr(text, '\0', len) != NULL)
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	line = strtok_r(copy, "\n", &save);
	if (line == NULL || sscanf(line, "generation\t%u\t%d", &r->generation, &supervisor) != 2)
		return false;
	r->supervisor = supervisor;
	while ((line = strtok_r(NULL, "\n", &save)) != NULL)
		if (r->n == RECORD_ENTRIES_MAX || !parse_entry(&r->entry[r->n++], line))
			return false;
	return true;
}

unsigned long long
record_start_time(pid_t pid)
{
	char path[64], buf[1024], *p;
	unsigned long long t = 0;
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return 0;
	n = fread(buf, 1, sizeof(buf) - 1, f);
	fclose(f);
	buf[n] = '\0';
	p = strrchr(buf, ')'); /* the name may hold anything */
	for (int field = 2; p != NULL && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (p != NULL)
		t = strtoull(p + 1, NULL, 10);
	return t;
}
