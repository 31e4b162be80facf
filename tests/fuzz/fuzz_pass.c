/* SRC: src/policy/pass.c src/policy/eval.c src/policy/points.c src/policy/cond.c src/common/log.c */
/* Programs of any origin: what policy_pass_call claims holds for arguments that the
 * input brings.  First six arguments, then instructions. */
#include <linux/audit.h>
#include <stdlib.h>
#include <string.h>

#include "policy/eval.h"
#include "policy/internal.h"
#include "policy/pass.h"

#define INSN_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


/* As the kernel's checker: known instructions, jumps within, a return at the end. */
static size_t
sane(struct sock_filter *f, size_t n)
{
	static const uint16_t codes[] = {BPF_LD | BPF_W | BPF_ABS, BPF_JMP | BPF_JEQ | BPF_K,
	    BPF_JMP | BPF_JGT | BPF_K, BPF_JMP | BPF_JGE | BPF_K, BPF_JMP | BPF_JSET | BPF_K,
	    BPF_ALU | BPF_AND | BPF_K, BPF_JMP | BPF_JA, BPF_RET | BPF_K, BPF_LD | BPF_IMM,
	    BPF_ALU | BPF_XOR | BPF_K, BPF_ST, BPF_LD | BPF_MEM, BPF_RET | BPF_A,
	    BPF_MISC | BPF_TAX, BPF_MISC | BPF_TXA};
	static const uint32_t rets[] = {SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS,
	    SECCOMP_RET_ERRNO | 1, SECCOMP_RET_LOG, SECCOMP_RET_USER_NOTIF, SECCOMP_RET_TRACE};

	for (size_t i = 0; i < n; i++) {
		size_t left = n - i - 1;

		f[i].code = codes[f[i].code % (sizeof(codes) / sizeof(codes[0]))];
		if (left == 0)
			f[i].code = BPF_RET | BPF_K;
		if (f[i].code == (BPF_LD | BPF_W | BPF_ABS))
			f[i].k = f[i].k % (sizeof(struct seccomp_data) / 4) * 4;
		else if (f[i].code == (BPF_RET | BPF_K))
			f[i].k = rets[f[i].k % 6];
		else if (f[i].code == (BPF_JMP | BPF_JA))
			f[i].k = (uint32_t)(f[i].k % left);
		else if (BPF_CLASS(f[i].code) == BPF_JMP) {
			f[i].jt = (uint8_t)(f[i].jt % (left > 255 ? 255 : left));
			f[i].jf = (uint8_t)(f[i].jf % (left > 255 ? 255 : left));
		} else if (f[i].code == BPF_ST || f[i].code == (BPF_LD | BPF_MEM))
			f[i].k %= BPF_MEMWORDS;
	}
	return n;
}

static bool
gets_through(const struct policy_bpf *b, const struct seccomp_data *sd)
{
	return policy_ret_rank(policy_bpf_run(b->insn, b->n, sd)) >= policy_ret_rank(SECCOMP_RET_LOG);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sock_filter insn[INSN_MAX];
	struct seccomp_data sd = {.nr = 5, .arch = AUDIT_ARCH_X86_64};
	struct policy_bpf b = {.insn = insn};
	const struct policy_bpf *stack[] = {&b};
	struct policy_passing r;

	if (size < sizeof(sd.args) + sizeof(insn[0]))
		return 0;
	memcpy(sd.args, data, sizeof(sd.args));
	b.n = (size - sizeof(sd.args)) / sizeof(insn[0]);
	if (b.n > INSN_MAX)
		b.n = INSN_MAX;
	memcpy(insn, data + sizeof(sd.args), b.n * sizeof(insn[0]));
	sane(insn, b.n);
	r = policy_pass_call(stack, 1, sd.arch, (uint32_t)sd.nr);
	if (r.pass == PASS_FREE && !gets_through(&b, &sd))
		abort();
	if (r.pass == PASS_DENIED && gets_through(&b, &sd))
		abort();
	/* Values of the program's own are the likeliest to be special. */
	for (size_t i = 0; i < b.n; i++) {
		for (int arg = 0; arg < POLICY_ARGS; arg++) {
			struct seccomp_data other = sd;

			other.args[arg] = (other.args[arg] & ~(uint64_t)UINT32_MAX) | insn[i].k;
			if ((r.pass == PASS_FREE) && !gets_through(&b, &other))
				abort();
			if (r.pass == PASS_DENIED && gets_through(&b, &other))
				abort();
		}
	}
	return 0;
}
