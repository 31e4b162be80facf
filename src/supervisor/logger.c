#include "supervisor/logger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "common/str.h"

static enum log_target log_target;
static char log_path[256];
static int log_out = 2;

int
logger_open(enum log_target target, const char *path)
{
	if (target == LOG_TO_FILE) {
		int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);

		if (fd == -1)
			return -1;
		if (log_out != 2)
			close(log_out);
		log_out = fd;
		str_copy(log_path, sizeof(log_path), path);
	} else if (target == LOG_TO_SYSLOG) {
		openlog("gatehouse", LOG_NDELAY, LOG_MAIL);
	}
	log_target = target;
	return 0;
}

void
logger_reopen(void)
{
	if (log_target == LOG_TO_FILE && logger_open(LOG_TO_FILE, log_path) == -1)
		logger_line('E', "cannot reopen %s: %s", log_path, strerror(errno));
	else
		logger_line('I', "log reopened");
}

static const char *
level_name(char level)
{
	return level == 'D' ? "Debug" : level == 'W' ? "Warning" : level == 'E' ? "Error" : "Info";
}

static void
emit(char level, const char *prefix, const char *text)
{
	static const int syslog_level[] = {LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERR};
	const char *at = strchr("DIWE", level);
	char line[2048], when[32];
	struct tm tm;
	time_t t = time(NULL);
	int n;

	if (log_target == LOG_TO_SYSLOG) {
		syslog(syslog_level[at != NULL ? at - "DIWE" : 1], "%s: %s: %s", prefix,
		    level_name(level), text);
		return;
	}
	localtime_r(&t, &tm);
	strftime(when, sizeof(when), "%b %d %H:%M:%S", &tm);
	n = snprintf(line, sizeof(line), "%s %s: %s: %s\n", when, prefix, level_name(level), text);
	if (n >= (int)sizeof(line)) {
		n = (int)sizeof(line) - 1;
		line[n - 1] = '\n';
	}
	while (write(log_out, line, (size_t)n) == -1 && errno == EINTR)
		;
}

void
logger_line(char level, const char *fmt, ...)
{
	char text[1500];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	emit(level, "gatehouse", text);
}

int
logpipe_open(struct logpipe *p, const char *name, bool own_prefix)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) == -1)
		return -1;
	*p = (struct logpipe){.fd = fds[0], .name = name, .own_prefix = own_prefix, .tokens = LOGGER_BURST};
	return fds[1];
}

static bool
allowed(struct logpipe *p)
{
	struct timespec ts;
	unsigned long long now, add;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = (unsigned long long)ts.tv_sec * 1000 + (unsigned long long)ts.tv_nsec / 1000000;
	add = p->refilled_ms == 0 ? 0 : (now - p->refilled_ms) * LOGGER_RATE / 1000;
	if (add > 0 || p->refilled_ms == 0) {
		p->refilled_ms = now;
		p->tokens = p->tokens + add > LOGGER_BURST ? LOGGER_BURST
							   : p->tokens + (unsigned int)add;
	}
	if (p->tokens == 0) {
		p->dropped++;
		return false;
	}
	p->tokens--;
	if (p->dropped > 0 && p->tokens > LOGGER_RATE / 10) {
		unsigned int n = p->dropped;

		p->dropped = 0;
		logger_line('W', "%s: %u log lines were dropped (more than %d a second)", p->name, n,
		    LOGGER_RATE);
	}
	return true;
}

/* "I" text; a text that begins with "imap-login: " or "pop3-login: " names its own
 * service. */
static void
line(struct logpipe *p, const char *s, size_t len)
{
	static const char *const own[] = {"imap-login", "pop3-login"};
	const char *prefix = p->name;
	char text[1500];
	char level = 'I';

	if (len == 0 || !allowed(p))
		return;
	if (strchr("DIWE", s[0]) != NULL) {
		level = s[0];
		s++;
		len--;
	}
	for (size_t i = 0; p->own_prefix && i < sizeof(own) / sizeof(own[0]); i++) {
		size_t n = strlen(own[i]);

		if (len > n + 2 && memcmp(s, own[i], n) == 0 && s[n] == ':' && s[n + 1] == ' ') {
			prefix = own[i];
			s += n + 2;
			len -= n + 2;
			break;
		}
	}
	str_clean(text, sizeof(text), s, len);
	emit(level, prefix, text);
}

static void
take_lines(struct logpipe *p)
{
	char *start = p->buf, *end = p->buf + p->len, *lf;

	while ((lf = memchr(start, '\n', (size_t)(end - start))) != NULL) {
		if (!p->cutting)
			line(p, start, (size_t)(lf - start));
		p->cutting = false;
		start = lf + 1;
	}
	p->len = (unsigned int)(end - start);
	memmove(p->buf, start, p->len);
	if (p->len == sizeof(p->buf)) { /* nobody of ours writes such lines */
		if (!p->cutting)
			line(p, p->buf, p->len);
		p->cutting = true;
		p->len = 0;
	}
}

bool
logpipe_read(struct logpipe *p)
{
	for (int i = 0; i < 64; i++) {
		ssize_t n = read(p->fd, p->buf + p->len, sizeof(p->buf) - p->len);

		if (n == 0)
			return false;
		if (n == -1)
			return errno == EAGAIN || errno == EINTR;
		p->len += (unsigned int)n;
		take_lines(p);
	}
	return true;
}

void
logpipe_close(struct logpipe *p)
{
	if (p->fd != -1) {
		logpipe_read(p);
		close(p->fd);
	}
	p->fd = -1;
}
