/*
 * What Dovecot 2.3's modifiers make of a variable's value in a log line (%Lu, %5u,
 * %256Hr ...).  Pure.
 */
#ifndef AUTH_LOGMOD_H
#define AUTH_LOGMOD_H

#include <stddef.h>

#include "ipc/logvar.h"

#define LOGMOD_MAX 1024 /* a longer result is cut */

/*
 * v's modifiers, from left to right, then its offset and width, on len bytes of
 * value; the result is cleaned again: a character that was cut in two, or turned
 * around, must not come into the log.  Returns its length.
 */
size_t logmod_apply(const struct logvar *v, const char *value, size_t len, char dst[LOGMOD_MAX]);

#endif
