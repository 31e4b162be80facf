/*
 * Log lines of a process.  One line is one write() to FD_LOG, so that lines of
 * several processes on one pipe never mix.  On the pipe a line is a level
 * letter (D I W E), the text and LF; the supervisor adds the time and the
 * prefix, cleans and limits.  No allocation, no stdio streams, no locale: safe
 * in a confined process.  Never give it a password or a SASL response.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>
#include <stdint.h>

#define LOG_LINE_MAX 1000 /* bytes of text; longer lines are cut */

/* Where lines go; the default is FD_LOG (2).  human: whole lines for a
 * terminal ("name: text") instead of the pipe form. */
void log_to(int fd, bool human, const char *name);
void log_set_debug(bool on);

void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warnx(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_errx(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same, followed by ": " and the errno's name and text. */
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_err(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* For start-up and our own bugs only, never for what a peer sent.  Logs at
 * level E and ends the process with the status (sysexits.h). */
void fatal(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn));
void fatalx(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn));

/* "ENOENT", for messages; never NULL. */
const char *errno_name(int err);

#endif
