/* SRC: src/confine/[a-z]*.c src/policy/[a-z]*.c src/common/diag.c src/common/str.c src/common/log.c src/ipc/codec.c src/ipc/filters.c */
/* LIBS: -lcap-ng -lseccomp -lcrypto */
/* What a confined process sees, and what is seen of it. */
#include "confine_help.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/un.h>

#include "confine/internal.h"
#include "ipc/fds.h"

static struct policy p;
static struct confine_req r;
static struct inmate m;

static void
check_inside(bool root)
{
	CHECK_INT(said(&m, "fds_3_4"), 0);
	CHECK_INT(said(&m, "uid"), root ? INMATE_UID : (int)getuid());
	CHECK_INT(said(&m, "gid"), root ? INMATE_GID : (int)getgid());
	CHECK_INT(said(&m, "groups"), 0);
	CHECK_INT(said(&m, "pid"), 1);
	CHECK_INT(said(&m, "ppid"), 0);
	CHECK_INT(said(&m, "effective"), 0);
	CHECK_INT(said(&m, "permitted"), 0);
	CHECK_INT(said(&m, "inheritable"), 0);
	CHECK_INT(said(&m, "bounding"), 0);
	CHECK_INT(said(&m, "ambient"), 0);
	CHECK_INT(said(&m, "securebits"), 0xef);
	CHECK_INT(said(&m, "nnp"), 1);
	CHECK_INT(said(&m, "readonly"), 1);
	CHECK_INT(said(&m, "noexec"), 1);
	CHECK_INT(said(&m, "nodev"), 1);
	CHECK_INT(said(&m, "nosuid"), 1);
	CHECK_INT(said(&m, "mkdir"), EROFS);
	CHECK_INT(said(&m, "create"), EROFS);
	CHECK_INT(said(&m, "up"), ENOENT);
	CHECK_INT(said(&m, "entries"), 2);
	CHECK_INT(said(&m, "umask"), 077);
	CHECK_INT(said(&m, "sigpipe"), 1);
	CHECK_INT(said(&m, "handled"), 0);
	CHECK_INT(said(&m, "blocked"), 0);
	CHECK_INT(said(&m, "pdeathsig"), SIGKILL);
	CHECK_INT(said(&m, "dumpable"), 0);
	CHECK_INT(said(&m, "net"), ENETUNREACH);
	CHECK_INT(said(&m, "nofile"), 12);
	CHECK_INT(said(&m, "nproc"), 0);
	CHECK_INT(said(&m, "fsize"), 0);
	CHECK_INT(said(&m, "core"), 0);
	CHECK_INT(said(&m, "as"), 64 << 20);
	CHECK_INT(said(&m, "argv0"), 0);
}

static void
check_report(enum layer_state userns)
{
	for (int l = LAYER_GROUPS; l <= LAYER_NO_NEW_PRIVS; l++) {
		if (l == LAYER_NESTING && userns != LAYER_ENFORCED)
			CHECK_INT(m.rep.state[l], LAYER_ABSENT); /* it would be everybody's */
		else if (l != LAYER_USERNS)
			CHECK_INT(m.rep.state[l], LAYER_ENFORCED);
		else
			CHECK_INT(m.rep.state[l], userns);
	}
}

static void
handler(int sig)
{
	(void)sig;
	_exit(99);
}

/* Ours, and with it the machine's, stays as it was. */
static bool
nesting_possible(void)
{
	char text[32] = "";
	int fd = open("/proc/sys/user/max_user_namespaces", O_RDONLY | O_CLOEXEC);

	CHECK(fd != -1 && read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	return atoi(text) > 0;
}

static void
whole_life(enum layer_state userns)
{
	sigset_t block;

	/* Nothing of this may reach the child. */
	signal(SIGTERM, handler);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	sigaddset(&block, SIGCHLD);
	sigprocmask(SIG_BLOCK, &block, NULL);
	umask(0);
	r.vsz_limit = 64 << 20;
	START(&m, &r, "all", NULL);
	check_report(userns);
	inmate_listen(&m);
	check_inside(geteuid() == 0);
	CHECK_INT(said(&m, "nested"), userns == LAYER_ENFORCED ? ENOSPC : 0);
	CHECK_INT(said(&m, "watch"), userns == LAYER_ENFORCED ? EMFILE : 0);
	CHECK(nesting_possible());
	CHECK_INT(inmate_end(&m), 7 << 8);
	close(r.image_fd);
}

BODY(inside)
{
	full_policy(&p);
	request(&r, &p);
	whole_life(LAYER_ENFORCED);
}

BODY(inside_without_user_namespace)
{
	full_policy(&p);
	p.ns[PNS_USER] = NEED_OFF;
	request(&r, &p);
	whole_life(LAYER_NOT_ASKED);
}

/* As under the old interfaces: before Linux 5.2, 5.9, 5.12. */
BODY(inside_on_old_kernels)
{
	obstruct(SYS_mount_setattr, ENOSYS);
	obstruct(SYS_open_tree, ENOSYS);
	obstruct(SYS_close_range, ENOSYS);
	full_policy(&p);
	request(&r, &p);
	whole_life(LAYER_ENFORCED);
}

BODY(parent_not_dumpable)
{
	CHECK(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0);
	full_policy(&p);
	p.ns[PNS_USER] = NEED_REQUIRED;
	request(&r, &p);
	whole_life(LAYER_ENFORCED);
}

BODY(roots_groups_are_dropped)
{
	const gid_t groups[] = {0, 5, 27};
	char text[200];

	CHECK(setgroups(3, groups) == 0);
	full_policy(&p);
	request(&r, &p);
	START(&m, &r, NULL, NULL);
	inmate_listen(&m);
	status_of(m.pid, "Groups", text, sizeof(text));
	CHECK_INT(strlen(text), 0);
	CHECK_INT(inmate_end(&m), 7 << 8);

	CHECK(setgroups(1, groups) == 0); /* group 0 alone, which is also our own */
	START(&m, &r, "all", NULL);
	inmate_listen(&m);
	CHECK_INT(said(&m, "groups"), 0);
	CHECK_INT(inmate_end(&m), 7 << 8);
	close(r.image_fd);
}

/* An ordinary user cannot drop his: said, and no reason not to start. */
BODY(users_groups_are_reported)
{
	const gid_t groups[] = {USER + 1, USER + 2};

	CHECK(setgroups(2, groups) == 0 && setresgid(USER, USER, USER) == 0 &&
	    setresuid(USER, USER, USER) == 0);
	full_policy(&p);
	request(&r, &p);
	START(&m, &r, NULL, NULL);
	CHECK_INT(m.rep.state[LAYER_GROUPS], LAYER_ABSENT);
	CHECK_INT(m.rep.err[LAYER_GROUPS], EPERM);
	inmate_listen(&m);
	CHECK_INT(inmate_end(&m), 7 << 8);
	close(r.image_fd);
}

static const struct sock_filter allow_all[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
static struct sock_fprog outer = {.len = 1,
    .filter = (struct sock_filter *)(uintptr_t)allow_all};

BODY(outside)
{
	static const char *const sets[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
	static const char *const ns[] = {"user", "mnt", "net", "pid", "ipc", "uts", "cgroup"};
	char text[200], path[64], theirs[64], ours[64];

	full_policy(&p);
	request(&r, &p);
	r.outer = &outer;
	START(&m, &r, NULL, NULL);
	CHECK_INT(m.rep.state[LAYER_OUTER_SECCOMP], LAYER_ENFORCED);
	inmate_listen(&m);
	for (int i = 0; i < 5; i++) {
		status_of(m.pid, sets[i], text, sizeof(text));
		CHECK_INT(strcmp(text, "0000000000000000"), 0);
	}
	status_of(m.pid, "Seccomp", text, sizeof(text));
	CHECK_INT(strcmp(text, "2"), 0);
	status_of(m.pid, "NoNewPrivs", text, sizeof(text));
	CHECK_INT(strcmp(text, "1"), 0);
	status_of(m.pid, "Groups", text, sizeof(text));
	CHECK_INT(strcmp(text, ""), 0);
	status_of(m.pid, "PPid", text, sizeof(text));
	CHECK_INT(atoi(text), getpid());
	for (int i = 0; i < 7; i++) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)m.pid, ns[i]);
		CHECK((n = readlink(path, theirs, sizeof(theirs) - 1)) > 0);
		theirs[n] = '\0';
		snprintf(path, sizeof(path), "/proc/self/ns/%s", ns[i]);
		CHECK((n = readlink(path, ours, sizeof(ours) - 1)) > 0);
		ours[n] = '\0';
		CHECK(strcmp(theirs, ours) != 0);
	}
	CHECK_INT(inmate_end(&m), 7 << 8);
	close(r.image_fd);
}

static int
score_of(const char *pid, int raise_to)
{
	char path[48], text[16] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/oom_score_adj", pid);
	CHECK((fd = open(path, raise_to >= 0 ? O_RDWR | O_CLOEXEC : O_RDONLY | O_CLOEXEC)) != -1);
	if (raise_to >= 0)
		CHECK(dprintf(fd, "%d", raise_to) > 0);
	CHECK(pread(fd, text, sizeof(text) - 1, 0) > 0);
	close(fd);
	return atoi(text);
}

static int
score_inside(void)
{
	char pid[16];
	int score;

	START(&m, &r, "all", NULL);
	CHECK_INT(m.rep.state[LAYER_OOM_SCORE], LAYER_ENFORCED);
	inmate_listen(&m);
	snprintf(pid, sizeof(pid), "%d", (int)m.pid);
	score = score_of(pid, -1);
	CHECK_INT(inmate_end(&m), 7 << 8);
	return score;
}

/* Raised, never lowered; and passed on for others. */
BODY(scores)
{
	CHECK_INT(score_of("self", 0), 0);
	full_policy(&p);
	for (int i = 0; i < 2; i++) {
		p.ns[PNS_USER] = i == 0 ? NEED_REQUIRED : NEED_OFF;
		request(&r, &p);
		CHECK_INT(score_inside(), 123);
		CHECK_INT(said(&m, "fds_3_4"), 0);
		r.score_need = NEED_REQUIRED;
		r.score_fd = 5;
		CHECK_INT(score_inside(), 123);
		CHECK_INT(said(&m, "fds_3_4_5"), 0);
		CHECK_INT(said(&m, "dumpable"), 0);
		p.oom_need = NEED_OFF; /* for what it starts, and not itself */
		CHECK_INT(score_inside(), 0);
		CHECK_INT(said(&m, "score"), 0);
		CHECK_INT(said(&m, "scored"), 77);
		p.oom_need = NEED_REQUIRED;
		close(r.image_fd);
		if (geteuid() != 0)
			break;
	}
	request(&r, &p);
	CHECK_INT(score_of("self", 700), 700);
	CHECK_INT(score_inside(), 700);
	close(r.image_fd);
}

/* NPROC 0 and an uid that has a process already: exec must not fail. */
BODY(two_at_once)
{
	struct inmate second;

	full_policy(&p);
	request(&r, &p);
	START(&m, &r, NULL, NULL);
	START(&second, &r, NULL, NULL);
	inmate_listen(&m);
	inmate_listen(&second);
	CHECK_INT(inmate_end(&m), 7 << 8);
	CHECK_INT(inmate_end(&second), 7 << 8);
	close(r.image_fd);
}

BODY(ends_are_passed_on)
{
	full_policy(&p);
	request(&r, &p);
	START(&m, &r, "quit", NULL);
	CHECK_INT(inmate_end(&m), 7 << 8);
	/* Not raise: PID 1 of a namespace does not mind that. */
	START(&m, &r, NULL, NULL);
	inmate_listen(&m);
	CHECK(kill(m.pid, SIGKILL) == 0);
	CHECK_INT(inmate_end(&m), SIGKILL);
	/* Too little address space for the image: exec is past its point of no return. */
	r.vsz_limit = 4096;
	START(&m, &r, NULL, NULL);
	CHECK(WIFSIGNALED(inmate_end(&m)));
	close(r.image_fd);
}

BODY(early_landlock_and_mdwe)
{
	static const struct late_plan plan = {.landlock = NEED_REQUIRED, .landlock_min_abi = 1,
	    .mdwe = NEED_REQUIRED};

	full_policy(&p);
	request(&r, &p);
	r.early = &plan;
	START(&m, &r, "wx", "all");
	CHECK_INT(m.rep.state[LAYER_LANDLOCK], LAYER_ENFORCED);
	CHECK_INT(m.rep.state[LAYER_MDWE], LAYER_ENFORCED);
	CHECK_INT(m.rep.state[LAYER_DUMPABLE], LAYER_NOT_ASKED);
	inmate_listen(&m);
	CHECK_INT(said(&m, "wx"), EACCES);
	CHECK_INT(said(&m, "entries"), -1); /* opendir is denied */
	CHECK_INT(inmate_end(&m), 7 << 8);
	close(r.image_fd);
}

BODY(capabilities_that_stay)
{
	full_policy(&p);
	p.caps = UINT64_C(1) << 10; /* net_bind_service */
	for (int i = 0; i < 2; i++) {
		p.ns[PNS_USER] = i == 0 ? NEED_REQUIRED : NEED_OFF;
		request(&r, &p);
		START(&m, &r, "all", NULL);
		inmate_listen(&m);
		CHECK_INT(said(&m, "effective"), 1 << 10);
		CHECK_INT(said(&m, "permitted"), 1 << 10);
		CHECK_INT(said(&m, "bounding"), 1);
		CHECK_INT(said(&m, "securebits"), 0xef);
		CHECK_INT(inmate_end(&m), 7 << 8);
		close(r.image_fd);
		if (geteuid() != 0)
			break;
	}
}

/* ---- root of sockets ---------------------------------------------------------- */

static void
socket_root(enum layer_need user)
{
	char dir[] = "/tmp/sockets.XXXXXX", path[80];
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(mkdtemp(dir) != NULL && chmod(dir, 0755) == 0);
	snprintf(path, sizeof(path), "%s/login", dir);
	strcpy(a.sun_path, path);
	umask(0);
	CHECK(bind(s, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(s, 5) == 0);
	full_policy(&p);
	p.ns[PNS_USER] = user;
	p.root = PROOT_SOCKETS;
	request(&r, &p);
	r.root_dir = dir;
	START(&m, &r, "connect=/login", "all");
	CHECK_INT(m.rep.state[LAYER_ROOT], LAYER_ENFORCED);
	inmate_listen(&m);
	CHECK_INT(said(&m, "connect"), 0);
	CHECK_INT(said(&m, "bind"), EROFS);
	CHECK_INT(said(&m, "unlink"), EROFS);
	CHECK_INT(said(&m, "mkdir"), EROFS);
	CHECK_INT(said(&m, "up"), ENOENT);
	CHECK_INT(said(&m, "entries"), 3);
	CHECK_INT(said(&m, "readonly"), 1);
	CHECK_INT(said(&m, "noexec"), 1);
	CHECK_INT(inmate_end(&m), 7 << 8);
	close(s);
	unlink(path);
	rmdir(dir);
	/* It is gone now, which is worth a word of its own. */
	CHECK_INT(inmate_start(&m, &r, "all", NULL), -1);
	CHECK_HAS(m.why, "the layer \"root\"");
	CHECK_HAS(m.why, "ENOENT");
	CHECK_HAS(m.why, dir);
	close(r.image_fd);
}

BODY(sockets)
{
	socket_root(NEED_REQUIRED);
}

BODY(sockets_without_user_namespace)
{
	socket_root(NEED_OFF);
}

BODY(sockets_on_old_kernels)
{
	obstruct(SYS_mount_setattr, ENOSYS);
	socket_root(NEED_OPTIONAL);
}

/* ---- descriptors ---------------------------------------------------------------- */

static int
tagged(char tag)
{
	int fd = memfd_create("tag", MFD_CLOEXEC);

	CHECK(fd != -1 && pwrite(fd, &tag, 1, 0) == 1);
	return fd;
}

static char
tag_of(int fd)
{
	char tag = '-';

	return pread(fd, &tag, 1, 0) == 1 ? tag : '-';
}

/* Sources that lie exactly on other targets, and on the image's number. */
BODY(fds_permuted)
{
	static const int place[] = {4, 3, 10, 5, 12, 2};
	static const int target[] = {3, 4, 5, 12, 2, 6};
	struct confine_req q = {.nfds = 6};
	char list[64] = "";
	int alive[2], end, keep;
	pid_t pid = fork();

	if (pid != 0) {
		int status;

		CHECK_INT(waitpid(pid, &status, 0), pid);
		CHECK_INT(status, 0);
		return;
	}
	CHECK(pipe2(alive, O_CLOEXEC) == 0);
	CHECK((keep = fcntl(alive[1], F_DUPFD_CLOEXEC, 40)) != -1);
	q.image_fd = fcntl(tagged('I'), F_DUPFD_CLOEXEC, 30);
	for (int i = 0; i < 6; i++) {
		int fd = fcntl(tagged((char)('a' + i)), F_DUPFD_CLOEXEC, 50 + i);

		CHECK(fd != -1);
		q.fds[i] = (struct confine_fd){.from = fd, .to = target[i]};
	}
	for (int i = 0; i < 6; i++) {
		CHECK(dup3(q.fds[i].from, place[i], O_CLOEXEC) != -1);
		q.fds[i].from = place[i];
	}
	end = keep;
	CHECK_INT(fds_place(&q, &end), 0);
	for (int i = 0; i < 6; i++) {
		CHECK_INT(tag_of(target[i]), 'a' + i);
		CHECK_INT(fcntl(target[i], F_GETFD), 0);
	}
	CHECK_INT(tag_of(FD_IMAGE), 'I');
	CHECK_INT(fcntl(FD_IMAGE, F_GETFD), FD_CLOEXEC);
	CHECK_INT(fcntl(end, F_GETFD), FD_CLOEXEC);
	for (int fd = 0; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) != -1)
			sprintf(list + strlen(list), " %d", fd);
	_exit(strcmp(list, " 2 3 4 5 6 10 12 13") == 0 && end == 13 ? 0 : 1);
}

BODY(fds_refused)
{
	struct confine_req q = {.image_fd = 0, .nfds = 2, .fds = {{0, 3}, {1, 3}}};
	int end = 2;

	CHECK_INT(fds_place(&q, &end), -1); /* twice the same */
	CHECK_INT(errno, EINVAL);
	q.fds[1].to = FD_IMAGE;
	CHECK_INT(fds_place(&q, &end), -1);
	CHECK_INT(errno, EINVAL);
	full_policy(&p);
	request(&r, &p);
	r.fds[0] = (struct confine_fd){.from = 777, .to = 3};
	r.nfds = 1;
	CHECK_INT(confine_spawn(&r, 0, &m.pid, &m.rep, &m.d), -1);
	CHECK_HAS(m.d.text, "descriptors");
	CHECK_HAS(m.d.text, "EBADF");
	close(r.image_fd);
}

/* ---- images ------------------------------------------------------------------------ */

BODY(images)
{
	struct stat st;
	int fd = confine_seal_image(inmate_path, "inmate");

	CHECK(fd != -1);
	CHECK_INT(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK((fcntl(fd, F_GET_SEALS) & 15) == 15);
	CHECK(fstat(fd, &st) == 0);
	CHECK_INT(st.st_mode & 07777, 0111);
	CHECK_INT(pwrite(fd, "x", 1, 0), -1);
	CHECK_INT(ftruncate(fd, 0), -1);
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
	close(fd);
	CHECK_INT(confine_seal_image("/nonexistent", "x"), -1);
	CHECK_INT(errno, ENOENT);
	CHECK_INT(confine_seal_image("/tmp", "x"), -1);
	CHECK_INT(errno, ENOEXEC);
}

BODY(data)
{
	char buf[20];
	int fd = confine_seal_data("settings", 8, "settings");

	CHECK(fd != -1);
	CHECK_INT(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_INT(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	CHECK((fcntl(fd, F_GET_SEALS) & 15) == 15);
	CHECK_INT(read(fd, buf, sizeof(buf)), 8);
	CHECK_INT(memcmp(buf, "settings", 8), 0);
	CHECK_INT(write(fd, "x", 1), -1);
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED);
	close(fd);
	CHECK((fd = confine_seal_data("", 0, "empty")) != -1);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(inside_root),
	    cmocka_unit_test(inside_user),
	    cmocka_unit_test(inside_without_user_namespace_root),
	    cmocka_unit_test(inside_on_old_kernels_root),
	    cmocka_unit_test(inside_on_old_kernels_user),
	    cmocka_unit_test(parent_not_dumpable_root),
	    cmocka_unit_test(parent_not_dumpable_user),
	    cmocka_unit_test(roots_groups_are_dropped_root),
	    cmocka_unit_test(users_groups_are_reported_root),
	    cmocka_unit_test(outside_root),
	    cmocka_unit_test(scores_root),
	    cmocka_unit_test(scores_user),
	    cmocka_unit_test(two_at_once_root),
	    cmocka_unit_test(two_at_once_user),
	    cmocka_unit_test(ends_are_passed_on_root),
	    cmocka_unit_test(ends_are_passed_on_user),
	    cmocka_unit_test(early_landlock_and_mdwe_root),
	    cmocka_unit_test(early_landlock_and_mdwe_user),
	    cmocka_unit_test(capabilities_that_stay_root),
	    cmocka_unit_test(capabilities_that_stay_user),
	    cmocka_unit_test(sockets_root),
	    cmocka_unit_test(sockets_user),
	    cmocka_unit_test(sockets_without_user_namespace_root),
	    cmocka_unit_test(sockets_on_old_kernels_root),
	    cmocka_unit_test(sockets_on_old_kernels_user),
	    cmocka_unit_test(fds_permuted_user),
	    cmocka_unit_test(fds_refused_user),
	    cmocka_unit_test(images_user),
	    cmocka_unit_test(data_user),
	};

	return cmocka_run_group_tests(tests, build_inmate, remove_inmate);
}
