/* SRC: src/confine/late.c src/confine/landlock.c src/confine/layers.c src/common/log.c src/ipc/codec.c src/ipc/filters.c */
/* What a helper enters by itself; names, packing and merging of layers. */
#include "confine_help.h"

#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/un.h>

#include "confine/landlock.h"
#include "confine/late.h"

static struct layer_report rep;

/* ---- layers ------------------------------------------------------------------------ */

static void
names(void **state)
{
	(void)state;
	for (int l = 0; l < LAYER__MAX; l++) {
		assert_non_null(layer_name((enum layer)l));
		assert_null(strchr(layer_word((enum layer)l), ' '));
		for (int i = 0; i < l; i++)
			assert_string_not_equal(layer_word((enum layer)l), layer_word((enum layer)i));
	}
	assert_string_equal(layer_word(LAYER_USERNS), "user");
	assert_string_equal(layer_name((enum layer)99), "unknown layer");
	assert_string_equal(layer_state_name(LAYER_ABSENT), "absent");
	assert_string_equal(layer_state_name((enum layer_state)99), "unknown");
}

static void
sample(struct layer_report *r)
{
	memset(r, 0, sizeof(*r));
	r->state[LAYER_IDS] = LAYER_ENFORCED;
	r->state[LAYER_USERNS] = LAYER_REFUSED;
	r->err[LAYER_USERNS] = ENOSPC;
	r->state[LAYER_LANDLOCK] = LAYER_ENFORCED;
	r->landlock_abi = 7;
}

static void
packing(void **state)
{
	struct layer_report r, back;
	uint8_t buf[96];
	size_t n;

	(void)state;
	sample(&r);
	n = layer_report_pack(&r, buf, sizeof(buf));
	assert_in_range(n, 1, 96);
	assert_int_equal(layer_report_unpack(&back, buf, n), 0);
	assert_memory_equal(&r, &back, sizeof(r));
	assert_int_equal(layer_report_pack(&r, buf, 20), 0);
	for (size_t cut = 0; cut < n; cut++) /* every prefix, and one byte more */
		assert_int_equal(layer_report_unpack(&back, buf, cut), -1);
	assert_int_equal(layer_report_unpack(&back, buf, n + 1), -1);
}

static void
packing_hostile(void **state)
{
	struct layer_report r, back;
	uint8_t buf[96];
	size_t n;

	(void)state;
	sample(&r);
	n = layer_report_pack(&r, buf, sizeof(buf));
	buf[0]++; /* another number of layers */
	assert_int_equal(layer_report_unpack(&back, buf, n), -1);
	buf[0]--;
	buf[2] = LAYER_REFUSED + 1;
	assert_int_equal(layer_report_unpack(&back, buf, n), -1);
	buf[2] = LAYER_ENFORCED;
	buf[3] = EPERM; /* holds, and has an error */
	assert_int_equal(layer_report_unpack(&back, buf, n), -1);
	buf[2] = LAYER_REFUSED;
	assert_int_equal(layer_report_unpack(&back, buf, n), 0);
	buf[4] = 0xff; /* negative */
	assert_int_equal(layer_report_unpack(&back, buf, n), -1);
	assert_int_equal(back.state[0], 0);
	for (int i = 0; i < 20000; i++) { /* whatever comes: no more than refused */
		for (size_t j = 0; j < sizeof(buf); j++)
			buf[j] = (uint8_t)(rand() >> 7);
		buf[0] = LAYER__MAX;
		if (layer_report_unpack(&back, buf, n) == 0)
			for (int l = 0; l < LAYER__MAX; l++)
				assert_in_range(back.state[l], 0, LAYER_REFUSED);
	}
}

static void
merging(void **state)
{
	struct layer_report r, late = {0};

	(void)state;
	sample(&r);
	late.state[LAYER_MDWE] = LAYER_ABSENT;
	late.err[LAYER_MDWE] = EINVAL;
	layer_report_merge(&r, &late);
	assert_int_equal(r.state[LAYER_IDS], LAYER_ENFORCED);
	assert_int_equal(r.state[LAYER_MDWE], LAYER_ABSENT);
	assert_int_equal(r.err[LAYER_MDWE], EINVAL);
	assert_int_equal(r.landlock_abi, 7);
}

static void
texts(void **state)
{
	struct layer_report r;
	char text[1000], small[12];

	(void)state;
	sample(&r);
	layer_report_text(&r, text, sizeof(text));
	assert_string_equal(text,
	    "own ids enforced, user namespace refused (ENOSPC), landlock enforced (ABI 7)");
	layer_report_text(&r, small, sizeof(small));
	assert_string_equal(small, "own ids enf");
	memset(&r, 0, sizeof(r));
	layer_report_text(&r, text, sizeof(text));
	assert_string_equal(text, "");
	memset(r.state, LAYER_REFUSED, sizeof(r.state));
	for (int l = 0; l < LAYER__MAX; l++)
		r.err[l] = EAFNOSUPPORT;
	layer_report_text(&r, text, sizeof(text));
	assert_true(strlen(text) < sizeof(text) - 1); /* nobody's buffer is too small */
}

/* From the kernel's headers, release by release. */
static void
landlock_table(void **state)
{
	static const struct {
		int abi;
		uint64_t fs, net, scoped;
		size_t size;
	} want[] = {{0, 0, 0, 0, 0}, {1, 0x1fff, 0, 0, 8}, {2, 0x3fff, 0, 0, 8},
	    {3, 0x7fff, 0, 0, 8}, {4, 0x7fff, 3, 0, 16}, {5, 0xffff, 3, 0, 16},
	    {6, 0xffff, 3, 3, 24}, {7, 0xffff, 3, 3, 24}, {8, 0xffff, 3, 3, 24},
	    {9, 0x1ffff, 3, 3, 24}, {10, 0x1ffff, 15, 3, 24}, {11, 0x1ffff, 15, 3, 24},
	    {1000, 0x1ffff, 15, 3, 24}, {-1, 0, 0, 0, 0}};

	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		struct landlock_rights r = landlock_rights(want[i].abi);

		assert_int_equal(r.fs, want[i].fs);
		assert_int_equal(r.net, want[i].net);
		assert_int_equal(r.scoped, want[i].scoped);
		assert_int_equal(r.attr_size, want[i].size);
	}
}

/* ---- entering ------------------------------------------------------------------------ */

static const struct late_plan all_required = {.landlock = NEED_REQUIRED, .landlock_min_abi = 1,
    .mdwe = NEED_REQUIRED, .seccomp = NEED_REQUIRED};

static void
enter(const struct late_plan *plan)
{
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	memset(&rep, 0, sizeof(rep));
	if (late_enter(plan, &rep) == -1)
		CHECK_HAS(late_reason(), "no error");
}

BODY(all_hold)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int s = socket(AF_INET, SOCK_STREAM, 0);

	if (landlock_abi() < 4)
		_exit(0);
	enter(&all_required);
	CHECK_INT(rep.state[LAYER_DUMPABLE], LAYER_ENFORCED);
	CHECK_INT(rep.state[LAYER_MDWE], LAYER_ENFORCED);
	CHECK_INT(rep.state[LAYER_LANDLOCK], LAYER_ENFORCED);
	CHECK_INT(rep.state[LAYER_SECCOMP], LAYER_ENFORCED);
	CHECK_INT(rep.landlock_abi,
	    landlock_abi() > LANDLOCK_ABI_KNOWN ? LANDLOCK_ABI_KNOWN : landlock_abi());
	CHECK_INT(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
	CHECK(mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
	    MAP_FAILED);
	CHECK_INT(errno, EACCES);
	CHECK_INT(open("/etc/passwd", O_RDONLY), -1);
	CHECK_INT(errno, EACCES);
	CHECK_INT(mkdir("/tmp/landlock", 0700), -1);
	CHECK_INT(errno, EACCES);
	CHECK_INT(bind(s, (struct sockaddr *)&a, sizeof(a)), -1);
	CHECK_INT(errno, EACCES);
	if (rep.landlock_abi >= 6) {
		CHECK_INT(kill(getppid(), 0), -1);
		CHECK_INT(errno, EPERM);
	}
	close(s);
}

BODY(nothing_asked)
{
	static const struct late_plan plan = {0};

	enter(&plan);
	CHECK_INT(rep.state[LAYER_DUMPABLE], LAYER_ENFORCED);
	for (int l = LAYER_MDWE; l < LAYER__MAX; l++)
		CHECK_INT(rep.state[l], LAYER_NOT_ASKED);
	CHECK_INT(late_filter(&plan, FILTER_SELF), 0);
	CHECK(access("/etc/passwd", R_OK) == 0);
}

/* With the rule for sockets a connect by path is possible under every ABI. */
BODY(socket_rule)
{
	struct late_plan plan = all_required;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "/tmp/late.%d", (int)getpid());
	CHECK(bind(server, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(server, 1) == 0);
	plan.landlock_unix_dir = 1;
	if (fork() == 0) {
		enter(&plan);
		CHECK(connect(client, (struct sockaddr *)&a, sizeof(a)) == 0);
		_exit(0);
	}
	int status;
	CHECK(wait(&status) > 0);
	CHECK_INT(status, 0);
	unlink(a.sun_path);
	close(server);
	close(client);
}

/* errno of landlock_create_ruleset, state, words */
static void
landlock_says(int err, enum layer_state want, const char *word)
{
	struct late_plan plan = all_required;
	int status;
	pid_t pid = fork();

	if (pid != 0) {
		CHECK_INT(waitpid(pid, &status, 0), pid);
		CHECK_INT(status, 0);
		return;
	}
	obstruct(444, err);
	memset(&rep, 0, sizeof(rep));
	CHECK_INT(late_enter(&plan, &rep), -1);
	CHECK_INT(rep.state[LAYER_LANDLOCK], want);
	CHECK_INT(rep.err[LAYER_LANDLOCK], err);
	CHECK_INT(rep.landlock_abi, 0);
	CHECK_HAS(late_reason(), word);
	CHECK_HAS(late_reason(), "confine_optional = landlock");
	plan.landlock = NEED_OPTIONAL;
	enter(&plan);
	CHECK_INT(rep.state[LAYER_LANDLOCK], want);
	_exit(0);
}

BODY(landlock_missing)
{
	landlock_says(ENOSYS, LAYER_ABSENT, "built without Landlock");
	landlock_says(EOPNOTSUPP, LAYER_ABSENT, "lsm=");
	landlock_says(EPERM, LAYER_REFUSED, "seccomp profile");
}

BODY(landlock_too_old)
{
	struct late_plan plan = all_required;

	plan.landlock_min_abi = 200;
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK_INT(late_enter(&plan, &rep), -1);
	CHECK_HAS(late_reason(), "older than the policy wants");
	CHECK_INT(rep.state[LAYER_LANDLOCK], LAYER_ABSENT);
}

BODY(landlock_without_no_new_privs)
{
	CHECK_INT(late_enter(&all_required, &rep), -1);
	CHECK_INT(rep.state[LAYER_LANDLOCK], LAYER_REFUSED);
	CHECK_INT(rep.err[LAYER_LANDLOCK], EPERM);
}

/* A kernel that claims scopes and refuses them: down to what it really has. */
BODY(landlock_that_boasts)
{
	if (landlock_abi() < 6)
		_exit(0);
	obstruct_if(444, 1, 16, SECCOMP_RET_ERRNO | EINVAL); /* size 16 and 24 */
	memset(&rep, 0, sizeof(rep));
	enter(&all_required);
	CHECK_INT(rep.state[LAYER_LANDLOCK], LAYER_ENFORCED);
	CHECK_INT(rep.landlock_abi, 3);
	CHECK_INT(open("/etc/passwd", O_RDONLY), -1);
}

BODY(mdwe_missing)
{
	struct late_plan plan = all_required;

	obstruct_if(SYS_prctl, 0, 64, SECCOMP_RET_ERRNO | EINVAL); /* 65 PR_SET_MDWE, 66 */
	memset(&rep, 0, sizeof(rep));
	CHECK_INT(late_enter(&plan, &rep), -1);
	CHECK_INT(rep.state[LAYER_MDWE], LAYER_ABSENT);
	CHECK_HAS(late_reason(), "6.3");
	CHECK_HAS(late_reason(), "confine_optional = mdwe");
	plan.mdwe = NEED_OPTIONAL;
	enter(&plan);
	CHECK_INT(rep.state[LAYER_MDWE], LAYER_ABSENT);
	CHECK_INT(rep.err[LAYER_MDWE], EINVAL);
}

/* prctl "succeeds", and nothing happened. */
BODY(dumpable_lies)
{
	obstruct_if(SYS_prctl, 0, 4, SECCOMP_RET_ERRNO | 0); /* PR_SET_DUMPABLE is 4 */
	CHECK_INT(late_enter(&all_required, &rep), -1);
	CHECK_INT(rep.state[LAYER_DUMPABLE], LAYER_REFUSED);
	CHECK_HAS(late_reason(), "not dumpable");
}

BODY(last_filter)
{
	struct sock_filter insn[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 77),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog[FILTER__MAX] = {[FILTER_SELF] = {.len = 4, .filter = insn}};
	int fd = filters_make(prog);

	CHECK(fd != -1 && filters_map(fd) == 0);
	enter(&all_required);
	CHECK_INT(late_filter(&all_required, FILTER_POOL), -1);
	CHECK_INT(errno, ENOENT);
	CHECK_INT(late_filter(&all_required, FILTER_SELF), 0);
	CHECK_INT(syscall(SYS_getppid), -1);
	CHECK_INT(errno, 77);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names),
	    cmocka_unit_test(packing),
	    cmocka_unit_test(packing_hostile),
	    cmocka_unit_test(merging),
	    cmocka_unit_test(texts),
	    cmocka_unit_test(landlock_table),
	    cmocka_unit_test(all_hold_root),
	    cmocka_unit_test(all_hold_user),
	    cmocka_unit_test(nothing_asked_user),
	    cmocka_unit_test(socket_rule_user),
	    cmocka_unit_test(landlock_missing_user),
	    cmocka_unit_test(landlock_too_old_user),
	    cmocka_unit_test(landlock_without_no_new_privs_user),
	    cmocka_unit_test(landlock_that_boasts_user),
	    cmocka_unit_test(mdwe_missing_user),
	    cmocka_unit_test(dumpable_lies_user),
	    cmocka_unit_test(last_filter_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
