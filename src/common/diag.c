#include "common/diag.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/str.h"

void
diag_set(struct diag *d, const char *file, unsigned int line, unsigned int column,
    const char *fmt, ...)
{
	va_list ap;

	str_copy(d->file, sizeof(d->file), file != NULL ? file : "");
	d->line = line;
	d->column = column;
	d->hint[0] = '\0';
	va_start(ap, fmt);
	vsnprintf(d->text, sizeof(d->text), fmt, ap);
	va_end(ap);
}

void
diag_hint(struct diag *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(d->hint, sizeof(d->hint), fmt, ap);
	va_end(ap);
}

void
diag_format(const struct diag *d, char *dst, unsigned long cap)
{
	char where[320] = "";

	if (d->file[0] != '\0' && d->line == 0)
		snprintf(where, sizeof(where), "%s: ", d->file);
	else if (d->file[0] != '\0' && d->column == 0)
		snprintf(where, sizeof(where), "%s:%u: ", d->file, d->line);
	else if (d->file[0] != '\0')
		snprintf(where, sizeof(where), "%s:%u:%u: ", d->file, d->line, d->column);
	snprintf(dst, cap, "%s%s%s%s%s", where, d->text, d->hint[0] != '\0' ? " (" : "", d->hint,
	    d->hint[0] != '\0' ? ")" : "");
}
