/*
 * gatehouse confine: any program under a policy.  See gatehouse-confine(1).
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/str.h"
#include "config/config.h"
#include "confine/confine.h"
#include "ipc/fds.h"
#include "policy/eval.h"
#include "supervisor/plan.h"
#include "tools/policy_cmd.h"
#include "tools/tools.h"

static const char usage[] =
    "usage: gatehouse confine [-qv] [-c FILE] [-d DIR] [-m BYTES] [-o LAYERS] [-s DIR]\n"
    "                         POLICY [--] COMMAND [ARGUMENT...]\n"
    "POLICY is a path, or the name of a policy in DIR (-d).\n"
    "-c: accounts login, auth and keys as this configuration has them\n"
    "-m: at most that much address space   -s: the directory of `root sockets'\n"
    "-o: layers that may be missing, as in confine_optional (\"user net\")\n"
    "-v: say what holds   -q: do not even say what does not hold\n";

struct run {
	struct policy *policy;
	struct policy_bpf bpf;
	struct sock_fprog outer;
	struct late_plan early;
	struct landlock_rule reach[POLICY_REACH_MAX];
	struct confine_req req;
	char path[PATH_MAX];
	bool quiet, verbose;
};

static int
complain(const struct diag *d)
{
	char text[1200];

	diag_format(d, text, sizeof(text));
	fprintf(stderr, "gatehouse confine: %s\n", text);
	return -1;
}

/* ---- options -------------------------------------------------------------- */

static int
add_layer(uint64_t *bits, const char *word)
{
	for (int l = 0; l < LAYER__MAX; l++) {
		if (strcmp(layer_word((enum layer)l), word) == 0) {
			*bits |= UINT64_C(1) << l;
			return 0;
		}
	}
	fprintf(stderr, "gatehouse confine: there is no layer \"%s\"; these are:", word);
	for (int l = 0; l < LAYER__MAX; l++)
		fprintf(stderr, " %s", layer_word((enum layer)l));
	fprintf(stderr, "\n");
	return -1;
}

static int
add_layers(uint64_t *bits, const char *list)
{
	char word[32];

	while (*(list += strspn(list, " ,")) != '\0') {
		size_t len = strcspn(list, " ,");

		str_copy_n(word, sizeof(word), list, len);
		if (add_layer(bits, word) == -1)
			return -1;
		list += len;
	}
	return 0;
}

/* ---- who ------------------------------------------------------------------- */

static int
account(const struct config *c, enum policy_account a, uint32_t number, uid_t *uid, gid_t *gid)
{
	static const char *const settings[] = {[PACC_LOGIN] = "default_login_user",
	    [PACC_AUTH] = "default_internal_user", [PACC_KEYS] = "default_keys_user"};
	const char *name = a == PACC_LOGIN ? c->default_login_user
	    : a == PACC_AUTH		   ? c->default_internal_user
					   : c->default_keys_user;
	struct diag d = {0};

	*uid = a == PACC_NUMBER ? (uid_t)number : geteuid();
	*gid = a == PACC_NUMBER ? (gid_t)number : getegid();
	if (a == PACC_SELF || a == PACC_NUMBER ||
	    config_account(name, settings[a], uid, gid, &d) == 0)
		return 0;
	return complain(&d);
}

/* An ordinary user stays who he is, whatever the policy says. */
static int
identity(const struct config *c, const struct policy *p, struct confine_req *req)
{
	uid_t no_uid;
	gid_t no_gid;

	req->uid = (uid_t)-1;
	req->gid = (gid_t)-1;
	if (geteuid() != 0 || (p->uid == PACC_SELF && p->gid == PACC_SELF))
		return 0;
	if (account(c, p->uid, p->uid_number, &req->uid, &no_gid) == -1)
		return -1;
	return account(c, p->gid, p->gid_number, &no_uid, &req->gid);
}

/* ---- the program ----------------------------------------------------------- */

bool
find_program(const char *command, char *dst, size_t cap)
{
	const char *path = getenv("PATH"), *end;

	if (strchr(command, '/') != NULL)
		return str_copy(dst, cap, command) && access(dst, X_OK) == 0;
	for (; path != NULL; path = *end != '\0' ? end + 1 : NULL) {
		end = strchrnul(path, ':');
		if (end > path && (size_t)snprintf(dst, cap, "%.*s/%s", (int)(end - path), path,
			command) < cap && access(dst, X_OK) == 0)
			return true;
	}
	errno = ENOENT;
	return false;
}

/* Does it name a loader?  That one, and the libraries, would not be found. */
static bool
is_static(const char *path)
{
	Elf64_Ehdr eh;
	Elf64_Phdr ph;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool good = fd != -1 && read(fd, &eh, sizeof(eh)) == (ssize_t)sizeof(eh) &&
	    memcmp(eh.e_ident, ELFMAG, SELFMAG) == 0 && eh.e_phentsize == sizeof(ph);

	for (unsigned int i = 0; good && i < eh.e_phnum; i++)
		good = pread(fd, &ph, sizeof(ph), (off_t)(eh.e_phoff + i * sizeof(ph))) ==
			(ssize_t)sizeof(ph) && ph.p_type != PT_INTERP;
	if (fd != -1)
		close(fd);
	return good;
}

static int
open_program(struct run *r, const char *command)
{
	bool by_path = r->policy->root == PROOT_HOST &&
	    (r->policy->landlock == NEED_OFF || r->policy->nreach > 0);

	if (!find_program(command, r->path, sizeof(r->path))) {
		fprintf(stderr, "gatehouse confine: %s: %s\n", command, strerror(errno));
		return -1;
	}
	r->req.image_fd = -1;
	r->req.path = r->path;
	if (by_path)
		return 0;
	if (!is_static(r->path)) {
		fprintf(stderr, "gatehouse confine: %s is not a static program: behind an empty root "
		    "or Landlock its loader and libraries are not there (link it with -static-pie, or "
		    "use a policy with `root host' and `landlock off', or one that lets it execute paths)\n", r->path);
		return -1;
	}
	r->req.image_fd = confine_seal_image(r->path, r->req.name);
	if (r->req.image_fd != -1)
		return 0;
	fprintf(stderr, "gatehouse confine: %s: %s\n", r->path, strerror(errno));
	return -1;
}

/* What the policy names and we have; a closed one stays closed. */
static void
pass_fds(struct run *r)
{
	for (int fd = 0; fd < FD_FIRST_FREE; fd++) {
		bool named = false;

		for (unsigned int i = 0; i < r->policy->nfds; i++)
			if (fd >= r->policy->fds[i].number && fd <= r->policy->fds[i].last)
				named = true;
		if (!named || fcntl(fd, F_GETFD) == -1 ||
		    (fd == FD_IMAGE && r->req.image_fd != -1) || r->req.nfds == CONFINE_FDS_MAX)
			continue;
		r->req.fds[r->req.nfds++] = (struct confine_fd){.from = fd, .to = fd};
	}
}

static void
fill_reach(struct run *r)
{
	static const enum landlock_reach rights[] = {[PREACH_READ] = LANDLOCK_READ,
	    [PREACH_WRITE] = LANDLOCK_WRITE, [PREACH_EXECUTE] = LANDLOCK_EXECUTE,
	    [PREACH_BIND] = LANDLOCK_BIND, [PREACH_CONNECT] = LANDLOCK_CONNECT};

	for (unsigned int i = 0; i < r->policy->nreach; i++) {
		const struct policy_reach *have = &r->policy->reach[i];

		r->reach[i] = (struct landlock_rule){.port = have->port,
		    .path = have->kind < PREACH_BIND ? have->path : NULL,
		    .rights = landlock_reach(rights[have->kind])};
	}
	r->req.reach = r->reach;
	r->req.nreach = r->policy->nreach;
}

static int
prepare(struct run *r, const struct config *c, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	struct diag d = {0};

	r->req.policy = r->policy;
	r->req.name = slash != NULL ? slash + 1 : argv[0];
	r->req.argv = argv;
	r->req.envp = environ;
	if (identity(c, r->policy, &r->req) == -1 || open_program(r, argv[0]) == -1)
		return -1;
	if (r->policy->seccomp != NEED_OFF) {
		if (policy_compile(r->policy, policy_native_arch(), &r->bpf, &d) == -1)
			return complain(&d);
		r->outer.len = (unsigned short)r->bpf.n;
		r->outer.filter = r->bpf.insn;
		r->req.outer = &r->outer;
	}
	r->early.landlock = (uint8_t)r->policy->landlock;
	r->early.landlock_min_abi = (uint8_t)r->policy->landlock_min_abi;
	r->early.landlock_unix_dir = r->policy->root == PROOT_SOCKETS;
	r->early.mdwe = (uint8_t)r->policy->mdwe;
	r->req.early = &r->early;
	fill_reach(r);
	pass_fds(r);
	return 0;
}

/* ---- watching it ------------------------------------------------------------ */

static void
say_layers(const struct run *r, const struct layer_report *rep)
{
	struct layer_report bad = *rep;
	char text[1200];

	for (int l = 0; l < LAYER__MAX; l++)
		if (bad.state[l] == LAYER_ENFORCED && !r->verbose)
			bad.state[l] = LAYER_NOT_ASKED;
	layer_report_text(&bad, text, sizeof(text));
	if (text[0] != '\0' && !r->quiet)
		fprintf(stderr, "gatehouse confine: %s\n", text);
}

/* Is sig caught or ignored by the program?  PID 1 of a namespace that has done
 * neither does not even notice it. */
static bool
minds(pid_t pid, int sig)
{
	unsigned long long caught = 0, ignored = 0;
	char path[48], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return false;
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, "SigCgt:", 7) == 0)
			caught = strtoull(line + 7, NULL, 16);
		else if (strncmp(line, "SigIgn:", 7) == 0)
			ignored = strtoull(line + 7, NULL, 16);
	}
	fclose(f);
	return ((caught | ignored) >> (sig - 1) & 1) != 0;
}

static void
pass_signal(pid_t pid, const siginfo_t *si, const struct layer_report *rep, int *stands_for)
{
	/* One of the terminal's has reached the whole process group already. */
	if (si->si_code != SI_KERNEL)
		kill(pid, si->si_signo);
	if (rep->state[LAYER_PIDNS] == LAYER_ENFORCED && !minds(pid, si->si_signo)) {
		*stands_for = si->si_signo;
		kill(pid, SIGKILL);
	}
}

/* End as the program did. */
static int
end_like(int status, int stands_for)
{
	static const struct rlimit no_core;
	sigset_t one;
	int sig;

	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	sig = WTERMSIG(status);
	if (sig == SIGSYS)
		fprintf(stderr, "gatehouse confine: killed by SIGSYS: it made a system call that the "
		    "policy denies (kernel log: type=1326 names it)\n");
	if (sig == SIGKILL && stands_for != 0)
		sig = stands_for;
	setrlimit(RLIMIT_CORE, &no_core);
	signal(sig, SIG_DFL);
	sigemptyset(&one);
	sigaddset(&one, sig);
	raise(sig);
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	return 128 + sig;
}

static int
watch(pid_t pid, const sigset_t *set, const struct layer_report *rep)
{
	int stands_for = 0, status;

	for (;;) {
		siginfo_t si;

		if (waitpid(pid, &status, WNOHANG) == pid)
			return end_like(status, stands_for);
		if (sigwaitinfo(set, &si) != -1 && si.si_signo != SIGCHLD)
			pass_signal(pid, &si, rep, &stands_for);
	}
}

static int
execute(struct run *r)
{
	static const int signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGCHLD};
	struct layer_report rep;
	struct diag d = {0};
	sigset_t set;
	pid_t pid;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(&set, signals[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGCHLD, SIG_DFL); /* ignored, it would reap the child behind our back */
	if (confine_spawn(&r->req, SIGKILL, &pid, &rep, &d) == -1) {
		complain(&d);
		return EX_OSERR;
	}
	say_layers(r, &rep);
	return watch(pid, &set, &rep);
}

int
confine_main(int argc, char **argv)
{
	static struct config c;
	struct policy_args args = {.arch = policy_native_arch()};
	struct run r = {0};
	struct diag d = {0};
	int opt, status = EX_CONFIG;

	config_defaults(&c);
	plan_build_tree(&c);
	while ((opt = getopt(argc, argv, "+c:d:m:o:qs:v")) != -1) {
		if (opt == 'c' && config_load(&c, optarg, NULL, &d) == -1) {
			complain(&d);
			return EX_CONFIG;
		}
		if ((opt == 'm' && !str_to_u64(optarg, INT64_MAX, &r.req.vsz_limit)) ||
		    (opt == 'o' && add_layers(&r.req.optional, optarg) == -1) || opt == '?') {
			fputs(usage, stderr);
			return EX_USAGE;
		}
		if (opt == 'd')
			args.dir = optarg;
		if (opt == 's')
			r.req.root_dir = optarg;
		r.quiet = r.quiet || opt == 'q';
		r.verbose = r.verbose || opt == 'v';
	}
	argv += optind;
	if (argv[0] == NULL || argv[1] == NULL || (strcmp(argv[1], "--") == 0 && argv[2] == NULL)) {
		fputs(usage, stderr);
		return EX_USAGE;
	}
	if (args.dir == NULL)
		args.dir = c.policy_dir;
	r.policy = policy_open(&args, argv[0]);
	argv += strcmp(argv[1], "--") == 0 ? 2 : 1;
	if (r.policy != NULL && prepare(&r, &c, argv) == 0)
		status = execute(&r);
	policy_bpf_free(&r.bpf);
	free(r.policy);
	return status;
}
