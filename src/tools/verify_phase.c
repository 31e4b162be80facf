/*
 * In which phase is it?  That whose policy all its filters together equal, for
 * every call, as the prover of the compiler sees it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policy/eval.h"
#include "policy/internal.h"
#include "tools/verify.h"

static const struct verify_phase phases[] = {
    {"supervisor", VROLE_SUPERVISOR, POL_SUPERVISOR, POL_SUPERVISOR, POL__MAX, NULL, {0}, 0},
    {"launcher", VROLE_LAUNCHER, POL_LAUNCHER, POL_LAUNCHER, POL__MAX, NULL, {VPROG_LAUNCHER}, 1},
    {"auth client, starting", VROLE_AUTH, POL_START, POL_AUTH_CLIENT, POL_START, NULL,
	{VPROG_START}, 1},
    {"auth client", VROLE_AUTH, POL_AUTH_CLIENT, POL_AUTH_CLIENT, POL__MAX, NULL,
	{VPROG_START, VPROG_AUTH_CLIENT}, 2},
    {"key signer, starting", VROLE_KEYS, POL_START, POL_KEY_SIGNER, POL_START, NULL,
	{VPROG_START}, 1},
    {"key signer", VROLE_KEYS, POL_KEY_SIGNER, POL_KEY_SIGNER, POL__MAX, NULL,
	{VPROG_START, VPROG_KEY_SIGNER}, 2},
    {"worker, starting or waiting", VROLE_WORKER, POL_LAUNCHER, POL_LAUNCHER, POL__MAX, "",
	{VPROG_LAUNCHER}, 1},
    {"template", VROLE_WORKER, POL_TEMPLATE, POL_TEMPLATE, POL__MAX, "template",
	{VPROG_LAUNCHER, VPROG_TEMPLATE}, 2},
    {"login (fork)", VROLE_WORKER, POL_LOGIN, POL_LOGIN, POL__MAX, "template",
	{VPROG_LAUNCHER, VPROG_TEMPLATE, VPROG_LOGIN_DIFF}, 3},
    {"tls-proxy (fork)", VROLE_WORKER, POL_TLS_PROXY, POL_TLS_PROXY, POL_LOGIN, "template",
	{VPROG_LAUNCHER, VPROG_TEMPLATE, VPROG_LOGIN_DIFF, VPROG_TLS_PROXY_DIFF}, 4},
    {"login (exec)", VROLE_WORKER, POL_LOGIN, POL_LOGIN, POL__MAX, "exec",
	{VPROG_LAUNCHER, VPROG_LOGIN}, 2},
    {"tls-proxy (exec)", VROLE_WORKER, POL_TLS_PROXY, POL_TLS_PROXY, POL_LOGIN, "exec",
	{VPROG_LAUNCHER, VPROG_LOGIN, VPROG_TLS_PROXY_DIFF}, 3},
    {"pool", VROLE_WORKER, POL_POOL, POL_POOL, POL__MAX, "pool", {VPROG_LAUNCHER, VPROG_POOL}, 2},
};

static const struct {
	const char *name;
	enum policy_id policy;
} programs[VPROG__MAX] = {
    [VPROG_LAUNCHER] = {"launcher", POL_LAUNCHER},
    [VPROG_START] = {"start", POL_START},
    [VPROG_TEMPLATE] = {"template", POL_TEMPLATE},
    [VPROG_LOGIN_DIFF] = {"template to login", POL__MAX},
    [VPROG_LOGIN] = {"login", POL_LOGIN},
    [VPROG_TLS_PROXY_DIFF] = {"login to tls-proxy", POL__MAX},
    [VPROG_POOL] = {"pool", POL_POOL},
    [VPROG_AUTH_CLIENT] = {"auth-client", POL_AUTH_CLIENT},
    [VPROG_KEY_SIGNER] = {"key-signer", POL_KEY_SIGNER},
};

void
verify_say(struct verify *v, const char *what, enum verify_state state, const char *fmt, ...)
{
	struct verify_row *r = &v->row[v->nrows];
	va_list ap;

	if (v->nrows == VERIFY_ROWS_MAX)
		return; /* more checks than there are: none is made as often as that */
	v->nrows++;
	snprintf(r->what, sizeof(r->what), "%s", what);
	r->state = state;
	va_start(ap, fmt);
	vsnprintf(r->text, sizeof(r->text), fmt, ap);
	va_end(ap);
}

static const struct policy_bpf *
program_of(const struct policy_set *s, enum verify_program p)
{
	if (p == VPROG_LOGIN_DIFF)
		return &s->login_diff;
	if (p == VPROG_TLS_PROXY_DIFF)
		return &s->tls_proxy_diff;
	return &s->whole[programs[p].policy];
}

static bool
same_program(const struct policy_bpf *a, const struct policy_bpf *b)
{
	return a->n == b->n && (a->n == 0 || memcmp(a->insn, b->insn, a->n * sizeof(*a->insn)) == 0);
}

/* The programs of a phase that are there at all: none where seccomp is off. */
static unsigned int
depth_of(const struct verify *v, const struct verify_phase *ph)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < ph->nprograms; i++)
		n += program_of(v->policies, ph->program[i])->n > 0;
	return n;
}

static bool
same_programs(const struct verify *v, const struct verify_phase *ph)
{
	unsigned int at = v->outer;

	for (unsigned int i = 0; i < ph->nprograms; i++) {
		const struct policy_bpf *b = program_of(v->policies, ph->program[i]);

		if (b->n > 0 && !same_program(b, &v->held->filter[at++]))
			return false;
	}
	return true;
}

/* By behaviour; d: the first difference. */
static bool
equals(const struct verify *v, const struct verify_phase *ph, struct diag *d)
{
	const struct policy *p = &v->policies->policy[ph->rights];
	const struct policy_bpf *stack[HELD_FILTERS_MAX];
	unsigned int n = 0;

	for (unsigned int i = v->outer; i < v->held->nfilters; i++)
		stack[n++] = &v->held->filter[i];
	if (n != depth_of(v, ph)) {
		diag_set(d, p->file, 0, 0, "%u filters, not %u", n, depth_of(v, ph));
		return false;
	}
	if (p->seccomp == NEED_OFF)
		return same_programs(v, ph);
	return policy_prove(stack, n, p, policy_native_arch(), d) == 0;
}

static void
say_difference(struct verify *v, const struct verify_phase *ph, const struct diag *d)
{
	const char *text = d->text, *call = strstr(text, "disagree: ");

	verify_say(v, "filters", VERIFY_DIFFERS, "not %s: %s", ph->name,
	    call != NULL ? call + strlen("disagree: ") : text);
}

static void
say_match(struct verify *v, const struct verify_phase *ph)
{
	bool exact = same_programs(v, ph);
	char names[200] = "";
	size_t len = 0;

	for (unsigned int i = 0; i < ph->nprograms; i++)
		len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s", i > 0 ? ", " : "",
		    programs[ph->program[i]].name);
	if (v->policies->policy[ph->rights].seccomp == NEED_OFF)
		verify_say(v, "filters", VERIFY_HOLDS, "seccomp off, as policy %s says",
		    policy_file_name(ph->rights));
	else
		verify_say(v, "filters", VERIFY_HOLDS,
		    "%u read back (%s): for every call they equal policy %s%s", ph->nprograms, names,
		    policy_file_name(ph->rights),
		    exact ? ", and they are the compiled programs" : ", though compiled otherwise");
}

void
verify_filters(struct verify *v)
{
	struct diag d = {0};

	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]) && v->phase == NULL; i++)
		if (phases[i].role == v->role && equals(v, &phases[i], &d))
			v->phase = &phases[i];
	if (v->phase != NULL) {
		say_match(v, v->phase);
		return;
	}
	/* Why not: for each phase that has as many filters, or for all. */
	for (int all = 0; all < 2 && v->nrows == 0; all++) {
		for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
			const struct verify_phase *ph = &phases[i];

			memset(&d, 0, sizeof(d));
			if (ph->role == v->role &&
			    (all || v->held->nfilters - v->outer == depth_of(v, ph)) &&
			    !equals(v, ph, &d))
				say_difference(v, ph, &d);
		}
	}
}
