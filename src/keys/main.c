/*
 * gatehouse-keys: owns the private keys; signs TLS handshakes and nothing else.
 * Order: secret memory before libcrypto's first allocation, late layers, rehearsal,
 * hello, last filter; only then is a key parsed.
 *
 * System calls after the last filter (policy/key-signer.policy): ppoll, recvmsg,
 * read (key files), write, close, getrandom, exit_group.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "confine/late.h"
#include "ipc/conn.h"
#include "ipc/fds.h"
#include "ipc/filters.h"
#include "ipc/msg.h"
#include "ipc/settings.h"
#include "keys/keystore.h"
#include "keys/secret.h"

#define CHANNELS_MAX 8192

/* Fixed places in the poll array; connections follow. */
enum place {
	AT_CONTROL,
	AT_LAUNCHER,
	AT_AUTH,
	AT_FIRST
};

struct channel {
	uint32_t conn;    /* connection id */
	uint32_t signed_; /* signatures so far */
};

static struct keys_settings set;
static struct pollfd polls[AT_FIRST + CHANNELS_MAX];
static struct channel channels[AT_FIRST + CHANNELS_MAX];
static unsigned int npolls = AT_FIRST;
static struct msgout out;
static uint8_t inbuf[MSG_MAX];
static bool hello_seen[AT_FIRST];

static void __attribute__((noreturn))
leave(int status)
{
	for (;;)
		syscall(SYS_exit_group, status);
}

static void
forget(unsigned int i)
{
	close(polls[i].fd);
	polls[i].fd = -1;
	if (i < AT_FIRST)
		return;
	npolls--;
	polls[i] = polls[npolls];
	channels[i] = channels[npolls];
}

static void
drop_peer(unsigned int i, const char *who, const char *why)
{
	log_warnx("%s: %s: dropped", who, why);
	forget(i);
}

/* ---- keys from the supervisor --------------------------------------------- */

static void
on_key(struct msgin *m)
{
	char name[256], type[64] = "", error[400] = "";
	uint8_t spki[1200];
	size_t len = 0;
	bool good;
	int fd;

	rd_str(&m->r, name, sizeof(name));
	fd = msg_take_fd(m, 0);
	good = msg_end(m) && keystore_load(m->id, fd, error, sizeof(error));
	close(fd);
	if (good)
		len = keystore_describe(m->id, type, sizeof(type), spki, sizeof(spki));
	msg_begin(&out, MSG_KEY_INFO, m->id);
	wr_u8(&out.w, good ? 0 : 1);
	wr_str(&out.w, type);
	wr_block(&out.w, spki, len);
	wr_str(&out.w, error);
	if (msg_write(FD_CONTROL, &out) == -1)
		log_warn("cannot answer the supervisor");
}

static void
on_peer(struct msgin *m)
{
	uint8_t role = rd_u8(&m->r);
	unsigned int at = role == R_LAUNCHER ? AT_LAUNCHER : AT_AUTH;
	int fd = msg_take_fd(m, 0);

	if (!msg_end(m) || (role != R_LAUNCHER && role != R_AUTH)) {
		close(fd);
		return;
	}
	if (polls[at].fd != -1)
		close(polls[at].fd);
	polls[at].fd = fd;
	hello_seen[at] = false;
	hello_put(&out, R_KEYS, NULL, 0);
	if (msg_write(fd, &out) == -1)
		log_warn("cannot greet the %s", role_name((enum role)role));
}

static void
read_control(void)
{
	struct hello hello;
	struct msgin m;
	int n;

	while ((n = msg_recv(FD_CONTROL, R_KEYS, R_SUPERVISOR, &m, inbuf)) == 1) {
		switch (m.type) {
		case MSG_KEY:
			on_key(&m);
			break;
		case MSG_PEER:
			on_peer(&m);
			break;
		case MSG_STOP:
			leave(EX_OK);
		case MSG_HELLO:
			if (!hello_get(&m, R_SUPERVISOR, &hello))
				fatalx(EX_PROTOCOL, "the supervisor is of another build (%s)", hello.build_id);
			break;
		default:
			break;
		}
		msg_close_fds(&m);
	}
	if (n == 0) /* the supervisor is gone: go on serving (design 5) */
		forget(AT_CONTROL);
	else if (errno == EBADMSG)
		fatalx(EX_PROTOCOL, "malformed message from the supervisor");
}

/* ---- launcher and auth client --------------------------------------------- */

static void
on_conn_open(struct msgin *m)
{
	struct conn_info info;
	int fd = msg_take_fd(m, 0);

	if (!conn_get(&m->r, m->id, &info) || npolls == AT_FIRST + CHANNELS_MAX) {
		close(fd); /* the worker's handshake fails, the client is refused */
		return;
	}
	polls[npolls] = (struct pollfd){.fd = fd, .events = POLLIN};
	channels[npolls] = (struct channel){.conn = m->id};
	npolls++;
}

static void
read_peer(unsigned int at, enum role role)
{
	struct hello hello;
	struct msgin m;
	int n;

	while ((n = msg_recv(polls[at].fd, R_KEYS, role, &m, inbuf)) == 1) {
		bool good = true;

		if (!hello_seen[at])
			good = hello_seen[at] = hello_get(&m, role, &hello);
		else if (m.type == MSG_CONN_OPEN)
			on_conn_open(&m);
		else
			good = false;
		msg_close_fds(&m);
		if (!good) {
			drop_peer(at, role_name(role), "malformed message or another build");
			return;
		}
	}
	if (n == 0)
		forget(at);
	else if (errno != EAGAIN)
		drop_peer(at, role_name(role), errno_name(errno));
}

/* ---- signing -------------------------------------------------------------- */

/* TLS is on for this connection: the auth client believes nobody else. */
static void
tell_auth(uint32_t conn)
{
	msg_begin(&out, MSG_CONN_TLS, conn);
	if (polls[AT_AUTH].fd == -1 || msg_write(polls[AT_AUTH].fd, &out) == -1)
		log_warnx("cannot tell the auth client that connection %u uses TLS", conn);
}

static bool
sign_request(unsigned int i, struct msgin *m)
{
	struct channel *c = &channels[i];
	uint8_t sig[600];
	enum sign_status status = SIGN_TOO_MANY;
	const char *why = "more signatures than one handshake needs";
	uint16_t key = rd_u16(&m->r), alg = rd_u16(&m->r);
	const uint8_t *tbs;
	size_t len, siglen = 0;

	tbs = rd_block(&m->r, 600, &len);
	if (!msg_end(m))
		return false;
	if (c->signed_ < set.sign_limit)
		status = keystore_sign(key, alg, tbs, len, sig, &siglen, &why);
	if (status == SIGN_GOOD) {
		c->signed_++;
		tell_auth(c->conn); /* before the answer: it must find it queued */
	} else {
		log_warnx("connection %u: refused to sign: %s", c->conn, why);
		siglen = 0;
	}
	msg_begin(&out, MSG_SIGN_RES, m->id);
	wr_u8(&out.w, (uint8_t)status);
	wr_block(&out.w, sig, siglen);
	msg_write(polls[i].fd, &out);
	/* The handshake has what it needs: our end closes, so that a worker has
	 * nobody to talk to here after it (design 2.4).  A refusal ends it too. */
	return status == SIGN_GOOD && c->signed_ < set.sign_limit;
}

/* False: the channel is to be forgotten. */
static bool
read_channel(unsigned int i)
{
	struct msgin m;
	int n = msg_recv(polls[i].fd, R_KEYS, R_WORKER, &m, inbuf);

	if (n == -1 && errno == EAGAIN)
		return true;
	if (n == -1 && errno == EBADMSG)
		log_warnx("connection %u: malformed signing request", channels[i].conn);
	if (n <= 0)
		return false;
	return m.type == MSG_SIGN_REQ && sign_request(i, &m);
}

static void __attribute__((noreturn))
loop(void)
{
	for (;;) {
		if (ppoll(polls, npolls, NULL, NULL) == -1 && errno != EINTR)
			fatal(EX_OSERR, "ppoll");
		if (polls[AT_CONTROL].fd != -1 && polls[AT_CONTROL].revents != 0)
			read_control();
		if (polls[AT_AUTH].fd != -1 && polls[AT_AUTH].revents != 0)
			read_peer(AT_AUTH, R_AUTH);
		if (polls[AT_LAUNCHER].fd != -1 && polls[AT_LAUNCHER].revents != 0)
			read_peer(AT_LAUNCHER, R_LAUNCHER);
		/* From the end: forgetting moves the last one here.  One message
		 * each in a round, so that a flood waits its turn. */
		for (unsigned int i = npolls; i-- > AT_FIRST;)
			if (polls[i].revents != 0 && !read_channel(i))
				forget(i);
		/* With nobody left to serve or to stop us, it is over. */
		if (polls[AT_CONTROL].fd == -1 && polls[AT_LAUNCHER].fd == -1 && npolls == AT_FIRST)
			leave(EX_OK);
	}
}

/* ---- start ---------------------------------------------------------------- */

static void
read_settings(void)
{
	static uint8_t buf[4096];
	long len = settings_read(FD_SETTINGS, buf, sizeof(buf));
	struct rd r = {.p = buf, .end = buf + (len > 0 ? len : 0)};

	if (len == -1 || !keys_settings_unpack(&r, &set))
		fatalx(EX_CONFIG, "the settings from the supervisor cannot be read");
	log_set_debug(set.debug != 0);
}

static void
say_hello(const struct layer_report *rep)
{
	uint8_t packed[96];

	hello_put(&out, R_KEYS, packed, layer_report_pack(rep, packed, sizeof(packed)));
	if (msg_write(FD_CONTROL, &out) == -1)
		fatal(EX_OSERR, "cannot greet the supervisor");
}

int
main(void)
{
	struct layer_report rep = {0};

	prctl(PR_SET_NAME, "gatehouse-keys");
	if (filters_map(FD_FILTERS) == -1)
		fatal(EX_OSERR, "cannot map the filters");
	read_settings();
	if (!secret_init(set.arena_bytes, (enum layer_need)set.memory, &rep))
		fatal(EX_OSERR, "no secret memory for the keys (memfd_secret): raise the memlock limit "
		    "above %u KiB, or set `confine_optional = secret-memory`", set.arena_bytes >> 10);
	if (late_enter(&set.plan, &rep) == -1)
		fatalx(EX_OSERR, "%s", late_reason());
	if (!keystore_warm_up())
		fatalx(EX_SOFTWARE, "rehearsal of reading keys and signing failed");
	polls[AT_CONTROL] = (struct pollfd){.fd = FD_CONTROL, .events = POLLIN};
	polls[AT_LAUNCHER] = (struct pollfd){.fd = -1, .events = POLLIN};
	polls[AT_AUTH] = (struct pollfd){.fd = -1, .events = POLLIN};
	say_hello(&rep);
	if (late_filter(&set.plan, FILTER_SELF) == -1)
		fatal(EX_OSERR, "cannot install the key-signer filter");
	loop();
}
