/* SRC: src/tools/[a-z]*.c src/confine/[a-z]*.c src/policy/[a-z]*.c src/config/[a-z]*.c src/common/diag.c src/common/str.c src/common/log.c src/ipc/codec.c src/ipc/blocks.c src/ipc/conn.c src/ipc/logvar.c src/ipc/filters.c src/ipc/rules.c */
/* LIBS: -lcap-ng -lseccomp -lcrypto */
/* `gatehouse confine`, run in a child with its output caught. */
#include "confine_help.h"

#include "supervisor/plan.h"
#include "tools/tools.h"

/* Only the supervisor's own programs lie in its tree. */
void
plan_build_tree(struct config *c)
{
	(void)c;
}

#define HEAD(name, ns, root)                                                      \
	"policy " name " version 1\nabout \"for tests\"\n"                        \
	"identity uid 65498 gid 65499 groups none\ncaps none\nnamespaces " ns "\n" \
	"root " root "\nlimit core 0\n"                                           \
	"fd 0 in any read\nfd 1 out any write\nfd 2 err any write\n"
#define ALL_NS                                                                    \
	"user optional mount required net required pid required ipc required uts optional " \
	"cgroup optional"
#define SOME_NS                                                                   \
	"user required mount off net required pid required ipc off uts off cgroup off"

static const char host[] = HEAD("host", SOME_NS, "host") "landlock off\nmdwe off\nseccomp off\n"
    "oom-score 1000 why \"a test\"\n";

static const char empty[] = HEAD("empty", ALL_NS, "empty read-only")
    "landlock required abi >= 1 allow nothing\nmdwe required\n"
    "fd 3 report any write\nfd 4 wait any read\nfd 10 image memfd read\n"
    "default errno EXDEV\n"
    "allow execveat fd == image flags == AT_EMPTY_PATH why \"start\"\n"
    "allow read why \"the end\"\nallow write why \"report\"\nallow exit_group why \"the end\"\n"
    "allow brk why \"heap\"\nallow arch_prctl why \"start\"\nallow set_tid_address why \"start\"\n"
    "allow set_robust_list why \"start\"\nallow rseq why \"start\"\nallow prlimit64 why \"start\"\n"
    "allow readlink why \"start\"\nallow readlinkat why \"start\"\nallow getrandom why \"start\"\n"
    "allow lseek why \"dprintf\"\nallow mprotect why \"relro\"\nallow mmap why \"what mdwe denies\"\n"
    "budget syscalls 30 unpinned 30\n";

static const char no_exec[] = HEAD("noexec", SOME_NS, "host") "landlock off\nmdwe off\n"
    "default kill-process\nallow exit_group why \"the end\"\nallow read why \"all\"\n"
    "allow write why \"all\"\nbudget syscalls 3 unpinned 3\n";

struct result {
	int status;
	char text[4096]; /* standard output and error, and descriptor 3 */
};

static char dir[] = "/tmp/confine-cmd.XXXXXX";

static int
write_policies(void **state)
{
	static const struct {
		const char *name, *text;
	} files[] = {{"host", host}, {"empty", empty}, {"noexec", no_exec}};

	if (build_inmate(state) == -1 || mkdtemp(dir) == NULL || chmod(dir, 0755) == -1)
		return -1;
	for (size_t i = 0; i < 3; i++) {
		char path[100];
		FILE *f;

		snprintf(path, sizeof(path), "%s/%s.policy", dir, files[i].name);
		if ((f = fopen(path, "w")) == NULL)
			return -1;
		fputs(files[i].text, f);
		fclose(f);
		chmod(path, 0644);
	}
	return 0;
}

static int
remove_policies(void **state)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command) == 0 ? remove_inmate(state) : -1;
}

/* A running `gatehouse confine -d DIR ...`. */
struct command {
	pid_t pid;
	int out;
};

static void
command_start(struct command *c, char *const *args)
{
	char *argv[16] = {(char *)(uintptr_t)"confine", (char *)(uintptr_t)"-d", dir};
	int out[2], argc = 3;

	while (*args != NULL)
		argv[argc++] = *args++;
	CHECK(pipe2(out, O_CLOEXEC) == 0);
	c->pid = fork();
	CHECK(c->pid != -1);
	if (c->pid == 0) {
		/* Out of the way of what follows. */
		int null = fcntl(open("/dev/null", O_RDONLY), F_DUPFD_CLOEXEC, 20);
		int pipe_end = fcntl(out[1], F_DUPFD_CLOEXEC, 20);

		dup2(null, 0);
		dup2(null, 4);
		dup2(pipe_end, 1);
		dup2(pipe_end, 2);
		dup2(pipe_end, 3);
		optind = 0;
		exit(confine_main(argc, argv));
	}
	close(out[1]);
	c->out = out[0];
}

static void
command_end(struct command *c, struct result *res)
{
	size_t len = 0;
	ssize_t n;

	memset(res, 0, sizeof(*res));
	while ((n = read(c->out, res->text + len, sizeof(res->text) - 1 - len)) > 0)
		len += (size_t)n;
	close(c->out);
	CHECK_INT(waitpid(c->pid, &res->status, 0), c->pid);
}

#define RUN(res, ...)                                                             \
	do {                                                                      \
		const char *const list_[] = {__VA_ARGS__, NULL};                  \
		struct command c_;                                                \
		command_start(&c_, (char *const *)(uintptr_t)list_);              \
		command_end(&c_, res);                                            \
	} while (0)

static struct result res;

BODY(by_path)
{
	RUN(&res, "-v", "host", "--", "sh", "-c", "id -u; cat /proc/self/status; echo score:; cat /proc/self/oom_score_adj; exit 9");
	CHECK_INT(res.status, 9 << 8);
	CHECK_HAS(res.text, geteuid() == 0 ? "65498\n" : "65500\n");
	CHECK_HAS(res.text, "CapBnd:\t0000000000000000");
	CHECK_HAS(res.text, "NoNewPrivs:\t1");
	CHECK_HAS(res.text, "net namespace enforced");
	CHECK_HAS(res.text, "score:\n1000\n");
	CHECK_HAS(res.text, "oom score enforced");
	RUN(&res, "host", "true");
	CHECK_INT(res.status, 0);
	CHECK_INT(strlen(res.text), 0);
}

BODY(in_an_empty_root)
{
	RUN(&res, "-v", "empty", inmate_path, "wx");
	CHECK_INT(res.status, 7 << 8);
	CHECK_HAS(res.text, "landlock enforced");
	CHECK_HAS(res.text, "memory-deny-write-execute enforced");
	CHECK_HAS(res.text, "outer seccomp enforced");
	CHECK_HAS(res.text, "wx 13\n");
	CHECK_HAS(res.text, "end 0");
	RUN(&res, "empty", "sh");
	CHECK_INT(res.status, 78 << 8);
	CHECK_HAS(res.text, "not a static program");
}

BODY(mistakes)
{
	RUN(&res, "host");
	CHECK_INT(res.status, 64 << 8);
	RUN(&res, "-o", "user nonsense", "host", "true");
	CHECK_INT(res.status, 64 << 8);
	CHECK_HAS(res.text, "no layer \"nonsense\"");
	CHECK_HAS(res.text, " landlock");
	RUN(&res, "unknown", "true");
	CHECK_INT(res.status, 78 << 8);
	RUN(&res, "host", "no-such-program-anywhere");
	CHECK_INT(res.status, 78 << 8);
	CHECK_HAS(res.text, "No such file");
	RUN(&res, "noexec", "true");
	CHECK_INT(res.status, 71 << 8);
	CHECK_HAS(res.text, "does not allow execve");
}

BODY(missing_layers)
{
	obstruct_if(SYS_unshare, 0, CLONE_NEWNET, SECCOMP_RET_ERRNO | EPERM);
	RUN(&res, "host", "true");
	CHECK_INT(res.status, 71 << 8);
	CHECK_HAS(res.text, "net namespace");
	RUN(&res, "-o", "net", "host", "true");
	CHECK_INT(res.status, 0);
	CHECK_HAS(res.text, "net namespace refused (EPERM)");
	RUN(&res, "-q", "-o", "net", "host", "true");
	CHECK_INT(strlen(res.text), 0);
}

static void
wait_until_ready(struct command *c, char *dst, size_t cap)
{
	size_t len = 0;
	ssize_t n;

	dst[0] = '\0';
	while (strstr(dst, "ready") == NULL && (n = read(c->out, dst + len, cap - 1 - len)) > 0) {
		len += (size_t)n;
		dst[len] = '\0';
	}
	CHECK_HAS(dst, "ready");
}

static void
signalled(const char *script, int sig, int status)
{
	const char *const args[] = {"host", "sh", "-c", script, NULL};
	struct command c;
	char text[200];

	command_start(&c, (char *const *)(uintptr_t)args);
	wait_until_ready(&c, text, sizeof(text));
	CHECK(kill(c.pid, sig) == 0);
	command_end(&c, &res);
	CHECK_INT(res.status, status);
}

BODY(signals)
{
	/* A shell as PID 1, without a handler, with one, ignoring it. */
	signalled("echo ready; exec sleep 50", SIGTERM, SIGTERM);
	signalled("trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done", SIGTERM, 3 << 8);
	signalled("trap '' HUP; echo ready; sleep 0.3; exit 4", SIGHUP, 4 << 8);
	/* The program goes when the command does. */
	signalled("echo ready; exec sleep 50", SIGKILL, SIGKILL);
	RUN(&res, "host", "sh", "-c", "kill -KILL $$; exit 5"); /* PID 1 cannot */
	CHECK_INT(res.status, 5 << 8);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(by_path_root),
	    cmocka_unit_test(by_path_user),
	    cmocka_unit_test(in_an_empty_root_root),
	    cmocka_unit_test(in_an_empty_root_user),
	    cmocka_unit_test(mistakes_root),
	    cmocka_unit_test(mistakes_user),
	    cmocka_unit_test(missing_layers_root),
	    cmocka_unit_test(missing_layers_user),
	    cmocka_unit_test(signals_root),
	    cmocka_unit_test(signals_user),
	};

	return cmocka_run_group_tests(tests, write_policies, remove_policies);
}
