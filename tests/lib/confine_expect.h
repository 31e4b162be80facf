/*
 * Expectations about starts that meet an obstacle; for test_confine_refused.c and
 * test_confine_self.c.
 */
#ifndef TESTS_CONFINE_EXPECT_H
#define TESTS_CONFINE_EXPECT_H

#include "confine_help.h"

static struct policy p;
static struct confine_req r;
static struct inmate m;

#define BIT(l) (UINT64_C(1) << (l))
#define ALL_OPTIONAL (~UINT64_C(0))

static void __attribute__((unused))
setup(enum layer_need user)
{
	full_policy(&p);
	p.ns[PNS_USER] = user;
	request(&r, &p);
}

static void __attribute__((unused))
no_user_namespaces(int err)
{
	obstruct_if(SYS_unshare, 0, CLONE_NEWUSER, SECCOMP_RET_ERRNO | (uint32_t)err);
}

static void __attribute__((unused))
expect_failure(enum layer l, int err, const char *const *words)
{
	CHECK_INT(inmate_start(&m, &r, "all", NULL), -1);
	CHECK_HAS(m.why, layer_name(l));
	CHECK_INT(m.rep.err[l], err);
	CHECK(m.rep.state[l] >= LAYER_ABSENT);
	for (; *words != NULL; words++)
		CHECK_HAS(m.why, *words);
	close(r.image_fd);
}

static void __attribute__((unused))
expect_life(void)
{
	START(&m, &r, "all", NULL);
	inmate_listen(&m);
	CHECK_INT(inmate_end(&m), 7 << 8);
	close(r.image_fd);
}

static void __attribute__((unused))
expect_state(enum layer l, enum layer_state state, int err)
{
	CHECK_INT(m.rep.state[l], state);
	CHECK_INT(m.rep.err[l], err);
}

#endif
