/*
 * Messages between our processes, over SOCK_SEQPACKET pairs: a message is whole
 * or absent, and a descriptor stays with its message.  msg.def is the list;
 * docs/internals.md has the fields.
 *
 * A message is a u16 type, a u16 that is zero, a u32 id (connection id, or the
 * request id on a connection's own channel) and the fields (codec.h).
 * Whoever sends something that the list does not allow, is dropped by the
 * receiver: a less privileged peer is never fatal to a more privileged one.
 */
#ifndef IPC_MSG_H
#define IPC_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/codec.h"

enum role {
	R_SUPERVISOR = 1,
	R_LAUNCHER = 2,
	R_AUTH = 4,
	R_KEYS = 8,
	R_WORKER = 16,
	R_HELPER = R_LAUNCHER | R_AUTH | R_KEYS,
	R_ANY = 31
};

enum msg_type {
	MSG_NONE,
#define MSG(name, from, to, min, max, fdmin, fdmax) MSG_##name,
#include "ipc/msg.def"
#undef MSG
	MSG__MAX
};

#define MSG_HEADER 8
#define MSG_MAX 16384 /* header and fields */
#define MSG_FDS_MAX 5

struct msgout {
	struct wr w; /* fields go here: wr_u8(&m->w, ...) */
	int fds[MSG_FDS_MAX]; /* borrowed */
	unsigned int nfds;
	uint8_t buf[MSG_MAX];
};

struct msgin {
	enum msg_type type;
	uint32_t id;
	struct rd r; /* fields; points into the caller's buffer */
	int fds[MSG_FDS_MAX]; /* the receiver's to close; -1 once taken */
	unsigned int nfds;
};

const char *msg_name(unsigned int type);
const char *role_name(enum role role);

void msg_begin(struct msgout *m, enum msg_type type, uint32_t id);
void msg_add_fd(struct msgout *m, int fd);

/*
 * Send with sendmsg (msg_send) or with plain write (msg_write, for confined
 * workers; no descriptors).  0, or -1 with errno: EAGAIN if the queue is full
 * (sockets are non-blocking or MSG_DONTWAIT is used: msg_send never blocks),
 * EPIPE/ECONNRESET if the peer is gone, EMSGSIZE if the message breaks its own
 * rule (our bug).
 */
int msg_send(int fd, struct msgout *m);
int msg_write(int fd, struct msgout *m);

/*
 * Receive one message.  Returns 1 and fills m; 0 at the end (peer gone, and all
 * that it has said was received, whether it had read our words or not); -1
 * with errno: EAGAIN, or EBADMSG if it is malformed, truncated, not allowed
 * from `from` to `me` by the list, or has the wrong number of descriptors
 * (which are then closed): drop the peer.  buf must hold MSG_MAX bytes and live
 * as long as m is used.  msg_recv uses recvmsg(MSG_CMSG_CLOEXEC|MSG_DONTWAIT);
 * msg_read uses plain read, so descriptors are dropped by the kernel.
 */
int msg_recv(int fd, enum role me, enum role from, struct msgin *m, uint8_t *buf);
int msg_read(int fd, enum role me, enum role from, struct msgin *m, uint8_t *buf);

/* The check itself, for tests and fuzzing. */
int msg_parse(const uint8_t *buf, size_t len, unsigned int nfds, enum role me, enum role from,
    struct msgin *m);

/* Take descriptor i out of m (caller owns it); -1 if there is none. */
int msg_take_fd(struct msgin *m, unsigned int i);
/* Close what was not taken. */
void msg_close_fds(struct msgin *m);

/* True if every field was read and nothing is left. */
bool msg_end(const struct msgin *m);

/* HELLO: build id, role, and the layers the sender reports (layers.h). */
struct hello {
	char build_id[64];
	uint8_t role;
	uint32_t pid; /* as the sender sees itself: 1 in its own namespace */
	uint8_t layers[96]; /* layer_report_pack() of confine/layers.h */
	size_t layers_len;
};
extern const char build_id[];
void hello_put(struct msgout *m, enum role role, const uint8_t *layers, size_t layers_len);
/* false: malformed, or another build (h->build_id says which). */
bool hello_get(struct msgin *m, enum role expect, struct hello *h);

#endif
