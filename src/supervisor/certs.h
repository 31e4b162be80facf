/*
 * Certificates are read and checked by the supervisor; keys are only opened:
 * parsing them is the key signer's, once it is confined.
 */
#ifndef SUPERVISOR_CERTS_H
#define SUPERVISOR_CERTS_H

#include <stdio.h>

#include "common/diag.h"
#include "ipc/settings.h"
#include "supervisor/plan.h"

/* The files' contents, which worker_settings points into while it is packed. */
struct certs {
	uint8_t *pem[SETTINGS_CERTS_MAX];
	uint8_t *ca; /* ssl_ca */
	unsigned int n;
};

/* Reads the certificates that p->conf names into worker (certs, ncerts), opens
 * their keys into p->keys.  A certificate that is out of date is a warning. */
int certs_load(struct plan *p, struct certs *c, struct worker_settings *worker, FILE *warn,
    struct diag *d);
void certs_free(struct certs *c);

#endif
