/*
 * The signer's store of sessions: once, for their owner, within their time and
 * within its limits.
 */
/* SRC: src/common/str.c */
/* LIBS: -lcrypto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "keys/resume.c"

static const struct resume_owner alice = {.service = SERVICE_IMAP, .net = {4, 192, 0, 2, 1}};

static int
fresh(void **state)
{
	(void)state;
	OPENSSL_free(ring);
	OPENSSL_free(heads);
	OPENSSL_free(pool);
	ring = NULL;
	heads = NULL;
	pool = NULL;
	oldest = used = live = 0;
	next = taken = 0;
	return resume_init(1000) ? 0 : -1;
}

static const uint8_t *
id_of(unsigned int n)
{
	static uint8_t id[RESUME_ID_LEN];

	memset(id, 0x55, sizeof(id));
	memcpy(id, &n, sizeof(n));
	return id;
}

static void
put(unsigned int n, size_t len, uint64_t now)
{
	uint8_t data[RESUME_DATA_MAX + 1];

	memset(data, (int)(n % 251 + 1), sizeof(data));
	resume_put(&alice, id_of(n), data, len, now);
}

/* Its length; its bytes are those that were put. */
static size_t
take(unsigned int n, uint64_t now)
{
	uint8_t data[RESUME_DATA_MAX];
	size_t len = resume_take(&alice, id_of(n), data, now);

	for (size_t i = 0; i < len; i++)
		assert_int_equal(data[i], n % 251 + 1);
	return len;
}

static bool
pool_is_wiped(void)
{
	for (size_t i = 0; i < RESUME_BYTES_MAX; i++)
		if (pool[i] != 0)
			return false;
	return true;
}

static void
given_out_once(void **state)
{
	(void)state;
	put(1, 100, 0);
	put(2, 1, 0);
	put(3, RESUME_DATA_MAX, 0);
	assert_int_equal(resume_count(), 3);
	assert_int_equal(take(2, 0), 1);
	assert_int_equal(take(2, 0), 0);
	assert_int_equal(take(1, 0), 100);
	assert_int_equal(take(3, 0), RESUME_DATA_MAX);
	assert_int_equal(take(1, 0), 0);
	assert_int_equal(take(4, 0), 0);
	assert_int_equal(resume_count(), 0);
	assert_true(pool_is_wiped());
}

/* An id that is there already, a session that is empty or too large. */
static void
not_kept(void **state)
{
	(void)state;
	put(1, 10, 0);
	put(1, 20, 0);
	put(2, 0, 0);
	put(3, RESUME_DATA_MAX + 1, 0);
	assert_int_equal(resume_count(), 1);
	assert_int_equal(take(1, 0), 10);
	put(1, 20, 0); /* and again */
	assert_int_equal(take(1, 0), 20);
}

static void
whole_id_counts(void **state)
{
	uint8_t data[RESUME_DATA_MAX], id[RESUME_ID_LEN];

	(void)state;
	put(1, 10, 0);
	for (size_t i = 0; i < RESUME_ID_LEN; i++) {
		memcpy(id, id_of(1), sizeof(id));
		id[i] ^= 1;
		assert_int_equal(resume_take(&alice, id, data, 0), 0);
	}
	assert_int_equal(take(1, 0), 10);
}

static void
owner_of(struct resume_owner *o, enum service s, uint16_t family, const uint8_t ip[16])
{
	struct conn_info info = {.service = s, .remote = {.family = family, .port = 4711}};

	memcpy(info.remote.ip, ip, 16);
	resume_owner_of(&info, o);
}

static void
only_for_its_owner(void **state)
{
	static const uint8_t four[3][16] = {{192, 0, 2, 1}, {192, 0, 2, 2}, {192, 0, 2, 1, 9}};
	static const uint8_t six[3][16] = {{0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 5},
	    {0x20, 1, 0xd, 0xb8, 0, 0, 0, 2, 5}, {0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 6}};
	struct resume_owner a, b;
	uint8_t data[RESUME_DATA_MAX];

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		const uint8_t(*ip)[16] = v6 ? six : four;
		uint16_t family = v6 ? AF_INET6 : AF_INET;

		owner_of(&a, SERVICE_IMAP, family, ip[0]);
		resume_put(&a, id_of(1), id_of(1), 10, 0);
		owner_of(&b, SERVICE_POP3, family, ip[0]);
		assert_int_equal(resume_take(&b, id_of(1), data, 0), 0);
		owner_of(&b, SERVICE_IMAP, family, ip[1]);
		assert_int_equal(resume_take(&b, id_of(1), data, 0), 0);
		owner_of(&b, SERVICE_IMAP, v6 ? AF_INET : AF_INET6, ip[0]);
		assert_int_equal(resume_take(&b, id_of(1), data, 0), 0);
		owner_of(&b, SERVICE_IMAP, family, ip[2]); /* the same network */
		assert_int_equal(resume_take(&b, id_of(1), data, 0), 10);
	}
}

static void
none_after_its_lifetime(void **state)
{
	(void)state;
	put(1, 10, 0);
	put(2, 10, 500);
	put(3, 10, 500);
	assert_int_equal(take(1, 1000), 0);
	assert_int_equal(resume_count(), 2);
	assert_int_equal(take(2, 1499), 10);
	assert_int_equal(take(3, 1500), 0);
	assert_int_equal(resume_count(), 0);
	assert_true(pool_is_wiped());
	put(4, 10, 2000);
	resume_expire(2999);
	assert_int_equal(resume_count(), 1);
	resume_expire(3000);
	assert_int_equal(resume_count(), 0);
	assert_int_equal(taken, 0);
	assert_true(pool_is_wiped());
}

static void
off(void **state)
{
	(void)state;
	assert_true(resume_init(0));
	assert_false(resume_on());
	put(1, 10, 0);
	assert_int_equal(resume_count(), 0);
	assert_int_equal(take(1, 0), 0);
}

static void
bounded_in_number(void **state)
{
	(void)state;
	for (unsigned int n = 0; n < RESUME_SESSIONS_MAX + 10; n++)
		put(n, 8, 0);
	assert_int_equal(resume_count(), RESUME_SESSIONS_MAX);
	assert_int_equal(take(9, 0), 0); /* the oldest made room */
	assert_int_equal(take(10, 0), 8);
	assert_int_equal(take(RESUME_SESSIONS_MAX + 9, 0), 8);
}

static void
bounded_in_bytes(void **state)
{
	unsigned int fit = RESUME_BYTES_MAX / RESUME_DATA_MAX, n;

	(void)state;
	for (n = 0; n < fit + 100; n++)
		put(n, RESUME_DATA_MAX, 0);
	assert_in_range(resume_count(), fit - 2, fit);
	assert_int_equal(take(0, 0), 0);
	for (unsigned int i = n - live; i < n; i++)
		assert_int_equal(take(i, 0), RESUME_DATA_MAX);
	assert_int_equal(resume_count(), 0);
	assert_true(pool_is_wiped());
}

/* The last byte of the pool is used, and the next session begins at its first. */
static void
pool_filled_to_the_brim(void **state)
{
	size_t rest = RESUME_BYTES_MAX % RESUME_DATA_MAX;
	unsigned int n;

	(void)state;
	for (n = 0; n < RESUME_BYTES_MAX / RESUME_DATA_MAX; n++)
		put(n, RESUME_DATA_MAX, 0);
	put(n, rest, 0);
	assert_int_equal(taken, RESUME_BYTES_MAX);
	assert_int_equal(next, RESUME_BYTES_MAX);
	put(n + 1, 5, 0);
	assert_int_equal(next, 5);
	assert_int_equal(take(n, 0), rest);
	assert_int_equal(take(n + 1, 0), 5);
	assert_int_equal(take(0, 0), 0);
	assert_int_equal(take(1, 0), RESUME_DATA_MAX);
}

/* A list beside it, many times round both rings: what should be there is there,
 * whole, and nothing else. */
static void
against_a_model(void **state)
{
	static struct {
		size_t len;
		uint64_t expires;
		bool there;
	} model[200000];
	unsigned int n = 0, found = 0;
	uint64_t now = 0;

	(void)state;
	srandom(7);
	for (int i = 0; i < 120000; i++) {
		now += (uint64_t)random() % 2;
		if (random() % 3 != 0 || n == 0) {
			model[n].len = 1 + (size_t)random() % RESUME_DATA_MAX;
			model[n].expires = now + 1000;
			model[n].there = true;
			put(n, model[n].len, now);
			n++;
		} else {
			unsigned int which = n - 1 - (unsigned int)random() % (n < 1500 ? n : 1500);
			size_t len = take(which, now);

			if (!model[which].there || now >= model[which].expires)
				assert_int_equal(len, 0);
			else
				assert_int_equal(len, model[which].len);
			found += len != 0;
			model[which].there = false;
		}
		assert_true(taken <= RESUME_BYTES_MAX);
		assert_true(live <= used);
	}
	assert_true(found > 10000);
	resume_expire(UINT64_MAX);
	assert_int_equal(used, 0);
	assert_int_equal(live, 0);
	assert_int_equal(taken, 0);
	assert_true(pool_is_wiped());
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(given_out_once, fresh),
	    cmocka_unit_test_setup(not_kept, fresh),
	    cmocka_unit_test_setup(whole_id_counts, fresh),
	    cmocka_unit_test_setup(only_for_its_owner, fresh),
	    cmocka_unit_test_setup(none_after_its_lifetime, fresh),
	    cmocka_unit_test_setup(off, fresh),
	    cmocka_unit_test_setup(bounded_in_number, fresh),
	    cmocka_unit_test_setup(bounded_in_bytes, fresh),
	    cmocka_unit_test_setup(pool_filled_to_the_brim, fresh),
	    cmocka_unit_test_setup(against_a_model, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
