/*
 * gatehouse-auth: speaks with Dovecot's auth server for all connections before
 * their login, decides who may ask what, and hands logged-in clients over to the
 * mail processes (docs/internals.md).  Policy `auth-client`; its root is the
 * directory with Dovecot's sockets.
 */
#include <signal.h>
#include <sys/resource.h>
#include <sys/prctl.h>
#include <sysexits.h>

#include "auth/conn.h"
#include "auth/lograte.h"
#include "auth/loop.h"
#include "auth/peers.h"
#include "auth/server.h"
#include "auth/sockdir.h"
#include "common/log.h"
#include "confine/late.h"
#include "ipc/fds.h"
#include "ipc/filters.h"
#include "ipc/msg.h"
#include "ipc/settings.h"

#define CONNS_MAX 16384
#define FDS_SPARE 64    /* log, control, epoll, auth connections, a message's descriptors */
#define FDS_PER_CONN 4  /* auth channel, mail channel, client, and one socket */

static struct auth_settings set;

static void
load_settings(void)
{
	static uint8_t buf[AUTH_SETTINGS_MAX];
	long n = settings_read(FD_SETTINGS, buf, sizeof(buf));
	struct rd r = {.p = buf, .end = buf + (n > 0 ? n : 0)};

	if (n == -1)
		fatal(EX_OSERR, "cannot read the settings");
	if (!auth_settings_unpack(&r, &set))
		fatalx(EX_SOFTWARE, "malformed settings");
	log_set_debug(set.debug != 0);
}

/* A descriptor that cannot be received would cost the launcher its pair: never
 * more connections than descriptors allow. */
static unsigned int
conns_max(void)
{
	struct rlimit l;
	unsigned int max = CONNS_MAX;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < FDS_SPARE + FDS_PER_CONN * CONNS_MAX)
		max = l.rlim_cur < FDS_SPARE + FDS_PER_CONN ? 1
		    : (unsigned int)(l.rlim_cur - FDS_SPARE) / FDS_PER_CONN;
	return max;
}

static void
say_hello(const struct layer_report *rep)
{
	static struct msgout m;
	uint8_t packed[96];
	size_t n = layer_report_pack(rep, packed, sizeof(packed));

	hello_put(&m, R_AUTH, packed, n);
	if (msg_send(FD_CONTROL, &m) == -1)
		fatal(EX_OSERR, "cannot greet the supervisor");
}

int
main(void)
{
	struct layer_report rep = {0};

	log_to(FD_LOG, false, "gatehouse-auth");
	prctl(PR_SET_NAME, "gatehouse-auth"); /* exec of a memfd has left a number there */
	signal(SIGPIPE, SIG_IGN);
	if (filters_map(FD_FILTERS) == -1)
		fatal(EX_OSERR, "cannot map the filters");
	load_settings();
	if (fds_fill() == -1)
		fatal(EX_OSERR, "cannot place descriptors");
	/* Before Landlock: the descriptor only answers whether the directory lives. */
	if (sockdir_open(".") == -1)
		fatal(EX_OSERR, "cannot open the socket directory");
	if (late_enter(&set.plan, &rep) == -1)
		fatalx(EX_OSERR, "%s", late_reason());
	lograte_init();
	if (loop_init() == -1 || conns_init(&set, conns_max()) == -1)
		fatal(EX_OSERR, "cannot start");
	say_hello(&rep);
	if (late_filter(&set.plan, FILTER_SELF) == -1)
		fatal(EX_OSERR, "cannot install the seccomp filter");

	peers_start(FD_CONTROL);
	server_start(&set);
	for (;;) {
		loop_once();
		conns_reap();
	}
}
