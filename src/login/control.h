/*
 * A worker's side of its control pair with the launcher.
 */
#ifndef LOGIN_CONTROL_H
#define LOGIN_CONTROL_H

#include <stdbool.h>

#include "confine/layers.h"
#include "ipc/conn.h"
#include "ipc/msg.h"

/* HELLO with the layers so far. */
void control_hello(const struct layer_report *rep);

enum control_word {
	CONTROL_BAD = -1, /* something that we do not understand (our own fault: the caller
			   * ends), or, where it does not wait, EAGAIN */
	CONTROL_END,      /* RETIRE, or the launcher has closed the pair */
	CONTROL_CONN,     /* a connection: client, auth, signing, mail channel ends */
	CONTROL_FORK      /* a child that waits is wanted: four placeholders, its channel */
};

/* The next word on fd.  The descriptors are ours; -1 where there is none. */
enum control_word control_take(int fd, struct conn_info *info, int fds[MSG_FDS_MAX], bool wait);

/* CONN_DONE; the pid of a connection's or (waiting) of a ready child, 0: none could
 * be made. */
void control_done(uint32_t id);
void control_forked(bool waiting, uint32_t id, uint32_t pid);

#endif
