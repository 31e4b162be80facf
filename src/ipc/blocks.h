/*
 * local, remote and protocol blocks of the configuration: settings for some
 * connections only.  The launcher, which knows the addresses, decides which count
 * and says so in the connection's flags; nothing of this comes from a worker.
 * Pure.
 */
#ifndef IPC_BLOCKS_H
#define IPC_BLOCKS_H

#include "ipc/conn.h"

#define BLOCKS_MAX 64

/* Which of the settings a block has. */
enum block_has {
	BLOCK_SSL = 1,
	BLOCK_PLAINTEXT = 2
};

struct block_settings {
	struct conn_net local, remote;  /* family 0: any */
	uint8_t service;                /* SERVICE__MAX: any */
	uint8_t has;                    /* enum block_has */
	uint8_t ssl;                    /* enum ssl_mode */
	uint8_t disable_plaintext_auth;
};

/* Every connection that a takes is one that b takes. */
bool block_within(const struct block_settings *a, const struct block_settings *b);
/* There are connections that both take. */
bool block_overlaps(const struct block_settings *a, const struct block_settings *b);
/* How narrow it is: if a lies within b, a's is not less than b's. */
unsigned int block_narrowness(const struct block_settings *b);

/*
 * Set the connection's flags from the settings outside of blocks (ssl,
 * disable_plaintext_auth) and those of the blocks that take it; later ones win, so they
 * are in the order of their narrowness.
 */
void blocks_apply(const struct block_settings *blocks, unsigned int n, uint8_t ssl,
    bool disable_plaintext_auth, struct conn_info *c);

#endif
