/*
 * The walls of a process, in the order in which it enters them (design 3), and
 * what became of each.
 */
#ifndef CONFINE_LAYERS_H
#define CONFINE_LAYERS_H

#include <stddef.h>
#include <stdint.h>

enum layer {
	LAYER_IDS,          /* own uid and gid */
	LAYER_GROUPS,       /* no supplementary groups */
	LAYER_USERNS,
	LAYER_MOUNTNS,
	LAYER_NETNS,
	LAYER_PIDNS,
	LAYER_IPCNS,
	LAYER_UTSNS,
	LAYER_CGROUPNS,
	LAYER_NESTING,      /* no user namespace, inotify or fanotify instance can be made inside */
	LAYER_OOM_SCORE,    /* oom_score_adj raised */
	LAYER_ROOT,         /* empty (or one-directory) read-only root */
	LAYER_CAPS,         /* all five sets as the policy says */
	LAYER_SECUREBITS,   /* set and locked */
	LAYER_RLIMITS,
	LAYER_NO_NEW_PRIVS,
	LAYER_OUTER_SECCOMP,/* installed before exec */
	/* after exec, by the process itself */
	LAYER_DUMPABLE,     /* not dumpable */
	LAYER_MDWE,         /* memory-deny-write-execute */
	LAYER_LANDLOCK,
	LAYER_SECCOMP,      /* its own filter */
	LAYER_SECRET_MEM,   /* key signer: memfd_secret */
	LAYER__MAX
};

enum layer_state {
	LAYER_NOT_ASKED, /* not in this process's policy, or not yet entered */
	LAYER_ENFORCED,
	LAYER_ABSENT,    /* this kernel or this user's rights lack it */
	LAYER_REFUSED    /* tried, and the kernel said no */
};

struct layer_report {
	uint8_t state[LAYER__MAX];
	int16_t err[LAYER__MAX]; /* errno of ABSENT and REFUSED */
	uint8_t landlock_abi;    /* of the kernel, 0: none */
};

const char *layer_name(enum layer l); /* "user namespace", "landlock" ... */
/* The word used in policies and in confine_optional: "user", "mount", "landlock" ... */
const char *layer_word(enum layer l);
const char *layer_state_name(enum layer_state s); /* "enforced" ... "off" */

/* For the hello: at most 96 bytes.  unpack: -1 if malformed. */
size_t layer_report_pack(const struct layer_report *r, uint8_t *dst, size_t cap);
int layer_report_unpack(struct layer_report *r, const uint8_t *src, size_t len);
/* What `late` has entered is taken over into `into`. */
void layer_report_merge(struct layer_report *into, const struct layer_report *late);
/* "user namespace enforced, ... , landlock enforced (ABI 7)" for the log. */
void layer_report_text(const struct layer_report *r, char *dst, size_t cap);

#endif
