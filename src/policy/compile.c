#include <errno.h>
#include <openssl/evp.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/eval.h"
#include "policy/internal.h"

struct alternatives {
	struct policy_alternative *alt;
	unsigned int n;
	bool full;
};

struct build {
	const struct policy *p;
	enum policy_arch arch;
	struct diag *d;
	scmp_filter_ctx ctx;
	/* A call whose number the native libseccomp cannot translate is compiled
	 * under a stand-in's number, which is replaced afterwards. */
	struct {
		int native, target, number;
	} stand[4];
	unsigned int nstand;
};

static int
fail(const struct build *b, const struct policy_rule *r, const char *what, int err)
{
	if (r != NULL)
		diag_set(b->d, rule_file(b->p, r), r->line, r->column, "%s: %s: %s", r->call, what,
		    strerror(err));
	else
		diag_set(b->d, b->p->file, 0, 0, "%s: %s", what, strerror(err));
	return -1;
}

static void
alternative(struct alternatives *s, const char *op, uint64_t a, uint64_t b)
{
	if (s->n == POLICY_ALTERNATIVES_MAX)
		s->full = true;
	else
		s->alt[s->n++] = (struct policy_alternative){op, a, b};
}

/* libseccomp compares an argument once in a rule, so a range is cut into
 * aligned blocks, each of which is one masked comparison. */
static void
alternatives_of_range(struct alternatives *s, uint64_t first, uint64_t last)
{
	while (!s->full) {
		uint64_t size = 1;

		while (size < UINT64_C(1) << 62 && (first & (2 * size - 1)) == 0 &&
		    last - first >= 2 * size - 1)
			size *= 2;
		if (size == 1)
			alternative(s, "EQ", first, 0);
		else
			alternative(s, "MASKED_EQ", ~(size - 1), first);
		if (last - first == size - 1)
			return;
		first += size;
	}
}

unsigned int
policy_alternatives(const struct policy_cond *c,
    struct policy_alternative alt[POLICY_ALTERNATIVES_MAX])
{
	struct alternatives s = {.alt = alt};
	struct range r[POLICY_VALUES_MAX];
	uint64_t v = c->values[0];
	int n;

	if (c->cmp == PCMP_EQ)
		alternative(&s, "EQ", v, 0);
	else if (c->cmp == PCMP_LE)
		alternative(&s, "LE", v, 0);
	else if (c->cmp == PCMP_LT)
		alternative(&s, "LT", v, 0);
	else if (c->cmp == PCMP_GE && !c->is_int)
		alternative(&s, "GE", v, 0);
	else if (c->cmp == PCMP_GT && !c->is_int)
		alternative(&s, "GT", v, 0);
	else if (c->cmp == PCMP_MASKED)
		alternative(&s, "MASKED_EQ", cond_mask(c), v);
	else if (c->cmp == PCMP_IN)
		for (unsigned int i = 0; i < c->nvalues; i++)
			alternatives_of_range(&s, c->values[i], c->last[i]);
	else
		for (n = cond_ranges(c, r); n > 0; n--)
			alternatives_of_range(&s, r[n - 1].first, r[n - 1].last);
	return s.full ? 0 : s.n;
}

static struct scmp_arg_cmp
scmp_comparison(const struct policy_alternative *a, unsigned int arg)
{
	static const struct {
		const char *name;
		enum scmp_compare op;
	} ops[] = {{"LE", SCMP_CMP_LE}, {"LT", SCMP_CMP_LT}, {"GE", SCMP_CMP_GE},
	    {"GT", SCMP_CMP_GT}, {"MASKED_EQ", SCMP_CMP_MASKED_EQ}};
	struct scmp_arg_cmp cmp = {arg, SCMP_CMP_EQ, a->a, a->b};

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (strcmp(ops[i].name, a->op) == 0)
			cmp.op = ops[i].op;
	return cmp;
}

static uint32_t
scmp_arch(enum policy_arch arch)
{
	return arch == PARCH_X86_64 ? SCMP_ARCH_X86_64 : SCMP_ARCH_AARCH64;
}

static uint32_t
scmp_action(enum policy_action action, int err)
{
	switch (action) {
	case PACT_ALLOW:
		return SCMP_ACT_ALLOW;
	case PACT_LOG:
		return SCMP_ACT_LOG;
	case PACT_ERRNO:
		return SCMP_ACT_ERRNO((uint32_t)err);
	default:
		return SCMP_ACT_KILL_PROCESS;
	}
}

static bool
policy_has_call(const struct policy *p, const char *call)
{
	for (unsigned int i = 0; i < p->nrules; i++)
		if (strcmp(p->rules[i].call, call) == 0)
			return true;
	return false;
}

static int
stand_in(struct build *b, int number)
{
	/* Calls that exist on both architectures and that no policy of ours allows. */
	static const char *const names[] = {"acct", "swapon", "swapoff", "reboot", "settimeofday",
	    "delete_module"};

	for (unsigned int i = 0; i < b->nstand; i++)
		if (b->stand[i].number == number)
			return b->stand[i].native;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		int native = seccomp_syscall_resolve_name(names[i]);
		bool used = policy_has_call(b->p, names[i]) ||
		    b->nstand == sizeof(b->stand) / sizeof(b->stand[0]);

		for (unsigned int j = 0; j < b->nstand; j++)
			used = used || b->stand[j].native == native;
		if (used)
			continue;
		b->stand[b->nstand].native = native;
		b->stand[b->nstand].number = number;
		b->stand[b->nstand++].target =
		    seccomp_syscall_resolve_name_arch(scmp_arch(b->arch), names[i]);
		return native;
	}
	return -1;
}

/* The number by which libseccomp wants to hear of a call: the native one. */
static int
rule_number(struct build *b, const struct policy_rule *r)
{
	int fixed = call_fixed_number(r->call);

	if (fixed == -1)
		return seccomp_syscall_resolve_name(r->call);
	if (b->arch == policy_native_arch())
		return fixed;
	return stand_in(b, fixed);
}

/* Every combination of the conditions' alternatives is a rule of libseccomp. */
static int
add_rule(struct build *b, const struct policy_rule *r, uint8_t priority)
{
	static struct policy_alternative alt[POLICY_ARGS][POLICY_ALTERNATIVES_MAX];
	struct scmp_arg_cmp cmp[POLICY_ARGS];
	unsigned int n[POLICY_ARGS], pos[POLICY_ARGS] = {0}, i;
	int nr = rule_number(b, r), rc;

	for (i = 0; i < r->nconds; i++) {
		n[i] = policy_alternatives(&r->conds[i], alt[i]);
		if (n[i] == 0)
			return fail(b, r, "too many values", E2BIG);
	}
	seccomp_syscall_priority(b->ctx, nr, priority);
	do {
		for (i = 0; i < r->nconds; i++)
			cmp[i] = scmp_comparison(&alt[i][pos[i]], r->conds[i].arg);
		rc = seccomp_rule_add_exact_array(b->ctx, scmp_action(r->action, r->err), nr,
		    r->nconds, cmp);
		/* EEXIST: libseccomp saw that two alternatives overlap */
		if (rc < 0 && rc != -EEXIST)
			return fail(b, r, "libseccomp refuses the rule", -rc);
		for (i = 0; i < r->nconds && ++pos[i] == n[i]; i++)
			pos[i] = 0;
	} while (i < r->nconds);
	return 0;
}

static int
add_rules(struct build *b)
{
	for (unsigned int i = 0; i < b->p->nrules; i++) {
		const struct policy_rule *r = &b->p->rules[i];

		if ((b->arch == PARCH_X86_64 ? r->nr_x86_64 : r->nr_aarch64) == -1)
			continue;
		/* What stands first in the text is looked for first. */
		if (add_rule(b, r, (uint8_t)(i < 255 ? 255 - i : 0)) == -1)
			return -1;
	}
	return 0;
}

static int
read_program(struct build *b, struct policy_bpf *out)
{
	struct stat st;
	int fd = memfd_create("bpf", MFD_CLOEXEC), rc, rv = -1;

	if (fd == -1)
		return fail(b, NULL, "memfd_create", errno);
	rc = seccomp_export_bpf(b->ctx, fd);
	if (rc < 0) {
		fail(b, NULL, "libseccomp cannot make the program", -rc);
	} else if (fstat(fd, &st) == -1 || (out->insn = malloc((size_t)st.st_size)) == NULL ||
	    pread(fd, out->insn, (size_t)st.st_size, 0) != st.st_size) {
		fail(b, NULL, "reading the program", errno);
	} else {
		out->n = (size_t)st.st_size / sizeof(struct sock_filter);
		rv = 0;
	}
	close(fd);
	return rv;
}

/* Jumps go forward only, so one pass knows where the accumulator holds the
 * call's number: there, and nowhere else, a stand-in's number is replaced. */
static void
replace_stand_ins(struct build *b, struct policy_bpf *out)
{
	unsigned char holds_nr[POLICY_INSN_MAX + 258] = {0};

	for (size_t pc = 0; b->nstand > 0 && pc < out->n && pc < POLICY_INSN_MAX; pc++) {
		struct sock_filter *f = &out->insn[pc];

		if (f->code == (BPF_LD | BPF_W | BPF_ABS))
			holds_nr[pc + 1] = f->k == 0;
		else if (f->code == (BPF_JMP | BPF_JA) && pc + 1 + f->k < sizeof(holds_nr))
			holds_nr[pc + 1 + f->k] |= holds_nr[pc];
		else if (BPF_CLASS(f->code) == BPF_JMP) {
			holds_nr[pc + 1 + f->jt] |= holds_nr[pc];
			holds_nr[pc + 1 + f->jf] |= holds_nr[pc];
		}
		for (unsigned int i = 0; i < b->nstand; i++)
			if (holds_nr[pc] && f->code == (BPF_JMP | BPF_JEQ | BPF_K) &&
			    f->k == (uint32_t)b->stand[i].target)
				f->k = (uint32_t)b->stand[i].number;
	}
}

int
policy_bpf_finish(const struct policy *p, struct policy_bpf *out, struct diag *d)
{
	unsigned int len = sizeof(out->sha256);

	if (out->n > POLICY_INSN_MAX) {
		diag_set(d, p->file, 0, 0, "the program has %zu instructions, more than %d", out->n,
		    POLICY_INSN_MAX);
		diag_hint(d, "fewer pinned values, or ranges that begin at a power of two");
		return -1;
	}
	if (EVP_Digest(out->insn, out->n * sizeof(*out->insn), out->sha256, &len, EVP_sha256(),
		NULL) != 1) {
		diag_set(d, p->file, 0, 0, "SHA-256 is not available");
		return -1;
	}
	return 0;
}

static int
build_program(struct build *b, struct policy_bpf *out)
{
	int rc;

	b->ctx = seccomp_init(scmp_action(b->p->def, b->p->def_err));
	if (b->ctx == NULL) {
		diag_set(b->d, b->p->file, 0, 0, "libseccomp does not start: no seccomp filters here");
		diag_hint(b->d, "CONFIG_SECCOMP_FILTER, and no filter around us that denies seccomp");
		return -1;
	}
	rc = seccomp_attr_set(b->ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (rc == 0 && b->arch != policy_native_arch()) {
		rc = seccomp_arch_remove(b->ctx, SCMP_ARCH_NATIVE);
		if (rc == 0)
			rc = seccomp_arch_add(b->ctx, scmp_arch(b->arch));
	}
	if (rc < 0)
		return fail(b, NULL, "libseccomp", -rc);
	if (add_rules(b) == -1 || read_program(b, out) == -1)
		return -1;
	replace_stand_ins(b, out);
	return 0;
}

int
policy_compile(const struct policy *p, enum policy_arch arch, struct policy_bpf *out,
    struct diag *d)
{
	struct build b = {.p = p, .arch = arch, .d = d};
	const struct policy_bpf *stack[1] = {out};
	int rv;

	memset(out, 0, sizeof(*out));
	if (p->seccomp == NEED_OFF)
		return 0;
	rv = build_program(&b, out);
	seccomp_release(b.ctx);
	if (rv == 0)
		rv = policy_bpf_finish(p, out, d);
	if (rv == 0)
		rv = policy_prove(stack, 1, p, arch, d);
	if (rv == -1)
		policy_bpf_free(out);
	return rv;
}

void
policy_bpf_free(struct policy_bpf *b)
{
	free(b->insn);
	memset(b, 0, sizeof(*b));
}
