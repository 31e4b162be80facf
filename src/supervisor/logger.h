/*
 * The log: lines that helpers and workers write into their pipes are cleaned,
 * limited, given a time and a prefix in Dovecot's form (dovecot-protocols D.10) and
 * written to log_path, to stderr (-F) or to syslog.
 */
#ifndef SUPERVISOR_LOGGER_H
#define SUPERVISOR_LOGGER_H

#include <stdbool.h>

/* Lines a second that one pipe may write, on average and at once. */
#define LOGGER_RATE 500
#define LOGGER_BURST 2000

enum log_target {
	LOG_TO_STDERR,
	LOG_TO_FILE,
	LOG_TO_SYSLOG
};

/* path: of LOG_TO_FILE.  -1 with errno: it cannot be opened. */
int logger_open(enum log_target target, const char *path);
/* USR1: open log_path anew.  On failure the old one stays in use. */
void logger_reopen(void);

/* The supervisor's own lines. */
void logger_line(char level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* One helper's pipe, from which lines are taken apart. */
struct logpipe {
	int fd;             /* read end, non-blocking; -1: none */
	const char *name;   /* prefix of lines that bring none */
	bool own_prefix;    /* its lines may say "imap-login: ": not so a worker's, which
	                       could forge a login otherwise */
	bool cutting;       /* in the middle of an over-long line */
	unsigned int tokens, dropped;
	unsigned long long refilled_ms;
	unsigned int len;
	char buf[4096];
};

/* Makes the pipe; returns its write end (non-blocking: a worker never waits for
 * the log), -1 with errno. */
int logpipe_open(struct logpipe *p, const char *name, bool own_prefix);
/* Read what is there.  False: all writers are gone. */
bool logpipe_read(struct logpipe *p);
void logpipe_close(struct logpipe *p);

#endif
