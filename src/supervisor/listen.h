/*
 * The listening sockets.  They belong to the supervisor and survive reloads: a
 * new configuration closes those that it does not name and opens new ones.
 */
#ifndef SUPERVISOR_LISTEN_H
#define SUPERVISOR_LISTEN_H

#include "config/config.h"

struct listening {
	struct config_listener conf;
	int fd;
};

struct listeners {
	struct listening l[CONFIG_LISTENERS_MAX];
	unsigned int n;
};

/*
 * Make next from conf: sockets that cur has are shared (not duplicated), others
 * are bound; cur may be what the service manager passed (activation.h).  -1 and d:
 * an address is in use or forbidden (next holds nothing new then).
 */
int listeners_open(const struct listeners *cur, const struct config *conf,
    struct listeners *next, struct diag *d);
/* Close those of old that now does not share. */
void listeners_close_rest(struct listeners *old, const struct listeners *now);

#endif
