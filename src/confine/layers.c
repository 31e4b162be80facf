#include "confine/layers.h"

#include <stdio.h>
#include <string.h>

#include "ipc/codec.h"

#include "common/log.h"

static const struct {
	const char *name, *word;
} layers[LAYER__MAX] = {
    [LAYER_IDS] = {"own ids", "ids"},
    [LAYER_GROUPS] = {"no groups", "groups"},
    [LAYER_USERNS] = {"user namespace", "user"},
    [LAYER_MOUNTNS] = {"mount namespace", "mount"},
    [LAYER_NETNS] = {"net namespace", "net"},
    [LAYER_PIDNS] = {"pid namespace", "pid"},
    [LAYER_IPCNS] = {"ipc namespace", "ipc"},
    [LAYER_UTSNS] = {"uts namespace", "uts"},
    [LAYER_CGROUPNS] = {"cgroup namespace", "cgroup"},
    [LAYER_ROOT] = {"root", "root"},
    [LAYER_CAPS] = {"capabilities", "caps"},
    [LAYER_SECUREBITS] = {"securebits", "securebits"},
    [LAYER_RLIMITS] = {"rlimits", "rlimits"},
    [LAYER_NO_NEW_PRIVS] = {"no_new_privs", "no_new_privs"},
    [LAYER_OUTER_SECCOMP] = {"outer seccomp", "outer-seccomp"},
    [LAYER_DUMPABLE] = {"not dumpable", "dumpable"},
    [LAYER_MDWE] = {"mdwe", "mdwe"},
    [LAYER_LANDLOCK] = {"landlock", "landlock"},
    [LAYER_SECCOMP] = {"seccomp", "seccomp"},
    [LAYER_SECRET_MEM] = {"secret memory", "secret-memory"},
};

const char *
layer_name(enum layer l)
{
	return (unsigned int)l < LAYER__MAX ? layers[l].name : "unknown";
}

const char *
layer_word(enum layer l)
{
	return (unsigned int)l < LAYER__MAX ? layers[l].word : "unknown";
}

const char *
layer_state_name(enum layer_state s)
{
	static const char *const names[] = {"off", "enforced", "absent", "refused"};

	return (unsigned int)s < 4 ? names[s] : "unknown";
}

size_t
layer_report_pack(const struct layer_report *r, uint8_t *dst, size_t cap)
{
	struct wr w = {.p = dst, .cap = cap};

	wr_u8(&w, r->landlock_abi);
	for (int l = 0; l < LAYER__MAX; l++) {
		wr_u8(&w, r->state[l]);
		wr_u16(&w, (uint16_t)r->err[l]);
	}
	return w.bad ? 0 : w.len;
}

int
layer_report_unpack(struct layer_report *r, const uint8_t *src, size_t len)
{
	struct rd rd = {.p = src, .end = src + len};

	memset(r, 0, sizeof(*r));
	r->landlock_abi = rd_u8(&rd);
	for (int l = 0; l < LAYER__MAX; l++) {
		r->state[l] = rd_u8(&rd);
		r->err[l] = (int16_t)rd_u16(&rd);
		if (r->state[l] > LAYER_REFUSED || r->err[l] < 0)
			return -1;
	}
	return rd_end(&rd) ? 0 : -1;
}

void
layer_report_merge(struct layer_report *into, const struct layer_report *late)
{
	for (int l = 0; l < LAYER__MAX; l++) {
		if (late->state[l] == LAYER_NOT_ASKED)
			continue;
		into->state[l] = late->state[l];
		into->err[l] = late->err[l];
	}
	if (late->landlock_abi != 0)
		into->landlock_abi = late->landlock_abi;
}

/* "own ids, root ... enforced; user namespace absent (EPERM)" */
void
layer_report_text(const struct layer_report *r, char *dst, size_t cap)
{
	size_t n = 0;

	dst[0] = '\0';
	for (unsigned int s = LAYER_ENFORCED; s <= LAYER_REFUSED; s++) {
		bool any = false;

		for (int l = 0; l < LAYER__MAX && n < cap; l++) {
			if (r->state[l] != s)
				continue;
			n += (size_t)snprintf(dst + n, cap - n, "%s%s", any ? ", " : n > 0 ? "; " : "",
			    layer_name((enum layer)l));
			if (l == LAYER_LANDLOCK && r->landlock_abi != 0 && n < cap)
				n += (size_t)snprintf(dst + n, cap - n, " (ABI %u)", r->landlock_abi);
			if (r->err[l] != 0 && n < cap)
				n += (size_t)snprintf(dst + n, cap - n, " (%s)", errno_name(r->err[l]));
			any = true;
		}
		if (any && n < cap)
			n += (size_t)snprintf(dst + n, cap - n, ": %s",
			    layer_state_name((enum layer_state)s));
	}
}
