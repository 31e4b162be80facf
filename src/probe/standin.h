/*
 * In the place of a gatehouse process: started by the real launcher or supervisor,
 * with its descriptors and its walls.  Does what the real program's contract
 * demands (settings, late layers, hello, the filters of its phases), is told over
 * its own channels which attempt is wanted ("ID PHASE\n") and makes that one.
 *
 * No program has an option for this: libexec_dir of the test names a directory
 * in which this program bears the others' names.
 */
#ifndef PROBE_STANDIN_H
#define PROBE_STANDIN_H

#include "confine/layers.h"
#include "ipc/msg.h"
#include "probe/order.h"

/* Runs as the program whose name argv[0] is, or returns -1: it is none of ours. */
int standin_main(int argc, char **argv);

int standin_login(int argc, char **argv);
int standin_auth(int argc, char **argv);
int standin_keys(int argc, char **argv);
int standin_launcher(int argc, char **argv);

/* ---- what they share --------------------------------------------------------- */

/* FD_SETTINGS, in a static buffer. */
struct rd standin_settings(void);
void standin_hello(enum role me, const struct layer_report *rep);
/* One message, waiting for it; 0 at the end. */
int standin_next(int fd, enum role me, enum role from, struct msgin *m);
/* A phase of the auth client ("auth-start", "auth-client") or the signer ("keys-start",
 * "key-signer"): a worker's client has the order, and the channel of the connection
 * carries it there and the answer back. */
bool standin_relays(const struct order *o);
void standin_relay(const struct order *o);

#endif
