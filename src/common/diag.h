/*
 * Where a text file is wrong and what would be right: filled by the parsers of
 * policies and configuration, printed by whoever called them.
 */
#ifndef COMMON_DIAG_H
#define COMMON_DIAG_H

struct diag {
	char file[256];
	unsigned int line;   /* from 1; 0: the file as a whole */
	unsigned int column; /* from 1; 0: the line as a whole */
	char text[512];      /* what is wrong, with the offending word */
	char hint[256];      /* what to do; empty if there is nothing to say */
};

void diag_set(struct diag *d, const char *file, unsigned int line, unsigned int column,
    const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void diag_hint(struct diag *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "file:line:column: text (hint)" into dst, always terminated. */
void diag_format(const struct diag *d, char *dst, unsigned long cap);

#endif
