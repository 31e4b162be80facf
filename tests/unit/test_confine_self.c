/* SRC: src/confine/[a-z]*.c src/policy/[a-z]*.c src/common/diag.c src/common/str.c src/common/log.c src/ipc/codec.c src/ipc/filters.c */
/* LIBS: -lcap-ng -lseccomp -lcrypto */
/* The supervisor's own walls, and the probe. */
#include "confine_expect.h"

#include "confine/internal.h"

static void
supervisor_policy(void)
{
	memset(&p, 0, sizeof(p));
	p.caps = BIT(7) | BIT(6) | BIT(5) | BIT(10);  /* setuid setgid kill net_bind_service */
	p.caps_no_userns = BIT(21) | BIT(8) | BIT(18); /* sys_admin setpcap sys_chroot */
	p.caps_need = NEED_REQUIRED;
	p.mdwe = NEED_OPTIONAL;
	p.nlimits = 1;
	strcpy(p.limits[0].name, "core");
}

static void
check_self(uint64_t keep)
{
	char text[200];

	for (int i = 0; i < 3; i++) {
		static const char *const sets[] = {"CapPrm", "CapEff", "CapBnd"};

		status_of(getpid(), sets[i], text, sizeof(text));
		CHECK_INT(strtoull(text, NULL, 16), keep);
	}
	CHECK_INT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
	CHECK_INT(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
	expect_state(LAYER_CAPS, LAYER_ENFORCED, 0);
	expect_state(LAYER_RLIMITS, LAYER_ENFORCED, 0);
	expect_state(LAYER_NO_NEW_PRIVS, LAYER_ENFORCED, 0);
	expect_state(LAYER_DUMPABLE, LAYER_ENFORCED, 0);
}

/* With the little that is left it can still start everything. */
BODY(supervisor_of_root)
{
	setup(NEED_OPTIONAL); /* the image, while files can be read */
	supervisor_policy();
	if (confine_self(&p, &m.rep, &m.d) == -1)
		CHECK_HAS(m.d.text, "no error");
	check_self(p.caps);
	close(r.image_fd);
	setup(NEED_REQUIRED);
	expect_life();
	CHECK_INT(said(&m, "uid"), INMATE_UID);
	CHECK_INT(said(&m, "groups"), 0);
}

BODY(supervisor_without_user_namespaces)
{
	no_user_namespaces(EPERM);
	supervisor_policy();
	if (confine_self(&p, &m.rep, &m.d) == -1)
		CHECK_HAS(m.d.text, "no error");
	check_self(p.caps | p.caps_no_userns);
	setup(NEED_OPTIONAL);
	expect_life();
	expect_state(LAYER_NESTING, LAYER_ABSENT, EOPNOTSUPP);
	for (int l = LAYER_IDS; l <= LAYER_NO_NEW_PRIVS; l++)
		if (l != LAYER_USERNS && l != LAYER_NESTING)
			expect_state((enum layer)l, LAYER_ENFORCED, 0);
	CHECK_INT(said(&m, "bounding"), 0);
	CHECK_INT(said(&m, "uid"), INMATE_UID);
}

BODY(supervisor_of_user)
{
	supervisor_policy();
	if (confine_self(&p, &m.rep, &m.d) == -1)
		CHECK_HAS(m.d.text, "no error");
	expect_state(LAYER_CAPS, LAYER_REFUSED, EPERM);
	expect_state(LAYER_DUMPABLE, LAYER_ENFORCED, 0);
	setup(NEED_REQUIRED);
	expect_life();
	CHECK_INT(said(&m, "uid"), USER);
}

BODY(supervisor_fails)
{
	obstruct(SYS_capset, 0);
	supervisor_policy();
	CHECK_INT(confine_self(&p, &m.rep, &m.d), -1);
	CHECK_HAS(m.d.text, "capabilities");
}

BODY(probe_all)
{
	confine_probe(&m.rep);
	for (int l = LAYER_USERNS; l < LAYER__MAX; l++)
		if (l != LAYER_OUTER_SECCOMP)
			CHECK(m.rep.state[l] != LAYER_NOT_ASKED);
	expect_state(LAYER_ROOT, LAYER_ENFORCED, 0);
	expect_state(LAYER_SECCOMP, LAYER_ENFORCED, 0);
	CHECK_INT(m.rep.state[LAYER_LANDLOCK] == LAYER_ENFORCED, m.rep.landlock_abi > 0);
	CHECK_INT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
}

BODY(probe_without)
{
	no_user_namespaces(EPERM);
	obstruct(444, EOPNOTSUPP); /* landlock_create_ruleset */
	confine_probe(&m.rep);
	expect_state(LAYER_USERNS, LAYER_REFUSED, EPERM);
	expect_state(LAYER_LANDLOCK, LAYER_ABSENT, EOPNOTSUPP);
	expect_state(LAYER_MOUNTNS, geteuid() == 0 ? LAYER_ENFORCED : LAYER_REFUSED,
	    geteuid() == 0 ? 0 : EPERM);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(supervisor_of_root_root),
	    cmocka_unit_test(supervisor_without_user_namespaces_root),
	    cmocka_unit_test(supervisor_of_user_user),
	    cmocka_unit_test(supervisor_fails_root),
	    cmocka_unit_test(probe_all_root),
	    cmocka_unit_test(probe_all_user),
	    cmocka_unit_test(probe_without_root),
	    cmocka_unit_test(probe_without_user),
	};

	return cmocka_run_group_tests(tests, build_inmate, remove_inmate);
}
