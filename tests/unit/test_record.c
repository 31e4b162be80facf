/* SRC: src/confine/record.c src/confine/layers.c src/common/str.c src/common/log.c src/ipc/codec.c */
/* The record of layer reports: what is written is read again, nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "confine/record.h"

static char dir[] = "/tmp/gh-record.XXXXXX", path[64];

static void
fill(struct record *r)
{
	memset(r, 0, sizeof(*r));
	r->generation = 7;
	r->supervisor = 4711;
	r->n = RECORD_ENTRIES_MAX;
	for (unsigned int i = 0; i < r->n; i++) {
		struct record_entry *e = &r->entry[i];

		snprintf(e->what, sizeof(e->what), i % 2 ? "imap template%u" : "gatehouse-keys%u", i);
		e->pid = i % 2 ? 0 : (pid_t)(100 + i);
		e->started = i % 2 ? 0 : UINT64_MAX - i;
		e->layers.landlock_abi = (uint8_t)i;
		for (int l = 0; l < LAYER__MAX; l++) {
			e->layers.state[l] = (uint8_t)((unsigned int)l + i) % (LAYER_REFUSED + 1);
			if (e->layers.state[l] >= LAYER_ABSENT)
				e->layers.err[l] = (int16_t)(l % 3 == 0 ? ENOSYS : 0);
		}
	}
}

static size_t
slurp(char *dst, size_t cap)
{
	FILE *f = fopen(path, "r");
	size_t n;

	assert_non_null(f);
	n = fread(dst, 1, cap, f);
	fclose(f);
	return n;
}

static void
written_and_read(void **state)
{
	static struct record out, in;
	static char text[RECORD_BYTES_MAX + 1];
	struct stat st;
	size_t n;

	(void)state;
	fill(&out);
	umask(077);
	assert_int_equal(record_write(path, &out), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	n = slurp(text, sizeof(text));
	assert_true(record_parse(&in, text, n));
	assert_int_equal(in.generation, 7);
	assert_int_equal(in.supervisor, 4711);
	assert_int_equal(in.n, out.n);
	for (unsigned int i = 0; i < in.n; i++) {
		assert_string_equal(in.entry[i].what, out.entry[i].what);
		assert_int_equal(in.entry[i].pid, out.entry[i].pid);
		assert_true(in.entry[i].started == out.entry[i].started);
		assert_memory_equal(&in.entry[i].layers, &out.entry[i].layers,
		    sizeof(in.entry[i].layers));
	}
	/* Cut anywhere: a record of fewer entries, or none; never one that was not there. */
	for (size_t cut = 0; cut < n; cut++)
		if (record_parse(&in, text, cut))
			assert_true(in.n <= out.n && in.generation == 7);
	errno = 0;
	assert_int_equal(record_write("/nonexistent/layers.1", &out), -1);
	assert_int_equal(errno, ENOENT);
}

static void
malformed(void **state)
{
	static const char head[] = "generation\t1\t2\n";
	static const char *const good[] = {"a\t0\t0\t0\t\n", "a\t1\t2\t255\tids=enforced\n",
	    "a\t1\t2\t3\tids=enforced mdwe=absent:38\n", ""};
	static const char *const bad[] = {"a\n", "a\t1\n", "a\t1\t2\t3\n", "a\tx\t2\t3\t\n",
	    "a\t-1\t2\t3\t\n", "a\t99999999999\t2\t3\t\n", "a\t1\t2\t256\t\n",
	    "a\t1\t2\t3\tids\n", "a\t1\t2\t3\tids=\n", "a\t1\t2\t3\tids=off\n",
	    "a\t1\t2\t3\tnothing=enforced\n", "a\t1\t2\t3\tids=enforced:4096\n",
	    "a\t1\t2\t3\tids=enforced:-1\n", "a\t1\t2\t3\tids=enforced\tmore=enforced\n",
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\t1\t2\t3\t\n"};
	static struct record r;
	static char text[RECORD_BYTES_MAX + 2];
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		len = (size_t)snprintf(text, sizeof(text), "%s%s", head, good[i]);
		assert_true(record_parse(&r, text, len));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		len = (size_t)snprintf(text, sizeof(text), "%s%s", head, bad[i]);
		if (record_parse(&r, text, len))
			fail_msg("taken: %s", bad[i]);
		assert_false(record_parse(&r, bad[i], strlen(bad[i])));
	}
	assert_false(record_parse(&r, "", 0));
	assert_false(record_parse(&r, "generation\tx\ty\n", 15));
	assert_false(record_parse(&r, "generation\t1\t2\n\0", 16));
	/* more entries than there can be; more bytes than there can be */
	len = (size_t)snprintf(text, sizeof(text), "%s", head);
	for (int i = 0; i <= RECORD_ENTRIES_MAX; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", good[0]);
	assert_false(record_parse(&r, text, len));
	memset(text, 'a', sizeof(text));
	assert_false(record_parse(&r, text, sizeof(text)));
}

static void
start_times(void **state)
{
	(void)state;
	assert_true(record_start_time(getpid()) > 0);
	assert_true(record_start_time(getpid()) >= record_start_time(getppid()));
	assert_true(record_start_time(0x7fffffff) == 0);
}

static int
make_dir(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/layers.7", dir);
	return 0;
}

static int
remove_dir(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(written_and_read),
	    cmocka_unit_test(malformed), cmocka_unit_test(start_times)};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
