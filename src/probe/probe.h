/*
 * The escape probe: one table row for each way out that is tried.
 *
 * An attempt is harmless: it shows whether a door is open and leaves it.  It runs
 * in a process of its own, because behind a filter that kills, the first forbidden
 * call is the last.  It makes its system calls through sys.h only, so that each is
 * announced on the report channel before it is made: whoever listens knows which
 * call a process died of.  No libc function that makes a call is used in an attempt.
 */
#ifndef PROBE_PROBE_H
#define PROBE_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum verdict {
	V_OPEN,    /* the effect was there */
	V_ERRNO,   /* the call returned an error */
	V_BLOCKED, /* it returned, and the effect was not there */
	V_SKIP,    /* cannot be tried here */
	V_KILLED,  /* SIGSYS; these three only whoever watches the process can tell */
	V_CRASH,   /* another signal */
	V_HUNG,
	V__MAX
};

struct outcome {
	enum verdict v;
	int err;
	const char *note; /* constant text, or NULL */
};

/*
 * wall: which walls hold when seccomp is off, in words:
 *   NS namespaces, MNT empty root, LL Landlock, CAP capabilities and ids, RL limits,
 *   UL limits of the user namespace (nothing can be nested in it),
 *   FD no such descriptor is there, MDWE, DUMP not dumpable, NNP no_new_privs,
 *   HOST depends on the host's settings, KERN the kernel itself never allows it.
 * Empty: only seccomp stands there.
 *
 * flags: see enum test_flag.
 */
struct test {
	const char *id;   /* the catalogue's id, and after a dot which form of it */
	const char *what;
	const char *wall;
	struct outcome (*fn)(const struct test *t);
	long nr, a[6];    /* for the general attempts, and free for others */
	unsigned int flags;
};

enum test_flag {
	T_ROOT = 1,     /* its control needs root (in namespaces of its own) */
	T_NO_CALL = 2,  /* no system call is made: its result is the same behind a filter */
	T_EXEC = 4,     /* success replaces the process */
	T_CRASH = 8,    /* a crash is the expected result */
	T_KNOWN = 16,   /* the kernel passes it by seccomp: a listed exception */
	T_REACHED = 32, /* an error other than ENOSYS and EPERM shows that it was reached */
	T_INFO = 64,    /* reports something; open is not a failure */
	T_ALLOWED = 128,/* uses only calls that a worker has */
	T_SWEEP = 256   /* a process for each number; a[0]: enum abi */
};

/* Where the attempt stands. */
struct place {
	int client, auth, signer, mail; /* -1: none */
	int control;
	long victim;  /* a sibling process of the same account, 0: none known */
	long parent;  /* the process above: the launcher is 1 in its namespace */
	bool here;    /* not in the place of a gatehouse process */
};
extern struct place place;

extern const struct test fs_tests[], fs_more_tests[], proc_tests[], proc_more_tests[], nsc_tests[],
    kern_tests[], kern_more_tests[], sec_tests[], llk_tests[], fdx_tests[], mem_tests[],
    res_tests[], info_tests[], sweep_tests[];

/* Row n of all classes, NULL after the last. */
const struct test *table_row(unsigned int n);
const struct test *table_find(const char *id);
/* "FS" of "FS-01.open", in a static buffer. */
const char *table_class(const struct test *t);
const char *verdict_name(enum verdict v);

/* ---- for attempts ------------------------------------------------------------ */

static inline struct outcome
opened(const char *note)
{
	return (struct outcome){.v = V_OPEN, .note = note};
}

static inline struct outcome
blocked(const char *note)
{
	return (struct outcome){.v = V_BLOCKED, .note = note};
}

static inline struct outcome
skipped(const char *note)
{
	return (struct outcome){.v = V_SKIP, .note = note};
}

/* rv as a raw system call returns it. */
static inline struct outcome
refused(long rv)
{
	return (struct outcome){.v = V_ERRNO, .err = (int)-rv};
}

static inline struct outcome
open_if(long rv)
{
	return rv >= 0 ? opened(NULL) : refused(rv);
}

/* General attempts: nr with a[]; any success is the effect. */
struct outcome try_call(const struct test *t);
/* The same, and the descriptor that it gave is closed. */
struct outcome try_fd(const struct test *t);

/* Memory for arguments: never on the heap, made before any filter. */
extern uint8_t scratch[4096] __attribute__((aligned(4096)));
/* struct sock_fprog: a filter that allows everything. */
extern const struct allow_all {
	unsigned short len;
	const void *filter;
} allow_all;
extern const char missing_path[], host_file[], host_dir[];

#endif
