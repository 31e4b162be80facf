#include "confine/layers.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "ipc/codec.h"

static const struct {
	const char *name, *word;
} layers[] = {
    [LAYER_IDS] = {"own ids", "ids"},
    [LAYER_GROUPS] = {"no groups", "groups"},
    [LAYER_USERNS] = {"user namespace", "user"},
    [LAYER_MOUNTNS] = {"mount namespace", "mount"},
    [LAYER_NETNS] = {"net namespace", "net"},
    [LAYER_PIDNS] = {"pid namespace", "pid"},
    [LAYER_IPCNS] = {"ipc namespace", "ipc"},
    [LAYER_UTSNS] = {"uts namespace", "uts"},
    [LAYER_CGROUPNS] = {"cgroup namespace", "cgroup"},
    [LAYER_NESTING] = {"no nesting", "nesting"},
    [LAYER_OOM_SCORE] = {"oom score", "oom-score"},
    [LAYER_ROOT] = {"root", "root"},
    [LAYER_CAPS] = {"capabilities", "caps"},
    [LAYER_SECUREBITS] = {"securebits", "securebits"},
    [LAYER_RLIMITS] = {"rlimits", "rlimits"},
    [LAYER_NO_NEW_PRIVS] = {"no_new_privs", "no_new_privs"},
    [LAYER_OUTER_SECCOMP] = {"outer seccomp", "outer-seccomp"},
    [LAYER_DUMPABLE] = {"not dumpable", "dumpable"},
    [LAYER_MDWE] = {"memory-deny-write-execute", "mdwe"},
    [LAYER_LANDLOCK] = {"landlock", "landlock"},
    [LAYER_SECCOMP] = {"seccomp", "seccomp"},
    [LAYER_SECRET_MEM] = {"secret memory", "secret-memory"},
};
_Static_assert(sizeof(layers) / sizeof(layers[0]) == LAYER__MAX, "a layer without a name");

static const char *const states[] = {
    [LAYER_NOT_ASKED] = "off",
    [LAYER_ENFORCED] = "enforced",
    [LAYER_ABSENT] = "absent",
    [LAYER_REFUSED] = "refused",
};

const char *
layer_name(enum layer l)
{
	return (unsigned int)l < LAYER__MAX ? layers[l].name : "unknown layer";
}

const char *
layer_word(enum layer l)
{
	return (unsigned int)l < LAYER__MAX ? layers[l].word : "unknown";
}

const char *
layer_state_name(enum layer_state s)
{
	return (unsigned int)s <= LAYER_REFUSED ? states[s] : "unknown";
}

size_t
layer_report_pack(const struct layer_report *r, uint8_t *dst, size_t cap)
{
	struct wr w = {.p = dst, .cap = cap};

	wr_u8(&w, LAYER__MAX);
	wr_u8(&w, r->landlock_abi);
	for (int l = 0; l < LAYER__MAX; l++) {
		wr_u8(&w, r->state[l]);
		wr_u16(&w, (uint16_t)r->err[l]);
	}
	return w.bad ? 0 : w.len;
}

/* An errno belongs to a layer that does not hold, and only to such a one. */
static bool
plausible(uint8_t state, int16_t err)
{
	if (state > LAYER_REFUSED || err < 0 || err > 4095)
		return false;
	return err == 0 || state == LAYER_ABSENT || state == LAYER_REFUSED;
}

int
layer_report_unpack(struct layer_report *r, const uint8_t *src, size_t len)
{
	struct rd rd = {.p = src, .end = src + len};
	struct layer_report got = {0};

	memset(r, 0, sizeof(*r));
	if (rd_u8(&rd) != LAYER__MAX)
		return -1;
	got.landlock_abi = rd_u8(&rd);
	for (int l = 0; l < LAYER__MAX; l++) {
		got.state[l] = rd_u8(&rd);
		got.err[l] = (int16_t)rd_u16(&rd);
		if (!plausible(got.state[l], got.err[l]))
			return -1;
	}
	if (!rd_end(&rd))
		return -1;
	*r = got;
	return 0;
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

/* One layer's words; the length as snprintf counts it. */
static size_t
layer_text(const struct layer_report *r, enum layer l, const char *before, char *dst, size_t cap)
{
	char detail[64] = "";

	if (r->err[l] != 0)
		snprintf(detail, sizeof(detail), " (%s)", errno_name(r->err[l]));
	else if (l == LAYER_LANDLOCK && r->state[l] == LAYER_ENFORCED)
		snprintf(detail, sizeof(detail), " (ABI %u)", r->landlock_abi);
	return (size_t)snprintf(dst, cap, "%s%s %s%s", before, layer_name(l),
	    layer_state_name((enum layer_state)r->state[l]), detail);
}

void
layer_report_text(const struct layer_report *r, char *dst, size_t cap)
{
	size_t n = 0;

	if (cap == 0)
		return;
	dst[0] = '\0';
	for (int l = 0; l < LAYER__MAX && n < cap; l++)
		if (r->state[l] != LAYER_NOT_ASKED)
			n += layer_text(r, (enum layer)l, n > 0 ? ", " : "", dst + n, cap - n);
}
