/*
 * Probes of single kernel features and the settings that bear on them.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/str.h"
#include "confine/confine.h"
#include "confine/landlock.h"
#include "tools/doctor.h"
#include "tools/held.h"

#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#define LANDLOCK_ERRATA 2u /* flag of landlock_create_ruleset, Linux 6.15 */
#define MEMLOCK_WANTED (4u << 20)

/* ---- single features: 0 or an errno, in a child --------------------------------- */

static int
result(long rv)
{
	return rv == -1 ? errno : 0;
}

static int
try_close_range(void)
{
	return result(syscall(SYS_close_range, 1000, 1000, 0));
}

static int
try_pidfd(void)
{
	return result(syscall(SYS_pidfd_open, getpid(), 0));
}

static int
try_fork(void)
{
	int pidfd = -1;
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, &pidfd, 0, 0);

	if (pid == 0)
		_exit(0);
	return result(pid);
}

static int
try_mseal(void)
{
	void *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? errno : result(syscall(SYS_mseal, p, 4096UL, 0UL));
}

/* A sealed copy of this program is started: what happens to every helper. */
static int
try_sealed_program(void)
{
	char name[] = "gatehouse", arg[] = "--version";
	char *argv[] = {name, arg, NULL}, *envp[] = {NULL};
	int fd = confine_seal_image("/proc/self/exe", name), null = open("/dev/null", O_WRONLY), status;
	pid_t pid;

	if (fd == -1 || (pid = fork()) == -1)
		return errno;
	if (pid == 0) {
		dup2(null, STDOUT_FILENO);
		syscall(SYS_execveat, fd, "", argv, envp, AT_EMPTY_PATH);
		_exit(errno & 0xff);
	}
	if (waitpid(pid, &status, 0) != pid)
		return errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EPERM;
}

static struct sock_fprog *
allow_all(void)
{
	static struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	static struct sock_fprog prog = {.len = 1, .filter = &allow};

	return &prog;
}

static int
try_notification(void)
{
	struct seccomp_notif_sizes sizes;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) == -1)
		return errno;
	return result(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
	    SECCOMP_FILTER_FLAG_NEW_LISTENER, allow_all()));
}

static int
try_reading_filters(void)
{
	enum held_result r;
	struct held h;
	char why[200];
	pid_t pid = fork();
	int err = EPERM;

	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
			syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, allow_all());
		for (;;)
			pause();
	}
	if (pid == -1)
		return errno;
	/* The child needs a moment before it has one. */
	for (int i = 0; i < 1000; i++) {
		r = held_take(&h, pid, why, sizeof(why));
		err = r == HELD_YES ? (h.nfilters > 0 ? 0 : EAGAIN) : errno != 0 ? errno : EPERM;
		held_release(&h);
		if (err != EAGAIN)
			break;
		usleep(1000);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return err;
}

static const struct feature {
	const char *what;
	int (*try)(void);
	enum layer_need need;
	const char *present, *missing, *way_out;
} features[] = {
    {"sealed programs", try_sealed_program, NEED_REQUIRED,
	"helpers and workers are executed from sealed memory: their root holds no file",
	"nothing can be started",
	"sysctl vm.memfd_noexec must not be 2; Linux has execveat since 3.19"},
    {"clone", try_fork, NEED_REQUIRED, "the launcher and the template start processes",
	"nothing can be started", "limits of processes, or a filter around us"},
    {"close_range", try_close_range, NEED_REQUIRED,
	"a new process keeps its fixed descriptors and nothing else", "nothing can be started",
	"Linux has it since 5.9; a container's seccomp profile may hide it"},
    {"pidfd", try_pidfd, NEED_OPTIONAL,
	"what a dead supervisor left is ended without mistaking a pid for another",
	"what a dead supervisor left has to be ended by hand", "Linux has it since 5.3"},
    {"mseal", try_mseal, NEED_OPTIONAL,
	"the mapping of the later filters can be neither moved nor replaced",
	"the mapping of the later filters is only read-only: nothing else in it may be changed "
	"anyway, since no policy of a worker has mmap", "Linux has it since 6.10"},
    {"user notification", try_notification, NEED_OFF, "`gatehouse policy trace' works",
	"`gatehouse policy trace' does not work", "Linux has it since 5.5, and it cannot be nested"},
    {"reading filters", try_reading_filters, NEED_OFF,
	"`gatehouse policy verify' and `count --pid' work",
	"`gatehouse policy verify' and `count --pid' do not work",
	"needs root and CONFIG_CHECKPOINT_RESTORE, and no filter around us"},
};

/* In a child, so that nothing of it stays. */
static int
in_child(int (*try)(void))
{
	int status, fds[2], err = ECHILD;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) == -1)
		return errno;
	pid = fork();
	if (pid == 0) {
		err = try();
		_exit(write(fds[1], &err, sizeof(err)) == (ssize_t)sizeof(err) ? 0 : 1);
	}
	close(fds[1]);
	/* A filter that kills what it does not know ends the child without a word. */
	if (pid != -1 && read(fds[0], &err, sizeof(err)) != (ssize_t)sizeof(err))
		err = EPERM;
	close(fds[0]);
	if (pid != -1)
		waitpid(pid, &status, 0);
	return err;
}

static struct doctor_item *
item(struct doctor_item *items, unsigned int *n, const char *what)
{
	static struct doctor_item none; /* more than there are */
	struct doctor_item *i = *n < DOCTOR_ITEMS_MAX ? &items[(*n)++] : &none;

	memset(i, 0, sizeof(*i));
	i->what = what;
	i->state = LAYER_ENFORCED;
	return i;
}

static void
probe_features(struct doctor_item *items, unsigned int *n)
{
	for (size_t k = 0; k < sizeof(features) / sizeof(features[0]); k++) {
		const struct feature *f = &features[k];
		struct doctor_item *i = item(items, n, f->what);

		i->err = in_child(f->try);
		i->state = i->err == 0 ? LAYER_ENFORCED
		    : i->err == ENOSYS || i->err == EINVAL ? LAYER_ABSENT
							   : LAYER_REFUSED;
		i->need = f->need;
		i->follows = i->err == 0 ? f->present : f->missing;
		i->way_out = i->err == 0 ? NULL : f->way_out;
	}
}

/* ---- what can be asked for without trying ------------------------------------- */

static void
probe_actions(struct doctor_item *items, unsigned int *n)
{
	static const struct {
		const char *what;
		uint32_t action;
		enum layer_need need;
		const char *present, *missing;
	} actions[] = {
	    {"seccomp kill-process", SECCOMP_RET_KILL_PROCESS, NEED_REQUIRED,
		"a denied call ends the process", "no policy can be installed (Linux 4.14)"},
	    {"seccomp errno", SECCOMP_RET_ERRNO, NEED_REQUIRED, "calls can be answered with an error",
		"no policy with an errno rule can be installed"},
	    {"seccomp log", SECCOMP_RET_LOG, NEED_OPTIONAL, "rules with the word log are possible",
		"policies with a log rule do not work (Linux 4.14)"},
	};

	for (size_t k = 0; k < sizeof(actions) / sizeof(actions[0]); k++) {
		struct doctor_item *i = item(items, n, actions[k].what);

		if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &actions[k].action) == -1) {
			i->err = errno;
			i->state = LAYER_ABSENT;
			i->way_out = "CONFIG_SECCOMP_FILTER, and a newer kernel";
		}
		i->need = actions[k].need;
		i->follows = i->err == 0 ? actions[k].present : actions[k].missing;
	}
}

static void
probe_landlock_errata(struct doctor_item *items, unsigned int *n)
{
	struct doctor_item *i;
	long errata;

	if (landlock_abi() == 0)
		return; /* the layer itself says so */
	i = item(items, n, "landlock errata");
#ifdef SYS_landlock_create_ruleset
	errata = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, LANDLOCK_ERRATA);
#else
	errata = syscall(444, NULL, (size_t)0, LANDLOCK_ERRATA);
#endif
	i->follows = "faults of Landlock that this kernel has mended";
	if (errata >= 0) {
		snprintf(i->detail, sizeof(i->detail), "0x%lx", errata);
		return;
	}
	i->state = LAYER_ABSENT;
	i->err = errno;
	i->follows = "the kernel does not say which faults of Landlock it has mended";
}

static void
probe_memlock(struct doctor_item *items, unsigned int *n)
{
	struct doctor_item *i = item(items, n, "memlock limit");
	struct rlimit l = {0};

	getrlimit(RLIMIT_MEMLOCK, &l);
	if (l.rlim_max == RLIM_INFINITY)
		snprintf(i->detail, sizeof(i->detail), "unlimited");
	else
		snprintf(i->detail, sizeof(i->detail), "%llu KiB", (unsigned long long)l.rlim_max >> 10);
	i->need = NEED_OPTIONAL;
	i->follows = "the key signer's secret memory fits in";
	if (l.rlim_max != RLIM_INFINITY && l.rlim_max < MEMLOCK_WANTED) {
		i->state = LAYER_REFUSED;
		i->err = ENOMEM;
		i->follows = "the key signer gets no secret memory, and its keys may be swapped out";
		i->way_out = "raise LimitMEMLOCK (ulimit -l) to 8 MiB";
	}
}

/* Settings of the machine: good is what does not stand in our way. */
static const struct knob {
	const char *path;
	unsigned long least, most;
	const char *present, *missing, *way_out;
} knobs[] = {
    {"user/max_user_namespaces", 1, ~0UL, "user namespaces are not limited to none",
	"no user namespaces: an ordinary user has no namespaces at all",
	"sysctl user.max_user_namespaces=10000"},
    {"kernel/unprivileged_userns_clone", 1, 1, "ordinary users may make user namespaces",
	"ordinary users may not make user namespaces", "sysctl kernel.unprivileged_userns_clone=1"},
    {"kernel/apparmor_restrict_unprivileged_userns", 0, 0,
	"AppArmor leaves user namespaces their rights",
	"a user namespace of an ordinary user gives no right to mount",
	"sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile with `userns,'"},
    {"vm/memfd_noexec", 0, 1, "programs may be executed from sealed memory",
	"nothing can be started", "sysctl vm.memfd_noexec=1"},
    {"kernel/yama/ptrace_scope", 0, 2, "root may look at processes (policy verify)",
	"nobody may look at processes: policy verify does not work",
	"sysctl kernel.yama.ptrace_scope=1 (3 cannot be taken back before the next boot)"},
};

static void
probe_knobs(struct doctor_item *items, unsigned int *n)
{
	for (size_t k = 0; k < sizeof(knobs) / sizeof(knobs[0]); k++) {
		struct doctor_item *i = item(items, n, knobs[k].path);
		unsigned long value = 0;
		char path[96];
		FILE *f;

		snprintf(path, sizeof(path), "/proc/sys/%s", knobs[k].path);
		f = fopen(path, "re");
		i->follows = knobs[k].present;
		if (f == NULL || fscanf(f, "%lu", &value) != 1) {
			i->state = LAYER_ABSENT;
			i->follows = "this kernel has no such setting: it stands in nobody's way";
		} else if (value < knobs[k].least || value > knobs[k].most) {
			i->state = LAYER_REFUSED;
			i->follows = knobs[k].missing;
			i->way_out = knobs[k].way_out;
		}
		if (f != NULL) {
			fclose(f);
			snprintf(i->detail, sizeof(i->detail), "%lu", value);
		}
	}
}

void
doctor_probe_kernel(struct doctor_item *items, unsigned int *n)
{
	struct doctor_item *i = item(items, n, "kernel");
	struct utsname u;

	uname(&u);
	snprintf(i->detail, sizeof(i->detail), "%.40s %.40s, %s", u.sysname, u.release,
	    geteuid() == 0 ? "root" : "an ordinary user");
	i->follows = geteuid() == 0 ? "every process gets an account of its own, low ports can be bound"
				    : "all processes share one account; ports from 1024 on";
	probe_actions(items, n);
	probe_landlock_errata(items, n);
	probe_features(items, n);
	probe_memlock(items, n);
	probe_knobs(items, n);
}
