/*
 * The login request: what a mail process is told about a client whose
 * connection it gets (dovecot-protocols B.2 to B.4).  Native byte order and the
 * padding of a C compiler on LP64; no version in it, so the layout follows the
 * auth server's: 96 bytes up to its minor version 2 (Dovecot 2.3), 104 bytes
 * from 3 on (2.4).  Pure.
 */
#ifndef AUTH_LOGINREQ_H
#define AUTH_LOGINREQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/conn.h"

#define LOGINREQ_DATA_MAX 1218 /* session id, prefix and unread input; more gets no answer */
#define LOGINREQ_MAX (104 + LOGINREQ_DATA_MAX)
#define LOGINREQ_ANSWER 12

enum loginreq_flag {
	LOGINREQ_SECURED = 2, /* 2.3 only; 2.4 ignores it */
	LOGINREQ_TLS = 4
};

struct loginreq {
	uint32_t tag;        /* comes back in the answer */
	uint32_t auth_pid;   /* SPID */
	uint32_t auth_id;    /* of the AUTH */
	uint32_t client_pid; /* CPID */
	uint8_t cookie[16];
	struct conn_addr local, remote;
	uint32_t flags;
	uint64_t ino; /* of the passed descriptor */
	const char *session;
	const void *prefix; /* the service's own, B.3 */
	size_t prefix_len;
	const void *input; /* what the client sent and nobody read */
	size_t input_len;
};

struct loginreq_answer {
	uint32_t tag;
	uint32_t status; /* 0 taken */
	int32_t pid;     /* of the mail process */
};

/* Bytes of the data part. */
size_t loginreq_data_len(const struct loginreq *r);
/* Structure and data into dst (LOGINREQ_MAX).  Returns the length, 0 if the data
 * is longer than LOGINREQ_DATA_MAX. */
size_t loginreq_pack(const struct loginreq *r, bool v24, uint8_t *dst);
void loginreq_answer(const uint8_t b[LOGINREQ_ANSWER], struct loginreq_answer *a);

/* Is this what the service may have as prefix?  IMAP: '0' or '1', a tag of 1 to
 * 126 printable characters, NUL (an empty tag would make the mail process greet
 * as PREAUTH); POP3: nothing. */
bool loginreq_prefix_ok(enum service s, const uint8_t *p, size_t len);

#endif
