#include <inttypes.h>
#include <string.h>

#include "policy/internal.h"
#include "tools/policy_text.h"

/*
 * OCI runtime specification, "seccomp".  Conditions on one argument that are
 * alternatives become entries of their own, because what a runtime makes of two
 * conditions on the same argument differs.
 */
static void
oci_entry(FILE *f, const struct policy_rule *r, const struct policy_alternative *const alt[],
    const unsigned int pos[], bool *first)
{
	static const char *const actions[] = {[PACT_KILL] = "KILL_PROCESS",
	    [PACT_ERRNO] = "ERRNO", [PACT_ALLOW] = "ALLOW", [PACT_LOG] = "LOG"};

	fprintf(f, "%s\n    {\"names\": [\"%s\"], \"action\": \"SCMP_ACT_%s\"", *first ? "" : ",",
	    r->call, actions[r->action]);
	*first = false;
	if (r->action == PACT_ERRNO)
		fprintf(f, ", \"errnoRet\": %d", r->err);
	for (unsigned int i = 0; i < r->nconds; i++) {
		const struct policy_alternative *a = &alt[i][pos[i]];

		fprintf(f, "%s{\"index\": %u, \"op\": \"SCMP_CMP_%s\", \"value\": %" PRIu64
			   ", \"valueTwo\": %" PRIu64 "}",
		    i == 0 ? ", \"args\": [" : ", ", r->conds[i].arg, a->op, a->a, a->b);
	}
	fprintf(f, "%s}", r->nconds > 0 ? "]" : "");
}

static void
oci_rule(FILE *f, const struct policy_rule *r, bool *first)
{
	static struct policy_alternative alt[POLICY_ARGS][POLICY_ALTERNATIVES_MAX];
	const struct policy_alternative *rows[POLICY_ARGS];
	unsigned int n[POLICY_ARGS], pos[POLICY_ARGS] = {0}, i;

	for (i = 0; i < r->nconds; i++) {
		rows[i] = alt[i];
		n[i] = policy_alternatives(&r->conds[i], alt[i]);
	}
	do {
		oci_entry(f, r, rows, pos, first);
		for (i = 0; i < r->nconds && ++pos[i] == n[i]; i++)
			pos[i] = 0;
	} while (i < r->nconds);
}

void
policy_export_oci(FILE *f, const struct policy *p)
{
	bool first = true;

	if (p->seccomp == NEED_OFF) {
		fprintf(f, "{\"defaultAction\": \"SCMP_ACT_ALLOW\"}\n");
		return;
	}
	if (p->def == PACT_ERRNO)
		fprintf(f, "{\n  \"defaultAction\": \"SCMP_ACT_ERRNO\",\n  \"defaultErrnoRet\": %d,\n",
		    p->def_err);
	else
		fprintf(f, "{\n  \"defaultAction\": \"SCMP_ACT_KILL_PROCESS\",\n");
	fprintf(f, "  \"architectures\": [\"SCMP_ARCH_X86_64\", \"SCMP_ARCH_AARCH64\"],\n"
		   "  \"syscalls\": [");
	for (unsigned int i = 0; i < p->nrules; i++)
		oci_rule(f, &p->rules[i], &first);
	fprintf(f, "\n  ]\n}\n");
}

static void
systemd_limits(FILE *f, const struct policy *p)
{
	for (unsigned int i = 0; i < p->nlimits; i++) {
		fprintf(f, "Limit");
		for (const char *s = p->limits[i].name; *s != '\0'; s++)
			fputc(*s >= 'a' && *s <= 'z' ? *s - 'a' + 'A' : *s, f);
		fprintf(f, "=%" PRIu64 "\n", p->limits[i].value);
	}
}

static void
systemd_caps(FILE *f, const struct policy *p)
{
	uint64_t caps = p->caps | p->caps_no_userns;

	fprintf(f, "CapabilityBoundingSet=");
	for (const struct word *w = policy_cap_words; w->name != NULL; w++) {
		if ((caps >> w->value & 1) == 0)
			continue;
		fprintf(f, " CAP_");
		for (const char *s = w->name; *s != '\0'; s++)
			fputc(*s >= 'a' && *s <= 'z' ? *s - 'a' + 'A' : *s, f);
	}
	fprintf(f, "\nAmbientCapabilities=\n");
}

static void
systemd_namespaces(FILE *f, const struct policy *p)
{
	if (p->ns[PNS_NET] != NEED_OFF)
		fprintf(f, "PrivateNetwork=yes\n");
	if (p->ns[PNS_IPC] != NEED_OFF)
		fprintf(f, "PrivateIPC=yes\n");
	if (p->ns[PNS_USER] != NEED_OFF)
		fprintf(f, "PrivateUsers=yes\n");
	if (p->ns[PNS_UTS] != NEED_OFF)
		fprintf(f, "ProtectHostname=yes\n");
	if (p->ns[PNS_MOUNT] != NEED_OFF)
		fprintf(f, "PrivateMounts=yes\nTemporaryFileSystem=/:ro\nPrivateDevices=yes\n");
	fprintf(f, "RestrictNamespaces=yes\n");
}

/* What of a policy a unit can say; it cannot pin arguments. */
void
policy_export_systemd(FILE *f, const struct policy *p)
{
	unsigned int pinned = 0;
	char answered[400] = "";

	fprintf(f, "# policy %s: %s\n[Service]\nNoNewPrivileges=yes\n", p->name, p->about);
	systemd_caps(f, p);
	systemd_namespaces(f, p);
	if (p->mdwe != NEED_OFF)
		fprintf(f, "MemoryDenyWriteExecute=yes\n");
	if (p->oom_need != NEED_OFF)
		fprintf(f, "OOMScoreAdjust=%u\n", p->oom_score);
	systemd_limits(f, p);
	if (p->seccomp == NEED_OFF)
		return;
	fprintf(f, "SystemCallArchitectures=native\nSystemCallFilter=");
	for (unsigned int i = 0; i < p->nrules; i++) {
		bool again = false;

		for (unsigned int k = 0; k < i; k++)
			again = again || (strcmp(p->rules[k].call, p->rules[i].call) == 0 &&
				(p->rules[k].action == PACT_ERRNO) == (p->rules[i].action == PACT_ERRNO));
		pinned += p->rules[i].nconds > 0;
		if (!again && p->rules[i].action == PACT_ERRNO)
			snprintf(answered + strlen(answered), sizeof(answered) - strlen(answered),
			    " %s", p->rules[i].call);
		else if (!again)
			fprintf(f, "%s ", p->rules[i].call);
	}
	if (p->def == PACT_ERRNO)
		fprintf(f, "\nSystemCallErrorNumber=%d", p->def_err);
	fprintf(f, "\n# A unit cannot compare arguments: the conditions of %u rules are lost here.\n"
		   "# systemd adds what it needs to execute the program.\n", pinned);
	if (answered[0] != '\0')
		fprintf(f, "# A list of what is allowed cannot answer with an error: denied here are%s.\n",
		    answered);
}
