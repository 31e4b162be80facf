/*
 * What the test suite wants of a stand-in: one line "ID PHASE\n", from the client.
 * "hold PHASE" waits until the client goes: for those who look from outside, and to be
 * somebody's sibling.  "sweep:ABI:FROM PHASE" tries one number after the other,
 * "call:NR:A0.. PHASE" makes one call with these arguments.
 */
#ifndef PROBE_ORDER_H
#define PROBE_ORDER_H

#include "probe/sys.h"

struct order {
	char id[120], phase[16];
};

/* Reads it from fd with the calls that every policy of a worker has (read and
 * ppoll; REPORT_SENDMSG: recvmsg and epoll_pwait), and makes fd the report channel. */
bool order_read(struct order *o, int fd, enum report_by how);
/* The attempt, and its outcome on the report channel. */
void order_do(const struct order *o);

#endif
