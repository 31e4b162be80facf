/*
 * Our own messages: what the list allows, descriptors, truncation, hello; the
 * fields of connections and settings.
 */
/* SRC: src/ipc/msg.c src/ipc/codec.c src/ipc/conn.c src/ipc/settings.c src/common/str.c src/ipc/blocks.c src/ipc/rules.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/conn.h"
#include "ipc/msg.h"
#include "ipc/settings.h"

static struct msgout out;
static uint8_t buf[MSG_MAX];
static int pair[2];

static int
setup(void **state)
{
	(void)state;
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair);
}

static int
teardown(void **state)
{
	(void)state;
	close(pair[0]);
	close(pair[1]);
	return 0;
}

static int
open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 200; fd++)
		n += fcntl(fd, F_GETFD) != -1;
	return n;
}

/* Every message by every pair of roles: exactly what the list says. */
static void
directions(void **state)
{
	static const struct {
		uint8_t from, to;
		uint16_t min, max;
		uint8_t fmin, fmax;
	} list[MSG__MAX] = {
#define MSG(name, from, to, min, max, fmin, fmax) [MSG_##name] = {from, to, min, max, fmin, fmax},
#include "ipc/msg.def"
#undef MSG
	};
	struct msgin m;

	(void)state;
	for (unsigned int type = 0; type < MSG__MAX + 3; type++) {
		memset(buf, 0, sizeof(buf));
		buf[0] = (uint8_t)type;
		for (unsigned int from = 1; from <= R_WORKER; from <<= 1) {
			for (unsigned int me = 1; me <= R_WORKER; me <<= 1) {
				bool known = type > 0 && type < MSG__MAX;
				size_t len = MSG_HEADER + (known ? list[type].min : 0);
				unsigned int nfds = known ? list[type].fmin : 0;
				bool want = known && (list[type].from & from) && (list[type].to & me);

				assert_int_equal(msg_parse(buf, len, nfds, (enum role)me, (enum role)from, &m),
				    want ? 0 : -1);
				if (!want)
					continue;
				if (list[type].min > 0)
					assert_int_equal(msg_parse(buf, len - 1, nfds, (enum role)me,
					    (enum role)from, &m), -1);
				assert_int_equal(msg_parse(buf, MSG_HEADER + list[type].max + 1u, nfds,
				    (enum role)me, (enum role)from, &m), -1);
				assert_int_equal(msg_parse(buf, len, list[type].fmax + 1u, (enum role)me,
				    (enum role)from, &m), -1);
				if (nfds > 0)
					assert_int_equal(msg_parse(buf, len, nfds - 1, (enum role)me,
					    (enum role)from, &m), -1);
			}
		}
	}
	for (size_t len = 0; len < MSG_HEADER; len++)
		assert_int_equal(msg_parse(buf, len, 0, R_AUTH, R_LAUNCHER, &m), -1);
	buf[0] = MSG_STOP;
	buf[2] = 1; /* the reserved word */
	assert_int_equal(msg_parse(buf, MSG_HEADER, 0, R_AUTH, R_SUPERVISOR, &m), -1);
}

static void
descriptors_travel(void **state)
{
	int before, null = open("/dev/null", O_RDONLY), fd;
	struct msgin m;

	(void)state;
	before = open_fds();
	msg_begin(&out, MSG_PEER, 0);
	wr_u8(&out.w, R_AUTH);
	msg_add_fd(&out, null);
	assert_int_equal(msg_send(pair[0], &out), 0);
	assert_int_equal(msg_recv(pair[1], R_LAUNCHER, R_SUPERVISOR, &m, buf), 1);
	assert_int_equal(m.nfds, 1);
	assert_int_equal(rd_u8(&m.r), R_AUTH);
	assert_true(msg_end(&m));
	assert_int_equal(fcntl(m.fds[0], F_GETFD), FD_CLOEXEC);
	fd = msg_take_fd(&m, 0);
	assert_int_equal(msg_take_fd(&m, 0), -1);
	assert_int_equal(msg_take_fd(&m, 7), -1);
	msg_close_fds(&m);
	close(fd);
	assert_int_equal(open_fds(), before);
	close(null);
}

/* Too many, or where none belongs: refused and closed. */
static void
stray_descriptors_are_closed(void **state)
{
	for (int nfds = 1; nfds <= 20; nfds += 3) {
		union {
			struct cmsghdr align;
			char buf[CMSG_SPACE(sizeof(int) * 20)];
		} control = {0};
		uint8_t stop[MSG_HEADER] = {MSG_STOP};
		struct iovec iov = {stop, sizeof(stop)};
		struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf,
		    .msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)nfds)};
		struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
		int before = open_fds();
		struct msgin m;

		(void)state;
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)nfds);
		for (int i = 0; i < nfds; i++)
			memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &pair[0], sizeof(int));
		assert_int_equal(sendmsg(pair[0], &mh, 0), sizeof(stop));
		assert_int_equal(msg_recv(pair[1], R_LAUNCHER, R_SUPERVISOR, &m, buf), -1);
		assert_int_equal(errno, EBADMSG);
		assert_int_equal(open_fds(), before);
		/* A worker's plain read drops them. */
		assert_int_equal(sendmsg(pair[0], &mh, 0), sizeof(stop));
		assert_int_equal(msg_read(pair[1], R_LAUNCHER, R_SUPERVISOR, &m, buf), 1);
		assert_int_equal(open_fds(), before);
	}
}

static void
ends_and_full_queues(void **state)
{
	struct msgin m;
	int sent = 0;

	(void)state;
	assert_int_equal(msg_recv(pair[1], R_AUTH, R_LAUNCHER, &m, buf), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(msg_read(pair[1], R_AUTH, R_LAUNCHER, &m, buf), -1);
	assert_int_equal(errno, EAGAIN);
	do {
		msg_begin(&out, MSG_STOP, 0);
		sent++;
	} while (msg_send(pair[0], &out) == 0 && sent < 100000);
	assert_int_equal(errno, EAGAIN);
	close(pair[0]);
	while (msg_recv(pair[1], R_AUTH, R_SUPERVISOR, &m, buf) == 1)
		sent--;
	assert_int_equal(sent, 1);
	assert_int_equal(msg_recv(pair[1], R_AUTH, R_SUPERVISOR, &m, buf), 0);
	msg_begin(&out, MSG_STOP, 0);
	assert_int_equal(msg_send(pair[1], &out), -1); /* and no SIGPIPE */
	assert_int_equal(errno, EPIPE);
	pair[0] = -1;
}

/* The kernel reports first that our words were not read, and then what the peer has
 * said: a process that has died has still said it. */
static void
last_words_of_one_that_did_not_read(void **state)
{
	struct msgin m;

	(void)state;
	for (int plain = 0; plain < 2; plain++) {
		int p[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, p), 0);
		msg_begin(&out, MSG_CONN_STOP, 5);
		wr_u8(&out.w, 0);
		assert_int_equal(msg_send(p[0], &out), 0);
		msg_begin(&out, plain ? MSG_AUTH_WAIT : MSG_CONN_LOGGED_IN, 7);
		assert_int_equal(msg_send(p[1], &out), 0);
		close(p[1]);
		if (plain) {
			assert_int_equal(msg_read(p[0], R_WORKER, R_AUTH, &m, buf), 1);
			assert_int_equal(m.id, 7);
			assert_int_equal(msg_read(p[0], R_WORKER, R_AUTH, &m, buf), 0);
		} else {
			assert_int_equal(msg_recv(p[0], R_LAUNCHER, R_AUTH, &m, buf), 1);
			assert_int_equal(m.id, 7);
			assert_int_equal(msg_recv(p[0], R_LAUNCHER, R_AUTH, &m, buf), 0);
		}
		close(p[0]);
	}
}

static void
own_mistakes_are_not_sent(void **state)
{
	(void)state;
	msg_begin(&out, MSG_DRAIN, 0); /* its fields are missing */
	assert_int_equal(msg_send(pair[0], &out), -1);
	assert_int_equal(errno, EMSGSIZE);
	msg_begin(&out, MSG_AUTH_CONT, 1);
	wr_block(&out.w, buf, MSG_MAX);
	assert_int_equal(msg_write(pair[0], &out), -1);
	msg_begin(&out, MSG_PEER, 0);
	wr_u8(&out.w, 1);
	assert_int_equal(msg_send(pair[0], &out), -1); /* without its descriptor */
	msg_add_fd(&out, -1);
	assert_int_equal(msg_send(pair[0], &out), -1);
}

static void
hello(void **state)
{
	static const uint8_t layers[] = {1, 2, 3};
	struct hello h;
	struct msgin m;

	(void)state;
	hello_put(&out, R_KEYS, layers, sizeof(layers));
	assert_int_equal(msg_parse(out.buf, out.w.len, 0, R_SUPERVISOR, R_KEYS, &m), 0);
	assert_true(hello_get(&m, R_KEYS, &h));
	assert_memory_equal(h.layers, layers, sizeof(layers));
	assert_int_equal(msg_parse(out.buf, out.w.len, 0, R_SUPERVISOR, R_KEYS, &m), 0);
	assert_false(hello_get(&m, R_AUTH, &h)); /* another role */
	out.buf[MSG_HEADER + 4] ^= 1;
	assert_int_equal(msg_parse(out.buf, out.w.len, 0, R_SUPERVISOR, R_KEYS, &m), 0);
	assert_false(hello_get(&m, R_KEYS, &h)); /* another build */
	assert_string_not_equal(h.build_id, build_id);
	for (size_t len = MSG_HEADER + 1; len < out.w.len; len++)
		if (msg_parse(out.buf, len, 0, R_SUPERVISOR, R_KEYS, &m) == 0)
			assert_false(hello_get(&m, R_KEYS, &h));
}

/* ---- fields ---------------------------------------------------------------- */

static void
connection_round_trip(void **state)
{
	struct conn_info a = {.id = 9, .service = SERVICE_POP3, .flags = 5, .session = "abcd", .listener = "pop3s",
	    .remote = {AF_INET6, 4711, {0x20, 1}}, .local = {AF_INET6, 995, {0x20, 2}}, .age_ms = 17};
	struct wr w = {.p = buf, .cap = sizeof(buf)};
	struct conn_info b;
	struct rd r;

	(void)state;
	conn_put(&w, &a);
	r = (struct rd){.p = buf, .end = buf + w.len};
	assert_true(conn_get(&r, 9, &b));
	assert_memory_equal(&a, &b, sizeof(a));
	for (size_t len = 0; len < w.len; len++) {
		r = (struct rd){.p = buf, .end = buf + len};
		assert_false(conn_get(&r, 9, &b));
	}
	r = (struct rd){.p = buf, .end = buf + w.len + 1}; /* a trailing byte */
	assert_false(conn_get(&r, 9, &b));
	buf[0] = SERVICE__MAX;
	r = (struct rd){.p = buf, .end = buf + w.len};
	assert_false(conn_get(&r, 9, &b));
}

static void
addresses(void **state)
{
	struct sockaddr_storage ss = {.ss_family = AF_INET6};
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;
	struct conn_addr a, b = {AF_INET, 1, {192, 0, 2, 7}};
	char text[INET6_ADDRSTRLEN];
	struct conn_net n;

	(void)state;
	memcpy(&in6->sin6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x07", 16);
	conn_addr_from(&a, &ss);
	assert_string_equal(conn_addr_text(&a, text), "192.0.2.7"); /* mapped: IPv4 */
	assert_true(conn_addr_same_ip(&a, &b));
	assert_true(conn_net_parse("192.0.2.0/24", &n) && conn_net_has(&n, &a));
	assert_true(conn_net_parse("192.0.2.6/31", &n) && conn_net_has(&n, &a));
	assert_true(conn_net_parse("192.0.2.4/31", &n) && !conn_net_has(&n, &a));
	assert_true(conn_net_parse("0.0.0.0/0", &n) && conn_net_has(&n, &a));
	assert_true(conn_net_parse("192.0.2.7", &n) && conn_net_has(&n, &a));
	assert_true(conn_net_parse("::/0", &n) && !conn_net_has(&n, &a));
	for (const char *const *p = (const char *const[]){"", "1.2.3", "1.2.3.4/33", "::/129", "x",
		 "1.2.3.4/", "1.2.3.4/-1", "::1/a", "[::1]", NULL}; *p != NULL; p++)
		assert_false(conn_net_parse(*p, &n));
}

#define ROUND_TRIP(kind, change) \
	do { \
		static struct kind##_settings x, y; \
		struct wr w = {.p = buf, .cap = sizeof(buf)}; \
		struct rd r; \
		change; \
		kind##_settings_pack(&w, &x); \
		assert_false(w.bad); \
		r = (struct rd){.p = buf, .end = buf + w.len}; \
		assert_true(kind##_settings_unpack(&r, &y)); \
		for (size_t len = 0; len < w.len; len++) { \
			static struct kind##_settings z; \
			r = (struct rd){.p = buf, .end = buf + len}; \
			assert_false(kind##_settings_unpack(&r, &z)); \
		} \
		check_##kind(&x, &y); \
	} while (0)

static void
check_worker(const struct worker_settings *x, const struct worker_settings *y)
{
	assert_string_equal(x->rules.base.login_greeting, y->rules.base.login_greeting);
	assert_string_equal(y->rules.base.imap_capability, "");
	assert_int_equal(y->ncerts, 2);
	assert_int_equal(y->certs[1].key, 7);
	assert_memory_equal(y->certs[1].pem, "PEM", 3);
	assert_int_equal(y->ncas, 2);
	assert_int_equal(y->cas[0].pem_len, 0);
	assert_memory_equal(y->cas[1].pem, "PEMS", 4);
	assert_int_equal(y->pool_plan.landlock, NEED_REQUIRED);
}

static void
check_launcher(const struct launcher_settings *x, const struct launcher_settings *y)
{
	assert_memory_equal(x->service, y->service, sizeof(x->service));
	assert_memory_equal(&x->plan, &y->plan, sizeof(x->plan));
	assert_int_equal(y->rules.base.login_timeout_ms, 180000);
	assert_int_equal(y->rules.nblocks, 1); /* the other has nothing for it */
	assert_int_equal(y->rules.blocks[0].set.ssl, SSL_REQUIRED);
	assert_int_equal(y->rules.blocks[0].has, RULE_BIT(RULE_SSL));
}

static void
check_auth(const struct auth_settings *x, const struct auth_settings *y)
{
	assert_string_equal(x->login_socket[1], y->login_socket[1]);
	assert_string_equal(y->rules.base.login_log_format_elements, "%u");
	assert_string_equal(y->rules.base.login_log_format, "%s");
	assert_int_equal(y->rules.base.ssl, SSL_REQUIRED);
	assert_null(y->rules.base.login_greeting);
}

static void
check_keys(const struct keys_settings *x, const struct keys_settings *y)
{
	assert_memory_equal(x, y, sizeof(*x));
}

static void
settings_round_trip(void **state)
{
	(void)state;
	ROUND_TRIP(worker, x.rules.base.login_greeting = "Hello"; x.ncerts = 2;
	    x.pool_plan.landlock = NEED_REQUIRED; x.certs[1].pem_len = 3; x.certs[1].key = 7;
	    x.certs[0].pem = x.certs[1].pem = (const uint8_t *)"PEM"; x.ncas = 2;
	    x.cas[1].pem = (const uint8_t *)"PEMS"; x.cas[1].pem_len = 4);
	ROUND_TRIP(launcher, x.service[1].vsz_limit = 1ull << 40; x.service[0].oom_score = 999; x.rules.nblocks = 2;
	    x.rules.blocks[0].takes.service = x.rules.blocks[1].takes.service = SERVICE__MAX;
	    x.rules.blocks[0].has = RULE_BIT(RULE_GREETING);
	    x.rules.blocks[1].has = RULE_BIT(RULE_SSL) | RULE_BIT(RULE_PLAINTEXT);
	    x.rules.blocks[1].set.ssl = SSL_REQUIRED;
	    x.plan.seccomp = 2; x.rules.base.login_timeout_ms = 180000);
	ROUND_TRIP(auth, strcpy(x.login_socket[1], "pop3"); x.rules.base.ssl = SSL_REQUIRED;
	    x.rules.base.login_log_format_elements = "%u"; x.rules.base.login_log_format = "%s");
	ROUND_TRIP(keys, x.nkeys = 3; x.memory = 1; x.arena_bytes = 99);
}

static void
reader_stays_bad(void **state)
{
	struct rd r = {.p = buf, .end = buf + 3};
	size_t len;
	char text[4];

	(void)state;
	assert_int_equal(rd_u32(&r), 0);
	assert_true(r.bad);
	assert_int_equal(rd_u8(&r), 0);
	assert_non_null(rd_block(&r, 10, &len));
	assert_int_equal(len, 0);
	memcpy(buf, "\3\0\0\0a\0b", 7); /* a NUL inside of a string */
	r = (struct rd){.p = buf, .end = buf + 7};
	rd_str(&r, text, sizeof(text));
	assert_true(r.bad);
	memcpy(buf, "\4\0\0\0abcd", 8); /* no room */
	r = (struct rd){.p = buf, .end = buf + 8};
	rd_str(&r, text, sizeof(text));
	assert_true(r.bad);
	assert_string_equal(text, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(directions),
	    cmocka_unit_test_setup_teardown(descriptors_travel, setup, teardown),
	    cmocka_unit_test_setup_teardown(stray_descriptors_are_closed, setup, teardown),
	    cmocka_unit_test_setup_teardown(ends_and_full_queues, setup, teardown),
	    cmocka_unit_test(last_words_of_one_that_did_not_read),
	    cmocka_unit_test_setup_teardown(own_mistakes_are_not_sent, setup, teardown),
	    cmocka_unit_test(hello),
	    cmocka_unit_test(connection_round_trip),
	    cmocka_unit_test(addresses),
	    cmocka_unit_test(settings_round_trip),
	    cmocka_unit_test(reader_stays_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
