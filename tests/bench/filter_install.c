/*
 * What a worker pays for its filter, once for each connection: a forked one installs
 * the difference to its template's, an exec'd one the whole; beside them a program of
 * one instruction, which is what any installation costs.  Side by side, each in
 * children that have the filters that such a worker has: the kernel tries a new filter
 * with every call that those before it let through whatever its arguments
 * (seccomp_cache_prepare), and behind a template's few are left.
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

/* In a new child, forked by a template or not: how long installing slot takes; -1 if
 * it cannot be done. */
static double
one(enum filter_slot slot, volatile double *shared)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		double began;

		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
		    install(&set.whole[POL_LAUNCHER]) == -1 ||
		    (slot != FILTER_LOGIN_FULL && filters_install(FILTER_TEMPLATE) == -1))
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

/* What is compared, each in a slot of its own. */
enum { NOTHING, DIFFERENCE, WHOLE, KINDS };

/* Side by side: a program of one instruction, the difference, the whole. */
static int
measure(double v[KINDS][ROUNDS])
{
	static const enum filter_slot slot_of[KINDS] = {
	    [NOTHING] = FILTER_TLS_PROXY, [DIFFERENCE] = FILTER_LOGIN, [WHOLE] = FILTER_LOGIN_FULL};
	static struct sock_filter insn[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_fprog slots[FILTER__MAX] = {0};
	volatile double *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int fd;

	slots[FILTER_TEMPLATE] = program(&set.whole[POL_TEMPLATE]);
	slots[FILTER_TLS_PROXY] = (struct sock_fprog){.len = 1, .filter = insn};
	slots[FILTER_LOGIN] = program(&set.login_diff);
	slots[FILTER_LOGIN_FULL] = program(&set.whole[POL_LOGIN]);
	fd = filters_make(slots);
	if (shared == MAP_FAILED || fd == -1 || filters_map(fd) == -1)
		return -1;
	for (int i = 0; i < ROUNDS; i++)
		for (int k = 0; k < KINDS; k++)
			if ((v[k][i] = one(slot_of[k], shared)) < 0)
				return -1;
	return 0;
}

int
main(void)
{
	static double v[KINDS][ROUNDS];
	double nothing, difference, whole;
	struct diag d = {0};

	if (policy_set_load(&set, "policy", NULL, false, &d) == -1) {
		fprintf(stderr, "%s: %s\n", d.file, d.text);
		return 1;
	}
	if (measure(v) == -1) {
		fprintf(stderr, "filter_install: a child could not install its filter\n");
		return 1;
	}
	nothing = median(v[NOTHING]);
	difference = median(v[DIFFERENCE]);
	whole = median(v[WHOLE]);
	printf("installing a filter, us, medians of %d: one instruction %.1f, "
	       "login difference (%zu) %.1f, whole (%zu) %.1f\n",
	    ROUNDS, nothing, set.login_diff.n, difference, set.whole[POL_LOGIN].n, whole);
	printf("difference to whole: %.2f; above one instruction: %.2f\n", difference / whole,
	    (difference - nothing) / (whole - nothing));
	return 0;
}
