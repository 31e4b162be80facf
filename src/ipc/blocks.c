#include "ipc/blocks.h"

#include <string.h>
#include <strings.h>

static bool
net_within(const struct conn_net *a, const struct conn_net *b)
{
	struct conn_addr first = {.family = a->family};

	if (b->family == 0)
		return true;
	memcpy(first.ip, a->ip, sizeof(first.ip));
	return a->family == b->family && a->prefix >= b->prefix && conn_net_has(b, &first);
}

static bool
net_overlaps(const struct conn_net *a, const struct conn_net *b)
{
	return a->family == 0 || net_within(a, b) || net_within(b, a);
}

/* ---- names ---------------------------------------------------------------- */

bool
block_name_matches(const char *pattern, size_t len, const char *name)
{
	if (len >= 2 && pattern[0] == '*' && pattern[1] == '.') {
		name = strchr(name[0] == '.' ? "" : name, '.');
		pattern++;
		len--;
	}
	return name != NULL && strlen(name) == len && strncasecmp(pattern, name, len) == 0;
}

/* One of a list of names.  A name may be a pattern itself: "*" is no character of
 * host names, so that "*.a" lies within "*.a" alone. */
static bool
list_matches(const char *list, const char *name)
{
	while (*(list += strspn(list, " ")) != '\0') {
		size_t len = strcspn(list, " ");

		if (block_name_matches(list, len, name))
			return true;
		list += len;
	}
	return false;
}

/* How many of a's names lie within b; all: how many there are. */
static unsigned int
names_in(const char *a, const char *b, unsigned int *all)
{
	unsigned int n = 0;
	char name[256];

	*all = 0;
	while (*(a += strspn(a, " ")) != '\0') {
		size_t len = strcspn(a, " ");

		if (len < sizeof(name)) {
			memcpy(name, a, len);
			name[len] = '\0';
			n += list_matches(b, name);
		}
		++*all;
		a += len;
	}
	return n;
}

static bool
names_within(const char *a, const char *b)
{
	unsigned int all, n = names_in(a, b, &all);

	return b[0] == '\0' || (all > 0 && n == all);
}

static bool
names_overlap(const char *a, const char *b)
{
	unsigned int all;

	return a[0] == '\0' || b[0] == '\0' || names_in(a, b, &all) > 0 ||
	    names_in(b, a, &all) > 0;
}

/* ---- blocks --------------------------------------------------------------- */

bool
block_within(const struct block_takes *a, const struct block_takes *b)
{
	return net_within(&a->local, &b->local) && net_within(&a->remote, &b->remote) &&
	    names_within(a->names, b->names) &&
	    (b->service == SERVICE__MAX || a->service == b->service);
}

bool
block_overlaps(const struct block_takes *a, const struct block_takes *b)
{
	return net_overlaps(&a->local, &b->local) && net_overlaps(&a->remote, &b->remote) &&
	    names_overlap(a->names, b->names) &&
	    (a->service == b->service || a->service == SERVICE__MAX || b->service == SERVICE__MAX);
}

bool
block_takes(const struct block_takes *b, const struct conn_info *c, const char *name)
{
	return (b->local.family == 0 || conn_net_has(&b->local, &c->local)) &&
	    (b->remote.family == 0 || conn_net_has(&b->remote, &c->remote)) &&
	    (b->service == SERVICE__MAX || b->service == c->service) &&
	    (b->names[0] == '\0' || (name[0] != '\0' && list_matches(b->names, name)));
}
