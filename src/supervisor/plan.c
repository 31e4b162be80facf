#include "supervisor/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/str.h"
#include "config/pack.h"
#include "confine/confine.h"
#include "ipc/filters.h"
#include "ipc/settings.h"
#include "login/tls_settings.h"
#include "supervisor/certs.h"

static const char *const image_names[IMAGE__MAX] = {
    [IMAGE_LAUNCHER] = "gatehouse-launcher",
    [IMAGE_LOGIN] = "gatehouse-login",
    [IMAGE_AUTH] = "gatehouse-auth",
    [IMAGE_KEYS] = "gatehouse-keys",
};

/* OpenSSL's arena of a worker with one connection: twice what a rehearsed
 * template and a handshake need (design 4). */
#define WORKER_ARENA (4u << 20)
/* The signer's, in memfd_secret memory: below the usual memlock limit.  A bit more
 * than 1 MiB of it is for sessions (keys/resume.h). */
#define KEYS_ARENA (5u << 20)
#define SIGN_TIMEOUT_MS 5000

/* build/bin/gatehouse -> the tree's top, if this is a tree of ours. */
void
plan_build_tree(struct config *c)
{
	char exe[PATH_MAX], probe[PATH_MAX + 64];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	char *end;

	if (n <= 0)
		return;
	exe[n] = '\0';
	end = strstr(exe, "/build/bin/");
	if (end == NULL)
		return;
	*end = '\0';
	snprintf(probe, sizeof(probe), "%s/policy/login.policy", exe);
	if (access(probe, R_OK) == -1)
		return;
	snprintf(probe, sizeof(probe), "%s/policy", exe);
	str_copy(c->policy_dir, sizeof(c->policy_dir), probe);
	snprintf(probe, sizeof(probe), "%s/build/libexec", exe);
	str_copy(c->libexec_dir, sizeof(c->libexec_dir), probe);
}

/* What our programs cannot do without and no layer reports. */
static int
check_kernel(struct diag *d)
{
	if (close_range(~0U, ~0U, 0) == 0)
		return 0;
	diag_set(d, NULL, 0, 0, "close_range: %s", strerror(errno));
	diag_hint(d, "needs Linux 5.9 or newer, and no filter around us that denies it");
	return -1;
}

static int
load_accounts(struct plan *p, struct diag *d)
{
	const struct config *c = &p->conf;

	p->login_uid = p->auth_uid = p->keys_uid = (uid_t)-1;
	p->login_gid = p->auth_gid = p->keys_gid = (gid_t)-1;
	if (geteuid() != 0)
		return 0;
	if (config_account(c->default_login_user, "default_login_user", &p->login_uid,
		&p->login_gid, d) == -1 ||
	    config_account(c->default_internal_user, "default_internal_user", &p->auth_uid,
		&p->auth_gid, d) == -1 ||
	    config_account(c->default_keys_user, "default_keys_user", &p->keys_uid, &p->keys_gid,
		d) == -1)
		return -1;
	if (p->login_uid == 0 || p->auth_uid == 0 || p->keys_uid == 0 ||
	    p->login_uid == p->auth_uid || p->login_uid == p->keys_uid ||
	    p->auth_uid == p->keys_uid) {
		diag_set(d, c->file, 0, 0, "default_login_user, default_internal_user and "
		    "default_keys_user must be three different accounts, none of them root");
		diag_hint(d, "a number without a passwd entry will do");
		return -1;
	}
	return 0;
}

static enum layer_need
softened(const struct config *c, enum layer l, enum layer_need need)
{
	return need == NEED_REQUIRED && (c->confine_optional >> l & 1) != 0 ? NEED_OPTIONAL : need;
}

/* 0: the policy has no limit of descriptors. */
static uint32_t
nofile_of(const struct policy *pol)
{
	for (unsigned int i = 0; i < pol->nlimits; i++)
		if (strcmp(pol->limits[i].name, "nofile") == 0 && pol->limits[i].value <= UINT32_MAX)
			return (uint32_t)pol->limits[i].value;
	return 0;
}

static void
late_plan_from(const struct config *c, const struct policy *pol, struct late_plan *late)
{
	late->landlock = (uint8_t)softened(c, LAYER_LANDLOCK, pol->landlock);
	late->landlock_min_abi = (uint8_t)pol->landlock_min_abi;
	late->landlock_unix_dir = pol->root == PROOT_SOCKETS;
	late->mdwe = (uint8_t)softened(c, LAYER_MDWE, pol->mdwe);
	late->seccomp = (uint8_t)pol->seccomp;
	late->nofile = nofile_of(pol);
}

static struct sock_fprog
prog(const struct policy_bpf *b)
{
	return (struct sock_fprog){.len = (unsigned short)b->n, .filter = b->insn};
}

static int
make_filters(struct plan *p, struct diag *d)
{
	const struct policy_set *s = &p->policies;
	struct sock_fprog none[FILTER__MAX] = {0}, auth[FILTER__MAX] = {0};
	struct sock_fprog keys[FILTER__MAX] = {0}, login[FILTER__MAX] = {0};

	auth[FILTER_SELF] = prog(&s->whole[POL_AUTH_CLIENT]);
	keys[FILTER_SELF] = prog(&s->whole[POL_KEY_SIGNER]);
	login[FILTER_TLS_PROXY] = prog(&s->tls_proxy_diff);
	login[FILTER_LOGIN] = prog(&s->login_diff);
	login[FILTER_TEMPLATE] = prog(&s->whole[POL_TEMPLATE]);
	login[FILTER_LOGIN_FULL] = prog(&s->whole[POL_LOGIN]);
	login[FILTER_POOL] = prog(&s->whole[POL_POOL]);
	p->filters_fd[IMAGE_LAUNCHER] = filters_make(none);
	p->filters_fd[IMAGE_LOGIN] = filters_make(login);
	p->filters_fd[IMAGE_AUTH] = filters_make(auth);
	p->filters_fd[IMAGE_KEYS] = filters_make(keys);
	for (int i = 0; i < IMAGE__MAX; i++) {
		if (p->filters_fd[i] == -1) {
			diag_set(d, NULL, 0, 0, "cannot make the filters of %s: %s", image_names[i],
			    strerror(errno));
			return -1;
		}
	}
	return 0;
}

static int
open_images(struct plan *p, struct diag *d)
{
	for (int i = 0; i < IMAGE__MAX; i++) {
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "%s/%s", p->conf.libexec_dir, image_names[i]);
		p->image_fd[i] = confine_seal_image(path, image_names[i]);
		if (p->image_fd[i] == -1) {
			diag_set(d, NULL, 0, 0, "cannot load %s: %s", path, strerror(errno));
			diag_hint(d, errno == ENOENT ? "libexec_dir names the directory of the helpers"
				: "vm.memfd_noexec must not be 2");
			return -1;
		}
	}
	return 0;
}

static int
seal_settings(struct plan *p, enum image i, const struct wr *w, struct diag *d)
{
	static const size_t room[] = {[IMAGE_LAUNCHER] = LAUNCHER_SETTINGS_MAX,
	    [IMAGE_AUTH] = AUTH_SETTINGS_MAX, [IMAGE_KEYS] = KEYS_SETTINGS_MAX,
	    [IMAGE_LOGIN] = SETTINGS_MAX};
	bool fits = !w->bad && w->len < room[i];

	if (fits)
		p->settings_fd[i] = confine_seal_data(w->p, w->len, image_names[i]);
	if (p->settings_fd[i] == -1) {
		diag_set(d, NULL, 0, 0, "cannot pass the settings to %s: %s", image_names[i],
		    fits ? strerror(errno) : "too large (fewer blocks, or shorter names in them)");
		return -1;
	}
	return 0;
}

/* Workers would find it out, too, but only when connections are waiting. */
static int
try_tls_settings(const struct config *c, int block, struct diag *d)
{
	static struct config_rules r;
	struct rules rules = {0};
	SSL_CTX *ctx;
	char why[512];
	bool good;

	config_rules_at(c, block, &r);
	config_to_rules(&r, &rules);
	ctx = SSL_CTX_new(TLS_server_method());
	good = ctx != NULL && tls_settings_apply(ctx, NULL, &rules, why, sizeof(why));
	if (!good)
		diag_set(d, block < 0 ? c->file : c->blocks[block].file,
		    block < 0 ? 0 : c->blocks[block].line, 0, "%s",
		    ctx != NULL ? why : "OpenSSL does not start");
	SSL_CTX_free(ctx);
	return good ? 0 : -1;
}

static int
try_all_tls_settings(const struct config *c, struct diag *d)
{
	for (int i = -1; i < (int)c->nblocks && c->rules.ssl != SSL_NO; i++)
		if ((i < 0 || (c->blocks[i].has & RULES_TLS) != 0) && try_tls_settings(c, i, d) == -1)
			return -1;
	return 0;
}

enum policy_id
plan_worker_policy(uint8_t model)
{
	static const enum policy_id of[] = {[MODEL_FORK] = POL_TEMPLATE, [MODEL_EXEC] = POL_LOGIN,
	    [MODEL_POOLED] = POL_POOL};

	return of[model];
}

/* The launcher gives workers their scores, as their policies say, and no more
 * connections than these have descriptors for. */
static void
worker_bounds(struct plan *p, struct launcher_settings *s)
{
	for (int i = 0; i < SERVICE__MAX; i++) {
		const struct policy *pol = &p->policies.policy[plan_worker_policy(s->service[i].model)];

		s->service[i].oom_score =
		    pol->oom_need != NEED_OFF ? (uint16_t)pol->oom_score : OOM_SCORE_INHERIT;
		s->service[i].nofile = nofile_of(pol);
		if (s->service[i].enabled && pol->oom_need > p->score_need)
			p->score_need = pol->oom_need;
	}
}

static int
make_settings(struct plan *p, struct worker_settings *worker, struct diag *d)
{
	const struct config *c = &p->conf;
	const struct policy *pol = p->policies.policy;
	struct launcher_settings launcher = {0};
	struct auth_settings auth = {0};
	struct keys_settings keys = {0};
	struct wr w = {.p = malloc(SETTINGS_MAX), .cap = SETTINGS_MAX - 1};
	int rv = -1;

	if (w.p == NULL) {
		diag_set(d, NULL, 0, 0, "out of memory");
		return -1;
	}
	if (try_all_tls_settings(c, d) == -1)
		goto out;
	config_to_launcher(c, &launcher);
	worker_bounds(p, &launcher);
	late_plan_from(c, &pol[POL_LAUNCHER], &launcher.plan);
	launcher_settings_pack(&w, &launcher);
	if (seal_settings(p, IMAGE_LAUNCHER, &w, d) == -1)
		goto out;
	w.len = 0;
	config_to_auth(c, &auth);
	late_plan_from(c, &pol[POL_AUTH_CLIENT], &auth.plan);
	auth_settings_pack(&w, &auth);
	if (seal_settings(p, IMAGE_AUTH, &w, d) == -1)
		goto out;
	w.len = 0;
	config_to_keys(c, &keys);
	keys.nkeys = (uint16_t)p->nkeys;
	keys.arena_bytes = KEYS_ARENA;
	keys.memory = (uint8_t)softened(c, LAYER_SECRET_MEM, pol[POL_KEY_SIGNER].secret_memory);
	late_plan_from(c, &pol[POL_KEY_SIGNER], &keys.plan);
	keys_settings_pack(&w, &keys);
	if (seal_settings(p, IMAGE_KEYS, &w, d) == -1)
		goto out;
	w.len = 0;
	config_to_worker(c, worker);
	worker->arena_bytes = WORKER_ARENA;
	worker->sign_timeout_ms = SIGN_TIMEOUT_MS;
	late_plan_from(c, &pol[POL_TEMPLATE], &worker->template_plan);
	late_plan_from(c, &pol[POL_LOGIN], &worker->exec_plan);
	late_plan_from(c, &pol[POL_POOL], &worker->pool_plan);
	worker_settings_pack(&w, worker);
	rv = seal_settings(p, IMAGE_LOGIN, &w, d);
out:
	free(w.p);
	return rv;
}

struct plan *
plan_load(const char *config_file, FILE *warn, struct diag *d)
{
	struct plan *p = calloc(1, sizeof(*p));
	struct worker_settings *worker = calloc(1, sizeof(*worker));
	struct certs certs = {0};
	bool good = false;

	if (p == NULL || worker == NULL) {
		diag_set(d, NULL, 0, 0, "out of memory");
		goto out;
	}
	for (int i = 0; i < IMAGE__MAX; i++)
		p->image_fd[i] = p->settings_fd[i] = p->filters_fd[i] = -1;
	config_defaults(&p->conf);
	plan_build_tree(&p->conf);
	good = check_kernel(d) == 0 && config_load(&p->conf, config_file, warn, d) == 0 &&
	    load_accounts(p, d) == 0 &&
	    policy_set_load(&p->policies, p->conf.policy_dir, p->conf.site_policy_dir,
		p->conf.policy_allow_widen, d) == 0 &&
	    certs_load(p, &certs, worker, warn, d) == 0 && open_images(p, d) == 0 &&
	    make_filters(p, d) == 0 && make_settings(p, worker, d) == 0;
out:
	certs_free(&certs);
	free(worker);
	if (good)
		return p;
	plan_free(p);
	return NULL;
}

static void
close_all(int *fds, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (fds[i] != -1)
			close(fds[i]);
}

void
plan_free(struct plan *p)
{
	if (p == NULL)
		return;
	for (unsigned int i = 0; i < p->nkeys; i++)
		close(p->keys[i].fd);
	close_all(p->image_fd, IMAGE__MAX);
	close_all(p->settings_fd, IMAGE__MAX);
	close_all(p->filters_fd, IMAGE__MAX);
	policy_set_free(&p->policies);
	explicit_bzero(p, sizeof(*p)); /* passwords of keys */
	free(p);
}
