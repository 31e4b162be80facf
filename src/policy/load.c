#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/str.h"
#include "policy/eval.h"
#include "policy/internal.h"

/* Which process comes from which: the files have to say the same. */
static const struct {
	const char *name, *follows, *within;
	bool may_lack_seccomp;
} known[POL__MAX] = {
    [POL_SUPERVISOR] = {"supervisor", "", "", true},
    [POL_START] = {"start", "", "supervisor", false},
    [POL_LAUNCHER] = {"launcher", "", "supervisor", false},
    [POL_TEMPLATE] = {"template", "", "launcher", false},
    [POL_LOGIN] = {"login", "template", "", false},
    [POL_TLS_PROXY] = {"tls-proxy", "login", "", false},
    [POL_POOL] = {"pool", "", "launcher", false},
    [POL_AUTH_CLIENT] = {"auth-client", "", "start", false},
    [POL_KEY_SIGNER] = {"key-signer", "", "start", false},
};

const char *
policy_file_name(enum policy_id id)
{
	return (unsigned int)id < POL__MAX ? known[id].name : NULL;
}

/* A whole regular file; NULL with errno. */
static char *
read_file(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;
	struct stat st;
	char *text = NULL;
	ssize_t n = 0;

	*len = 0;
	if (fd == -1)
		return NULL;
	if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))
		errno = EINVAL;
	else
		text = malloc(POLICY_TEXT_MAX + 2);
	/* One byte more than is allowed: the parser then says that it is too much. */
	while (text != NULL && *len <= POLICY_TEXT_MAX &&
	    (n = read(fd, text + *len, POLICY_TEXT_MAX + 1 - *len)) > 0)
		*len += (size_t)n;
	err = errno;
	close(fd);
	if (n == -1) {
		free(text);
		text = NULL;
	}
	errno = err;
	return text;
}

int
policy_load(struct policy *p, const char *dir, const char *name, struct diag *d)
{
	char path[256], *text;
	size_t len;
	int rv;

	memset(d, 0, sizeof(*d));
	if ((size_t)snprintf(path, sizeof(path), "%s/%s.policy", dir, name) >= sizeof(path)) {
		diag_set(d, dir, 0, 0, "the path of policy %s is too long", name);
		return -1;
	}
	text = read_file(path, &len);
	if (text == NULL) {
		diag_set(d, path, 0, 0, "cannot read the policy: %s", strerror(errno));
		diag_hint(d, "policy_dir names the directory of the shipped policies");
		return -1;
	}
	rv = policy_parse(p, text, len, path, dir, d);
	free(text);
	if (rv == 0 && strcmp(p->name, name) != 0) {
		diag_set(d, path, 0, 0, "this file calls itself \"%s\"", p->name);
		diag_hint(d, "a policy has the name of its file");
		rv = -1;
	}
	return rv;
}

static bool
site_has(const char *site_dir, const char *name)
{
	char path[256];

	return site_dir != NULL &&
	    (size_t)snprintf(path, sizeof(path), "%s/%s.policy", site_dir, name) < sizeof(path) &&
	    access(path, F_OK) == 0;
}

/* The shipped file, or the site's in its place. */
static int
load_one(struct policy_set *s, enum policy_id id, const char *dir, const char *site_dir,
    bool allow_widen, struct diag *d)
{
	struct policy *p = &s->policy[id], *site;
	int rv = -1;

	if (policy_load(p, dir, known[id].name, d) == -1)
		return -1;
	if (!site_has(site_dir, known[id].name))
		return 0;
	site = malloc(sizeof(*site));
	if (site == NULL) {
		diag_set(d, site_dir, 0, 0, "out of memory");
		return -1;
	}
	if (policy_load(site, site_dir, known[id].name, d) == 0) {
		rv = policy_check_narrower(p, site, d);
		if (rv == -1 && allow_widen) {
			*d->hint = '\0';
			diag_format(d, s->widened[id], sizeof(s->widened[id]));
			memset(d, 0, sizeof(*d));
			rv = 0;
		}
	}
	if (rv == 0) {
		*p = *site;
		s->from_site[id] = true;
	}
	free(site);
	return rv;
}

static int
check_place(const struct policy *p, enum policy_id id, bool allow_widen, struct diag *d)
{
	if (strcmp(p->follows, known[id].follows) != 0 ||
	    strcmp(p->within, known[id].within) != 0) {
		diag_set(d, p->file, 0, 0, "%s has to say \"%s %s\"", p->name,
		    known[id].follows[0] != '\0'    ? "follows"
			: known[id].within[0] != '\0' ? "within"
						      : "nothing about",
		    known[id].follows[0] != '\0'    ? known[id].follows
			: known[id].within[0] != '\0' ? known[id].within
						      : "follows or within");
		diag_hint(d, "the programs start each other in this order");
		return -1;
	}
	if (p->nreach > 0) {
		diag_set(d, p->file, 0, 0, "landlock: paths and ports");
		diag_hint(d, "gatehouse's own processes have none; only `gatehouse confine' knows them");
		return -1;
	}
	if ((p->seccomp == NEED_OFF && !known[id].may_lack_seccomp && !allow_widen) ||
	    (p->landlock == NEED_OFF && id != POL_SUPERVISOR && !allow_widen)) {
		diag_set(d, p->file, 0, 0, "%s off", p->seccomp == NEED_OFF ? "seccomp" : "landlock");
		diag_hint(d, "for experiments only: needs policy_allow_widen = yes");
		return -1;
	}
	return 0;
}

static const struct policy *
outer_of(const struct policy_set *s, enum policy_id id)
{
	const char *name = known[id].follows[0] != '\0' ? known[id].follows : known[id].within;

	for (int i = 0; i < POL__MAX; i++)
		if (name[0] != '\0' && strcmp(known[i].name, name) == 0)
			return &s->policy[i];
	return NULL;
}

/* Every filter stays in force, so the whole line of ancestors counts. */
static int
check_ancestors(const struct policy_set *s, enum policy_id id, struct diag *d)
{
	const struct policy *outer = outer_of(s, id);

	while (outer != NULL) {
		enum policy_id up = (enum policy_id)(outer - s->policy);

		if (policy_check_chain(outer, &s->policy[id], d) == -1)
			return -1;
		outer = outer_of(s, up);
	}
	return 0;
}

/* /proc is in reach when a process starts, and not in a later phase of it. */
static int
check_score(const struct policy_set *s, enum policy_id id, struct diag *d)
{
	const struct policy *p = &s->policy[id], *outer = outer_of(s, id);

	if (known[id].follows[0] == '\0' || p->oom_need == NEED_OFF ||
	    (p->oom_need <= outer->oom_need && p->oom_score <= outer->oom_score))
		return 0;
	diag_set(d, p->file, 0, 0, "oom-score: more than policy %s says, and this is the same process",
	    outer->name);
	diag_hint(d, "a process gets its score at its start: the same, or more, in %s", outer->name);
	return -1;
}

static void
fingerprint(struct policy_set *s, enum policy_id id)
{
	if (s->whole[id].n == 0) {
		str_copy(s->fingerprint[id], sizeof(s->fingerprint[id]), "off");
		return;
	}
	for (unsigned int i = 0; i < 8; i++)
		snprintf(s->fingerprint[id] + 2 * i, 3, "%02x", s->whole[id].sha256[i]);
}

static int
compile_diffs(struct policy_set *s, enum policy_arch arch, struct diag *d)
{
	static const struct {
		enum policy_id from, to;
	} pairs[2] = {{POL_TEMPLATE, POL_LOGIN}, {POL_LOGIN, POL_TLS_PROXY}};
	struct policy_bpf *out[2] = {&s->login_diff, &s->tls_proxy_diff};

	for (int i = 0; i < 2; i++) {
		const struct policy *from = &s->policy[pairs[i].from];
		const struct policy *to = &s->policy[pairs[i].to];
		int rv;

		if (from->seccomp != NEED_OFF && to->seccomp != NEED_OFF)
			rv = policy_diff_with(from, &s->whole[pairs[i].from], to, arch, out[i], d);
		else
			rv = policy_compile_diff(from, to, arch, out[i], d);
		if (rv == -1)
			return -1;
	}
	return 0;
}

static int
load_all(struct policy_set *s, const char *dir, const char *site_dir, bool allow_widen,
    struct diag *d)
{
	enum policy_arch arch = policy_native_arch();

	for (int i = 0; i < POL__MAX; i++)
		if (load_one(s, (enum policy_id)i, dir, site_dir, allow_widen, d) == -1 ||
		    check_place(&s->policy[i], (enum policy_id)i, allow_widen, d) == -1)
			return -1;
	for (int i = 0; i < POL__MAX; i++) {
		if (check_ancestors(s, (enum policy_id)i, d) == -1 ||
		    check_score(s, (enum policy_id)i, d) == -1 ||
		    policy_compile(&s->policy[i], arch, &s->whole[i], d) == -1)
			return -1;
		fingerprint(s, (enum policy_id)i);
	}
	return compile_diffs(s, arch, d);
}

int
policy_set_load(struct policy_set *s, const char *dir, const char *site_dir, bool allow_widen,
    struct diag *d)
{
	memset(s, 0, sizeof(*s));
	memset(d, 0, sizeof(*d));
	if (load_all(s, dir, site_dir, allow_widen, d) == 0)
		return 0;
	policy_set_free(s);
	return -1;
}

void
policy_set_free(struct policy_set *s)
{
	for (int i = 0; i < POL__MAX; i++)
		policy_bpf_free(&s->whole[i]);
	policy_bpf_free(&s->login_diff);
	policy_bpf_free(&s->tls_proxy_diff);
}
