/*
 * `gatehouse policy trace POLICY -- CMD`: what would have died, and what the
 * policy would have to say for it not to.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/audit.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "common/str.h"
#include "policy/eval.h"
#include "policy/internal.h"
#include "tools/policy_cmd.h"
#include "tools/policy_text.h"
#include "tools/trace.h"

#define SEEN_MAX 2048  /* different calls by different programs */
#define VALUES_MAX 6   /* different values of an argument that are worth a list */
#define X32_BIT 0x40000000u

struct values {
	uint64_t v[VALUES_MAX];
	unsigned int n; /* VALUES_MAX + 1: too many */
};

/* A call, and who made it. */
struct seen {
	uint32_t arch;
	int nr;
	char name[40], comm[32];
	pid_t first;
	unsigned long count;
	uint64_t example[POLICY_ARGS];
	struct values arg[POLICY_ARGS];
};

struct trace {
	const struct policy *p;
	struct seen *seen;
	unsigned int n;
	unsigned long calls, lost;
};

static bool
is_native(const struct seen *s)
{
	return s->arch == policy_audit_arch(policy_native_arch()) &&
	    (s->arch != AUDIT_ARCH_X86_64 || ((uint32_t)s->nr & X32_BIT) == 0);
}

static const char *
abi_name(const struct seen *s)
{
	if (is_native(s))
		return policy_arch_name(policy_native_arch());
	return s->arch == AUDIT_ARCH_I386 ? "i386" : s->arch == AUDIT_ARCH_X86_64 ? "x32"
	    : s->arch == AUDIT_ARCH_ARM   ? "arm"
					  : "foreign";
}

static void
name_call(struct seen *s)
{
	uint32_t scmp = s->arch == AUDIT_ARCH_I386 ? SCMP_ARCH_X86
	    : s->arch == AUDIT_ARCH_ARM		   ? SCMP_ARCH_ARM
	    : s->arch == AUDIT_ARCH_X86_64	   ? SCMP_ARCH_X32
						   : SCMP_ARCH_NATIVE;
	char *name;

	snprintf(s->name, sizeof(s->name), "%d", s->nr);
	if (is_native(s)) {
		call_name_of(s->nr, policy_native_arch(), s->name, sizeof(s->name));
		return;
	}
	name = seccomp_syscall_resolve_num_arch(scmp, s->nr);
	if (name != NULL)
		str_copy(s->name, sizeof(s->name), name);
	free(name);
}

static void
read_comm(pid_t tid, char *dst, size_t cap)
{
	char path[48], text[64] = "?";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)tid);
	f = fopen(path, "re");
	if (f != NULL) {
		if (fgets(text, sizeof(text), f) == NULL)
			strcpy(text, "?");
		fclose(f);
	}
	str_clean(dst, cap, text, strcspn(text, "\n"));
}

static struct seen *
entry(struct trace *t, pid_t tid, const struct seccomp_data *call)
{
	struct seen *s;
	char comm[32];

	read_comm(tid, comm, sizeof(comm));
	for (s = t->seen; s < t->seen + t->n; s++)
		if (s->arch == call->arch && s->nr == call->nr && strcmp(s->comm, comm) == 0)
			return s;
	if (t->n == SEEN_MAX)
		return NULL;
	t->n++;
	memset(s, 0, sizeof(*s));
	s->arch = call->arch;
	s->nr = call->nr;
	s->first = tid;
	str_copy(s->comm, sizeof(s->comm), comm);
	memcpy(s->example, call->args, sizeof(s->example));
	name_call(s);
	return s;
}

static void
add_value(struct values *a, uint64_t v)
{
	for (unsigned int i = 0; i < a->n && i < VALUES_MAX; i++)
		if (a->v[i] == v)
			return;
	if (a->n < VALUES_MAX)
		a->v[a->n] = v;
	if (a->n <= VALUES_MAX)
		a->n++;
}

static void
on_call(void *ctx, pid_t tid, const struct seccomp_data *call)
{
	struct trace *t = ctx;
	struct seen *s = entry(t, tid, call);

	t->calls++;
	if (s == NULL) {
		t->lost++;
		return;
	}
	s->count++;
	for (int i = 0; i < POLICY_ARGS; i++)
		add_value(&s->arg[i], call->args[i]);
}

/* ---- a rule that would let it through ------------------------------------------- */

static const char *
fd_name(const struct policy *p, uint64_t fd)
{
	for (unsigned int i = 0; i < p->nfds; i++)
		if (fd >= (uint64_t)p->fds[i].number && fd <= (uint64_t)p->fds[i].last)
			return p->fds[i].name;
	return NULL;
}

/* How a value stands in a rule; false if it had better not stand there. */
static bool
value_word(const struct policy *p, enum arg_type type, uint64_t v, char *dst, size_t cap)
{
	if (type == ARG_FD && (uint32_t)v == (uint32_t)-100) {
		snprintf(dst, cap, "AT_FDCWD");
		return true;
	}
	if (type == ARG_FD) {
		const char *name = fd_name(p, v);

		snprintf(dst, cap, "%s", name != NULL ? name : "");
		return name != NULL;
	}
	if (type == ARG_PTR) {
		snprintf(dst, cap, "0");
		return v == 0;
	}
	snprintf(dst, cap, v < 10 ? "%" PRIu64 : "0x%" PRIx64, v);
	return v <= INT32_MAX;
}

/* What changes from run to run says nothing. */
static bool
is_incidental(const char *arg)
{
	static const char *const names[] = {"status", "error_code", "pid", "tid", "tgid", "pgid",
	    "timeout", "mode", "val", "val2", "val3", "signum", "rseq_len", "bufsiz"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], arg) == 0)
			return true;
	return false;
}

static void
condition(FILE *f, const struct policy *p, const char *call, unsigned int i, const struct values *a)
{
	char words[VALUES_MAX][40];
	enum arg_type type;
	const char *arg = call_arg_name(call, i, &type);
	unsigned int n = 0;

	if (arg == NULL || type == ARG_NONE || type == ARG_WORD || a->n > VALUES_MAX ||
	    is_incidental(arg))
		return;
	for (unsigned int k = 0; k < a->n; k++) {
		bool again = false;

		if (!value_word(p, type, a->v[k], words[n], sizeof(words[n])))
			return;
		for (unsigned int m = 0; m < n; m++)
			again = again || strcmp(words[m], words[n]) == 0;
		n += !again;
	}
	if (n == 1) {
		fprintf(f, "  %s == %s", arg, words[0]);
		return;
	}
	fprintf(f, "  %s in {", arg);
	for (unsigned int k = 0; k < n; k++)
		fprintf(f, "%s%s", k > 0 ? ", " : "", words[k]);
	fprintf(f, "}");
}

/* One rule for a call, whoever makes it; false if there is none or it was
 * written before. */
static bool
suggest(FILE *f, const struct trace *t, const struct seen *s)
{
	struct values all[POLICY_ARGS] = {0};

	if (!is_native(s))
		return false;
	for (const struct seen *o = t->seen; o < s; o++)
		if (o->arch == s->arch && o->nr == s->nr)
			return false;
	for (const struct seen *o = s; o < t->seen + t->n; o++) {
		if (o->arch != s->arch || o->nr != s->nr)
			continue;
		for (int i = 0; i < POLICY_ARGS; i++) {
			for (unsigned int k = 0; k < o->arg[i].n && k < VALUES_MAX; k++)
				add_value(&all[i], o->arg[i].v[k]);
			if (o->arg[i].n > VALUES_MAX)
				all[i].n = VALUES_MAX + 1;
		}
	}
	fprintf(f, "allow %s", s->name);
	for (unsigned int i = 0; i < POLICY_ARGS; i++)
		condition(f, t->p, s->name, i, &all[i]);
	fprintf(f, "  why \"\"");
	return true;
}

/* ---- what came of it -------------------------------------------------------------- */

static int
most_first(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;

	return x->count != y->count ? (x->count < y->count ? 1 : -1) : strcmp(x->name, y->name);
}

static void
print_call(FILE *f, const struct seen *s)
{
	const char *between = "";

	fprintf(f, "%s%s%s(", is_native(s) ? "" : abi_name(s), is_native(s) ? "" : " ", s->name);
	for (unsigned int i = 0; i < POLICY_ARGS; i++) {
		enum arg_type type = ARG_WORD;
		const char *arg = is_native(s) ? call_arg_name(s->name, i, &type) : NULL;

		/* of calls that are not known so well, what is not zero */
		if (arg == NULL && (s->example[i] == 0 || is_native(s)))
			continue;
		if (type == ARG_FD || (type == ARG_INT && (int)s->example[i] > -5000 &&
			(int)s->example[i] < 10))
			fprintf(f, "%s%s = %d", between, arg, (int)s->example[i]);
		else
			fprintf(f, "%s%s%s0x%" PRIx64, between, arg != NULL ? arg : "",
			    arg != NULL ? " = " : "", s->example[i]);
		between = ", ";
	}
	fprintf(f, ")");
}

static void
print_text(FILE *f, const struct trace *t)
{
	char fate[60] = "died";

	if (t->p->def == PACT_ERRNO)
		snprintf(fate, sizeof(fate), "died or failed");
	if (t->calls == 0) {
		fprintf(f, "gatehouse policy: policy %s allows all of it\n", t->p->name);
		return;
	}
	fprintf(f, "gatehouse policy: under policy %s %lu calls of %u kinds would have %s:\n",
	    t->p->name, t->calls, t->n, fate);
	for (unsigned int i = 0; i < t->n; i++) {
		fprintf(f, "%6lu  ", t->seen[i].count);
		print_call(f, &t->seen[i]);
		fprintf(f, "  by %s (%d)\n", t->seen[i].comm, (int)t->seen[i].first);
	}
	if (t->lost > 0)
		fprintf(f, "and %lu calls more of other kinds\n", t->lost);
	fprintf(f, "Rules for what is really needed; each wants its reason:\n");
	for (unsigned int i = 0; i < t->n; i++) {
		if (suggest(f, t, &t->seen[i]))
			fputc('\n', f);
		else if (!is_native(&t->seen[i]))
			fprintf(f, "# %s %s: no policy can allow calls of another architecture\n",
			    abi_name(&t->seen[i]), t->seen[i].name);
	}
}

static void
print_json(FILE *f, const struct trace *t, int status)
{
	fprintf(f, "{\"policy\":\"%s\",\"calls\":%lu,\"unlisted\":%lu,\"exit\":%d,\"signal\":%d,"
		   "\"denied\":[",
	    t->p->name, t->calls, t->lost, WIFEXITED(status) ? WEXITSTATUS(status) : -1,
	    WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	for (unsigned int i = 0; i < t->n; i++) {
		const struct seen *s = &t->seen[i];

		fprintf(f, "%s{\"abi\":\"%s\",\"call\":\"%s\",\"number\":%d,\"count\":%lu,\"process\":",
		    i > 0 ? "," : "", abi_name(s), s->name, s->nr, s->count);
		json_string(f, s->comm);
		fprintf(f, ",\"pid\":%d,\"arguments\":[", (int)s->first);
		for (int k = 0; k < POLICY_ARGS; k++) /* strings: they do not fit a double */
			fprintf(f, "%s\"0x%" PRIx64 "\"", k > 0 ? "," : "", s->example[k]);
		fprintf(f, "]}");
	}
	fprintf(f, "],\"rules\":[");
	for (unsigned int i = 0, n = 0; i < t->n; i++) {
		char *text = NULL;
		size_t len;
		FILE *m = open_memstream(&text, &len);
		bool good = m != NULL && suggest(m, t, &t->seen[i]);

		if (m != NULL)
			fclose(m);
		if (good) {
			if (n++ > 0)
				fputc(',', f);
			json_string(f, text);
		}
		free(text);
	}
	fprintf(f, "]}\n");
}

static int
report(const struct policy_args *args, struct trace *t, int status)
{
	FILE *f = args->output != NULL ? fopen(args->output, "we") : stderr;

	if (f == NULL) {
		fprintf(stderr, "gatehouse policy: %s: %s\n", args->output, strerror(errno));
		return EX_CANTCREAT;
	}
	qsort(t->seen, t->n, sizeof(*t->seen), most_first);
	if (args->json)
		print_json(f, t, status);
	else
		print_text(f, t);
	if (f != stderr && fclose(f) != 0)
		return EX_IOERR;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int
policy_cmd_trace(const struct policy_args *args)
{
	struct policy *p = policy_open(args, args->argv[0]);
	char **argv = args->argv + 1, path[4096], why[400] = "out of memory";
	struct trace t = {.seen = calloc(SEEN_MAX, sizeof(*t.seen))};
	struct policy_bpf b = {0};
	enum policy_action def;
	struct diag d = {0};
	int status = 0, rv = EX_CONFIG;

	if (strcmp(argv[0], "--") == 0)
		argv++;
	if (p == NULL || t.seen == NULL)
		goto out;
	t.p = p;
	rv = EX_USAGE;
	if (argv[0] == NULL || p->seccomp == NEED_OFF) {
		fprintf(stderr, "gatehouse policy: %s\n", argv[0] == NULL ? "no command to trace"
		    : "this policy says `seccomp off': there is nothing to trace");
		goto out;
	}
	rv = 127;
	if (!find_program(argv[0], path, sizeof(path))) {
		fprintf(stderr, "gatehouse policy: %s: %s\n", argv[0], strerror(errno));
		goto out;
	}
	/* What falls to the default is denied, whatever the default's answer is. */
	rv = EX_CONFIG;
	def = p->def;
	p->def = PACT_KILL;
	if (policy_compile(p, policy_native_arch(), &b, &d) == -1) {
		policy_complain(&d);
		goto out;
	}
	p->def = def;
	trace_ask_instead(&b);
	rv = EX_OSERR;
	if (trace_run(&b, path, argv, on_call, &t, &status, why, sizeof(why)) == -1)
		fprintf(stderr, "gatehouse policy: %s\n", why);
	else
		rv = report(args, &t, status);
out:
	policy_bpf_free(&b);
	free(t.seen);
	free(p);
	return rv;
}
