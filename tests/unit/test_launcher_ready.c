/*
 * The launcher's decisions: who takes the next connection, how many are kept ready,
 * who goes, who makes room.
 */
/* SRC: src/launcher/ready.c src/launcher/conn.c src/launcher/crowd.c */
/* LIBS: */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "launcher/conn.h"
#include "launcher/crowd.h"
#include "launcher/ready.h"

#define N 8

static struct worker w[N];
static const struct workers all = {.w = w, .n = N, .service = SERVICE_IMAP, .client_limit = 3};

static int
reset(void **state)
{
	(void)state;
	for (int i = 0; i < N; i++)
		w[i] = (struct worker){.fd = -1};
	return 0;
}

static struct worker *
add(int i, enum worker_kind kind, uint64_t born)
{
	w[i] = (struct worker){.kind = (uint8_t)kind,
	    .service = SERVICE_IMAP,
	    .ready = true,
	    .pid = 100 + i,
	    .fd = 10 + i,
	    .born_ms = born,
	    .idle_since = born};
	return &w[i];
}

static void
who_waits_comes_before_the_template(void **state)
{
	(void)state;
	assert_null(ready_pick(&all));
	add(0, W_TEMPLATE, 90);
	assert_ptr_equal(ready_pick(&all), &w[0]);
	add(1, W_CHILD, 10);
	add(2, W_CHILD, 20);
	add(3, W_CHILD, 15);
	assert_ptr_equal(ready_pick(&all), &w[2]); /* the newest: the old ones can go */
	w[2].retiring = true;
	assert_ptr_equal(ready_pick(&all), &w[3]);
	w[3].ready = false;
	w[1].fd = -1;
	assert_ptr_equal(ready_pick(&all), &w[0]);
	w[0].retiring = true;
	assert_null(ready_pick(&all));
}

static void
nobody_serves_another_service(void **state)
{
	(void)state;
	add(0, W_POOLED, 1)->service = SERVICE_POP3;
	add(1, W_TEMPLATE, 1)->service = SERVICE_POP3;
	assert_null(ready_pick(&all));
	assert_null(ready_template(&all));
	assert_null(ready_idle(&all, 1000, 0));
	assert_int_equal(ready_count(&all), 0);
	w[0].ready = false;
	assert_false(ready_soon(&all));
}

static void
of_pooled_ones_the_fullest_with_room(void **state)
{
	(void)state;
	add(0, W_POOLED, 1)->conns = 1;
	add(1, W_POOLED, 2)->conns = 2;
	add(2, W_POOLED, 3)->conns = 3; /* client_limit */
	assert_ptr_equal(ready_pick(&all), &w[1]);
	w[1].conns = 3;
	assert_ptr_equal(ready_pick(&all), &w[0]);
	w[0].conns = 3;
	assert_null(ready_pick(&all));
	assert_int_equal(ready_count(&all), 0);
}

static void
counted_are_those_with_room_and_those_that_come(void **state)
{
	(void)state;
	add(0, W_TEMPLATE, 1);
	assert_int_equal(ready_count(&all), 0);
	add(1, W_CHILD, 1);
	add(2, W_CHILD, 1)->ready = false;
	w[2].pid = 0;
	assert_int_equal(ready_count(&all), 2);
	add(3, W_CHILD, 1)->retiring = true;
	add(4, W_EXEC, 1)->fd = -1;
	assert_int_equal(ready_count(&all), 2);
	add(5, W_POOLED, 1)->conns = 2;
	assert_int_equal(ready_count(&all), 3);
}

static void
the_newest_template_forks(void **state)
{
	(void)state;
	add(0, W_TEMPLATE, 5);
	add(1, W_TEMPLATE, 9)->ready = false;
	add(2, W_CHILD, 10);
	assert_ptr_equal(ready_template(&all), &w[0]);
	w[1].ready = true;
	assert_ptr_equal(ready_template(&all), &w[1]);
	w[1].retiring = true;
	assert_ptr_equal(ready_template(&all), &w[0]);
}

static void
a_start_or_an_end_is_waited_for(void **state)
{
	(void)state;
	add(0, W_TEMPLATE, 1)->ready = false; /* makes no room itself */
	add(1, W_POOLED, 1)->conns = 3;
	assert_false(ready_soon(&all));
	w[1].retiring = true; /* serves three: that can take hours */
	assert_false(ready_soon(&all));
	w[1].conns = 0;
	assert_true(ready_soon(&all));
	w[1].kind = W_FREE;
	add(2, W_EXEC, 1)->ready = false;
	assert_true(ready_soon(&all));
}

static void
idle_ones_go_longest_first(void **state)
{
	(void)state;
	add(0, W_TEMPLATE, 1);
	add(1, W_CHILD, 500);
	add(2, W_CHILD, 300);
	add(3, W_POOLED, 1)->conns = 1;
	assert_null(ready_idle(&all, 1000, 701));
	assert_ptr_equal(ready_idle(&all, 1000, 700), &w[2]);
	assert_ptr_equal(ready_idle(&all, 1000, 1), &w[2]);
	w[2].retiring = true;
	assert_ptr_equal(ready_idle(&all, 1000, 500), &w[1]);
	assert_null(ready_idle(&all, 1000, 501)); /* a busy one never */
}

static void
doubling_ends_at_the_limit(void **state)
{
	static const uint32_t steps[] = {1, 2, 4, 8, 10, 10};
	uint32_t wanted = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		assert_int_equal(wanted = ready_more(wanted, 10), steps[i]);
	assert_int_equal(ready_more(3, 3), 3);
	while (wanted > 3)
		assert_int_equal(ready_less(wanted, 3), wanted - 1), wanted--;
	assert_int_equal(ready_less(3, 3), 3);
	assert_int_equal(ready_less(0, 3), 3);
	assert_int_equal(ready_less(0, 0), 0);
}

static bool
odd(const struct conn *c)
{
	return (c->accepted_ms & 1) != 0;
}

static void
numbers_begin_where_they_are_told(void **state)
{
	(void)state;
	assert_true(conns_init(UINT16_MAX));
	assert_int_equal(conns_add(SERVICE_IMAP, CROWD_NONE, 0)->id, 0xffff0000u);
	assert_int_equal(conns_add(SERVICE_IMAP, CROWD_NONE, 0)->id, 0x00010001u);
	assert_true(conns_init(0)); /* 0 is nobody's */
	assert_int_equal(conns_add(SERVICE_IMAP, CROWD_NONE, 0)->id, 0x00010000u);
}

static void
the_oldest_before_login_makes_room(void **state)
{
	struct conn *c[6];

	(void)state;
	assert_true(conns_init(1));
	assert_null(conns_victim(SERVICE_IMAP, 3, NULL));
	for (int i = 0; i < 6; i++)
		c[i] = conns_add(i == 0 ? SERVICE_POP3 : SERVICE_IMAP, CROWD_NONE, (uint64_t)i);
	assert_ptr_equal(conns_victim(SERVICE_IMAP, 3, NULL), c[1]);
	conns_logged_in(c[1]); /* a session never */
	assert_ptr_equal(conns_victim(SERVICE_IMAP, 3, NULL), c[2]);
	conns_mark_stopping(c[2], 100); /* told already */
	assert_int_equal(conns_stopping(SERVICE_IMAP), 1);
	assert_ptr_equal(conns_victim(SERVICE_IMAP, 3, NULL), c[3]);
	assert_ptr_equal(conns_victim(SERVICE_IMAP, 3, odd), c[4]);
	conns_remove(c[4]);
	assert_ptr_equal(conns_victim(SERVICE_IMAP, 3, odd), c[3]); /* better than none */
	conns_logged_in(c[2]); /* was faster: stays */
	assert_int_equal(conns_stopping(SERVICE_IMAP), 0);
	conns_remove(c[3]);
	conns_remove(c[5]);
	assert_null(conns_victim(SERVICE_IMAP, 3, NULL));
	assert_int_equal(conns_count(SERVICE_IMAP), 2);
	assert_ptr_equal(conns_victim(SERVICE_POP3, 3, NULL), c[0]);
}

static uint16_t
crowd(int family, uint8_t first, uint8_t eighth, uint8_t ninth)
{
	struct conn_addr a = {.family = (uint16_t)family, .ip = {first}};

	a.ip[7] = eighth;
	a.ip[8] = ninth;
	return crowd_of(&a);
}

static void
a_network_is_an_address_or_a_64(void **state)
{
	const uint64_t key[2] = {0x9e3779b97f4a7c15u, 0x1234567890abcdefu};
	unsigned int same = 0;

	(void)state;
	crowd_init(key);
	assert_int_equal(crowd(AF_INET6, 0x20, 1, 1), crowd(AF_INET6, 0x20, 1, 2));
	assert_int_not_equal(crowd(AF_INET6, 0x20, 1, 1), crowd(AF_INET6, 0x20, 2, 1));
	/* what lies behind an IPv4 address in its field is none of it */
	assert_int_equal(crowd(AF_INET, 10, 1, 1), crowd(AF_INET, 10, 2, 2));
	for (int i = 0; i < 256; i++) {
		assert_int_not_equal(crowd(AF_INET, (uint8_t)i, 0, 0), CROWD_NONE);
		same += crowd(AF_INET, (uint8_t)i, 0, 0) == crowd(AF_INET6, 0x20, 1, 0);
	}
	assert_true(same <= 2);
}

static void
a_flood_makes_room_for_itself(void **state)
{
	const uint16_t one = 17, two = 18;
	struct conn *honest, *flood[4], *other[3];

	(void)state;
	assert_true(conns_init(1));
	honest = conns_add(SERVICE_IMAP, 19, 0);
	for (int i = 0; i < 3; i++)
		other[i] = conns_add(SERVICE_IMAP, two, 1);
	for (int i = 0; i < 4; i++)
		flood[i] = conns_add(SERVICE_IMAP, one, 2);
	conns_add(SERVICE_POP3, one, 2); /* counts in its own service */
	assert_ptr_equal(conns_victim(SERVICE_IMAP, 5, NULL), honest); /* no flood: the oldest */
	assert_ptr_equal(conns_victim(SERVICE_IMAP, 4, NULL), flood[0]);
	conns_mark_stopping(flood[0], 9);
	assert_int_equal(crowd_size(SERVICE_IMAP, one), 3);
	assert_ptr_equal(conns_victim(SERVICE_IMAP, 3, NULL), other[0]); /* as large, and older */
	conns_logged_in(other[0]);
	assert_ptr_equal(conns_victim(SERVICE_IMAP, 3, NULL), flood[1]);
	conns_remove(flood[1]);
	assert_ptr_equal(conns_victim(SERVICE_IMAP, 3, NULL), honest);
	conns_remove(flood[0]); /* left its crowd when it was told */
	conns_logged_in(flood[2]);
	conns_remove(flood[2]);
	conns_remove(flood[3]);
	assert_int_equal(crowd_size(SERVICE_IMAP, one), 0);
	assert_int_equal(crowd_size(SERVICE_POP3, one), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(who_waits_comes_before_the_template, reset),
	    cmocka_unit_test_setup(nobody_serves_another_service, reset),
	    cmocka_unit_test_setup(of_pooled_ones_the_fullest_with_room, reset),
	    cmocka_unit_test_setup(counted_are_those_with_room_and_those_that_come, reset),
	    cmocka_unit_test_setup(the_newest_template_forks, reset),
	    cmocka_unit_test_setup(a_start_or_an_end_is_waited_for, reset),
	    cmocka_unit_test_setup(idle_ones_go_longest_first, reset),
	    cmocka_unit_test(doubling_ends_at_the_limit),
	    cmocka_unit_test(the_oldest_before_login_makes_room),
	    cmocka_unit_test(a_network_is_an_address_or_a_64),
	    cmocka_unit_test(a_flood_makes_room_for_itself),
	    cmocka_unit_test(numbers_begin_where_they_are_told),
	};

	return cmocka_run_group_tests_name("launcher_ready", tests, NULL, NULL);
}
