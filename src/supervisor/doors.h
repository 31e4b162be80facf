/*
 * The listening sockets of the generations.  Generations that follow one another share
 * them; one is open for as long as a generation that serves, or is about to, has it.  So
 * a reload that fails leaves the doors as they were.
 */
#ifndef SUPERVISOR_DOORS_H
#define SUPERVISOR_DOORS_H

#include "supervisor/generation.h"

/* Those of the newest generation that serves or is about to; empty if there is none. */
const struct listeners *doors_now(const struct generation *newest);
/* Close what only generations have that are on their way out. */
void doors_close(struct generation *newest);

#endif
