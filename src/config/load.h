/*
 * A configuration while it is being read: the settings so far, the listeners
 * before `listen` is spread over them, notices.
 */
#ifndef CONFIG_LOAD_H
#define CONFIG_LOAD_H

#include <stdio.h>

#include "config/internal.h"

struct loading {
	struct config conf;
	FILE *warn; /* NULL: notices are dropped */
	struct config_listener listeners[CONFIG_LISTENERS_MAX]; /* address empty: `listen` */
	unsigned int nlisteners;
	bool service_spawn_set[SERVICE__MAX];
	bool auth_socket_set;
	unsigned int block_line[BLOCKS_MAX];
	unsigned int vsz_line[SERVICE__MAX];
};

/* The defaults are those of config_defaults or what the caller put there. */
void loading_init(struct loading *ld, const struct config *defaults, FILE *warn);
int loading_file(struct loading *ld, const char *path, struct diag *d);
int loading_text(struct loading *ld, const char *name, const char *text, size_t len,
    struct diag *d);
/* Effective values and what must fit together. */
int loading_finish(struct loading *ld, const char *name, struct diag *d);

void loading_notice(struct loading *ld, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* The named listener of a service, made if it is new; NULL: too many. */
struct config_listener *loading_listener(struct loading *ld, enum service s, const char *name);
/* A local, remote or protocol block for those that b takes; its number, -1: too many. */
int loading_block(struct loading *ld, const struct block_settings *b, unsigned int line);
/* The block of a server name, made if it is new; NULL: too many. */
struct config_cert *loading_cert(struct loading *ld, const char *name);
struct config_cert *loading_default_cert(struct loading *ld);
void loading_seen(struct loading *ld, const struct setting *s, int service, const char *file,
    unsigned int line);

#endif
