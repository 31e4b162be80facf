#include "ipc/stats.h"

#include <string.h>

static const struct {
	const char *name, *reason; /* reason NULL: the name has no such label */
	const char *help;          /* NULL: the same name as the one before */
} kinds[COUNT__MAX] = {
    [COUNT_CONNECTIONS] = {"connections", NULL, "Connections that were accepted."},
    [COUNT_TLS] = {"tls_handshakes", NULL, "TLS handshakes that were signed or resumed."},
    [COUNT_LOGINS] = {"logins", NULL, "Logins that a mail process took."},
    [COUNT_FAIL_AUTH] = {"login_failures", "credentials", "Logins that failed."},
    [COUNT_FAIL_USER] = {"login_failures", "user", NULL},
    [COUNT_FAIL_LIMIT] = {"login_failures", "limit", NULL},
    [COUNT_FAIL_POLICY] = {"login_failures", "policy", NULL},
    [COUNT_FAIL_TEMP] = {"login_failures", "temporary", NULL},
    [COUNT_NO_ATTEMPT] = {"aborted", NULL, "Connections that ended without a login attempt."},
};

void
stats_put(struct wr *w, const struct stats *s)
{
	for (int i = 0; i < SERVICE__MAX; i++)
		for (int k = 0; k < COUNT__MAX; k++)
			wr_u64(w, s->n[i][k]);
}

bool
stats_get(struct rd *r, struct stats *s)
{
	for (int i = 0; i < SERVICE__MAX; i++)
		for (int k = 0; k < COUNT__MAX; k++)
			s->n[i][k] = rd_u64(r);
	return rd_end(r);
}

void
stats_print(const struct stats *s, FILE *out)
{
	for (int k = 0; k < COUNT__MAX; k++) {
		const char *reason = kinds[k].reason;

		if (kinds[k].help != NULL)
			fprintf(out, "# HELP gatehouse_%s_total %s\n# TYPE gatehouse_%s_total counter\n",
			    kinds[k].name, kinds[k].help, kinds[k].name);
		for (int i = 0; i < SERVICE__MAX; i++)
			fprintf(out, "gatehouse_%s_total{service=\"%s\"%s%s%s} %llu\n", kinds[k].name,
			    service_name((enum service)i), reason != NULL ? ",reason=\"" : "",
			    reason != NULL ? reason : "", reason != NULL ? "\"" : "",
			    (unsigned long long)s->n[i][k]);
	}
}
