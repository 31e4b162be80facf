/*
 * In the place of gatehouse-launcher.  It may fork, as the real one does for its
 * workers: each attempt is a child behind the same filter, in the same namespaces,
 * with the same descriptors and a connection's channels that are not handed out yet.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "confine/late.h"
#include "ipc/fds.h"
#include "ipc/filters.h"
#include "ipc/settings.h"
#include "probe/standin.h"

#define LISTENERS_MAX 8
#define ROUNDS 1500 /* of a millisecond: an attempt takes less than one */

static struct pollfd polls[1 + LISTENERS_MAX];
static unsigned int nlisteners;
static bool started;
static struct msgout out;

static void
greet(int fd)
{
	hello_put(&out, R_LAUNCHER, NULL, 0);
	if (msg_send(fd, &out) == -1)
		log_warn("cannot greet a peer");
}

static bool
from_supervisor(void)
{
	struct msgin m;

	if (standin_next(FD_CONTROL, R_LAUNCHER, R_SUPERVISOR, &m) == 0 || m.type == MSG_STOP ||
	    m.type == MSG_DRAIN)
		return false;
	if (m.type == MSG_PEER)
		greet(msg_take_fd(&m, 0));
	else if (m.type == MSG_LISTENER && nlisteners < LISTENERS_MAX)
		polls[1 + nlisteners++] = (struct pollfd){.fd = msg_take_fd(&m, 0), .events = POLLIN};
	else if (m.type == MSG_START)
		started = true;
	msg_close_fds(&m);
	return true;
}

static void
pause_1ms(void)
{
	struct timespec ms = {.tv_nsec = 1000000};

	ppoll(NULL, 0, &ms, NULL);
}

/* Tells the client what became of it: "E SIGNAL" (0: ended), "H": hung. */
static void
wait_for(pid_t pid, int client)
{
	siginfo_t si;
	char line[32], *p;

	for (int i = 0; i < ROUNDS; i++) {
		si.si_pid = 0;
		if (waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG) == 0 && si.si_pid == pid) {
			p = put_hex(put_str(line, "E "),
			    si.si_code == CLD_EXITED ? 0 : (uint64_t)si.si_status);
			*p++ = '\n';
			quiet3(SYS_write, client, line, p - line);
			return;
		}
		pause_1ms();
	}
	quiet3(SYS_write, client, "H\n", 2);
	kill(pid, SIGKILL);
	while (waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG) == 0 && si.si_pid != pid) {
		si.si_pid = 0;
		pause_1ms();
	}
}

static bool
channels(int ends[3][2])
{
	const int packet = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK;

	return socketpair(AF_UNIX, packet, 0, ends[0]) == 0 &&
	    socketpair(AF_UNIX, packet, 0, ends[1]) == 0 &&
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends[2]) == 0;
}

static void
serve(int client)
{
	int ends[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
	struct order o;
	pid_t pid;

	if (!order_read(&o, client, REPORT_WRITE) || !channels(ends)) {
		log_warnx("a connection without an order");
		return;
	}
	place.client = client;
	place.auth = ends[0][0];
	place.signer = ends[1][0];
	place.mail = ends[2][0];
	place.control = FD_CONTROL;
	place.parent = 1;
	pid = fork();
	if (pid == 0) {
		order_do(&o);
		leave(0);
	}
	for (int i = 0; i < 3; i++) {
		close(ends[i][0]);
		close(ends[i][1]);
	}
	if (pid > 0)
		wait_for(pid, client);
}

static int
loop(void)
{
	polls[0] = (struct pollfd){.fd = FD_CONTROL, .events = POLLIN};
	for (;;) {
		ppoll(polls, 1 + (started ? nlisteners : 0), NULL, NULL);
		if (polls[0].revents != 0 && !from_supervisor())
			return EX_OK;
		for (unsigned int i = 1; started && i <= nlisteners; i++) {
			int fd;

			if (polls[i].revents == 0)
				continue;
			polls[i].revents = 0;
			fd = accept4(polls[i].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
			if (fd == -1)
				continue;
			serve(fd);
			close(fd);
		}
	}
}

/* launcher/main.c: everything below is taken, so that what comes has no fixed number. */
static void
fill_descriptors(void)
{
	static const int empty[] = {0, 1, FD_CLIENT, FD_AUTH, FD_SIGNER, FD_MAIL, FD_SETTINGS,
	    FD_FILTERS, FD_IMAGE, FD_FIRST_FREE - 1};

	for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++)
		if (dup2(FD_LOG, empty[i]) == -1)
			fatal(EX_OSERR, "cannot place descriptor %d", empty[i]);
}

int
standin_launcher(int argc, char **argv)
{
	static struct launcher_settings set;
	struct layer_report rep = {0};
	struct rd r;

	(void)argc;
	(void)argv;
	prctl(PR_SET_NAME, "gatehouse-launcher");
	if (filters_map(FD_FILTERS) == -1)
		fatal(EX_OSERR, "cannot map the filters");
	r = standin_settings();
	if (!launcher_settings_unpack(&r, &set))
		fatalx(EX_CONFIG, "malformed settings");
	if (late_enter(&set.plan, &rep) == -1)
		fatalx(EX_OSERR, "%s", late_reason());
	rep.state[LAYER_SECCOMP] = LAYER_NOT_ASKED;
	fill_descriptors();
	standin_hello(R_LAUNCHER, &rep);
	return loop();
}
