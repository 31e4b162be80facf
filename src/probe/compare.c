#include "probe/compare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define CLASSES_MAX 20
#define FILES_MAX 16

/* Rows that are not OPEN, of those that could be tried. */
struct score {
	unsigned int closed, tried, open_only_seccomp, only_seccomp;
};

static char classes[CLASSES_MAX][16];
static unsigned int nclasses;
static struct score scores[FILES_MAX][CLASSES_MAX];
static char names[FILES_MAX][32];

/* Our own lines only: "key":"text" without escapes. */
static void
field(const char *line, const char *key, char *dst, size_t cap)
{
	char want[40];
	const char *at;
	size_t n;

	snprintf(want, sizeof(want), "\"%s\":", key);
	dst[0] = '\0';
	at = strstr(line, want);
	if (at == NULL)
		return;
	at += strlen(want);
	at += *at == '"';
	n = strcspn(at, "\",}");
	snprintf(dst, cap, "%.*s", (int)n, at);
}

static struct score *
score_of(unsigned int file, const char *class)
{
	unsigned int i;

	for (i = 0; i < nclasses && strcmp(classes[i], class) != 0; i++)
		;
	if (i == CLASSES_MAX)
		return NULL;
	if (i == nclasses) {
		snprintf(classes[i], sizeof(classes[i]), "%s", class);
		nclasses++;
	}
	return &scores[file][i];
}

static void
take(unsigned int file, const char *line)
{
	char class[16], result[16], wall[40], flags[16];
	struct score *s;

	field(line, "class", class, sizeof(class));
	field(line, "result", result, sizeof(result));
	field(line, "wall", wall, sizeof(wall));
	field(line, "flags", flags, sizeof(flags));
	field(line, "config", names[file], sizeof(names[file]));
	/* Rows that report, that are known exceptions, or that make no call prove nothing. */
	if (class[0] == '\0' || strcmp(result, "SKIP") == 0 || (atoi(flags) & (2 | 8 | 16 | 64)) != 0 ||
	    (s = score_of(file, class)) == NULL)
		return;
	s->tried++;
	s->closed += strcmp(result, "OPEN") != 0;
	s->only_seccomp += wall[0] == '\0';
	s->open_only_seccomp += wall[0] == '\0' && strcmp(result, "OPEN") == 0;
}

static void
print_row(const char *what, const struct score *of, unsigned int nfiles, unsigned int stride)
{
	printf("| %-16s |", what);
	for (unsigned int f = 0; f < nfiles; f++, of += stride) {
		char cell[24];

		if (of->tried == 0)
			snprintf(cell, sizeof(cell), "-");
		else
			snprintf(cell, sizeof(cell), "%u/%u", of->closed, of->tried);
		printf(" %*s |", (int)strlen(names[f]), cell);
	}
	printf("\n");
}

static void
print(unsigned int nfiles)
{
	struct score all[FILES_MAX] = {0}, only[FILES_MAX] = {0};

	printf("| %-16s |", "class");
	for (unsigned int f = 0; f < nfiles; f++)
		printf(" %s |", names[f]);
	printf("\n|------------------|");
	for (unsigned int f = 0; f < nfiles; f++)
		printf("%.*s:|", (int)strlen(names[f]) + 1, "--------------------------------");
	printf("\n");
	for (unsigned int c = 0; c < nclasses; c++) {
		print_row(classes[c], &scores[0][c], nfiles, CLASSES_MAX);
		for (unsigned int f = 0; f < nfiles; f++) {
			const struct score *s = &scores[f][c];

			all[f].tried += s->tried;
			all[f].closed += s->closed;
			only[f].tried += s->only_seccomp;
			only[f].closed += s->only_seccomp - s->open_only_seccomp;
		}
	}
	print_row("all", all, nfiles, 1);
	print_row("only seccomp", only, nfiles, 1);
}

int
compare(int nfiles, char **files)
{
	static char line[4096];

	if (nfiles < 1 || nfiles > FILES_MAX) {
		fprintf(stderr, "gatehouse-probe: --compare takes 1 to %d files\n", FILES_MAX);
		return EX_USAGE;
	}
	for (int i = 0; i < nfiles; i++) {
		FILE *f = fopen(files[i], "re");

		if (f == NULL) {
			perror(files[i]);
			return EX_NOINPUT;
		}
		while (fgets(line, sizeof(line), f) != NULL)
			take((unsigned int)i, line);
		fclose(f);
	}
	print((unsigned int)nfiles);
	return EX_OK;
}
