/*
 * rlimits, soft and hard together; never above the hard limit that we have.
 */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "confine/internal.h"

static const struct {
	const char *name; /* as policies call it */
	int resource;
} names[] = {
    {"nproc", RLIMIT_NPROC},
    {"nofile", RLIMIT_NOFILE},
    {"fsize", RLIMIT_FSIZE},
    {"core", RLIMIT_CORE},
    {"memlock", RLIMIT_MEMLOCK},
    {"msgqueue", RLIMIT_MSGQUEUE},
    {"as", RLIMIT_AS},
    {"stack", RLIMIT_STACK},
    {"data", RLIMIT_DATA},
    {"cpu", RLIMIT_CPU},
    {"rtprio", RLIMIT_RTPRIO},
    {"nice", RLIMIT_NICE},
    {"sigpending", RLIMIT_SIGPENDING},
    {"locks", RLIMIT_LOCKS},
};

static int
resource_of(const char *name)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i].name, name) == 0)
			return names[i].resource;
	return -1;
}

static int
set_limit(int resource, uint64_t value)
{
	struct rlimit have, want, got;

	if (getrlimit((__rlimit_resource_t)resource, &have) == -1)
		return -1;
	want.rlim_cur = want.rlim_max = value < have.rlim_max ? (rlim_t)value : have.rlim_max;
	if (setrlimit((__rlimit_resource_t)resource, &want) == -1 ||
	    getrlimit((__rlimit_resource_t)resource, &got) == -1)
		return -1;
	if (got.rlim_cur == want.rlim_cur && got.rlim_max == want.rlim_max)
		return 0;
	errno = EPERM;
	return -1;
}

static int
set_all(const struct confine_req *r)
{
	for (unsigned int i = 0; i < r->policy->nlimits; i++) {
		const struct policy_limit *l = &r->policy->limits[i];
		int resource = resource_of(l->name);

		if (resource == -1) {
			errno = EINVAL;
			return -1;
		}
		if (set_limit(resource, l->value) == -1)
			return -1;
	}
	return r->vsz_limit != 0 ? set_limit(RLIMIT_AS, r->vsz_limit) : 0;
}

bool
limits_enter(struct entering *e)
{
	return step(e, LAYER_RLIMITS, NEED_REQUIRED, set_all(e->req), "setrlimit");
}
