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

struct config_cert {            /* the default (name empty) or a local_name block */
	char name[256];
	char cert_file[256], key_file[256];
	char alt_cert_file[256], alt_key_file[256]; /* ssl_alt_cert; empty: none */
	char key_password[KEY_PASSWORD_MAX + 1]; /* of both keys; "<path": in that file; empty: none,
	                                            or the default's */
};

struct config {
	char file[256];
	char protocols[64];
	char listen[512];               /* addresses for listeners that name none: "*, ::" */
	struct config_service service[SERVICE__MAX];
	struct config_listener listeners[CONFIG_LISTENERS_MAX];
	unsigned int nlisteners;

	uint8_t ssl;                    /* enum ssl_mode */
	struct config_cert certs[SETTINGS_CERTS_MAX / 2];
	unsigned int ncerts;            /* [0] is the default one, if any is set */
	uint16_t ssl_min_version;       /* 0x0303 */
	char ssl_cipher_list[1024], ssl_cipher_suites[512], ssl_curve_list[256];
	bool ssl_prefer_server_ciphers;
	char ssl_options[64];           /* no_ticket, no_compression: as it is anyway */
	uint32_t ssl_session_lifetime_ms; /* 0: no resumption */
	bool ssl_verify_client_cert, ssl_require_crl; /* no, yes */
	char ssl_ca[256];               /* file of CA certificates and CRLs */
	char ssl_cert_username_field[64];
	bool auth_ssl_require_client_cert, auth_ssl_username_from_cert;

	bool disable_plaintext_auth;    /* yes */
	char login_greeting[256];
	char login_log_format[256];
	char login_log_format_elements[256];
	char imap_capability[1024];
	char imap_id_send[512];         /* key value ..., "*" our own word for it */
	char imap_id_log[256];          /* keys of ID that are logged; *: all */
	bool imap_id_retain;
	bool imap_literal_minus;
	struct conn_net login_trusted_networks[SETTINGS_NETS_MAX];
	unsigned int nnets;
	struct block_settings blocks[BLOCKS_MAX]; /* wide ones first */
	unsigned int nblocks;
	uint32_t mail_max_userip_connections;
	bool auth_verbose, auth_debug;
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
	uint32_t auth_max_attempts;
	uint32_t login_timeout_ms, auth_timeout_ms, handoff_timeout_ms, shutdown_timeout_ms;
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
/* One line: a service's worker model and its numbers, as they are in force. */
void config_service_text(const struct config *c, enum service s, char *dst, size_t cap);

/* An account by name or number.  -1: no such account (d says what to do). */
int config_account(const char *name, const char *setting, uid_t *uid, gid_t *gid, struct diag *d);

#endif
