#include "probe/standin.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>

#include "common/log.h"
#include "ipc/fds.h"
#include "ipc/settings.h"

static uint8_t settings_buf[SETTINGS_MAX];
static uint8_t inbuf[MSG_MAX];
static struct msgout out;

struct rd
standin_settings(void)
{
	long len = settings_read(FD_SETTINGS, settings_buf, sizeof(settings_buf));

	if (len == -1)
		fatal(EX_CONFIG, "cannot read the settings");
	return (struct rd){.p = settings_buf, .end = settings_buf + len};
}

void
standin_hello(enum role me, const struct layer_report *rep)
{
	uint8_t packed[96];

	hello_put(&out, me, packed, layer_report_pack(rep, packed, sizeof(packed)));
	if (msg_send(FD_CONTROL, &out) == -1)
		fatal(EX_OSERR, "cannot say hello");
}

int
standin_next(int fd, enum role me, enum role from, struct msgin *m)
{
	int n;

	while ((n = msg_recv(fd, me, from, m, inbuf)) == -1 && errno == EAGAIN) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		ppoll(&p, 1, NULL, NULL);
	}
	if (n == -1)
		fatal(EX_PROTOCOL, "unexpected message");
	return n;
}

bool
standin_relays(const struct order *o)
{
	return strncmp(o->phase, "auth-", 5) == 0 || strncmp(o->phase, "key", 3) == 0;
}

/* All of it: the client reads. */
static bool
pass_on(int fd, const char *p, long n)
{
	while (n > 0) {
		long w = quiet3(SYS_write, fd, p, n);
		struct pollfd room = {.fd = fd, .events = POLLOUT};

		if (w == -EAGAIN)
			quiet6(SYS_ppoll, ARG(&room), 1, 0, 0, 0, 0);
		else if (w <= 0)
			return false;
		p += w > 0 ? w : 0;
		n -= w > 0 ? w : 0;
	}
	return true;
}

/* A worker's calls only: this runs behind the login filter. */
void
standin_relay(const struct order *o)
{
	static char buf[MSG_MAX];
	int to = o->phase[0] == 'a' ? place.auth : place.signer;
	char *end = put_str(put_str(put_str(buf, o->id), " "), o->phase);

	*end++ = '\n';
	if (quiet3(SYS_write, to, buf, end - buf) != end - buf)
		return;
	for (;;) {
		struct pollfd p[2] = {{.fd = to, .events = POLLIN}, {.fd = place.client}};
		long n;

		quiet6(SYS_ppoll, ARG(p), 2, 0, 0, 0, 0);
		n = quiet3(SYS_read, to, buf, sizeof(buf));
		if (n == -EAGAIN && p[1].revents == 0)
			continue;
		if (n <= 0 || !pass_on(place.client, buf, n))
			return;
	}
}

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} programs[] = {
    {"gatehouse-login", standin_login},
    {"gatehouse-auth", standin_auth},
    {"gatehouse-keys", standin_keys},
    {"gatehouse-launcher", standin_launcher},
};

int
standin_main(int argc, char **argv)
{
	const char *base = argc > 0 ? strrchr(argv[0], '/') : NULL;

	base = base != NULL ? base + 1 : argc > 0 ? argv[0] : "";
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		if (strcmp(base, programs[i].name) == 0)
			return programs[i].run(argc, argv);
	return -1;
}
