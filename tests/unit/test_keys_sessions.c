/*
 * The real gatehouse-keys behind its real filters: sessions that are left, asked
 * for, given out once, and everything that a worker may do wrong on the way.
 */
/* SRC: tests/lib/signer_driver.c src/policy/lex.c src/policy/names.c src/policy/consts.c src/policy/syscalls.c src/policy/cond.c src/policy/parse.c src/policy/parse_layers.c src/policy/parse_rule.c src/policy/check.c src/policy/load.c src/policy/relate.c src/policy/compile.c src/policy/diff.c src/policy/code.c src/policy/prove.c src/policy/points.c src/policy/eval.c src/common/diag.c src/common/str.c src/common/log.c src/ipc/filters.c src/ipc/msg.c src/ipc/codec.c src/ipc/conn.c src/ipc/settings.c src/ipc/blocks.c src/ipc/rules.c */
/* LIBS: -lseccomp -lcrypto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>

#include <time.h>

#include "ipc/resume.h"
#include "signer_requests.h"

#define LIFETIME_MS 600000

static const uint8_t *
id_of(uint32_t n)
{
	static uint8_t id[RESUME_ID_LEN];

	memset(id, 0x77, sizeof(id));
	memcpy(id, &n, sizeof(n));
	return id;
}

static int
get(int fd, uint32_t request, uint32_t session)
{
	struct msgout m;

	msg_begin(&m, MSG_SESSION_GET, request);
	wr_block(&m.w, id_of(session), RESUME_ID_LEN);
	return msg_write(fd, &m);
}

static int
put(int fd, uint32_t session, size_t len)
{
	uint8_t data[RESUME_DATA_MAX];
	struct msgout m;

	memset(data, (int)session & 0xff, sizeof(data));
	msg_begin(&m, MSG_SESSION_PUT, 99);
	wr_block(&m.w, id_of(session), RESUME_ID_LEN);
	wr_block(&m.w, data, len);
	return msg_write(fd, &m);
}

/* The length of the session that comes; -1: the channel is closed; -2: silence. */
static int
session(int fd, uint32_t request, uint32_t n, unsigned int ms)
{
	static uint8_t buf[MSG_MAX];
	const uint8_t *p;
	struct msgin m;
	size_t len;

	if (!signer_wait(fd, ms))
		return -2;
	if (msg_read(fd, R_WORKER, R_KEYS, &m, buf) != 1)
		return -1;
	assert_int_equal(m.type, MSG_SESSION_RES);
	assert_int_equal(m.id, request);
	p = rd_block(&m.r, RESUME_DATA_MAX, &len);
	assert_true(msg_end(&m));
	for (size_t i = 0; i < len; i++)
		assert_int_equal(p[i], n & 0xff);
	return (int)len;
}

static bool
closed(int fd)
{
	return session(fd, 0, 0, ANSWER_MS) == -1;
}

/* A full handshake that leaves session n of len bytes. */
static void
leave_from(struct signer *s, enum service service, uint8_t host, uint32_t n, size_t len)
{
	uint32_t id;
	int fd = signer_conn_from(s, service, host, &id);

	assert_int_equal(ask_well(fd, 1), 0);
	assert_int_equal(answer(fd, 1, ANSWER_MS), 0);
	conn_tls_comes(s, id);
	assert_int_equal(put(fd, n, len), 0);
	assert_true(closed(fd));
	close(fd);
}

static void
leave(struct signer *s, uint32_t n, size_t len)
{
	leave_from(s, SERVICE_IMAP, 1, n, len);
}

/* A connection that asks for session n: its length, 0 if there is none. */
static int
fetch_from(struct signer *s, enum service service, uint8_t host, uint32_t n)
{
	uint32_t id;
	int fd = signer_conn_from(s, service, host, &id), len;

	assert_int_equal(get(fd, 5, n), 0);
	len = session(fd, 5, n, ANSWER_MS);
	if (len > 0)
		conn_tls_comes(s, id);
	else
		assert_false(signer_wait(s->auth, 0)); /* TLS is not on */
	close(fd);
	return len;
}

static int
fetch(struct signer *s, uint32_t n)
{
	return fetch_from(s, SERVICE_IMAP, 1, n);
}

/* 0 or 2: signed, or too many over all. */
static int
sign_once(struct signer *s)
{
	int fd = signer_conn(s, NULL), status;
	struct msgin m;

	assert_int_equal(ask_well(fd, 1), 0);
	status = answer(fd, 1, ANSWER_MS);
	if (status == 0)
		assert_int_equal(signer_auth_next(s, &m, 0), 0);
	close(fd);
	return status;
}

static void
begin(struct signer *s)
{
	start(s, (struct signer_options){.session_lifetime_ms = LIFETIME_MS});
}

/* ---- what is good ---------------------------------------------------------- */

static void
left_and_given_out_once(void **state)
{
	struct signer s;

	(void)state;
	begin(&s);
	leave(&s, 1, 150);
	leave(&s, 2, RESUME_DATA_MAX);
	assert_int_equal(fetch(&s, 1), 150);
	assert_int_equal(fetch(&s, 1), 0);
	assert_int_equal(fetch(&s, 3), 0);
	assert_int_equal(fetch(&s, 2), RESUME_DATA_MAX);
	honest(&s);
	stop(&s);
}

static void
resumed_and_left_again(void **state)
{
	struct signer s;
	uint32_t id;
	int fd;

	(void)state;
	begin(&s);
	leave(&s, 1, 150);
	fd = signer_conn(&s, &id);
	assert_int_equal(get(fd, 1, 1), 0);
	assert_int_equal(session(fd, 1, 1, ANSWER_MS), 150);
	conn_tls_comes(&s, id);
	assert_int_equal(put(fd, 2, 160), 0);
	assert_true(closed(fd));
	assert_int_equal(get(fd, 2, 2), -1);
	close(fd);
	assert_int_equal(fetch(&s, 2), 160);
	stop(&s);
}

static void
none_there_then_a_signature(void **state)
{
	struct msgout m;
	struct signer s;
	uint32_t id;
	int fd;

	(void)state;
	begin(&s);
	fd = signer_conn(&s, &id);
	assert_int_equal(get(fd, 1, 1), 0);
	assert_int_equal(session(fd, 1, 1, ANSWER_MS), 0);
	assert_int_equal(ask_well(fd, 2), 0);
	assert_int_equal(answer(fd, 2, ANSWER_MS), 0);
	conn_tls_comes(&s, id);
	msg_begin(&m, MSG_SESSION_PUT, 3); /* the last word: none to keep */
	wr_block(&m.w, NULL, 0);
	wr_block(&m.w, NULL, 0);
	assert_int_equal(msg_write(fd, &m), 0);
	assert_true(closed(fd));
	close(fd);
	stop(&s);
}

static void
only_for_its_owner(void **state)
{
	struct signer s;

	(void)state;
	begin(&s);
	leave_from(&s, SERVICE_POP3, 7, 1, 100);
	assert_int_equal(fetch_from(&s, SERVICE_IMAP, 7, 1), 0);
	assert_int_equal(fetch_from(&s, SERVICE_POP3, 8, 1), 0);
	assert_int_equal(fetch_from(&s, SERVICE_POP3, 7, 1), 100);
	stop(&s);
}

static void
none_after_its_lifetime(void **state)
{
	const struct timespec pause = {.tv_sec = 1, .tv_nsec = 200000000};
	struct signer s;

	(void)state;
	start(&s, (struct signer_options){.session_lifetime_ms = 1000});
	leave(&s, 1, 100);
	nanosleep(&pause, NULL);
	assert_int_equal(fetch(&s, 1), 0);
	stop(&s);
}

/* Where signatures are too many over all, sessions are resumed as ever. */
static void
resumption_is_no_signature(void **state)
{
	struct signer s;
	int status = 0;

	(void)state;
	start(&s, (struct signer_options){.session_lifetime_ms = LIFETIME_MS, .sign_rate = 1});
	leave(&s, 1, 150);
	for (int i = 0; i < 1000 && status == 0; i++)
		status = sign_once(&s);
	assert_int_equal(status, 2);
	assert_int_equal(fetch(&s, 1), 150);
	stop(&s);
}

static void
off(void **state)
{
	struct signer s;
	int fd;

	(void)state;
	start(&s, (struct signer_options){0});
	fd = signer_conn(&s, NULL);
	assert_int_equal(get(fd, 1, 1), 0);
	assert_true(closed(fd));
	close(fd);
	fd = signer_conn(&s, NULL);
	assert_int_equal(put(fd, 1, 10), 0);
	assert_true(closed(fd));
	close(fd);
	honest(&s);
	stop(&s);
}

/* ---- what a worker may do wrong --------------------------------------------- */

static void
too_many_look_ups(void **state)
{
	struct signer s;
	int fd;

	(void)state;
	begin(&s);
	leave(&s, 9, 10);
	fd = signer_conn(&s, NULL);
	for (uint32_t i = 1; i <= RESUME_GETS_MAX; i++) {
		assert_int_equal(get(fd, i, i), 0);
		assert_int_equal(session(fd, i, i, ANSWER_MS), 0);
	}
	assert_int_equal(get(fd, 7, 9), 0);
	assert_true(closed(fd));
	close(fd);
	assert_int_equal(fetch(&s, 9), 10);
	stop(&s);
}

/* Nothing signed, nothing resumed: nothing is kept. */
static void
left_without_a_handshake(void **state)
{
	struct signer s;
	int fd;

	(void)state;
	begin(&s);
	fd = signer_conn(&s, NULL);
	assert_int_equal(put(fd, 1, 10), 0);
	assert_true(closed(fd));
	close(fd);
	fd = signer_conn(&s, NULL);
	assert_int_equal(get(fd, 1, 1), 0);
	assert_int_equal(session(fd, 1, 1, ANSWER_MS), 0);
	assert_int_equal(put(fd, 1, 10), 0);
	assert_true(closed(fd));
	close(fd);
	assert_int_equal(fetch(&s, 1), 0);
	stop(&s);
}

/* Two at once, and its own taken back as a proof: after the first nothing is read. */
static void
one_for_each_connection(void **state)
{
	uint8_t buf[MSG_MAX];
	struct signer s;
	int fd;

	(void)state;
	begin(&s);
	fd = signer_conn(&s, NULL);
	kill(s.pid, SIGSTOP);
	assert_int_equal(ask_well(fd, 1), 0);
	assert_int_equal(put(fd, 1, 10), 0);
	assert_int_equal(put(fd, 2, 10), 0);
	assert_int_equal(get(fd, 3, 1), 0);
	kill(s.pid, SIGCONT);
	/* Closed with words unread: that is reported before the signature. */
	do
		assert_true(signer_wait(fd, ANSWER_MS));
	while (read(fd, buf, sizeof(buf)) != 0);
	close(fd);
	assert_int_equal(signer_auth_next(&s, &(struct msgin){0}, ANSWER_MS), 0);
	assert_int_equal(fetch(&s, 2), 0);
	assert_int_equal(fetch(&s, 1), 10);
	stop(&s);
}

static void
send_and_be_dropped(struct signer *s, const void *p, size_t len)
{
	int fd = signer_conn(s, NULL);

	assert_int_equal(write(fd, p, len), (ssize_t)len);
	assert_true(closed(fd));
	close(fd);
}

/* Every truncation, a byte more, fields of other lengths, another's words. */
static void
malformed(void **state)
{
	uint8_t data[RESUME_DATA_MAX + 1] = {0};
	struct signer s;
	struct msgout m;

	(void)state;
	begin(&s);
	msg_begin(&m, MSG_SESSION_GET, 1);
	wr_block(&m.w, id_of(1), RESUME_ID_LEN);
	for (size_t len = 1; len <= m.w.len + 1; len++)
		if (len != m.w.len)
			send_and_be_dropped(&s, m.buf, len);
	m.buf[MSG_HEADER] = RESUME_ID_LEN - 1;
	send_and_be_dropped(&s, m.buf, m.w.len);
	m.buf[MSG_HEADER] = 255;
	send_and_be_dropped(&s, m.buf, m.w.len);

	msg_begin(&m, MSG_SESSION_PUT, 1);
	wr_block(&m.w, id_of(1), RESUME_ID_LEN);
	wr_block(&m.w, data, 100);
	for (size_t len = 1; len <= m.w.len + 1; len++)
		if (len != m.w.len)
			send_and_be_dropped(&s, m.buf, len);
	for (size_t idlen = 0; idlen <= RESUME_ID_LEN + 1; idlen++) {
		msg_begin(&m, MSG_SESSION_PUT, 1);
		wr_block(&m.w, data, idlen);
		wr_block(&m.w, data, idlen == RESUME_ID_LEN ? RESUME_DATA_MAX + 1 : 10);
		send_and_be_dropped(&s, m.buf, m.w.len);
	}
	msg_begin(&m, MSG_SESSION_RES, 1);
	wr_block(&m.w, data, 10);
	send_and_be_dropped(&s, m.buf, m.w.len);
	assert_false(signer_wait(s.auth, 0));
	honest(&s);
	stop(&s);
}

/* Sessions of lengths that strangers choose do not use up the memory for keys. */
static void
memory_is_bounded(void **state)
{
	struct signer s;

	(void)state;
	begin(&s);
	for (size_t len = 40; len <= RESUME_DATA_MAX; len += 120)
		for (uint32_t i = 0; i < 1100; i++)
			leave(&s, (uint32_t)len * 10000 + i, len);
	honest(&s);
	leave(&s, 1, RESUME_DATA_MAX);
	assert_int_equal(fetch(&s, 1), RESUME_DATA_MAX);
	stop(&s);
}

/* The auth client does not read: a session waits for it like a signature. */
static void
waits_for_the_auth_client(void **state)
{
	enum { CROWD = 700 };
	struct signer s;
	int fds[CROWD], fd, got = -2, served = 0;
	struct msgin m;

	(void)state;
	begin(&s);
	leave(&s, 1, 150);
	for (int i = 0; i < CROWD; i++) {
		fds[i] = signer_conn(&s, NULL);
		assert_int_equal(ask_well(fds[i], 1), 0);
	}
	fd = signer_conn(&s, NULL);
	assert_int_equal(get(fd, 1, 1), 0);
	assert_int_equal(session(fd, 1, 1, 300), -2);
	while (served < CROWD + 1 && (got = session(fd, 1, 1, 0)) == -2) {
		assert_int_equal(signer_auth_next(&s, &m, ANSWER_MS), 0);
		assert_int_equal(m.type, MSG_CONN_TLS);
		served++;
	}
	if (got == -2)
		got = session(fd, 1, 1, ANSWER_MS);
	assert_int_equal(got, 150);
	assert_true(served > CROWD / 2);
	assert_int_equal(put(fd, 2, 10), 0); /* it goes on afterwards */
	assert_true(closed(fd));
	for (int i = 0; i < CROWD; i++)
		close(fds[i]);
	close(fd);
	while (signer_auth_next(&s, &m, 200) == 0)
		;
	assert_int_equal(fetch(&s, 2), 10);
	stop(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(left_and_given_out_once),
	    cmocka_unit_test(resumed_and_left_again),
	    cmocka_unit_test(none_there_then_a_signature),
	    cmocka_unit_test(only_for_its_owner),
	    cmocka_unit_test(none_after_its_lifetime),
	    cmocka_unit_test(resumption_is_no_signature),
	    cmocka_unit_test(off),
	    cmocka_unit_test(too_many_look_ups),
	    cmocka_unit_test(left_without_a_handshake),
	    cmocka_unit_test(one_for_each_connection),
	    cmocka_unit_test(malformed),
	    cmocka_unit_test(memory_is_bounded),
	    cmocka_unit_test(waits_for_the_auth_client),
	};

	if (getenv("ONLY") != NULL)
		cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
