#include "probe/sys.h"

#include <sys/socket.h>
#include <sys/uio.h>

static int report_fd = -1;
static enum report_by report_how = REPORT_NONE;

void
report_to(int fd, enum report_by how)
{
	report_fd = fd;
	report_how = how;
}

int
report_channel(void)
{
	return report_fd;
}

#if defined(__x86_64__)
long
quiet6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
	long rv;

	__asm__ volatile("syscall"
	    : "=a"(rv)
	    : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
	    : "rcx", "r11", "memory");
	return rv;
}

/* The child, whatever it shares with us, does nothing but end: not one
 * instruction of it touches the stack. */
static long
spawn(long nr, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e;
	long rv;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%edi, %%edi\n\t"
			 "mov $60, %%eax\n\t" /* exit */
			 "syscall\n"
			 "1:"
	    : "=a"(rv), "+D"(a), "+S"(b), "+d"(c), "+r"(r10), "+r"(r8)
	    : "a"(nr)
	    : "rcx", "r11", "r9", "memory");
	return rv;
}

static long
int80(long nr, const long a[6])
{
	long rv;

	/* ebp is the sixth argument and is left alone: no attempt needs it. */
	__asm__ volatile("int $0x80"
	    : "=a"(rv)
	    : "a"((int)nr), "b"((int)a[0]), "c"((int)a[1]), "d"((int)a[2]), "S"((int)a[3]),
	    "D"((int)a[4])
	    : "r8", "r9", "r10", "r11", "memory");
	return (int)rv;
}
#else
#include <errno.h>
#include <unistd.h>

long
quiet6(long nr, long a, long b, long c, long d, long e, long f)
{
	long rv = syscall(nr, a, b, c, d, e, f);

	return rv == -1 ? -errno : rv;
}

static long
spawn(long nr, long a, long b, long c, long d, long e)
{
	long rv = quiet6(nr, a, b, c, d, e, 0);

	if (rv == 0)
		leave(0);
	return rv;
}

static long
int80(long nr, const long a[6])
{
	(void)nr;
	(void)a;
	return -ENOSYS;
}
#endif

void
report_line(const char *text, size_t len)
{
	struct iovec v = {.iov_base = (char *)(uintptr_t)text, .iov_len = len};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};

	if (report_how == REPORT_WRITE)
		quiet3(SYS_write, report_fd, text, len);
	else if (report_how == REPORT_SENDMSG)
		quiet3(SYS_sendmsg, report_fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

char *
put_str(char *dst, const char *s)
{
	while (*s != '\0')
		*dst++ = *s++;
	return dst;
}

char *
put_hex(char *dst, uint64_t v)
{
	int digits = 1;

	while (digits < 16 && v >> (4 * digits) != 0)
		digits++;
	while (digits-- > 0)
		*dst++ = "0123456789abcdef"[v >> (4 * digits) & 15];
	return dst;
}

static void
announce(enum abi abi, long nr, const long a[6])
{
	char line[160], *p = put_str(line, "T ");

	*p++ = "ni3"[abi];
	*p++ = ' ';
	p = put_hex(p, (uint64_t)nr);
	for (int i = 0; i < 6; i++) {
		*p++ = ' ';
		p = put_hex(p, (uint64_t)a[i]);
	}
	*p++ = '\n';
	report_line(line, (size_t)(p - line));
}

long
sys6(long nr, long a, long b, long c, long d, long e, long f)
{
	const long args[6] = {a, b, c, d, e, f};

	announce(ABI_NATIVE, nr, args);
	return quiet6(nr, a, b, c, d, e, f);
}

long
sys_abi(enum abi abi, long nr, const long a[6])
{
	announce(abi, nr, a);
	if (abi == ABI_I386)
		return int80(nr, a);
	if (abi == ABI_X32)
		nr |= 0x40000000;
	return quiet6(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

long
sys_spawn(long nr, long a, long b, long c, long d, long e)
{
	const long args[6] = {a, b, c, d, e, 0};

	announce(ABI_NATIVE, nr, args);
	return spawn(nr, a, b, c, d, e);
}

void
report_outcome(struct outcome o)
{
	char line[256], *p = put_str(line, "R ");
	const char *note = o.note != NULL ? o.note : "";

	p = put_str(p, verdict_name(o.v));
	*p++ = ' ';
	p = put_hex(p, (uint64_t)o.err);
	*p++ = ' ';
	while (*note != '\0' && p < line + sizeof(line) - 2)
		*p++ = *note++;
	*p++ = '\n';
	report_line(line, (size_t)(p - line));
}

void
leave(int status)
{
	for (;;)
		quiet1(SYS_exit_group, status);
}
