/*
 * The program that tests of src/confine put behind walls: says on FD_OUT what it
 * sees from inside, tries what argv asks for, then waits for the end of FD_IN so
 * that it can be looked at from outside.  Static; needs no file.
 *
 * Lines are "KEY VALUE".  Exit status 7, so that it can be told from others.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define FD_OUT 3
#define FD_IN 4

static void
say(const char *key, long value)
{
	dprintf(FD_OUT, "%s %ld\n", key, value);
}

/* 0 or the errno */
static long
outcome(long rv)
{
	return rv == -1 ? errno : 0;
}

static void
say_who(void)
{
	uid_t u[3];
	gid_t g[3];

	getresuid(&u[0], &u[1], &u[2]);
	getresgid(&g[0], &g[1], &g[2]);
	say("uid", u[0] == u[1] && u[1] == u[2] ? (long)u[0] : -1);
	say("gid", g[0] == g[1] && g[1] == g[2] ? (long)g[0] : -1);
	say("groups", getgroups(0, NULL));
	say("pid", getpid());
	say("ppid", getppid());
}

static void
say_caps(void)
{
	struct { unsigned int version; int pid; } h = {0x20080522, 0};
	struct { unsigned int e, p, i; } d[2] = {0};
	int bounding = 0, ambient = 0;

	syscall(SYS_capget, &h, d);
	for (int c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++) {
		bounding += prctl(PR_CAPBSET_READ, c, 0, 0, 0);
		ambient += prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, c, 0, 0);
	}
	say("effective", d[0].e | (long)d[1].e << 32);
	say("permitted", d[0].p | (long)d[1].p << 32);
	say("inheritable", d[0].i | (long)d[1].i << 32);
	say("bounding", bounding);
	say("ambient", ambient);
	say("securebits", prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
	say("nnp", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
}

static void
say_root(void)
{
	struct statvfs v;
	DIR *d = opendir("/");
	int n = 0;

	statvfs("/", &v);
	say("readonly", (v.f_flag & ST_RDONLY) != 0);
	say("noexec", (v.f_flag & ST_NOEXEC) != 0);
	say("nodev", (v.f_flag & ST_NODEV) != 0);
	say("nosuid", (v.f_flag & ST_NOSUID) != 0);
	say("mkdir", outcome(mkdir("/x", 0700)));
	say("create", outcome(open("/y", O_CREAT | O_WRONLY, 0600)));
	say("up", outcome(access("/../../../etc/passwd", F_OK)));
	while (d != NULL && readdir(d) != NULL)
		n++;
	say("entries", d != NULL ? n : -1);
	if (d != NULL)
		closedir(d);
	say("umask", umask(077));
}

static void
say_fds(void)
{
	dprintf(FD_OUT, "fds");
	for (int fd = 0; fd < 4096; fd++)
		if (fcntl(fd, F_GETFD) != -1)
			dprintf(FD_OUT, "_%d", fd);
	dprintf(FD_OUT, " 0\n");
}

/* What a launcher does with its own score: up for a fork, and back. */
static void
say_score(int fd)
{
	char text[16] = "";
	long was = pread(fd, text, sizeof(text) - 1, 0) > 0 ? atol(text) : -1;

	if (write(fd, "77", 2) != 2)
		return;
	pread(fd, text, sizeof(text) - 1, 0);
	say("scored", atol(text));
	dprintf(fd, "%ld", was);
	say("score", pread(fd, text, sizeof(text) - 1, 0) > 0 ? atol(text) : -1);
}

static void
say_limit(const char *key, int resource)
{
	struct rlimit l;

	getrlimit(resource, &l);
	say(key, l.rlim_cur == l.rlim_max ? (long)l.rlim_cur : -2);
}

static void
say_signals(void)
{
	struct sigaction sa;
	int handled = 0;
	sigset_t now;

	for (int s = 1; s < NSIG; s++)
		if (sigaction(s, NULL, &sa) == 0 && sa.sa_handler != SIG_DFL && s != SIGPIPE)
			handled++;
	sigaction(SIGPIPE, NULL, &sa);
	sigprocmask(SIG_BLOCK, NULL, &now);
	say("sigpipe", sa.sa_handler == SIG_IGN);
	say("handled", handled);
	say("blocked", sigismember(&now, SIGUSR1) + sigismember(&now, SIGCHLD));
	int pdeathsig = 0;
	prctl(PR_GET_PDEATHSIG, &pdeathsig, 0, 0, 0);
	say("pdeathsig", pdeathsig);
	say("dumpable", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
}

static void
say_net(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(9),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int s = socket(AF_INET, SOCK_DGRAM, 0);

	say("net", outcome(connect(s, (struct sockaddr *)&a, sizeof(a))));
	close(s);
}

/* Last: it may be another user namespace afterwards. */
static void
say_nesting(void)
{
	say("watch", outcome(inotify_init1(IN_CLOEXEC)));
	say("nested", outcome(unshare(CLONE_NEWUSER)));
}

static void
say_connect(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM, 0);

	strncpy(a.sun_path, path, sizeof(a.sun_path) - 1);
	say("connect", outcome(connect(s, (struct sockaddr *)&a, sizeof(a))));
	close(s);
	s = socket(AF_UNIX, SOCK_STREAM, 0);
	strncpy(a.sun_path, "/new", sizeof(a.sun_path) - 1);
	say("bind", outcome(bind(s, (struct sockaddr *)&a, sizeof(a))));
	close(s);
	say("unlink", outcome(unlink(path)));
}

int
main(int argc, char **argv)
{
	char c;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "quit") == 0)
			return 7;
		if (strcmp(argv[i], "crash") == 0)
			raise(SIGSEGV);
		if (strncmp(argv[i], "connect=", 8) == 0)
			say_connect(argv[i] + 8);
		if (strcmp(argv[i], "wx") == 0)
			say("wx", outcome((long)mmap(NULL, 4096, PROT_WRITE | PROT_EXEC,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
		if (strcmp(argv[i], "all") == 0) {
			say_fds(); /* first: the others open some */
			say_score(5);
			say_who();
			say_caps();
			say_root();
			say_signals();
			say_net();
			say_limit("nofile", RLIMIT_NOFILE);
			say_limit("nproc", RLIMIT_NPROC);
			say_limit("fsize", RLIMIT_FSIZE);
			say_limit("core", RLIMIT_CORE);
			say_limit("as", RLIMIT_AS);
			say_nesting();
		}
	}
	dprintf(FD_OUT, "argv0 0 %s\nend 0\n", argv[0]);
	while (read(FD_IN, &c, 1) == -1 && errno == EINTR)
		;
	return 7;
}
