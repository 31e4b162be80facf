/*
 * The real gatehouse-keys behind its real filters: requests of every kind, floods,
 * thousands of connections.
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

#include "signer_requests.h"

static void
one_signature_then_closed(void **state)
{
	struct signer s;
	uint32_t id;
	int fd;

	(void)state;
	start(&s, (struct signer_options){0});
	fd = signer_conn(&s, &id);
	assert_int_equal(ask_well(fd, 1), 0);
	assert_int_equal(answer(fd, 1, ANSWER_MS), 0);
	conn_tls_comes(&s, id);
	assert_int_equal(answer(fd, 1, ANSWER_MS), -1); /* our end is all there is */
	assert_int_equal(ask_well(fd, 2), -1);
	close(fd);
	stop(&s);
}

static void
too_many(void **state)
{
	struct signer s;
	uint32_t id;
	int fd;

	(void)state;
	start(&s, (struct signer_options){.sign_limit = 2});
	kill(s.pid, SIGSTOP);
	fd = signer_conn(&s, &id);
	for (uint32_t i = 1; i <= 3; i++)
		assert_int_equal(ask_well(fd, i), 0);
	kill(s.pid, SIGCONT);
	assert_int_equal(answer(fd, 1, ANSWER_MS), 0);
	assert_int_equal(answer(fd, 2, ANSWER_MS), 0);
	assert_int_equal(answer(fd, 3, ANSWER_MS), 2);
	assert_int_equal(answer(fd, 4, ANSWER_MS), -1);
	conn_tls_comes(&s, id);
	conn_tls_comes(&s, id);
	assert_false(signer_wait(s.auth, 0));
	close(fd);
	honest(&s);
	stop(&s);
}

/* Over all connections; the next second brings more. */
static void
rate_over_all(void **state)
{
	enum { N = 200 };
	int fds[N], good = 0, refused = 0;
	struct signer s;
	struct msgin m;

	(void)state;
	start(&s, (struct signer_options){.sign_rate = 2});
	kill(s.pid, SIGSTOP);
	for (int i = 0; i < N; i++) {
		fds[i] = signer_conn(&s, NULL);
		assert_int_equal(ask_well(fds[i], 1), 0);
	}
	kill(s.pid, SIGCONT);
	for (int i = 0; i < N; i++) {
		int status = answer(fds[i], 1, ANSWER_MS);

		if (status == 0)
			assert_int_equal(signer_auth_next(&s, &m, 0), 0);
		else
			assert_int_equal(status, 2);
		good += status == 0;
		refused += status == 2;
		assert_int_equal(answer(fds[i], 1, ANSWER_MS), -1);
		close(fds[i]);
	}
	/* Four at once; 200 take less than a minute. */
	assert_in_range(good, 4, 4 + 120);
	assert_int_equal(good + refused, N);
	assert_false(signer_wait(s.auth, 0));
	usleep(600000);
	honest(&s);
	stop(&s);
}

/* status, or -1: dropped without a word. */
static int
try_request(struct signer *s, uint16_t key, uint16_t alg, const uint8_t *tbs, size_t len)
{
	int fd = signer_conn(s, NULL), status;

	assert_int_equal(ask(fd, 1, key, alg, tbs, len), 0);
	status = answer(fd, 1, ANSWER_MS);
	if (status != 0)
		assert_false(signer_wait(s->auth, 0)); /* TLS is not on */
	if (status > 0)
		assert_int_equal(answer(fd, 1, ANSWER_MS), -1);
	close(fd);
	return status;
}

static void
refusals(void **state)
{
	struct signer s;
	uint8_t tbs[600];
	size_t len;

	(void)state;
	start(&s, (struct signer_options){0});
	memset(tbs, 0x30, sizeof(tbs));
	assert_int_equal(try_request(&s, 0, 0x0403, tbs, 32), 1); /* a bare digest */
	assert_int_equal(try_request(&s, 0, 0x0403, tbs, 0), 1);
	assert_int_equal(try_request(&s, 0, 0x0403, tbs, 600), 1);
	len = content_13(tbs, 32);
	assert_int_equal(try_request(&s, 1, 0x0403, tbs, len), 3); /* no such key */
	assert_int_equal(try_request(&s, 63, 0x0403, tbs, len), 3);
	assert_int_equal(try_request(&s, 64, 0x0403, tbs, len), 3);
	assert_int_equal(try_request(&s, 65535, 0x0403, tbs, len), 3);
	assert_int_equal(try_request(&s, 0, 0x0503, tbs, len), 1); /* TLS 1.3: the curve's own hash */
	assert_int_equal(try_request(&s, 0, 0x0804, tbs, len), 1);
	assert_int_equal(try_request(&s, 0, 0x0807, tbs, len), 1);
	assert_int_equal(try_request(&s, 0, 0x0203, tbs, len), 1); /* SHA-1 */
	assert_int_equal(try_request(&s, 0, 0, tbs, len), 1);
	tbs[65] = 'l';
	assert_int_equal(try_request(&s, 0, 0x0403, tbs, len), 1);
	honest(&s);
	stop(&s);
}

static void
malformed_requests(void **state)
{
	static const char *const messages[] = {"x", "SIGN", "\x00\x00\x00\x00\x00\x00\x00\x00",
	    "\xff\xff\x00\x00\x01\x00\x00\x00"};
	struct msgout good;
	uint8_t tbs[200];
	struct signer s;
	int fd;

	(void)state;
	start(&s, (struct signer_options){0});
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		fd = signer_conn(&s, NULL);
		assert_true(write(fd, messages[i], i < 2 ? strlen(messages[i]) : 8) > 0);
		assert_int_equal(answer(fd, 0, ANSWER_MS), -1);
		close(fd);
	}
	/* Every truncation of a good one; and one byte more. */
	msg_begin(&good, MSG_SIGN_REQ, 5);
	wr_u16(&good.w, 0);
	wr_u16(&good.w, 0x0403);
	wr_block(&good.w, tbs, content_13(tbs, 32));
	for (size_t len = 1; len <= good.w.len + 1; len++) {
		if (len == good.w.len)
			continue;
		fd = signer_conn(&s, NULL);
		assert_int_equal(write(fd, good.buf, len), (ssize_t)len);
		assert_int_equal(answer(fd, 0, ANSWER_MS), -1);
		close(fd);
	}
	/* Another process's word, and descriptors. */
	fd = signer_conn(&s, NULL);
	hello_put(&good, R_WORKER, NULL, 0);
	assert_int_equal(msg_write(fd, &good), 0);
	assert_int_equal(answer(fd, 0, ANSWER_MS), -1);
	close(fd);
	fd = signer_conn(&s, NULL);
	struct msgout with_fd;

	msg_begin(&with_fd, MSG_CONN_OPEN, 1);
	conn_put(&with_fd.w, &(struct conn_info){.service = SERVICE_IMAP, .session = "A",
	    .remote = {.family = AF_INET}, .local = {.family = AF_INET}});
	msg_add_fd(&with_fd, fd);
	assert_int_equal(msg_send(fd, &with_fd), 0);
	assert_int_equal(answer(fd, 0, ANSWER_MS), -1);
	close(fd);
	honest(&s);
	stop(&s);
}

static void
a_flood_beside_an_honest_one(void **state)
{
	enum { N = 150 };
	struct signer s;
	int fds[N];

	(void)state;
	start(&s, (struct signer_options){0});
	kill(s.pid, SIGSTOP);
	for (int i = 0; i < N; i++) {
		uint8_t tbs[600] = {0};

		fds[i] = signer_conn(&s, NULL);
		assert_true(fds[i] != -1);
		for (int k = 0; k < 50; k++)
			if (ask(fds[i], 1, 0, 0x0403, tbs, sizeof(tbs)) == -1)
				break;
	}
	kill(s.pid, SIGCONT);
	honest(&s);
	for (int i = 0; i < N; i++) {
		int status = answer(fds[i], 1, ANSWER_MS);

		assert_true(status == 1 || status == -1);
		close(fds[i]);
	}
	stop(&s);
}

static void
thousands(void **state)
{
	enum { N = 3000 };
	struct signer s;
	static int fds[N];

	(void)state;
	start(&s, (struct signer_options){0});
	for (int i = 0; i < N; i++)
		assert_true((fds[i] = signer_conn(&s, NULL)) != -1);
	honest(&s);
	for (int i = 0; i < N; i += 2) {
		close(fds[i]);
		fds[i] = -1;
	}
	for (int i = 1; i < N; i += 2) {
		struct msgin m;

		assert_int_equal(ask_well(fds[i], 1), 0);
		assert_int_equal(answer(fds[i], 1, ANSWER_MS), 0);
		assert_int_equal(signer_auth_next(&s, &m, 0), 0);
		close(fds[i]);
	}
	honest(&s);
	stop(&s);
}

/* Out of descriptors: those channels are closed, the launcher's pair lives. */
static void
descriptor_limit(void **state)
{
	enum { N = 200 };
	unsigned int served = 0, closed = 0;
	struct signer s;
	int fds[N];

	(void)state;
	start(&s, (struct signer_options){.nofile = 64});
	for (int i = 0; i < N; i++)
		assert_true((fds[i] = signer_conn(&s, NULL)) != -1);
	for (int i = 0; i < N; i++) {
		struct msgin m;
		int status = ask_well(fds[i], 1) == -1 ? -1 : answer(fds[i], 1, ANSWER_MS);

		if (status == 0) {
			served++;
			assert_int_equal(signer_auth_next(&s, &m, 0), 0);
		} else {
			assert_int_equal(status, -1);
			closed++;
		}
	}
	assert_true(served >= 20);
	assert_true(closed >= 100);
	for (int i = 0; i < N; i++)
		close(fds[i]);
	honest(&s);
	stop(&s);
}

/*
 * Enough for the random generators to be seeded anew, behind the filter (a child
 * after 65536 requests): SOAK=200000 build/unit/test_keys_signer.
 */
static void
soak(void **state)
{
	const char *env = getenv("SOAK");
	uint32_t n = env != NULL ? (uint32_t)atoi(env) : 3000;
	struct signer s;
	int fd;

	(void)state;
	start(&s, (struct signer_options){.sign_limit = n + 1});
	fd = signer_conn(&s, NULL);
	for (uint32_t i = 1; i <= n; i++) {
		struct msgin m;

		assert_int_equal(ask_well(fd, i), 0);
		assert_int_equal(answer(fd, i, ANSWER_MS), 0);
		assert_int_equal(signer_auth_next(&s, &m, 0), 0);
	}
	close(fd);
	stop(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(one_signature_then_closed),
	    cmocka_unit_test(too_many),
	    cmocka_unit_test(rate_over_all),
	    cmocka_unit_test(refusals),
	    cmocka_unit_test(malformed_requests),
	    cmocka_unit_test(a_flood_beside_an_honest_one),
	    cmocka_unit_test(thousands),
	    cmocka_unit_test(descriptor_limit),
	    cmocka_unit_test(soak),
	};

	if (getenv("ONLY") != NULL)
		cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
