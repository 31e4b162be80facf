/*
 * Settings that are decided for each connection (rules.def), and how they come to
 * each process: those outside of blocks and the blocks, in the order in which they
 * count.  Every process decides for itself, from what the launcher says about a
 * connection (conn.h); of the server name it has only the worker's word, which is the
 * client's, who may ask for any.  Pure.
 *
 * An unpacked rule_set borrows its strings and networks from the buffer it came in.
 */
#ifndef IPC_RULES_H
#define IPC_RULES_H

#include "ipc/blocks.h"
#include "ipc/codec.h"

#define SETTINGS_CERTS_MAX 64
#define SETTINGS_CAS_MAX 16
#define SETTINGS_NETS_MAX 32
#define NET_WIRE 18 /* bytes of a network in a net_list: family 4 or 6, prefix, address */

enum ssl_mode {
	SSL_NO,
	SSL_YES,
	SSL_REQUIRED
};

enum rule_reader {
	TELL_LAUNCHER = 1,
	TELL_AUTH = 2,
	TELL_WORKER = 4
};

enum rule {
#define RULE(id, name, type, limit, who) RULE_##id,
#include "ipc/rules.def"
	RULE__MAX
};
#define RULE_BIT(r) ((uint64_t)1 << (r))

/* What a TLS handshake depends on: a session of one context is not resumed in another. */
#define RULES_TLS \
	(RULE_BIT(RULE_CERT) | RULE_BIT(RULE_MIN_VERSION) | RULE_BIT(RULE_CIPHERS) | \
	    RULE_BIT(RULE_SUITES) | RULE_BIT(RULE_CURVES) | RULE_BIT(RULE_PREFER) | \
	    RULE_BIT(RULE_VERIFY) | RULE_BIT(RULE_CA) | RULE_BIT(RULE_CRL) | \
	    RULE_BIT(RULE_CERT_FIELD))

struct net_list {
	const uint8_t *p; /* NET_WIRE bytes each */
	size_t len;
};

struct rules {
#define RULE_U8 uint8_t
#define RULE_U16 uint16_t
#define RULE_U32 uint32_t
#define RULE_STR const char *
#define RULE_NETS struct net_list
#define RULE(id, name, type, limit, who) RULE_##type name;
#include "ipc/rules.def"
};

struct block {
	struct block_takes takes;
	uint64_t has;     /* RULE_BITs: the others of `set` mean nothing */
	struct rules set;
};

struct rule_set {
	struct rules base; /* outside of blocks */
	uint16_t nblocks;
	struct block blocks[BLOCKS_MAX]; /* wide ones first */
};

/* Only the rules, and the blocks with rules, that `who` is told. */
void rule_set_pack(struct wr *w, const struct rule_set *s, enum rule_reader who);
/* False: malformed; s is not to be used.  A rule that is for others is NULL or 0. */
bool rule_set_unpack(struct rd *r, struct rule_set *s, enum rule_reader who);

/* The blocks that take a connection, a bit each.  name: the server name that the
 * client asked for, "" before it has. */
uint64_t rule_set_match(const struct rule_set *s, const struct conn_info *c, const char *name);
/* What holds for a connection that these blocks take. */
void rule_set_apply(const struct rule_set *s, uint64_t blocks, struct rules *out);
/* Of these blocks those that have one of the rules (RULE_BITs). */
uint64_t rule_set_having(const struct rule_set *s, uint64_t blocks, uint64_t rules);

bool net_list_has(const struct net_list *l, const struct conn_addr *a);
/* One network in the form of a net_list. */
void net_list_put(uint8_t dst[NET_WIRE], const struct conn_net *n);
void net_list_get(const uint8_t src[NET_WIRE], struct conn_net *n);

#endif
