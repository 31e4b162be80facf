/*
 * The real gatehouse-keys and its peers: an auth client that does not read, peers
 * that come, go and are replaced.
 */
/* SRC: tests/lib/signer_driver.c src/policy/lex.c src/policy/names.c src/policy/consts.c src/policy/syscalls.c src/policy/cond.c src/policy/parse.c src/policy/parse_layers.c src/policy/parse_rule.c src/policy/check.c src/policy/load.c src/policy/relate.c src/policy/compile.c src/policy/diff.c src/policy/code.c src/policy/prove.c src/policy/points.c src/policy/eval.c src/common/diag.c src/common/str.c src/common/log.c src/ipc/filters.c src/ipc/msg.c src/ipc/codec.c src/ipc/conn.c src/ipc/settings.c src/ipc/blocks.c src/ipc/rules.c */
/* LIBS: -lseccomp -lcrypto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <sys/wait.h>

#include "signer_requests.h"

/* ---- the auth client ------------------------------------------------------- */

enum { CROWD = 700 };

/* All ask at once, and nobody reads the auth pair: some are served, the others
 * wait for CONN_TLS to be taken. */
static unsigned int
fill(struct signer *s, int fds[CROWD], uint32_t ids[CROWD], bool got[CROWD])
{
	unsigned int n = 0;

	for (int i = 0; i < CROWD; i++) {
		assert_true((fds[i] = signer_conn(s, &ids[i])) != -1);
		assert_int_equal(ask_well(fds[i], 1), 0);
		got[i] = false;
	}
	for (int i = 0; i < CROWD; i++) {
		int status = answer(fds[i], 1, n + 1 < CROWD && i > 0 && !got[i - 1] ? 20 : 2000);

		if (status == -2)
			break;
		assert_int_equal(status, 0);
		got[i] = true;
		n++;
	}
	return n;
}

static void
drain(struct signer *s, int fds[CROWD], bool got[CROWD])
{
	for (int i = 0; i < CROWD; i++) {
		struct msgin m;

		while (signer_auth_next(s, &m, 0) == 0)
			assert_int_equal(m.type, MSG_CONN_TLS);
		if (!got[i])
			assert_int_equal(answer(fds[i], 1, ANSWER_MS), 0);
		close(fds[i]);
	}
}

static void
full_queue_to_the_auth_client(void **state)
{
	static uint32_t ids[CROWD];
	static bool got[CROWD];
	static int fds[CROWD];
	unsigned int n, told = 0;
	struct signer s;
	struct msgin m;

	(void)state;
	start(&s, (struct signer_options){0});
	n = fill(&s, fds, ids, got);
	assert_true(n > 10);
	assert_true(n < CROWD); /* else the crowd is too small for this kernel's queues */
	/* No answer was given without the word to the auth client before it. */
	while (told < n) {
		assert_int_equal(signer_auth_next(&s, &m, 0), 0);
		told++;
	}
	drain(&s, fds, got);
	honest(&s);
	stop(&s);
}

static void
auth_client_goes_while_they_wait(void **state)
{
	static uint32_t ids[CROWD];
	static bool got[CROWD];
	static int fds[CROWD];
	struct signer s;

	(void)state;
	start(&s, (struct signer_options){0});
	assert_true(fill(&s, fds, ids, got) < CROWD);
	close(s.auth);
	s.auth = -1;
	for (int i = 0; i < CROWD; i++) {
		if (!got[i]) /* its login is refused by whoever misses the auth client */
			assert_int_equal(answer(fds[i], 1, ANSWER_MS), 0);
		close(fds[i]);
	}
	assert_int_equal(signer_peer(&s, R_AUTH), 0);
	honest(&s);
	stop(&s);
}

/* Workers that do not wait for their answers. */
static void
workers_go_while_they_wait(void **state)
{
	static uint32_t ids[CROWD];
	static bool got[CROWD];
	static int fds[CROWD];
	struct signer s;
	struct msgin m;

	(void)state;
	start(&s, (struct signer_options){0});
	assert_true(fill(&s, fds, ids, got) < CROWD);
	for (int i = 0; i < CROWD; i++)
		close(fds[i]);
	for (int i = 0; i < CROWD; i++)
		assert_int_equal(signer_auth_next(&s, &m, ANSWER_MS), 0);
	honest(&s);
	stop(&s);
}

/* ---- peers ----------------------------------------------------------------- */

static void
peers_come_and_go(void **state)
{
	struct msgout m;
	struct signer s;
	int old;

	(void)state;
	start(&s, (struct signer_options){0});
	old = signer_conn(&s, NULL);
	honest(&s);
	assert_int_equal(signer_peer(&s, R_LAUNCHER), 0); /* replaced before it ended */
	honest(&s);
	close(s.launcher);
	s.launcher = -1;
	assert_int_equal(signer_peer(&s, R_LAUNCHER), 0);
	assert_int_equal(signer_peer(&s, R_AUTH), 0);
	honest(&s);
	/* A launcher that talks nonsense loses its pair and no more. */
	assert_int_equal(write(s.launcher, "nonsense", 8), 8);
	assert_int_equal(signer_peer(&s, R_LAUNCHER), 0);
	msg_begin(&m, MSG_CONN_TLS, 1);
	assert_int_equal(write(s.auth, m.buf, m.w.len), (ssize_t)m.w.len);
	assert_int_equal(signer_peer(&s, R_AUTH), 0);
	honest(&s);
	/* What was open stayed open. */
	assert_int_equal(ask_well(old, 3), 0);
	assert_int_equal(answer(old, 3, ANSWER_MS), 0);
	close(old);
	stop(&s);
}

static void
peer_of_another_build(void **state)
{
	struct msgout m;
	struct signer s;
	int fd;

	(void)state;
	start(&s, (struct signer_options){0});
	assert_int_equal(signer_peer(&s, R_LAUNCHER), 0);
	msg_begin(&m, MSG_HELLO, 0); /* a second hello is not allowed either */
	wr_str(&m.w, "0.0-other");
	wr_u8(&m.w, R_LAUNCHER);
	wr_u32(&m.w, 1);
	wr_block(&m.w, NULL, 0);
	assert_int_equal(msg_write(s.launcher, &m), 0);
	fd = signer_conn(&s, NULL);
	if (fd != -1) {
		assert_int_equal(answer(fd, 1, ANSWER_MS), -1);
		close(fd);
	}
	stop(&s);
}

static void
supervisor_goes(void **state)
{
	struct signer s;
	int fd, status;

	(void)state;
	start(&s, (struct signer_options){0});
	fd = signer_conn(&s, NULL);
	close(s.control);
	s.control = -1;
	honest(&s); /* those who are here are served on */
	close(s.launcher);
	s.launcher = -1;
	assert_int_equal(ask_well(fd, 1), 0);
	assert_int_equal(answer(fd, 1, ANSWER_MS), 0);
	close(fd);
	assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
	assert_int_equal(status, 0);
	close(s.auth);
	close(s.log);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(full_queue_to_the_auth_client),
	    cmocka_unit_test(auth_client_goes_while_they_wait),
	    cmocka_unit_test(workers_go_while_they_wait),
	    cmocka_unit_test(peers_come_and_go),
	    cmocka_unit_test(peer_of_another_build),
	    cmocka_unit_test(supervisor_goes),
	};

	if (getenv("ONLY") != NULL)
		cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
