/*
 * `gatehouse policy count --pid PID`: what the filters of any process leave of
 * the kernel, for each way of calling it.
 */
#include <dirent.h>
#include <errno.h>
#include <linux/audit.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/str.h"
#include "policy/eval.h"
#include "policy/internal.h"
#include "policy/pass.h"
#include "tools/held.h"
#include "tools/policy_cmd.h"
#include "tools/policy_text.h"
#include "tools/procview.h"

#define LIST_MAX 80
#define NUMBERS 1024 /* beyond every number that a kernel has */

struct abi {
	const char *name;
	uint32_t scmp, audit, bit;
};

#if defined(__x86_64__)
static const struct abi abis[] = {{"x86_64", SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64, 0},
    {"i386", SCMP_ARCH_X86, AUDIT_ARCH_I386, 0},
    {"x32", SCMP_ARCH_X32, AUDIT_ARCH_X86_64, 0x40000000}};
#else
static const struct abi abis[] = {{"aarch64", SCMP_ARCH_AARCH64, AUDIT_ARCH_AARCH64, 0},
    {"arm", SCMP_ARCH_ARM, AUDIT_ARCH_ARM, 0}};
#endif
#define NABIS (sizeof(abis) / sizeof(abis[0]))

struct call {
	char name[32];
	struct policy_passing r;
};

struct count {
	struct call call[NUMBERS]; /* those that have a name */
	unsigned int ncalls, by_pass[PASS__MAX];
	unsigned int unnamed;      /* numbers without a name that get through */
	uint32_t usual;            /* what happens to most that do not */
};

static bool
name_of(const struct abi *a, uint32_t nr, char *dst, size_t cap)
{
	char *name = seccomp_syscall_resolve_num_arch(a->scmp, (int)(nr | a->bit));
	bool known = name != NULL;

	if (known)
		snprintf(dst, cap, "%s", name);
	free(name);
	/* From here on numbers are the same everywhere. */
	return known || (nr >= 424 && call_name_of((int)nr, policy_native_arch(), dst, cap));
}

/* The denial that is met most often. */
static void
find_usual(struct count *c)
{
	unsigned int most = 0;

	c->usual = SECCOMP_RET_ALLOW;
	for (unsigned int i = 0; i < c->ncalls; i++) {
		unsigned int n = 0;

		if (c->call[i].r.pass != PASS_DENIED)
			continue;
		for (unsigned int k = i; k < c->ncalls; k++)
			n += c->call[k].r.pass == PASS_DENIED && c->call[k].r.ret == c->call[i].r.ret;
		if (n > most) {
			most = n;
			c->usual = c->call[i].r.ret;
		}
	}
}

static void
count_abi(struct count *c, const struct abi *a, const struct held *h)
{
	const struct policy_bpf *stack[HELD_FILTERS_MAX];

	memset(c, 0, sizeof(*c));
	for (unsigned int i = 0; i < h->nfilters; i++)
		stack[i] = &h->filter[i];
	for (uint32_t nr = 0; nr < NUMBERS; nr++) {
		struct call *call = &c->call[c->ncalls];
		bool named = name_of(a, nr, call->name, sizeof(call->name));

		call->r = policy_pass_call(stack, h->nfilters, a->audit, nr | a->bit);
		if (!named) {
			c->unnamed += call->r.pass != PASS_DENIED;
			continue;
		}
		c->by_pass[call->r.pass]++;
		c->ncalls++;
	}
	find_usual(c);
}

static unsigned int
reachable(const struct count *c)
{
	return c->ncalls - c->by_pass[PASS_DENIED];
}

static void
print_args(const struct call *call, bool json)
{
	const char *between = "";
	enum arg_type type;

	for (unsigned int i = 0; i < POLICY_ARGS; i++) {
		const char *name = call_arg_name(call->name, i, &type);
		char number[8];

		if ((call->r.args >> i & 1) == 0)
			continue;
		snprintf(number, sizeof(number), "arg%u", i);
		printf(json ? "%s\"%s\"" : "%s%s", between, name != NULL ? name : number);
		between = json ? "," : ", ";
	}
}

static const char *const pass_names[] = {[PASS_DENIED] = "denied", [PASS_FREE] = "free",
    [PASS_PINNED] = "pinned", [PASS_ASKED] = "asked", [PASS_UNDECIDED] = "undecided"};

static void
print_list(const struct count *c, enum policy_pass pass)
{
	unsigned int column = 100;

	if (c->by_pass[pass] == 0)
		return;
	if (pass == PASS_FREE && c->by_pass[pass] > LIST_MAX) {
		printf("        free       too many to list here: --json does\n");
		return;
	}
	for (unsigned int i = 0; i < c->ncalls; i++) {
		const struct call *call = &c->call[i];

		if (call->r.pass != pass)
			continue;
		if (column + strlen(call->name) > 90) {
			printf(column == 100 ? "        %-10s" : "\n        %-10s",
			    column == 100 ? pass_names[pass] : "");
			column = 18;
		}
		column += (unsigned int)printf(" %s", call->name);
		if (pass == PASS_FREE || call->r.args == 0)
			continue;
		putchar('(');
		print_args(call, false);
		putchar(')');
		column += 10;
	}
	putchar('\n');
}

static void
print_abi(const struct abi *a, const struct count *c)
{
	char usual[40];

	policy_ret_text(c->usual, usual, sizeof(usual));
	if (c->by_pass[PASS_FREE] == c->ncalls) {
		printf("%-7s all %u syscalls\n", a->name, c->ncalls);
		return;
	}
	if (reachable(c) == 0 && c->unnamed == 0) {
		printf("%-7s none: %s\n", a->name, usual);
		return;
	}
	printf("%-7s %u of %u syscalls (%u free, %u pinned", a->name, reachable(c), c->ncalls,
	    c->by_pass[PASS_FREE], c->by_pass[PASS_PINNED]);
	if (c->by_pass[PASS_ASKED] > 0)
		printf(", %u up to another process", c->by_pass[PASS_ASKED]);
	if (c->by_pass[PASS_UNDECIDED] > 0)
		printf(", %u undecided", c->by_pass[PASS_UNDECIDED]);
	printf("), the others %s\n", usual);
	if (c->unnamed > 0)
		printf("        and %u numbers that have no name here\n", c->unnamed);
	print_list(c, PASS_PINNED);
	print_list(c, PASS_ASKED);
	print_list(c, PASS_UNDECIDED);
	print_list(c, PASS_FREE);
}

static void
print_abi_json(const struct abi *a, const struct count *c)
{
	char usual[40];

	policy_ret_text(c->usual, usual, sizeof(usual));
	printf("{\"abi\":\"%s\",\"known\":%u,\"reachable\":%u,\"all\":%s,\"unnamed\":%u,"
	       "\"default\":\"%s\"",
	    a->name, c->ncalls, reachable(c), c->by_pass[PASS_FREE] == c->ncalls ? "true" : "false",
	    c->unnamed, c->usual == SECCOMP_RET_ALLOW ? "allow" : usual);
	for (int pass = PASS_FREE; pass < PASS__MAX; pass++) {
		const char *between = "";

		printf(",\"%s\":[", pass_names[pass]);
		for (unsigned int i = 0; i < c->ncalls; i++) {
			if (c->call[i].r.pass != (enum policy_pass)pass)
				continue;
			printf("%s{\"call\":\"%s\",\"arguments\":[", between, c->call[i].name);
			if (pass != PASS_FREE)
				print_args(&c->call[i], true);
			printf("]}");
			between = ",";
		}
		printf("]");
	}
	printf("}");
}

/* Filters belong to threads: those that have another number of them than the one
 * that is counted. */
static unsigned int
other_threads(const struct procview *v, unsigned int nfilters)
{
	struct procview *t = calloc(1, sizeof(*t));
	char path[64];
	unsigned int n = 0;
	struct dirent *e;
	uint64_t tid;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)v->pid);
	d = opendir(path);
	while (t != NULL && d != NULL && (e = readdir(d)) != NULL)
		n += str_to_u64(e->d_name, INT32_MAX, &tid) &&
		    procview_status(t, (pid_t)tid) == 0 && t->seccomp_filters >= 0 &&
		    (unsigned int)t->seccomp_filters != nfilters;
	if (d != NULL)
		closedir(d);
	free(t);
	return n;
}

static void
print_all(const struct policy_args *args, const struct held *h, const struct procview *v)
{
	static struct count c;
	unsigned int others = other_threads(v, h->nfilters);
	size_t insns = 0;

	for (unsigned int i = 0; i < h->nfilters; i++)
		insns += h->filter[i].n;
	if (args->json) {
		printf("{\"pid\":%d,\"name\":", (int)v->pid);
		json_string(stdout, v->name);
		printf(",\"filters\":%u,\"instructions\":%zu,\"threads\":%d,\"threads_with_others\":%u,\"abis\":[",
		    h->nfilters, insns, v->threads, others);
	} else {
		printf("%d %s: ", (int)v->pid, v->name);
		if (h->nfilters == 0)
			printf("no filter: all");
		else
			printf("%u filters, %zu instructions", h->nfilters, insns);
		if (v->threads > 1)
			printf(" (its first thread; %u of %d have other filters)", others, v->threads);
		printf("\n");
	}
	for (size_t i = 0; i < NABIS; i++) {
		count_abi(&c, &abis[i], h);
		if (args->json && i > 0)
			putchar(',');
		if (args->json)
			print_abi_json(&abis[i], &c);
		else
			print_abi(&abis[i], &c);
	}
	if (args->json)
		printf("]}\n");
}

int
policy_count_pid(const struct policy_args *args, pid_t pid)
{
	struct procview *v = calloc(1, sizeof(*v));
	struct held *h = calloc(1, sizeof(*h));
	char why[400] = "";
	int status = EX_OSERR;
	enum held_result held;

	if (v == NULL || h == NULL)
		goto out;
	held = held_take(h, pid, why, sizeof(why));
	if (held == HELD_YES && procview_status(v, pid) == 0) {
		/* It need not wait for the counting: keep the copies, let it go. */
		held_let_go(h);
		print_all(args, h, v);
		status = EX_OK;
	} else {
		fprintf(stderr, "gatehouse policy: %s\n", why[0] != '\0' ? why : strerror(errno));
		status = held == HELD_GONE ? EX_NOINPUT : held == HELD_DENIED ? EX_NOPERM : EX_UNAVAILABLE;
	}
	held_release(h);
out:
	free(h);
	free(v);
	return status;
}
