/*
 * How two policies relate: a filter that is inherited must allow what the later
 * one allows (chain), and a site's file may only take away (narrower).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/eval.h"
#include "policy/internal.h"

static const struct policy_rule *
deciding_rule(const struct policy *p, enum policy_arch arch, const struct seccomp_data *sd)
{
	uint64_t args[POLICY_ARGS];

	for (unsigned int i = 0; i < POLICY_ARGS; i++)
		args[i] = sd->args[i];
	for (unsigned int i = 0; i < p->nrules; i++) {
		const struct policy_rule *r = &p->rules[i];

		if ((arch == PARCH_X86_64 ? r->nr_x86_64 : r->nr_aarch64) == sd->nr &&
		    rule_matches(r, args))
			return r;
	}
	return NULL;
}

/* "flags = 0x1, stack = 0x0": the arguments that either policy looks at. */
static void
args_text(const char *call, const struct policy_points *pt, const struct seccomp_data *sd,
    char *dst, size_t cap)
{
	enum arg_type type;
	size_t len = 0;

	dst[0] = '\0';
	for (unsigned int i = 0; i < POLICY_ARGS; i++) {
		const char *arg = call_arg_name(call, i, &type);
		int n;

		if (pt->n[i] == 0 || arg == NULL)
			continue;
		n = snprintf(dst + len, cap - len, "%s%s = 0x%llx", len > 0 ? ", " : "", arg,
		    (unsigned long long)sd->args[i]);
		if (n < 0 || (size_t)n >= cap - len)
			return;
		len += (size_t)n;
	}
}

/* The first case in which b is laxer than a; NULL if there is none. */
static const struct policy_rule *
first_laxer(const struct policy *a, const struct policy *b, struct policy_points *pt,
    struct seccomp_data *sd, bool *undecided)
{
	*undecided = false;
	for (enum policy_arch arch = PARCH_X86_64; arch <= PARCH_AARCH64; arch++) {
		for (unsigned int i = 0; i < b->nrules; i++) {
			const struct policy_rule *r = &b->rules[i];
			unsigned int pos[POLICY_ARGS] = {0};

			*sd = (struct seccomp_data){.arch = policy_audit_arch(arch)};
			sd->nr = arch == PARCH_X86_64 ? r->nr_x86_64 : r->nr_aarch64;
			if (sd->nr == -1)
				continue;
			policy_points_init(pt);
			policy_points_of(pt, a, arch, sd->nr);
			policy_points_of(pt, b, arch, sd->nr);
			policy_points_ready(pt);
			*undecided = *undecided || pt->full;
			policy_points_first(pt, sd);
			do {
				if (policy_ret_rank(policy_decide(b, arch, sd)) >
				    policy_ret_rank(policy_decide(a, arch, sd)))
					return deciding_rule(b, arch, sd);
			} while (policy_points_next(pt, pos, sd));
		}
	}
	return NULL;
}

static int
laxer_error(const struct policy *a, const struct policy *b, const char *what, const char *hint,
    struct diag *d)
{
	struct policy_points *pt = malloc(sizeof(*pt));
	const struct policy_rule *r;
	struct seccomp_data sd;
	bool undecided = true;
	char args[200] = "";

	r = pt != NULL ? first_laxer(a, b, pt, &sd, &undecided) : NULL;
	if (r != NULL) {
		args_text(r->call, pt, &sd, args, sizeof(args));
		diag_set(d, rule_file(b, r), r->line, r->column, "%s(%s): %s %s", r->call, args,
		    what, a->name);
		diag_hint(d, "%s", hint);
	} else if (undecided) {
		diag_set(d, b->file, 0, 0, "cannot be compared with %s: too many values", a->name);
	}
	free(pt);
	return r != NULL || undecided ? -1 : 0;
}

int
policy_check_chain(const struct policy *outer, const struct policy *inner, struct diag *d)
{
	if (outer->seccomp == NEED_OFF || inner->seccomp == NEED_OFF)
		return 0;
	if (policy_ret_rank(inner->def == PACT_KILL ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO) >
	    policy_ret_rank(outer->def == PACT_KILL ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO)) {
		diag_set(d, inner->file, 0, 0, "default errno, but %s kills", outer->name);
		return -1;
	}
	return laxer_error(outer, inner, "allowed here, but denied by the filter that stays in force:",
	    "a filter is inherited for good: allow it there as well, or not here", d);
}

/* Whom to tell about each layer in which site is wider than base. */
struct told {
	void (*each)(void *arg, const char *what);
	void *arg;
};

static void
wider(const struct told *t, const char *what, const char *detail)
{
	char text[96];

	snprintf(text, sizeof(text), "%s%s%s", what, detail[0] != '\0' ? " " : "", detail);
	t->each(t->arg, text);
}

static void
tell_identity(const struct policy *base, const struct policy *site, const struct told *t)
{
	if (base->uid != site->uid || base->gid != site->gid ||
	    base->uid_number != site->uid_number || base->gid_number != site->gid_number)
		wider(t, "identity", "");
	if (base->groups_none && !site->groups_none)
		wider(t, "groups", "");
	if ((site->caps & ~base->caps) != 0 ||
	    (site->caps_no_userns & ~(base->caps | base->caps_no_userns)) != 0 || site->caps_need < base->caps_need)
		wider(t, "caps", "");
	if (strcmp(base->follows, site->follows) != 0 || strcmp(base->within, site->within) != 0 ||
	    strcmp(base->name, site->name) != 0)
		wider(t, "name, follows or within", "");
}

static bool
reach_covered(const struct policy *base, const struct policy_reach *r)
{
	for (unsigned int i = 0; i < base->nreach; i++)
		if (base->reach[i].kind == r->kind && base->reach[i].port == r->port &&
		    strcmp(base->reach[i].path, r->path) == 0)
			return true;
	return false;
}

static void
tell_layers(const struct policy *base, const struct policy *site, const struct told *t)
{
	for (unsigned int i = 0; i < PNS__MAX; i++)
		if (site->ns[i] < base->ns[i])
			wider(t, "namespace", policy_ns_name((enum policy_ns)i));
	/* an empty root is narrower than the sockets, and these than the host's */
	if (site->root != base->root && base->root != PROOT_HOST &&
	    !(base->root == PROOT_SOCKETS && site->root == PROOT_EMPTY))
		wider(t, "root", "");
	if (site->root_need < base->root_need)
		wider(t, "root", "need");
	if (site->landlock < base->landlock || site->landlock_min_abi < base->landlock_min_abi)
		wider(t, "landlock", "");
	for (unsigned int i = 0; i < site->nreach; i++)
		if (base->landlock != NEED_OFF && !reach_covered(base, &site->reach[i]))
			wider(t, "landlock", policy_reach_name(site->reach[i].kind));
	if (site->nesting < base->nesting)
		wider(t, "nesting", "");
	if (site->oom_need < base->oom_need ||
	    (base->oom_need != NEED_OFF && site->oom_score < base->oom_score))
		wider(t, "oom-score", "");
	if (site->mdwe < base->mdwe)
		wider(t, "mdwe", "");
	if (site->secret_memory < base->secret_memory)
		wider(t, "memory secret", "");
	if (site->seccomp < base->seccomp)
		wider(t, "seccomp off", "");
}

static const struct policy_limit *
limit_named(const struct policy *p, const char *name)
{
	for (unsigned int i = 0; i < p->nlimits; i++)
		if (strcmp(p->limits[i].name, name) == 0)
			return &p->limits[i];
	return NULL;
}

static bool
fd_covered(const struct policy *base, const struct policy_fd *fd)
{
	for (unsigned int i = 0; i < base->nfds; i++) {
		const struct policy_fd *b = &base->fds[i];

		if (fd->number >= b->number && fd->last <= b->last && (b->read || !fd->read) &&
		    (b->write || !fd->write))
			return true;
	}
	return false;
}

static void
tell_resources(const struct policy *base, const struct policy *site, const struct told *t)
{
	for (unsigned int i = 0; i < base->nlimits; i++) {
		const struct policy_limit *l = limit_named(site, base->limits[i].name);

		if (l == NULL || l->value > base->limits[i].value)
			wider(t, "limit", base->limits[i].name);
	}
	for (unsigned int i = 0; i < site->nfds; i++)
		if (!fd_covered(base, &site->fds[i]))
			wider(t, "fd", site->fds[i].name);
}

void
policy_wider_layers(const struct policy *base, const struct policy *site,
    void (*each)(void *arg, const char *what), void *arg)
{
	const struct told t = {each, arg};

	tell_identity(base, site, &t);
	tell_layers(base, site, &t);
	tell_resources(base, site, &t);
	if (base->seccomp != NEED_OFF && site->seccomp != NEED_OFF && base->def == PACT_KILL &&
	    site->def != PACT_KILL)
		wider(&t, "default", "");
}

struct first {
	const struct policy *site;
	struct diag *d;
	bool found;
};

static void
keep_first(void *arg, const char *what)
{
	struct first *f = arg;

	if (f->found)
		return;
	f->found = true;
	diag_set(f->d, f->site->file, 0, 0, "%s: wider than the shipped policy %s", what,
	    f->site->name);
	diag_hint(f->d, "a site's policy may only narrow, unless policy_allow_widen = yes");
}

int
policy_check_narrower(const struct policy *base, const struct policy *site, struct diag *d)
{
	struct first f = {.site = site, .d = d};

	policy_wider_layers(base, site, keep_first, &f);
	if (f.found)
		return -1;
	if (base->seccomp == NEED_OFF || site->seccomp == NEED_OFF)
		return 0;
	return laxer_error(base, site, "wider than the shipped policy",
	    "a site's policy may only narrow, unless policy_allow_widen = yes", d);
}
