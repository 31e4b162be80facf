/*
 * A policy: the whole truth about one process in one phase, read from a text
 * file in policy/ (gatehouse.policy(5), design 11).  Pure: parsing and checking
 * touch nothing but the text that they are given.
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/diag.h"
#include "ipc/settings.h" /* enum layer_need */

enum policy_ns {
	PNS_USER,
	PNS_MOUNT,
	PNS_NET,
	PNS_PID,
	PNS_IPC,
	PNS_UTS,
	PNS_CGROUP,
	PNS__MAX
};

enum policy_root {
	PROOT_HOST,    /* root host: stays where it is (supervisor, confined tools) */
	PROOT_EMPTY,   /* root empty read-only */
	PROOT_SOCKETS  /* root sockets read-only: login_socket_dir and nothing else */
};

/* Accounts by meaning; the configuration says which ids they are. */
enum policy_account {
	PACC_SELF,  /* whoever starts it */
	PACC_LOGIN, /* default_login_user */
	PACC_AUTH,  /* default_internal_user */
	PACC_KEYS,  /* default_keys_user */
	PACC_NUMBER
};

enum policy_action {
	PACT_KILL,  /* kill-process */
	PACT_ERRNO, /* errno N */
	PACT_ALLOW,
	PACT_LOG
};

enum policy_cmp {
	PCMP_EQ,
	PCMP_LE,
	PCMP_GE,
	PCMP_LT,
	PCMP_GT,
	PCMP_IN,    /* one of values[] */
	PCMP_MASKED /* (arg & mask) == values[0] */
};

#define POLICY_ARGS 6
#define POLICY_VALUES_MAX 32
#define POLICY_RULES_MAX 160
#define POLICY_FDS_MAX 24
#define POLICY_LIMITS_MAX 16
#define POLICY_REACH_MAX 16
#define POLICY_OOM_SCORE_MAX 1000
#define POLICY_SOURCES_MAX 5 /* the file itself and what it includes */

struct policy_cond {
	uint8_t arg;          /* 0..5 */
	bool is_int;          /* a C int: the upper 32 bits must be zero as well */
	enum policy_cmp cmp;
	uint64_t mask;
	uint64_t values[POLICY_VALUES_MAX];
	uint64_t last[POLICY_VALUES_MAX]; /* of PCMP_IN: the range values[i]..last[i] */
	unsigned int nvalues;
};

struct policy_rule {
	enum policy_action action;
	int err;              /* of PACT_ERRNO */
	int nr_x86_64, nr_aarch64; /* -1: not on that architecture */
	char call[32];
	struct policy_cond conds[POLICY_ARGS];
	unsigned int nconds;
	char text[256];       /* the conditions as they are written, for people */
	char why[160];
	unsigned int line, column;
	unsigned int source;  /* index into policy.source: which file it stands in */
};

struct policy_fd {
	int number, last;     /* a single one, or a range: fd 16-4095 */
	char name[24];
	char type[24];        /* pipe tcp seqpacket stream memfd listen any */
	bool read, write;
	unsigned int line, column, source;
};

struct policy_limit {
	char name[16];        /* nproc nofile fsize core memlock msgqueue as stack data */
	uint64_t value;
};

/* What Landlock leaves to a program that `gatehouse confine` runs. */
enum policy_reach_kind {
	PREACH_READ,
	PREACH_WRITE,
	PREACH_EXECUTE,
	PREACH_BIND,    /* TCP ports */
	PREACH_CONNECT,
	PREACH__MAX
};

struct policy_reach {
	enum policy_reach_kind kind;
	char path[128];
	uint16_t port;
};

/* About half a megabyte: static or malloc'ed, never on the stack. */
struct policy {
	char file[256];
	char source[POLICY_SOURCES_MAX][256]; /* 0: file */
	unsigned int nsources;
	char name[32];
	unsigned int version;
	char about[200];
	char follows[32];     /* same process, one phase later; empty: starts by exec */
	char within[32];      /* inherits the filters of this policy's process over exec or fork; empty: none */

	enum policy_account uid, gid;
	uint32_t uid_number, gid_number;
	bool groups_none;
	uint64_t caps;        /* bit set of what stays; 0: none */
	uint64_t caps_no_userns; /* what stays besides where no user namespace can be made */
	enum layer_need caps_need;
	enum layer_need ns[PNS__MAX];
	enum policy_root root;
	enum layer_need root_need;
	enum layer_need landlock;
	unsigned int landlock_min_abi;
	struct policy_reach reach[POLICY_REACH_MAX];
	unsigned int nreach;
	enum layer_need nesting; /* need of "nothing can be nested in the user namespace" */
	enum layer_need oom_need; /* of oom-score; NEED_OFF: inherited */
	unsigned int oom_score;   /* oom_score_adj is raised to this and never lowered */
	char oom_why[160];
	enum layer_need mdwe;
	enum layer_need seccomp;
	enum layer_need secret_memory; /* key signer: memory secret required|optional */

	struct policy_limit limits[POLICY_LIMITS_MAX];
	unsigned int nlimits;
	struct policy_fd fds[POLICY_FDS_MAX];
	unsigned int nfds;

	enum policy_action def;
	int def_err;
	struct policy_rule rules[POLICY_RULES_MAX];
	unsigned int nrules;
	unsigned int budget_syscalls, budget_unpinned;
	unsigned int budget_line, budget_column;
};

enum policy_arch {
	PARCH_X86_64,
	PARCH_AARCH64
};

struct policy_bpf {
	struct sock_filter *insn; /* malloc'ed; policy_bpf_free */
	size_t n;
	uint8_t sha256[32];
};

/* Parse text (name is for messages).  include: reads one level of
 * `include "file"` from dir; NULL: refused.  -1 and d filled on the first error. */
int policy_parse(struct policy *p, const char *text, size_t len, const char *name,
    const char *dir, struct diag *d);
/* Read DIR/NAME.policy and parse it. */
int policy_load(struct policy *p, const char *dir, const char *name, struct diag *d);

/* The whole filter. */
int policy_compile(const struct policy *p, enum policy_arch arch, struct policy_bpf *out,
    struct diag *d);
/* Only what `to` takes away from `from` (which is in force): proven by
 * evaluating every call number and the boundary values of each compared
 * argument against both; -1 if the stack is not equal to the text of `to`. */
int policy_compile_diff(const struct policy *from, const struct policy *to,
    enum policy_arch arch, struct policy_bpf *out, struct diag *d);
void policy_bpf_free(struct policy_bpf *b);

/* Distinct calls that are let through, and those of them that have no condition. */
void policy_count(const struct policy *p, unsigned int *allowed, unsigned int *unpinned);

/* -1 with d if `inner` allows anything that `outer`, whose filter it inherits, denies. */
int policy_check_chain(const struct policy *outer, const struct policy *inner, struct diag *d);

/* -1 with d if site allows, grants or loosens anything that base does not. */
int policy_check_narrower(const struct policy *base, const struct policy *site, struct diag *d);
/* Calls each with everything but rules in which site is wider: "limit nofile". */
void policy_wider_layers(const struct policy *base, const struct policy *site,
    void (*each)(void *arg, const char *what), void *arg);

/*
 * All policies of gatehouse, loaded and compiled for this machine: what the
 * supervisor uses.  dir: shipped files; site_dir (may be NULL): files there
 * replace them and may only narrow, unless allow_widen.
 */
enum policy_id {
	POL_SUPERVISOR,
	POL_START,    /* a helper between exec and its own last filter */
	POL_LAUNCHER, /* outer filter of the launcher and all its descendants */
	POL_TEMPLATE,
	POL_LOGIN,
	POL_TLS_PROXY,
	POL_POOL,
	POL_AUTH_CLIENT,
	POL_KEY_SIGNER,
	POL__MAX
};
/* Some megabytes: static or malloc'ed, never on the stack. */
struct policy_set {
	struct policy policy[POL__MAX];
	struct policy_bpf whole[POL__MAX]; /* n == 0 where seccomp is off */
	struct policy_bpf login_diff;      /* template -> login */
	struct policy_bpf tls_proxy_diff;  /* login -> tls-proxy */
	char fingerprint[POL__MAX][17];    /* first 16 hex digits of the whole filter's SHA-256 */
	bool from_site[POL__MAX];
	char widened[POL__MAX][400];       /* in what it is wider than the shipped one, if at all */
};
const char *policy_file_name(enum policy_id id); /* "auth-client" */
int policy_set_load(struct policy_set *s, const char *dir, const char *site_dir,
    bool allow_widen, struct diag *d);
void policy_set_free(struct policy_set *s); /* a zeroed or failed one may be freed too */

/* Account name to enum, layer words: for error messages and listings. */
const char *policy_ns_name(enum policy_ns ns);
const char *policy_reach_name(enum policy_reach_kind kind);

#endif
