/*
 * Inside src/confine: the steps of a child on its way behind its walls.  Each
 * xxx_enter() returns false if a required layer does not hold; step() has then
 * noted why, and the child stops.
 */
#ifndef CONFINE_INTERNAL_H
#define CONFINE_INTERNAL_H

#include <stdbool.h>
#include <sys/types.h>

#include "confine/confine.h"

/*
 * What the caller learns from its children.  It lies in memory that they share
 * until exec, so that it is complete at whatever point a child dies; `what` is a
 * string constant (the same program, so the same address).
 */
struct start {
	pid_t pid;           /* PID 1 as the caller sees it, written by the kernel in clone */
	bool failed;
	bool executing;      /* every layer holds; filter and exec are all that is left */
	enum layer layer;    /* the layer that failed, LAYER__MAX: none, see what */
	int err;
	const char *what;    /* the call that failed */
	struct layer_report rep;
};

struct entering {
	const struct confine_req *req;
	struct start *s;
	bool userns;         /* by a user namespace of its own; else by what the caller may do */
	int alive_fd;        /* close-on-exec: the caller sees its end when we are gone */
	int pdeathsig;
};

/* Note the outcome of a layer: rv 0 enforced, -1 with errno from `what`.  False if
 * need is required and confine_optional does not name the layer. */
bool step(struct entering *e, enum layer l, enum layer_need need, int rv, const char *what);
/* A failure that is no layer's.  Always false. */
bool failed(struct entering *e, const char *what);

/* ids.c: groups, gid, uid of the helper */
bool ids_enter(struct entering *e);
/* ns.c: the user namespace with its maps; then the others, one by one */
bool ns_enter_user(struct entering *e);
bool ns_enter_rest(struct entering *e);
/* ns.c: then no further one, by the limits of the user namespace that was made */
bool ns_forbid_nesting(struct entering *e);
/* score.c: oom_score_adj, while /proc is there */
bool score_enter(struct entering *e);
/* root.c */
bool root_enter(struct entering *e);
/* caps.c: securebits, bounding and ambient set, while we may; then the other sets */
bool caps_lock(struct entering *e);
bool caps_enter(struct entering *e);
/* limits.c */
bool limits_enter(struct entering *e);
/* fds.c: the fixed descriptors, the image at FD_IMAGE and *alive_fd (moved, both
 * close-on-exec), nothing else.  0 or -1 with errno. */
int fds_place(const struct confine_req *req, int *alive_fd);
/* explain.c: what went wrong and the way out */
void explain(const struct confine_req *req, const struct start *s, struct diag *d);

/*
 * confine.c: fork, enter all layers of req, then call last in the new process;
 * it executes or ends.  userns as in struct entering; s is zeroed shared memory.
 * Returns once nobody holds alive_fd: 0 and s->pid is a child to reap; -1 and
 * nothing is left, s and d say why.
 */
int start_child(const struct confine_req *req, int pdeathsig, bool userns,
    void (*last)(struct entering *e), struct start *s, struct diag *d);
/* The same with a user namespace, and if that cannot be and need not be,
 * without. */
int start_somehow(const struct confine_req *req, int pdeathsig, void (*last)(struct entering *e),
    struct start *s, struct diag *d);
extern int confine_deadline_ms; /* for tests of it */
struct start *start_new(void); /* NULL with errno */
void start_free(struct start *s);

/* caps.c: exactly these capabilities in the bounding, permitted and effective
 * sets, none inheritable or ambient.  0, or -1 with errno: EPERM if the kernel's
 * answer afterwards is another (checked, not believed). */
int caps_keep_only(uint64_t keep);

/* mdwe and Landlock, by late.c, before exec: for programs that cannot do so
 * themselves (confine_req.early). */
bool early_enter(struct entering *e);

#endif
