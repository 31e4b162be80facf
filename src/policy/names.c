#include <limits.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/resource.h>

#include "policy/internal.h"

const struct word policy_ns_words[] = {{"user", PNS_USER}, {"mount", PNS_MOUNT}, {"net", PNS_NET},
    {"pid", PNS_PID}, {"ipc", PNS_IPC}, {"uts", PNS_UTS}, {"cgroup", PNS_CGROUP}, {NULL, 0}};

const struct word policy_need_words[] = {{"required", NEED_REQUIRED}, {"optional", NEED_OPTIONAL},
    {"off", NEED_OFF}, {NULL, 0}};

const struct word policy_account_words[] = {{"self", PACC_SELF}, {"login", PACC_LOGIN},
    {"auth", PACC_AUTH}, {"keys", PACC_KEYS}, {NULL, 0}};

const struct word policy_limit_words[] = {{"nproc", RLIMIT_NPROC}, {"nofile", RLIMIT_NOFILE},
    {"fsize", RLIMIT_FSIZE}, {"core", RLIMIT_CORE}, {"memlock", RLIMIT_MEMLOCK},
    {"msgqueue", RLIMIT_MSGQUEUE}, {"as", RLIMIT_AS}, {"stack", RLIMIT_STACK},
    {"data", RLIMIT_DATA}, {"cpu", RLIMIT_CPU}, {"rtprio", RLIMIT_RTPRIO},
    {"nice", RLIMIT_NICE}, {"sigpending", RLIMIT_SIGPENDING}, {"locks", RLIMIT_LOCKS},
    {NULL, 0}};

/* Only what a mail front end could ever have a reason to keep. */
const struct word policy_cap_words[] = {{"chown", CAP_CHOWN}, {"dac_override", CAP_DAC_OVERRIDE},
    {"dac_read_search", CAP_DAC_READ_SEARCH}, {"fowner", CAP_FOWNER}, {"kill", CAP_KILL},
    {"setgid", CAP_SETGID}, {"setuid", CAP_SETUID}, {"setpcap", CAP_SETPCAP},
    {"net_bind_service", CAP_NET_BIND_SERVICE}, {"net_admin", CAP_NET_ADMIN},
    {"ipc_lock", CAP_IPC_LOCK}, {"sys_chroot", CAP_SYS_CHROOT}, {"sys_admin", CAP_SYS_ADMIN},
    {"sys_resource", CAP_SYS_RESOURCE}, {NULL, 0}};

const struct word policy_fd_type_words[] = {{"pipe", 0}, {"tcp", 0}, {"seqpacket", 0},
    {"stream", 0}, {"memfd", 0}, {"listen", 0}, {"epoll", 0}, {"file", 0}, {"any", 0}, {NULL, 0}};

const char *
policy_ns_name(enum policy_ns ns)
{
	return (unsigned int)ns < PNS__MAX ? policy_ns_words[ns].name : "?";
}

const struct word *
word_find(const struct word *table, const char *name)
{
	for (; table->name != NULL; table++)
		if (strcmp(table->name, name) == 0)
			return table;
	return NULL;
}

/* Levenshtein distance of short words; anything long is simply far. */
static unsigned int
distance(const char *a, const char *b)
{
	unsigned char row[40];
	size_t la = strlen(a), lb = strlen(b);

	if (la >= sizeof(row) || lb >= sizeof(row))
		return UINT_MAX;
	for (size_t j = 0; j <= lb; j++)
		row[j] = (unsigned char)j;
	for (size_t i = 1; i <= la; i++) {
		unsigned char diagonal = row[0];

		row[0] = (unsigned char)i;
		for (size_t j = 1; j <= lb; j++) {
			unsigned char up = row[j];
			unsigned int best = diagonal + (a[i - 1] != b[j - 1]);

			if (up + 1u < best)
				best = up + 1u;
			if (row[j - 1] + 1u < best)
				best = row[j - 1] + 1u;
			row[j] = (unsigned char)best;
			diagonal = up;
		}
	}
	return row[lb];
}

/* Two neighbouring letters have changed places: the commonest slip. */
static bool
swapped(const char *a, const char *b)
{
	while (*a != '\0' && *a == *b)
		a++, b++; /* as far as they agree */
	return a[0] != '\0' && a[1] != '\0' && b[0] == a[1] && b[1] == a[0] && strcmp(a + 2, b + 2) == 0;
}

const char *
word_nearer(const char *best, const char *candidate, const char *name, unsigned int *dist)
{
	unsigned int n = swapped(candidate, name) ? 1 : distance(candidate, name);
	unsigned int len = (unsigned int)strlen(name);

	if (n > (len < 5 ? 1u : len / 3) || n >= *dist)
		return best;
	*dist = n;
	return candidate;
}

const char *
word_nearest(const struct word *table, const char *name)
{
	const char *best = NULL;
	unsigned int dist = UINT_MAX;

	for (; table->name != NULL; table++)
		best = word_nearer(best, table->name, name, &dist);
	return best;
}
