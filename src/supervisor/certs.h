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
	unsigned int n;
	unsigned int nsets;
	uint8_t *ca[SETTINGS_CAS_MAX]; /* each ssl_ca once */
	const char *ca_path[SETTINGS_CAS_MAX];
};

/* Reads the certificates and CAs that p->conf names into worker, numbers them in
 * p->conf's rules (cert, ca), opens the keys into p->keys.  A certificate that is out of date is a warning. */
int certs_load(struct plan *p, struct certs *c, struct worker_settings *worker, FILE *warn,
    struct diag *d);
void certs_free(struct certs *c);

#endif
