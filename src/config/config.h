/*
 * gatehouse.conf: Dovecot's syntax and, where a setting exists there, its name
 * (2.3 name first, the 2.4 name is accepted too); gatehouse.conf(5).  Parsing is
 * pure but for reading the named files (!include, <file).
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stdio.h>

#include "common/diag.h"
#include "ipc/conn.h"
#include "ipc/settings.h"

#define CONFIG_LISTENERS_MAX 32

struct config_listener {
	enum service service;
	char name[32];          /* inet_listener NAME: imap imaps pop3 pop3s or any */
	char address[64];       /* one address (an entry for each in `listen`); "*" any IPv4, "::" any IPv6 */
	uint16_t port;          /* 0: off, not in the list */
	bool ssl;               /* TLS from the first byte */
};

struct config_service {
	bool enabled;           /* in `protocols` */
	uint32_t service_count; /* 1 */
	uint32_t client_limit;  /* 0: default_client_limit; effective value after config_load */
	uint32_t process_limit; /* 0: default_process_limit; effective value after config_load */
	uint32_t process_min_avail;
	uint64_t vsz_limit;     /* bytes; 0: default_vsz_limit; effective after config_load */
	uint32_t idle_kill_ms;
	bool spawn_exec;        /* worker_spawn = exec */
};

struct config_cert {
	char cert_file[256], key_file[256];
	char alt_cert_file[256], alt_key_file[256]; /* ssl_alt_cert; empty: none */
	char key_password[KEY_PASSWORD_MAX + 1]; /* of both keys; "<path": in that file; empty: none,
	                                            or the one outside of blocks */
};

struct config_nets {
	size_t len;
	uint8_t p[SETTINGS_NETS_MAX * NET_WIRE]; /* a net_list (ipc/rules.h) */
};

/* What is decided for each connection (ipc/rules.def), and what that is made from. */
struct config_rules {
#define RULE_U8(name, limit) uint8_t name;
#define RULE_U16(name, limit) uint16_t name;
#define RULE_U32(name, limit) uint32_t name;
#define RULE_STR(name, limit) char name[limit];
#define RULE_NETS(name, limit) struct config_nets name;
#define RULE(id, name, type, limit, who) RULE_##type(name, limit)
#include "ipc/rules.def"
	struct config_cert files;       /* the supervisor reads them and numbers them: cert */
	char ssl_ca[256];               /* file of CA certificates and CRLs: ca */
	char imap_id_text[512];         /* key value ..., "*" our own word: imap_id_send */
};

struct config_block { /* local, remote, local_name, protocol */
	struct block_takes takes;
	uint64_t has;                   /* RULE_BITs */
	struct config_rules rules;
	char file[256];                 /* where it begins */
	unsigned int line;
};

struct config {
	char file[256];
	char protocols[64];
	char listen[512];               /* addresses for listeners that name none: "*, ::" */
	struct config_service service[SERVICE__MAX];
	struct config_listener listeners[CONFIG_LISTENERS_MAX];
	unsigned int nlisteners;

	struct config_rules rules;      /* outside of blocks */
	struct config_block blocks[BLOCKS_MAX]; /* wide ones first */
	unsigned int nblocks;
	uint32_t ssl_session_lifetime_ms; /* 0: no resumption */
	uint32_t ssl_max_signature_rate; /* a second, over all connections; 0: no limit */
	bool auth_debug;
	uint32_t default_process_limit, default_client_limit;
	uint64_t default_vsz_limit;
	char default_login_user[64], default_internal_user[64], default_keys_user[64];

	char auth_socket_path[256];     /* absolute; its directory is login_socket_dir */
	char login_socket_dir[256];
	char anvil_socket_path[256];    /* empty: mail_max_userip_connections is not checked */
	bool spawn_exec;                /* worker_spawn of services that do not name one */
	uint32_t template_max_uses, template_max_age_ms;
	char policy_dir[256], site_policy_dir[256], libexec_dir[256], base_dir[256];
	char log_path[256];             /* empty: stderr */
	uint64_t confine_optional;      /* bits (1 << LAYER_x), confine/layers.h */
	bool policy_allow_widen;
	uint32_t shutdown_timeout_ms;
	char hostname[256];             /* default: gethostname */
};

/* config_defaults, then (c as the defaults) the file.  Warnings and notices (1.x names) go to warn, one a
 * line, if it is not NULL.  -1 and d on the first error. */
void config_defaults(struct config *c);
int config_load(struct config *c, const char *path, FILE *warn, struct diag *d);
/* The same from memory, without the file system but for !include. */
int config_parse(struct config *c, const char *name, const char *text, size_t len, FILE *warn,
    struct diag *d);
/* The effective settings in the file's own syntax; changed_only: `config -n`. */
void config_dump(const struct config *c, bool changed_only, FILE *out);
/* "local 192.0.2.1/32 { protocol imap { ... } }" on one line, with the names of what is in it. */
void config_block_text(const struct config_block *b, char *dst, size_t cap);
/* The rules of a connection that is in this block, and in none that it does not lie in;
 * -1: in no block. */
void config_rules_at(const struct config *c, int block, struct config_rules *out);
/* What holds for this one (service SERVICE__MAX, address family 0: for those alone that
 * no block asks this of) becomes what is outside of blocks; the blocks go. */
void config_only_for(struct config *c, const struct conn_info *conn, const char *name);
/* One line: a service's worker model and its numbers, as they are in force. */
void config_service_text(const struct config *c, enum service s, char *dst, size_t cap);

/* An account by name or number.  -1: no such account (d says what to do). */
int config_account(const char *name, const char *setting, uid_t *uid, gid_t *gid, struct diag *d);

#endif
