/*
 * One helper process: start, tell, join with another.
 */
#ifndef SUPERVISOR_HELPER_H
#define SUPERVISOR_HELPER_H

#include "supervisor/generation.h"

/* Spawn h (role is set) behind its walls; state STARTING.  -1 and d: a wall is
 * missing or the program cannot be executed; nothing is left running. */
int helper_start(struct helper *h, const struct plan *p, struct diag *d);
/* It is gone: close what belonged to it. */
void helper_close(struct helper *h);
/* False: its queue is full or it is gone; logged. */
bool helper_tell(struct helper *h, struct msgout *m);
/* To the key signer: all keys of the plan, with their passwords. */
void helper_send_keys(struct helper *h, const struct plan *p);
/* A fresh pair between two helpers that are up. */
void helper_pair(struct helper *a, struct helper *b);

#endif
