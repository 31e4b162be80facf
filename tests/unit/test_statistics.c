/*
 * Counters: on the wire, added up over restarts, and as Prometheus reads them.
 */
/* SRC: src/supervisor/statistics.c src/ipc/stats.c src/ipc/conn.c src/ipc/codec.c src/common/str.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "supervisor/rundir.h"
#include "supervisor/statistics.h"

static struct stats written;
static unsigned int writes;

void
rundir_stats(const struct stats *s)
{
	written = *s;
	writes++;
}

static void
round_trip(void **state)
{
	struct stats a, b;
	uint8_t buf[256];
	struct wr w = {.p = buf, .cap = sizeof(buf)};
	struct rd r;

	(void)state;
	for (int s = 0; s < SERVICE__MAX; s++)
		for (int k = 0; k < COUNT__MAX; k++)
			a.n[s][k] = UINT64_MAX - (uint64_t)(s * 100 + k);
	stats_put(&w, &a);
	assert_int_equal(w.len, 144); /* msg.def says so */
	for (size_t len = 0; len <= w.len + 1; len++) {
		r = (struct rd){.p = buf, .end = buf + len};
		assert_int_equal(stats_get(&r, &b), len == w.len);
	}
	r = (struct rd){.p = buf, .end = buf + w.len};
	assert_true(stats_get(&r, &b));
	assert_memory_equal(&a, &b, sizeof(a));
}

static void
grows_over_restarts(void **state)
{
	struct stats first = {0}, second = {0}, now = {0};

	(void)state;
	statistics_tick(1000);
	assert_int_equal(writes, 1); /* all zero, but there */
	assert_int_equal(statistics_next(), UINT64_MAX);
	now.n[SERVICE_POP3][COUNT_LOGINS] = 5;
	statistics_add(&first, &now);
	now.n[SERVICE_POP3][COUNT_LOGINS] = 7;
	statistics_add(&first, &now);
	statistics_tick(1500); /* not yet */
	assert_int_equal(writes, 1);
	assert_int_equal(statistics_next(), 2000);
	statistics_tick(2000);
	assert_int_equal(writes, 2);
	assert_int_equal(written.n[SERVICE_POP3][COUNT_LOGINS], 7);
	now.n[SERVICE_POP3][COUNT_LOGINS] = 2; /* beside it: another generation's */
	statistics_add(&second, &now);
	memset(&first, 0, sizeof(first)); /* restarted */
	now.n[SERVICE_POP3][COUNT_LOGINS] = 1;
	statistics_add(&first, &now);
	now.n[SERVICE_POP3][COUNT_LOGINS] = 0; /* what cannot be */
	statistics_add(&first, &now);
	statistics_tick(3000);
	assert_int_equal(written.n[SERVICE_POP3][COUNT_LOGINS], 10);
	assert_int_equal(written.n[SERVICE_IMAP][COUNT_LOGINS], 0);
}

static void
text(void **state)
{
	struct stats s = {0};
	char *out = NULL;
	size_t len, types = 0;
	FILE *f = open_memstream(&out, &len);

	(void)state;
	s.n[SERVICE_IMAP][COUNT_CONNECTIONS] = 12;
	s.n[SERVICE_POP3][COUNT_FAIL_TEMP] = UINT64_MAX;
	stats_print(&s, f);
	fclose(f);
	assert_ptr_equal(strstr(out, "# HELP gatehouse_connections_total Connections that were accepted.\n"
	    "# TYPE gatehouse_connections_total counter\n"
	    "gatehouse_connections_total{service=\"imap\"} 12\n"
	    "gatehouse_connections_total{service=\"pop3\"} 0\n"), out);
	assert_non_null(strstr(out, "\ngatehouse_login_failures_total{service=\"pop3\",reason=\"temporary\"} "
	    "18446744073709551615\n"));
	for (const char *p = out; (p = strstr(p, "# TYPE ")) != NULL; p++)
		types++;
	assert_int_equal(types, 5); /* one for each name, before its first line */
	free(out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(round_trip),
	    cmocka_unit_test(grows_over_restarts),
	    cmocka_unit_test(text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
