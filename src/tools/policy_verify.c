/*
 * `gatehouse policy verify PID`: whose process is it, which policy should hold,
 * does it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/str.h"
#include "policy/internal.h"
#include "supervisor/plan.h"
#include "tools/policy_cmd.h"
#include "tools/policy_text.h"
#include "tools/verify.h"

#define DIFFERS 1 /* status */

/* Some megabytes. */
struct work {
	struct config conf;
	struct policy_set policies;
	struct record record;
	uid_t owner; /* of the record: whom the supervisor runs as */
	struct procview process, supervisor;
	struct held held, outer;
	struct verify v;
};

static const char *const state_names[] = {[VERIFY_HOLDS] = "holds",
    [VERIFY_REPORTED] = "reported", [VERIFY_ABSENT] = "absent", [VERIFY_UNSEEN] = "unseen",
    [VERIFY_DIFFERS] = "differs"};

const char *
verify_state_name(enum verify_state s)
{
	return state_names[s];
}

/* ---- whose is it ------------------------------------------------------------ */

static bool
read_record(int dir, const char *name, struct record *r, uid_t *owner)
{
	char text[RECORD_BYTES_MAX + 1];
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	ssize_t n = -1;

	if (fd == -1)
		return false;
	/* Written by root or by whoever started that supervisor, and by nobody else. */
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 022) == 0)
		n = read(fd, text, sizeof(text));
	close(fd);
	*owner = n >= 0 ? st.st_uid : (uid_t)-1;
	return n >= 0 && record_parse(r, text, (size_t)n);
}

/* The entry of this very process. */
static const struct record_entry *
entry_of(const struct record *r, pid_t pid, unsigned long long started)
{
	for (unsigned int i = 0; i < r->n; i++)
		if (r->entry[i].pid == pid && pid != 0 && r->entry[i].started == started)
			return &r->entry[i];
	return NULL;
}

static bool
role_of(struct work *w, const struct record *r)
{
	static const struct {
		const char *what;
		enum verify_role role;
	} helpers[] = {{"gatehouse", VROLE_SUPERVISOR}, {"gatehouse-launcher", VROLE_LAUNCHER},
	    {"gatehouse-auth", VROLE_AUTH}, {"gatehouse-keys", VROLE_KEYS}};
	const struct record_entry *e = entry_of(r, w->process.pid, w->process.started);

	if (e == NULL) {
		/* A worker is the launcher's child, whoever forked it. */
		e = entry_of(r, w->process.ppid, record_start_time(w->process.ppid));
		w->v.role = VROLE_WORKER;
		return e != NULL && strcmp(e->what, "gatehouse-launcher") == 0;
	}
	for (size_t i = 0; i < sizeof(helpers) / sizeof(helpers[0]); i++) {
		if (strcmp(e->what, helpers[i].what) == 0) {
			w->v.role = helpers[i].role;
			w->v.reported = e;
			return true;
		}
	}
	return false;
}

/* Among all generations that base_dir records. */
static bool
find_process(struct work *w)
{
	DIR *d = opendir(w->conf.base_dir);
	bool found = false;
	struct dirent *e;

	while (d != NULL && !found && (e = readdir(d)) != NULL)
		found = strncmp(e->d_name, "layers.", 7) == 0 &&
		    read_record(dirfd(d), e->d_name, &w->record, &w->owner) && role_of(w, &w->record);
	if (d != NULL)
		closedir(d);
	return found;
}

/* As the supervisor does (supervisor/plan.c). */
static int
expected_ids(struct work *w, struct diag *d)
{
	const struct config *c = &w->conf;
	struct verify *v = &w->v;

	v->uid = w->supervisor.uid[1];
	v->gid = w->supervisor.gid[1];
	if (w->supervisor.uid[1] != 0 || v->role == VROLE_SUPERVISOR)
		return 0;
	if (v->role == VROLE_AUTH)
		return config_account(c->default_internal_user, "default_internal_user", &v->uid,
		    &v->gid, d);
	if (v->role == VROLE_KEYS)
		return config_account(c->default_keys_user, "default_keys_user", &v->uid, &v->gid, d);
	return config_account(c->default_login_user, "default_login_user", &v->uid, &v->gid, d);
}

/* Filters that the supervisor itself lives under are not gatehouse's; what is
 * true of its surroundings is what "the host's" means. */
static bool
see_supervisor(struct work *w, char *why, size_t cap)
{
	pid_t pid = w->record.supervisor;

	if (pid == w->process.pid) {
		w->supervisor = w->process;
		w->supervisor.fds = NULL;
		w->supervisor.nfds = 0;
		w->v.outer = w->held.nfilters;
		return true;
	}
	if (w->process.ppid != pid && w->v.role != VROLE_WORKER) {
		snprintf(why, cap, "its supervisor (%d) has ended", (int)pid);
		return false;
	}
	if (held_take(&w->outer, pid, why, cap) != HELD_YES ||
	    procview_read(&w->supervisor, pid) == -1) {
		snprintf(why, cap, "its supervisor (%d) cannot be looked at", (int)pid);
		return false;
	}
	held_let_go(&w->outer);
	if (w->owner != 0 && w->owner != w->supervisor.uid[1]) {
		snprintf(why, cap, "the record about it is not its supervisor's (uid %u)", w->owner);
		return false;
	}
	for (unsigned int i = 0; i < w->outer.nfilters; i++)
		if (i >= w->held.nfilters || w->outer.filter[i].n != w->held.filter[i].n ||
		    memcmp(w->outer.filter[i].insn, w->held.filter[i].insn,
			w->outer.filter[i].n * sizeof(struct sock_filter)) != 0) {
			snprintf(why, cap, "it does not have the filters that its supervisor has");
			return false;
		}
	w->v.outer = w->outer.nfilters;
	return true;
}

/* ---- what came of it -------------------------------------------------------- */

static void
print_text(const struct work *w, bool good)
{
	const struct verify *v = &w->v;

	printf("%d %s (generation %u): ", (int)w->process.pid, w->process.name,
	    w->record.generation);
	if (v->phase != NULL)
		printf("phase %s, policy %s, fingerprint %s\n", v->phase->name,
		    policy_file_name(v->phase->rights), v->policies->fingerprint[v->phase->rights]);
	else
		printf("no policy of %s fits\n", w->conf.policy_dir);
	for (unsigned int i = 0; i < v->nrows; i++)
		printf("%-9s %-26s %s\n", verify_state_name(v->row[i].state), v->row[i].what,
		    v->row[i].text);
	printf("%s\n", good ? "the process is what its policy says"
			    : "the process is NOT what its policy says");
}

static void
print_json(const struct work *w, bool good, const char *why)
{
	const struct verify *v = &w->v;

	printf("{\"pid\":%d,\"name\":", (int)w->process.pid);
	json_string(stdout, w->process.name);
	printf(",\"verified\":%s,\"generation\":%u,\"phase\":", good ? "true" : "false",
	    w->record.generation);
	json_string(stdout, v->phase != NULL ? v->phase->name : "");
	printf(",\"policy\":\"%s\",\"fingerprint\":\"%s\",\"reason\":",
	    v->phase != NULL ? policy_file_name(v->phase->rights) : "",
	    v->phase != NULL ? v->policies->fingerprint[v->phase->rights] : "");
	json_string(stdout, why);
	printf(",\"checks\":[");
	for (unsigned int i = 0; i < v->nrows; i++) {
		printf("%s{\"check\":\"%s\",\"state\":\"%s\",\"text\":", i > 0 ? "," : "",
		    v->row[i].what, verify_state_name(v->row[i].state));
		json_string(stdout, v->row[i].text);
		printf("}");
	}
	printf("]}\n");
}

static int
answer(const struct work *w, const struct policy_args *args, const char *why)
{
	bool differs = w->v.phase == NULL, unseen = false;

	for (unsigned int i = 0; i < w->v.nrows; i++) {
		differs = differs || w->v.row[i].state == VERIFY_DIFFERS;
		unseen = unseen || w->v.row[i].state == VERIFY_UNSEEN;
	}
	if (args->json)
		print_json(w, !differs && !unseen, why);
	else if (why[0] != '\0')
		printf("%d %s: NOT verified: %s\n", (int)w->process.pid, w->process.name, why);
	else
		print_text(w, !differs && !unseen);
	return differs ? DIFFERS : unseen ? EX_UNAVAILABLE : EX_OK;
}

static int
look(struct work *w, const struct policy_args *args, pid_t pid)
{
	struct verify *v = &w->v;
	enum held_result held;
	struct diag d = {0};
	char why[640] = "";

	w->process.pid = pid;
	held = held_take(&w->held, pid, why, sizeof(why));
	if (held == HELD_BLIND) {
		fprintf(stderr, "gatehouse policy: %s\n", why);
		return EX_UNAVAILABLE;
	}
	if (held != HELD_YES || procview_read(&w->process, pid) == -1)
		return answer(w, args, why[0] != '\0' ? why : strerror(errno));
	held_let_go(&w->held); /* everything of it has been read: it need not wait */
	if (!find_process(w)) {
		snprintf(why, sizeof(why), "no gatehouse that %s records has such a process (its "
		    "program is %s)", w->conf.base_dir, w->process.exe);
		return answer(w, args, why);
	}
	if (!see_supervisor(w, why, sizeof(why)))
		return answer(w, args, why);
	if (expected_ids(w, &d) == -1) {
		policy_complain(&d);
		return EX_CONFIG;
	}
	v->conf = &w->conf;
	v->policies = &w->policies;
	v->record = &w->record;
	v->process = &w->process;
	v->supervisor = &w->supervisor;
	v->held = &w->held;
	verify_filters(v);
	if (v->phase != NULL) {
		verify_layers(v);
		verify_fds(v);
	}
	return answer(w, args, "");
}

static int
load(struct work *w, const struct policy_args *args)
{
	struct diag d = {0};

	config_defaults(&w->conf);
	plan_build_tree(&w->conf);
	if (config_load(&w->conf, args->config, NULL, &d) == 0 &&
	    policy_set_load(&w->policies, args->dir_given ? args->dir : w->conf.policy_dir,
		w->conf.site_policy_dir, w->conf.policy_allow_widen, &d) == 0)
		return EX_OK;
	policy_complain(&d);
	return EX_CONFIG;
}

int
policy_cmd_verify(const struct policy_args *args)
{
	struct work *w = calloc(1, sizeof(*w));
	uint64_t pid;
	int status;

	if (!str_to_u64(args->argv[0], INT32_MAX, &pid) || pid == 0) {
		fprintf(stderr, "gatehouse policy: \"%s\" is no process id\n", args->argv[0]);
		free(w);
		return EX_USAGE;
	}
	if (geteuid() != 0) {
		fprintf(stderr, "gatehouse policy: verify needs root: the kernel shows filters, "
		    "namespaces and descriptors of other processes to nobody else\n");
		free(w);
		return EX_NOPERM;
	}
	if (w == NULL)
		return EX_OSERR;
	status = load(w, args);
	if (status == EX_OK)
		status = look(w, args, (pid_t)pid);
	held_release(&w->outer);
	held_release(&w->held);
	procview_free(&w->process);
	procview_free(&w->supervisor);
	policy_set_free(&w->policies);
	free(w);
	return status;
}
