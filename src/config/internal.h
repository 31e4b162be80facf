/*
 * Inside src/config: tokens of a configuration file and the table of settings.
 */
#ifndef CONFIG_INTERNAL_H
#define CONFIG_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

#define CONFIG_FILE_MAX (1u << 20)
#define CONFIG_LINE_MAX 8192
#define CONFIG_DEPTH_MAX 8   /* nested sections */
#define CONFIG_INCLUDE_MAX 8 /* nested files */

/* ---- lex.c ---- */

enum line_kind {
	LINE_SETTING, /* key = value */
	LINE_SECTION, /* key [arg] { */
	LINE_CLOSE,   /* } */
	LINE_INCLUDE, /* !include[_try] value */
	LINE_END
};

struct line {
	enum line_kind kind;
	unsigned int number, column; /* of the value, or of the key if there is none */
	char key[128];
	char arg[256];               /* of a section; LINE_INCLUDE: "try" or "" */
	bool quoted;                 /* the value stood in quotes: no $ and < in it */
	char value[CONFIG_LINE_MAX];
};

struct lexer {
	const char *file, *p, *end;
	unsigned int number; /* of the line at p */
};

void config_lex_init(struct lexer *l, const char *file, const char *text, size_t len);
/* The next logical line; blank ones and comments are skipped.  -1 and d. */
int config_lex_next(struct lexer *l, struct line *out, struct diag *d);

/* ---- values.c: one value of each type; false: not of that form ---- */

bool value_bool(const char *s, bool *out);
bool value_count(const char *s, uint64_t max, uint64_t *out);
bool value_size(const char *s, uint64_t *bytes);          /* 64M, 1 G, 512k, 0 */
bool value_time_ms(const char *s, uint64_t *ms);          /* 60s, 3 min, 500 ms, 1h; bare: seconds */
/* imap_id_send ("name *") as what stands in "* ID (...)"; "" for no pair. */
bool value_id_pairs(const char *s, char *dst, size_t cap);
void format_size(uint64_t bytes, char *dst, size_t cap);
void format_time(uint64_t ms, char *dst, size_t cap);

/* ---- settings.c: the table ---- */

enum setting_type {
	ST_BOOL,      /* bool */
	ST_NOT_BOOL,  /* bool, the name says the opposite (auth_allow_cleartext) */
	ST_U32,
	ST_SIZE,      /* uint64_t bytes */
	ST_TIME,      /* uint32_t ms */
	ST_STR,       /* char[size] */
	ST_PATH,      /* char[size]; absolute or relative to the configuration's directory */
	ST_FILE,      /* the same; a leading '<' is dropped: the file is opened elsewhere */
	ST_SECRET,    /* char[size]: a password, which is never shown, or "<" and its file */
	ST_SSL,       /* enum ssl_mode */
	ST_TLSVER,    /* uint16_t */
	ST_NETS,      /* login_trusted_networks */
	ST_ID,        /* imap_id_send: char[size] */
	ST_LOGFMT,    /* login_log_format, login_log_format_elements: char[size] */
	ST_TLSOPT,    /* ssl_options: char[size] */
	ST_LAYERS,    /* confine_optional */
	ST_SPAWN,     /* bool spawn_exec: fork, exec */
	ST_UNLIMITED, /* uint32_t, "unlimited" is 0 */
	ST_OLD,       /* a 1.x name: notice, then old_setting() */
	ST_IGNORED    /* accepted with a notice: has no meaning here */
};

enum setting_scope {
	SC_GLOBAL,
	SC_SERVICE,
	SC_LISTENER,
	SC_RULE /* decided for each connection: global, and in blocks (struct config_rules) */
};

/* What is decided before a client has asked for a server name. */
#define RULES_NOT_BY_NAME \
	(RULE_BIT(RULE_SSL) | RULE_BIT(RULE_PLAINTEXT) | RULE_BIT(RULE_TRUSTED) | \
	    RULE_BIT(RULE_LOGIN_TIMEOUT))

struct setting {
	const char *name;
	enum setting_scope scope;
	enum setting_type type;
	size_t off, size;
	uint64_t min, max;   /* of numbers, sizes and times (ms) */
	const char *alias;   /* Dovecot 2.4's name, NULL: none */
	enum rule rule;      /* SC_RULE: which one it makes */
};

extern const struct setting settings[];
extern const size_t nsettings;

/* SC_GLOBAL: those of SC_RULE, too. */
const struct setting *setting_find(enum setting_scope scope, const char *name);
/* The nearest known name in this scope, NULL if nothing is near. */
const char *setting_nearest(enum setting_scope scope, const char *name);
/* Store value into base (struct config, config_rules, config_service ...).  -1: why holds the reason. */
int setting_store(const struct setting *s, void *base, const char *value, const char *dir,
    char *why, size_t cap);
/* The value in the file's syntax. */
void setting_format(const struct setting *s, const void *base, char *dst, size_t cap);

#endif
