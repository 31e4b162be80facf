/* FS: mounts, new roots, programs, devices, and what inherited descriptors allow. */
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mount.h>

#include "probe/elf.h"
#include "probe/numbers.h"
#include "probe/sys.h"

#define NEW_USER 0x10000000
#define NEW_NS 0x00020000

/* Through a file of /proc: open it this way; if asked to, read. */
static struct outcome
fs_open_as(const struct test *t)
{
	long fd = sys4(SYS_openat, AT_FDCWD, t->a[0], t->a[1], 0);

	if (fd < 0)
		return refused(fd);
	sys1(SYS_close, fd);
	return opened("opened, and left alone");
}

static const unsigned char constant[16] = "read-only data";

static struct outcome
fs_proc_mem(const struct test *t)
{
	long fd = sys4(SYS_openat, AT_FDCWD, "/proc/self/mem", O_RDWR, 0), n;

	(void)t;
	if (fd < 0)
		return refused(fd);
	n = sys4(SYS_pwrite64, fd, "W", 1, ARG(constant));
	sys1(SYS_close, fd);
	return n == 1 && *(const volatile unsigned char *)constant == 'W' ? opened("changed read-only data") : refused(n);
}

static struct outcome
fs_chroot(const struct test *t)
{
	long rv = sys1(SYS_chroot, ".");

	(void)t;
	return open_if(rv);
}

/* In a user namespace of its own a process has every capability. */
static struct outcome
fs_in_userns(const struct test *t)
{
	long rv = sys1(SYS_unshare, t->a[0]);

	if (rv < 0)
		return refused(rv);
	if (t->nr == SYS_chroot)
		return open_if(sys1(SYS_chroot, "."));
	return open_if(sys5(SYS_mount, "none", "/", "tmpfs", 0, 0));
}

static struct outcome
fs_recv_fd(const struct test *t)
{
	static struct {
		uint64_t len;
		int level, type, fd;
	} control;
	static struct {
		void *name;
		uint64_t namelen;
		void *iov;
		uint64_t iovlen;
		void *control;
		uint64_t controllen, flags;
	} m;
	static struct {
		void *base;
		uint64_t len;
	} v = {scratch, 64};
	long n;

	(void)t;
	m.iov = &v;
	m.iovlen = 1;
	m.control = &control;
	m.controllen = sizeof(control);
	n = sys3(SYS_recvmsg, place.auth, &m, 0x40 /* MSG_DONTWAIT */);
	if (n >= 0 && m.controllen >= 20 && control.type == 1)
		return opened("a descriptor came");
	return n >= 0 ? blocked("no descriptor came") : refused(n);
}

static struct outcome
fs_handle(const struct test *t)
{
	static struct {
		unsigned int bytes;
		int type;
		unsigned char f[128];
	} h = {.bytes = 128};
	static int mnt;
	long rv = sys5(SYS_name_to_handle_at, AT_FDCWD, t->a[0], &h, &mnt, 0);

	return open_if(rv);
}

static struct outcome
fs_by_handle(const struct test *t)
{
	static struct {
		unsigned int bytes;
		int type;
		unsigned int ino, gen;
	} h = {.bytes = 8, .type = 1, .ino = 2};
	long dir = quiet6(SYS_openat, AT_FDCWD, ARG("/"), O_RDONLY | O_DIRECTORY, 0, 0, 0), rv;

	(void)t;
	rv = sys3(SYS_open_by_handle_at, dir >= 0 ? dir : place.client, &h, O_RDONLY);
	if (rv == -116) /* ESTALE: it has looked for our guess */
		return opened("handles are looked up");
	return open_if(rv);
}

static struct outcome
fs_listmount(const struct test *t)
{
	static struct {
		unsigned int size, spare;
		uint64_t mnt_id, param;
	} req = {.size = 24, .mnt_id = ~0ULL};

	(void)t;
	return open_if(sys4(NR_LISTMOUNT, &req, scratch, 64, 0));
}

static struct outcome
fs_statmount(const struct test *t)
{
	static struct {
		unsigned int size, spare;
		uint64_t mnt_id, param;
	} req = {.size = 24, .mnt_id = ~0ULL, .param = 2};
	long rv;

	(void)t;
	rv = sys4(NR_STATMOUNT, &req, scratch, sizeof(scratch), 0);
	if (rv == -2) { /* it wants a real id: ask for one */
		req.param = 0;
		if (sys4(NR_LISTMOUNT, &req, scratch, 8, 0) > 0) {
			memcpy(&req.mnt_id, scratch, 8);
			req.param = 2;
			rv = sys4(NR_STATMOUNT, &req, scratch, sizeof(scratch), 0);
		}
	}
	return open_if(rv);
}

/* A program made here: it says "R OPEN" on our channel. */
static struct outcome
fs_memfd_exec(const struct test *t)
{
	char *const argv[] = {(char[]){"probe"}, NULL}, *const envp[] = {NULL};
	long fd = sys2(SYS_memfd_create, "probe", 0), rv;
	size_t len;

	(void)t;
	if (fd < 0)
		return refused(fd);
	len = elf_saying_open(scratch, sizeof(scratch));
	if (len == 0)
		return skipped("no program for this architecture here");
	rv = sys3(SYS_write, fd, scratch, len);
	if (rv < 0)
		return refused(rv);
	return refused(sys5(SYS_execveat, fd, "", argv, envp, AT_EMPTY_PATH));
}

static struct outcome
fs_exec(const struct test *t)
{
	char *const argv[] = {(char[]){"true"}, NULL}, *const envp[] = {NULL};

	return refused(sys3(SYS_execve, t->a[0], argv, envp));
}

static struct outcome
fs_exec_setuid(const struct test *t)
{
	char *const argv[] = {(char[]){"true"}, NULL}, *const envp[] = {NULL};
	long rv = sys1(SYS_prctl, 39 /* PR_GET_NO_NEW_PRIVS */);

	(void)t;
	(void)argv;
	(void)envp;
	return rv == 0 ? opened("set-uid programs would gain") : rv == 1 ? blocked("no_new_privs")
									 : refused(rv);
}

static struct outcome
fs_watch(const struct test *t)
{
	long fd = sys1(SYS_inotify_init1, 0), rv;

	(void)t;
	if (fd < 0)
		return refused(fd);
	rv = sys3(SYS_inotify_add_watch, fd, host_file, IN_ACCESS);
	sys1(SYS_close, fd);
	return open_if(rv);
}

static struct outcome
fs_splice(const struct test *t)
{
	static int p[2];
	long rv = sys6(SYS_splice, place.client, 0, place.mail, 0, 1, 2);

	(void)t;
	if (quiet3(SYS_pipe2, p, 0, 0) < 0 || quiet3(SYS_write, p[1], "x", 1) != 1)
		return refused(rv);
	return open_if(sys6(SYS_splice, p[0], 0, place.mail, 0, 1, 2));
}

static struct outcome
fs_mincore(const struct test *t)
{
	(void)t;
	return open_if(sys3(SYS_mincore, scratch, 4096, scratch));
}

#define CALL(nr_, ...) .fn = try_call, .nr = (nr_), .a = {__VA_ARGS__}
#define FD(nr_, ...) .fn = try_fd, .nr = (nr_), .a = {__VA_ARGS__}
#define OPENS(path, how) .fn = fs_open_as, .a = {ARG(path), how}

const struct test fs_more_tests[] = {
    {"FS-10", "chroot", "CAP", .fn = fs_chroot, .flags = T_ROOT},
    {"FS-10.userns", "chroot in a user namespace of its own", "UL", .fn = fs_in_userns,
	.nr = SYS_chroot, .a = {NEW_USER}},
    {"FS-11", "receive a descriptor over the auth channel", "FD", .fn = fs_recv_fd},
    {"FS-12.root", "/proc/self/root", "MNT LL", OPENS("/proc/self/root/etc/passwd", O_RDONLY)},
    {"FS-12.one", "/proc/1/root", "MNT LL", OPENS("/proc/1/root/etc/passwd", O_RDONLY),
	.flags = T_ROOT},
    {"FS-12.fd", "/proc/self/fd/3", "MNT LL", OPENS("/proc/self/fd", O_RDONLY)},
    {"FS-13", "write to read-only memory by /proc/self/mem", "MNT LL", .fn = fs_proc_mem},
    {"FS-14", "open the own program for writing", "KERN", OPENS("/proc/self/exe", O_WRONLY)},
    {"FS-15", "name_to_handle_at", "MNT", .fn = fs_handle, .a = {ARG(host_dir)}},
    {"FS-15.open", "open_by_handle_at with a guess", "CAP", .fn = fs_by_handle, .flags = T_ROOT},
    {"FS-16.mount", "mount a tmpfs", "CAP LL",
	CALL(SYS_mount, ARG("none"), ARG("/tmp"), ARG("tmpfs"), 0, 0), .flags = T_ROOT},
    {"FS-16.remount", "remount the root", "CAP LL",
	CALL(SYS_mount, 0, ARG("/"), 0, MS_REMOUNT | MS_BIND | MS_RDONLY, 0), .flags = T_ROOT},
    {"FS-16.propagation", "change the propagation of mounts", "CAP LL",
	CALL(SYS_mount, 0, ARG("/"), 0, MS_PRIVATE, 0), .flags = T_ROOT},
    {"FS-16.umount", "umount2 of /proc, expire", "CAP LL",
	CALL(SYS_umount2, ARG("/proc"), MNT_DETACH), .flags = T_ROOT},
    {"FS-16.pivot", "pivot_root", "CAP LL", CALL(SYS_pivot_root, ARG("."), ARG(".")),
	.flags = T_ROOT | T_REACHED},
    {"FS-17.open_tree", "open_tree of a host path", "MNT",
	FD(NR_OPEN_TREE, AT_FDCWD, ARG(host_dir), 0)},
    {"FS-17.clone", "open_tree with OPEN_TREE_CLONE", "CAP",
	FD(NR_OPEN_TREE, AT_FDCWD, ARG("/"), 1), .flags = T_ROOT},
    {"FS-17.fsopen", "fsopen", "CAP", FD(NR_FSOPEN, ARG("tmpfs"), 0), .flags = T_ROOT},
    {"FS-17.fspick", "fspick", "CAP", FD(NR_FSPICK, AT_FDCWD, ARG("/"), 0), .flags = T_ROOT},
    {"FS-17.fsconfig", "fsconfig", "CAP KERN", CALL(NR_FSCONFIG, -1, 0, 0, 0, 0)},
    {"FS-17.fsmount", "fsmount", "CAP KERN", FD(NR_FSMOUNT, -1, 0, 0)},
    {"FS-17.move_mount", "move_mount", "CAP LL",
	CALL(NR_MOVE_MOUNT, AT_FDCWD, ARG("/tmp"), AT_FDCWD, ARG("/"), 0),
	.flags = T_ROOT | T_REACHED},
    {"FS-17.setattr", "mount_setattr", "CAP LL",
	CALL(NR_MOUNT_SETATTR, AT_FDCWD, ARG("/"), 0, ARG(scratch), 32), .flags = T_ROOT},
    {"FS-17.open_tree_attr", "open_tree_attr", "MNT",
	FD(NR_OPEN_TREE_ATTR, AT_FDCWD, ARG(host_dir), 0, 0, 0)},
    {"FS-18.list", "listmount", "", .fn = fs_listmount},
    {"FS-18.stat", "statmount", "", .fn = fs_statmount},
    {"FS-19", "memfd, write a program, execveat", "RL", .fn = fs_memfd_exec, .flags = T_EXEC},
    {"FS-20", "execve of a host program", "MNT LL", .fn = fs_exec, .a = {ARG("/bin/true")},
	.flags = T_EXEC},
    {"FS-20.self", "execve of the own program", "MNT LL", .fn = fs_exec,
	.a = {ARG("/proc/self/exe")}, .flags = T_EXEC},
    {"FS-20.nnp", "would a set-uid program gain", "NNP", .fn = fs_exec_setuid},
    {"FS-21", "uselib", "KERN", CALL(NR_USELIB, ARG(host_file))},
    {"FS-22", "watch a host file with inotify", "MNT", .fn = fs_watch},
    {"FS-22.fanotify", "fanotify_init, unprivileged form", "UL", FD(SYS_fanotify_init, 0x200, 0)},
    {"FS-23.null", "open a device", "MNT LL", OPENS("/dev/null", O_RDWR)},
    {"FS-23.kvm", "/dev/kvm", "MNT LL", OPENS("/dev/kvm", O_RDWR), .flags = T_ROOT},
    {"FS-23.tun", "/dev/net/tun", "MNT LL", OPENS("/dev/net/tun", O_RDWR), .flags = T_ROOT},
    {"FS-23.fuse", "/dev/fuse", "MNT LL", OPENS("/dev/fuse", O_RDWR), .flags = T_ROOT},
    {"FS-23.vsock", "/dev/vsock", "MNT LL", OPENS("/dev/vsock", O_RDWR), .flags = T_ROOT},
    {"FS-23.userfaultfd", "/dev/userfaultfd", "MNT LL", OPENS("/dev/userfaultfd", O_RDWR),
	.flags = T_ROOT},
    {"FS-23.mem", "/dev/mem", "MNT LL", OPENS("/dev/mem", O_RDONLY), .flags = T_ROOT},
    {"FS-24.quotactl", "quotactl", "", CALL(SYS_quotactl, 0x80000100, 0, 0, ARG(scratch))},
    {"FS-24.quotactl_fd", "quotactl_fd", "CAP KERN", CALL(NR_QUOTACTL_FD, 3, 0, 0, ARG(scratch))},
    {"FS-24.sysfs", "sysfs: number of filesystem types", "", CALL(NR_SYSFS, 3)},
    {"FS-24.ustat", "ustat", "MNT KERN", CALL(NR_USTAT, 0x801, ARG(scratch))},
    {"FS-24.dcookie", "lookup_dcookie", "KERN", CALL(NR_LOOKUP_DCOOKIE, 1, ARG(scratch), 64)},
    {"FS-25.xattr", "set a file capability", "CAP MNT KERN",
	CALL(SYS_setxattr, ARG(missing_path), ARG("security.capability"), ARG(scratch), 20, 0)},
    {"FS-25.attr", "file_setattr", "MNT KERN",
	CALL(NR_FILE_SETATTR, AT_FDCWD, ARG(missing_path), ARG(scratch), 32, 0)},
    {"FS-25.flags", "FS_IOC_SETFLAGS on an inherited descriptor", "FD KERN",
	CALL(SYS_ioctl, 3, FS_IOC_SETFLAGS, ARG(scratch))},
    {"FS-26.copy", "copy_file_range between inherited descriptors", "FD KERN",
	CALL(SYS_copy_file_range, 3, 0, 6, 0, 1, 0)},
    {"FS-26.sendfile", "sendfile between inherited descriptors", "FD KERN",
	CALL(SYS_sendfile, 6, 3, 0, 1)},
    {"FS-26.splice", "splice into an inherited descriptor", "", .fn = fs_splice},
    {"FS-27.core", "core_pattern for writing", "MNT LL",
	OPENS("/proc/sys/kernel/core_pattern", O_WRONLY), .flags = T_ROOT},
    {"FS-27.sysrq", "sysrq-trigger for writing", "MNT LL",
	OPENS("/proc/sysrq-trigger", O_WRONLY), .flags = T_ROOT},
    {"FS-27.uevent", "uevent_helper or modprobe path for writing", "MNT LL",
	OPENS("/proc/sys/kernel/modprobe", O_WRONLY), .flags = T_ROOT},
    {"FS-28", "mount in user and mount namespaces of its own", "LL UL", .fn = fs_in_userns,
	.nr = SYS_mount, .a = {NEW_USER | NEW_NS}},
    {"FS-29.flock", "flock on an inherited descriptor", "", CALL(SYS_flock, 3, 5)},
    {"FS-29.lease", "lease on an inherited descriptor", "FD KERN", CALL(SYS_fcntl, 3, 1024, 0)},
    {"FS-29.posix", "record lock on an inherited descriptor", "FD",
	CALL(SYS_fcntl, 3, F_GETLK, ARG(scratch + 64)), .flags = T_INFO},
    {"FS-30", "mincore", "", .fn = fs_mincore},
    {"FS-30.cachestat", "cachestat on an inherited descriptor", "",
	CALL(NR_CACHESTAT, 3, ARG(scratch), ARG(scratch), 0)},
    {0},
};
