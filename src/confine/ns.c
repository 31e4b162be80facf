/*
 * Namespaces, each reported by itself.  Ids are mapped to themselves, never to 0.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "confine/internal.h"

static const struct {
	enum policy_ns ns;
	enum layer layer;
	int flag;
} rest[] = {
    {PNS_MOUNT, LAYER_MOUNTNS, CLONE_NEWNS},
    {PNS_NET, LAYER_NETNS, CLONE_NEWNET},
    {PNS_PID, LAYER_PIDNS, CLONE_NEWPID},
    {PNS_IPC, LAYER_IPCNS, CLONE_NEWIPC},
    {PNS_UTS, LAYER_UTSNS, CLONE_NEWUTS},
    {PNS_CGROUP, LAYER_CGROUPNS, CLONE_NEWCGROUP},
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
	saved = errno;
	close(fd);
	errno = saved;
	return n == (ssize_t)len ? 0 : -1;
}

/* If a map is not written nothing else fails: everything works, as 65534.  So
 * each write is checked, and in the end who we are. */
static int
map_ids(uid_t uid, gid_t gid)
{
	char map[64];

	if (write_file("/proc/self/setgroups", "deny") == -1 && errno != ENOENT)
		return -1;
	snprintf(map, sizeof(map), "%u %u 1\n", uid, uid);
	if (write_file("/proc/self/uid_map", map) == -1)
		return -1;
	snprintf(map, sizeof(map), "%u %u 1\n", gid, gid);
	if (write_file("/proc/self/gid_map", map) == -1)
		return -1;
	if (getuid() == uid && getgid() == gid)
		return 0;
	errno = EPERM;
	return -1;
}

bool
ns_enter_user(struct entering *e)
{
	enum layer_need need = e->req->policy->ns[PNS_USER];
	uid_t uid = getuid();
	gid_t gid = getgid();
	int rv;

	if (need == NEED_OFF)
		return true;
	rv = unshare(CLONE_NEWUSER);
	if (rv == 0 && map_ids(uid, gid) == -1) {
		/* Half a user namespace is worse than none: never optional. */
		return step(e, LAYER_USERNS, NEED_REQUIRED, -1, "the id maps must be writable: is "
		    "/proc mounted?");
	}
	return step(e, LAYER_USERNS, need, rv,
	    "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, "
	    "user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns=0)");
}

bool
ns_enter_rest(struct entering *e)
{
	for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++) {
		enum layer_need need = e->req->policy->ns[rest[i].ns];

		if (need != NEED_OFF &&
		    !step(e, rest[i].layer, need, unshare(rest[i].flag),
			"needs a user namespace, or root with CAP_SYS_ADMIN"))
			return false;
	}
	return true;
}
