/*
 * System calls of an attempt: raw, announced on the report channel first.
 * The result is the kernel's: a negative errno or the value.
 */
#ifndef PROBE_SYS_H
#define PROBE_SYS_H

#include <sys/syscall.h>

#include "probe/probe.h"

enum abi {
	ABI_NATIVE,
	ABI_I386, /* int 0x80 */
	ABI_X32   /* bit 30 of the number */
};

enum report_by {
	REPORT_NONE,
	REPORT_WRITE,
	REPORT_SENDMSG /* the auth client may write nowhere but to its log */
};

/* The report channel: lines "T abi nr a0 .. a5", then "R verdict errno note". */
void report_to(int fd, enum report_by how);
int report_channel(void);
void report_line(const char *text, size_t len);
void report_outcome(struct outcome o);
/* A number in hexadecimal at dst; returns its end. */
char *put_hex(char *dst, uint64_t v);
char *put_str(char *dst, const char *s);

/* Not announced, for the way out and for repetitions after a first one. */
long quiet6(long nr, long a, long b, long c, long d, long e, long f);
long sys6(long nr, long a, long b, long c, long d, long e, long f);
long sys_abi(enum abi abi, long nr, const long a[6]);
/* clone and its like: the child ends at once, whatever it shares with us. */
long sys_spawn(long nr, long a, long b, long c, long d, long e);

void leave(int status) __attribute__((noreturn));

#define ARG(x) ((long)(x))
#define sys0(nr) sys6(nr, 0, 0, 0, 0, 0, 0)
#define sys1(nr, a) sys6(nr, ARG(a), 0, 0, 0, 0, 0)
#define sys2(nr, a, b) sys6(nr, ARG(a), ARG(b), 0, 0, 0, 0)
#define sys3(nr, a, b, c) sys6(nr, ARG(a), ARG(b), ARG(c), 0, 0, 0)
#define sys4(nr, a, b, c, d) sys6(nr, ARG(a), ARG(b), ARG(c), ARG(d), 0, 0)
#define sys5(nr, a, b, c, d, e) sys6(nr, ARG(a), ARG(b), ARG(c), ARG(d), ARG(e), 0)
#define quiet1(nr, a) quiet6(nr, ARG(a), 0, 0, 0, 0, 0)
#define quiet3(nr, a, b, c) quiet6(nr, ARG(a), ARG(b), ARG(c), 0, 0, 0)

#endif
