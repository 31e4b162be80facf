/*
 * Who is ended for being silent: not one whose time was noted a moment after the
 * round of events began (a reload under load lost a connection to that).
 */
/* SRC: src/launcher/keep.c src/launcher/ready.c src/ipc/conn.c src/ipc/codec.c src/common/log.c src/common/str.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "common/log.h"
#include "launcher/launcher.h"

struct launcher lr;
static pid_t killed;
static unsigned int starts, retired;

int
kill(pid_t pid, int sig)
{
	assert_int_equal(sig, SIGKILL);
	killed = pid;
	return 0;
}

struct workers
workers_of(enum service s)
{
	return (struct workers){.w = lr.workers, .n = lr.nworkers, .service = s, .client_limit = 1};
}

bool
workers_start_process(enum service s, uint64_t now)
{
	(void)s;
	(void)now;
	starts++;
	return true;
}

void
workers_start_ready(enum service s, uint64_t now)
{
	(void)s;
	(void)now;
}

void
workers_retire(struct worker *w, uint64_t now)
{
	(void)w;
	(void)now;
	retired++;
}

void
workers_retire_template(struct worker *w, uint64_t now)
{
	workers_retire(w, now);
}

/* What a tick at `now` does with this worker. */
static pid_t
tick(struct worker w, uint64_t now)
{
	killed = 0;
	lr.workers[0] = w;
	lr.nworkers = 1;
	workers_tick(now);
	return killed;
}

static void
retired_ones(void **state)
{
	struct worker w = {.kind = W_TEMPLATE, .ready = true, .retiring = true, .pid = 7, .fd = 5,
	    .born_ms = 1000, .retired_ms = 20000};

	(void)state;
	assert_int_equal(tick(w, 19999), 0); /* told to go behind our time */
	assert_int_equal(tick(w, 20000), 0);
	assert_int_equal(tick(w, 25000), 0);
	assert_int_equal(tick(w, 25001), 7);
	w.conns = 1; /* it serves */
	assert_int_equal(tick(w, 90000), 0);
}

static void
those_that_never_say_hello(void **state)
{
	struct worker w = {.kind = W_EXEC, .pid = 8, .fd = 5, .born_ms = 10000};

	(void)state;
	assert_int_equal(tick(w, 9999), 0);
	assert_int_equal(tick(w, 40000), 0);
	assert_int_equal(tick(w, 40001), 8);
	w.ready = true;
	assert_int_equal(tick(w, 90000), 0);
}

static void
old_templates(void **state)
{
	struct worker w = {.kind = W_TEMPLATE, .ready = true, .pid = 9, .fd = 5, .born_ms = 10000};

	(void)state;
	lr.service[SERVICE_IMAP].set = (struct service_settings){.enabled = 1, .model = MODEL_FORK,
	    .template_max_uses = 10, .template_max_age_ms = 5000};
	lr.started = true;
	starts = 0;
	tick(w, 9999); /* born behind our time is not old */
	tick(w, 14999);
	assert_int_equal(starts, 0);
	tick(w, 15000);
	assert_int_equal(starts, 1);
	w.uses = 10;
	tick(w, 12000);
	assert_int_equal(starts, 2);
	assert_int_equal(retired, 0); /* its successor is not there yet */
	lr.started = false;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(retired_ones),
	    cmocka_unit_test(those_that_never_say_hello),
	    cmocka_unit_test(old_templates),
	};

	log_to(open("/dev/null", O_WRONLY), false, "x");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
