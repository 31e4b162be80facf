#include "tools/procfds.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/str.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

static int
option(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 ? value : -1;
}

static const char *
socket_type(int fd)
{
	int domain = option(fd, SO_DOMAIN), type = option(fd, SO_TYPE);

	if (option(fd, SO_ACCEPTCONN) == 1)
		return "listen";
	if (domain == AF_UNIX && type == SOCK_SEQPACKET)
		return "seqpacket";
	if (domain == AF_UNIX && type == SOCK_STREAM)
		return "stream";
	if ((domain == AF_INET || domain == AF_INET6) && type == SOCK_STREAM &&
	    option(fd, SO_PROTOCOL) == IPPROTO_TCP)
		return "tcp";
	return "another socket";
}

/* copy: our own descriptor of the same thing, -1 if the kernel gives none. */
static void
classify(struct procview_fd *f, int copy)
{
	static const struct {
		const char *prefix, *type;
	} names[] = {{"pipe:[", "pipe"}, {"/memfd:", "memfd"},
	    {"anon_inode:[eventpoll]", "epoll"}, {"anon_inode:", "another object"}};

	f->known = true;
	if (strncmp(f->target, "socket:[", 8) == 0) {
		f->known = copy != -1;
		str_copy(f->type, sizeof(f->type), copy != -1 ? socket_type(copy) : "socket");
		return;
	}
	str_copy(f->type, sizeof(f->type), "file");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strncmp(f->target, names[i].prefix, strlen(names[i].prefix)) == 0) {
			str_copy(f->type, sizeof(f->type), names[i].type);
			break;
		}
	}
	/* One that is sealed cannot be written, however it was opened. */
	if (strcmp(f->type, "memfd") == 0 && copy != -1 &&
	    (fcntl(copy, F_GET_SEALS) & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != 0)
		f->write = false;
}

static void
read_flags(pid_t pid, struct procview_fd *f)
{
	char path[64], line[128];
	unsigned int flags = O_RDWR;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", (int)pid, f->number);
	info = fopen(path, "re");
	while (info != NULL && fgets(line, sizeof(line), info) != NULL)
		if (sscanf(line, "flags: %o", &flags) == 1)
			break;
	if (info != NULL)
		fclose(info);
	f->read = (flags & O_ACCMODE) != O_WRONLY;
	f->write = (flags & O_ACCMODE) != O_RDONLY;
}

static void
read_one(struct procview *v, int pidfd, int number)
{
	struct procview_fd *f = &v->fds[v->nfds];
	char path[64], target[256];
	ssize_t n;
	int copy = -1;

	memset(f, 0, sizeof(*f));
	f->number = number;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)v->pid, number);
	n = readlink(path, target, sizeof(target) - 1);
	if (n <= 0)
		return;
	str_clean(f->target, sizeof(f->target), target, (size_t)n);
	read_flags(v->pid, f);
	/* Of a file no copy is needed; and a foreign one is nobody's business. */
	if (pidfd != -1 && (strncmp(f->target, "socket:", 7) == 0 ||
		strncmp(f->target, "/memfd:", 7) == 0))
		copy = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
	classify(f, copy);
	if (copy != -1)
		close(copy);
	v->nfds++;
}

static int
by_number(const void *a, const void *b)
{
	return ((const struct procview_fd *)a)->number - ((const struct procview_fd *)b)->number;
}

int
procfds_read(struct procview *v)
{
	int pidfd = (int)syscall(SYS_pidfd_open, v->pid, 0), rv = -1;
	char path[64];
	struct dirent *e;
	size_t cap = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)v->pid);
	d = opendir(path);
	if (d == NULL)
		goto out;
	while ((e = readdir(d)) != NULL) {
		uint64_t number;

		if (!str_to_u64(e->d_name, INT32_MAX, &number))
			continue;
		if (v->nfds == cap) {
			struct procview_fd *more =
			    realloc(v->fds, (cap = cap * 2 + 64) * sizeof(*more));

			if (more == NULL)
				goto out;
			v->fds = more;
		}
		read_one(v, pidfd, (int)number);
	}
	qsort(v->fds, v->nfds, sizeof(*v->fds), by_number);
	rv = 0;
out:
	if (d != NULL)
		closedir(d);
	if (pidfd != -1)
		close(pidfd);
	return rv;
}
