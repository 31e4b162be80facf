#include "supervisor/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 4096 /* the kernel cuts it to net.core.somaxconn */

static socklen_t
address(const struct config_listener *c, struct sockaddr_storage *ss)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;
	const char *text = strcmp(c->address, "*") == 0 ? "0.0.0.0" : c->address;

	memset(ss, 0, sizeof(*ss));
	if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(c->port);
		return sizeof(*in);
	}
	if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(c->port);
		return sizeof(*in6);
	}
	return 0;
}

static bool
same_socket(const struct config_listener *a, const struct config_listener *b)
{
	struct sockaddr_storage sa, sb;
	socklen_t len = address(a, &sa);

	/* Not by text: ::1 has more than one. */
	return a->port == b->port && len > 0 && address(b, &sb) == len && memcmp(&sa, &sb, len) == 0;
}

static int
find(const struct listeners *ls, const struct config_listener *c)
{
	for (unsigned int i = 0; i < ls->n; i++)
		if (same_socket(&ls->l[i].conf, c))
			return ls->l[i].fd;
	return -1;
}

static int
bind_one(const struct config_listener *c, struct diag *d)
{
	struct sockaddr_storage ss;
	socklen_t len = address(c, &ss);
	int fd, on = 1;

	if (len == 0) {
		diag_set(d, NULL, 0, 0, "%s is no address to listen on", c->address);
		return -1;
	}
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd != -1)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd != -1 && ss.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (fd != -1 && bind(fd, (struct sockaddr *)&ss, len) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	diag_set(d, NULL, 0, 0, "cannot listen on %s port %u (%s): %s", c->address, c->port,
	    c->name, strerror(errno));
	if (errno == EADDRINUSE)
		diag_hint(d, "another program has this port; `ss -ltnp` names it");
	else if (errno == EACCES)
		diag_hint(d, "ports below 1024 need root or CAP_NET_BIND_SERVICE");
	if (fd != -1)
		close(fd);
	return -1;
}

int
listeners_open(const struct listeners *cur, const struct config *conf, struct listeners *next,
    struct diag *d)
{
	next->n = 0;
	for (unsigned int i = 0; i < conf->nlisteners; i++) {
		struct listening *l = &next->l[next->n];

		l->conf = conf->listeners[i];
		l->fd = find(cur, &l->conf);
		if (l->fd == -1)
			l->fd = bind_one(&l->conf, d);
		/* No IPv6 on this machine: "::" of the default `listen` is not an error. */
		if (l->fd == -1 && errno == EAFNOSUPPORT && strcmp(l->conf.address, "::") == 0)
			continue;
		if (l->fd == -1) {
			listeners_close_rest(next, cur);
			return -1;
		}
		next->n++;
	}
	return 0;
}

void
listeners_close_rest(struct listeners *old, const struct listeners *now)
{
	for (unsigned int i = 0; i < old->n; i++)
		if (find(now, &old->l[i].conf) == -1)
			close(old->l[i].fd);
	old->n = 0;
}
