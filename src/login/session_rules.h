/*
 * Which settings hold for a connection: outside of blocks, and in the blocks that take
 * it, by its addresses, its service, and once the client has asked for one, its
 * server name.  Pure.
 */
#ifndef LOGIN_SESSION_RULES_H
#define LOGIN_SESSION_RULES_H

#include "ipc/rules.h"
#include "proto/dialog.h"

struct session_rules {
	const struct rule_set *set;   /* borrowed */
	const struct conn_info *info; /* borrowed */
	uint64_t tls;                 /* the blocks that take it and have one of RULES_TLS */
	bool tuned;                   /* one of them has more than a certificate; or had */
	struct rules now;
	struct dlg_settings dialog;   /* the same for the dialog */
};

void session_rules_begin(struct session_rules *r, const struct rule_set *set,
    const struct conn_info *info);
/* The client has asked for this server, in lower case; "": for none. */
void session_rules_name(struct session_rules *r, const char *name);

#endif
