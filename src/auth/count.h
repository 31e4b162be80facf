/*
 * Counters (ipc/stats.h).  The supervisor hears of them at most once a second, and
 * only if something changed.
 */
#ifndef AUTH_COUNT_H
#define AUTH_COUNT_H

#include "auth/answer.h"
#include "ipc/stats.h"

void count(enum service s, enum counter what);
/* A login failed, or was refused without asking. */
void count_failure(enum service s, enum auth_outcome why);
/* Whatever was not told yet, now. */
void count_tell(void);

#endif
