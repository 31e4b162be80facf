/*
 * Listening sockets that the service manager made (sd_listen_fds(3)): LISTEN_PID,
 * LISTEN_FDS and LISTEN_FDNAMES, descriptors from 3 on.  They are matched to the
 * configured inet_listeners by address and port (listen.h); one that none has is
 * an error, at the start as at a reload: nobody would ever accept from it.
 */
#ifndef SUPERVISOR_ACTIVATION_H
#define SUPERVISOR_ACTIVATION_H

#include "supervisor/listen.h"

/*
 * Before anything else opens a descriptor or forks.  passed is empty if there are
 * none, or they are meant for another process.  The variables are gone afterwards.
 * -1 and d: what was passed is nothing that can be served.
 */
int activation_take(struct listeners *passed, struct diag *d);

/* -1 and d: a passed socket is not among those that are used. */
int activation_used(const struct listeners *passed, const struct listeners *used,
    struct diag *d);

#endif
