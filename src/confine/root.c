/*
 * A root with nothing in it: a read-only tmpfs without room for a file, or one
 * directory of sockets, mounted read-only; the old root is gone.
 */
#include <errno.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine/internal.h"

#define TIGHT (MS_NOSUID | MS_NODEV | MS_NOEXEC)

/* The current directory is a mount point: make it the root, drop the old one,
 * and make it read-only. */
static int
pivot_here(void)
{
	if (syscall(SYS_pivot_root, ".", ".") == -1 || umount2(".", MNT_DETACH) == -1 ||
	    chdir("/") == -1 ||
	    mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | TIGHT, NULL) == -1)
		return -1;
	/* So that there is a chroot below the mount as well (design 3). */
	return chroot("/") == -1 || chdir("/") == -1 ? -1 : 0;
}

static int
empty_root(void)
{
	/* Any directory that exists will do to mount on. */
	static const char *const at[] = {"/tmp", "/usr", "/etc", "/var"};

	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++)
		if (mount("tmpfs", at[i], "tmpfs", TIGHT, "size=4k,nr_inodes=2,mode=0555") == 0)
			return chdir(at[i]) == -1 ? -1 : pivot_here();
	return -1;
}

static int
socket_root(const char *dir)
{
	if (mount(dir, dir, NULL, MS_BIND, NULL) == -1)
		return -1;
	return chdir(dir) == -1 ? -1 : pivot_here();
}

/* Without mounts: a chroot into a directory that is empty and not ours. */
static int
chroot_only(const char *dir)
{
	return chroot(dir) == -1 || chdir("/") == -1 ? -1 : 0;
}

bool
root_enter(struct entering *e)
{
	const struct confine_req *r = e->req;
	bool sockets = r->policy->root == PROOT_SOCKETS;
	int rv = -1;

	if (r->policy->root == PROOT_HOST)
		return true;
	if (e->rep.state[LAYER_MOUNTNS] == LAYER_ENFORCED) {
		rv = mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
		if (rv == 0)
			rv = sockets ? socket_root(r->root_dir) : empty_root();
	} else {
		errno = ENOSYS;
	}
	if (rv == -1 && (r->optional >> LAYER_ROOT & 1) != 0) {
		int saved = errno;

		if (chroot_only(sockets ? r->root_dir : "/var/empty") == -1)
			errno = saved;
	}
	return step(e, LAYER_ROOT, r->policy->root_need, rv,
	    sockets ? "login_socket_dir must exist and be reachable for default_internal_user"
		    : "mounting a tmpfs must be possible in a namespace of our own");
}
