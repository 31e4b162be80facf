#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int log_fd = 2;
static bool log_human;
static bool log_debug_on;
static const char *log_name = "gatehouse";

void
log_to(int fd, bool human, const char *name)
{
	log_fd = fd;
	log_human = human;
	log_name = name;
}

void
log_set_debug(bool on)
{
	log_debug_on = on;
}

const char *
errno_name(int err)
{
	const char *name = strerrorname_np(err);

	return name != NULL ? name : "unknown error";
}

static const char *
level_word(char level)
{
	switch (level) {
	case 'D':
		return "Debug: ";
	case 'W':
		return "Warning: ";
	case 'E':
		return "Error: ";
	default:
		return "";
	}
}

static void
emit(char level, int err, const char *fmt, va_list ap)
{
	char line[LOG_LINE_MAX + 160];
	size_t n, cap = LOG_LINE_MAX;
	int w;

	if (log_human)
		w = snprintf(line, sizeof(line), "%s: %s", log_name, level_word(level));
	else
		w = snprintf(line, sizeof(line), "%c", level);
	n = w > 0 ? (size_t)w : 0;
	w = vsnprintf(line + n, cap, fmt, ap);
	if (w > 0)
		n += (size_t)w < cap ? (size_t)w : cap - 1;
	if (err != 0) {
		w = snprintf(line + n, sizeof(line) - n, ": %s (%s)", strerrordesc_np(err) != NULL
		    ? strerrordesc_np(err) : "?", errno_name(err));
		if (w > 0)
			n += (size_t)w < sizeof(line) - n ? (size_t)w : sizeof(line) - n - 1;
	}
	if (n > sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	/* A lost log line must not stop a login; there is nobody to tell. */
	while (write(log_fd, line, n) == -1 && errno == EINTR)
		;
}

#define EMIT(level, err) \
	do { \
		int saved = errno; \
		va_list ap; \
		va_start(ap, fmt); \
		emit(level, err, fmt, ap); \
		va_end(ap); \
		errno = saved; \
	} while (0)

void
log_debug(const char *fmt, ...)
{
	if (log_debug_on)
		EMIT('D', 0);
}

void
log_info(const char *fmt, ...)
{
	EMIT('I', 0);
}

void
log_warnx(const char *fmt, ...)
{
	EMIT('W', 0);
}

void
log_errx(const char *fmt, ...)
{
	EMIT('E', 0);
}

void
log_warn(const char *fmt, ...)
{
	EMIT('W', saved);
}

void
log_err(const char *fmt, ...)
{
	EMIT('E', saved);
}

void
fatal(int status, const char *fmt, ...)
{
	EMIT('E', saved);
	_exit(status);
}

void
fatalx(int status, const char *fmt, ...)
{
	EMIT('E', 0);
	_exit(status);
}
