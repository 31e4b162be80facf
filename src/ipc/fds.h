/*
 * Descriptor numbers that both sides of an exec or a fork agree on.
 * Everything that is not listed is closed (close_range) before the last filter.
 */
#ifndef IPC_FDS_H
#define IPC_FDS_H

enum fixed_fd {
	FD_LOG = 2, /* log lines, a pipe, write-only: every process */

	/* a worker that has its connection */
	FD_CLIENT = 3, /* the client's TCP socket, non-blocking */
	FD_AUTH = 4,   /* SEQPACKET, the other end is in the auth client */
	FD_SIGNER = 5, /* SEQPACKET, the other end is in the key signer */
	FD_MAIL = 6,   /* STREAM, the other end goes to the mail process */

	/* a template's child that waits for its connection (the template has closed
	 * its settings long ago) */
	FD_WAIT = 8, /* SEQPACKET to the launcher */

	/* every helper, template and exec'd worker at exec */
	FD_CONTROL = 7,  /* SEQPACKET to the parent (supervisor or launcher) */
	FD_SETTINGS = 8, /* sealed memfd, ipc/settings.h; closed once read */
	FD_FILTERS = 9,  /* sealed memfd, ipc/filters.h; closed once mapped */
	FD_IMAGE = 10,   /* sealed memfd of the program, close-on-exec */

	/* the launcher only: what it hands to its workers */
	FD_WORKER_SETTINGS = 11,
	FD_WORKER_FILTERS = 12,
	FD_WORKER_IMAGE = 13,
	FD_WORKER_LOG = 14, /* becomes a worker's FD_LOG: its lines are not the launcher's */
	FD_OOM_SCORE = 15,  /* its own oom_score_adj: those of its workers come from it */
	/* the key signer only: nothing more; keys come by message */

	FD_FIRST_FREE = 16 /* descriptors that come later start here or above */
};

/* Copies of FD_LOG at every number below FD_FIRST_FREE that is free, so that
 * what comes later has the numbers that policies give it.  -1 with errno. */
int fds_fill(void);

#endif
