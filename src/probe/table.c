/*
 * All rows of all classes, in the catalogue's order, and the general attempts.
 */
#include <string.h>

#include "probe/sys.h"

struct place place = {.client = -1, .auth = -1, .signer = -1, .mail = -1, .control = -1};
uint8_t scratch[4096] __attribute__((aligned(4096)));
const char missing_path[] = "/gatehouse-probe-missing";
const char host_file[] = "/etc/passwd", host_dir[] = "/etc";

static const struct {
	unsigned short code;
	unsigned char jt, jf;
	unsigned int k;
} allow[] = {{0x06, 0, 0, 0x7fff0000}};
const struct allow_all allow_all = {1, allow};

static const struct test *const classes[] = {sweep_tests, fs_tests, fs_more_tests, proc_tests,
    proc_more_tests, nsc_tests, kern_tests, kern_more_tests, sec_tests, llk_tests, fdx_tests,
    mem_tests, res_tests, info_tests};

static const char *const verdicts[V__MAX] = {[V_OPEN] = "OPEN", [V_ERRNO] = "ERRNO",
    [V_BLOCKED] = "BLOCKED", [V_SKIP] = "SKIP", [V_KILLED] = "KILLED", [V_CRASH] = "CRASH",
    [V_HUNG] = "HUNG"};

const char *
verdict_name(enum verdict v)
{
	return (unsigned int)v < V__MAX ? verdicts[v] : "?";
}

const struct test *
table_row(unsigned int n)
{
	for (size_t c = 0; c < sizeof(classes) / sizeof(classes[0]); c++)
		for (const struct test *t = classes[c]; t->id != NULL; t++)
			if (n-- == 0)
				return t;
	return NULL;
}

const struct test *
table_find(const char *id)
{
	const struct test *t;

	for (unsigned int i = 0; (t = table_row(i)) != NULL; i++)
		if (strcmp(t->id, id) == 0)
			return t;
	return NULL;
}

const char *
table_class(const struct test *t)
{
	static char name[16];
	size_t n = strcspn(t->id, "-");

	memcpy(name, t->id, n < sizeof(name) ? n : sizeof(name) - 1);
	name[n < sizeof(name) ? n : sizeof(name) - 1] = '\0';
	return name;
}

static struct outcome
judge(const struct test *t, long rv)
{
	if (rv >= 0)
		return opened(NULL);
	if ((t->flags & T_REACHED) != 0 && rv != -38 && rv != -1 && rv != -13)
		return opened("reached: the error comes from behind the permission check");
	return refused(rv);
}

struct outcome
try_call(const struct test *t)
{
	return judge(t, sys6(t->nr, t->a[0], t->a[1], t->a[2], t->a[3], t->a[4], t->a[5]));
}

struct outcome
try_fd(const struct test *t)
{
	long rv = sys6(t->nr, t->a[0], t->a[1], t->a[2], t->a[3], t->a[4], t->a[5]);

	if (rv >= 0)
		sys1(SYS_close, rv);
	return judge(t, rv);
}
