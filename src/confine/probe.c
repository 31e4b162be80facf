/*
 * What this kernel and this user could enforce, tried in a child.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine/internal.h"
#include "confine/landlock.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

static int
try_secret(void)
{
	long fd = syscall(SYS_memfd_secret, O_CLOEXEC);

	if (fd == -1)
		return -1;
	close((int)fd);
	return 0;
}

static int
try_seccomp(void)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog prog = {.len = 1, .filter = &allow};

	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog);
}

static void __attribute__((noreturn))
last_steps(struct entering *e, int fd)
{
	int abi;

	if (root_enter(e) && caps_enter(e))
		step(e, LAYER_NO_NEW_PRIVS, NEED_OPTIONAL, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "");
	step(e, LAYER_SECRET_MEM, NEED_OPTIONAL, try_secret(), "");
	step(e, LAYER_DUMPABLE, NEED_OPTIONAL, prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "");
	step(e, LAYER_MDWE, NEED_OPTIONAL, prctl(PR_SET_MDWE, 1, 0, 0, 0), "");
	abi = landlock_abi();
	e->rep.landlock_abi = (uint8_t)abi;
	step(e, LAYER_LANDLOCK, NEED_OPTIONAL, abi > 0 ? landlock_enter(abi, false) : -1, "");
	step(e, LAYER_SECCOMP, NEED_OPTIONAL, try_seccomp(), "");
	_exit(write(fd, &e->rep, sizeof(e->rep)) == (ssize_t)sizeof(e->rep) ? 0 : 1);
}

static void __attribute__((noreturn))
try_all(const struct policy *p, int fd)
{
	struct confine_req req = {.policy = p, .name = "probe", .uid = (uid_t)-1,
	    .optional = ~UINT64_C(0) & ~(UINT64_C(1) << LAYER_ROOT)};
	struct entering e = {.req = &req};
	int status;
	pid_t pid;

	if (ns_enter_user(&e))
		ns_enter_rest(&e);
	pid = fork();
	if (pid == 0)
		last_steps(&e, fd);
	_exit(pid != -1 && waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 1);
}

void
confine_probe(struct layer_report *rep)
{
	static struct policy p;
	int fds[2];
	pid_t pid;

	memset(rep, 0, sizeof(*rep));
	memset(&p, 0, sizeof(p));
	for (int i = 0; i < PNS__MAX; i++)
		p.ns[i] = NEED_OPTIONAL;
	p.root = PROOT_EMPTY;
	p.root_need = NEED_OPTIONAL;
	if (pipe2(fds, O_CLOEXEC) == -1)
		return;
	pid = fork();
	if (pid == 0)
		try_all(&p, fds[1]);
	close(fds[1]);
	if (pid != -1 && read(fds[0], rep, sizeof(*rep)) != (ssize_t)sizeof(*rep))
		memset(rep, 0, sizeof(*rep));
	close(fds[0]);
	if (pid != -1)
		waitpid(pid, NULL, 0);
}
