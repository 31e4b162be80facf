#include "supervisor/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine/record.h"
#include "supervisor/logger.h"

#define ORPHAN_WAIT_MS 5000

static char base[PATH_MAX - 64], pid_path[PATH_MAX], list_path[PATH_MAX],
    stats_path[PATH_MAX];
static int lock_fd = -1;

int
rundir_lock(const char *base_dir, struct diag *d)
{
	char text[32] = "";
	ssize_t n;

	snprintf(base, sizeof(base), "%s", base_dir);
	snprintf(pid_path, sizeof(pid_path), "%s/gatehouse.pid", base);
	snprintf(list_path, sizeof(list_path), "%s/helpers", base);
	snprintf(stats_path, sizeof(stats_path), "%s/stats", base);
	/* Whoever reads the counters in it (stats) need not be root; umask says otherwise. */
	if (mkdir(base_dir, 0755) == 0 ? chmod(base_dir, 0755) == -1 : errno != EEXIST) {
		diag_set(d, NULL, 0, 0, "cannot make base_dir %s: %s", base_dir, strerror(errno));
		return -1;
	}
	lock_fd = open(pid_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (lock_fd == -1) {
		diag_set(d, NULL, 0, 0, "cannot open %s: %s", pid_path, strerror(errno));
		diag_hint(d, "base_dir must be writable for the account that starts gatehouse");
		return -1;
	}
	if (flock(lock_fd, LOCK_EX | LOCK_NB) == -1) {
		n = pread(lock_fd, text, sizeof(text) - 1, 0);
		text[n > 0 ? strcspn(text, "\n") : 0] = '\0';
		diag_set(d, NULL, 0, 0, "gatehouse is running already in %s (pid %s)", base_dir, text);
		diag_hint(d, "give a second instance a base_dir of its own");
		close(lock_fd);
		lock_fd = -1;
		return -1;
	}
	n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(lock_fd, 0) == -1 || pwrite(lock_fd, text, (size_t)n, 0) != n) {
		diag_set(d, NULL, 0, 0, "cannot write %s: %s", pid_path, strerror(errno));
		return -1;
	}
	return 0;
}

static bool
end_one(pid_t pid, unsigned long long started)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	bool ended = false;

	if (fd == -1)
		return false;
	/* The pidfd pins the process: if the start time fits now, it is the one. */
	if (record_start_time(pid) == started && syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0)
		ended = poll(&p, 1, ORPHAN_WAIT_MS) == 1;
	close(fd);
	return ended;
}

static void
record_path(unsigned int generation, char *dst, size_t cap)
{
	snprintf(dst, cap, "%s/layers.%u", base, generation);
}

void
rundir_record(const struct record *r)
{
	char path[PATH_MAX];

	record_path(r->generation, path, sizeof(path));
	if (record_write(path, r) == -1)
		logger_line('W', "cannot write %s: %s", path, strerror(errno));
}

void
rundir_forget(unsigned int generation)
{
	char path[PATH_MAX];

	record_path(generation, path, sizeof(path));
	unlink(path);
}

/* Those of a supervisor that died. */
static void
forget_all(void)
{
	DIR *d = opendir(base);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL)
		if (strncmp(e->d_name, "layers.", 7) == 0)
			unlinkat(dirfd(d), e->d_name, 0);
	if (d != NULL)
		closedir(d);
}

int
rundir_end_orphans(void)
{
	FILE *f = fopen(list_path, "re");
	unsigned long long started;
	int pid, ended = 0;

	forget_all();
	if (f == NULL)
		return 0;
	while (fscanf(f, "%d %llu\n", &pid, &started) == 2)
		if (pid > 1 && started > 0 && end_one(pid, started))
			ended++;
	fclose(f);
	unlink(list_path);
	return ended;
}

void
rundir_list(const pid_t *pids, unsigned int n)
{
	char tmp[PATH_MAX + 8];
	FILE *f;

	snprintf(tmp, sizeof(tmp), "%s.new", list_path);
	f = fopen(tmp, "we");
	if (f == NULL) {
		logger_line('W', "cannot write %s: %s", tmp, strerror(errno));
		return;
	}
	for (unsigned int i = 0; i < n; i++)
		fprintf(f, "%d %llu\n", (int)pids[i], record_start_time(pids[i]));
	fclose(f);
	rename(tmp, list_path);
}

void
rundir_stats(const struct stats *s)
{
	char tmp[PATH_MAX + 8];
	FILE *f;

	snprintf(tmp, sizeof(tmp), "%s.new", stats_path);
	if ((f = fopen(tmp, "we")) == NULL) {
		logger_line('W', "cannot write %s: %s", tmp, strerror(errno));
		return;
	}
	fchmod(fileno(f), 0644);
	stats_print(s, f);
	if (fclose(f) != 0 || rename(tmp, stats_path) == -1)
		logger_line('W', "cannot write %s: %s", stats_path, strerror(errno));
}

void
rundir_unlock(void)
{
	if (lock_fd == -1)
		return;
	forget_all();
	unlink(list_path);
	unlink(stats_path);
	unlink(pid_path);
	close(lock_fd);
	lock_fd = -1;
}
