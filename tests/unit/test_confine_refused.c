/* SRC: src/confine/[a-z]*.c src/policy/[a-z]*.c src/common/diag.c src/common/str.c src/common/log.c src/ipc/codec.c src/ipc/filters.c */
/* LIBS: -lcap-ng -lseccomp -lcrypto */
/* Kernels that lack a layer and sandboxes that refuse it: the right report, the
 * right words, nothing left behind. */
#include "confine_expect.h"

#include <sys/mount.h>

#include "confine/internal.h"

/* ---- user namespace ------------------------------------------------------------- */

static const char *const userns_words[] = {"EPERM", "kernel.unprivileged_userns_clone",
    "user.max_user_namespaces", "kernel.apparmor_restrict_unprivileged_userns",
    "confine_optional = user", NULL};

BODY(user_required)
{
	no_user_namespaces(EPERM);
	setup(NEED_REQUIRED);
	expect_failure(LAYER_USERNS, EPERM, userns_words);
}

/* Root goes on with its own capabilities, and everything else holds. */
BODY(user_optional_as_root)
{
	no_user_namespaces(EPERM);
	setup(NEED_OPTIONAL);
	expect_life();
	expect_state(LAYER_USERNS, LAYER_REFUSED, EPERM);
	expect_state(LAYER_NESTING, LAYER_ABSENT, EOPNOTSUPP);
	for (int l = LAYER_IDS; l <= LAYER_NO_NEW_PRIVS; l++)
		if (l != LAYER_USERNS && l != LAYER_NESTING)
			expect_state((enum layer)l, LAYER_ENFORCED, 0);
	CHECK_INT(said(&m, "uid"), INMATE_UID);
	CHECK_INT(said(&m, "groups"), 0);
	CHECK_INT(said(&m, "bounding"), 0);
	CHECK_INT(said(&m, "securebits"), 0xef);
	CHECK_INT(said(&m, "entries"), 2);
	CHECK_INT(said(&m, "pid"), 1);
}

BODY(user_named_in_confine_optional)
{
	no_user_namespaces(ENOSYS);
	setup(NEED_REQUIRED);
	r.optional = BIT(LAYER_USERNS);
	expect_life();
	expect_state(LAYER_USERNS, LAYER_ABSENT, ENOSYS);
}

/* An ordinary user has nothing else: the reason is still the user namespace. */
BODY(user_optional_as_user)
{
	static const char *const words[] = {"mount namespace", "no user namespace (EPERM)",
	    "kernel.unprivileged_userns_clone", "confine_optional = mount net pid ipc uts cgroup root",
	    NULL};

	no_user_namespaces(EPERM);
	setup(NEED_OPTIONAL);
	expect_failure(LAYER_MOUNTNS, EPERM, words);
}

BODY(user_with_nothing)
{
	no_user_namespaces(EPERM);
	setup(NEED_OPTIONAL);
	r.optional = ALL_OPTIONAL;
	expect_life();
	for (int l = LAYER_USERNS; l <= LAYER_SECUREBITS; l++)
		if (l != LAYER_NESTING && l != LAYER_OOM_SCORE)
			expect_state((enum layer)l, LAYER_REFUSED, EPERM);
	expect_state(LAYER_OOM_SCORE, LAYER_ENFORCED, 0);
	expect_state(LAYER_NESTING, LAYER_ABSENT, EOPNOTSUPP);
	expect_state(LAYER_RLIMITS, LAYER_ENFORCED, 0);
	expect_state(LAYER_NO_NEW_PRIVS, LAYER_ENFORCED, 0);
	CHECK_INT(said(&m, "nnp"), 1);
	CHECK_INT(said(&m, "effective"), 0);
	CHECK_INT(said(&m, "permitted"), 0);
	CHECK_INT(said(&m, "fds_3_4"), 0);
	CHECK_INT(said(&m, "nproc"), 0);
}

static void
write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	CHECK(fd != -1 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* In a user namespace of our own whose limit we set: what a site's sysctl does. */
BODY(user_limit)
{
	static const char *const words[] = {"ENOSPC", "user.max_user_namespaces", NULL};

	CHECK(unshare(CLONE_NEWUSER) == 0);
	write_to("/proc/self/setgroups", "deny");
	write_to("/proc/self/uid_map", "65500 65500 1\n");
	write_to("/proc/self/gid_map", "65500 65500 1\n");
	write_to("/proc/sys/user/max_user_namespaces", "0");
	setup(NEED_REQUIRED);
	expect_failure(LAYER_USERNS, ENOSPC, words);
	/* And with the rights in that namespace the rest is possible all the same. */
	setup(NEED_OPTIONAL);
	expect_life();
	expect_state(LAYER_USERNS, LAYER_REFUSED, ENOSPC);
	expect_state(LAYER_ROOT, LAYER_ENFORCED, 0);
	expect_state(LAYER_CAPS, LAYER_ENFORCED, 0);
}

/* The maps cannot be written: never half a user namespace. */
BODY(user_map)
{
	static const char *const words[] = {"uid_map", "ENOENT", NULL};
	static const char *const score[] = {"oom_score_adj", "ENOENT", "confine_optional = oom-score", NULL};

	CHECK(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	setup(NEED_REQUIRED);
	CHECK(mount("tmpfs", "/proc", "tmpfs", 0, NULL) == 0);
	expect_failure(LAYER_USERNS, ENOENT, words);
	request(&r, &p);
	p.ns[PNS_USER] = NEED_OPTIONAL;
	expect_failure(LAYER_OOM_SCORE, ENOENT, score);
	request(&r, &p);
	p.oom_need = NEED_OPTIONAL;
	START(&m, &r, "all", NULL);
	inmate_listen(&m);
	expect_state(LAYER_USERNS, LAYER_REFUSED, ENOENT);
	expect_state(LAYER_OOM_SCORE, LAYER_REFUSED, ENOENT);
	CHECK_INT(said(&m, "uid"), INMATE_UID);
	CHECK_INT(inmate_end(&m), 7 << 8);
	close(r.image_fd);
}

/* User namespaces are made but worth nothing, as where AppArmor restricts them. */
BODY(user_worthless)
{
	struct sock_filter insn[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unshare, 0, 2),
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARG_LOW(0)),
	    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_NEWNS, 1, 0),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	};
	static const char *const words[] = {"mount namespace", "EPERM", "confine_optional = mount", NULL};

	install(insn, sizeof(insn) / sizeof(insn[0]));
	setup(NEED_REQUIRED);
	expect_failure(LAYER_MOUNTNS, EPERM, words);
	setup(NEED_OPTIONAL); /* root tries without, which is refused here as well */
	expect_failure(LAYER_MOUNTNS, EPERM, words);
	setup(NEED_OPTIONAL);
	r.optional = BIT(LAYER_MOUNTNS) | BIT(LAYER_ROOT);
	expect_life();
	expect_state(LAYER_USERNS, LAYER_ENFORCED, 0);
	expect_state(LAYER_MOUNTNS, LAYER_REFUSED, EPERM);
	expect_state(LAYER_ROOT, LAYER_REFUSED, EPERM);
	/* Not a root that the policy means, but one in which nobody can make anything. */
	CHECK_INT(said(&m, "up"), ENOENT);
	CHECK_INT(said(&m, "mkdir"), ENOENT);
	CHECK_INT(said(&m, "create"), ENOENT);
}

/* ---- the others ---------------------------------------------------------------------- */

BODY(other_namespaces)
{
	static const struct {
		enum policy_ns ns;
		enum layer layer;
		uint32_t flag;
	} each[] = {{PNS_NET, LAYER_NETNS, CLONE_NEWNET}, {PNS_PID, LAYER_PIDNS, CLONE_NEWPID},
	    {PNS_IPC, LAYER_IPCNS, CLONE_NEWIPC}, {PNS_UTS, LAYER_UTSNS, CLONE_NEWUTS},
	    {PNS_CGROUP, LAYER_CGROUPNS, CLONE_NEWCGROUP}};

	for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
		const char *words[] = {"EINVAL", layer_word(each[i].layer), NULL};
		int status;
		pid_t pid = fork();

		if (pid != 0) {
			CHECK_INT(waitpid(pid, &status, 0), pid);
			CHECK_INT(status, 0);
			continue;
		}
		obstruct_if(SYS_unshare, 0, each[i].flag, SECCOMP_RET_ERRNO | EINVAL);
		setup(NEED_OPTIONAL);
		expect_failure(each[i].layer, EINVAL, words);
		setup(NEED_OPTIONAL);
		p.ns[each[i].ns] = NEED_OPTIONAL;
		expect_life();
		expect_state(each[i].layer, LAYER_ABSENT, EINVAL);
		expect_state(LAYER_ROOT, LAYER_ENFORCED, 0);
		setup(NEED_OPTIONAL);
		r.optional = BIT(each[i].layer);
		expect_life();
		_exit(0);
	}
}

static void
no_mounts(int nr, const char *what)
{
	const char *const words[] = {what, "EPERM", "confine_optional = root", NULL};

	obstruct(nr, EPERM);
	setup(NEED_OPTIONAL);
	expect_failure(LAYER_ROOT, EPERM, words);
	setup(NEED_OPTIONAL);
	r.optional = BIT(LAYER_ROOT);
	expect_life();
	expect_state(LAYER_ROOT, LAYER_REFUSED, EPERM);
	CHECK_INT(said(&m, "up"), ENOENT);
	CHECK(said(&m, "mkdir") != 0);
}

BODY(mount_refused)
{
	no_mounts(SYS_mount, "mount");
}

BODY(pivot_refused)
{
	no_mounts(SYS_pivot_root, "pivot_root");
}

/* Once the roots are exchanged there is no way back, and the old one may be in
 * reach ("/.." leads there): not even optional. */
static void
half_a_root(int nr, const char *what)
{
	const char *const words[] = {what, "EPERM", NULL};

	obstruct(nr, EPERM);
	setup(NEED_OPTIONAL);
	expect_failure(LAYER_ROOT, EPERM, words);
	setup(NEED_OPTIONAL);
	r.optional = BIT(LAYER_ROOT);
	expect_failure(LAYER_ROOT, EPERM, words);
}

BODY(umount_refused)
{
	half_a_root(SYS_umount2, "umount of the old root");
}

BODY(root_stays_writable)
{
	half_a_root(SYS_mount_setattr, "remount of the new root");
}

/* Where even chroot is refused, that is what the report says. */
BODY(chroot_refused)
{
	obstruct(SYS_chroot, EPERM);
	setup(NEED_OPTIONAL);
	p.root_need = NEED_OPTIONAL;
	p.ns[PNS_MOUNT] = NEED_OFF;
	expect_life();
	expect_state(LAYER_ROOT, LAYER_REFUSED, EPERM);
	CHECK_INT(said(&m, "up"), 0);
}

BODY(sockets_without_mounts)
{
	char dir[] = "/tmp/sockets.XXXXXX";

	CHECK(mkdtemp(dir) != NULL && chmod(dir, 0555) == 0);
	obstruct(SYS_mount, EPERM);
	setup(NEED_OPTIONAL);
	p.root = PROOT_SOCKETS;
	r.root_dir = dir;
	r.optional = BIT(LAYER_ROOT);
	expect_life();
	expect_state(LAYER_ROOT, LAYER_REFUSED, EPERM);
	CHECK_INT(said(&m, "up"), ENOENT);
	CHECK_INT(said(&m, "entries"), 2);
	rmdir(dir);
}

BODY(score_refused)
{
	static const char *const words[] = {"oom_score_adj", "EROFS", "confine_optional = oom-score", NULL};

	obstruct_if(SYS_openat, 2, O_RDWR, SECCOMP_RET_ERRNO | EROFS);
	setup(NEED_REQUIRED);
	expect_failure(LAYER_OOM_SCORE, EROFS, words);
	/* no better if it is for what the process will start */
	setup(NEED_REQUIRED);
	p.oom_need = NEED_OFF;
	r.score_need = NEED_REQUIRED;
	r.score_fd = 5;
	expect_failure(LAYER_OOM_SCORE, EROFS, words);
	setup(NEED_REQUIRED);
	r.optional = BIT(LAYER_OOM_SCORE);
	r.score_need = NEED_REQUIRED;
	r.score_fd = 5;
	expect_life();
	expect_state(LAYER_OOM_SCORE, LAYER_REFUSED, EROFS);
	CHECK_INT(said(&m, "fds_3_4"), 0);
}

BODY(groups_refused)
{
	static const char *const words[] = {"setgroups", "EPERM", NULL};

	obstruct(SYS_setgroups, EPERM);
	setup(NEED_OPTIONAL);
	expect_failure(LAYER_GROUPS, EPERM, words);
}

/* A sandbox that lies: the call succeeds and does nothing. */
BODY(ids_unchanged)
{
	static const char *const words[] = {"setresuid", "EPERM", NULL};

	obstruct(SYS_setresuid, 0);
	setup(NEED_OPTIONAL);
	expect_failure(LAYER_IDS, EPERM, words);
}

BODY(caps_unchanged)
{
	static const char *const words[] = {"capset", "EPERM", NULL};

	obstruct(SYS_capset, 0);
	setup(NEED_OPTIONAL);
	expect_failure(LAYER_CAPS, EPERM, words);
}

BODY(limits_unchanged)
{
	static const char *const words[] = {"setrlimit", NULL};

	setup(NEED_OPTIONAL);
	strcpy(p.limits[0].name, "unheard-of");
	expect_failure(LAYER_RLIMITS, EINVAL, words);
}

BODY(ids_as_user)
{
	static const char *const words[] = {"only root", "EPERM", NULL};

	setup(NEED_OPTIONAL);
	r.uid = USER + 1;
	r.gid = USER;
	expect_failure(LAYER_IDS, EPERM, words);
}

static const struct sock_filter allow_insn[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
static const struct sock_filter kill_insn[] = {
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)};

static struct sock_fprog
program(const struct sock_filter *insn)
{
	return (struct sock_fprog){.len = 1, .filter = (struct sock_filter *)(uintptr_t)insn};
}

BODY(seccomp_refused)
{
	static const char *const words[] = {"EINVAL", "CONFIG_SECCOMP_FILTER", NULL};
	struct sock_fprog outer = program(allow_insn);

	obstruct(SYS_seccomp, EINVAL);
	setup(NEED_OPTIONAL);
	r.outer = &outer;
	expect_failure(LAYER_OUTER_SECCOMP, EINVAL, words);
}

/* Told beforehand: with the filter in force nobody could. */
BODY(outer_filter_without_exec)
{
	struct sock_fprog outer = program(kill_insn);

	setup(NEED_OPTIONAL);
	r.outer = &outer;
	CHECK_INT(inmate_start(&m, &r, NULL, NULL), -1);
	CHECK_HAS(m.why, "execveat");
	CHECK_HAS(m.why, "flags == AT_EMPTY_PATH");
	close(r.image_fd);
}

BODY(not_a_program)
{
	setup(NEED_OPTIONAL);
	close(r.image_fd);
	r.image_fd = confine_seal_data("no program", 10, "text");
	CHECK_INT(inmate_start(&m, &r, NULL, NULL), -1);
	CHECK_HAS(m.why, "inmate: exec: ");
	close(r.image_fd);
	r.image_fd = -1;
	r.path = inmate_path;
	CHECK_INT(inmate_start(&m, &r, NULL, NULL), -1);
	CHECK_HAS(m.why, "no program");
}

BODY(no_processes)
{
	setup(NEED_OPTIONAL);
	obstruct(SYS_clone, EAGAIN);
	CHECK_INT(inmate_start(&m, &r, NULL, NULL), -1);
	CHECK_HAS(m.why, "EAGAIN");
	close(r.image_fd);
}

/* ---- dying and hanging on the way -------------------------------------------------- */

BODY(killed_on_the_way)
{
	setup(NEED_OPTIONAL);
	obstruct_if(SYS_pivot_root, 0, 0, SECCOMP_RET_KILL_PROCESS);
	CHECK_INT(inmate_start(&m, &r, NULL, NULL), -1);
	CHECK_HAS(m.why, "died on its way");
	close(r.image_fd);
}

BODY(intermediate_killed)
{
	setup(NEED_OPTIONAL);
	obstruct_if(SYS_unshare, 0, CLONE_NEWNET, SECCOMP_RET_KILL_PROCESS);
	CHECK_INT(inmate_start(&m, &r, NULL, NULL), -1);
	CHECK_HAS(m.why, "died on its way");
	close(r.image_fd);
}

/* The call waits for an answer of ours that never comes. */
static void
hang_at(int nr)
{
	struct sock_filter insn[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 1, 0),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
	};
	struct sock_fprog prog = {.len = 4, .filter = insn};
	int listener;

	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
	    SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog);
	CHECK(listener != -1);
	CHECK(fcntl(listener, F_SETFD, FD_CLOEXEC) == 0);
	confine_deadline_ms = 300;
	setup(NEED_OPTIONAL);
	CHECK_INT(inmate_start(&m, &r, NULL, NULL), -1);
	CHECK_HAS(m.why, "within 300 ms, killed");
	close(r.image_fd);
	close(listener);
}

BODY(first_process_hangs)
{
	hang_at(SYS_pivot_root);
}

BODY(intermediate_hangs)
{
	hang_at(SYS_unshare);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(user_required_root),
	    cmocka_unit_test(user_required_user),
	    cmocka_unit_test(user_optional_as_root_root),
	    cmocka_unit_test(user_named_in_confine_optional_root),
	    cmocka_unit_test(user_optional_as_user_user),
	    cmocka_unit_test(user_with_nothing_user),
	    cmocka_unit_test(user_limit_user),
	    cmocka_unit_test(user_map_root),
	    cmocka_unit_test(user_worthless_root),
	    cmocka_unit_test(user_worthless_user),
	    cmocka_unit_test(other_namespaces_root),
	    cmocka_unit_test(other_namespaces_user),
	    cmocka_unit_test(mount_refused_root),
	    cmocka_unit_test(mount_refused_user),
	    cmocka_unit_test(pivot_refused_root),
	    cmocka_unit_test(pivot_refused_user),
	    cmocka_unit_test(umount_refused_root),
	    cmocka_unit_test(chroot_refused_root),
	    cmocka_unit_test(sockets_without_mounts_root),
	    cmocka_unit_test(sockets_without_mounts_user),
	    cmocka_unit_test(root_stays_writable_root),
	    cmocka_unit_test(score_refused_root),
	    cmocka_unit_test(score_refused_user),
	    cmocka_unit_test(groups_refused_root),
	    cmocka_unit_test(ids_unchanged_root),
	    cmocka_unit_test(caps_unchanged_root),
	    cmocka_unit_test(caps_unchanged_user),
	    cmocka_unit_test(limits_unchanged_root),
	    cmocka_unit_test(ids_as_user_user),
	    cmocka_unit_test(seccomp_refused_root),
	    cmocka_unit_test(seccomp_refused_user),
	    cmocka_unit_test(outer_filter_without_exec_user),
	    cmocka_unit_test(not_a_program_root),
	    cmocka_unit_test(not_a_program_user),
	    cmocka_unit_test(no_processes_user),
	    cmocka_unit_test(killed_on_the_way_root),
	    cmocka_unit_test(killed_on_the_way_user),
	    cmocka_unit_test(intermediate_killed_user),
	    cmocka_unit_test(first_process_hangs_root),
	    cmocka_unit_test(first_process_hangs_user),
	    cmocka_unit_test(intermediate_hangs_user),
	};

	return cmocka_run_group_tests(tests, build_inmate, remove_inmate);
}
