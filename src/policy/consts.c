#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/random.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>

#include "common/log.h"
#include "common/str.h"
#include "policy/internal.h"

/* Numbers of the kernel's interface that older headers lack. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_GET_MDWE 66
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#define MFD_EXEC 16U
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define C(x) {#x, (int64_t)(x)}

/* Only constants that have one value on x86_64 and aarch64 (so no O_DIRECTORY,
 * O_NOFOLLOW, O_DIRECT, O_LARGEFILE). */
static const struct {
	const char *name;
	int64_t value;
} consts[] = {
    {"NULL", 0}, C(INT_MAX), {"UINT_MAX", (int64_t)UINT_MAX},
    /* memory */
    C(PROT_NONE), C(PROT_READ), C(PROT_WRITE), C(PROT_EXEC), C(MAP_SHARED), C(MAP_PRIVATE),
    C(MAP_FIXED), C(MAP_FIXED_NOREPLACE), C(MAP_ANONYMOUS), C(MAP_NORESERVE), C(MAP_POPULATE),
    C(MAP_STACK), C(MAP_GROWSDOWN), C(MAP_HUGETLB), C(MADV_NORMAL), C(MADV_DONTNEED), C(MADV_FREE),
    C(MADV_DONTFORK), C(MADV_DONTDUMP), C(MADV_DODUMP), C(MADV_WIPEONFORK), C(MADV_POPULATE_READ),
    C(MADV_POPULATE_WRITE), C(MADV_HUGEPAGE), C(MADV_NOHUGEPAGE), C(MADV_UNMERGEABLE),
    C(MREMAP_MAYMOVE), C(MFD_CLOEXEC), C(MFD_ALLOW_SEALING), C(MFD_NOEXEC_SEAL), C(MFD_EXEC),
    /* processes */
    C(CLONE_VM), C(CLONE_FS), C(CLONE_FILES), C(CLONE_SIGHAND), C(CLONE_PIDFD), C(CLONE_PTRACE),
    C(CLONE_VFORK), C(CLONE_PARENT), C(CLONE_THREAD), C(CLONE_NEWNS), C(CLONE_NEWCGROUP),
    C(CLONE_NEWUTS), C(CLONE_NEWIPC), C(CLONE_NEWUSER), C(CLONE_NEWPID), C(CLONE_NEWNET),
    C(CLONE_SETTLS), C(CLONE_PARENT_SETTID), C(CLONE_CHILD_CLEARTID), C(CLONE_CHILD_SETTID),
    C(SIGHUP), C(SIGINT), C(SIGQUIT), C(SIGILL), C(SIGTRAP), C(SIGABRT), C(SIGBUS), C(SIGFPE),
    C(SIGKILL), C(SIGUSR1), C(SIGSEGV), C(SIGUSR2), C(SIGPIPE), C(SIGALRM), C(SIGTERM), C(SIGCHLD),
    C(SIGCONT), C(SIGSTOP), C(SIGSYS), C(SIG_BLOCK), C(SIG_UNBLOCK), C(SIG_SETMASK),
    C(P_ALL), C(P_PID), C(P_PGID), C(P_PIDFD), C(WNOHANG), C(WEXITED), C(WNOWAIT), C(WUNTRACED),
    C(RLIMIT_CPU), C(RLIMIT_FSIZE), C(RLIMIT_DATA), C(RLIMIT_STACK), C(RLIMIT_CORE),
    C(RLIMIT_NPROC), C(RLIMIT_NOFILE), C(RLIMIT_MEMLOCK), C(RLIMIT_AS), C(RLIMIT_MSGQUEUE),
    C(PR_SET_PDEATHSIG), C(PR_GET_DUMPABLE), C(PR_SET_DUMPABLE), C(PR_SET_NAME), C(PR_GET_NAME),
    C(PR_GET_SECCOMP), C(PR_SET_SECCOMP), C(PR_CAPBSET_READ), C(PR_CAPBSET_DROP),
    C(PR_GET_SECUREBITS), C(PR_SET_SECUREBITS), C(PR_SET_NO_NEW_PRIVS), C(PR_GET_NO_NEW_PRIVS),
    C(PR_CAP_AMBIENT), C(PR_SET_MDWE), C(PR_GET_MDWE), C(PR_SET_VMA), C(PR_SET_SPECULATION_CTRL),
    C(PR_GET_SPECULATION_CTRL), C(PR_SET_CHILD_SUBREAPER), {"ARCH_SET_FS", 0x1002},
    {"ARCH_GET_FS", 0x1003}, {"ARCH_CET_STATUS", 0x3001}, {"ARCH_SHSTK_STATUS", 0x5005},
    C(FUTEX_WAIT), C(FUTEX_WAKE), C(FUTEX_PRIVATE_FLAG), C(FUTEX_CLOCK_REALTIME),
    C(FUTEX_WAIT_BITSET), C(CLOCK_REALTIME), C(CLOCK_MONOTONIC), C(CLOCK_BOOTTIME),
    C(CLOCK_PROCESS_CPUTIME_ID),
    {"SET_MODE_STRICT", SECCOMP_SET_MODE_STRICT}, {"SET_MODE_FILTER", SECCOMP_SET_MODE_FILTER},
    {"GET_ACTION_AVAIL", SECCOMP_GET_ACTION_AVAIL}, C(SECCOMP_SET_MODE_FILTER),
    C(SECCOMP_FILTER_FLAG_LOG), C(SECCOMP_FILTER_FLAG_TSYNC),
    {"LANDLOCK_CREATE_RULESET_VERSION", 1}, {"LANDLOCK_CREATE_RULESET_ERRATA", 2},
    {"LANDLOCK_RULE_PATH_BENEATH", 1}, {"LANDLOCK_RULE_NET_PORT", 2},
    /* files and descriptors */
    C(AT_FDCWD), C(AT_EMPTY_PATH), C(AT_SYMLINK_NOFOLLOW), C(AT_REMOVEDIR), C(O_RDONLY),
    C(O_WRONLY), C(O_RDWR), C(O_ACCMODE), C(O_CREAT), C(O_EXCL), C(O_TRUNC), C(O_APPEND),
    C(O_NONBLOCK), C(O_CLOEXEC), C(O_NOCTTY), C(O_PATH), C(F_DUPFD), C(F_DUPFD_CLOEXEC),
    C(F_GETFD), C(F_SETFD), C(F_GETFL), C(F_SETFL), C(F_ADD_SEALS), C(F_GET_SEALS),
    C(FD_CLOEXEC), C(CLOSE_RANGE_CLOEXEC), C(MS_RDONLY), C(MS_NOSUID), C(MS_NODEV), C(MS_NOEXEC),
    C(MS_REMOUNT), C(MS_BIND), C(MS_REC), C(MS_PRIVATE), C(MS_SLAVE), C(MNT_DETACH),
    C(EPOLL_CLOEXEC), C(EPOLL_CTL_ADD), C(EPOLL_CTL_MOD), C(EPOLL_CTL_DEL), C(EFD_CLOEXEC),
    C(EFD_NONBLOCK), C(TFD_CLOEXEC), C(TFD_NONBLOCK), C(TFD_TIMER_ABSTIME), C(GRND_NONBLOCK),
    C(GRND_RANDOM),
    {"GRND_INSECURE", 4},
    /* sockets */
    C(AF_UNSPEC), C(AF_UNIX), C(AF_INET), C(AF_INET6), C(AF_NETLINK), C(SOCK_STREAM),
    C(SOCK_DGRAM), C(SOCK_SEQPACKET), C(SOCK_CLOEXEC), C(SOCK_NONBLOCK), C(SOL_SOCKET),
    C(SO_ERROR), C(SO_TYPE), C(SO_DOMAIN), C(SO_PROTOCOL), C(SO_KEEPALIVE), C(SO_REUSEADDR),
    C(SO_REUSEPORT), C(SO_LINGER), C(SO_SNDBUF), C(SO_RCVBUF), C(SO_PEERCRED), C(SO_ACCEPTCONN),
    C(SO_INCOMING_CPU), C(SO_PEERPIDFD), C(IPPROTO_IP), C(IPPROTO_TCP), C(IPPROTO_UDP),
    C(IPPROTO_IPV6), C(IPV6_V6ONLY), C(TCP_NODELAY), C(TCP_KEEPIDLE), C(TCP_KEEPINTVL),
    C(TCP_KEEPCNT), C(TCP_USER_TIMEOUT), C(TCP_DEFER_ACCEPT), C(TCP_QUICKACK), C(TCP_CORK),
    C(MSG_PEEK), C(MSG_DONTWAIT), C(MSG_NOSIGNAL), C(MSG_CMSG_CLOEXEC), C(MSG_TRUNC),
    C(MSG_WAITALL), C(SHUT_RD), C(SHUT_WR), C(SHUT_RDWR),
    C(FIONREAD), C(FIONBIO), C(FIOCLEX), C(TCGETS),
};

#define NCONSTS (sizeof(consts) / sizeof(consts[0]))

bool
const_find(const char *name, int64_t *value)
{
	for (size_t i = 0; i < NCONSTS; i++) {
		if (strcmp(consts[i].name, name) == 0) {
			*value = consts[i].value;
			return true;
		}
	}
	return false;
}

const char *
const_nearest(const char *name)
{
	const char *best = NULL;
	unsigned int dist = UINT_MAX;

	for (size_t i = 0; i < NCONSTS; i++)
		best = word_nearer(best, consts[i].name, name, &dist);
	return best;
}

int
const_errno(const char *name)
{
	uint64_t n;

	if (str_to_u64(name, 4095, &n))
		return (int)n;
	for (int i = 1; i < 134; i++)
		if (strcmp(errno_name(i), name) == 0)
			return i;
	return -1;
}
