/*
 * The real gatehouse-keys, driven by hand: what supervisor, launcher and auth
 * client do to it, without the layers that need privilege.  It runs behind the
 * real filters (policy `start` before exec, `key-signer` afterwards).
 */
#ifndef TESTS_SIGNER_DRIVER_H
#define TESTS_SIGNER_DRIVER_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ipc/conn.h"
#include "ipc/msg.h"
#include "ipc/settings.h"

#define SIGNER_IMAGE "build/libexec/gatehouse-keys"
#define SIGNER_FAULTY "build/faulty/gatehouse-keys" /* faulty_sign.c */
#define SIGNER_KEYS_MAX 16

struct signer_key {
	const void *data; /* a key file's bytes */
	size_t len;
	const char *password; /* NULL: none */
};

struct signer_options {
	const char *image; /* NULL: SIGNER_IMAGE */
	uint32_t sign_limit; /* 0: 1 */
	uint32_t sign_rate; /* 0: no limit */
	uint32_t arena_bytes; /* 0: 4 MiB */
	uint32_t session_lifetime_ms;
	bool no_filter;
	bool no_memfd_secret; /* the kernel seems to lack it */
	unsigned int nofile; /* 0: as it is */
	unsigned int nkeys;
	struct signer_key keys[SIGNER_KEYS_MAX];
};

struct signer_answer {
	uint8_t status;
	char type[64], error[512];
	uint8_t spki[2048];
	size_t spki_len;
};

struct signer {
	pid_t pid;
	int control, launcher, auth, log; /* our ends; -1: closed */
	struct hello hello;
	struct signer_answer answers[SIGNER_KEYS_MAX];
	unsigned int nanswers;
	uint32_t next_conn;
};

/* Policies compiled and the program there?  Otherwise a reason to skip. */
const char *signer_available(void);

/* Start, hello, keys, peers.  0, or -1 with a message on stderr. */
int signer_start(struct signer *s, const struct signer_options *o);
/* A new pair to that role; the old one is closed. */
int signer_peer(struct signer *s, enum role role);
/* A new connection: the worker's end of its signing channel. */
int signer_conn(struct signer *s, uint32_t *id);
/* The same of another service and from another client, 192.0.2.host. */
int signer_conn_from(struct signer *s, enum service service, uint8_t host, uint32_t *id);
/* The next message from the auth pair; -1 if none comes within ms. */
int signer_auth_next(struct signer *s, struct msgin *m, unsigned int ms);
/* Readable within ms? */
bool signer_wait(int fd, unsigned int ms);
/* True: it has not died. */
bool signer_alive(const struct signer *s);
/* STOP, wait; the wait status.  Log lines that it wrote are on stderr if print. */
int signer_stop(struct signer *s, bool print);

#endif
