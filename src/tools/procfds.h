/*
 * The descriptors of a process, with what each is in a policy's words.
 */
#ifndef TOOLS_PROCFDS_H
#define TOOLS_PROCFDS_H

#include "tools/procview.h"

/* Fills v->fds, sorted by number.  -1 with errno. */
int procfds_read(struct procview *v);

#endif
