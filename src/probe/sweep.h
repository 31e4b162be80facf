/*
 * Every number of every calling convention, one after the other.
 */
#ifndef PROBE_SWEEP_H
#define PROBE_SWEEP_H

#include "probe/sys.h"

#define SWEEP_NATIVE 620 /* numbers: what is known today and 150 more */
#define SWEEP_I386 620

/* "ABI:FROM[:TO]" (hexadecimal): announces and makes each call, says "V NUMBER RESULT"
 * when one comes back.  Numbers that end or stop the process, or have an effect with
 * any argument, are named "N NUMBER" and not made. */
void sweep_order(const char *spec);

bool sweep_never(enum abi abi, long nr);
/* One, with arguments that make it harmless. */
long sweep_call(enum abi abi, long nr);

/* "NR:A0:A1..", in hexadecimal: one call with these arguments. */
void sweep_call_order(const char *spec);

#endif
