/*
 * Keeps the record of a generation (confine/record.h) up to date.
 */
#ifndef SUPERVISOR_REPORTED_H
#define SUPERVISOR_REPORTED_H

#include "supervisor/generation.h"

/* h has said hello, its layers are complete. */
void reported_helper(struct generation *g, const struct helper *h);
/* A kind of worker, "imap template": the first of them has said hello. */
void reported_kind(struct generation *g, const char *what, const struct layer_report *rep);
/* h has ended. */
void reported_end(struct generation *g, const struct helper *h);
/* The supervisor itself: a record of its own, number 0. */
void reported_self(const struct layer_report *rep);

#endif
