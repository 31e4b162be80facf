/* KERN: parts of the kernel where unprivileged bugs have lived. */
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <sys/socket.h>

#include "probe/numbers.h"
#include "probe/sys.h"

static struct outcome
kern_bpf(const struct test *t)
{
	static const struct bpf_insn code[] = {
	    {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0},
	    {.code = BPF_JMP | BPF_EXIT}};
	static union bpf_attr attr;
	long rv;

	if (t->a[0] == BPF_PROG_LOAD) {
		attr.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
		attr.insns = (uint64_t)(uintptr_t)code;
		attr.insn_cnt = 2;
		attr.license = (uint64_t)(uintptr_t) "GPL";
	} else if (t->a[0] == BPF_MAP_CREATE) {
		attr.map_type = BPF_MAP_TYPE_ARRAY;
		attr.key_size = 4;
		attr.value_size = 8;
		attr.max_entries = 1;
	}
	rv = sys3(SYS_bpf, t->a[0], &attr, sizeof(attr));
	if (rv >= 0)
		sys1(SYS_close, rv);
	return open_if(rv);
}

static struct outcome
kern_perf(const struct test *t)
{
	static struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE, .size = sizeof(attr),
	    .config = PERF_COUNT_SW_DUMMY, .exclude_kernel = 1, .exclude_hv = 1};
	long rv = sys5(SYS_perf_event_open, &attr, 0, -1, -1, 0);

	(void)t;
	if (rv >= 0)
		sys1(SYS_close, rv);
	return open_if(rv);
}

static struct outcome
kern_uring(const struct test *t)
{
	static unsigned int params[30];
	long rv = sys2(NR_IO_URING_SETUP, 1, params);

	(void)t;
	if (rv >= 0)
		sys1(SYS_close, rv);
	return open_if(rv);
}

static struct outcome
kern_aio(const struct test *t)
{
	static unsigned long ctx;
	long rv = sys2(SYS_io_setup, 1, &ctx);

	(void)t;
	if (rv >= 0)
		sys1(SYS_io_destroy, ctx);
	return open_if(rv);
}

/* Which families answer at all; in a filter that kills the first one is the last. */
static struct outcome
kern_families(const struct test *t)
{
	static char note[200];
	char *p = note;
	int n = 0;

	for (long family = 0; family <= 50; family++) {
		long rv = sys3(SYS_socket, family, t->a[0], 0);

		if (rv < 0)
			continue;
		quiet1(SYS_close, rv);
		if (n++ > 0)
			*p++ = ' ';
		*p++ = (char)('0' + family / 10);
		*p++ = (char)('0' + family % 10);
	}
	return n > 0 ? opened(note) : refused(-97 /* EAFNOSUPPORT */);
}

static struct outcome
kern_pairs(const struct test *t)
{
	static int pair[2];
	long rv = -1;

	(void)t;
	for (long family = 1; family <= 45; family++) {
		rv = sys4(SYS_socketpair, family, SOCK_STREAM, 0, pair);
		if (rv == 0)
			return opened("a pair");
	}
	return refused(rv);
}

/* One option of the client's own socket, set as it would be by somebody who wants in. */
static struct outcome
kern_sockopt(const struct test *t)
{
	static const int one = 1;
	static const struct {
		unsigned short code;
		unsigned char jt, jf;
		unsigned int k;
	} accept[] = {{0x06, 0, 0, 0xffff}};
	static struct {
		unsigned short len;
		const void *filter;
	} prog = {1, accept};

	if (t->nr == 26) /* SO_ATTACH_FILTER */
		return open_if(sys5(SYS_setsockopt, place.client, t->a[0], t->nr, &prog, sizeof(prog)));
	if (t->nr == 31 && t->a[0] == 6) /* TCP_ULP */
		return open_if(sys5(SYS_setsockopt, place.client, t->a[0], t->nr, "tls", 3));
	return open_if(sys5(SYS_setsockopt, place.client, t->a[0], t->nr, &one, sizeof(one)));
}

static struct outcome
kern_getsockopt(const struct test *t)
{
	static unsigned int len;

	len = 512;
	return open_if(sys5(SYS_getsockopt, t->a[2] != 0 ? place.auth : place.client, t->a[0], t->nr,
	    scratch, &len));
}

#define CALL(nr_, ...) .fn = try_call, .nr = (nr_), .a = {__VA_ARGS__}
#define FD(nr_, ...) .fn = try_fd, .nr = (nr_), .a = {__VA_ARGS__}
#define SOCK(f, ty, pr) .fn = try_fd, .nr = SYS_socket, .a = {f, ty, pr}
#define OPT(level, opt) .fn = kern_sockopt, .nr = (opt), .a = {level}

const struct test kern_tests[] = {
    {"KERN-01.load", "load a BPF program", "CAP HOST", .fn = kern_bpf, .a = {BPF_PROG_LOAD},
	.flags = T_ROOT},
    {"KERN-01.map", "make a BPF map", "CAP HOST", .fn = kern_bpf, .a = {BPF_MAP_CREATE},
	.flags = T_ROOT},
    {"KERN-01.btf", "enumerate BPF objects", "CAP HOST", .fn = kern_bpf,
	.a = {BPF_PROG_GET_NEXT_ID}, .flags = T_ROOT},
    {"KERN-02", "perf_event_open, a dummy event", "HOST", .fn = kern_perf},
    {"KERN-03", "userfaultfd, user mode only", "HOST", FD(SYS_userfaultfd, 1)},
    {"KERN-04.setup", "io_uring_setup", "HOST", .fn = kern_uring},
    {"KERN-04.enter", "io_uring_enter", "KERN", CALL(NR_IO_URING_ENTER, -1, 0, 0, 0, 0, 0)},
    {"KERN-04.register", "io_uring_register", "KERN", CALL(NR_IO_URING_REGISTER, -2, 0, 0, 0)},
    {"KERN-05", "io_setup", "", .fn = kern_aio},
    {"KERN-06.nft", "netfilter netlink socket", "", SOCK(AF_NETLINK, SOCK_RAW, 12)},
    {"KERN-06.route", "route netlink socket (tc)", "", SOCK(AF_NETLINK, SOCK_RAW, 0)},
    {"KERN-06.xfrm", "xfrm netlink socket", "HOST", SOCK(AF_NETLINK, SOCK_RAW, 6)},
    {"KERN-07.raw", "packet socket", "CAP", SOCK(AF_PACKET, SOCK_RAW, 0), .flags = T_ROOT},
    {"KERN-07.dgram", "cooked packet socket", "CAP", SOCK(AF_PACKET, SOCK_DGRAM, 0),
	.flags = T_ROOT},
    {"KERN-08", "AF_ALG socket", "HOST", SOCK(38, SOCK_SEQPACKET, 0)},
    {"KERN-09", "AF_VSOCK socket", "", SOCK(40, SOCK_STREAM, 0)},
    {"KERN-10.stream", "stream sockets of every family", "", .fn = kern_families,
	.a = {SOCK_STREAM}},
    {"KERN-10.dgram", "datagram sockets of every family", "", .fn = kern_families,
	.a = {SOCK_DGRAM}},
    {"KERN-10.raw", "raw sockets of every family", "", .fn = kern_families, .a = {SOCK_RAW}},
    {"KERN-10.seqpacket", "seqpacket sockets of every family", "", .fn = kern_families,
	.a = {SOCK_SEQPACKET}},
    {"KERN-10.pair", "socketpair", "", .fn = kern_pairs},
    {"KERN-11.raw", "raw IP socket", "CAP", SOCK(AF_INET, SOCK_RAW, 1), .flags = T_ROOT},
    {"KERN-11.ping", "ping socket", "NS HOST", SOCK(AF_INET, SOCK_DGRAM, 1)},
    {"KERN-11.sctp", "SCTP socket", "HOST", SOCK(AF_INET, SOCK_STREAM, 132)},
    {"KERN-11.dccp", "DCCP socket", "HOST", SOCK(AF_INET, 6, 33)},
    {"KERN-11.udplite", "UDP-Lite socket", "HOST", SOCK(AF_INET, SOCK_DGRAM, 136)},
    {"KERN-11.mptcp", "MPTCP socket", "HOST", SOCK(AF_INET, SOCK_STREAM, 262)},
    {"KERN-11.l2tp", "L2TP socket", "HOST", SOCK(AF_INET, SOCK_DGRAM, 115)},
    {"KERN-11.tcp", "TCP socket", "", SOCK(AF_INET, SOCK_STREAM, 0)},
    {"KERN-11.udp", "UDP socket", "", SOCK(AF_INET, SOCK_DGRAM, 0)},
    {"KERN-11.unix", "unix socket", "", SOCK(AF_UNIX, SOCK_STREAM, 0)},
    {"KERN-12.ulp", "TCP_ULP tls on the client's socket", "HOST", OPT(6, 31)},
    {"KERN-12.repair", "TCP_REPAIR on the client's socket", "CAP", OPT(6, 19),
	.flags = T_ROOT},
    {"KERN-12.filter", "a socket filter on the client's socket", "", OPT(1, 26)},
    {"KERN-12.zerocopy", "SO_ZEROCOPY on the client's socket", "", OPT(1, 60)},
    {"KERN-12.device", "SO_BINDTODEVICE on the client's socket", "CAP KERN", OPT(1, 25)},
    {"KERN-12.fastopen", "TCP_FASTOPEN on the client's socket", "HOST", OPT(6, 23)},
    {"KERN-12.nodelay", "TCP_NODELAY on the client's socket", "", OPT(6, 1)},
    {"KERN-12.md5", "TCP_MD5SIG on the client's socket", "HOST", OPT(6, 14)},
    {"KERN-12.ip", "IP options of the client's socket", "", OPT(0, 2)},
    {"KERN-12.info", "TCP_INFO of the client's socket", "", .fn = kern_getsockopt, .nr = 11,
	.a = {6}},
    {"KERN-12.groups", "SO_PEERGROUPS of the auth channel", "", .fn = kern_getsockopt, .nr = 59,
	.a = {1, 0, 1}, .flags = T_REACHED},
    {0},
};
