/*
 * Everything but filters and descriptors: who it is, what surrounds it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "policy/internal.h"
#include "common/log.h"
#include "tools/policy_text.h"
#include "tools/verify.h"

static bool
may_lack(const struct verify *v, enum layer l, enum layer_need need)
{
	return need != NEED_REQUIRED || (v->conf->confine_optional >> l & 1) != 0;
}

/* A layer that does not hold: the policy or the site allows that, or not. */
static enum verify_state
lacking(const struct verify *v, enum layer l, enum layer_need need)
{
	return may_lack(v, l, need) ? VERIFY_ABSENT : VERIFY_DIFFERS;
}

static void
check_ids(struct verify *v, const struct policy *p)
{
	const struct procview *pr = v->process;
	bool good = true;

	for (int i = 0; i < 4; i++)
		good = good && pr->uid[i] == v->uid && pr->gid[i] == v->gid;
	verify_say(v, "identity", good ? VERIFY_HOLDS : VERIFY_DIFFERS,
	    good ? "uid %u, gid %u, all four of each" : "uid %u, gid %u, but %u and %u in force",
	    v->uid, v->gid, pr->uid[1], pr->gid[1]);
	if (!p->groups_none)
		return;
	good = pr->ngroups == 0 || (pr->ngroups == 1 && pr->group == pr->gid[0]);
	/* an ordinary user cannot drop his */
	verify_say(v, "groups", good ? VERIFY_HOLDS : v->supervisor->uid[1] != 0 ? VERIFY_ABSENT
										  : VERIFY_DIFFERS,
	    good ? "none" : "%u supplementary groups", pr->ngroups);
}

static void
check_caps(struct verify *v, const struct policy *p)
{
	static const char *const names[] = {"inheritable", "permitted", "effective", "bounding",
	    "ambient"};
	bool root = v->supervisor->uid[1] == 0;
	uint64_t most = v->role != VROLE_SUPERVISOR ? p->caps
	    : root				    ? p->caps | p->caps_no_userns
						    : 0;
	unsigned int before = v->nrows;
	char text[200];

	for (int i = 0; i < PCAP__MAX; i++) {
		uint64_t may = v->role == VROLE_SUPERVISOR &&
			(i == PCAP_INHERITABLE || i == PCAP_AMBIENT) ? 0 : most;

		if ((v->process->caps[i] & ~may) == 0)
			continue;
		/* without a user namespace an ordinary user cannot empty this one */
		verify_say(v, "capabilities", i == PCAP_BOUNDING && !root &&
			(v->role == VROLE_SUPERVISOR || may_lack(v, LAYER_USERNS, p->ns[PNS_USER]))
		    ? VERIFY_ABSENT
		    : VERIFY_DIFFERS, "%s set is 0x%" PRIx64, names[i], v->process->caps[i]);
	}
	policy_caps_text(most, text, sizeof(text));
	if (v->nrows == before)
		verify_say(v, "capabilities", VERIFY_HOLDS, "all five sets: %s%s",
		    most == 0 ? "" : "nothing but ", text);
}

static void
check_namespaces(struct verify *v, const struct policy *p)
{
	static const enum layer layers[] = {[PNS_USER] = LAYER_USERNS,
	    [PNS_MOUNT] = LAYER_MOUNTNS, [PNS_NET] = LAYER_NETNS, [PNS_PID] = LAYER_PIDNS,
	    [PNS_IPC] = LAYER_IPCNS, [PNS_UTS] = LAYER_UTSNS, [PNS_CGROUP] = LAYER_CGROUPNS};
	char own[200] = "";
	size_t len = 0;
	unsigned int a, b, n;

	for (int i = 0; i < PNS__MAX; i++) {
		bool apart = v->process->ns[i].ino != 0 &&
		    v->process->ns[i].ino != v->supervisor->ns[i].ino;

		if (p->ns[i] == NEED_OFF)
			continue;
		if (apart)
			len += (size_t)snprintf(own + len, sizeof(own) - len, "%s%s",
			    len > 0 ? " " : "", policy_ns_name((enum policy_ns)i));
		else
			verify_say(v, "namespaces", lacking(v, layers[i], p->ns[i]),
			    "%s is the host's", policy_ns_name((enum policy_ns)i));
	}
	if (len > 0)
		verify_say(v, "namespaces", VERIFY_HOLDS, "not the host's: %s", own);
	if (p->ns[PNS_USER] == NEED_OFF || v->process->ns[PNS_USER].ino == v->supervisor->ns[PNS_USER].ino)
		return;
	/* as we see it from outside: each id is mapped to itself, one of them */
	if (sscanf(v->process->uid_map, "%u %u %u", &a, &b, &n) == 3 && a == v->uid && n == 1)
		verify_say(v, "id map", VERIFY_HOLDS, "one uid, mapped to itself");
	else
		verify_say(v, "id map", VERIFY_DIFFERS, "uid_map is \"%s\"", v->process->uid_map);
}

static bool
has_option(const char *options, const char *word)
{
	size_t len = strlen(word);

	for (const char *o = options; *o != '\0'; o += *o == ',') {
		size_t n = strcspn(o, ",");

		if (n == len && strncmp(o, word, len) == 0)
			return true;
		o += n;
	}
	return false;
}

static void
check_root(struct verify *v, const struct policy *p)
{
	static const char *const words[] = {"ro", "nosuid", "nodev", "noexec"};
	const struct procview *pr = v->process;
	enum verify_state bad = lacking(v, LAYER_ROOT, p->root_need);
	unsigned int before = v->nrows;
	struct stat st;

	if (p->root == PROOT_HOST || p->root_need == NEED_OFF)
		return;
	if (pr->mounts != 1)
		verify_say(v, "root", bad, "%u mounts are in reach", pr->mounts);
	for (size_t i = 0; i < 4; i++)
		if (!has_option(pr->root_options, words[i]))
			verify_say(v, "root", bad, "mounted without %s (%s)", words[i],
			    pr->root_options);
	if (strcmp(pr->cwd, "/") != 0)
		verify_say(v, "root", bad, "its working directory is %s", pr->cwd);
	if (p->root == PROOT_EMPTY && pr->root_entries != 0)
		verify_say(v, "root", bad, "%d entries", pr->root_entries);
	if (p->root == PROOT_SOCKETS && (stat(v->conf->login_socket_dir, &st) == -1 ||
		st.st_dev != pr->root_dev || st.st_ino != pr->root_ino))
		verify_say(v, "root", bad, "is not the directory %s", v->conf->login_socket_dir);
	if (v->nrows > before)
		return;
	if (p->root == PROOT_EMPTY)
		verify_say(v, "root", VERIFY_HOLDS, "an empty %s, %s", pr->root_type, pr->root_options);
	else
		verify_say(v, "root", VERIFY_HOLDS, "%s, %s", v->conf->login_socket_dir,
		    pr->root_options);
}

static void
check_limits(struct verify *v, const struct policy *p)
{
	unsigned int before = v->nrows;
	char text[300] = "";
	size_t len = 0;

	for (unsigned int i = 0; i < p->nlimits; i++) {
		const struct word *w = word_find(policy_limit_words, p->limits[i].name);
		uint64_t soft = v->process->limit[w->value].soft;
		uint64_t hard = v->process->limit[w->value].hard;

		if (!v->process->limit[w->value].known || soft > p->limits[i].value ||
		    hard > p->limits[i].value)
			verify_say(v, "limits", VERIFY_DIFFERS,
			    "%s is %" PRIu64 " (hard %" PRIu64 "), not %" PRIu64, w->name, soft, hard,
			    p->limits[i].value);
		else
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s %" PRIu64,
			    len > 0 ? "  " : "", w->name, hard);
	}
	if (v->nrows == before)
		verify_say(v, "limits", VERIFY_HOLDS, "%s", text);
}

static void
check_state(struct verify *v, const struct policy *p)
{
	const struct procview *pr = v->process;
	bool seccomp = p->seccomp != NEED_OFF;

	verify_say(v, "no_new_privs", pr->no_new_privs == 1 ? VERIFY_HOLDS : VERIFY_DIFFERS, "%d",
	    pr->no_new_privs);
	if (seccomp)
		verify_say(v, "seccomp mode", pr->seccomp == 2 ? VERIFY_HOLDS : VERIFY_DIFFERS,
		    "%d (2: filter)", pr->seccomp);
	verify_say(v, "threads", pr->threads == 1 ? VERIFY_HOLDS : VERIFY_DIFFERS, "%d", pr->threads);
	verify_say(v, "memory", pr->writable_code == 0 ? VERIFY_HOLDS : VERIFY_DIFFERS,
	    "%u mappings are writable and executable", pr->writable_code);
	verify_say(v, "dumpable", !pr->dumpable || pr->uid[1] == 0 ? VERIFY_HOLDS : VERIFY_DIFFERS,
	    pr->uid[1] == 0 ? "cannot be told of a process of root's"
			    : "%s: its files in /proc are %s", pr->dumpable ? "yes" : "no",
	    pr->dumpable ? "its own" : "root's");
}

/* ---- what only the process itself knows ------------------------------------- */

/* Of a worker: every report of its model; what one of them lacks, it may lack. */
static bool
report_of(const struct verify *v, enum layer l, struct layer_report *out)
{
	bool found = false;

	if (v->reported != NULL) {
		*out = v->reported->layers;
		return true;
	}
	for (unsigned int i = 0; i < v->record->n; i++) {
		const struct record_entry *e = &v->record->entry[i];
		const char *model = strrchr(e->what, ' ');

		if (e->pid != 0 || model == NULL ||
		    (v->phase->model[0] != '\0' && strcmp(model + 1, v->phase->model) != 0))
			continue;
		if (!found || e->layers.state[l] != LAYER_ENFORCED)
			*out = e->layers;
		found = true;
	}
	return found;
}

static void
check_reported(struct verify *v, enum layer l, enum layer_need need, unsigned int min_abi)
{
	struct layer_report rep = {0};
	char abi[40] = "";

	if (need == NEED_OFF)
		return;
	if (!report_of(v, l, &rep)) {
		verify_say(v, layer_name(l), may_lack(v, l, need) ? VERIFY_ABSENT : VERIFY_UNSEEN,
		    "nobody has reported about it");
		return;
	}
	if (l == LAYER_LANDLOCK)
		snprintf(abi, sizeof(abi), ", ABI %u", rep.landlock_abi);
	if (rep.state[l] == LAYER_ENFORCED && (l != LAYER_LANDLOCK || rep.landlock_abi >= min_abi))
		verify_say(v, layer_name(l), VERIFY_REPORTED, "enforced%s", abi);
	else
		verify_say(v, layer_name(l), lacking(v, l, need), "%s%s%s%s",
		    layer_state_name((enum layer_state)rep.state[l]), rep.err[l] != 0 ? ": " : "",
		    rep.err[l] != 0 ? errno_name(rep.err[l]) : "", abi);
}

/* The kernel shows it; the report only tells what a lower one means. */
static void
check_score(struct verify *v, const struct policy *p)
{
	int adj = v->process->oom_score_adj;
	struct layer_report rep = {0};
	bool had = report_of(v, LAYER_OOM_SCORE, &rep) &&
	    rep.state[LAYER_OOM_SCORE] == LAYER_ENFORCED;

	if (p->oom_need == NEED_OFF)
		return;
	if (adj >= (int)p->oom_score)
		verify_say(v, layer_name(LAYER_OOM_SCORE), VERIFY_HOLDS, "oom_score_adj %d", adj);
	else
		verify_say(v, layer_name(LAYER_OOM_SCORE),
		    had ? VERIFY_DIFFERS : lacking(v, LAYER_OOM_SCORE, p->oom_need),
		    "oom_score_adj %d is below %u", adj, p->oom_score);
}

void
verify_layers(struct verify *v)
{
	const struct policy *p = &v->policies->policy[v->phase->layers];
	/* An ordinary user without a user namespace cannot lock securebits. */
	bool may = v->supervisor->uid[1] == 0 ||
	    v->process->ns[PNS_USER].ino != v->supervisor->ns[PNS_USER].ino;

	check_state(v, p);
	check_ids(v, p);
	check_caps(v, p);
	check_namespaces(v, p);
	check_root(v, p);
	check_limits(v, p);
	if (v->role != VROLE_SUPERVISOR)
		check_reported(v, LAYER_SECUREBITS, may ? p->caps_need : NEED_OPTIONAL, 0);
	check_reported(v, LAYER_NESTING, p->nesting, 0);
	check_score(v, p);
	check_reported(v, LAYER_MDWE, p->mdwe, 0);
	check_reported(v, LAYER_LANDLOCK, p->landlock, p->landlock_min_abi);
	check_reported(v, LAYER_SECRET_MEM, p->secret_memory, 0);
}
