/*
 * The token bucket, with the clock given.
 */
/* SRC: src/keys/rate.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "keys/rate.h"

static unsigned int
take_all(struct rate *r, uint64_t now)
{
	unsigned int n = 0;

	while (n < 1000000 && rate_take(r, now))
		n++;
	return n;
}

static void
burst_then_rate(void **state)
{
	struct rate r;

	(void)state;
	rate_init(&r, 10, 25, 5000);
	assert_int_equal(take_all(&r, 5000), 25);
	assert_int_equal(take_all(&r, 5099), 0);
	assert_int_equal(take_all(&r, 5100), 1);
	assert_int_equal(take_all(&r, 6100), 10);
	/* Never more than the burst, however long it was quiet. */
	assert_int_equal(take_all(&r, 6100 + 2499), 24);
	assert_int_equal(take_all(&r, 1000000), 25);
}

/* What one looks at often is not lost in rounding. */
static void
slow_and_often_looked_at(void **state)
{
	struct rate r;
	unsigned int n = 0;

	(void)state;
	rate_init(&r, 3, 1, 0);
	for (uint64_t now = 0; now <= 100000; now++)
		n += rate_take(&r, now);
	assert_in_range(n, 299, 301);
}

static void
no_limit(void **state)
{
	struct rate r;

	(void)state;
	rate_init(&r, 0, 0, 0);
	for (int i = 0; i < 1000; i++)
		assert_true(rate_take(&r, 0));
}

static void
the_largest_numbers(void **state)
{
	struct rate r;

	(void)state;
	rate_init(&r, UINT32_MAX, UINT32_MAX, 0);
	assert_true(rate_take(&r, UINT64_MAX));
	rate_init(&r, 1, UINT32_MAX, 0);
	r.milli = 0;
	assert_false(rate_take(&r, 999));
	assert_true(rate_take(&r, UINT64_MAX));
	assert_int_equal(r.milli, (UINT32_MAX - (uint64_t)1) * 1000);
}

/* A clock that goes back brings nothing, and takes nothing. */
static void
clock_goes_back(void **state)
{
	struct rate r;

	(void)state;
	rate_init(&r, 1000, 2, 10000);
	assert_int_equal(take_all(&r, 10000), 2);
	assert_false(rate_take(&r, 9000));
	assert_int_equal(take_all(&r, 9001), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(burst_then_rate),
	    cmocka_unit_test(slow_and_often_looked_at),
	    cmocka_unit_test(no_limit),
	    cmocka_unit_test(the_largest_numbers),
	    cmocka_unit_test(clock_goes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
