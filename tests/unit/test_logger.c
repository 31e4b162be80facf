/*
 * The log: what a process can and cannot make a line say.
 */
/* SRC: src/common/str.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "supervisor/logger.c"

#include <stdlib.h>

static char path[] = "/tmp/test_logger.XXXXXX";
static char text[1 << 20];

static const char *
logged(void)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	text[n > 0 ? n : 0] = '\0';
	assert_int_equal(truncate(path, 0), 0);
	return text;
}

static void
feed(struct logpipe *p, int fd, const char *s, size_t len, size_t step)
{
	for (size_t i = 0; i < len; i += step) {
		size_t n = len - i < step ? len - i : step;

		assert_int_equal(write(fd, s + i, n), n);
		assert_true(logpipe_read(p));
	}
}

static void
lines_get_prefix_and_level(void **state)
{
	static const char in[] = "Iimap-login: Login: user=<a>\nWslow\nplain\n";
	struct logpipe p;
	int fd = logpipe_open(&p, "gatehouse-auth", true);

	(void)state;
	for (size_t step = 1; step <= sizeof(in); step += sizeof(in) - 1) {
		const char *s;

		feed(&p, fd, in, sizeof(in) - 1, step);
		s = logged();
		assert_non_null(strstr(s, " imap-login: Info: Login: user=<a>\n"));
		assert_non_null(strstr(s, " gatehouse-auth: Warning: slow\n"));
		assert_non_null(strstr(s, " gatehouse-auth: Info: plain\n"));
	}
	close(fd);
	logpipe_close(&p);
}

static void
worker_cannot_forge_a_login(void **state)
{
	static const char in[] = "Iimap-login: Login: user=<root>\n";
	struct logpipe p;
	int fd = logpipe_open(&p, "gatehouse-login", false);

	(void)state;
	feed(&p, fd, in, sizeof(in) - 1, sizeof(in));
	assert_non_null(strstr(logged(), " gatehouse-login: Info: imap-login: Login: user=<root>\n"));
	close(fd);
	logpipe_close(&p);
}

static void
control_characters_are_cleaned(void **state)
{
	static const char in[] = "Ia\rb\033[31mc\0d\xff\xe2\x80\xae" "e\n";
	struct logpipe p;
	int fd = logpipe_open(&p, "x", false);

	(void)state;
	feed(&p, fd, in, sizeof(in) - 1, sizeof(in));
	assert_non_null(strstr(logged(), " x: Info: a?b?[31mc?d??e\n"));
	close(fd);
	logpipe_close(&p);
}

static void
endless_line_is_cut_once(void **state)
{
	static char in[20000];
	struct logpipe p;
	int fd = logpipe_open(&p, "x", false);
	const char *s;

	(void)state;
	memset(in, 'I', sizeof(in));
	in[sizeof(in) - 1] = '\n';
	feed(&p, fd, in, sizeof(in), 4096);
	feed(&p, fd, "Inext\n", 6, 6);
	s = logged();
	assert_non_null(strstr(s, "Info: next\n"));
	assert_int_equal(s[strlen(s) - 1], '\n');
	assert_null(strchr(strchr(strchr(s, '\n') + 1, '\n') + 1, '\n')); /* two lines */
	close(fd);
	logpipe_close(&p);
}

static void
flood_is_limited_and_said(void **state)
{
	struct logpipe p;
	int fd = logpipe_open(&p, "x", false);
	unsigned int lines = 0;

	(void)state;
	for (int i = 0; i < LOGGER_BURST * 2; i++)
		feed(&p, fd, "Iflood\n", 7, 7);
	for (const char *s = logged(); (s = strchr(s, '\n')) != NULL; s++)
		lines++;
	assert_in_range(lines, LOGGER_BURST, LOGGER_BURST + LOGGER_BURST / 2);
	assert_true(p.dropped > 0);
	p.refilled_ms -= 1000; /* a second later */
	feed(&p, fd, "Iafter\n", 7, 7);
	assert_non_null(strstr(logged(), "log lines were dropped"));
	close(fd);
	logpipe_close(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lines_get_prefix_and_level),
	    cmocka_unit_test(worker_cannot_forge_a_login),
	    cmocka_unit_test(control_characters_are_cleaned),
	    cmocka_unit_test(endless_line_is_cut_once),
	    cmocka_unit_test(flood_is_limited_and_said),
	};
	int fd = mkstemp(path), rv;

	if (fd == -1 || logger_open(LOG_TO_FILE, path) == -1)
		return 1;
	close(fd);
	rv = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	return rv;
}
