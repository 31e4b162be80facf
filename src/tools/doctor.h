/*
 * `gatehouse policy doctor`: what this kernel offers to this user, layer by
 * layer.  Every probe runs in a child of its own and changes nothing outside.
 */
#ifndef TOOLS_DOCTOR_H
#define TOOLS_DOCTOR_H

#include "confine/layers.h"
#include "ipc/settings.h" /* enum layer_need */

struct doctor_item {
	const char *what;
	enum layer_state state;   /* ENFORCED: present */
	int err;                  /* of ABSENT and REFUSED */
	enum layer_need need;     /* what the shipped policies make of it; OFF: of no policy */
	char detail[120];
	const char *follows;      /* for gatehouse: of it, or of its absence */
	const char *way_out;      /* NULL where there is nothing to do */
};

#define DOCTOR_ITEMS_MAX 64

/* doctor_probe.c: what is no layer of confine/layers.h.  Adds to items. */
void doctor_probe_kernel(struct doctor_item *items, unsigned int *n);

#endif
