#include "tools/procview.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "confine/record.h"
#include "common/str.h"
#include "tools/procfds.h"

static FILE *
open_proc(pid_t pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return fopen(path, "re");
}

static bool
read_link(pid_t pid, const char *name, char *dst, size_t cap)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	n = readlink(path, dst, cap - 1);
	dst[n > 0 ? n : 0] = '\0';
	return n > 0;
}

static void
four(uint32_t id[4], const char *text)
{
	sscanf(text, "%u %u %u %u", &id[0], &id[1], &id[2], &id[3]);
}

static void
groups(struct procview *v, const char *text)
{
	char *end;

	for (;;) {
		unsigned long g = strtoul(text, &end, 10);

		if (end == text)
			return;
		if (v->ngroups++ == 0)
			v->group = (uint32_t)g;
		text = end;
	}
}

static void
status_line(struct procview *v, const char *key, const char *text)
{
	static const char *const caps[] = {[PCAP_INHERITABLE] = "CapInh",
	    [PCAP_PERMITTED] = "CapPrm", [PCAP_EFFECTIVE] = "CapEff", [PCAP_BOUNDING] = "CapBnd",
	    [PCAP_AMBIENT] = "CapAmb"};
	struct {
		const char *key;
		int *value;
	} numbers[] = {{"PPid", &v->ppid}, {"NoNewPrivs", &v->no_new_privs},
	    {"Seccomp", &v->seccomp}, {"Seccomp_filters", &v->seccomp_filters},
	    {"Threads", &v->threads}};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (strcmp(key, numbers[i].key) == 0)
			*numbers[i].value = atoi(text);
	for (int i = 0; i < PCAP__MAX; i++)
		if (strcmp(key, caps[i]) == 0)
			v->caps[i] = strtoull(text, NULL, 16);
	if (strcmp(key, "Name") == 0)
		str_clean(v->name, sizeof(v->name), text, strlen(text));
	else if (strcmp(key, "Uid") == 0)
		four(v->uid, text);
	else if (strcmp(key, "Gid") == 0)
		four(v->gid, text);
	else if (strcmp(key, "Groups") == 0)
		groups(v, text);
}

static int
read_status(struct procview *v)
{
	FILE *f = open_proc(v->pid, "status");
	char line[4096];

	if (f == NULL)
		return -1;
	while (fgets(line, sizeof(line), f) != NULL) {
		char *colon = strchr(line, ':');

		line[strcspn(line, "\n")] = '\0';
		if (colon == NULL)
			continue;
		*colon++ = '\0';
		status_line(v, line, colon + strspn(colon, "\t "));
	}
	fclose(f);
	return 0;
}

static void
read_limits(struct procview *v)
{
	static const struct {
		const char *name;
		int resource;
	} names[] = {{"Max cpu time", RLIMIT_CPU}, {"Max file size", RLIMIT_FSIZE},
	    {"Max data size", RLIMIT_DATA}, {"Max stack size", RLIMIT_STACK},
	    {"Max core file size", RLIMIT_CORE}, {"Max processes", RLIMIT_NPROC},
	    {"Max open files", RLIMIT_NOFILE}, {"Max locked memory", RLIMIT_MEMLOCK},
	    {"Max address space", RLIMIT_AS}, {"Max file locks", RLIMIT_LOCKS},
	    {"Max pending signals", RLIMIT_SIGPENDING}, {"Max msgqueue size", RLIMIT_MSGQUEUE},
	    {"Max nice priority", RLIMIT_NICE}, {"Max realtime priority", RLIMIT_RTPRIO}};
	FILE *f = open_proc(v->pid, "limits");
	char line[256], soft[32], hard[32];

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			size_t len = strlen(names[i].name);
			int r = names[i].resource;

			if (strncmp(line, names[i].name, len) != 0 || line[len] != ' ' ||
			    sscanf(line + len, "%31s %31s", soft, hard) != 2)
				continue;
			v->limit[r].soft = isdigit(soft[0]) ? strtoull(soft, NULL, 10) : UINT64_MAX;
			v->limit[r].hard = isdigit(hard[0]) ? strtoull(hard, NULL, 10) : UINT64_MAX;
			v->limit[r].known = true;
		}
	}
	if (f != NULL)
		fclose(f);
}

static void
read_namespaces(struct procview *v)
{
	static const char *const names[] = {[PNS_USER] = "user", [PNS_MOUNT] = "mnt",
	    [PNS_NET] = "net", [PNS_PID] = "pid", [PNS_IPC] = "ipc", [PNS_UTS] = "uts",
	    [PNS_CGROUP] = "cgroup"};
	FILE *f = open_proc(v->pid, "uid_map");

	for (int i = 0; i < PNS__MAX; i++) {
		char path[64];
		struct stat st;

		snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)v->pid, names[i]);
		if (stat(path, &st) == 0) {
			v->ns[i].dev = st.st_dev;
			v->ns[i].ino = st.st_ino;
		}
	}
	if (f != NULL && fgets(v->uid_map, sizeof(v->uid_map), f) == NULL)
		v->uid_map[0] = '\0';
	if (f != NULL)
		fclose(f);
}

/* ID PARENT MAJ:MIN ROOT MOUNTPOINT OPTIONS [TAGS] - TYPE SOURCE SUPEROPTIONS */
static void
mount_line(struct procview *v, char *line)
{
	char point[256], options[200], type[32], *dash = strstr(line, " - ");

	v->mounts++;
	if (dash == NULL || sscanf(line, "%*s %*s %*s %*s %255s %199s", point, options) != 2 ||
	    sscanf(dash + 3, "%31s", type) != 1 || strcmp(point, "/") != 0)
		return;
	str_copy(v->root_options, sizeof(v->root_options), options);
	str_copy(v->root_type, sizeof(v->root_type), type);
}

static void
read_root(struct procview *v)
{
	FILE *f = open_proc(v->pid, "mountinfo");
	char path[64], *line = NULL;
	struct dirent *e;
	struct stat st;
	size_t cap = 0;
	DIR *d;

	while (f != NULL && getline(&line, &cap, f) > 0)
		mount_line(v, line);
	free(line);
	if (f != NULL)
		fclose(f);
	snprintf(path, sizeof(path), "/proc/%d/root/", (int)v->pid);
	v->root_entries = -1;
	if (stat(path, &st) == 0) {
		v->root_dev = st.st_dev;
		v->root_ino = st.st_ino;
	}
	d = opendir(path);
	if (d != NULL) {
		v->root_entries = 0;
		while ((e = readdir(d)) != NULL)
			if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
				v->root_entries++;
		closedir(d);
	}
	read_link(v->pid, "cwd", v->cwd, sizeof(v->cwd));
}

static void
read_score(struct procview *v)
{
	FILE *f = open_proc(v->pid, "oom_score_adj");

	if (f == NULL || fscanf(f, "%d", &v->oom_score_adj) != 1)
		v->oom_score_adj = INT_MIN;
	if (f != NULL)
		fclose(f);
}

static void
read_maps(struct procview *v)
{
	FILE *f = open_proc(v->pid, "maps");
	char *line = NULL, rights[8];
	size_t cap = 0;

	while (f != NULL && getline(&line, &cap, f) > 0)
		if (sscanf(line, "%*s %7s", rights) == 1 && rights[1] == 'w' && rights[2] == 'x')
			v->writable_code++;
	free(line);
	if (f != NULL)
		fclose(f);
}

int
procview_status(struct procview *v, pid_t pid)
{
	memset(v, 0, sizeof(*v));
	v->pid = pid;
	v->no_new_privs = v->seccomp = v->seccomp_filters = v->threads = -1;
	return read_status(v);
}

int
procview_read(struct procview *v, pid_t pid)
{
	char path[64];
	struct stat st;

	if (procview_status(v, pid) == -1)
		return -1;
	v->started = record_start_time(pid);
	read_link(pid, "exe", v->exe, sizeof(v->exe));
	/* The files of one that is not dumpable are root's. */
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	v->dumpable = stat(path, &st) == -1 || st.st_uid == v->uid[1];
	read_limits(v);
	read_namespaces(v);
	read_root(v);
	read_maps(v);
	read_score(v);
	return procfds_read(v);
}

void
procview_free(struct procview *v)
{
	free(v->fds);
	v->fds = NULL;
	v->nfds = 0;
}
