/*
 * What is counted of connections before login: by the auth client, which knows how
 * each of them went; added up over restarts and reloads by the supervisor.
 */
#ifndef IPC_STATS_H
#define IPC_STATS_H

#include <stdint.h>
#include <stdio.h>

#include "ipc/codec.h"
#include "ipc/conn.h"

enum counter {
	COUNT_CONNECTIONS,
	COUNT_TLS,         /* handshakes for which the signer signed, or that were resumed */
	COUNT_LOGINS,      /* taken by a mail process */
	COUNT_FAIL_AUTH,   /* wrong name or password */
	COUNT_FAIL_USER,   /* right, but not allowed: disabled, expired, nologin, authorization */
	COUNT_FAIL_LIMIT,  /* mail_max_userip_connections */
	COUNT_FAIL_POLICY, /* not asked: plaintext without TLS, mechanism, certificate */
	COUNT_FAIL_TEMP,   /* auth server or mail process away, broken or overloaded */
	COUNT_NO_ATTEMPT,  /* ended without any login */
	COUNT__MAX
};

/* Since its process began. */
struct stats {
	uint64_t n[SERVICE__MAX][COUNT__MAX];
};

void stats_put(struct wr *w, const struct stats *s);
bool stats_get(struct rd *r, struct stats *s); /* false: malformed */

/* The text form of Prometheus, which node_exporter's textfile collector reads. */
void stats_print(const struct stats *s, FILE *out);

#endif
