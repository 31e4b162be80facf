/*
 * `gatehouse policy verify`: a live process against its policy, from the
 * kernel's mouth.
 */
#ifndef TOOLS_VERIFY_H
#define TOOLS_VERIFY_H

#include <stdbool.h>

#include "config/config.h"
#include "confine/record.h"
#include "policy/policy.h"
#include "tools/held.h"
#include "tools/procview.h"

enum verify_role {
	VROLE_SUPERVISOR,
	VROLE_LAUNCHER,
	VROLE_WORKER,
	VROLE_AUTH,
	VROLE_KEYS
};

enum verify_state {
	VERIFY_HOLDS,    /* seen, and as the policy says */
	VERIFY_REPORTED, /* the process has said so: the kernel does not show it */
	VERIFY_ABSENT,   /* missing, and the policy or confine_optional allows that */
	VERIFY_UNSEEN,   /* cannot be seen here: not proven */
	VERIFY_DIFFERS
};

struct verify_row {
	char what[32];
	enum verify_state state;
	char text[600];
};

#define VERIFY_ROWS_MAX 64
#define VERIFY_PROGRAMS_MAX 4

/* A point in the life of a process: which policy is in force, and by which programs. */
struct verify_phase {
	const char *name;
	enum verify_role role;
	enum policy_id rights; /* the policy that all filters together have to equal */
	enum policy_id layers; /* the policy whose other statements hold */
	enum policy_id kept;   /* descriptors of this one may be left, out of reach */
	const char *model;     /* of workers, as reports name it */
	enum verify_program {
		VPROG_LAUNCHER,
		VPROG_START,
		VPROG_TEMPLATE,
		VPROG_LOGIN_DIFF,
		VPROG_LOGIN,
		VPROG_TLS_PROXY_DIFF,
		VPROG_POOL,
		VPROG_AUTH_CLIENT,
		VPROG_KEY_SIGNER,
		VPROG__MAX
	} program[VERIFY_PROGRAMS_MAX];
	unsigned int nprograms;
};

struct verify {
	const struct config *conf;
	const struct policy_set *policies;
	const struct record *record;         /* of its generation */
	const struct record_entry *reported; /* its own; of a worker NULL: by model */
	enum verify_role role;
	const struct procview *process, *supervisor;
	const struct held *held;
	unsigned int outer;                  /* filters that all have from outside of gatehouse */
	uid_t uid;                           /* who it should be */
	gid_t gid;
	const struct verify_phase *phase;    /* NULL: none fits */
	struct verify_row row[VERIFY_ROWS_MAX];
	unsigned int nrows;
};

void verify_say(struct verify *v, const char *what, enum verify_state state, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
const char *verify_state_name(enum verify_state s);

/* verify_phase.c: sets phase, says how the filters compare. */
void verify_filters(struct verify *v);
/* verify_checks.c, verify_fds.c: everything else; phase is set. */
void verify_layers(struct verify *v);
void verify_fds(struct verify *v);

#endif
