/*
 * rlimits: never above what we have, soft and hard together.
 */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "confine/internal.h"

static const struct {
	const char *name;
	int resource;
} names[] = {
    {"nproc", RLIMIT_NPROC},   {"nofile", RLIMIT_NOFILE},	  {"fsize", RLIMIT_FSIZE},
    {"core", RLIMIT_CORE},     {"memlock", RLIMIT_MEMLOCK}, {"msgqueue", RLIMIT_MSGQUEUE},
    {"as", RLIMIT_AS},	       {"stack", RLIMIT_STACK},	  {"data", RLIMIT_DATA},
    {"cpu", RLIMIT_CPU},       {"nice", RLIMIT_NICE},	  {"rtprio", RLIMIT_RTPRIO},
    {"sigpending", RLIMIT_SIGPENDING},
};

static int
set_limit(int resource, uint64_t value)
{
	struct rlimit have, want;

	if (getrlimit((__rlimit_resource_t)resource, &have) == -1)
		return -1;
	want.rlim_cur = want.rlim_max = value;
	if (have.rlim_max != RLIM_INFINITY && value > have.rlim_max)
		want.rlim_cur = want.rlim_max = have.rlim_max;
	return setrlimit((__rlimit_resource_t)resource, &want);
}

static int
set_all(const struct confine_req *r)
{
	for (unsigned int i = 0; i < r->policy->nlimits; i++) {
		const struct policy_limit *l = &r->policy->limits[i];
		int resource = -1;

		for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
			if (strcmp(names[n].name, l->name) == 0)
				resource = names[n].resource;
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
	return step(e, LAYER_RLIMITS, NEED_REQUIRED, set_all(e->req), "setrlimit must not be filtered");
}
