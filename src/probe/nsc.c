/* NSC: namespaces, ids, capabilities, keys, and the security modules. */
#include <linux/capability.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "probe/numbers.h"
#include "probe/sys.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

static struct outcome
nsc_clone3(const struct test *t)
{
	static struct clone_args args;

	args.flags = (uint64_t)t->a[0];
	args.exit_signal = SIGCHLD;
	return open_if(sys_spawn(NR_CLONE3, ARG(&args), sizeof(args), 0, 0, 0));
}

static struct outcome
nsc_clone(const struct test *t)
{
	return open_if(sys_spawn(SYS_clone, t->a[0] | SIGCHLD, 0, 0, 0, 0));
}

static struct outcome
nsc_setns_fds(const struct test *t)
{
	long rv = sys2(SYS_setns, place.client, 0);

	(void)t;
	for (int fd = 0; fd < 64; fd++)
		if (quiet3(SYS_setns, fd, 0, 0) == 0)
			return opened("a namespace is inherited");
	return refused(rv);
}

static struct outcome
nsc_setns_proc(const struct test *t)
{
	long fd = sys4(SYS_openat, -100, "/proc/1/ns/net", 0, 0), rv;

	(void)t;
	if (fd < 0)
		return refused(fd);
	rv = sys2(SYS_setns, fd, 0);
	sys1(SYS_close, fd);
	return open_if(rv);
}

/* What a user namespace would open. */
static struct outcome
nsc_within(const struct test *t)
{
	long rv = sys1(SYS_unshare, CLONE_NEWUSER | CLONE_NEWNET);

	if (rv < 0)
		return refused(rv);
	return open_if(sys3(SYS_socket, t->a[0], t->a[1], t->a[2]));
}

static struct outcome
nsc_capset(const struct test *t)
{
	static struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	static struct __user_cap_data_struct d[2];

	d[0].effective = d[0].permitted = (unsigned int)t->a[0];
	return open_if(sys2(SYS_capset, &h, d));
}

static struct outcome
nsc_capget(const struct test *t)
{
	static struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	static struct __user_cap_data_struct d[2];
	long rv = sys2(SYS_capget, &h, d);

	(void)t;
	if (rv < 0)
		return refused(rv);
	return (d[0].effective | d[0].permitted | d[0].inheritable | d[1].effective |
	    d[1].permitted | d[1].inheritable) != 0 ? opened("a set is not empty")
						     : blocked("the sets are empty");
}

static struct outcome
nsc_write_map(const struct test *t)
{
	long fd = sys4(SYS_openat, -100, t->a[0], 1, 0);

	if (fd < 0)
		return refused(fd);
	sys1(SYS_close, fd);
	return opened("open for writing");
}

static struct outcome
nsc_forge(const struct test *t)
{
	static struct {
		uint64_t len;
		int level, type, pid, uid, gid;
	} control = {.len = 28, .level = 1, .type = 2 /* SCM_CREDENTIALS */, .pid = 1};
	static struct iovec v = {(void *)(uintptr_t)"x", 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &control,
	    .msg_controllen = sizeof(control)};

	(void)t;
	return open_if(sys3(SYS_sendmsg, place.auth, &m, MSG_DONTWAIT | MSG_NOSIGNAL));
}

/* May a new domain be laid on top?  It can only narrow. */
static struct outcome
nsc_landlock(const struct test *t)
{
	static const uint64_t attr[1] = {1};
	long fd = sys3(NR_LANDLOCK_CREATE, attr, sizeof(attr), 0), rv;

	(void)t;
	if (fd < 0)
		return refused(fd);
	rv = sys2(NR_LANDLOCK_RESTRICT, fd, 0);
	sys1(SYS_close, fd);
	return open_if(rv);
}

#define CALL(nr_, ...) .fn = try_call, .nr = (nr_), .a = {__VA_ARGS__}
#define FD(nr_, ...) .fn = try_fd, .nr = (nr_), .a = {__VA_ARGS__}
#define UNSHARE(what, ns, wall, fl)                                                          \
	{"NSC-01." what, "unshare: " what " namespace", wall, CALL(SYS_unshare, ns),         \
	    .flags = fl},                                                                    \
	{"NSC-01.user_" what, "unshare: user and " what " namespace", "UL",                \
	    CALL(SYS_unshare, CLONE_NEWUSER | (ns))}

const struct test nsc_tests[] = {
    {"NSC-01.user", "unshare: user namespace", "UL", CALL(SYS_unshare, CLONE_NEWUSER)},
    UNSHARE("mount", CLONE_NEWNS, "CAP", T_ROOT),
    UNSHARE("net", CLONE_NEWNET, "CAP", T_ROOT),
    UNSHARE("pid", CLONE_NEWPID, "CAP", T_ROOT),
    UNSHARE("ipc", CLONE_NEWIPC, "CAP", T_ROOT),
    UNSHARE("uts", CLONE_NEWUTS, "CAP", T_ROOT),
    UNSHARE("cgroup", CLONE_NEWCGROUP, "CAP", T_ROOT),
    UNSHARE("time", CLONE_NEWTIME, "CAP", T_ROOT),
    {"NSC-02.clone", "clone with a user namespace", "RL", .fn = nsc_clone,
	.a = {CLONE_NEWUSER}},
    {"NSC-02.clone_all", "clone with all namespaces", "RL", .fn = nsc_clone,
	.a = {CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC}},
    {"NSC-02.clone3", "clone3 with a user namespace", "RL", .fn = nsc_clone3,
	.a = {CLONE_NEWUSER}},
    {"NSC-02.into", "clone3 with all namespaces", "RL", .fn = nsc_clone3,
	.a = {CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC}},
    {"NSC-03.fd", "setns on inherited descriptors", "FD KERN", .fn = nsc_setns_fds},
    {"NSC-03.proc", "setns on /proc/1/ns", "MNT CAP", .fn = nsc_setns_proc, .flags = T_ROOT},
    {"NSC-04.raw", "raw socket in a namespace of its own", "UL", .fn = nsc_within,
	.a = {AF_INET, SOCK_RAW, 1}},
    {"NSC-04.nft", "netfilter in a namespace of its own", "UL", .fn = nsc_within,
	.a = {AF_NETLINK, SOCK_RAW, 12}},
    {"NSC-04.packet", "packet socket in a namespace of its own", "UL", .fn = nsc_within,
	.a = {AF_PACKET, SOCK_RAW, 0}},
    {"NSC-05.setuid", "setuid(0)", "CAP", CALL(SYS_setuid, 0), .flags = T_ROOT},
    {"NSC-05.setgid", "setgid(0)", "CAP", CALL(SYS_setgid, 0), .flags = T_ROOT},
    {"NSC-05.setreuid", "setreuid(0, 0)", "CAP", CALL(SYS_setreuid, 0, 0), .flags = T_ROOT},
    {"NSC-05.setregid", "setregid(0, 0)", "CAP", CALL(SYS_setregid, 0, 0), .flags = T_ROOT},
    {"NSC-05.setresuid", "setresuid(0, 0, 0)", "CAP", CALL(SYS_setresuid, 0, 0, 0),
	.flags = T_ROOT},
    {"NSC-05.setresgid", "setresgid(0, 0, 0)", "CAP", CALL(SYS_setresgid, 0, 0, 0),
	.flags = T_ROOT},
    {"NSC-05.other", "setuid to another account", "CAP", CALL(SYS_setuid, 1), .flags = T_ROOT},
    {"NSC-06", "setgroups", "CAP", CALL(SYS_setgroups, 0, 0), .flags = T_ROOT},
    {"NSC-07.raise", "capset: raise CAP_SYS_ADMIN", "CAP", .fn = nsc_capset, .a = {1 << 21},
	.flags = T_ROOT},
    {"NSC-07.get", "capget: is a set not empty", "CAP", .fn = nsc_capget, .flags = T_ROOT},
    {"NSC-07.ambient", "raise an ambient capability", "CAP", CALL(SYS_prctl, 47, 2, 10, 0, 0),
	.flags = T_ROOT},
    {"NSC-08", "no_new_privs is set", "NNP KERN", CALL(SYS_prctl, 38, 0, 0, 0, 0)},
    {"NSC-09.add", "add_key", "HOST", CALL(SYS_add_key, ARG("user"), ARG("gatehouse-probe"), ARG("x"), 1, -3)},
    {"NSC-09.request", "request_key", "KERN",
	CALL(SYS_request_key, ARG("user"), ARG("gatehouse-probe-none"), 0, 0)},
    {"NSC-09.join", "keyctl: join a session keyring", "", CALL(SYS_keyctl, 1, 0)},
    {"NSC-09.get", "keyctl: id of the session keyring", "", CALL(SYS_keyctl, 0, -3, 0)},
    {"NSC-09.persistent", "keyctl: persistent keyring", "HOST", CALL(SYS_keyctl, 22, -1, -2)},
    {"NSC-09.search", "keyctl: capabilities", "", CALL(SYS_keyctl, 31, ARG(scratch), 8)},
    {"NSC-10.uid", "write uid_map", "MNT", .fn = nsc_write_map, .a = {ARG("/proc/self/uid_map")}},
    {"NSC-10.gid", "write gid_map", "MNT", .fn = nsc_write_map, .a = {ARG("/proc/self/gid_map")}},
    {"NSC-11", "credentials of another over the auth channel", "CAP", .fn = nsc_forge,
	.flags = T_ROOT},
    {"NSC-12.create", "landlock_create_ruleset: version", "",
	CALL(NR_LANDLOCK_CREATE, 0, 0, 1)},
    {"NSC-12.restrict", "another Landlock domain on top", "NNP", .fn = nsc_landlock,
	.flags = T_INFO},
    {"NSC-13.get", "lsm_get_self_attr", "HOST", CALL(NR_LSM_GET_SELF_ATTR, 100, ARG(scratch), ARG(scratch + 512), 0)},
    {"NSC-13.set", "lsm_set_self_attr", "KERN", CALL(NR_LSM_SET_SELF_ATTR, 100, ARG(scratch), 32, 0)},
    {"NSC-13.list", "lsm_list_modules", "HOST",
	CALL(NR_LSM_LIST_MODULES, ARG(scratch), ARG(scratch + 2048), 0)},
    {"NSC-13.proc", "/proc/self/attr/current", "MNT", .fn = nsc_write_map,
	.a = {ARG("/proc/self/attr/current")}, .flags = T_INFO},
    {0},
};
