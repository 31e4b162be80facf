/*
 * What a forked worker pays for its filter, once for each connection: the
 * difference to the template's against the whole, and against a program of one
 * instruction, which is what any installation costs.  Side by side, in children
 * that have the launcher's and the template's filters, as a worker has.
 * scripts/bench builds and runs it, from the top of the source tree.
 */
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ipc/filters.h"
#include "policy/policy.h"

#define ROUNDS 301

static struct policy_set set;

static struct sock_fprog
program(const struct policy_bpf *b)
{
	return (struct sock_fprog){.len = (unsigned short)b->n, .filter = b->insn};
}

static int
install(const struct policy_bpf *b)
{
	struct sock_fprog prog = program(b);

	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog);
}

static double
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* In a new child: how long installing slot takes; -1 if it cannot be done. */
static double
one(enum filter_slot slot, volatile double *shared)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		double began;

		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
		    install(&set.whole[POL_LAUNCHER]) == -1 || filters_install(FILTER_TEMPLATE) == -1)
			_exit(1);
		began = now_us();
		if (filters_install(slot) == -1)
			_exit(2);
		*shared = now_us() - began;
		syscall(SYS_exit_group, 0);
	}
	if (pid == -1 || waitpid(pid, &status, 0) != pid || status != 0)
		return -1;
	return *shared;
}

static int
rising(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double
median(double *v)
{
	qsort(v, ROUNDS, sizeof(*v), rising);
	return v[ROUNDS / 2];
}

/* The template lets a child install two: what is compared with the difference
 * lies in the slot of the other.  The median, in microseconds; -1. */
static double
cost(const struct policy_bpf *other, double *difference)
{
	struct sock_fprog slots[FILTER__MAX] = {0};
	double theirs[ROUNDS], ours[ROUNDS];
	volatile double *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int fd;

	slots[FILTER_TEMPLATE] = program(&set.whole[POL_TEMPLATE]);
	slots[FILTER_LOGIN] = program(&set.login_diff);
	slots[FILTER_TLS_PROXY] = program(other);
	fd = filters_make(slots);
	if (shared == MAP_FAILED || fd == -1 || filters_map(fd) == -1)
		return -1;
	for (int i = 0; i < ROUNDS; i++) {
		theirs[i] = one(FILTER_TLS_PROXY, shared);
		ours[i] = one(FILTER_LOGIN, shared);
		if (theirs[i] < 0 || ours[i] < 0)
			return -1;
	}
	*difference = median(ours);
	return median(theirs);
}

/* Filters are mapped for good: each comparison in a process of its own. */
static int
compare(const char *name, const struct policy_bpf *other)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		double ours = 0, theirs = cost(other, &ours);

		printf("login difference (%zu instructions) %.1f us, %s (%zu) %.1f us: %.2f\n",
		    set.login_diff.n, ours, name, other->n, theirs, theirs > 0 ? ours / theirs : -1);
		exit(theirs > 0 ? 0 : 1);
	}
	return pid != -1 && waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

int
main(void)
{
	static struct sock_filter insn[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	static const struct policy_bpf empty = {.insn = insn, .n = 1};
	struct diag d = {0};

	if (policy_set_load(&set, "policy", NULL, false, &d) == -1) {
		fprintf(stderr, "%s: %s\n", d.file, d.text);
		return 1;
	}
	fflush(stdout);
	return compare("whole", &set.whole[POL_LOGIN]) == 0 && compare("nothing", &empty) == 0 ? 0 : 1;
}
