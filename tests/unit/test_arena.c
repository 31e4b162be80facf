/*
 * The worker's allocator: classes, reuse, alignment, exhaustion, what a forked
 * child leaves alone, wiping.
 */
/* SRC: src/common/arena.c */
/* LIBS: -lcrypto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "login/heap.c"

#include <string.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE ((1u << 20) + (64u << 10))

static void
classes_fit(void **state)
{
	(void)state;
	for (size_t size = 1; size < 300000; size += size < 2000 ? 1 : 997) {
		unsigned int cls = arena_class_of(size);

		assert_true(cls < ARENA_CLASSES);
		assert_true(arena_class_size(cls) >= size);
		assert_true(cls == 0 || arena_class_size(cls - 1) < size);
		/* No class wastes more than a fifth beyond the smallest ones. */
		if (size > 128)
			assert_true(arena_class_size(cls) - size <= size / 4 + 16);
	}
}

static void
blocks_are_aligned_and_reused(void **state)
{
	void *a = OPENSSL_malloc(100), *b = OPENSSL_malloc(100), *c;

	(void)state;
	assert_non_null(a);
	assert_int_equal((uintptr_t)a % 16, 0);
	assert_ptr_not_equal(a, b);
	OPENSSL_free(a);
	c = OPENSSL_malloc(97); /* same class */
	assert_ptr_equal(a, c);
	OPENSSL_free(b);
	OPENSSL_free(c);
}

static void
realloc_keeps_contents(void **state)
{
	unsigned char *p = OPENSSL_malloc(10);

	(void)state;
	for (size_t size = 10; size < 50000; size += 333) {
		memset(p, (int)(size & 0xff), size - 9);
		p = OPENSSL_realloc(p, size + 333);
		assert_non_null(p);
		for (size_t i = 0; i < size - 9; i++)
			assert_int_equal(p[i], size & 0xff);
	}
	OPENSSL_free(p);
}

static void
exhaustion_is_null(void **state)
{
	void *blocks[64];
	size_t n = 0;

	(void)state;
	while (n < 64 && (blocks[n] = OPENSSL_malloc(100000)) != NULL)
		n++;
	assert_true(n > 0 && n < 64);
	assert_null(OPENSSL_malloc((size_t)1 << 30));
	while (n > 0)
		OPENSSL_free(blocks[--n]);
	assert_non_null(blocks[0] = OPENSSL_malloc(100000));
	OPENSSL_free(blocks[0]);
}

/* Used up in large blocks, which are free again: small ones come out of them. */
static void
large_blocks_serve_small_requests(void **state)
{
	void *large[64], *small[64];
	size_t n = 0, m = 0;

	(void)state;
	while (n < 64 && (large[n] = OPENSSL_malloc(90000)) != NULL)
		n++;
	while (OPENSSL_malloc(5000) != NULL) /* what is left at the end; for good */
		;
	for (size_t i = 0; i < n; i++)
		OPENSSL_free(large[i]);
	while (m < 64 && (small[m] = OPENSSL_malloc(5000)) != NULL)
		memset(small[m++], 1, 5000);
	assert_int_equal(m, n);
	while (m > 0)
		OPENSSL_free(small[--m]);
	for (size_t i = 0; i < n; i++) /* and they are large ones again */
		assert_non_null(large[i] = OPENSSL_malloc(90000));
	assert_null(OPENSSL_malloc(90000));
	while (n > 0)
		OPENSSL_free(large[--n]);
}

static void
free_is_wiped_on_demand(void **state)
{
	char *p = OPENSSL_malloc(1000);

	(void)state;
	memcpy(p + 500, "wonderland", 10);
	OPENSSL_free(p);
	assert_memory_equal(p + 500, "wonderland", 10); /* control: freeing alone leaves it */
	heap_wipe_free();
	for (int i = 0; i < 10; i++)
		assert_int_equal(p[500 + i], 0);
}

/* In a forked child: fresh contiguous memory, the template's blocks untouched. */
static void
child_leaves_the_template_alone(void **state)
{
	unsigned char *old = OPENSSL_malloc(64);
	uint8_t before[ARENA_HEADER + 64];
	int status;
	pid_t pid;

	(void)state;
	memset(old, 7, 64);
	memcpy(before, old - ARENA_HEADER, sizeof(before));
	pid = fork();
	if (pid == 0) {
		uint8_t *a, *b;

		heap_fork(64 << 10, 8 << 10);
		OPENSSL_free(old);
		if (memcmp(before, old - ARENA_HEADER, sizeof(before)) != 0)
			_exit(1);
		a = OPENSSL_malloc(64);
		b = OPENSSL_malloc(64);
		if (a <= old || b <= a || b - a > 128 || (uintptr_t)(a - ARENA_HEADER) % 4096 != 0)
			_exit(2);
		/* Growing a block of the template's must move it. */
		if (OPENSSL_realloc(old, 65) == old)
			_exit(3);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	OPENSSL_free(old);
}

static void
double_free_ends_the_process(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		void *p = OPENSSL_malloc(32);

		signal(SIGILL, SIG_DFL); /* cmocka's own handlers */
		signal(SIGTRAP, SIG_DFL);
		OPENSSL_free(p);
		OPENSSL_free(p);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_true(WTERMSIG(status) == SIGILL || WTERMSIG(status) == SIGTRAP);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(classes_fit),
	    cmocka_unit_test(blocks_are_aligned_and_reused),
	    cmocka_unit_test(realloc_keeps_contents),
	    cmocka_unit_test(exhaustion_is_null),
	    cmocka_unit_test(free_is_wiped_on_demand),
	    cmocka_unit_test(child_leaves_the_template_alone),
	    cmocka_unit_test(double_free_ends_the_process),
	    cmocka_unit_test(large_blocks_serve_small_requests), /* last: it uses all up */
	};

	if (!heap_init(SIZE, false))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
