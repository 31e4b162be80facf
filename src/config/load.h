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
/* The block for those that t takes, made if it is new; its number, -1: too many. */
int loading_block(struct loading *ld, const struct block_takes *t, const char *file,
    unsigned int line);
/* blocks.c: what must fit together, and the order. */
int loading_finish_blocks(struct loading *ld, struct diag *d);
/* The line that opens a block: t is what the block around it takes, and becomes what
 * it takes itself. */
int block_head(struct block_takes *t, const struct line *ln, const char *file, struct diag *d);
void loading_seen(struct loading *ld, const struct setting *s, int service, const char *file,
    unsigned int line);

#endif
