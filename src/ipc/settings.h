/*
 * What the supervisor tells each kind of process at its start, as a sealed
 * memfd (FD_SETTINGS): only what that process needs.  The structs are plain;
 * _pack writes them with codec.h, _unpack reads and checks them.  The text, network
 * and certificate pointers of an unpacked struct point into the caller's buffer.
 */
#ifndef IPC_SETTINGS_H
#define IPC_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/codec.h"
#include "ipc/conn.h"
#include "ipc/rules.h"

/* What each process has room for; the supervisor refuses to pass more. */
#define SETTINGS_MAX (4u << 20) /* login: certificates */
#define LAUNCHER_SETTINGS_MAX (256u << 10)
#define AUTH_SETTINGS_MAX (256u << 10)
#define KEYS_SETTINGS_MAX 4096u
#define KEY_PASSWORD_MAX 500 /* bytes of ssl_key_password (message KEY) */

/* How a missing layer is taken: policies and confine_optional decide. */
enum layer_need {
	NEED_OFF,      /* the policy says so; loud */
	NEED_OPTIONAL, /* tried and reported */
	NEED_REQUIRED  /* no start without it */
};

/* Layers that a process enters after its exec, by itself (confine/late.h). */
struct late_plan {
	uint8_t landlock; /* enum layer_need */
	uint8_t landlock_min_abi;
	uint8_t landlock_unix_dir; /* ABI 9 and later: "/" may be connected to */
	uint8_t mdwe;
	uint8_t seccomp;
	uint32_t nofile; /* of workers: their descriptors are fewer than the launcher's; 0: as it is */
};

enum worker_model {
	MODEL_FORK,  /* service_count = 1, worker_spawn = fork */
	MODEL_EXEC,  /* service_count = 1, worker_spawn = exec */
	MODEL_POOLED /* service_count = 0 or > 1 */
};

struct cert_settings {
	uint16_t set;       /* RULE_CERT's number; two of one set are of different types */
	uint16_t key;       /* index of its key in the signer */
	const uint8_t *pem; /* certificate chain, leaf first */
	size_t pem_len;
};

struct ca_settings { /* ssl_ca: RULE_CA is its number */
	const uint8_t *pem; /* certificates and CRLs */
	size_t pem_len;
};

struct worker_settings {
	char hostname[256];
	struct rule_set rules;
	uint32_t sign_timeout_ms;
	uint32_t session_lifetime_ms; /* TLS resumption; 0: none */
	uint32_t arena_bytes;       /* OpenSSL's arena: for each connection in fork and exec */
	uint8_t debug;
	struct late_plan template_plan, exec_plan, pool_plan;
	uint16_t ncerts;
	struct cert_settings certs[SETTINGS_CERTS_MAX];
	uint16_t ncas;
	struct ca_settings cas[SETTINGS_CAS_MAX];
};

#define OOM_SCORE_INHERIT UINT16_MAX

struct service_settings {
	uint8_t enabled;
	uint8_t model; /* enum worker_model */
	uint32_t service_count;
	uint32_t client_limit;
	uint32_t process_limit;
	uint32_t process_min_avail;
	uint64_t vsz_limit; /* bytes */
	uint16_t oom_score; /* workers' oom_score_adj is at least this; OOM_SCORE_INHERIT: as it is */
	uint32_t nofile; /* of a worker's policy; 0: none of its own */
	uint32_t idle_kill_ms;
	uint32_t template_max_uses;
	uint32_t template_max_age_ms;
};

struct launcher_settings {
	struct service_settings service[SERVICE__MAX];
	struct rule_set rules; /* a worker that is not logged in after login_timeout, plus a
	                          grace, dies */
	uint8_t tell_pids;         /* CONN_PID for each connection */
	uint32_t stop_grace_ms;    /* from CONN_STOP to SIGKILL */
	uint8_t debug;
	struct late_plan plan;
};

struct auth_settings {
	char hostname[256];
	char auth_socket[108];                 /* name in the socket directory */
	char login_socket[SERVICE__MAX][108];  /* the same, for imap, pop3 */
	char anvil_socket[108];                /* empty: no mail_max_userip_connections */
	struct rule_set rules; /* ssl_verify_client_cert: the worker's findings are believed */
	uint8_t debug;
	struct late_plan plan;
};

struct keys_settings {
	uint16_t nkeys; /* that many KEY messages follow */
	uint32_t sign_limit; /* signatures for one connection */
	uint32_t sign_rate; /* signatures a second, for all together; 0: no limit */
	uint32_t session_lifetime_ms; /* 0: no resumption */
	uint32_t arena_bytes;
	uint8_t memory; /* enum layer_need: memfd_secret required, optional, off */
	uint8_t debug;
	struct late_plan plan;
};

void worker_settings_pack(struct wr *w, const struct worker_settings *s);
bool worker_settings_unpack(struct rd *r, struct worker_settings *s);
void launcher_settings_pack(struct wr *w, const struct launcher_settings *s);
bool launcher_settings_unpack(struct rd *r, struct launcher_settings *s);
void auth_settings_pack(struct wr *w, const struct auth_settings *s);
bool auth_settings_unpack(struct rd *r, struct auth_settings *s);
void keys_settings_pack(struct wr *w, const struct keys_settings *s);
bool keys_settings_unpack(struct rd *r, struct keys_settings *s);

/* Read a whole settings memfd into buf (at most cap) and close it; -1 on error. */
long settings_read(int fd, uint8_t *buf, size_t cap);

#endif
