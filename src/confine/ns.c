/*
 * Namespaces, each made and reported by itself.  Ids are mapped to themselves,
 * never to 0 (mechanisms: a map that was not written goes unnoticed otherwise).
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "confine/internal.h"

static const struct {
	enum policy_ns ns;
	enum layer layer;
	int flag;
	const char *what;
} rest[] = {
    {PNS_MOUNT, LAYER_MOUNTNS, CLONE_NEWNS, "unshare(CLONE_NEWNS)"},
    {PNS_NET, LAYER_NETNS, CLONE_NEWNET, "unshare(CLONE_NEWNET)"},
    {PNS_PID, LAYER_PIDNS, CLONE_NEWPID, "unshare(CLONE_NEWPID)"},
    {PNS_IPC, LAYER_IPCNS, CLONE_NEWIPC, "unshare(CLONE_NEWIPC)"},
    {PNS_UTS, LAYER_UTSNS, CLONE_NEWUTS, "unshare(CLONE_NEWUTS)"},
    {PNS_CGROUP, LAYER_CGROUPNS, CLONE_NEWCGROUP, "unshare(CLONE_NEWCGROUP)"},
};

static int
write_file(const char *path, const char *text)
{
	size_t len = strlen(text);
	int fd = open(path, O_WRONLY | O_CLOEXEC), saved;
	ssize_t n;

	if (fd == -1)
		return -1;
	n = write(fd, text, len);
	saved = n == -1 ? errno : EIO;
	close(fd);
	errno = saved;
	return n == (ssize_t)len ? 0 : -1;
}

/* The name of the write that failed, NULL if all is well. */
static const char *
map_ids(uid_t uid, gid_t gid)
{
	char map[64];

	/* ENOENT: before Linux 3.19 there was no such file, and no need for it. */
	if (write_file("/proc/self/setgroups", "deny") == -1 && errno != ENOENT)
		return "write to /proc/self/setgroups";
	snprintf(map, sizeof(map), "%u %u 1\n", uid, uid);
	if (write_file("/proc/self/uid_map", map) == -1)
		return "write to /proc/self/uid_map";
	snprintf(map, sizeof(map), "%u %u 1\n", gid, gid);
	if (write_file("/proc/self/gid_map", map) == -1)
		return "write to /proc/self/gid_map";
	if (getuid() == uid && geteuid() == uid && getgid() == gid && getegid() == gid)
		return NULL;
	errno = EPERM;
	return "id map";
}

/*
 * Never optional here: half a user namespace is worse than none, so whoever can
 * do without starts again without (start_somehow).
 */
bool
ns_enter_user(struct entering *e)
{
	const char *what;
	uid_t uid = geteuid();
	gid_t gid = getegid();

	/* setresuid, and a parent that is not dumpable, leave our files in /proc to
	 * root, and the maps could not be written. */
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == -1)
		return failed(e, "prctl(PR_SET_DUMPABLE)");
	what = unshare(CLONE_NEWUSER) == -1 ? "unshare(CLONE_NEWUSER)" : map_ids(uid, gid);
	if (what != NULL) {
		int err = errno;

		step(e, LAYER_USERNS, NEED_OFF, -1, what);
		errno = err;
		return failed(e, what);
	}
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1)
		return failed(e, "prctl(PR_SET_DUMPABLE)");
	return step(e, LAYER_USERNS, NEED_REQUIRED, 0, "");
}

bool
ns_enter_rest(struct entering *e)
{
	for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++) {
		enum layer_need need = e->req->policy->ns[rest[i].ns];

		if (need != NEED_OFF &&
		    !step(e, rest[i].layer, need, unshare(rest[i].flag), rest[i].what))
			return false;
	}
	return true;
}

/*
 * The limits of our own user namespace: nothing below it can be above them, whatever
 * capabilities it thinks it has.  Without a user namespace of our own the files are the
 * host's and are never touched.  (Mount namespaces are not among them: making the root
 * takes one more.  They need a capability, and there is no way to have one.)
 */
static int
zero_limits(bool own)
{
	static const char *const files[] = {"max_user_namespaces", "max_net_namespaces",
	    "max_pid_namespaces", "max_ipc_namespaces", "max_uts_namespaces",
	    "max_cgroup_namespaces", "max_time_namespaces", "max_inotify_instances",
	    "max_inotify_watches", "max_fanotify_groups", "max_fanotify_marks"};

	if (!own) {
		errno = EOPNOTSUPP;
		return -1;
	}
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char path[64];

		snprintf(path, sizeof(path), "/proc/sys/user/%s", files[i]);
		/* ENOENT: younger than this kernel, all but the first. */
		if (write_file(path, "0") == -1 && (i == 0 || errno != ENOENT))
			return -1;
	}
	return 0;
}

bool
ns_forbid_nesting(struct entering *e)
{
	enum layer_need need = e->req->policy->nesting;

	return need == NEED_OFF ||
	    step(e, LAYER_NESTING, need, zero_limits(e->userns), "write to /proc/sys/user");
}
