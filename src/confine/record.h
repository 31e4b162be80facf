/*
 * The record of a generation: what its processes have reported about their
 * layers, some of which the kernel shows to nobody (Landlock, securebits,
 * memory-deny-write-execute).  A text file base_dir/layers.N that the supervisor
 * writes and `gatehouse policy verify` reads; one line for each helper and for
 * each kind of worker:
 *
 *	WHAT <tab> PID <tab> STARTED <tab> ABI <tab> ids=enforced mdwe=absent:22 ...
 */
#ifndef CONFINE_RECORD_H
#define CONFINE_RECORD_H

#include <stdbool.h>
#include <sys/types.h>

#include "confine/layers.h"

#define RECORD_ENTRIES_MAX 16
#define RECORD_BYTES_MAX 32768

struct record_entry {
	char what[64];              /* "gatehouse-keys"; of workers "imap template" */
	pid_t pid;                  /* 0: a kind of worker */
	unsigned long long started; /* field 22 of /proc/PID/stat: pids come again */
	struct layer_report layers; /* of workers: with what they have from the launcher */
};

struct record {
	unsigned int generation;
	pid_t supervisor;
	struct record_entry entry[RECORD_ENTRIES_MAX];
	unsigned int n;
};

/* Replace path by this, in one step, mode 0600.  -1 with errno. */
int record_write(const char *path, const struct record *r);
/* Read text (not terminated).  False if it is malformed. */
bool record_parse(struct record *r, const char *text, size_t len);
/* Field 22 of /proc/PID/stat; 0 if there is no such process. */
unsigned long long record_start_time(pid_t pid);

#endif
