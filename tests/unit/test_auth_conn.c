/*
 * The auth client without its process: real sockets in a directory of our own,
 * the auth server, the mail process and the workers played by hand.
 */
/* SRC: src/auth/table.c src/auth/conn.c src/auth/request.c src/auth/verdict.c src/auth/again.c src/auth/handoff.c src/auth/anvil.c src/auth/connlog.c src/auth/clientid.c src/auth/count.c src/ipc/stats.c src/auth/lograte.c src/auth/logfmt.c src/auth/logmod.c src/ipc/logvar.c src/auth/answer.c src/auth/loginreq.c src/auth/line.c src/auth/server.c src/auth/sockdir.c src/auth/loop.c src/auth/peers.c src/ipc/msg.c src/ipc/codec.c src/ipc/conn.c src/common/log.c src/common/str.c src/ipc/blocks.c src/ipc/rules.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "auth/conn.h"
#include "auth/peers.h"
#include "auth/sockdir.h"
#include "common/log.h"

static struct auth_settings set = {.hostname = "mx.test", .auth_socket = "login",
    .login_socket = {"imap", "pop3"},
    .rules.base = {.login_log_format = "%$: %s", .login_log_format_elements = "user=<%u> %m",
	.auth_max_attempts = 3, .auth_timeout_ms = 60000, .handoff_timeout_ms = 60000,
	.ssl = SSL_YES, .disable_plaintext_auth = 1, .auth_verbose = 1}};
static char dir[64];
static int log_pipe[2], auth_listener, imap_listener, auth_fd = -1;
static uint32_t next_id = 1;
static struct msgout out;

struct peer {
	uint32_t id;
	int chan, mail, client;
	uint8_t buf[MSG_MAX];
};

/* So many messages find no memory. */
static unsigned int lacking;

ssize_t
sendmsg(int fd, const struct msghdr *mh, int flags)
{
	if (lacking > 0) {
		lacking--;
		errno = ENOBUFS;
		return -1;
	}
	return syscall(SYS_sendmsg, fd, mh, flags);
}

/* ---- the surroundings ----------------------------------------------------- */

static int
listen_at(const char *name)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s/%s", dir, name);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static bool rang;

static void
ring(struct timer *t)
{
	(void)t;
	rang = true;
}

/* All that is under way. */
static void
spin(void)
{
	static struct timer bell = {.fire = ring};

	rang = false;
	timer_set(&bell, 10);
	while (!rang) {
		loop_once();
		conns_reap();
	}
}

static void
auth_says(const char *text)
{
	assert_int_equal(write(auth_fd, text, strlen(text)), strlen(text));
	spin();
}

/* What was written to the auth server, NUL-terminated. */
static const char *
auth_heard(void)
{
	static char text[65536];
	ssize_t n = recv(auth_fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static const char *
logged(void)
{
	static char text[16384];
	ssize_t n = read(log_pipe[0], text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

#define GREETING \
	"MECH\tPLAIN\tplaintext\nMECH\tCRAM-MD5\nMECH\tX\tprivate\nSPID\t9\nCUID\t1\n" \
	"COOKIE\t000102030405060708090a0b0c0d0e0f\nDONE\n"

static void
accept_auth(void)
{
	for (int i = 0; i < 500 && (auth_fd = accept(auth_listener, NULL, NULL)) == -1; i++)
		spin(); /* it backs off */
	assert_int_not_equal(auth_fd, -1);
	assert_string_equal(auth_heard(), ""); /* it waits for the server's version */
	auth_says("VERSION\t1\t2\n");
	assert_non_null(strstr(auth_heard(), "VERSION\t1\t2\nCPID\t"));
}

static int
setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/authunit.XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(pipe2(log_pipe, O_NONBLOCK), 0);
	log_to(log_pipe[1], false, "auth");
	auth_listener = listen_at("login");
	imap_listener = listen_at("imap");
	assert_int_equal(sockdir_open(dir), 0);
	assert_int_equal(loop_init(), 0);
	assert_int_equal(conns_init(&set, 40), 0);
	server_start(&set);
	accept_auth();
	auth_says(GREETING);
	assert_non_null(server_current());
	return 0;
}

static int
teardown(void **state)
{
	char path[96];

	(void)state;
	snprintf(path, sizeof(path), "%s/login", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/imap", dir);
	unlink(path);
	return rmdir(dir);
}

/* ---- a worker ------------------------------------------------------------- */

static uint8_t local_host = 1; /* 127.0.0.X, where blocks may be */

static void
open_conn(struct peer *p, uint8_t flags)
{
	struct conn_info info = {.service = SERVICE_IMAP, .flags = flags, .session = "sess",
	    .remote = {AF_INET, 1234, {192, 0, 2, 7}}, .local = {AF_INET, 993, {127, 0, 0, local_host}}};
	int chan[2], mail[2], client[2] = {-1, -1};
	struct msgin m;
	uint8_t buf[MSG_MAX];
	struct wr w = {.p = buf, .cap = sizeof(buf)};

	p->id = next_id++;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, chan), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, mail), 0);
	if ((flags & CONN_TLS_IMPLICIT) == 0)
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, client), 0);
	conn_put(&w, &info);
	m = (struct msgin){.type = MSG_CONN_OPEN, .id = p->id, .r = {buf, buf + w.len, false},
	    .fds = {chan[1], mail[1], client[1]}, .nfds = client[1] == -1 ? 2 : 3};
	conn_open(&m);
	msg_close_fds(&m);
	p->chan = chan[0];
	p->mail = mail[0];
	p->client = client[0];
	if ((flags & CONN_TLS_IMPLICIT) != 0)
		conn_tls_on(p->id);
	spin();
}

static void
close_conn(struct peer *p)
{
	close(p->chan);
	close(p->mail);
	if (p->client != -1)
		close(p->client);
	spin();
}

static struct msgin
expect(struct peer *p, enum msg_type type)
{
	struct msgin m;

	assert_int_equal(msg_read(p->chan, R_WORKER, R_AUTH, &m, p->buf), 1);
	assert_string_equal(msg_name(m.type), msg_name(type));
	return m;
}

static void
expect_nothing(struct peer *p)
{
	struct msgin m;

	assert_int_equal(msg_read(p->chan, R_WORKER, R_AUTH, &m, p->buf), -1);
	assert_int_equal(errno, EAGAIN);
}

static void
expect_dropped(struct peer *p)
{
	struct msgin m;

	assert_int_equal(msg_read(p->chan, R_WORKER, R_AUTH, &m, p->buf), 0);
}

static void
start(struct peer *p, uint32_t request, const char *mech, const char *ir)
{
	msg_begin(&out, MSG_AUTH_START, request);
	wr_str(&out.w, mech);
	wr_u8(&out.w, ir != NULL);
	wr_block(&out.w, ir, ir != NULL ? strlen(ir) : 0);
	assert_int_equal(msg_write(p->chan, &out), 0);
	spin();
}

static void
handoff(struct peer *p, uint32_t request, const char *prefix, size_t len, size_t input)
{
	static uint8_t zeros[LOGINREQ_DATA_MAX];

	msg_begin(&out, MSG_HANDOFF, request);
	wr_block(&out.w, prefix, len);
	wr_block(&out.w, zeros, input);
	assert_int_equal(msg_write(p->chan, &out), 0);
	spin();
}

static uint8_t
failure(struct peer *p)
{
	struct msgin m = expect(p, MSG_AUTH_FAIL);

	return rd_u8(&m.r);
}

/* The id in the last AUTH line. */
static const char *
last_id(void)
{
	static char id[16];
	const char *text = auth_heard(), *at = strstr(text, "AUTH\t"), *next;

	while (at != NULL && (next = strstr(at + 1, "AUTH\t")) != NULL)
		at = next;
	assert_non_null(at);
	assert_int_equal(sscanf(at, "AUTH\t%15[0-9]", id), 1);
	return id;
}

static void
answer(const char *verb, const char *id, const char *rest)
{
	char line[256];

	snprintf(line, sizeof(line), "%s\t%s%s\n", verb, id, rest);
	auth_says(line);
}

/* ---- tests ---------------------------------------------------------------- */

static void
login_byte_by_byte(void **state)
{
	struct peer p;
	char line[64];

	(void)state;
	open_conn(&p, CONN_TLS_IMPLICIT);
	expect(&p, MSG_AUTH_READY);
	start(&p, 1, "plain", "x");
	snprintf(line, sizeof(line), "OK\t%s\tuser=alice\n", last_id());
	for (const char *c = line; *c != '\0'; c++)
		assert_int_equal(write(auth_fd, c, 1), 1), loop_once();
	spin();
	expect(&p, MSG_AUTH_OK);
	close_conn(&p);
	assert_non_null(strstr(auth_heard(), "CANCEL\t"));
	assert_non_null(strstr(logged(), "disconnected while finishing login"));
}

static void
answers_that_are_nobodys(void **state)
{
	struct peer p, q;
	char id[16];

	(void)state;
	open_conn(&p, CONN_TLS_IMPLICIT);
	open_conn(&q, CONN_TLS_IMPLICIT);
	expect(&p, MSG_AUTH_READY);
	expect(&q, MSG_AUTH_READY);
	start(&p, 1, "PLAIN", "x");
	strcpy(id, last_id());
	answer("OK", "1", "\tuser=mallory");
	answer("OK", "4294967295", "\tuser=mallory");
	answer("FAIL", "0", "");
	expect_nothing(&p);
	expect_nothing(&q);
	answer("FAIL", id, "");
	assert_int_equal(failure(&p), DLG_FAIL_AUTH);
	answer("OK", id, "\tuser=mallory"); /* a duplicate */
	answer("FAIL", id, "");
	expect_nothing(&p);
	start(&p, 2, "PLAIN", "x");
	answer("OK", id, "\tuser=mallory"); /* of the request before */
	expect_nothing(&p);
	close_conn(&p);
	close_conn(&q);
}

static void
rules(void **state)
{
	struct peer p;

	(void)state;
	auth_heard();
	open_conn(&p, CONN_TLS_OFFERED);
	expect(&p, MSG_AUTH_READY);
	start(&p, 1, "PLAIN", "x");
	assert_int_equal(failure(&p), DLG_FAIL_PLAINTEXT);
	start(&p, 2, "X", "x"); /* private */
	assert_int_equal(failure(&p), DLG_FAIL_MECH);
	start(&p, 3, "NO-SUCH", NULL);
	assert_int_equal(failure(&p), DLG_FAIL_MECH);
	expect(&p, MSG_CONN_BYE); /* auth_max_attempts */
	assert_string_equal(auth_heard(), ""); /* nothing of it was asked */
	close_conn(&p);
	assert_non_null(strstr(logged(), "Auth failed (tried to use disallowed plaintext auth)"));
	set.rules.base.ssl = SSL_REQUIRED;
	open_conn(&p, CONN_TLS_OFFERED);
	expect(&p, MSG_AUTH_READY);
	start(&p, 1, "CRAM-MD5", NULL);
	assert_int_equal(failure(&p), DLG_FAIL_SSL_REQUIRED);
	assert_int_equal(conn_tls_on(p.id), true);
	start(&p, 2, "CRAM-MD5", NULL);
	assert_non_null(strstr(auth_heard(), "\tsecured=tls\t"));
	close_conn(&p);
	/* The own host and trusted networks are no strangers (D.1). */
	open_conn(&p, CONN_TLS_OFFERED | CONN_SECURED);
	expect(&p, MSG_AUTH_READY);
	auth_heard();
	start(&p, 1, "PLAIN", NULL);
	assert_non_null(strstr(auth_heard(), "\tsecured\t"));
	set.rules.base.ssl = SSL_YES;
	close_conn(&p);
}

static void
tls_info(struct peer *p, const char *name, enum conn_cert cert)
{
	msg_begin(&out, MSG_TLS_INFO, 0);
	wr_str(&out.w, name);
	wr_str(&out.w, "TLSv1.3");
	wr_u8(&out.w, (uint8_t)cert);
	wr_str(&out.w, "");
	assert_int_equal(msg_write(p->chan, &out), 0);
	spin();
}

static struct block *
new_block(uint8_t host, const char *names, uint64_t has)
{
	struct block *b = &set.rules.blocks[set.rules.nblocks++];

	*b = (struct block){.takes.service = SERVICE__MAX, .has = has};
	if (host != 0)
		b->takes.local = (struct conn_net){AF_INET, {127, 0, 0, host}, 32};
	strcpy(b->takes.names, names);
	return b;
}

/* Opened at 127.0.0.HOST. */
static void
open_at(struct peer *p, uint8_t host, uint8_t flags)
{
	local_host = host;
	open_conn(p, flags);
	local_host = 1;
	expect(p, MSG_AUTH_READY);
	auth_heard();
	logged();
}

/* What blocks say of an address counts from the beginning. */
static void
blocks_by_address(void **state)
{
	struct peer p;

	(void)state;
	new_block(2, "", RULE_BIT(RULE_PLAINTEXT) | RULE_BIT(RULE_LOG_ELEMENTS))->
	    set.login_log_format_elements = "at=%l";
	new_block(3, "", RULE_BIT(RULE_SSL) | RULE_BIT(RULE_VERBOSE))->set.ssl = SSL_REQUIRED;
	new_block(4, "", RULE_BIT(RULE_ATTEMPTS))->set.auth_max_attempts = 1;
	open_at(&p, 2, CONN_TLS_OFFERED);
	start(&p, 1, "PLAIN", "x");
	assert_non_null(strstr(auth_heard(), "\tPLAIN\t"));
	close_conn(&p);
	assert_non_null(strstr(logged(), "at=127.0.0.2"));
	open_at(&p, 1, CONN_TLS_OFFERED);
	start(&p, 1, "PLAIN", "x");
	assert_int_equal(failure(&p), DLG_FAIL_PLAINTEXT);
	assert_non_null(strstr(logged(), "Auth failed"));
	close_conn(&p);
	open_at(&p, 3, CONN_TLS_OFFERED);
	start(&p, 1, "CRAM-MD5", NULL);
	assert_int_equal(failure(&p), DLG_FAIL_SSL_REQUIRED);
	assert_string_equal(logged(), ""); /* not verbose */
	start(&p, 2, "PLAIN", "x");
	assert_int_equal(failure(&p), DLG_FAIL_SSL_REQUIRED);
	close_conn(&p);
	open_at(&p, 4, CONN_TLS_OFFERED);
	start(&p, 1, "PLAIN", "x");
	assert_int_equal(failure(&p), DLG_FAIL_PLAINTEXT);
	expect(&p, MSG_CONN_BYE);
	close_conn(&p);
	set.rules.nblocks = 0;
}

/* What they say of a name counts once the client has asked for it. */
static void
blocks_by_name(void **state)
{
	struct block *b;
	struct peer p;

	(void)state;
	b = new_block(2, "mx.example *.test", RULE_BIT(RULE_VERIFY) | RULE_BIT(RULE_REQUIRE_CERT));
	b->set.ssl_verify_client_cert = b->set.auth_ssl_require_client_cert = 1;
	open_at(&p, 2, CONN_TLS_IMPLICIT);
	tls_info(&p, "MX.example", CONN_CERT_NONE);
	start(&p, 1, "PLAIN", "x");
	assert_int_equal(failure(&p), DLG_FAIL_REASON);
	close_conn(&p);
	open_at(&p, 2, CONN_TLS_IMPLICIT);
	tls_info(&p, "a.test", CONN_CERT_VALID);
	start(&p, 2, "PLAIN", "x");
	assert_non_null(strstr(auth_heard(), "\tvalid-client-cert\t"));
	close_conn(&p);
	for (int i = 0; i < 3; i++) { /* elsewhere nobody may claim a certificate */
		open_at(&p, i == 0 ? 1 : 2, CONN_TLS_IMPLICIT);
		tls_info(&p, i == 0 ? "mx.example" : i == 1 ? "other.example" : "a b.test",
		    CONN_CERT_VALID);
		expect_dropped(&p);
		close_conn(&p);
	}
	open_at(&p, 2, CONN_TLS_IMPLICIT);
	tls_info(&p, "other.example", CONN_CERT_NONE);
	start(&p, 1, "PLAIN", "x");
	assert_non_null(strstr(auth_heard(), "\tPLAIN\t"));
	close_conn(&p);
	set.rules.nblocks = 0;
}

/* A name decides rules, so it is said once, after a handshake, and under no request. */
static void
tls_info_has_its_time(void **state)
{
	struct block *b;
	struct peer p;

	(void)state;
	b = new_block(2, "open.example", RULE_BIT(RULE_REQUIRE_CERT));
	b->set.auth_ssl_require_client_cert = 0;
	open_at(&p, 2, CONN_TLS_IMPLICIT);
	tls_info(&p, "one.example", CONN_CERT_NONE);
	tls_info(&p, "open.example", CONN_CERT_NONE);
	expect_dropped(&p);
	close_conn(&p);
	open_at(&p, 2, CONN_TLS_OFFERED); /* there was no handshake */
	tls_info(&p, "open.example", CONN_CERT_NONE);
	expect_dropped(&p);
	close_conn(&p);
	set.rules.base.auth_ssl_require_client_cert = 1;
	set.rules.base.ssl_verify_client_cert = 1;
	open_at(&p, 2, CONN_TLS_IMPLICIT);
	start(&p, 1, "PLAIN", "x");
	assert_int_equal(failure(&p), DLG_FAIL_REASON);
	set.rules.base.auth_ssl_require_client_cert = 0;
	set.rules.base.ssl_verify_client_cert = 0;
	close_conn(&p);
	open_at(&p, 2, CONN_TLS_IMPLICIT);
	start(&p, 1, "PLAIN", "x");
	assert_non_null(strstr(auth_heard(), "\tPLAIN\t"));
	tls_info(&p, "open.example", CONN_CERT_NONE); /* too late: nothing comes of it */
	assert_string_equal(conn_by_id(p.id)->local_name, "");
	close_conn(&p);
	set.rules.nblocks = 0;
}

static void
refused(struct peer *p, uint8_t why, const char *mech)
{
	msg_begin(&out, MSG_REFUSED, 0);
	wr_u8(&out.w, why);
	wr_str(&out.w, mech);
	assert_int_equal(msg_write(p->chan, &out), 0);
	spin();
}

/* What the dialog has refused by itself is told once, and nobody is asked. */
static void
refused_by_the_worker(void **state)
{
	struct peer p;
	const char *text;

	(void)state;
	auth_heard();
	open_conn(&p, CONN_TLS_OFFERED);
	expect(&p, MSG_AUTH_READY);
	logged();
	refused(&p, DLG_FAIL_PLAINTEXT, "PL\nAIN");
	assert_string_equal(logged(), "Iimap-login: Auth failed (tried to use disallowed plaintext auth): "
	    "user=<>, PL?AIN\n");
	refused(&p, DLG_FAIL_MECH, "X");
	assert_string_equal(logged(), "");
	close_conn(&p);
	text = logged();
	assert_non_null(strstr(text, "(tried to use disallowed plaintext auth)"));
	assert_string_equal(auth_heard(), "");
	open_conn(&p, CONN_TLS_OFFERED);
	expect(&p, MSG_AUTH_READY);
	refused(&p, DLG_FAIL_AUTH, "X"); /* not the worker's to say */
	expect_dropped(&p);
	close_conn(&p);
}

static void
empty_and_no_initial_response(void **state)
{
	struct peer p;
	const char *text;

	(void)state;
	open_conn(&p, CONN_TLS_IMPLICIT);
	expect(&p, MSG_AUTH_READY);
	start(&p, 1, "PLAIN", "");
	text = auth_heard();
	assert_non_null(strstr(text, "\tresp=\n"));
	close_conn(&p);
	open_conn(&p, CONN_TLS_IMPLICIT);
	expect(&p, MSG_AUTH_READY);
	auth_heard();
	start(&p, 1, "PLAIN", NULL);
	assert_null(strstr(auth_heard(), "resp"));
	close_conn(&p);
}

static void
out_of_turn(void **state)
{
	struct peer p;

	(void)state;
	open_conn(&p, CONN_TLS_IMPLICIT);
	expect(&p, MSG_AUTH_READY);
	start(&p, 1, "PLAIN", "x");
	start(&p, 2, "PLAIN", "x"); /* one at a time */
	expect_dropped(&p);
	close_conn(&p);
	open_conn(&p, CONN_TLS_IMPLICIT);
	expect(&p, MSG_AUTH_READY);
	for (int i = 0; i <= STRAYS_MAX; i++) { /* late ones are ignored, a flood is not */
		msg_begin(&out, MSG_AUTH_CANCEL, 7);
		if (msg_write(p.chan, &out) == -1)
			break;
		if (i % 16 == 0)
			spin();
	}
	spin();
	expect_dropped(&p);
	close_conn(&p);
}

static void
handover_limits(void **state)
{
	struct peer p;
	char id[16];

	(void)state;
	open_conn(&p, CONN_TLS_IMPLICIT);
	expect(&p, MSG_AUTH_READY);
	start(&p, 1, "PLAIN", "x");
	strcpy(id, last_id());
	answer("OK", id, "\tuser=alice");
	expect(&p, MSG_AUTH_OK);
	handoff(&p, 1, "0a1", 4, LOGINREQ_DATA_MAX - 8); /* "sess" NUL and prefix: one too many */
	expect_dropped(&p);
	close_conn(&p);
	open_conn(&p, CONN_TLS_IMPLICIT);
	expect(&p, MSG_AUTH_READY);
	handoff(&p, 1, "0a1", 4, 0); /* without a login: late, so ignored; nothing is handed over */
	assert_int_equal(accept(imap_listener, NULL, NULL), -1);
	expect_nothing(&p);
	close_conn(&p);
}

static void
server_lost(void **state)
{
	struct peer p, q;
	const char *heard;

	(void)state;
	open_conn(&p, CONN_TLS_IMPLICIT);
	open_conn(&q, CONN_TLS_IMPLICIT);
	expect(&p, MSG_AUTH_READY);
	expect(&q, MSG_AUTH_READY);
	start(&p, 1, "PLAIN", "x");
	auth_says("FAIL\tgarbage\n");
	expect_nothing(&p); /* it is asked once more, of the next one */
	assert_null(server_current());
	start(&q, 1, "PLAIN", "y"); /* waits for the next one */
	expect_nothing(&q);
	close(auth_fd);
	spin();
	accept_auth();
	auth_says(GREETING);
	heard = auth_heard();
	assert_non_null(strstr(heard, "\tresp=eA==\n"));
	assert_non_null(strstr(heard, "\tresp=eQ==\n"));
	expect_nothing(&p); /* the list is the same: no second AUTH_READY */
	close(auth_fd);
	spin();
	assert_int_equal(failure(&p), DLG_FAIL_TEMP); /* not a third time */
	expect_nothing(&q);
	accept_auth();
	auth_says(GREETING);
	heard = auth_heard();
	assert_null(strstr(heard, "\tresp=eA==\n"));
	assert_non_null(strstr(heard, "\tresp=eQ==\n"));
	msg_begin(&out, MSG_GOODBYE, q.id);
	wr_u8(&out.w, 0);
	wr_str(&out.w, "Bye\r\nE forged line");
	logged();
	assert_int_equal(msg_write(q.chan, &out), 0);
	close_conn(&q);
	assert_non_null(strstr(logged(), "Disconnected: Bye??E forged line (disconnected while auth"));
	close_conn(&p);
}

static void
slots_and_slow_workers(void **state)
{
	static struct peer p[41];

	(void)state;
	assert_int_equal(conns_count(), 0);
	for (int i = 0; i < 41; i++)
		open_conn(&p[i], CONN_TLS_OFFERED);
	assert_int_equal(conns_count(), 40);
	expect_dropped(&p[40]);
	assert_non_null(strstr(logged(), "too many connections before login (40)"));
	/* One that reads nothing loses its connection; nobody waits for it. */
	for (int i = 0; i < 2000 && conns_count() == 40; i++) {
		struct conn *c = conn_by_id(p[0].id);

		if (c != NULL)
			conn_send_ready(c);
		conns_reap();
	}
	assert_int_equal(conns_count(), 39);
	for (int i = 0; i < 41; i++)
		close_conn(&p[i]);
	assert_int_equal(conns_count(), 0);
	open_conn(&p[0], CONN_TLS_OFFERED);
	expect(&p[0], MSG_AUTH_READY);
	close_conn(&p[0]);
}

static void
stop_and_malformed_open(void **state)
{
	struct peer p;
	struct msgin m = {.type = MSG_CONN_OPEN, .id = 77, .fds = {-1, -1, -1, -1}};
	uint8_t junk[64];

	(void)state;
	memset(junk, 0xff, sizeof(junk));
	m.r = (struct rd){junk, junk + sizeof(junk), false};
	conn_open(&m);
	assert_int_equal(conns_count(), 0);
	open_conn(&p, CONN_TLS_IMPLICIT);
	expect(&p, MSG_AUTH_READY);
	conn_stop(p.id, DLG_BYE__MAX); /* no such thing to say */
	expect_nothing(&p);
	conn_stop(p.id, DLG_BYE_SHUTDOWN);
	expect(&p, MSG_CONN_BYE);
	start(&p, 1, "PLAIN", "x"); /* it crossed: no answer, no end */
	expect_nothing(&p);
	close_conn(&p);
	assert_false(conn_tls_on(p.id));
}

/* No memory for a message: what the launcher does not hear of, it ends after
 * login_timeout. */
static void
logins_are_told(void **state)
{
	int control[2], launcher[2];
	static uint8_t buf[MSG_MAX];
	struct msgin m;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, control), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, launcher), 0);
	peers_start(control[1]);
	hello_put(&out, R_SUPERVISOR, NULL, 0);
	assert_int_equal(msg_send(control[0], &out), 0);
	msg_begin(&out, MSG_PEER, 0);
	wr_u8(&out.w, R_LAUNCHER);
	msg_add_fd(&out, launcher[1]);
	assert_int_equal(msg_send(control[0], &out), 0);
	hello_put(&out, R_LAUNCHER, NULL, 0);
	assert_int_equal(msg_send(launcher[0], &out), 0);
	spin();
	assert_int_equal(msg_recv(launcher[0], R_LAUNCHER, R_AUTH, &m, buf), 1);
	assert_int_equal(m.type, MSG_HELLO);
	lacking = 3;
	for (uint32_t id = 7; id < 10; id++) {
		peers_logged_in(id);
		spin();
	}
	assert_int_equal(lacking, 0);
	for (uint32_t id = 7; id < 10; id++) {
		assert_int_equal(msg_recv(launcher[0], R_LAUNCHER, R_AUTH, &m, buf), 1);
		assert_int_equal(m.type, MSG_CONN_LOGGED_IN);
		assert_int_equal(m.id, id);
	}
	close(launcher[0]);
	close(launcher[1]);
	spin();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(login_byte_by_byte),
	    cmocka_unit_test(answers_that_are_nobodys),
	    cmocka_unit_test(rules),
	    cmocka_unit_test(blocks_by_address),
	    cmocka_unit_test(blocks_by_name),
	    cmocka_unit_test(tls_info_has_its_time),
	    cmocka_unit_test(refused_by_the_worker),
	    cmocka_unit_test(empty_and_no_initial_response),
	    cmocka_unit_test(out_of_turn),
	    cmocka_unit_test(handover_limits),
	    cmocka_unit_test(server_lost),
	    cmocka_unit_test(slots_and_slow_workers),
	    cmocka_unit_test(stop_and_malformed_open),
	    cmocka_unit_test(logins_are_told),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
