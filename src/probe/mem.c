/* MEM: making code out of data. */
#include <sys/mman.h>

#include "probe/elf.h"
#include "probe/numbers.h"
#include "probe/sys.h"

static bool
failed(long p)
{
	return p < 0 && p > -4096;
}

static struct outcome
run_at(long p)
{
	return ((int (*)(void))p)() == 42 ? opened("what was written there ran") : blocked("did not run");
}

static struct outcome
mem_rwx(const struct test *t)
{
	long p = sys6(SYS_mmap, 0, 4096, t->a[0], MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), rv;

	if (failed(p))
		return refused(p);
	if (t->a[1] != 0) {
		code_returning_42((uint8_t *)p, 4096);
		rv = sys3(SYS_mprotect, p, 4096, t->a[1]);
		if (rv < 0)
			return refused(rv);
	} else {
		code_returning_42((uint8_t *)p, 4096);
	}
	return run_at(p);
}

/* Executable first, then writable: other kernels look at one direction only. */
static struct outcome
mem_rx_rw(const struct test *t)
{
	long p = sys6(SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), rv;

	(void)t;
	if (failed(p))
		return refused(p);
	rv = sys3(SYS_mprotect, p, 4096, PROT_READ | PROT_WRITE);
	if (rv < 0)
		return refused(rv);
	code_returning_42((uint8_t *)p, 4096);
	rv = sys3(SYS_mprotect, p, 4096, PROT_READ | PROT_EXEC);
	return rv < 0 ? refused(rv) : run_at(p);
}

static struct outcome
mem_double(const struct test *t)
{
	long fd = sys2(SYS_memfd_create, "probe", 0), w, x;

	(void)t;
	if (fd < 0)
		return refused(fd);
	code_returning_42(scratch, sizeof(scratch));
	w = sys4(SYS_pwrite64, fd, scratch, 4096, 0);
	if (w < 0)
		return refused(w);
	x = sys6(SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	sys1(SYS_close, fd);
	return failed(x) ? refused(x) : run_at(x);
}

static struct outcome
mem_map_fd(const struct test *t)
{
	long p = sys6(SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, t->a[0], place.client, 0);

	return failed(p) ? refused(p) : opened("mapped");
}

static struct outcome
mem_shm(const struct test *t)
{
	long id = sys3(SYS_shmget, 0, 4096, 01700), p;

	(void)t;
	if (id < 0)
		return refused(id);
	p = sys3(SYS_shmat, id, 0, 0100000 /* SHM_EXEC */);
	sys3(SYS_shmctl, id, 0, 0);
	if (failed(p))
		return refused(p);
	code_returning_42((uint8_t *)p, 4096);
	return run_at(p);
}

static struct outcome
mem_personality(const struct test *t)
{
	long rv = sys1(SYS_personality, 0x0400000), p;

	(void)t;
	if (rv < 0)
		return refused(rv);
	p = sys6(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (failed(p))
		return refused(p);
	code_returning_42((uint8_t *)p, 4096);
	return run_at(p);
}

static const char constant[4096] __attribute__((aligned(4096))) = "constant";

static int __attribute__((noinline, aligned(4096)))
own_code(void)
{
	return 7;
}

static struct outcome
mem_protect(const struct test *t)
{
	long p = t->a[0] == 0 ? ARG(constant) : ARG(own_code), rv;

	rv = sys3(SYS_mprotect, p & -4096, 4096, t->a[1]);
	return rv < 0 ? refused(rv) : opened("no longer as the linker made it");
}

static struct outcome
mem_unmap(const struct test *t)
{
	long rv = sys2(SYS_munmap, ARG(constant), 4096);

	(void)t;
	return rv < 0 ? refused(rv) : opened("constants unmapped");
}

static struct outcome
mem_brk(const struct test *t)
{
	long now = sys1(SYS_brk, 0), then;

	if (now <= 0)
		return refused(now);
	then = sys1(SYS_brk, now + t->a[0]);
	return then == now + t->a[0] ? opened("grown") : blocked("not grown");
}

static struct outcome
mem_huge(const struct test *t)
{
	long p = sys6(SYS_mmap, 0, t->a[0], PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return failed(p) ? refused(p) : opened("mapped");
}

/* The stack and our data must not run. */
static struct outcome
mem_nx(const struct test *t)
{
	static uint8_t data[64];
	uint8_t stack[64];
	uint8_t *where = t->a[0] == 0 ? stack : data;

	code_returning_42(where, 64);
	return run_at(ARG(where));
}

static struct outcome
mem_relro(const struct test *t)
{
	(void)t;
	*(volatile char *)(uintptr_t)constant = 'x';
	return opened("constants are writable");
}

#define ONLY(fn_, ...) .fn = fn_, .a = {__VA_ARGS__}
#define RW (PROT_READ | PROT_WRITE)
#define RX (PROT_READ | PROT_EXEC)

const struct test mem_tests[] = {
    {"MEM-01.rwx", "memory writable and executable", "MDWE", ONLY(mem_rwx, RW | PROT_EXEC, 0)},
    {"MEM-01.rw_rx", "writable, then executable", "MDWE", ONLY(mem_rwx, RW, RX)},
    {"MEM-01.rx_rw", "executable, then writable, then executable", "MDWE", .fn = mem_rx_rw},
    {"MEM-02", "a memfd written and executed", "RL", .fn = mem_double},
    {"MEM-03.private", "map an inherited descriptor executable", "FD KERN",
	ONLY(mem_map_fd, MAP_PRIVATE)},
    {"MEM-03.shared", "map an inherited descriptor shared", "FD KERN",
	ONLY(mem_map_fd, MAP_SHARED)},
    {"MEM-04.shm", "shmat with SHM_EXEC", "HOST", .fn = mem_shm},
    {"MEM-04.pkey", "pkey_mprotect to executable", "MDWE", .fn = try_call,
	.nr = SYS_pkey_mprotect, .a = {ARG(scratch), 4096, RW | PROT_EXEC, -1}},
    {"MEM-05", "READ_IMPLIES_EXEC, then plain memory", "MDWE", .fn = mem_personality},
    {"MEM-06.rodata", "constants writable", "", ONLY(mem_protect, 0, RW)},
    {"MEM-06.text", "code writable", "MDWE", ONLY(mem_protect, 1, RW | PROT_EXEC)},
    {"MEM-06.unmap", "unmap constants", "", .fn = mem_unmap},
    {"MEM-07.brk", "grow the heap", "HOST", ONLY(mem_brk, 1 << 20)},
    {"MEM-07.gib", "map 64 GiB", "RL", ONLY(mem_huge, 64L << 30)},
    {"MEM-07.small", "map 1 MiB", "", ONLY(mem_huge, 1L << 20)},
    {"MEM-08.stack", "run the stack", "KERN", ONLY(mem_nx, 0), .flags = T_CRASH | T_NO_CALL},
    {"MEM-08.data", "run data", "KERN", ONLY(mem_nx, 1), .flags = T_CRASH | T_NO_CALL},
    {"MEM-09", "write to constants", "KERN", .fn = mem_relro, .flags = T_CRASH | T_NO_CALL},
    {0},
};
