#include "policy/eval.h"

#include <linux/audit.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "policy/internal.h"

#define X32_BIT 0x40000000u

uint32_t
policy_audit_arch(enum policy_arch arch)
{
	return arch == PARCH_X86_64 ? AUDIT_ARCH_X86_64 : AUDIT_ARCH_AARCH64;
}

enum policy_arch
policy_native_arch(void)
{
#if defined(__x86_64__)
	return PARCH_X86_64;
#elif defined(__aarch64__)
	return PARCH_AARCH64;
#else
#error "policies are compiled for x86_64 and aarch64 only"
#endif
}

/* The registers and scratch memory of the machine. */
struct machine {
	uint32_t a, x, mem[BPF_MEMWORDS];
};

static bool
alu(struct machine *m, uint16_t code, uint32_t k)
{
	uint32_t v = BPF_SRC(code) == BPF_X ? m->x : k;

	switch (BPF_OP(code)) {
	case BPF_ADD:
		m->a += v;
		return true;
	case BPF_SUB:
		m->a -= v;
		return true;
	case BPF_MUL:
		m->a *= v;
		return true;
	case BPF_OR:
		m->a |= v;
		return true;
	case BPF_AND:
		m->a &= v;
		return true;
	case BPF_XOR:
		m->a ^= v;
		return true;
	case BPF_LSH:
		m->a = v < 32 ? m->a << v : 0;
		return true;
	case BPF_RSH:
		m->a = v < 32 ? m->a >> v : 0;
		return true;
	case BPF_NEG:
		m->a = -m->a;
		return true;
	default: /* division: the compiler never makes one */
		return false;
	}
}

static bool
load(struct machine *m, const struct sock_filter *f, const struct seccomp_data *sd)
{
	uint32_t v;

	switch (BPF_CLASS(f->code) | BPF_MODE(f->code)) {
	case BPF_LD | BPF_ABS:
		if (BPF_SIZE(f->code) != BPF_W || (f->k & 3) != 0 || f->k >= sizeof(*sd))
			return false;
		memcpy(&v, (const uint8_t *)sd + f->k, sizeof(v));
		m->a = v;
		return true;
	case BPF_LD | BPF_IMM:
		m->a = f->k;
		return true;
	case BPF_LDX | BPF_IMM:
		m->x = f->k;
		return true;
	case BPF_LD | BPF_MEM:
		m->a = f->k < BPF_MEMWORDS ? m->mem[f->k] : 0;
		return f->k < BPF_MEMWORDS;
	case BPF_LDX | BPF_MEM:
		m->x = f->k < BPF_MEMWORDS ? m->mem[f->k] : 0;
		return f->k < BPF_MEMWORDS;
	default:
		return false;
	}
}

/* The offset to add after a jump; -1: not a jump of this language. */
static int64_t
jump(const struct machine *m, const struct sock_filter *f)
{
	uint32_t v = BPF_SRC(f->code) == BPF_X ? m->x : f->k;

	switch (BPF_OP(f->code)) {
	case BPF_JA:
		return f->k;
	case BPF_JEQ:
		return m->a == v ? f->jt : f->jf;
	case BPF_JGT:
		return m->a > v ? f->jt : f->jf;
	case BPF_JGE:
		return m->a >= v ? f->jt : f->jf;
	case BPF_JSET:
		return (m->a & v) != 0 ? f->jt : f->jf;
	default:
		return -1;
	}
}

uint32_t
policy_bpf_run(const struct sock_filter *insn, size_t n, const struct seccomp_data *sd)
{
	struct machine m = {0};

	for (size_t pc = 0; pc < n; pc++) {
		const struct sock_filter *f = &insn[pc];
		int64_t offset;

		switch (BPF_CLASS(f->code)) {
		case BPF_RET:
			return BPF_RVAL(f->code) == BPF_A ? m.a : f->k;
		case BPF_LD:
		case BPF_LDX:
			if (!load(&m, f, sd))
				return SECCOMP_RET_KILL_PROCESS;
			break;
		case BPF_ST:
		case BPF_STX:
			if (f->k >= BPF_MEMWORDS)
				return SECCOMP_RET_KILL_PROCESS;
			m.mem[f->k] = BPF_CLASS(f->code) == BPF_ST ? m.a : m.x;
			break;
		case BPF_ALU:
			if (!alu(&m, f->code, f->k))
				return SECCOMP_RET_KILL_PROCESS;
			break;
		case BPF_JMP:
			offset = jump(&m, f);
			if (offset < 0)
				return SECCOMP_RET_KILL_PROCESS;
			pc += (size_t)offset;
			break;
		default: /* BPF_MISC */
			if (BPF_MISCOP(f->code) == BPF_TAX)
				m.x = m.a;
			else
				m.a = m.x;
		}
	}
	return SECCOMP_RET_KILL_PROCESS;
}

int
policy_ret_rank(uint32_t ret)
{
	switch (ret & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_KILL_PROCESS:
		return 0;
	case SECCOMP_RET_KILL_THREAD:
		return 1;
	case SECCOMP_RET_TRAP:
		return 2;
	case SECCOMP_RET_ERRNO:
		return 3;
	case SECCOMP_RET_USER_NOTIF:
		return 4;
	case SECCOMP_RET_TRACE:
		return 5;
	case SECCOMP_RET_LOG:
		return 6;
	case SECCOMP_RET_ALLOW:
		return 7;
	default: /* unknown actions kill */
		return 0;
	}
}

uint32_t
policy_bpf_stack(const struct policy_bpf *const *stack, unsigned int n,
    const struct seccomp_data *sd)
{
	uint32_t ret = SECCOMP_RET_ALLOW;

	for (unsigned int i = n; i-- > 0;) {
		uint32_t r = policy_bpf_run(stack[i]->insn, stack[i]->n, sd);

		if (policy_ret_rank(r) < policy_ret_rank(ret))
			ret = r;
	}
	return ret;
}

static uint32_t
ret_of(enum policy_action action, int err)
{
	switch (action) {
	case PACT_ALLOW:
		return SECCOMP_RET_ALLOW;
	case PACT_LOG:
		return SECCOMP_RET_LOG;
	case PACT_ERRNO:
		return SECCOMP_RET_ERRNO | ((uint32_t)err & SECCOMP_RET_DATA);
	default:
		return SECCOMP_RET_KILL_PROCESS;
	}
}

uint32_t
policy_decide(const struct policy *p, enum policy_arch arch, const struct seccomp_data *sd)
{
	uint64_t args[POLICY_ARGS];

	if (p->seccomp == NEED_OFF)
		return SECCOMP_RET_ALLOW;
	if (sd->arch != policy_audit_arch(arch))
		return SECCOMP_RET_KILL_PROCESS;
	if (arch == PARCH_X86_64 && (uint32_t)sd->nr >= X32_BIT && sd->nr != -1)
		return SECCOMP_RET_KILL_PROCESS;
	for (unsigned int i = 0; i < POLICY_ARGS; i++)
		args[i] = sd->args[i];
	for (unsigned int i = 0; sd->nr >= 0 && i < p->nrules; i++) {
		const struct policy_rule *r = &p->rules[i];

		if ((arch == PARCH_X86_64 ? r->nr_x86_64 : r->nr_aarch64) == sd->nr &&
		    rule_matches(r, args))
			return ret_of(r->action, r->err);
	}
	return ret_of(p->def, p->def_err);
}

void
policy_ret_text(uint32_t ret, char *dst, size_t cap)
{
	uint32_t data = ret & SECCOMP_RET_DATA;

	switch (ret & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
		snprintf(dst, cap, "allow");
		break;
	case SECCOMP_RET_LOG:
		snprintf(dst, cap, "log");
		break;
	case SECCOMP_RET_ERRNO:
		if (data == 0)
			snprintf(dst, cap, "errno 0");
		else
			snprintf(dst, cap, "errno %s", errno_name((int)data));
		break;
	case SECCOMP_RET_KILL_PROCESS:
		snprintf(dst, cap, "kill-process");
		break;
	default:
		snprintf(dst, cap, "0x%08x", ret);
	}
}
