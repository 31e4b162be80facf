/* FS: reading, writing and finding files. */
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include <string.h>
#include <sys/stat.h>

#include "probe/numbers.h"
#include "probe/sys.h"

/* Names that an attempt may make where it can: a world-writable place, or the root. */
static const char *const places[] = {"/tmp/gatehouse-probe.", "/gatehouse-probe.",
    "gatehouse-probe."};
static char name_a[64], name_b[64];

static void
make_names(const char *place_)
{
	strcpy(strcpy(name_a, place_) + strlen(place_), "a");
	strcpy(strcpy(name_b, place_) + strlen(place_), "b");
}

static struct outcome
read_of(long fd)
{
	long n;

	if (fd < 0)
		return refused(fd);
	n = sys3(SYS_read, fd, scratch, 16);
	sys1(SYS_close, fd);
	return n > 0 ? opened("read from it") : n == 0 ? blocked("nothing in it") : refused(n);
}

static struct outcome
fs_open(const struct test *t)
{
	return read_of(sys4(SYS_openat, AT_FDCWD, t->a[0], O_RDONLY, 0));
}

static struct outcome
fs_old_open(const struct test *t)
{
	(void)t;
	return read_of(sys3(NR_OPEN, host_file, O_RDONLY, 0));
}

static struct outcome
fs_root_listing(const struct test *t)
{
	long fd = sys4(SYS_openat, AT_FDCWD, "/", O_RDONLY | O_DIRECTORY, 0), n;

	(void)t;
	if (fd < 0)
		return refused(fd);
	n = sys3(SYS_getdents64, fd, scratch, sizeof(scratch));
	sys1(SYS_close, fd);
	/* "." and "..": 24 bytes each */
	return n > 48 ? opened("it has entries") : n >= 0 ? blocked("an empty directory") : refused(n);
}

static struct outcome
fs_openat2(const struct test *t)
{
	static struct open_how how;

	how.flags = O_RDONLY;
	how.resolve = (unsigned long long)t->a[1];
	return read_of(sys4(NR_OPENAT2, AT_FDCWD, t->a[0], &how, sizeof(how)));
}

static struct outcome
fs_o_path(const struct test *t)
{
	long fd = sys4(SYS_openat, AT_FDCWD, host_file, O_PATH, 0), rv;

	(void)t;
	if (fd < 0)
		return refused(fd);
	rv = sys2(SYS_fstat, fd, scratch);
	sys1(SYS_close, fd);
	return open_if(rv);
}

/* Make something called name_a with this call, in the first place that lets us. */
static struct outcome
make_with(const struct test *t, long (*make)(const struct test *t))
{
	long rv = -1;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		make_names(places[i]);
		rv = make(t);
		if (rv >= 0)
			break;
	}
	if (rv < 0)
		return refused(rv);
	quiet3(SYS_unlinkat, AT_FDCWD, name_a, 0);
	quiet3(SYS_unlinkat, AT_FDCWD, name_a, AT_REMOVEDIR);
	return opened("made it, and removed it");
}

static long
do_create(const struct test *t)
{
	long fd = sys4(SYS_openat, AT_FDCWD, name_a, O_CREAT | O_EXCL | O_WRONLY | t->a[0], 0600);

	if (fd >= 0)
		sys1(SYS_close, fd);
	return fd;
}

static long
do_creat(const struct test *t)
{
	long fd = sys2(NR_CREAT, name_a, 0600);

	(void)t;
	if (fd >= 0)
		sys1(SYS_close, fd);
	return fd;
}

static long
do_tmpfile(const struct test *t)
{
	long fd;

	(void)t;
	name_a[strlen(name_a) - sizeof("gatehouse-probe.a") + 1] = '\0';
	if (name_a[0] == '\0')
		strcpy(name_a, ".");
	fd = sys4(SYS_openat, AT_FDCWD, name_a, O_TMPFILE | O_RDWR, 0600);
	if (fd >= 0)
		sys1(SYS_close, fd);
	strcpy(name_a, missing_path);
	return fd;
}

static long
do_mkdir(const struct test *t)
{
	(void)t;
	return sys3(SYS_mkdirat, AT_FDCWD, name_a, 0700);
}

static long
do_mknod(const struct test *t)
{
	(void)t;
	return sys4(SYS_mknodat, AT_FDCWD, name_a, S_IFIFO | 0600, 0);
}

static long
do_symlink(const struct test *t)
{
	(void)t;
	return sys3(SYS_symlinkat, "/", AT_FDCWD, name_a);
}

#define MAKER(name)                                     \
	static struct outcome fs_##name(const struct test *t) \
	{                                               \
		return make_with(t, do_##name);         \
	}
MAKER(create)
MAKER(creat)
MAKER(tmpfile)
MAKER(mkdir)
MAKER(mknod)
MAKER(symlink)

/* A file name_a with four bytes, for what comes next; false if nowhere. */
static bool
have_file(void)
{
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		long fd;

		make_names(places[i]);
		fd = quiet6(SYS_openat, AT_FDCWD, ARG(name_a), O_CREAT | O_RDWR, 0600, 0, 0);
		if (fd < 0)
			continue;
		quiet3(SYS_write, fd, "four", 4);
		quiet1(SYS_close, fd);
		return true;
	}
	return false;
}

static void
drop_files(void)
{
	quiet3(SYS_unlinkat, AT_FDCWD, name_a, 0);
	quiet3(SYS_unlinkat, AT_FDCWD, name_b, 0);
}

/* The call itself first, on what is not there: behind a filter it is the last. */
static struct outcome
fs_link(const struct test *t)
{
	long rv = sys5(SYS_linkat, AT_FDCWD, missing_path, AT_FDCWD, missing_path, 0);

	(void)t;
	if (!have_file())
		return refused(rv);
	rv = sys5(SYS_linkat, AT_FDCWD, name_a, AT_FDCWD, name_b, 0);
	drop_files();
	return open_if(rv);
}

static struct outcome
fs_rename(const struct test *t)
{
	long rv = sys5(SYS_renameat2, AT_FDCWD, missing_path, AT_FDCWD, missing_path, t->a[0]);

	if (!have_file())
		return refused(rv);
	if (t->a[0] == 2) /* RENAME_EXCHANGE */
		quiet6(SYS_openat, AT_FDCWD, ARG(name_b), O_CREAT | O_RDWR, 0600, 0, 0);
	rv = sys5(SYS_renameat2, AT_FDCWD, name_a, AT_FDCWD, name_b, t->a[0]);
	drop_files();
	return open_if(rv);
}

static struct outcome
fs_truncate(const struct test *t)
{
	long rv = sys2(SYS_truncate, missing_path, 0);

	(void)t;
	if (!have_file())
		return refused(rv);
	rv = sys2(SYS_truncate, name_a, 0);
	drop_files();
	return open_if(rv);
}

/* To the size that it has: only where it is a regular file that we may write. */
static struct outcome
fs_ftruncate(const struct test *t)
{
	static struct stat st;
	long rv = sys2(SYS_ftruncate, place.client, 0); /* a socket: EINVAL */

	(void)t;
	for (int fd = 0; fd < 64; fd++) {
		if (quiet3(SYS_fstat, fd, &st, 0) != 0 || !S_ISREG(st.st_mode))
			continue;
		if (quiet3(SYS_ftruncate, fd, st.st_size, 0) == 0)
			return opened("an inherited file can be cut");
	}
	return rv == -22 || rv == -9 ? blocked("no file is inherited") : refused(rv);
}

static struct outcome
fs_chdir(const struct test *t)
{
	long rv = sys1(SYS_chdir, host_dir);

	(void)t;
	if (rv < 0)
		return refused(rv);
	return opened("in a directory of the host");
}

static struct outcome
fs_fchdir(const struct test *t)
{
	long rv = sys1(SYS_fchdir, place.client);

	(void)t;
	for (int fd = 0; fd < 256; fd++)
		if (quiet1(SYS_fchdir, fd) == 0)
			return opened("a directory is inherited");
	return refused(rv);
}

static struct outcome
fs_fstatat_fd(const struct test *t)
{
	static struct stat st;
	long rv = sys3(SYS_fstat, place.client, &st, 0);

	(void)t;
	for (int fd = 0; fd < 256; fd++)
		if (quiet3(SYS_fstat, fd, &st, 0) == 0 && S_ISDIR(st.st_mode))
			return opened("a directory is inherited");
	return rv >= 0 ? blocked("no directory is inherited") : refused(rv);
}

#define AT(path) .a = {ARG(path)}
#define PATH_CALL(nr_, ...) .fn = try_call, .nr = (nr_), .a = {__VA_ARGS__}

const struct test fs_tests[] = {
    {"FS-01", "open an absolute path and read", "MNT LL", .fn = fs_open, .a = {ARG(host_file)}},
    {"FS-01.old", "the same with open(2)", "MNT LL", .fn = fs_old_open},
    {"FS-02", "relative path with many ..", "MNT LL", .fn = fs_open,
	.a = {ARG("../../../../../../../../etc/passwd")}},
    {"FS-02.root", "list the root directory", "MNT LL", .fn = fs_root_listing},
    {"FS-03", "openat2", "MNT LL", .fn = fs_openat2, .a = {ARG(host_file)}},
    {"FS-03.no_symlinks", "openat2 with RESOLVE_NO_SYMLINKS", "MNT LL", .fn = fs_openat2,
	.a = {ARG(host_file), RESOLVE_NO_SYMLINKS}},
    {"FS-03.in_root", "openat2 with RESOLVE_IN_ROOT", "MNT LL", .fn = fs_openat2,
	.a = {ARG("../../../../../../etc/passwd"), RESOLVE_IN_ROOT}},
    {"FS-04", "O_PATH, then use through the descriptor", "MNT", .fn = fs_o_path},
    {"FS-05.tmpfile", "unnamed temporary file", "MNT LL", .fn = fs_tmpfile},
    {"FS-05.create", "create a file with openat", "MNT LL", .fn = fs_create},
    {"FS-05.creat", "create a file with creat", "MNT LL", .fn = fs_creat},
    {"FS-05.mkdir", "make a directory", "MNT LL", .fn = fs_mkdir},
    {"FS-05.mknod", "make a fifo", "MNT LL", .fn = fs_mknod},
    {"FS-05.symlink", "make a symbolic link", "MNT LL", .fn = fs_symlink},
    {"FS-05.link", "make a hard link", "MNT LL", .fn = fs_link},
    {"FS-06", "renameat2", "MNT LL", .fn = fs_rename},
    {"FS-06.exchange", "renameat2 with RENAME_EXCHANGE", "MNT LL", .fn = fs_rename, .a = {2}},
    {"FS-07", "truncate by path", "MNT LL", .fn = fs_truncate},
    {"FS-07.fd", "ftruncate of whatever file is inherited", "FD KERN", .fn = fs_ftruncate},
    {"FS-08.stat", "newfstatat on a host path", "MNT",
	PATH_CALL(SYS_newfstatat, AT_FDCWD, ARG(host_file), ARG(scratch), 0)},
    {"FS-08.statx", "statx on a host path", "MNT",
	PATH_CALL(SYS_statx, AT_FDCWD, ARG(host_file), 0, STATX_BASIC_STATS, ARG(scratch))},
    {"FS-08.access", "faccessat2 on a host path", "MNT",
	PATH_CALL(NR_FACCESSAT2, AT_FDCWD, ARG(host_file), 0, 0)},
    {"FS-08.readlink", "readlinkat of /proc/self/exe", "MNT",
	PATH_CALL(SYS_readlinkat, AT_FDCWD, ARG("/proc/self/exe"), ARG(scratch), 256)},
    {"FS-08.xattr", "listxattr on a host path", "MNT",
	PATH_CALL(SYS_listxattr, ARG(host_file), ARG(scratch), 256)},
    {"FS-08.statfs", "statfs on a host path", "MNT",
	PATH_CALL(SYS_statfs, ARG(host_file), ARG(scratch))},
    {"FS-09", "chdir into a directory of the host", "MNT", .fn = fs_chdir},
    {"FS-09.fd", "fchdir to an inherited directory", "FD KERN", .fn = fs_fchdir},
    {"FS-09.stat", "an inherited directory among the descriptors", "FD KERN", .fn = fs_fstatat_fd},
    {0},
};
