#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/log.h"
#include "ipc/fds.h"
#include "launcher/launcher.h"

/* The fixed numbers of a new worker (ipc/fds.h); everything else is closed. */
static bool
place(int control)
{
	return dup2(FD_WORKER_LOG, FD_LOG) != -1 && dup2(control, FD_CONTROL) != -1 &&
	    dup2(FD_WORKER_SETTINGS, FD_SETTINGS) != -1 &&
	    dup2(FD_WORKER_FILTERS, FD_FILTERS) != -1 &&
	    dup3(FD_WORKER_IMAGE, FD_IMAGE, O_CLOEXEC) != -1 && close_range(0, 1, 0) == 0 &&
	    close_range(FD_LOG + 1, FD_CONTROL - 1, 0) == 0 && close_range(FD_IMAGE + 1, ~0U, 0) == 0;
}

static void __attribute__((noreturn))
child(enum service s, uint8_t model, uint64_t vsz_limit, int control)
{
	static const char *const modes[] = {
	    [MODEL_FORK] = "template", [MODEL_EXEC] = "exec", [MODEL_POOLED] = "pool"};
	char name[] = "gatehouse-login";
	char *argv[] = {name, (char *)(uintptr_t)modes[model], (char *)(uintptr_t)service_name(s),
	    NULL};
	char *envp[] = {NULL};
	struct rlimit as = {.rlim_cur = vsz_limit, .rlim_max = vsz_limit};
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (!place(control))
		fatal(71, "cannot place a worker's descriptors");
	if (vsz_limit != 0 && setrlimit(RLIMIT_AS, &as) == -1)
		fatal(71, "cannot limit a worker's address space");
	syscall(SYS_execveat, FD_IMAGE, "", argv, envp, AT_EMPTY_PATH);
	fatal(71, "cannot execute the worker image");
}

int
spawn_worker(enum service s, const struct service_settings *set, pid_t *pid)
{
	int pair[2], score;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == -1)
		return -1;
	/* A score is inherited, and cannot be had behind the fork: there is no /proc. */
	*pid = -1;
	if (score_raise(set->oom_score, &score) == 0) {
		*pid = fork();
		if (*pid == 0)
			child(s, set->model, set->vsz_limit, pair[1]);
		score_back(score);
	}
	close(pair[1]);
	if (*pid == -1) {
		int saved = errno;

		close(pair[0]);
		errno = saved;
		return -1;
	}
	return pair[0];
}
