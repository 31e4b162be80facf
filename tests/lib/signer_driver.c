#include "signer_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ipc/fds.h"
#include "ipc/filters.h"
#include "policy/policy.h"

static struct policy_set policies;
static bool loaded;

const char *
signer_available(void)
{
	static struct diag d;
	static char text[1200];

	if (access(SIGNER_IMAGE, X_OK) == -1)
		return "no " SIGNER_IMAGE ": run make first";
	if (!loaded && policy_set_load(&policies, "policy", NULL, false, &d) == -1) {
		diag_format(&d, text, sizeof(text));
		return text;
	}
	loaded = true;
	return NULL;
}

static int
sealed(const void *p, size_t len)
{
	int fd = memfd_create("settings", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd == -1 || write(fd, p, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET) == -1 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == -1)
		return -1;
	return fd;
}

static int
settings_fd(const struct signer_options *o)
{
	struct keys_settings k = {.nkeys = (uint16_t)o->nkeys,
	    .sign_limit = o->sign_limit != 0 ? o->sign_limit : 1,
	    .sign_rate = o->sign_rate,
	    .arena_bytes = o->arena_bytes != 0 ? o->arena_bytes : 4u << 20,
	    .session_lifetime_ms = o->session_lifetime_ms,
	    .memory = NEED_OPTIONAL,
	    .plan = {.landlock = NEED_OPTIONAL, .mdwe = NEED_OPTIONAL,
		.seccomp = o->no_filter ? NEED_OFF : NEED_REQUIRED}};
	static uint8_t buf[4096];
	struct wr w = {.p = buf, .cap = sizeof(buf)};

	keys_settings_pack(&w, &k);
	return w.bad ? -1 : sealed(buf, w.len);
}

static int
filters_fd(void)
{
	struct sock_fprog prog[FILTER__MAX] = {0};
	const struct policy_bpf *b = &policies.whole[POL_KEY_SIGNER];

	prog[FILTER_SELF] = (struct sock_fprog){.len = (unsigned short)b->n, .filter = b->insn};
	return filters_make(prog);
}

static void
install(const struct sock_filter *insn, size_t n)
{
	struct sock_fprog p = {.len = (unsigned short)n,
	    .filter = (struct sock_filter *)(uintptr_t)insn};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &p) == -1)
		_exit(99);
}

static void
refuse_memfd_secret(void)
{
	static const struct sock_filter f[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 447 /* memfd_secret */, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};

	install(f, sizeof(f) / sizeof(f[0]));
}

struct exec_fds {
	int log, control, settings, filters, image;
};

static void __attribute__((noreturn))
child(const struct signer_options *o, const struct exec_fds *f)
{
	static const int want[] = {FD_LOG, FD_CONTROL, FD_SETTINGS, FD_FILTERS, FD_IMAGE};
	int have[] = {f->log, f->control, f->settings, f->filters, f->image};
	static char name[] = "gatehouse-keys";
	char *argv[] = {name, NULL}, *envp[] = {NULL};
	struct rlimit rl = {o->nofile, o->nofile};

	for (int i = 0; i < 5; i++)
		have[i] = fcntl(have[i], F_DUPFD, 32);
	for (int i = 0; i < 5; i++)
		if (have[i] == -1 || dup2(have[i], want[i]) == -1)
			_exit(98);
	close_range(3, FD_CONTROL - 1, 0);
	close_range(FD_IMAGE + 1, ~0u, 0);
	close_range(0, 1, 0);
	if (o->nofile != 0 && setrlimit(RLIMIT_NOFILE, &rl) == -1)
		_exit(97);
	if (o->no_memfd_secret)
		refuse_memfd_secret();
	if (!o->no_filter)
		install(policies.whole[POL_START].insn, policies.whole[POL_START].n);
	syscall(SYS_execveat, FD_IMAGE, "", argv, envp, AT_EMPTY_PATH);
	_exit(96);
}

static int
spawn(struct signer *s, const struct signer_options *o)
{
	struct exec_fds f = {.settings = settings_fd(o), .filters = filters_fd(),
	    .image = open(o->image != NULL ? o->image : SIGNER_IMAGE, O_RDONLY | O_CLOEXEC)};
	int pair[2], log[2];

	if (f.settings == -1 || f.filters == -1 || f.image == -1 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == -1 ||
	    pipe2(log, O_CLOEXEC | O_NONBLOCK) == -1)
		return -1;
	f.control = pair[1];
	f.log = log[1];
	s->control = pair[0];
	s->log = log[0];
	s->pid = fork();
	if (s->pid == 0)
		child(o, &f);
	close(f.settings);
	close(f.filters);
	close(f.image);
	close(f.control);
	close(f.log);
	return s->pid == -1 ? -1 : 0;
}

bool
signer_wait(int fd, unsigned int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, (int)ms) == 1;
}

static int
next(int fd, enum role me, struct msgin *m, unsigned int ms)
{
	static uint8_t buf[MSG_MAX];

	return signer_wait(fd, ms) && msg_recv(fd, me, R_KEYS, m, buf) == 1 ? 0 : -1;
}

static int
send_keys(struct signer *s, const struct signer_options *o)
{
	for (unsigned int i = 0; i < o->nkeys; i++) {
		struct msgout m;
		int fd = sealed(o->keys[i].data, o->keys[i].len), rv;

		if (fd == -1)
			return -1;
		lseek(fd, 0, SEEK_END); /* where another reader may have left it */
		msg_begin(&m, MSG_KEY, i);
		wr_str(&m.w, "key of the test");
		wr_str(&m.w, o->keys[i].password);
		msg_add_fd(&m, fd);
		rv = msg_send(s->control, &m);
		close(fd);
		if (rv == -1)
			return -1;
	}
	return 0;
}

static int
key_info(struct signer *s)
{
	struct signer_answer *a;
	const uint8_t *p;
	struct msgin m;

	if (next(s->control, R_SUPERVISOR, &m, 20000) == -1 || m.type != MSG_KEY_INFO ||
	    m.id >= SIGNER_KEYS_MAX)
		return -1;
	a = &s->answers[m.id];
	a->status = rd_u8(&m.r);
	rd_str(&m.r, a->type, sizeof(a->type));
	p = rd_block(&m.r, sizeof(a->spki), &a->spki_len);
	memcpy(a->spki, p, a->spki_len);
	rd_str(&m.r, a->error, sizeof(a->error));
	s->nanswers++;
	return msg_end(&m) ? 0 : -1;
}

int
signer_peer(struct signer *s, enum role role)
{
	int *mine = role == R_LAUNCHER ? &s->launcher : &s->auth, pair[2];
	struct hello h;
	struct msgout m;
	struct msgin in;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == -1)
		return -1;
	msg_begin(&m, MSG_PEER, 0);
	wr_u8(&m.w, (uint8_t)role);
	msg_add_fd(&m, pair[1]);
	if (msg_send(s->control, &m) == -1)
		return -1;
	close(pair[1]);
	if (*mine != -1)
		close(*mine);
	*mine = pair[0];
	hello_put(&m, role, NULL, 0);
	if (msg_write(*mine, &m) == -1 || next(*mine, role, &in, 20000) == -1)
		return -1;
	return hello_get(&in, R_KEYS, &h) ? 0 : -1;
}

int
signer_start(struct signer *s, const struct signer_options *o)
{
	struct msgout m;
	struct msgin in;

	*s = (struct signer){.control = -1, .launcher = -1, .auth = -1, .log = -1, .next_conn = 100};
	signal(SIGPIPE, SIG_IGN);
	if (spawn(s, o) == -1 || next(s->control, R_SUPERVISOR, &in, 20000) == -1 ||
	    !hello_get(&in, R_KEYS, &s->hello)) {
		fprintf(stderr, "signer: no hello (if it is of another build, run make)\n");
		return -1;
	}
	hello_put(&m, R_SUPERVISOR, NULL, 0);
	if (msg_write(s->control, &m) == -1 || send_keys(s, o) == -1)
		return -1;
	for (unsigned int i = 0; i < o->nkeys; i++) {
		if (key_info(s) == -1) {
			fprintf(stderr, "signer: no answer about key %u\n", i);
			return -1;
		}
	}
	if (signer_peer(s, R_LAUNCHER) == -1 || signer_peer(s, R_AUTH) == -1) {
		fprintf(stderr, "signer: no hello on a peer pair\n");
		return -1;
	}
	return 0;
}

int
signer_conn(struct signer *s, uint32_t *id)
{
	return signer_conn_from(s, SERVICE_IMAP, 1, id);
}

int
signer_conn_from(struct signer *s, enum service service, uint8_t host, uint32_t *id)
{
	struct conn_info info = {.service = service, .flags = CONN_TLS_IMPLICIT,
	    .session = "AAAAAAAAAAAAAAAA",
	    .remote = {.family = AF_INET, .port = 1, .ip = {192, 0, 2, host}},
	    .local = {.family = AF_INET, .port = 993, .ip = {192, 0, 2, 2}}};
	struct msgout m;
	int pair[2], rv;

	info.id = s->next_conn++;
	if (id != NULL)
		*id = info.id;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == -1)
		return -1;
	msg_begin(&m, MSG_CONN_OPEN, info.id);
	conn_put(&m.w, &info);
	msg_add_fd(&m, pair[1]);
	while ((rv = msg_send(s->launcher, &m)) == -1 && errno == EAGAIN)
		usleep(1000);
	close(pair[1]);
	if (rv == 0)
		return pair[0];
	close(pair[0]);
	return -1;
}

int
signer_auth_next(struct signer *s, struct msgin *m, unsigned int ms)
{
	return next(s->auth, R_AUTH, m, ms);
}

bool
signer_alive(const struct signer *s)
{
	int status;

	return waitpid(s->pid, &status, WNOHANG) == 0;
}

int
signer_stop(struct signer *s, bool print)
{
	struct msgout m;
	char buf[4096];
	int status;
	ssize_t n;

	msg_begin(&m, MSG_STOP, 0);
	msg_send(s->control, &m);
	if (waitpid(s->pid, &status, 0) == -1)
		status = -1;
	while (print && (n = read(s->log, buf, sizeof(buf))) > 0)
		fwrite(buf, 1, (size_t)n, stderr);
	for (int *fd = (int[]){s->control, s->launcher, s->auth, s->log, -2}; *fd != -2; fd++)
		if (*fd != -1)
			close(*fd);
	return status;
}
