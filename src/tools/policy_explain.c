#include <string.h>

#include "policy/eval.h"
#include "policy/internal.h"
#include "tools/policy_text.h"

/* What somebody who runs code in a process would like to have, and the calls
 * that give it. */
static const struct ability {
	const char *what;
	const char *calls[24];
} abilities[] = {
    {"read and write descriptors that are open",
	{"read", "write", "readv", "writev", "pread64", "pwrite64", "sendfile", "splice"}},
    {"receive or pass descriptors",
	{"recvmsg", "recvmmsg", "sendmsg", "sendmmsg", "pidfd_getfd"}},
    {"open files", {"open", "openat", "openat2", "creat", "open_by_handle_at", "memfd_create"}},
    {"look at, make, rename or remove files",
	{"stat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2", "readlink",
	    "readlinkat", "chmod", "fchmodat", "chown", "fchownat", "mkdir", "mkdirat", "unlink",
	    "unlinkat", "rename", "renameat", "renameat2", "link", "linkat", "symlink",
	    "truncate"}},
    {"make sockets", {"socket", "socketpair"}},
    {"connect, bind or accept", {"connect", "bind", "listen", "accept", "accept4"}},
    {"change options of sockets and descriptors",
	{"setsockopt", "ioctl", "fcntl", "dup", "dup2", "dup3"}},
    {"start programs", {"execve", "execveat"}},
    {"make processes or threads", {"clone", "clone3", "fork", "vfork"}},
    {"signal or trace other processes",
	{"kill", "tkill", "tgkill", "ptrace", "process_vm_readv", "process_vm_writev",
	    "pidfd_open", "pidfd_send_signal", "rt_sigqueueinfo"}},
    {"map memory or change its protection",
	{"mmap", "mprotect", "mremap", "brk", "munmap", "madvise", "remap_file_pages",
	    "pkey_mprotect"}},
    {"change ids or capabilities",
	{"setuid", "setgid", "setresuid", "setresgid", "setreuid", "setregid", "setgroups",
	    "setfsuid", "capset"}},
    {"make namespaces, mount, change the root",
	{"unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "fsopen", "move_mount",
	    "open_tree", "mount_setattr"}},
    {"change its own attributes and limits", {"prctl", "arch_prctl", "prlimit64", "setrlimit",
						"personality", "landlock_restrict_self"}},
    {"give filters to the kernel", {"seccomp"}},
    {"reach large parts of the kernel",
	{"bpf", "io_uring_setup", "io_uring_enter", "perf_event_open", "userfaultfd", "add_key",
	    "request_key", "keyctl", "init_module", "finit_module", "kexec_load"}},
};
#define NABILITIES (sizeof(abilities) / sizeof(abilities[0]))

static bool
ability_has(const struct ability *a, const char *call)
{
	for (size_t i = 0; i < sizeof(a->calls) / sizeof(a->calls[0]) && a->calls[i] != NULL; i++)
		if (strcmp(a->calls[i], call) == 0)
			return true;
	return false;
}

static bool
granted(const struct policy *p, const struct ability *a)
{
	bool any = p->seccomp == NEED_OFF;

	for (unsigned int i = 0; i < p->nrules && !any; i++)
		any = p->rules[i].action != PACT_ERRNO && ability_has(a, p->rules[i].call);
	return any;
}

/* May it map memory that is executable? */
static bool
executable(const struct policy *p)
{
	bool any = p->seccomp == NEED_OFF;

	for (unsigned int i = 0; i < p->nrules && !any; i++) {
		const struct policy_rule *r = &p->rules[i];
		const struct policy_cond *c = rule_cond(r, 2);

		if (r->action == PACT_ERRNO ||
		    (strcmp(r->call, "mmap") != 0 && strcmp(r->call, "mprotect") != 0))
			continue;
		any = c == NULL || cond_has(c, 4) || cond_has(c, 5) || cond_has(c, 7);
	}
	return any;
}

static void
rule_sentence(FILE *f, const struct policy_rule *r)
{
	if (r->action == PACT_ERRNO)
		fprintf(f, "  %s fails with errno %d instead of running", r->call, r->err);
	else
		fprintf(f, "  may call %s", r->call);
	if (r->nconds > 0)
		fprintf(f, ", only with %s", r->text);
	fprintf(f, "%s: %s\n", r->action == PACT_LOG ? ", logged" : "", r->why);
}

static void
can(FILE *f, const struct policy *p, const struct ability *a)
{
	fprintf(f, "  + %s:", a->what);
	if (p->seccomp == NEED_OFF)
		fprintf(f, " no filter");
	for (unsigned int i = 0; i < p->nrules; i++) {
		const struct policy_rule *r = &p->rules[i];

		if (r->action == PACT_ERRNO || !ability_has(a, r->call))
			continue;
		fprintf(f, " %s%s%s%s", r->call, r->nconds > 0 ? "(" : "", r->text,
		    r->nconds > 0 ? ")" : "");
	}
	fputc('\n', f);
}

void
policy_explain(FILE *f, const struct policy *p)
{
	char count[200];

	policy_count_text(p, count, sizeof(count));
	fprintf(f, "%s: %s\n%s\n", p->name, p->about, count);
	if (p->follows[0] != '\0')
		fprintf(f, "The same process was under policy %s before; that filter stays in force.\n",
		    p->follows);
	if (p->within[0] != '\0')
		fprintf(f, "It inherits the filter of policy %s, which stays in force.\n", p->within);
	fprintf(f, "\nRules:\n");
	for (unsigned int i = 0; i < p->nrules; i++)
		rule_sentence(f, &p->rules[i]);
	if (p->seccomp != NEED_OFF)
		fprintf(f, "  everything else, and every call of another architecture, ends the "
			   "process\n");
	fprintf(f, "\nSomebody who runs code of his own in it can still:\n");
	for (size_t i = 0; i < NABILITIES; i++)
		if (granted(p, &abilities[i]))
			can(f, p, &abilities[i]);
	if (executable(p))
		fprintf(f, "  + make memory executable\n");
	fprintf(f, "and cannot:\n");
	for (size_t i = 0; i < NABILITIES; i++)
		if (!granted(p, &abilities[i]))
			fprintf(f, "  - %s\n", abilities[i].what);
	if (!executable(p))
		fprintf(f, "  - make memory executable\n");
	if (p->root != PROOT_HOST)
		fprintf(f, "Its root is %s; capabilities: %s.\n",
		    p->root == PROOT_EMPTY ? "an empty read-only directory"
					   : "a read-only directory that holds the login sockets",
		    p->caps == 0 ? "none" : "some");
	if (p->oom_need != NEED_OFF)
		fprintf(f, "Its oom_score_adj is raised to %u%s: %s\n", p->oom_score,
		    p->oom_need == NEED_OPTIONAL ? " where that is possible" : "", p->oom_why);
}

void
policy_explain_json(FILE *f, const struct policy *p)
{
	static const char *const actions[] = {[PACT_KILL] = "kill", [PACT_ERRNO] = "errno",
	    [PACT_ALLOW] = "allow", [PACT_LOG] = "log"};

	fprintf(f, "{\"policy\":");
	json_string(f, p->name);
	fprintf(f, ",\"about\":");
	json_string(f, p->about);
	fprintf(f, ",\"follows\":");
	json_string(f, p->follows);
	fprintf(f, ",\"within\":");
	json_string(f, p->within);
	fprintf(f, ",\"oom_score\":");
	if (p->oom_need != NEED_OFF) {
		fprintf(f, "{\"adj\":%u,\"need\":\"%s\",\"why\":", p->oom_score,
		    policy_need_name(p->oom_need));
		json_string(f, p->oom_why);
		fputc('}', f);
	} else {
		fprintf(f, "null");
	}
	fprintf(f, ",\"seccomp\":%s,\"rules\":[", p->seccomp == NEED_OFF ? "false" : "true");
	for (unsigned int i = 0; i < p->nrules; i++) {
		const struct policy_rule *r = &p->rules[i];

		fprintf(f, "%s{\"action\":\"%s\",\"errno\":%d,\"call\":\"%s\",\"x86_64\":%d,"
			   "\"aarch64\":%d,\"line\":%u,\"conditions\":",
		    i > 0 ? "," : "", actions[r->action], r->err, r->call, r->nr_x86_64,
		    r->nr_aarch64, r->line);
		json_string(f, r->text);
		fprintf(f, ",\"why\":");
		json_string(f, r->why);
		fputc('}', f);
	}
	for (int which = 1; which >= 0; which--) {
		bool first = true;

		fprintf(f, "],\"%s\":[", which ? "can" : "cannot");
		for (size_t i = 0; i < NABILITIES; i++) {
			if (granted(p, &abilities[i]) != (which == 1))
				continue;
			fprintf(f, "%s", first ? "" : ",");
			json_string(f, abilities[i].what);
			first = false;
		}
		if (executable(p) == (which == 1))
			fprintf(f, "%s\"make memory executable\"", first ? "" : ",");
	}
	fprintf(f, "]}\n");
}
