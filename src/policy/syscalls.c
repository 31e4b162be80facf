#include <limits.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "policy/internal.h"

/*
 * System calls with their arguments, named as in the manual pages of section 2
 * ("a/b": two names for one argument).  Types after the colon: f descriptor,
 * i int, u unsigned int, p pointer, w a whole 64-bit word.  What the kernel
 * takes counts, where the C library's prototype differs (ppoll's nfds).
 * `fixed`: numbers that libseccomp 2.5 does not know; from 424 on all
 * architectures share theirs.
 */
static const struct call {
	const char *name, *args;
	int fixed;
} calls[] = {
    {"accept4", "sockfd:f addr:p addrlen:p flags:i", 0},
    {"access", "pathname:p mode:i", 0},
    {"arch_prctl", "op/code:i addr:w", 0},
    {"bind", "sockfd:f addr:p addrlen:i", 0},
    {"brk", "addr:p", 0},
    {"capget", "hdrp:p datap:p", 0},
    {"capset", "hdrp:p datap:p", 0},
    {"chdir", "path:p", 0},
    {"chmod", "pathname:p mode:u", 0},
    {"chown", "pathname:p owner:u group:u", 0},
    {"chroot", "path:p", 0},
    {"clock_getres", "clockid:i res:p", 0},
    {"clock_gettime", "clockid:i tp:p", 0},
    {"clock_nanosleep", "clockid:i flags:i t:p remain:p", 0},
    /* the last two change places on aarch64: nobody may compare them */
    {"clone", "flags:w stack:p parent_tid:p", 0},
    {"clone3", "cl_args:p size:w", 0},
    {"close", "fd:f", 0},
    {"close_range", "first:u last:u flags:u", 0},
    {"connect", "sockfd:f addr:p addrlen:i", 0},
    {"dup", "oldfd:f", 0},
    {"dup2", "oldfd:f newfd:f", 0},
    {"dup3", "oldfd:f newfd:f flags:i", 0},
    {"epoll_create1", "flags:i", 0},
    {"epoll_ctl", "epfd:f op:i fd:f event:p", 0},
    {"epoll_pwait", "epfd:f events:p maxevents:i timeout:i sigmask:p", 0},
    {"epoll_pwait2", "epfd:f events:p maxevents:i timeout:p sigmask:p", 0},
    {"epoll_wait", "epfd:f events:p maxevents:i timeout:i", 0},
    {"eventfd2", "initval:u flags:i", 0},
    {"execve", "pathname:p argv:p envp:p", 0},
    {"execveat", "dirfd/fd:f pathname:p argv:p envp:p flags:i", 0},
    {"exit", "status:i", 0},
    {"exit_group", "status:i", 0},
    {"faccessat", "dirfd:f pathname:p mode:i", 0},
    {"faccessat2", "dirfd:f pathname:p mode:i flags:i", 0},
    {"fchdir", "fd:f", 0},
    {"fchmod", "fd:f mode:u", 0},
    {"fchmodat", "dirfd:f pathname:p mode:u", 0},
    {"fchown", "fd:f owner:u group:u", 0},
    {"fchownat", "dirfd:f pathname:p owner:u group:u flags:i", 0},
    {"fcntl", "fd:f op/cmd:u arg:w", 0},
    {"fork", "", 0},
    {"fstat", "fd:f statbuf:p", 0},
    {"fstatfs", "fd:f buf:p", 0},
    {"fsync", "fd:f", 0},
    {"ftruncate", "fd:f length:w", 0},
    {"futex", "uaddr:p futex_op/op:i val:u timeout:p uaddr2:p val3:u", 0},
    {"getcwd", "buf:p size:w", 0},
    {"getdents64", "fd:f dirp:p count:u", 0},
    {"getegid", "", 0},
    {"geteuid", "", 0},
    {"getgid", "", 0},
    {"getgroups", "size:i list:p", 0},
    {"getpeername", "sockfd:f addr:p addrlen:p", 0},
    {"getpgid", "pid:i", 0},
    {"getpgrp", "", 0},
    {"getpid", "", 0},
    {"getppid", "", 0},
    {"getpriority", "which:i who:i", 0},
    {"getrandom", "buf:p buflen/count:w flags:u", 0},
    {"getresgid", "rgid:p egid:p sgid:p", 0},
    {"getresuid", "ruid:p euid:p suid:p", 0},
    {"getrlimit", "resource:u rlim:p", 0},
    {"getrusage", "who:i usage:p", 0},
    {"getsid", "pid:i", 0},
    {"getsockname", "sockfd:f addr:p addrlen:p", 0},
    {"getsockopt", "sockfd:f level:i optname:i optval:p optlen:p", 0},
    {"gettid", "", 0},
    {"gettimeofday", "tv:p tz:p", 0},
    {"getuid", "", 0},
    {"ioctl", "fd:f op/request:u arg:w", 0},
    {"kill", "pid:i sig:i", 0},
    {"landlock_add_rule", "ruleset_fd:f rule_type:i rule_attr:p flags:u", 0},
    {"landlock_create_ruleset", "attr:p size:w flags:u", 0},
    {"landlock_restrict_self", "ruleset_fd:f flags:u", 0},
    {"link", "oldpath:p newpath:p", 0},
    {"linkat", "olddirfd:f oldpath:p newdirfd:f newpath:p flags:i", 0},
    {"listen", "sockfd:f backlog:i", 0},
    {"lseek", "fd:f offset:w whence:u", 0},
    {"lstat", "pathname:p statbuf:p", 0},
    {"madvise", "addr:p length:w advice:i", 0},
    {"membarrier", "cmd:i flags:u cpu_id:i", 0},
    {"memfd_create", "name:p flags:u", 0},
    {"memfd_secret", "flags:u", 0},
    {"mkdir", "pathname:p mode:u", 0},
    {"mkdirat", "dirfd:f pathname:p mode:u", 0},
    {"mlock", "addr:p len:w", 0},
    {"mlock2", "addr:p len:w flags:i", 0},
    {"mlockall", "flags:i", 0},
    {"mmap", "addr:p length:w prot:w flags:w fd:f offset:w", 0},
    {"mount", "source:p target:p filesystemtype:p mountflags:w data:p", 0},
    {"mount_setattr", "dirfd:f pathname:p flags:u attr:p size:w", 0},
    {"move_mount", "from_dirfd:f from_pathname:p to_dirfd:f to_pathname:p flags:u", 0},
    {"mprotect", "addr:p len/size:w prot:w", 0},
    {"mremap", "old_address:p old_size:w new_size:w flags:w new_address:p", 0},
    {"mseal", "addr:p size:w flags:w", 462},
    {"munlock", "addr:p len:w", 0},
    {"munmap", "addr:p length:w", 0},
    {"nanosleep", "duration:p rem:p", 0},
    {"newfstatat", "dirfd:f pathname:p statbuf:p flags:i", 0},
    {"open", "pathname:p flags:i mode:u", 0},
    {"openat", "dirfd:f pathname:p flags:i mode:u", 0},
    {"openat2", "dirfd:f pathname:p how:p size:w", 0},
    {"open_tree", "dirfd:f pathname:p flags:u", 0},
    {"pause", "", 0},
    {"personality", "persona:u", 0},
    {"pidfd_open", "pid:i flags:u", 0},
    {"pidfd_send_signal", "pidfd:f sig:i info:p flags:u", 0},
    {"pipe2", "pipefd:p flags:i", 0},
    {"pivot_root", "new_root:p put_old:p", 0},
    {"poll", "fds:p nfds:u timeout:i", 0},
    {"ppoll", "fds:p nfds:u tmo_p:p sigmask:p sigsetsize:w", 0},
    {"prctl", "op/option:i arg2:w arg3:w arg4:w arg5:w", 0},
    {"pread64", "fd:f buf:p count:w offset:w", 0},
    {"prlimit64", "pid:i resource:u new_limit:p old_limit:p", 0},
    {"process_vm_readv", "pid:i local_iov:p liovcnt:w remote_iov:p riovcnt:w flags:w", 0},
    {"process_vm_writev", "pid:i local_iov:p liovcnt:w remote_iov:p riovcnt:w flags:w", 0},
    {"pselect6", "nfds:i readfds:p writefds:p exceptfds:p timeout:p sigmask:p", 0},
    {"ptrace", "op:w pid:w addr:p data:p", 0},
    {"pwrite64", "fd:f buf:p count:w offset:w", 0},
    {"read", "fd:f buf:p count:w", 0},
    {"readlink", "pathname:p buf:p bufsiz:i", 0},
    {"readlinkat", "dirfd:f pathname:p buf:p bufsiz:i", 0},
    {"readv", "fd:f iov:p iovcnt:w", 0},
    {"recvfrom", "sockfd:f buf:p len:w flags:u src_addr:p addrlen:p", 0},
    {"recvmmsg", "sockfd:f msgvec:p vlen:u flags:u timeout:p", 0},
    {"recvmsg", "sockfd:f msg:p flags:u", 0},
    {"rename", "oldpath:p newpath:p", 0},
    {"renameat", "olddirfd:f oldpath:p newdirfd:f newpath:p", 0},
    {"renameat2", "olddirfd:f oldpath:p newdirfd:f newpath:p flags:u", 0},
    {"restart_syscall", "", 0},
    {"rmdir", "pathname:p", 0},
    {"rseq", "rseq:p rseq_len:u flags:i sig:u", 0},
    {"rt_sigaction", "signum:i act:p oldact:p sigsetsize:w", 0},
    {"rt_sigprocmask", "how:i set:p oldset:p sigsetsize:w", 0},
    {"rt_sigreturn", "", 0},
    {"rt_sigtimedwait", "set:p info:p timeout:p sigsetsize:w", 0},
    {"sched_getaffinity", "pid:i cpusetsize:u mask:p", 0},
    {"sched_yield", "", 0},
    {"seccomp", "op/operation:u flags:u args:p", 0},
    {"sendfile", "out_fd:f in_fd:f offset:p count:w", 0},
    {"sendmmsg", "sockfd:f msgvec:p vlen:u flags:u", 0},
    {"sendmsg", "sockfd:f msg:p flags:u", 0},
    {"sendto", "sockfd:f buf:p len:w flags:u dest_addr:p addrlen:i", 0},
    {"set_robust_list", "head:p len:w", 0},
    {"set_tid_address", "tidptr:p", 0},
    {"setgid", "gid:u", 0},
    {"setgroups", "size:i list:p", 0},
    {"setitimer", "which:i new_value:p old_value:p", 0},
    {"setns", "fd:f nstype:i", 0},
    {"setpgid", "pid:i pgid:i", 0},
    {"setpriority", "which:i who:i prio:i", 0},
    {"setresgid", "rgid:u egid:u sgid:u", 0},
    {"setresuid", "ruid:u euid:u suid:u", 0},
    {"setrlimit", "resource:u rlim:p", 0},
    {"setsid", "", 0},
    {"setsockopt", "sockfd:f level:i optname:i optval:p optlen:i", 0},
    {"setuid", "uid:u", 0},
    {"shutdown", "sockfd:f how:i", 0},
    {"sigaltstack", "ss:p old_ss:p", 0},
    {"signalfd4", "fd:f mask:p sizemask:w flags:i", 0},
    {"socket", "domain:i type:i protocol:i", 0},
    {"socketpair", "domain:i type:i protocol:i sv:p", 0},
    {"splice", "fd_in:f off_in:p fd_out:f off_out:p len:w flags:u", 0},
    {"stat", "pathname:p statbuf:p", 0},
    {"statfs", "path:p buf:p", 0},
    {"statx", "dirfd:f pathname:p flags:i mask:u statxbuf:p", 0},
    {"symlink", "target:p linkpath:p", 0},
    {"symlinkat", "target:p newdirfd:f linkpath:p", 0},
    {"sysinfo", "info:p", 0},
    {"tgkill", "tgid:i tid:i sig:i", 0},
    {"time", "tloc:p", 0},
    {"timerfd_create", "clockid:i flags:i", 0},
    {"timerfd_gettime", "fd:f curr_value:p", 0},
    {"timerfd_settime", "fd:f flags:i new_value:p old_value:p", 0},
    {"tkill", "tid:i sig:i", 0},
    {"truncate", "path:p length:w", 0},
    {"umask", "mask:u", 0},
    {"umount2", "target:p flags:i", 0},
    {"uname", "buf:p", 0},
    {"unlink", "pathname:p", 0},
    {"unlinkat", "dirfd:f pathname:p flags:i", 0},
    {"unshare", "flags:w", 0},
    {"utimensat", "dirfd:f pathname:p times:p flags:i", 0},
    {"vfork", "", 0},
    {"wait4", "pid:i wstatus:p options:i rusage:p", 0},
    {"waitid", "idtype:i id:i infop:p options:i rusage:p", 0},
    {"write", "fd:f buf:p count:w", 0},
    {"writev", "fd:f iov:p iovcnt:w", 0},
    /* Younger than libseccomp 2.5. */
    {"futex_waitv", "waiters:p nr_futexes:u flags:u timeout:p clockid:i", 449},
    {"cachestat", "fd:f cstat_range:p cstat:p flags:u", 451},
    {"fchmodat2", "dirfd:f pathname:p mode:u flags:u", 452},
    {"map_shadow_stack", "addr:w size:w flags:u", 453},
    {"futex_wake", "uaddr:p mask:w nr:i flags:u", 454},
    {"futex_wait", "uaddr:p val:w mask:w flags:u timeout:p clockid:i", 455},
    {"statmount", "req:p buf:p bufsize:w flags:u", 457},
    {"listmount", "req:p mnt_ids:p nr_mnt_ids:w flags:u", 458},
};

#define NCALLS (sizeof(calls) / sizeof(calls[0]))

static const struct call *
call_find(const char *name)
{
	for (size_t i = 0; i < NCALLS; i++)
		if (strcmp(calls[i].name, name) == 0)
			return &calls[i];
	return NULL;
}

int
call_fixed_number(const char *name)
{
	const struct call *c = call_find(name);
	uint64_t n;

	if (c != NULL && c->fixed != 0)
		return c->fixed;
	/* Below 424 a number means something else on each architecture. */
	return str_to_u64(name, 1023, &n) && n >= 424 ? (int)n : -1;
}

bool
call_numbers(const char *name, int *x86_64, int *aarch64)
{
	int fixed = call_fixed_number(name);

	if (fixed != -1) {
		*x86_64 = *aarch64 = fixed;
		return true;
	}
	/* Pseudo numbers below zero mean: known, but not on this architecture. */
	*x86_64 = seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, name);
	*aarch64 = seccomp_syscall_resolve_name_arch(SCMP_ARCH_AARCH64, name);
	if (*x86_64 < 0)
		*x86_64 = -1;
	if (*aarch64 < 0)
		*aarch64 = -1;
	return *x86_64 >= 0 || *aarch64 >= 0;
}

bool
call_name_of(int nr, enum policy_arch arch, char *dst, size_t cap)
{
	char *name;

	for (size_t i = 0; i < NCALLS; i++)
		if (calls[i].fixed != 0 && calls[i].fixed == nr)
			return str_copy(dst, cap, calls[i].name);
	name = seccomp_syscall_resolve_num_arch(
	    arch == PARCH_X86_64 ? SCMP_ARCH_X86_64 : SCMP_ARCH_AARCH64, nr);
	if (name == NULL)
		return false;
	str_copy(dst, cap, name);
	free(name);
	return true;
}

static enum arg_type
type_of(char c)
{
	switch (c) {
	case 'f':
		return ARG_FD;
	case 'i':
		return ARG_INT;
	case 'u':
		return ARG_UINT;
	case 'p':
		return ARG_PTR;
	default:
		return ARG_WORD;
	}
}

/* One argument of a list: its names and its type; the rest of the list. */
static const char *
arg_split(const char *args, char names[2][24], enum arg_type *type)
{
	const char *colon = strchr(args, ':');
	size_t len = (size_t)(colon - args);
	char both[48];
	char *slash;

	memcpy(both, args, len);
	both[len] = '\0';
	slash = strchr(both, '/');
	if (slash != NULL)
		*slash++ = '\0';
	str_copy(names[0], sizeof(names[0]), both);
	str_copy(names[1], sizeof(names[1]), slash != NULL ? slash : "");
	*type = type_of(colon[1]);
	return colon[2] == ' ' ? colon + 3 : colon + 2;
}

int
call_arg(const char *name, const char *arg, enum arg_type *type)
{
	const struct call *c = call_find(name);
	const char *s;
	char names[2][24];

	if (c == NULL) {
		*type = ARG_WORD;
		if (strncmp(arg, "arg", 3) != 0 || arg[3] < '0' || arg[3] > '5' || arg[4] != '\0')
			return -1;
		return arg[3] - '0';
	}
	s = c->args;
	for (int i = 0; *s != '\0'; i++) {
		s = arg_split(s, names, type);
		if (strcmp(names[0], arg) == 0 || (names[1][0] != '\0' && strcmp(names[1], arg) == 0))
			return i;
	}
	return -1;
}

const char *
call_arg_name(const char *name, unsigned int i, enum arg_type *type)
{
	static const char *const plain[] = {"arg0", "arg1", "arg2", "arg3", "arg4", "arg5"};
	static char names[2][24];
	const struct call *c = call_find(name);
	const char *s;

	if (c == NULL) {
		*type = ARG_WORD;
		return i < 6 ? plain[i] : NULL;
	}
	s = c->args;
	for (unsigned int k = 0; *s != '\0'; k++) {
		s = arg_split(s, names, type);
		if (k == i)
			return names[0];
	}
	*type = ARG_NONE;
	return NULL;
}

void
call_args_text(const char *name, char *dst, size_t cap)
{
	enum arg_type type;
	const char *arg;
	size_t len = 0;

	dst[0] = '\0';
	for (unsigned int i = 0; (arg = call_arg_name(name, i, &type)) != NULL; i++) {
		int n = snprintf(dst + len, cap - len, "%s%s", i > 0 ? ", " : "", arg);

		if (n < 0 || (size_t)n >= cap - len)
			return;
		len += (size_t)n;
	}
}

const char *
call_nearest(const char *name)
{
	const char *best = NULL;
	unsigned int dist = UINT_MAX;

	for (size_t i = 0; i < NCALLS; i++)
		best = word_nearer(best, calls[i].name, name, &dist);
	return best;
}

char
call_fd_right(const char *name)
{
	static const char *const in[] = {"read", "readv", "pread64", "recvmsg", "recvfrom",
	    "recvmmsg"};
	static const char *const out[] = {"write", "writev", "pwrite64", "sendmsg", "sendto",
	    "sendmmsg"};

	for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++) {
		if (strcmp(in[i], name) == 0)
			return 'r';
		if (strcmp(out[i], name) == 0)
			return 'w';
	}
	return 0;
}
