/*
 * For the tests of src/confine: bodies run in a child of their own, as root or as
 * an ordinary user, with obstacles that stand for other kernels and other
 * people's sandboxes; the inmate (confine_inmate.c) is what gets confined.
 *
 * In a body use CHECK, not cmocka's asserts: it ends the child.  A body that
 * comes to its end also has to leave no child and no descriptor behind.
 */
#ifndef TESTS_CONFINE_HELP_H
#define TESTS_CONFINE_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine/confine.h"

#define USER 65500     /* the ordinary user; needs no passwd entry */
#define INMATE_UID 65498
#define INMATE_GID 65499

#define CHECK(x)                                                                  \
	do {                                                                      \
		if (!(x)) {                                                       \
			fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #x, errno); \
			_exit(1);                                                 \
		}                                                                 \
	} while (0)
#define CHECK_INT(a, b)                                                           \
	do {                                                                      \
		long a_ = (long)(a), b_ = (long)(b);                              \
		if (a_ != b_) {                                                   \
			fprintf(stderr, "%s:%d: %s is %ld, not %ld\n", __FILE__, __LINE__, #a, a_, b_); \
			_exit(1);                                                 \
		}                                                                 \
	} while (0)
#define CHECK_HAS(text, part)                                                     \
	do {                                                                      \
		if (strstr(text, part) == NULL) {                                 \
			fprintf(stderr, "%s:%d: \"%s\" lacks \"%s\"\n", __FILE__, __LINE__, text, part); \
			_exit(1);                                                 \
		}                                                                 \
	} while (0)

static char inmate_path[64];

/* ---- bodies ------------------------------------------------------------------ */

static int
count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) != -1;
	return n;
}

static void
become_user(void)
{
	if (geteuid() != 0)
		return;
	CHECK(setgroups(0, NULL) == 0 && setresgid(USER, USER, USER) == 0 &&
	    setresuid(USER, USER, USER) == 0);
	CHECK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
}

static void
run_body(bool user, void (*body)(void))
{
	int status;
	pid_t pid;

	if (!user && geteuid() != 0) {
		print_message("needs root\n");
		skip();
	}
	fflush(NULL);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		int fds;

		/* cmocka's handlers would go on with the other tests, here. */
		for (int s = 1; s < NSIG; s++)
			signal(s, SIG_DFL);
		if (user)
			become_user();
		alarm(60);
		fds = count_fds();
		body();
		CHECK_INT(waitpid(-1, NULL, 0), -1);
		CHECK_INT(errno, ECHILD);
		CHECK_INT(count_fds(), fds);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* BODY(name) defines test functions name_root and name_user for body name. */
#define BODY(name)                                                                \
	static void name(void);                                                   \
	static void __attribute__((unused)) name##_root(void **state)             \
	{                                                                         \
		(void)state;                                                      \
		run_body(false, name);                                            \
	}                                                                         \
	static void __attribute__((unused)) name##_user(void **state)             \
	{                                                                         \
		(void)state;                                                      \
		run_body(true, name);                                             \
	}                                                                         \
	static void name(void)

/* ---- obstacles ----------------------------------------------------------------- */

static void
install(const struct sock_filter *insn, size_t n)
{
	struct sock_fprog prog = {.len = (unsigned short)n,
	    .filter = (struct sock_filter *)(uintptr_t)insn};

	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) == 0);
}

#define ARG_LOW(i) ((unsigned int)(offsetof(struct seccomp_data, args) + 8 * (i)))

/* From now on the call gets this answer (SECCOMP_RET_...) here and in all children
 * if argument `arg` has one of `bits` set; bits 0: always. */
static void __attribute__((unused))
obstruct_if(int nr, unsigned int arg, uint32_t bits, uint32_t answer)
{
	const struct sock_filter insn[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 0, bits != 0 ? 2 : 1),
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARG_LOW(arg)),
	    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 1, 0),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	    BPF_STMT(BPF_RET | BPF_K, answer),
	};
	const struct sock_filter always[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 1, 0),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	    BPF_STMT(BPF_RET | BPF_K, answer),
	};

	if (bits != 0)
		install(insn, sizeof(insn) / sizeof(insn[0]));
	else
		install(always, sizeof(always) / sizeof(always[0]));
}

static void __attribute__((unused))
obstruct(int nr, int err)
{
	obstruct_if(nr, 0, 0, SECCOMP_RET_ERRNO | (uint32_t)err);
}

/* ---- the inmate ---------------------------------------------------------------- */

struct inmate {
	pid_t pid;
	int out, in; /* our ends */
	char text[8192];
	struct layer_report rep;
	struct diag d;
	char why[1200]; /* d as text */
};

static int __attribute__((unused))
build_inmate(void **state)
{
	char command[400];
	const char *cc = getenv("CC");

	(void)state;
	snprintf(inmate_path, sizeof(inmate_path), "/tmp/inmate.%d", (int)getpid());
	snprintf(command, sizeof(command), "%s -O1 -static-pie -o %s tests/lib/confine_inmate.c",
	    cc != NULL ? cc : "cc", inmate_path);
	return system(command) == 0 && chmod(inmate_path, 0755) == 0 ? 0 : -1;
}

static int __attribute__((unused))
remove_inmate(void **state)
{
	(void)state;
	return unlink(inmate_path);
}

/* Everything required, an empty root, one limit of each kind. */
static void __attribute__((unused))
full_policy(struct policy *p)
{
	memset(p, 0, sizeof(*p));
	for (int i = 0; i < PNS__MAX; i++)
		p->ns[i] = NEED_REQUIRED;
	p->ns[PNS_USER] = NEED_OPTIONAL;
	p->nesting = NEED_OPTIONAL;
	p->oom_need = NEED_REQUIRED;
	p->oom_score = 123;
	p->groups_none = true;
	p->caps_need = p->root_need = NEED_REQUIRED;
	p->root = PROOT_EMPTY;
	p->nlimits = 4;
	strcpy(p->limits[0].name, "nproc");
	strcpy(p->limits[1].name, "nofile");
	p->limits[1].value = 12;
	strcpy(p->limits[2].name, "fsize");
	strcpy(p->limits[3].name, "core");
}

static void __attribute__((unused))
request(struct confine_req *r, const struct policy *p)
{
	bool root = geteuid() == 0;

	memset(r, 0, sizeof(*r));
	r->policy = p;
	r->name = "inmate";
	r->uid = root ? INMATE_UID : (uid_t)-1;
	r->gid = root ? INMATE_GID : (gid_t)-1;
	r->image_fd = confine_seal_image(inmate_path, "inmate");
	CHECK(r->image_fd != -1);
}

/* Start with argv { "inmate", a, b }; -1 as confine_spawn. */
static int __attribute__((unused))
inmate_start(struct inmate *m, struct confine_req *r, const char *a, const char *b)
{
	char name[] = "inmate";
	char *argv[] = {name, (char *)(uintptr_t)a, (char *)(uintptr_t)b, NULL};
	int out[2], in[2], rv;

	memset(m, 0, sizeof(*m));
	CHECK(pipe2(out, O_CLOEXEC) == 0 && pipe2(in, O_CLOEXEC) == 0);
	r->argv = argv;
	r->fds[0] = (struct confine_fd){.from = out[1], .to = 3};
	r->fds[1] = (struct confine_fd){.from = in[0], .to = 4};
	r->nfds = 2;
	rv = confine_spawn(r, SIGKILL, &m->pid, &m->rep, &m->d);
	close(out[1]);
	close(in[0]);
	diag_format(&m->d, m->why, sizeof(m->why));
	m->out = out[0];
	m->in = in[1];
	if (rv == 0)
		return 0;
	CHECK_INT(m->pid, -1);
	close(m->out);
	close(m->in);
	return -1;
}

/* The start has to succeed. */
#define START(m, r, a, b)                                                         \
	do {                                                                      \
		if (inmate_start(m, r, a, b) == -1)                               \
			CHECK_HAS((m)->why, "no error at all");                   \
	} while (0)

/* Until its "end"; then it waits. */
static void __attribute__((unused))
inmate_listen(struct inmate *m)
{
	size_t len = 0;
	ssize_t n;

	while (strstr(m->text, "\nend 0") == NULL &&
	    (n = read(m->out, m->text + len, sizeof(m->text) - 1 - len)) > 0)
		len += (size_t)n;
	CHECK_HAS(m->text, "\nend 0");
}

static long __attribute__((unused))
said(const struct inmate *m, const char *key)
{
	char line[80];
	const char *at;

	snprintf(line, sizeof(line), "\n%s ", key);
	at = strncmp(m->text, line + 1, strlen(line + 1)) == 0 ? m->text - 1
							       : strstr(m->text, line);
	if (at == NULL) {
		fprintf(stderr, "the inmate did not say %s: %s\n", key, m->text);
		_exit(1);
	}
	return strtol(at + strlen(line), NULL, 10);
}

/* Its wait status. */
static int __attribute__((unused))
inmate_end(struct inmate *m)
{
	int status = -1;

	close(m->in);
	CHECK_INT(waitpid(m->pid, &status, 0), m->pid);
	close(m->out);
	return status;
}

/* A line of /proc/PID/status, without the key. */
static void __attribute__((unused))
status_of(pid_t pid, const char *key, char *dst, size_t cap)
{
	char path[48], line[512];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	CHECK((f = fopen(path, "re")) != NULL);
	dst[0] = '\0';
	while (fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, key, strlen(key)) == 0 && line[strlen(key)] == ':')
			snprintf(dst, cap, "%s", line + strlen(key) + 1 +
				strspn(line + strlen(key) + 1, " \t"));
	fclose(f);
	dst[strcspn(dst, "\n")] = '\0';
	while (dst[0] != '\0' && dst[strlen(dst) - 1] == ' ')
		dst[strlen(dst) - 1] = '\0';
}

#endif
