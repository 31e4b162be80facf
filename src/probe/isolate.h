/*
 * Root must not try ways out in the host's namespaces: some rows mount, unmount or
 * rename, and succeed.
 */
#ifndef PROBE_ISOLATE_H
#define PROBE_ISOLATE_H

#include <stdbool.h>

/*
 * Before anything else of a run.  As an ordinary user: nothing to do.  As root: go on
 * in a child with mount, PID, network, IPC, UTS and cgroup namespaces of its own,
 * nothing of which propagates; where these cannot be made, as nobody.  The parent waits
 * and ends with the child's status.  Returns what it came to, for the report.
 */
const char *isolate_run(void);

/* In each attempt of root's, before it: a mount namespace again, so that
 * attempts do not see each other's mounts.  Ends the process if that fails. */
void isolate_attempt(void);

#endif
