/*
 * A worker's messages and an auth server's lines against the connection's state
 * machine, with real sockets around it.  Input: steps of one byte of kind, two
 * bytes of length (little-endian) and that many bytes.
 */
/* SRC: src/auth/table.c src/auth/conn.c src/auth/request.c src/auth/verdict.c src/auth/again.c src/auth/handoff.c src/auth/anvil.c src/auth/connlog.c src/auth/clientid.c src/auth/count.c src/ipc/stats.c src/auth/lograte.c src/auth/logfmt.c src/auth/logmod.c src/ipc/logvar.c src/auth/answer.c src/auth/loginreq.c src/auth/line.c src/auth/sockdir.c src/auth/loop.c src/auth/peers.c src/ipc/msg.c src/ipc/codec.c src/ipc/conn.c src/common/log.c src/common/str.c src/ipc/blocks.c src/ipc/rules.c */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "auth/server.c" /* a lost server is connected again without its timer */
#include "ipc/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

const char build_id[] = "fuzz";

static struct auth_settings settings = {.hostname = "mx.test", .auth_socket = "login",
    .login_socket = {"imap", "pop3"}, .anvil_socket = "anvil",
    .rules.base = {.login_log_format_elements =
	"user=<%u> method=%m rip=%r lip=%l mpid=%e %c session=<%{session}>",
	.login_log_format = "%$: %s", .mail_max_userip_connections = 10, .auth_max_attempts = 4,
	.auth_timeout_ms = 60000, .handoff_timeout_ms = 60000, .ssl = SSL_YES,
	.disable_plaintext_auth = 1, .ssl_verify_client_cert = 1, .auth_ssl_username_from_cert = 1,
	.imap_id_log = "name x-originating-ip", .imap_id_retain = 1, .auth_verbose = 1},
    .rules.nblocks = 1,
    .rules.blocks = {{.takes = {.service = SERVICE__MAX, .names = "*.test"},
	.has = RULE_BIT(RULE_VERIFY) | RULE_BIT(RULE_ATTEMPTS) | RULE_BIT(RULE_AUTH_TIMEOUT),
	.set = {.auth_max_attempts = 1, .auth_timeout_ms = 1000}}}};
static char dir[] = "/tmp/authfuzz.XXXXXX";
static int listeners[4], server_end = -1;

enum step {
	STEP_WORKER, /* a whole message; its type is an index of worker_types */
	STEP_SERVER, /* bytes of the auth server; "@" in a line becomes the open request's id */
	STEP_MAIL,   /* bytes of mail process or anvil; in 12 of them the tag is put right */
	STEP_TLS,
	STEP_STOP,
	STEP__MAX
};

/* Not msg.def's numbers: those change, and seeds would become something else. */
static const uint8_t worker_types[] = {MSG_AUTH_START, MSG_AUTH_CONT, MSG_AUTH_CANCEL, MSG_HANDOFF,
    MSG_TLS_INFO, MSG_GOODBYE, MSG_REFUSED, MSG_CLIENT_ID, MSG_AUTH_OK};

static int
listen_at(const char *name)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s/%s", dir, name);
	if (bind(fd, (struct sockaddr *)&un, sizeof(un)) == -1 || listen(fd, 64) == -1)
		abort();
	return fd;
}

static void
tidy(void)
{
	static const char *const names[] = {"login", "imap", "pop3", "anvil"};
	char path[64];

	for (int i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}

static void
once(void)
{
	static const char *const names[] = {"login", "imap", "pop3", "anvil"};

	if (listeners[0] != 0)
		return;
	signal(SIGPIPE, SIG_IGN);
	if (mkdtemp(dir) == NULL)
		abort();
	for (int i = 0; i < 4; i++)
		listeners[i] = listen_at(names[i]);
	atexit(tidy);
	log_to(open("/dev/null", O_WRONLY), false, "fuzz");
	if (sockdir_open(dir) == -1 || loop_init() == -1 || conns_init(&settings, 8) == -1)
		abort();
	server_start(&settings);
}

static void
greeted_server(void)
{
	static const char greeting_text[] =
	    "VERSION\t1\t3\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nMECH\tCRAM-MD5\n"
	    "MECH\tSCRAM-SHA-256-PLUS\tmutual-auth\tchannel-binding\n"
	    "MECH\tAPOP\tprivate\nSPID\t9\nCUID\t1\nCOOKIE\t000102030405060708090a0b0c0d0e0f\nDONE\n";

	if (current != NULL && candidate == NULL)
		return;
	if (candidate != NULL)
		lose(candidate, "again");
	for (int fd; current != NULL && (fd = accept(listeners[0], NULL, NULL)) != -1;)
		close(fd); /* probes */
	if (current == NULL) {
		connect_now();
		for (int fd; (fd = accept(listeners[0], NULL, NULL)) != -1; server_end = fd)
			if (server_end != -1) /* the one before, or a probe */
				close(server_end);
		server_feed(candidate, greeting_text, sizeof(greeting_text) - 1);
	}
	if (current == NULL)
		abort();
}

static void
worker_says(struct conn *c, const uint8_t *p, size_t len)
{
	static uint8_t buf[MSG_MAX];
	struct msgin m = {0};

	if (c->dead || len > sizeof(buf))
		return;
	memcpy(buf, p, len);
	if (len > 1 && buf[1] == 0 && buf[0] < sizeof(worker_types))
		buf[0] = worker_types[buf[0]];
	if (msg_parse(buf, len, 0, R_AUTH, R_WORKER, &m) == -1 || !conn_message(c, &m))
		conn_reject(c, "fuzz");
}

static void
server_says(const struct conn *c, const uint8_t *p, size_t len)
{
	static char text[70000];
	size_t n = 0;

	for (size_t i = 0; i < len && n < sizeof(text) - 16; i++) {
		if (p[i] == '@')
			n += (size_t)snprintf(text + n, 16, "%u", c->auth_id);
		else
			text[n++] = (char)p[i];
	}
	if (current != NULL)
		server_feed(current, text, n);
}

/* The other ends of mail and anvil sockets: accept, say it, close. */
static void
mail_says(struct conn *c, const uint8_t *p, size_t len)
{
	uint8_t right[12];

	if (len == sizeof(right)) {
		memcpy(right, p, len);
		memcpy(right, &c->tag, sizeof(c->tag));
		p = right;
	}
	for (int i = 1; i < 4; i++) {
		int fd = accept(listeners[i], NULL, NULL);

		if (fd == -1)
			continue;
		if (len > 0 && write(fd, p, len) == -1)
			len = 0;
		if (!c->dead && c->aux.fd != -1)
			c->aux.ready(&c->aux, 1);
		close(fd);
		if (!c->dead && c->aux.fd != -1)
			c->aux.ready(&c->aux, 1);
	}
}

static struct conn *
fresh(uint8_t kind, int far[3])
{
	static uint32_t id;
	struct conn_info info = {.service = kind & 1 ? SERVICE_POP3 : SERVICE_IMAP,
	    .flags = kind & 2 ? CONN_TLS_IMPLICIT : kind & 4 ? CONN_SECURED : CONN_TLS_OFFERED,
	    .session = "s", .listener = "l", .remote = {AF_INET, 1, {1, 2, 3, 4}}, .local = {AF_INET6, 2, {9}}};
	uint8_t buf[512];
	struct wr w = {.p = buf, .cap = sizeof(buf)};
	struct msgin m = {.type = MSG_CONN_OPEN, .id = ++id, .nfds = kind & 2 ? 2 : 3};

	for (unsigned int i = 0; i < 3; i++) {
		int pair[2] = {-1, -1};

		if (i < m.nfds && socketpair(AF_UNIX, i == 0 ? SOCK_SEQPACKET : SOCK_STREAM, 0, pair))
			abort();
		far[i] = pair[0];
		m.fds[i] = pair[1];
	}
	if (kind & 8)
		info.flags |= CONN_TRUSTED;
	conn_put(&w, &info);
	m.r = (struct rd){buf, buf + w.len, false};
	conn_open(&m);
	msg_close_fds(&m);
	if (kind & 2)
		conn_tls_on(id);
	return conn_by_id(id);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t sink[65536];
	struct conn *c;
	int far[3];

	once();
	if (len < 1)
		return 0;
	greeted_server();
	c = fresh(data[0], far);
	if (c == NULL)
		abort();
	data++;
	len--;
	while (len >= 3) {
		size_t n = (size_t)data[1] | (size_t)data[2] << 8;
		uint8_t kind = data[0] % STEP__MAX;

		data += 3;
		len -= 3;
		n = n < len ? n : len;
		if (kind == STEP_WORKER)
			worker_says(c, data, n);
		else if (kind == STEP_SERVER)
			server_says(c, data, n);
		else if (kind == STEP_MAIL)
			mail_says(c, data, n);
		else if (kind == STEP_TLS)
			conn_tls_on(c->info.id);
		else
			conn_stop(c->info.id, n > 0 ? data[0] : 0);
		data += n;
		len -= n;
	}
	conn_drop(c);
	conns_reap();
	if (conns_count() != 0)
		abort();
	for (int i = 0; i < 3; i++)
		if (far[i] != -1)
			close(far[i]);
	for (int i = 0, fd; i < 4; i++)
		while (i > 0 && (fd = accept(listeners[i], NULL, NULL)) != -1)
			close(fd);
	while (server_end != -1 && recv(server_end, sink, sizeof(sink), MSG_DONTWAIT) > 0)
		;
	return 0;
}
