/*
 * A root with nothing in it: a read-only tmpfs without room for a file, or one
 * directory of sockets, read-only; the old root is unmounted.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine/internal.h"

#define TIGHT_ATTR (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)
#define TIGHT (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)

/* Before Linux 5.12.  What the mount has already stays: it may be locked. */
static int
tighten_by_remount(const char *path)
{
	struct statvfs v;
	unsigned long flags = TIGHT;

	if (statvfs(path, &v) == -1)
		return -1;
	flags |= (v.f_flag & ST_NOATIME) != 0 ? MS_NOATIME : 0;
	flags |= (v.f_flag & ST_NODIRATIME) != 0 ? MS_NODIRATIME : 0;
	flags |= (v.f_flag & ST_RELATIME) != 0 ? MS_RELATIME : 0;
	return mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | flags, NULL);
}

static int
tighten(int dirfd, const char *path, unsigned int flags)
{
	struct mount_attr attr = {.attr_set = TIGHT_ATTR};

	return (int)syscall(SYS_mount_setattr, dirfd, path, flags, &attr, sizeof(attr));
}

enum progress {
	UNCHANGED,
	MOUNTED, /* the new root is the current directory */
	PIVOTED
};

/* The current directory, a mount point, becomes the root; the old one goes. */
static const char *
pivot_here(enum progress *progress)
{
	struct statvfs v;

	*progress = MOUNTED;
	if (syscall(SYS_pivot_root, ".", ".") == -1)
		return "pivot_root";
	*progress = PIVOTED;
	if (umount2(".", MNT_DETACH) == -1)
		return "umount of the old root";
	if (chdir("/") == -1)
		return "chdir to the new root";
	if (tighten(AT_FDCWD, "/", 0) == -1 && (errno != ENOSYS || tighten_by_remount("/") == -1))
		return "remount of the new root";
	/* A chroot below the mount as well (design 3). */
	if (chroot("/") == -1 || chdir("/") == -1)
		return "chroot to the new root";
	if (statvfs("/", &v) == -1 || (v.f_flag & ST_RDONLY) == 0) {
		errno = EPERM;
		return "check of the new root";
	}
	return NULL;
}

static const char *
empty_root(enum progress *progress)
{
	/* Any directory will do to mount on: nobody sees it afterwards. */
	static const char *const at[] = {"/tmp", "/usr", "/etc", "/var", "/proc", "/dev"};

	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		if (mount("tmpfs", at[i], "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
			"size=4k,nr_inodes=1,mode=0555") == 0)
			return chdir(at[i]) == -1 ? "chdir to the tmpfs" : pivot_here(progress);
		if (errno != ENOENT && errno != ENOTDIR)
			break;
	}
	return "mount of a tmpfs";
}

/* Not recursive: what is mounted below stays outside. */
static int
mount_on_itself(const char *dir)
{
	int fd = (int)syscall(SYS_open_tree, AT_FDCWD, dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	int rv, saved;

	if (fd == -1)
		return errno == ENOSYS ? mount(dir, dir, NULL, MS_BIND, NULL) : -1;
	rv = tighten(fd, "", AT_EMPTY_PATH);
	if (rv == -1 && errno == ENOSYS) /* 5.2 to 5.11: pivot_here does it */
		rv = 0;
	if (rv == 0)
		rv = (int)syscall(SYS_move_mount, fd, "", AT_FDCWD, dir, MOVE_MOUNT_F_EMPTY_PATH);
	saved = errno;
	close(fd);
	errno = saved;
	return rv;
}

static const char *
socket_root(const char *dir, enum progress *progress)
{
	struct stat st;

	if (dir == NULL || dir[0] != '/') {
		errno = EINVAL;
		return "absolute name of the socket directory";
	}
	if (stat(dir, &st) == 0 && !S_ISDIR(st.st_mode)) {
		errno = ENOTDIR;
		return "stat of the socket directory";
	}
	if (mount_on_itself(dir) == -1)
		return "bind mount of the socket directory";
	if (chdir(dir) == -1)
		return "chdir to the socket directory";
	return pivot_here(progress);
}

/*
 * Where nothing can be mounted: a directory that was removed, so that nobody,
 * whatever his rights, can ever make an entry in it.
 */
static int
removed_root(void)
{
	char dir[] = "/tmp/gatehouse.XXXXXX";

	if (mkdtemp(dir) == NULL)
		return -1;
	if (chdir(dir) == -1) {
		rmdir(dir);
		return -1;
	}
	return rmdir(dir) == -1 ? -1 : chroot(".");
}

/* Less than the policy's word, so it does not count as this layer; but what can
 * be had is there, where the site has said that it may be missing. */
static void
chroot_instead(const struct confine_req *r, enum progress progress)
{
	if (progress == MOUNTED) { /* no pivot_root from an initramfs */
		if (tighten(AT_FDCWD, ".", 0) == -1 && errno == ENOSYS)
			tighten_by_remount(".");
		if (chroot(".") == 0 && chdir("/") == 0)
			return;
	}
	if (r->policy->root == PROOT_EMPTY)
		removed_root();
	else if (r->root_dir != NULL && chdir(r->root_dir) == 0 && chroot(".") == -1)
		return; /* an ordinary user without namespaces: at least it stands there */
}

bool
root_enter(struct entering *e)
{
	const struct confine_req *r = e->req;
	const char *what = "mount namespace";
	enum progress progress = UNCHANGED;
	int err = EPERM;

	if (r->policy->root == PROOT_HOST || r->policy->root_need == NEED_OFF)
		return true;
	if (e->s->rep.state[LAYER_MOUNTNS] == LAYER_ENFORCED) {
		what = "mount(MS_PRIVATE)";
		if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
			what = r->policy->root == PROOT_SOCKETS
			    ? socket_root(r->root_dir, &progress)
			    : empty_root(&progress);
		err = errno;
	}
	if (what == NULL)
		return step(e, LAYER_ROOT, r->policy->root_need, 0, "");
	errno = err;
	if (!step(e, LAYER_ROOT, r->policy->root_need, -1, what))
		return false;
	errno = err;
	if (progress == PIVOTED) /* the old root may be in reach: never optional */
		return failed(e, what);
	chroot_instead(r, progress);
	return true;
}
