/*
 * What the kernel says about a process: /proc, and for sockets the sockets
 * themselves (pidfd_getfd).  Best read while the process is held still.
 */
#ifndef TOOLS_PROCVIEW_H
#define TOOLS_PROCVIEW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "policy/policy.h"

#define PROCVIEW_LIMITS 16

enum procview_caps {
	PCAP_INHERITABLE,
	PCAP_PERMITTED,
	PCAP_EFFECTIVE,
	PCAP_BOUNDING,
	PCAP_AMBIENT,
	PCAP__MAX
};

struct procview_fd {
	int number;
	char type[24];   /* the policy's word, or "file" and others that no policy has */
	char target[80]; /* what /proc calls it */
	bool read, write, known; /* known: type is certain */
};

struct procview {
	pid_t pid, ppid;
	unsigned long long started;
	char name[32], exe[200];
	uint32_t uid[4], gid[4]; /* real effective saved fs */
	unsigned int ngroups;
	uint32_t group;          /* the first of them */
	uint64_t caps[PCAP__MAX];
	int no_new_privs, seccomp, seccomp_filters, threads; /* -1: not told */
	bool dumpable;
	int oom_score_adj; /* INT_MIN: not told */
	unsigned int writable_code; /* mappings that are writable and executable */
	struct {
		dev_t dev;
		ino_t ino;       /* 0: the kernel has no such namespace */
	} ns[PNS__MAX];
	char uid_map[80];
	unsigned int mounts;     /* that it can reach */
	char root_type[32], root_options[200]; /* of the last mount on its root */
	int root_entries;        /* -1: cannot be listed */
	dev_t root_dev;
	ino_t root_ino;
	char cwd[64];
	struct {
		uint64_t soft, hard; /* UINT64_MAX: unlimited */
		bool known;
	} limit[PROCVIEW_LIMITS];    /* by RLIMIT_ number */
	struct procview_fd *fds;
	unsigned int nfds;
};

/* -1 with errno if there is no such process or it cannot be seen. */
int procview_read(struct procview *v, pid_t pid);
/* Only what /proc/PID/status says. */
int procview_status(struct procview *v, pid_t pid);
void procview_free(struct procview *v);

#endif
