/*
 * Starting a process behind its walls: the layers from ids to the outer seccomp
 * filter, then exec of a sealed memfd (design 3; mechanisms 2 and 3).  One
 * mechanism a file: ids.c ns.c root.c caps.c limits.c; this header is the only
 * door.  Used by the supervisor and by `gatehouse confine`.
 */
#ifndef CONFINE_CONFINE_H
#define CONFINE_CONFINE_H

#include <linux/filter.h>
#include <sys/types.h>

#include "common/diag.h"
#include "confine/layers.h"
#include "policy/policy.h"

#define CONFINE_FDS_MAX 16

struct confine_fd {
	int from; /* the caller's descriptor */
	int to;   /* its number in the new process */
};

struct confine_req {
	const struct policy *policy;   /* identity, caps, namespaces, root, limits */
	const char *name;              /* process name (PR_SET_NAME) and argv[0] */
	char *const *argv;             /* NULL: { name, NULL } */
	char *const *envp;             /* NULL: empty */
	uid_t uid;                     /* what the policy's account means; */
	gid_t gid;                     /* (uid_t)-1: stay who we are */
	int image_fd;                  /* sealed memfd (or any file opened for exec) */
	const struct sock_fprog *outer;/* filter before exec; NULL: none */
	const char *root_dir;          /* of PROOT_SOCKETS */
	uint64_t vsz_limit;            /* RLIMIT_AS; 0: none */
	uint64_t optional;             /* bit (1 << LAYER_x): confine_optional names it */
	struct confine_fd fds[CONFINE_FDS_MAX]; /* everything else is closed */
	unsigned int nfds;
};

/*
 * Start it.  On success *pid is a direct child of the caller (PID 1 of its own
 * PID namespace), executing the image, and rep says what holds so far.  On
 * failure -1, d says which layer refused, why, and the way out (which setting,
 * which sysctl), and nothing is left running.  Waits until exec has happened or
 * failed.  No SIGKILL parent-death signal is set: helpers outlive the
 * supervisor (design 5); callers that want one ask with pdeathsig.
 */
int confine_spawn(const struct confine_req *req, int pdeathsig, pid_t *pid,
    struct layer_report *rep, struct diag *d);

/*
 * A sealed, executable memfd with the contents of path (close-on-exec), -1
 * with errno.  MFD_EXEC where the kernel knows it.
 */
int confine_seal_image(const char *path, const char *name);
/* A sealed memfd with these bytes, reopened read-only; -1 with errno. */
int confine_seal_data(const void *p, size_t len, const char *name);

/* Which layers this kernel and user could enforce, by trying each in a child
 * (`gatehouse policy doctor`, `gatehouse check`). */
void confine_probe(struct layer_report *rep);

/* The supervisor's own: keep only the capabilities in `keep` (bounding set
 * included), no_new_privs, not dumpable, core limit.  Reports; -1 with d. */
int confine_self(const struct policy *p, struct layer_report *rep, struct diag *d);

#endif
