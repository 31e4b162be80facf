/*
 * Which connections a local, remote, local_name or protocol block takes, and how
 * such blocks lie to one another.  Pure.
 */
#ifndef IPC_BLOCKS_H
#define IPC_BLOCKS_H

#include "ipc/conn.h"

#define BLOCKS_MAX 64

struct block_takes {
	struct conn_net local, remote; /* family 0: any */
	uint8_t service;               /* SERVICE__MAX: any */
	char names[256];               /* server names, a blank between them; "": any and none */
};

/* name: the server name that the client has asked for, or "". */
bool block_takes(const struct block_takes *b, const struct conn_info *c, const char *name);
/* Every connection that a takes is one that b takes. */
bool block_within(const struct block_takes *a, const struct block_takes *b);
/* There are connections that both take. */
bool block_overlaps(const struct block_takes *a, const struct block_takes *b);

/* Host names compare without case; "*." stands for one whole label. */
bool block_name_matches(const char *pattern, size_t len, const char *name);

#endif
