/*
 * Starting a process behind its walls: the layers from ids to the outer seccomp
 * filter, then exec of a sealed memfd (design 3; mechanisms 2 and 3).  One
 * mechanism a file: ids.c ns.c score.c root.c caps.c limits.c fds.c; this header is the
 * only door.  Used by the supervisor and by `gatehouse confine`.
 */
#ifndef CONFINE_CONFINE_H
#define CONFINE_CONFINE_H

#include <linux/filter.h>
#include <sys/types.h>

#include "common/diag.h"
#include "confine/landlock.h"
#include "confine/layers.h"
#include "ipc/settings.h"
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
	int image_fd;                  /* sealed memfd (or any file opened for exec); -1: */
	const char *path;              /* execute this file of the host (root host only) */
	const struct sock_fprog *outer;/* filter before exec; NULL: none */
	const char *root_dir;          /* of PROOT_SOCKETS */
	uint64_t vsz_limit;            /* RLIMIT_AS; 0: none */
	uint64_t optional;             /* bit (1 << LAYER_x): confine_optional names it */
	struct confine_fd fds[CONFINE_FDS_MAX]; /* everything else is closed */
	unsigned int nfds;
	/* Not NEED_OFF: score_fd becomes the process's own oom_score_adj, to read and write,
	 * for the scores of what it starts later, when no /proc is in reach. */
	enum layer_need score_need;
	int score_fd;
	/* Landlock and memory-deny-write-execute before exec, for a program that does
	 * not enter them by itself; NULL: it does (confine/late.h).  Not dumpable does
	 * not outlast exec: an image that is not readable sees to that. */
	const struct late_plan *early;
	const struct landlock_rule *reach; /* of early: what Landlock leaves; with root host */
	unsigned int nreach;
};

/*
 * Start it.  On success *pid is a direct child of the caller (PID 1 of its own
 * PID namespace), executing the image, and rep says what holds so far.  On
 * failure -1, d says which layer refused, why, and the way out (which setting,
 * which sysctl), and nothing is left running.  Waits until exec has happened or
 * failed, at most 10 s.  A program that dies at once is the caller's to reap, as
 * one that dies later.  No SIGKILL parent-death signal is set: helpers outlive
 * the supervisor (design 5); callers that want one ask with pdeathsig.
 *
 * The outer filter is in force when the image is executed, so it has to allow
 * that one call: execveat of FD_IMAGE with AT_EMPTY_PATH (of path: execve).
 * That is checked before anything is started.
 *
 * Root without a right to user namespaces (or where they are refused) makes the
 * other namespaces with its own capabilities.  The caller's signal handlers do
 * not run in the child; all signals are unblocked, at their defaults, SIGPIPE
 * ignored.
 */
int confine_spawn(const struct confine_req *req, int pdeathsig, pid_t *pid,
    struct layer_report *rep, struct diag *d);

/*
 * A sealed, executable memfd with the contents of path (close-on-exec), -1
 * with errno (EACCES: vm.memfd_noexec is 2).  MFD_EXEC where the kernel knows it;
 * mode 0111.
 */
int confine_seal_image(const char *path, const char *name);
/* A sealed memfd with these bytes, its offset 0, reopened read-only where /proc
 * allows that; -1 with errno. */
int confine_seal_data(const void *p, size_t len, const char *name);

/* Which layers this kernel and user could enforce, by trying each in a child (as
 * root: of an ordinary uid), as confine_spawn would (`gatehouse policy doctor`,
 * `gatehouse check`).  All zero if not even a child could be made. */
void confine_probe(struct layer_report *rep);

/* The supervisor's own: keep only the policy's capabilities (and caps_no_userns
 * where children cannot have a user namespace), bounding set included; limits,
 * no_new_privs, memory-deny-write-execute, not dumpable.  An ordinary user cannot
 * empty his bounding set: reported as refused.  -1 with d if a layer that the
 * policy requires does not hold. */
int confine_self(const struct policy *p, struct layer_report *rep, struct diag *d);

#endif
