/*
 * The layers, as confine_spawn would enter them, what the shipped policies want
 * of each, and what follows.
 */
#include "tools/doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "confine/confine.h"
#include "tools/policy_cmd.h"
#include "tools/policy_text.h"

#define USERNS "user.max_user_namespaces > 0, kernel.unprivileged_userns_clone = 1, " \
	"kernel.apparmor_restrict_unprivileged_userns = 0, and no container's profile around us"
#define NS_WAY "root, or a user namespace: " USERNS

/* In the order of enum layer. */
static const struct {
	const char *present, *missing, *way_out;
} words[LAYER__MAX] = {
    [LAYER_IDS] = {"each kind of process has an account of its own",
	"all processes share your account: one that is taken over may signal the others, if it "
	"had the call", "start as root"},
    [LAYER_GROUPS] = {"no supplementary group gives a right",
	"your supplementary groups stay: a right that they give to a file is one less wall",
	"start as root, or from an account without groups"},
    [LAYER_USERNS] = {"whatever capability is gained counts for nothing outside",
	"root makes the other namespaces with its own rights; an ordinary user has none of them",
	USERNS},
    [LAYER_MOUNTNS] = {"an empty root can be made", "the machine's files stay in reach of the "
	"paths that Landlock and seccomp let pass: with the shipped policies, none", NS_WAY},
    [LAYER_NETNS] = {"no network but the connections that are handed over",
	"only seccomp stands between a worker and the network", NS_WAY},
    [LAYER_PIDNS] = {"a worker sees no other process; all end with the launcher",
	"workers may outlive a launcher that was killed", NS_WAY},
    [LAYER_IPCNS] = {"no System V objects and message queues of the machine",
	"only seccomp stands before System V objects", NS_WAY},
    [LAYER_UTSNS] = {"the host's name cannot be changed", "nothing: it takes a capability anyway",
	NS_WAY},
    [LAYER_CGROUPNS] = {"the machine's control groups are not visible",
	"the path of the control group can be seen by who can open files: no worker", NS_WAY},
    [LAYER_NESTING] = {"no namespace, inotify or fanotify instance can be made inside of ours",
	"only seccomp keeps a process from making a user namespace of its own, with every "
	"capability in it", "a user namespace, and a /proc/sys/user that can be written in it"},
    [LAYER_OOM_SCORE] = {"when memory runs out, workers end before what all of them need",
	"when memory runs out, the kernel may end the launcher, the signer or the auth client first",
	"a /proc in which a process can write its own oom_score_adj"},
    [LAYER_ROOT] = {"the root is an empty read-only directory",
	"chroot into a removed directory instead, where that is possible",
	"mounting in a mount namespace of its own has to be possible"},
    [LAYER_CAPS] = {"no capability in any of the five sets", "some capability stays",
	"capset and prctl must not be filtered around us"},
    [LAYER_SECUREBITS] = {"uid 0 means nothing for capabilities, for good",
	"an ordinary user without user namespace cannot lock them: his sets are empty anyway",
	"root, or a user namespace"},
    [LAYER_RLIMITS] = {"no core files, no files, few descriptors", "limits cannot be set",
	"setrlimit must not be filtered around us"},
    [LAYER_NO_NEW_PRIVS] = {"no set-uid program gives rights back", "no filter can be installed",
	"Linux has it since 3.5"},
    [LAYER_OUTER_SECCOMP] = {"", "", ""},
    [LAYER_DUMPABLE] = {"no core, no ptrace by others of the same account",
	"memory can be read by others of the same account", "prctl must not be filtered around us"},
    [LAYER_MDWE] = {"no memory becomes executable after the start",
	"only seccomp keeps memory from becoming executable: no policy of a worker has mmap",
	"Linux has it since 6.3"},
    [LAYER_LANDLOCK] = {"no file, whatever the root holds; no TCP from ABI 4 on",
	"the root and seccomp are the only walls before files",
	"Linux 5.13 or newer with `landlock' in lsm= at boot, and no container's profile that hides "
	"it; or confine_optional = landlock"},
    [LAYER_SECCOMP] = {"a process makes the calls of its policy and no others",
	"no policy can be enforced", "CONFIG_SECCOMP_FILTER, and no filter around us that denies it"},
    [LAYER_SECRET_MEM] = {"keys lie in memory that not even the kernel maps",
	"keys lie in locked memory, which the kernel maps",
	"Linux 6.5 or newer (secretmem.enable=1 at boot before), and a memlock limit of 8 MiB"},
};

/* The strongest word of all shipped policies but the supervisor's. */
static enum layer_need
need_of(const struct policy_set *s, enum layer l)
{
	enum layer_need most = NEED_OFF;

	for (int i = 0; i < POL__MAX; i++) {
		const struct policy *p = &s->policy[i];
		enum layer_need need = NEED_REQUIRED;

		if (i == POL_SUPERVISOR)
			continue;
		if (l >= LAYER_USERNS && l <= LAYER_CGROUPNS)
			need = p->ns[l - LAYER_USERNS]; /* the same order */
		else if (l == LAYER_NESTING)
			need = p->nesting;
		else if (l == LAYER_OOM_SCORE)
			need = p->oom_need;
		else if (l == LAYER_ROOT)
			need = p->root == PROOT_HOST ? NEED_OFF : p->root_need;
		else if (l == LAYER_CAPS)
			need = p->caps_need;
		else if (l == LAYER_MDWE)
			need = p->mdwe;
		else if (l == LAYER_LANDLOCK)
			need = p->landlock;
		else if (l == LAYER_SECCOMP)
			need = p->seccomp;
		else if (l == LAYER_SECRET_MEM)
			need = p->secret_memory;
		most = need > most ? need : most;
	}
	/* What only root can have is not asked of an ordinary user. */
	if (geteuid() != 0 && (l == LAYER_IDS || l == LAYER_GROUPS || l == LAYER_SECUREBITS))
		most = NEED_OPTIONAL;
	return most;
}

static unsigned int
min_abi(const struct policy_set *s)
{
	unsigned int abi = 1;

	for (int i = 0; i < POL__MAX; i++)
		if (s->policy[i].landlock == NEED_REQUIRED && s->policy[i].landlock_min_abi > abi)
			abi = s->policy[i].landlock_min_abi;
	return abi;
}

static void
probe_layers(const struct policy_set *s, struct doctor_item *items, unsigned int *n)
{
	struct layer_report rep;

	confine_probe(&rep);
	for (int l = 0; l < LAYER__MAX && *n < DOCTOR_ITEMS_MAX; l++) {
		struct doctor_item *i = &items[*n];
		bool good = rep.state[l] == LAYER_ENFORCED;

		if (l == LAYER_OUTER_SECCOMP) /* the same mechanism as LAYER_SECCOMP */
			continue;
		(*n)++;
		memset(i, 0, sizeof(*i));
		i->what = layer_name((enum layer)l);
		i->state = rep.state[l] == LAYER_NOT_ASKED ? LAYER_ABSENT
							   : (enum layer_state)rep.state[l];
		i->err = rep.err[l];
		i->need = need_of(s, (enum layer)l);
		if (l == LAYER_LANDLOCK && good) {
			snprintf(i->detail, sizeof(i->detail), "ABI %u", rep.landlock_abi);
			if (rep.landlock_abi < min_abi(s)) {
				good = false;
				i->state = LAYER_ABSENT;
			}
		}
		i->follows = good ? words[l].present : words[l].missing;
		i->way_out = good ? NULL : words[l].way_out;
	}
}

static const char *
state_word(const struct doctor_item *i)
{
	return i->state == LAYER_ENFORCED ? "present" : layer_state_name(i->state);
}

static void
print_text(const struct doctor_item *i)
{
	char what[100];

	snprintf(what, sizeof(what), "%s%s%s%s%s", i->what, i->detail[0] != '\0' ? ": " : "",
	    i->detail, i->err != 0 ? ": " : "", i->err != 0 ? errno_name(i->err) : "");
	printf("%-8s %-9s %s\n", state_word(i),
	    i->need == NEED_OFF ? "" : i->need == NEED_REQUIRED ? "required" : "optional", what);
	printf("                     %s\n", i->follows);
	if (i->way_out != NULL)
		printf("                     way out: %s\n", i->way_out);
}

static void
print_json(const struct doctor_item *items, unsigned int n, bool good)
{
	printf("{\"good\":%s,\"root\":%s,\"items\":[", good ? "true" : "false",
	    geteuid() == 0 ? "true" : "false");
	for (unsigned int k = 0; k < n; k++) {
		const struct doctor_item *i = &items[k];

		printf("%s{\"what\":\"%s\",\"state\":\"%s\",\"need\":\"%s\",\"error\":\"%s\",\"detail\":",
		    k > 0 ? "," : "", i->what, state_word(i),
		    i->need == NEED_OFF ? "none" : policy_need_name(i->need),
		    i->err != 0 ? errno_name(i->err) : "");
		json_string(stdout, i->detail);
		printf(",\"follows\":");
		json_string(stdout, i->follows);
		printf(",\"way_out\":");
		json_string(stdout, i->way_out != NULL ? i->way_out : "");
		printf("}");
	}
	printf("]}\n");
}

int
policy_cmd_doctor(const struct policy_args *args)
{
	static struct doctor_item items[DOCTOR_ITEMS_MAX];
	struct policy_set *s = calloc(1, sizeof(*s));
	unsigned int n = 0;
	struct diag d = {0};
	bool good = true;

	if (s == NULL)
		return EX_OSERR;
	if (policy_set_load(s, args->dir, NULL, false, &d) == -1) {
		policy_complain(&d);
		free(s);
		return EX_CONFIG;
	}
	doctor_probe_kernel(items, &n);
	probe_layers(s, items, &n);
	policy_set_free(s);
	free(s);
	for (unsigned int i = 0; i < n; i++)
		good = good && (items[i].state == LAYER_ENFORCED || items[i].need != NEED_REQUIRED);
	if (args->json) {
		print_json(items, n, good);
		return good ? EX_OK : EX_UNAVAILABLE;
	}
	for (unsigned int i = 0; i < n; i++)
		print_text(&items[i]);
	printf("%s\n", good ? "everything that the policies require is there"
			    : "something that the policies require is missing");
	return good ? EX_OK : EX_UNAVAILABLE;
}
