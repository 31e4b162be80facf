/*
 * Load for `make bench`: N logins over implicit TLS, C at a time, each a full TLS
 * 1.3 handshake (X25519), or with "resume" one that resumes the client's session
 * before, the greeting, LOGIN, its OK, LOGOUT.
 * Prints one line: logins, failures, seconds, logins a second, latency in ms from
 * connect() to the tagged OK (median, 99th percentile).
 *
 * usage: login_load ADDRESS PORT USER-PATTERN PASSWORD LOGINS CLIENTS [resume]
 * A %d in the pattern becomes the client's number.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct shared {
	unsigned int next, failed, resumed;
	double latency_ms[];
};

static double
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int
dial(const struct sockaddr_in *to)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) == -1) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Read until a line that begins with want; false at the end of the stream. */
static int
expect(SSL *ssl, const char *want)
{
	char buf[8192];
	size_t n = 0;

	for (;;) {
		int r = SSL_read(ssl, buf + n, (int)(sizeof(buf) - 1 - n));

		if (r <= 0)
			return 0;
		n += (size_t)r;
		buf[n] = '\0';
		if (strncmp(buf, want, strlen(want)) == 0 && strchr(buf, '\n') != NULL)
			return 1;
		for (char *p = buf; (p = strchr(p, '\n')) != NULL; p++)
			if (strncmp(p + 1, want, strlen(want)) == 0 && strchr(p + 1, '\n') != NULL)
				return 1;
		if (n > sizeof(buf) - 1024)
			return 0;
	}
}

/* sess: NULL, or the session to resume and the one to resume next. */
static int
login(SSL_CTX *ctx, const struct sockaddr_in *to, const char *command, SSL_SESSION **sess,
    struct shared *s, double *ms)
{
	double t0 = now_ms();
	int fd = dial(to), good = 0;
	SSL *ssl = fd != -1 ? SSL_new(ctx) : NULL;

	if (ssl != NULL && sess != NULL && *sess != NULL)
		SSL_set_session(ssl, *sess);
	if (ssl != NULL && SSL_set_fd(ssl, fd) == 1 && SSL_connect(ssl) == 1 &&
	    expect(ssl, "* OK") && SSL_write(ssl, command, (int)strlen(command)) > 0 &&
	    expect(ssl, "a OK")) {
		*ms = now_ms() - t0;
		good = SSL_write(ssl, "b LOGOUT\r\n", 10) == 10 && expect(ssl, "b OK");
	}
	if (good && SSL_session_reused(ssl))
		__atomic_fetch_add(&s->resumed, 1, __ATOMIC_RELAXED);
	if (good && sess != NULL) {
		SSL_SESSION_free(*sess);
		*sess = SSL_get1_session(ssl);
		SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* keep it good */
	}
	SSL_free(ssl);
	if (fd != -1)
		close(fd);
	return good;
}

static void
client(struct shared *s, unsigned int total, const struct sockaddr_in *to, const char *user,
    const char *password, int number, int resume)
{
	SSL_SESSION *sess = NULL;
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	char name[200], command[512];
	unsigned int i;

	snprintf(name, sizeof(name), user, number); /* NOLINT: the caller's own pattern */
	snprintf(command, sizeof(command), "a LOGIN %s %s\r\n", name, password);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set1_groups_list(ctx, "X25519");
	while ((i = __atomic_fetch_add(&s->next, 1, __ATOMIC_RELAXED)) < total)
		if (!login(ctx, to, command, resume ? &sess : NULL, s, &s->latency_ms[i])) {
			s->latency_ms[i] = -1;
			__atomic_fetch_add(&s->failed, 1, __ATOMIC_RELAXED);
		}
	_exit(0);
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

int
main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	unsigned int total, clients, good = 0;
	struct shared *s;
	double t0, secs;

	if ((argc != 7 && argc != 8) || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
		fprintf(stderr, "usage: login_load ADDRESS PORT USER PASSWORD LOGINS CLIENTS "
		    "[resume]\n");
		return 64;
	}
	to.sin_port = htons((uint16_t)atoi(argv[2]));
	total = (unsigned int)atoi(argv[5]);
	clients = (unsigned int)atoi(argv[6]);
	s = mmap(NULL, sizeof(*s) + total * sizeof(double), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s == MAP_FAILED)
		return 71;
	t0 = now_ms();
	for (unsigned int c = 0; c < clients; c++)
		if (fork() == 0)
			client(s, total, &to, argv[3], argv[4], (int)c, argc == 8);
	while (wait(NULL) != -1)
		;
	secs = (now_ms() - t0) / 1e3;
	qsort(s->latency_ms, total, sizeof(double), by_value);
	while (good < total && s->latency_ms[good] < 0)
		good++;
	printf("logins %u failed %u resumed %u seconds %.3f rate %.1f p50 %.2f p99 %.2f\n", total, s->failed,
	    s->resumed, secs, (double)(total - s->failed) / secs,
	    s->latency_ms[good + (total - good) / 2 < total ? good + (total - good) / 2 : total - 1],
	    s->latency_ms[total - 1 - (total - good) / 100]);
	return s->failed > 0;
}
