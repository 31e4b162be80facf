/*
 * How many lines about connections may be logged.  A scanner that comes 1000
 * times a second must not fill the log, nor push other lines out of it: each
 * address has an allowance of its own, all together have another, and failed logins do
 * not compete with connections that never tried one.  What was left out is counted
 * and said.  Lines of successful logins are never counted: they are bounded by
 * the logins that the auth server grants.
 */
#ifndef AUTH_LOGRATE_H
#define AUTH_LOGRATE_H

#include <stdbool.h>

#include "ipc/conn.h"

enum lograte_kind {
	LOGRATE_FAILED, /* somebody tried to log in */
	LOGRATE_IDLE,   /* nobody did */
	LOGRATE__MAX
};

/* Tokens: so many at once, so many a second, for one address and for all. */
#define LOGRATE_ADDRESS_BURST 50
#define LOGRATE_ADDRESS_RATE 2
#define LOGRATE_FAILED_BURST 1000
#define LOGRATE_FAILED_RATE 100
#define LOGRATE_IDLE_BURST 200
#define LOGRATE_IDLE_RATE 20
/* How long after the first line that was left out it is said how many were. */
#define LOGRATE_REPORT_MS 5000

/* Once, before the first connection: addresses are told apart by a keyed hash that
 * nobody outside can work out (an attacker could spend a victim's allowance). */
void lograte_init(void);
/* May this line be logged?  Counts it if not. */
bool lograte_pass(enum lograte_kind kind, const struct conn_addr *from);

#endif
