/* LLK: what Landlock leaves open, and what closes it instead. */
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "probe/numbers.h"
#include "probe/sys.h"

/* To a port of loopback where nobody listens: ECONNREFUSED has passed every check, as
 * has ENETUNREACH in an empty network namespace, which is the wall. */
static const struct sockaddr_in nobody = {.sin_family = AF_INET, .sin_port = 0x0100,
    .sin_addr.s_addr = 0x0100007f};

static struct outcome
net_result(long rv)
{
	if (rv == -111 || rv == -115)
		return opened("a packet went out");
	return open_if(rv);
}

static struct outcome
llk_connect(const struct test *t)
{
	long s = sys3(SYS_socket, AF_INET, t->a[0], t->a[1]), rv;

	if (s < 0)
		return refused(s);
	rv = sys3(SYS_connect, s, &nobody, sizeof(nobody));
	sys1(SYS_close, s);
	return t->a[0] == SOCK_DGRAM && rv == 0 ? opened("UDP is reachable") : net_result(rv);
}

static struct outcome
llk_fastopen(const struct test *t)
{
	long s = sys3(SYS_socket, AF_INET, SOCK_STREAM, 0), rv;

	(void)t;
	if (s < 0)
		return refused(s);
	rv = sys6(SYS_sendto, s, ARG(scratch), 1, MSG_FASTOPEN | MSG_NOSIGNAL, ARG(&nobody),
	    sizeof(nobody));
	sys1(SYS_close, s);
	return net_result(rv);
}

static struct outcome
llk_bind(const struct test *t)
{
	static struct sockaddr_in any = {.sin_family = AF_INET};
	long s = sys3(SYS_socket, AF_INET, SOCK_STREAM, 0), rv;

	if (s < 0)
		return refused(s);
	rv = t->a[0] == 0 ? sys3(SYS_bind, s, &any, sizeof(any)) : sys2(SYS_listen, s, 1);
	sys1(SYS_close, s);
	return open_if(rv);
}

static struct outcome
llk_sendto(const struct test *t)
{
	long s = sys3(SYS_socket, AF_INET, SOCK_DGRAM, 0), rv;

	(void)t;
	if (s < 0)
		return refused(s);
	rv = sys6(SYS_sendto, s, ARG(scratch), 1, 0, ARG(&nobody), sizeof(nobody));
	sys1(SYS_close, s);
	return net_result(rv);
}

static struct outcome
llk_unix(const struct test *t)
{
	static struct sockaddr_un un = {.sun_family = AF_UNIX};
	const char *path = (const char *)t->a[1];
	size_t n = 0;
	long s = sys3(SYS_socket, AF_UNIX, t->a[0], 0), rv;

	if (s < 0)
		return refused(s);
	for (; path[n] != '\0'; n++)
		un.sun_path[t->a[2] + (long)n] = path[n];
	rv = sys3(SYS_connect, s, &un, 2 + (size_t)t->a[2] + n);
	sys1(SYS_close, s);
	/* A path that is no socket is refused by whoever has found it. */
	if (rv == -111 && t->a[2] == 0)
		return opened("looked for the peer");
	return open_if(rv);
}

static struct outcome
llk_netlink(const struct test *t)
{
	static const struct {
		unsigned int len;
		unsigned short type, flags;
		unsigned int seq, pid;
		unsigned char family, pad[3];
	} get_links = {.len = 20, .type = 18, .flags = 0x301, .seq = 1};
	long s = sys3(SYS_socket, AF_NETLINK, SOCK_RAW, 0), rv;

	(void)t;
	if (s < 0)
		return refused(s);
	rv = sys6(SYS_sendto, s, ARG(&get_links), sizeof(get_links), 0, 0, 0);
	sys1(SYS_close, s);
	return open_if(rv);
}

static struct outcome
llk_uring(const struct test *t)
{
	static unsigned int params[30];
	long fd = sys2(NR_IO_URING_SETUP, 1, params);

	(void)t;
	if (fd < 0)
		return refused(fd);
	sys1(SYS_close, fd);
	return opened("a ring: its operations pass seccomp by");
}

/* The 17th domain is one too many: a bound on what a process can cost. */
static struct outcome
llk_layers(const struct test *t)
{
	static const uint64_t attr[1] = {1};
	long fd = sys3(NR_LANDLOCK_CREATE, attr, sizeof(attr), 0), rv = 0;
	int n = 0;

	(void)t;
	if (fd < 0)
		return refused(fd);
	while (n < 20 && (rv = sys2(NR_LANDLOCK_RESTRICT, fd, 0)) == 0)
		n++;
	sys1(SYS_close, fd);
	return n < 20 ? refused(rv) : opened("no end of layers");
}

static struct outcome
llk_getdents(const struct test *t)
{
	long rv = sys3(SYS_getdents64, place.client, scratch, sizeof(scratch));

	(void)t;
	for (int fd = 0; fd < 64; fd++)
		if (quiet3(SYS_getdents64, fd, scratch, sizeof(scratch)) >= 0)
			return opened("an inherited directory");
	return refused(rv);
}

#define CALL(nr_, ...) .fn = try_call, .nr = (nr_), .a = {__VA_ARGS__}

const struct test llk_tests[] = {
    {"LLK-01.chmod", "chmod of a host path", "MNT DAC",
	CALL(SYS_fchmodat, AT_FDCWD, ARG("/etc"), 0755), .flags = T_ROOT},
    {"LLK-01.chown", "chown of a host path", "MNT DAC",
	CALL(SYS_fchownat, AT_FDCWD, ARG("/etc"), -1, -1, 0), .flags = T_ROOT},
    {"LLK-01.utime", "utimensat of a host path", "MNT DAC",
	CALL(SYS_utimensat, AT_FDCWD, ARG("/etc/gatehouse-probe-none"), 0, 0)},
    {"LLK-01.chdir", "chdir to a host path", "MNT", CALL(SYS_chdir, ARG("/etc"))},
    {"LLK-02", "O_PATH of a host path", "MNT",
	CALL(SYS_openat, AT_FDCWD, ARG("/etc"), O_PATH, 0)},
    {"LLK-03", "list an inherited directory", "FD KERN", .fn = llk_getdents},
    {"LLK-04", "write to an inherited file", "FD KERN",
	CALL(SYS_pwrite64, 3, ARG(scratch), 0, 0)},
    {"LLK-05", "memfd_create", "", CALL(SYS_memfd_create, ARG("probe"), 0)},
    {"LLK-06", "connect to an abstract socket", "NS LL", .fn = llk_unix,
	.a = {SOCK_STREAM, ARG("gatehouse-probe-door"), 1}},
    {"LLK-07", "connect to a host's socket by path", "MNT", .fn = llk_unix,
	.a = {SOCK_STREAM, ARG("/etc/passwd"), 0}},
    {"LLK-09.connect", "TCP connect", "NS LL", .fn = llk_connect, .a = {SOCK_STREAM, 0}},
    {"LLK-09.bind", "TCP bind", "LL", .fn = llk_bind, .a = {0}},
    {"LLK-10", "TCP Fast Open instead of connect", "NS", .fn = llk_fastopen},
    {"LLK-11", "MPTCP connect", "NS HOST", .fn = llk_connect, .a = {SOCK_STREAM, 262}},
    {"LLK-12", "listen without bind", "", .fn = llk_bind, .a = {1}},
    {"LLK-13.udp", "UDP send", "NS", .fn = llk_sendto},
    {"LLK-13.connect", "UDP connect", "NS", .fn = llk_connect, .a = {SOCK_DGRAM, 0}},
    {"LLK-14.netlink", "ask netlink for interfaces", "", .fn = llk_netlink},
    {"LLK-14.vsock", "vsock", "", CALL(SYS_socket, 40, SOCK_STREAM, 0)},
    {"LLK-15", "ioctl on an inherited device", "FD KERN", CALL(SYS_ioctl, 3, 0x5413, ARG(scratch))},
    {"LLK-18", "user namespace", "UL", CALL(SYS_unshare, 0x10000000)},
    {"LLK-21", "io_uring", "HOST", .fn = llk_uring},
    {"LLK-22", "more than 16 layers", "KERN", .fn = llk_layers},
    {0},
};
