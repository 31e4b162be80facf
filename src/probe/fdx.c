/* FDX: what can be done with the descriptors that are there. */
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "probe/numbers.h"
#include "probe/sys.h"

/* Anything beyond what the policy lists. */
static struct outcome
fdx_census(const struct test *t)
{
	long rv = sys3(SYS_fcntl, place.client, F_GETFD, 0);
	int more = 0;

	(void)t;
	if (rv < 0)
		return refused(rv);
	for (int fd = 0; fd < 1024; fd++) {
		if (fd == 2 || fd == report_channel() || fd == place.client || fd == place.auth ||
		    fd == place.signer || fd == place.mail || (place.here && fd < 3))
			continue;
		more += quiet3(SYS_fcntl, fd, F_GETFD, 0) >= 0;
	}
	return more > 0 ? opened("there are more than the policy lists") : blocked("exactly its own");
}

static struct outcome
fdx_send_fd(const struct test *t)
{
	static struct {
		uint64_t len;
		int level, type, fd, pad;
	} control = {.len = 20, .level = 1, .type = 1 /* SCM_RIGHTS */};
	static struct iovec v = {(void *)(uintptr_t)"f", 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &control,
	    .msg_controllen = 24};
	int to = t->a[0] == 0 ? place.auth : t->a[0] == 1 ? place.signer : place.mail;

	control.fd = place.client;
	return open_if(sys3(SYS_sendmsg, to, &m, MSG_DONTWAIT | MSG_NOSIGNAL));
}

static struct outcome
fdx_dup(const struct test *t)
{
	/* onto itself: nothing changes, and the call is made */
	switch (t->nr) {
	case SYS_dup: return try_fd(t);
	case NR_DUP2: return open_if(sys2(NR_DUP2, place.mail, place.mail));
	default: return open_if(sys3(SYS_dup3, place.mail, place.signer, 0));
	}
}

/* A closed number, and something of our own at it: pins are by number. */
static struct outcome
fdx_replace(const struct test *t)
{
	static int pair[2];
	long rv = t->a[0] == 0 ? sys1(SYS_close, place.signer)
			       : sys3(NR_CLOSE_RANGE, place.signer, place.signer, 0);

	if (rv < 0)
		return refused(rv);
	rv = sys4(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, pair);
	return rv == 0 && pair[0] <= place.signer ? opened("another object at a pinned number")
	    : rv < 0				  ? refused(rv)
						  : blocked("another number");
}

static struct outcome
fdx_socket(const struct test *t)
{
	static struct sockaddr_in unspec = {.sin_family = AF_UNSPEC};
	static unsigned int len;

	len = sizeof(struct sockaddr_in);
	switch (t->nr) {
	case SYS_shutdown: return open_if(sys2(SYS_shutdown, place.mail, 1));
	case SYS_connect: return open_if(sys3(SYS_connect, place.client, &unspec, sizeof(unspec)));
	case SYS_listen: return open_if(sys2(SYS_listen, place.client, 1));
	case SYS_accept4: return open_if(sys4(SYS_accept4, place.client, 0, 0, 0));
	case SYS_bind: return open_if(sys3(SYS_bind, place.client, &unspec, sizeof(unspec)));
	case SYS_getpeername: return open_if(sys3(SYS_getpeername, place.client, scratch, &len));
	case SYS_getsockname: return open_if(sys3(SYS_getsockname, place.client, scratch, &len));
	default:
		len = 12;
		return open_if(sys5(SYS_getsockopt, place.auth, SOL_SOCKET, t->a[0], scratch, &len));
	}
}

/* The client's socket is of the host's network: let go of the client, it would be a
 * way there. */
static struct outcome
fdx_reconnect(const struct test *t)
{
	static const struct sockaddr_in unspec = {.sin_family = AF_UNSPEC};
	static const struct sockaddr_in away = {.sin_family = AF_INET, .sin_port = 0x0900,
	    .sin_addr = {0x0100007f}}; /* 127.0.0.1, port 9 */
	long rv = sys3(SYS_connect, -1, &unspec, sizeof(unspec));

	(void)t;
	if (place.client == report_channel())
		return skipped("the report goes over that socket: see the auth client");
	rv = sys3(SYS_connect, place.client, &unspec, sizeof(unspec));
	if (rv == 0)
		rv = sys3(SYS_connect, place.client, &away, sizeof(away));
	return rv >= 0 || rv == -111 || rv == -115 ? opened("reached another address") : refused(rv);
}

static struct outcome
fdx_setfl(const struct test *t)
{
	return open_if(sys3(SYS_fcntl, place.mail, F_SETFL, t->a[0]));
}

static struct outcome
fdx_creds(const struct test *t)
{
	static struct iovec v = {(void *)(uintptr_t)"x", 1};
	static struct {
		uint64_t len;
		int level, type;
		char room[2048];
	} control = {.len = sizeof(control), .level = 1, .type = 99};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &control,
	    .msg_controllen = sizeof(control)};

	(void)t;
	return open_if(sys3(SYS_sendmsg, place.auth, &m, MSG_DONTWAIT | MSG_NOSIGNAL));
}

/* Does an accept on any number give a client? */
static struct outcome
fdx_listener(const struct test *t)
{
	long rv = sys4(SYS_accept4, place.client, 0, 0, 0);

	(void)t;
	for (int fd = 0; fd < 64; fd++)
		if (quiet6(SYS_accept4, fd, 0, 0, 04000, 0, 0) == -11)
			return opened("a listening socket is here");
	return refused(rv);
}

/* Until it is full: it must not be more than a socket holds, and others go on. */
static struct outcome
fdx_fill(const struct test *t)
{
	long n = 0, rv = 0;
	int fd = t->a[0] == 0 ? place.auth : t->a[0] == 1 ? place.signer : place.mail;

	for (rv = sys3(SYS_write, fd, scratch, 4096); n < 4096 && rv > 0; n++)
		rv = quiet3(SYS_write, fd, scratch, 4096);
	return n == 4096 ? opened("16 MiB, and no end") : blocked("full, or the peer has closed it");
}

#define CALL(nr_, ...) .fn = try_call, .nr = (nr_), .a = {__VA_ARGS__}
#define ON(fn_, nr_, what) .fn = fn_, .nr = (nr_), .a = {what}

const struct test fdx_tests[] = {
    {"FDX-01", "which descriptors are open", "FD KERN", .fn = fdx_census},
    {"FDX-02.auth", "send a descriptor to the auth client", "HOST", ON(fdx_send_fd, 0, 0)},
    {"FDX-02.signer", "send a descriptor to the key signer", "HOST", ON(fdx_send_fd, 0, 1)},
    {"FDX-02.mail", "send a descriptor to the mail process", "HOST", ON(fdx_send_fd, 0, 2)},
    {"FDX-03", "recvmsg on the signing channel", "",
	CALL(SYS_recvmsg, 5, ARG(scratch + 3000), MSG_DONTWAIT), .flags = T_REACHED},
    {"FDX-04.dup", "dup", "", .fn = fdx_dup, .nr = SYS_dup, .a = {3}},
    {"FDX-04.dup2", "dup2", "", ON(fdx_dup, NR_DUP2, 0)},
    {"FDX-04.dup3", "dup3 onto a pinned number", "", ON(fdx_dup, SYS_dup3, 0)},
    {"FDX-05.close", "another object at a pinned number", "", ON(fdx_replace, 0, 0)},
    {"FDX-05.range", "the same with close_range", "", ON(fdx_replace, 0, 1)},
    {"FDX-06.shutdown", "shutdown of the mail channel", "", ON(fdx_socket, SYS_shutdown, 0)},
    {"FDX-06.connect", "dissolve the client's connection", "", ON(fdx_socket, SYS_connect, 0)},
    {"FDX-06.reconnect", "another connection from the client's socket", "LL",
	.fn = fdx_reconnect},
    {"FDX-06.listen", "listen on the client's socket", "KERN", ON(fdx_socket, SYS_listen, 0)},
    {"FDX-06.accept", "accept on the client's socket", "KERN", ON(fdx_socket, SYS_accept4, 0)},
    {"FDX-06.bind", "bind the client's socket", "KERN", ON(fdx_socket, SYS_bind, 0)},
    {"FDX-07.peer", "getpeername", "", ON(fdx_socket, SYS_getpeername, 0)},
    {"FDX-07.name", "getsockname", "", ON(fdx_socket, SYS_getsockname, 0)},
    {"FDX-07.cred", "SO_PEERCRED", "", ON(fdx_socket, 0, 17)},
    {"FDX-07.pidfd", "SO_PEERPIDFD", "HOST", ON(fdx_socket, 0, 77)},
    {"FDX-08.sti", "TIOCSTI", "FD KERN", CALL(SYS_ioctl, 2, 0x5412, ARG("x"))},
    {"FDX-08.linux", "TIOCLINUX", "FD KERN", CALL(SYS_ioctl, 2, 0x541c, ARG("\2"))},
    {"FDX-08.disc", "TIOCSETD", "FD KERN", CALL(SYS_ioctl, 2, 0x5423, ARG(scratch))},
    {"FDX-09.block", "O_NONBLOCK off on a shared description", "", ON(fdx_setfl, 0, 0)},
    {"FDX-09.async", "O_ASYNC on", "", ON(fdx_setfl, 0, O_ASYNC | O_NONBLOCK)},
    {"FDX-10", "move a shared file offset", "FD KERN", CALL(SYS_lseek, 2, 0, 1)},
    {"FDX-11", "unknown control data", "KERN", .fn = fdx_creds, .flags = T_INFO},
    {"FDX-14", "a listening socket among the descriptors", "FD KERN", .fn = fdx_listener},
    {"FDX-15.auth", "fill the auth channel", "KERN", ON(fdx_fill, 0, 0), .flags = T_ALLOWED},
    {"FDX-15.signer", "fill the signing channel", "KERN", ON(fdx_fill, 0, 1),
	.flags = T_ALLOWED},
    {"FDX-15.mail", "fill the mail channel", "KERN", ON(fdx_fill, 0, 2), .flags = T_ALLOWED},
    {0},
};
