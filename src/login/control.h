/*
 * A worker's side of its control pair with the launcher.
 */
#ifndef LOGIN_CONTROL_H
#define LOGIN_CONTROL_H

#include <stdbool.h>

#include "confine/layers.h"
#include "ipc/conn.h"

/* HELLO with the layers so far. */
void control_hello(const struct layer_report *rep);

/*
 * Wait for CONN_TAKE.  fds: client, auth, signing, mail channel ends; ours.
 * 1: taken; 0: RETIRE, or the launcher has closed the pair; -1: it sent something
 * that we do not understand (our own fault: the caller ends).
 */
int control_take(struct conn_info *info, int fds[4], bool wait);

/* Say something with only an id (CONN_DONE) or a pid (CONN_FORKED). */
void control_done(uint32_t id);
void control_forked(uint32_t id, uint32_t pid);

#endif
