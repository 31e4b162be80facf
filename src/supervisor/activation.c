#include "supervisor/activation.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/str.h"

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */

/* The name of the n-th socket, as the service manager has it; for messages only. */
static void
name_of(const char *names, unsigned int n, char *dst, size_t cap)
{
	for (; names != NULL && n > 0; n--)
		if ((names = strchr(names, ':')) != NULL)
			names++;
	if (names == NULL || !str_copy_n(dst, cap, names, strcspn(names, ":")) || dst[0] == '\0')
		str_copy(dst, cap, "unnamed");
}

static int
option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, &value, &len) == -1 ? -1 : value;
}

static int
refuse(struct diag *d, unsigned int n, const char *name, const char *what)
{
	diag_set(d, NULL, 0, 0, "socket %u of the service manager (%s) %s", n + 1, name, what);
	return -1;
}

static int
take_one(unsigned int n, struct listening *l, struct diag *d)
{
	struct sockaddr_storage ss;
	const struct sockaddr_in *in = (const struct sockaddr_in *)&ss;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&ss;
	socklen_t len = sizeof(ss);
	int fd = FIRST_FD + (int)n;

	l->fd = fd;
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) == -1 || getsockname(fd, (struct sockaddr *)&ss, &len) == -1)
		return refuse(d, n, l->conf.name, "is no socket");
	if ((ss.ss_family != AF_INET && ss.ss_family != AF_INET6) ||
	    option(fd, SOL_SOCKET, SO_TYPE) != SOCK_STREAM ||
	    option(fd, SOL_SOCKET, SO_PROTOCOL) != IPPROTO_TCP)
		return refuse(d, n, l->conf.name, "is no TCP socket");
	if (option(fd, SOL_SOCKET, SO_ACCEPTCONN) != 1) {
		refuse(d, n, l->conf.name, "does not listen");
		diag_hint(d, "its unit must have Accept=no");
		return -1;
	}
	l->conf.port = ntohs(ss.ss_family == AF_INET ? in->sin_port : in6->sin6_port);
	inet_ntop(ss.ss_family, ss.ss_family == AF_INET ? (const void *)&in->sin_addr
	    : (const void *)&in6->sin6_addr, l->conf.address, sizeof(l->conf.address));
	if (ss.ss_family == AF_INET6 && option(fd, IPPROTO_IPV6, IPV6_V6ONLY) != 1 &&
	    IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr)) {
		refuse(d, n, l->conf.name, "takes IPv4 as well as IPv6");
		diag_hint(d, "BindIPv6Only=ipv6-only, and a ListenStream=0.0.0.0:PORT of its own");
		return -1;
	}
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == -1)
		return refuse(d, n, l->conf.name, "cannot be made non-blocking");
	return 0;
}

static int
take(const char *count, const char *names, struct listeners *passed, struct diag *d)
{
	uint64_t n;

	if (!str_to_u64(count, CONFIG_LISTENERS_MAX, &n)) {
		diag_set(d, NULL, 0, 0, "LISTEN_FDS is \"%.20s\": no number from 0 to %d", count,
		    CONFIG_LISTENERS_MAX);
		return -1;
	}
	for (unsigned int i = 0; i < n; i++) {
		struct listening *l = &passed->l[i];

		memset(l, 0, sizeof(*l));
		name_of(names, i, l->conf.name, sizeof(l->conf.name));
		if (take_one(i, l, d) == -1)
			return -1;
		passed->n++;
	}
	return 0;
}

int
activation_take(struct listeners *passed, struct diag *d)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	uint64_t ours;
	int rv = 0;

	passed->n = 0;
	if (pid != NULL && count != NULL && str_to_u64(pid, UINT32_MAX, &ours) &&
	    ours == (uint64_t)getpid())
		rv = take(count, getenv("LISTEN_FDNAMES"), passed, d);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return rv;
}

int
activation_used(const struct listeners *passed, const struct listeners *used, struct diag *d)
{
	for (unsigned int i = 0; i < passed->n; i++) {
		const struct listening *p = &passed->l[i];
		bool found = false;

		for (unsigned int k = 0; k < used->n; k++)
			found = found || used->l[k].fd == p->fd;
		if (found)
			continue;
		diag_set(d, NULL, 0, 0, "the service manager passed a socket for %s port %u (%s), but no "
		    "inet_listener has this address and port", p->conf.address, p->conf.port,
		    p->conf.name);
		diag_hint(d, "add the listener, or take the address out of the .socket unit");
		return -1;
	}
	return 0;
}
