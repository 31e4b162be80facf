/*
 * Inside src/confine: the steps of a child on its way behind its walls.
 */
#ifndef CONFINE_INTERNAL_H
#define CONFINE_INTERNAL_H

#include <stdbool.h>

#include "confine/confine.h"

/* What a child of confine_spawn knows while it enters its layers. */
struct entering {
	const struct confine_req *req;
	struct layer_report rep;
	enum layer failed; /* set by step() when a required layer does not hold */
	int failed_err;
	char hint[200];
};

/* Note the outcome of a layer: rv 0 enforced, -1 with errno.  False: `need` says
 * required, confine_optional does not name it, so it fails here. */
bool step(struct entering *e, enum layer l, enum layer_need need, int rv, const char *hint);

/* ids.c: groups and ids of the helper.  As an ordinary user nothing changes. */
bool ids_enter(struct entering *e);
/* ns.c: user namespace and its maps, then the others, one by one. */
bool ns_enter_user(struct entering *e);
bool ns_enter_rest(struct entering *e);
/* root.c */
bool root_enter(struct entering *e);
/* caps.c: all five sets, securebits */
bool caps_enter(struct entering *e);
/* limits.c */
bool limits_enter(struct entering *e);
/* fds.c: the fixed descriptors and nothing else; image to FD_IMAGE, close-on-exec;
 * *keep_fd (close-on-exec) is moved out of the way.  0 or -1 with errno. */
int fds_place(const struct confine_req *req, int *keep_fd);

/* caps.c: exactly these capabilities in permitted, effective and bounding set,
 * none inheritable or ambient.  0 or -1 with errno. */
int caps_reduce(uint64_t keep);
/* True if all five sets are as caps_reduce makes them. */
bool caps_are(uint64_t keep);

#endif
