#include "tools/policy_text.h"

#include <inttypes.h>
#include <linux/audit.h>
#include <stddef.h>
#include <string.h>

#include "ipc/filters.h"
#include "policy/eval.h"
#include "policy/internal.h"

static const char *const arch_names[] = {[PARCH_X86_64] = "x86_64", [PARCH_AARCH64] = "aarch64"};
static const char *const root_names[] = {[PROOT_HOST] = "host",
    [PROOT_EMPTY] = "empty read-only", [PROOT_SOCKETS] = "sockets read-only"};

const char *
policy_arch_name(enum policy_arch arch)
{
	return arch_names[arch];
}

bool
policy_arch_by_name(const char *name, enum policy_arch *arch)
{
	for (unsigned int i = 0; i < sizeof(arch_names) / sizeof(arch_names[0]); i++) {
		if (strcmp(arch_names[i], name) == 0) {
			*arch = (enum policy_arch)i;
			return true;
		}
	}
	return false;
}

static const char *
word_name(const struct word *table, uint64_t value)
{
	for (; table->name != NULL; table++)
		if (table->value == value)
			return table->name;
	return "?";
}

const char *
policy_account_name(enum policy_account a)
{
	return a == PACC_NUMBER ? "number" : word_name(policy_account_words, a);
}

const char *
policy_need_name(enum layer_need need)
{
	return word_name(policy_need_words, need);
}

void
policy_caps_text(uint64_t caps, char *dst, size_t cap)
{
	size_t len = 0;

	snprintf(dst, cap, "none");
	for (const struct word *w = policy_cap_words; w->name != NULL && len < cap; w++)
		if ((caps >> w->value & 1) != 0)
			len += (size_t)snprintf(dst + len, cap - len, "%s%s", len > 0 ? " " : "",
			    w->name);
}

void
policy_count_text(const struct policy *p, char *dst, size_t cap)
{
	unsigned int allowed, unpinned;
	char def[32] = "kill-process";

	if (p->seccomp == NEED_OFF) {
		snprintf(dst, cap, "SECCOMP OFF: every system call");
		return;
	}
	policy_count(p, &allowed, &unpinned);
	if (p->def == PACT_ERRNO)
		policy_ret_text(SECCOMP_RET_ERRNO | (uint32_t)p->def_err, def, sizeof(def));
	snprintf(dst, cap, "%u syscalls (%u free, %u pinned), i386 killed, x32 killed, default %s",
	    allowed, unpinned, allowed - unpinned, def);
}

/* A value as it is easiest to recognise: a filter's address, or a number. */
static void
value_text(uint64_t v, char *dst, size_t cap)
{
	for (int i = 0; i < FILTER__MAX; i++) {
		if (v == FILTER_ADDR(i)) {
			snprintf(dst, cap, "@%s", filter_slot_name((enum filter_slot)i));
			return;
		}
	}
	snprintf(dst, cap, v < 1024 ? "%" PRIu64 : "0x%" PRIx64, v);
}

static void
list_text(const struct policy_cond *c, char *dst, size_t cap)
{
	size_t len = 0;

	for (unsigned int i = 0; i < c->nvalues && len < cap; i++) {
		char first[32], last[32];

		value_text(c->values[i], first, sizeof(first));
		value_text(c->last[i], last, sizeof(last));
		len += (size_t)snprintf(dst + len, cap - len, "%s%s%s%s", i > 0 ? ", " : "", first,
		    c->values[i] != c->last[i] ? "-" : "", c->values[i] != c->last[i] ? last : "");
	}
}

void
policy_cond_text(const struct policy_rule *r, const struct policy_cond *c, char *dst, size_t cap)
{
	static const char *const ops[] = {[PCMP_EQ] = "==", [PCMP_LE] = "<=", [PCMP_GE] = ">=",
	    [PCMP_LT] = "<", [PCMP_GT] = ">"};
	enum arg_type type;
	const char *arg = call_arg_name(r->call, c->arg, &type);
	char value[512] = "";

	if (c->cmp == PCMP_IN) {
		list_text(c, value, sizeof(value));
		snprintf(dst, cap, "%s in {%s}", arg, value);
	} else if (c->cmp == PCMP_MASKED) {
		snprintf(dst, cap, "%s & 0x%" PRIx64 " == 0x%" PRIx64, arg, c->mask, c->values[0]);
	} else {
		value_text(c->values[0], value, sizeof(value));
		snprintf(dst, cap, "%s %s %s", arg, ops[c->cmp], value);
	}
}

static void
list_layers(FILE *f, const struct policy *p)
{
	char caps[200];

	fprintf(f, "identity   uid %s  gid %s  groups %s\n", policy_account_name(p->uid),
	    policy_account_name(p->gid), p->groups_none ? "none" : "keep");
	policy_caps_text(p->caps, caps, sizeof(caps));
	fprintf(f, "caps       %s  %s\n", caps, policy_need_name(p->caps_need));
	if (p->caps_no_userns != 0) {
		policy_caps_text(p->caps_no_userns, caps, sizeof(caps));
		fprintf(f, "           without user namespaces besides: %s\n", caps);
	}
	fprintf(f, "namespaces");
	for (unsigned int i = 0; i < PNS__MAX; i++)
		fprintf(f, " %s %s%s", policy_ns_name((enum policy_ns)i), policy_need_name(p->ns[i]),
		    i + 1 < PNS__MAX ? " " : "\n");
	fprintf(f, "root       %s  %s\n", root_names[p->root], policy_need_name(p->root_need));
	fprintf(f, "landlock   %s  abi >= %u", policy_need_name(p->landlock), p->landlock_min_abi);
	for (unsigned int i = 0; i < p->nreach; i++) {
		const struct policy_reach *r = &p->reach[i];

		if (r->kind >= PREACH_BIND)
			fprintf(f, "  %s %u", policy_reach_name(r->kind), r->port);
		else
			fprintf(f, "  %s \"%s\"", policy_reach_name(r->kind), r->path);
	}
	fputc('\n', f);
	if (p->nesting != NEED_OFF)
		fprintf(f, "nesting    none %s\n", policy_need_name(p->nesting));
	if (p->oom_need != NEED_OFF)
		fprintf(f, "oom-score  %u %s\n", p->oom_score, policy_need_name(p->oom_need));
	fprintf(f, "mdwe       %s\n", policy_need_name(p->mdwe));
	if (p->secret_memory != NEED_OFF)
		fprintf(f, "memory     secret %s\n", policy_need_name(p->secret_memory));
	for (unsigned int i = 0; i < p->nlimits; i++)
		fprintf(f, "limit      %s %" PRIu64 "\n", p->limits[i].name, p->limits[i].value);
	for (unsigned int i = 0; i < p->nfds; i++) {
		const struct policy_fd *fd = &p->fds[i];

		fprintf(f, "fd %d", fd->number);
		if (fd->last != fd->number)
			fprintf(f, "-%d", fd->last);
		fprintf(f, "  %s  %s%s%s\n", fd->name, fd->type, fd->read ? "  read" : "",
		    fd->write ? "  write" : "");
	}
}

void
policy_list(FILE *f, const struct policy *p)
{
	char text[800];

	fprintf(f, "policy     %s", p->name);
	if (p->follows[0] != '\0')
		fprintf(f, "  follows %s", p->follows);
	if (p->within[0] != '\0')
		fprintf(f, "  within %s", p->within);
	policy_count_text(p, text, sizeof(text));
	fprintf(f, "\n%s\n", text);
	list_layers(f, p);
	for (unsigned int i = 0; i < p->nrules; i++) {
		const struct policy_rule *r = &p->rules[i];

		if (r->action == PACT_ERRNO)
			fprintf(f, "errno %d ", r->err);
		else
			fprintf(f, "%s ", r->action == PACT_LOG ? "log" : "allow");
		fprintf(f, "%s (x86_64 %d, aarch64 %d)", r->call, r->nr_x86_64, r->nr_aarch64);
		for (unsigned int k = 0; k < r->nconds; k++) {
			policy_cond_text(r, &r->conds[k], text, sizeof(text));
			fprintf(f, "  %s", text);
		}
		fputc('\n', f);
	}
}

/* What an instruction loads, by name. */
static void
word_text(uint32_t k, char *dst, size_t cap)
{
	if (k == offsetof(struct seccomp_data, nr))
		snprintf(dst, cap, "nr");
	else if (k == offsetof(struct seccomp_data, arch))
		snprintf(dst, cap, "arch");
	else if (k >= offsetof(struct seccomp_data, args))
		snprintf(dst, cap, "arg%u.%s", (k - (unsigned int)offsetof(struct seccomp_data, args)) / 8,
		    (k & 4) != 0 ? "high" : "low");
	else
		snprintf(dst, cap, "[%u]", k);
}

/* The call that has this number, for a comment. */
static const char *
call_name(uint32_t nr, enum policy_arch arch)
{
	static char name[32];

	return call_name_of((int)nr, arch, name, sizeof(name)) ? name : NULL;
}

/* Jumps go forward only, so one pass tells where the accumulator holds the number. */
static void
find_numbers(const struct policy_bpf *b, bool holds[POLICY_INSN_MAX + 258])
{
	memset(holds, 0, (POLICY_INSN_MAX + 258) * sizeof(*holds));
	for (size_t pc = 0; pc < b->n && pc < POLICY_INSN_MAX; pc++) {
		const struct sock_filter *i = &b->insn[pc];

		if (i->code == (BPF_LD | BPF_W | BPF_ABS))
			holds[pc + 1] = i->k == offsetof(struct seccomp_data, nr);
		else if (i->code == (BPF_JMP | BPF_JA) && pc + 1 + i->k < POLICY_INSN_MAX)
			holds[pc + 1 + i->k] |= holds[pc];
		else if (BPF_CLASS(i->code) == BPF_JMP) {
			holds[pc + 1 + i->jt] |= holds[pc];
			holds[pc + 1 + i->jf] |= holds[pc];
		}
	}
}

void
policy_asm(FILE *f, const struct policy_bpf *b, enum policy_arch arch)
{
	static const char *const jumps[] = {[BPF_JEQ >> 4] = "jeq", [BPF_JGT >> 4] = "jgt",
	    [BPF_JGE >> 4] = "jge", [BPF_JSET >> 4] = "jset"};

	bool holds[POLICY_INSN_MAX + 258];

	find_numbers(b, holds);
	for (size_t pc = 0; pc < b->n; pc++) {
		const struct sock_filter *i = &b->insn[pc];
		const char *name;
		char text[40];

		fprintf(f, "%3zu  ", pc);
		if (i->code == (BPF_LD | BPF_W | BPF_ABS)) {
			word_text(i->k, text, sizeof(text));
			fprintf(f, "ld   %s\n", text);
		} else if (i->code == (BPF_ALU | BPF_AND | BPF_K)) {
			fprintf(f, "and  0x%08x\n", i->k);
		} else if (i->code == (BPF_JMP | BPF_JA)) {
			fprintf(f, "ja   %zu\n", pc + 1 + i->k);
		} else if (BPF_CLASS(i->code) == BPF_JMP && BPF_OP(i->code) <= BPF_JSET) {
			fprintf(f, "%-4s 0x%x  true %zu  false %zu", jumps[BPF_OP(i->code) >> 4], i->k,
			    pc + 1 + i->jt, pc + 1 + i->jf);
			name = BPF_OP(i->code) == BPF_JEQ && holds[pc < POLICY_INSN_MAX ? pc : 0]
			    ? call_name(i->k, arch)
			    : NULL;
			fprintf(f, name != NULL ? "  ; %s\n" : "\n", name);
		} else if (i->code == (BPF_RET | BPF_K)) {
			policy_ret_text(i->k, text, sizeof(text));
			fprintf(f, "ret  %s\n", text);
		} else {
			fprintf(f, "code 0x%02x k 0x%x jt %u jf %u\n", i->code, i->k, i->jt, i->jf);
		}
	}
}

void
json_string(FILE *f, const char *s)
{
	fputc('"', f);
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			fprintf(f, "\\%c", *s);
		else if ((unsigned char)*s < 0x20)
			fprintf(f, "\\u%04x", (unsigned char)*s);
		else
			fputc(*s, f);
	}
	fputc('"', f);
}
