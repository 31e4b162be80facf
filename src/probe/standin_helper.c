/*
 * In the place of gatehouse-auth and gatehouse-keys.  A connection comes from the
 * launcher as to the real ones; on its channel the worker's stand-in passes on what
 * its client has ordered, and the answer goes back that way.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "confine/late.h"
#include "ipc/conn.h"
#include "ipc/fds.h"
#include "ipc/filters.h"
#include "ipc/settings.h"
#include "probe/standin.h"

static struct late_plan plan;
static enum role self;
static int launcher_fd = -1, other_fd = -1;
static int parked_fd = -1; /* a client whose loss does not cost the report */
static struct msgout out;

static void
greet(int fd)
{
	hello_put(&out, self, NULL, 0);
	if (msg_send(fd, &out) == -1)
		log_warn("cannot greet a peer");
}

/* false: the supervisor wants an end. */
static bool
from_supervisor(void)
{
	struct msgin m;
	enum role who;
	int *fd;

	if (standin_next(FD_CONTROL, self, R_SUPERVISOR, &m) == 0 || m.type == MSG_STOP)
		return false;
	if (m.type != MSG_PEER) {
		msg_close_fds(&m);
		return true;
	}
	who = (enum role)rd_u8(&m.r);
	fd = who == R_LAUNCHER ? &launcher_fd : &other_fd;
	if (*fd != -1)
		close(*fd);
	*fd = msg_take_fd(&m, 0);
	greet(*fd);
	return true;
}

/* The real phases of these two: before their last filter, and behind it. */
static void
attempt(const struct order *o, enum report_by how)
{
	bool last = strcmp(o->phase, "auth-client") == 0 || strcmp(o->phase, "key-signer") == 0;

	report_to(report_channel(), how);
	if (last && late_filter(&plan, FILTER_SELF) == -1)
		fatal(EX_OSERR, "cannot install the last filter");
	order_do(o);
	leave(0);
}

/* Its descriptors as this process holds them.  The connection's channel carries the
 * report, and its worker passes that on to its client, so that attempts are made on
 * others: a client that came before ("park"). */
static void
connection(struct msgin *m)
{
	int channel = msg_take_fd(m, 0), mail = msg_take_fd(m, 1), client = msg_take_fd(m, 2);
	struct pollfd p = {.fd = channel, .events = POLLIN};
	struct conn_info info;
	struct order o;

	if (!conn_get(&m->r, m->id, &info))
		fatalx(EX_PROTOCOL, "not a connection");
	place = (struct place){.client = self == R_AUTH ? parked_fd : other_fd, .auth = launcher_fd,
	    .signer = other_fd, .mail = mail, .control = FD_CONTROL,
	    .parent = 2 /* we are 1, and there is nobody else */};
	ppoll(&p, 1, NULL, NULL);
	if (order_read(&o, channel, REPORT_SENDMSG)) {
		if (strcmp(o.id, "park") != 0)
			attempt(&o, self == R_AUTH ? REPORT_SENDMSG : REPORT_WRITE);
		parked_fd = client;
		client = -1;
		report_outcome(blocked("parked"));
	}
	close(channel);
	if (mail != -1)
		close(mail);
	if (client != -1)
		close(client);
}

static void
from_launcher(void)
{
	struct msgin m;

	if (standin_next(launcher_fd, self, R_LAUNCHER, &m) == 0) {
		close(launcher_fd);
		launcher_fd = -1;
		return;
	}
	if (m.type == MSG_CONN_OPEN)
		connection(&m);
	msg_close_fds(&m);
}

static int
loop(void)
{
	for (;;) {
		struct pollfd p[2] = {{.fd = FD_CONTROL, .events = POLLIN},
		    {.fd = launcher_fd, .events = POLLIN}};

		ppoll(p, 2, NULL, NULL);
		if (p[0].revents != 0 && !from_supervisor())
			return EX_OK;
		if (p[1].revents != 0)
			from_launcher();
	}
}

static void
start(enum role me, const char *name)
{
	self = me;
	prctl(PR_SET_NAME, name);
	signal(SIGPIPE, SIG_IGN);
	if (filters_map(FD_FILTERS) == -1)
		fatal(EX_OSERR, "cannot map the filters");
}

/* The real one's order of steps: auth/main.c, keys/main.c. */
static int
enter(void)
{
	struct layer_report rep = {0};

	int ep;

	if (late_enter(&plan, &rep) == -1)
		fatalx(EX_OSERR, "%s", late_reason());
	if (fds_fill() == -1 || (ep = epoll_create1(EPOLL_CLOEXEC)) == -1 ||
	    (self == R_KEYS && dup3(ep, FD_FIRST_FREE - 1, O_CLOEXEC) == -1))
		fatal(EX_OSERR, "cannot place descriptors");
	standin_hello(self, &rep);
	return loop();
}

int
standin_auth(int argc, char **argv)
{
	static struct auth_settings set;
	struct rd r;

	(void)argc;
	(void)argv;
	start(R_AUTH, "gatehouse-auth");
	r = standin_settings();
	if (!auth_settings_unpack(&r, &set))
		fatalx(EX_CONFIG, "malformed settings");
	plan = set.plan;
	/* As the real one does, before Landlock: the socket directory, by which it sees
	 * whether that is still there. */
	if (open(".", O_PATH | O_CLOEXEC) == -1)
		fatal(EX_OSERR, "cannot open the socket directory");
	return enter();
}

int
standin_keys(int argc, char **argv)
{
	static const struct rlimit none;
	static struct keys_settings set;
	struct rd r;

	(void)argc;
	(void)argv;
	start(R_KEYS, "gatehouse-keys");
	r = standin_settings();
	if (!keys_settings_unpack(&r, &set) || set.nkeys != 0)
		fatalx(EX_CONFIG, "malformed settings, or keys: this reads none");
	plan = set.plan;
	if (setrlimit(RLIMIT_MEMLOCK, &none) == -1 || setrlimit(RLIMIT_FSIZE, &none) == -1)
		fatal(EX_OSERR, "setrlimit");
	return enter();
}
