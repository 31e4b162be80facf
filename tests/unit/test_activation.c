/*
 * Sockets of the service manager: what is taken, what is refused, and which
 * inet_listener gets it.  Real sockets, on loopback and ports of the kernel's choice.
 */
/* SRC: src/supervisor/activation.c src/supervisor/listen.c src/common/diag.c src/common/str.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "supervisor/activation.h"

static struct listeners passed, next;
static struct config conf;
static struct diag diag;
static int saved = -1;

static uint16_t
make(int fd, const char *ip, int type, bool v6only, bool listening)
{
	struct sockaddr_storage ss = {0};
	struct sockaddr_in *in = (struct sockaddr_in *)&ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;
	socklen_t len = sizeof(ss);
	int s, on = v6only;

	ss.ss_family = strchr(ip, ':') != NULL ? AF_INET6 : AF_INET;
	s = socket(ss.ss_family, type, 0);
	if (ss.ss_family == AF_INET6) {
		inet_pton(AF_INET6, ip, &in6->sin6_addr);
		setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	} else {
		inet_pton(AF_INET, ip, &in->sin_addr);
	}
	assert_int_equal(bind(s, (struct sockaddr *)&ss, ss.ss_family == AF_INET ? sizeof(*in) : sizeof(*in6)), 0);
	if (listening)
		assert_int_equal(listen(s, 1), 0);
	assert_int_equal(getsockname(s, (struct sockaddr *)&ss, &len), 0);
	if (s != fd) {
		assert_int_equal(dup2(s, fd), fd);
		close(s);
	}
	return ntohs(ss.ss_family == AF_INET ? in->sin_port : in6->sin6_port);
}

static void
env(const char *fds, const char *names)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", fds, 1);
	if (names != NULL)
		setenv("LISTEN_FDNAMES", names, 1);
	else
		unsetenv("LISTEN_FDNAMES");
	memset(&diag, 0, sizeof(diag));
	memset(&conf, 0, sizeof(conf));
}

static void
configure(const char *address, uint16_t port)
{
	struct config_listener *l = &conf.listeners[conf.nlisteners++];

	snprintf(l->address, sizeof(l->address), "%s", address);
	snprintf(l->name, sizeof(l->name), "l%u", conf.nlisteners);
	l->port = port;
}

static void
says(const char *text)
{
	char got[1000];

	diag_format(&diag, got, sizeof(got));
	if (strstr(got, text) == NULL)
		fail_msg("<%s> is not in <%s>", text, got);
}

static void
taken_and_matched(void **state)
{
	uint16_t ports[3] = {make(3, "127.0.0.1", SOCK_STREAM, false, true),
	    make(4, "::1", SOCK_STREAM, false, true), make(5, "0.0.0.0", SOCK_STREAM, false, true)};

	(void)state;
	env("3", "imaps:imaps6");
	assert_int_equal(activation_take(&passed, &diag), 0);
	assert_int_equal(passed.n, 3);
	assert_string_equal(passed.l[0].conf.name, "imaps");
	assert_string_equal(passed.l[1].conf.name, "imaps6");
	assert_string_equal(passed.l[2].conf.name, "unnamed");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(passed.l[i].fd, 3 + i);
		assert_int_equal(passed.l[i].conf.port, ports[i]);
		assert_int_equal(fcntl(3 + i, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
		assert_int_equal(fcntl(3 + i, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	}
	assert_null(getenv("LISTEN_PID"));
	assert_null(getenv("LISTEN_FDS"));
	assert_null(getenv("LISTEN_FDNAMES"));
	configure("*", ports[2]);
	configure("0:0::1", ports[1]); /* another text, the same address */
	configure("127.0.0.1", ports[0]);
	assert_int_equal(listeners_open(&passed, &conf, &next, &diag), 0);
	assert_int_equal(next.n, 3);
	assert_int_equal(next.l[0].fd, 5);
	assert_int_equal(next.l[1].fd, 4);
	assert_int_equal(next.l[2].fd, 3);
	assert_int_equal(activation_used(&passed, &next, &diag), 0);
	/* One that is not configured (any more), by address and by port. */
	for (int i = 0; i < 2; i++) {
		conf.nlisteners = 2;
		if (i == 1)
			configure("127.0.0.2", ports[0]);
		assert_int_equal(listeners_open(&passed, &conf, &next, &diag), 0);
		assert_int_equal(activation_used(&passed, &next, &diag), -1);
		says("passed a socket for 127.0.0.1 port ");
		says("(imaps), but no inet_listener has this address and port");
		listeners_close_rest(&next, &passed);
		assert_int_not_equal(fcntl(5, F_GETFD), -1); /* still there */
	}
}

static void
for_somebody_else(void **state)
{
	static const char *const pids[] = {"1", "", "x", "99999999999"};

	(void)state;
	for (size_t i = 0; i < sizeof(pids) / sizeof(pids[0]); i++) {
		env("junk", NULL);
		setenv("LISTEN_PID", pids[i], 1);
		assert_int_equal(activation_take(&passed, &diag), 0);
		assert_int_equal(passed.n, 0);
		assert_null(getenv("LISTEN_FDS"));
	}
	env("0", NULL);
	assert_int_equal(activation_take(&passed, &diag), 0);
	assert_int_equal(passed.n, 0);
	unsetenv("LISTEN_PID");
	setenv("LISTEN_FDS", "1", 1);
	assert_int_equal(activation_take(&passed, &diag), 0);
	assert_int_equal(passed.n, 0);
}

static void
refused(void **state)
{
	static const char *const counts[] = {"", "x", "-1", "33", "1 ", "4294967297"};
	int pipe_fds[2];

	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		env(counts[i], NULL);
		assert_int_equal(activation_take(&passed, &diag), -1);
		says("LISTEN_FDS is \"");
		assert_null(getenv("LISTEN_FDS"));
	}
	make(3, "127.0.0.1", SOCK_STREAM, false, true);
	make(4, "127.0.0.1", SOCK_STREAM, false, false);
	env("2", "a:b");
	assert_int_equal(activation_take(&passed, &diag), -1);
	says("socket 2 of the service manager (b) does not listen");
	make(4, "127.0.0.1", SOCK_DGRAM, false, false);
	env("2", NULL);
	assert_int_equal(activation_take(&passed, &diag), -1);
	says("socket 2 of the service manager (unnamed) is no TCP socket");
	make(4, "::", SOCK_STREAM, false, true);
	env("2", NULL);
	assert_int_equal(activation_take(&passed, &diag), -1);
	says("takes IPv4 as well as IPv6 (BindIPv6Only=ipv6-only");
	make(4, "::", SOCK_STREAM, true, true);
	env("2", NULL);
	assert_int_equal(activation_take(&passed, &diag), 0);
	assert_string_equal(passed.l[1].conf.address, "::");
	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(dup2(pipe_fds[0], 4), 4);
	env("2", NULL);
	assert_int_equal(activation_take(&passed, &diag), -1);
	says("is no socket");
	close(4);
	env("2", NULL);
	assert_int_equal(activation_take(&passed, &diag), -1);
	says("is no socket");
}

/* Descriptors 3 to 5 are whoever's started us. */
static int
setup(void **state)
{
	(void)state;
	saved = fcntl(2, F_DUPFD, 100);
	for (int fd = 3; fd < 6; fd++)
		close(fd);
	return saved == -1 ? -1 : 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(taken_and_matched),
	    cmocka_unit_test(for_somebody_else),
	    cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
