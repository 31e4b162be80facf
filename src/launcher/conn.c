#include "launcher/conn.h"

#include <stdlib.h>
#include <string.h>

#include "launcher/crowd.h"

#define BUCKETS 16384

static struct conn *table;
static uint32_t free_list[CONN_MAX], nfree, sequence = 1, highest;
static uint32_t oldest[SERVICE__MAX], newest[SERVICE__MAX];
static uint32_t buckets[BUCKETS];
static unsigned int counts[SERVICE__MAX], stopping[SERVICE__MAX];

bool
conns_init(uint16_t first)
{
	sequence = first != 0 ? first : 1;
	table = calloc(CONN_MAX, sizeof(*table)); /* touched as it is used */
	if (table == NULL)
		return false;
	nfree = 0;
	for (uint32_t i = CONN_MAX; i-- > 0;)
		free_list[nfree++] = i;
	for (int s = 0; s < SERVICE__MAX; s++)
		oldest[s] = newest[s] = CONN_NONE;
	memset(buckets, 0xff, sizeof(buckets));
	return true;
}

static uint32_t
slot_of(const struct conn *c)
{
	return (uint32_t)(c - table);
}

struct conn *
conns_add(enum service s, uint16_t crowd, uint64_t now)
{
	struct conn *c;
	uint32_t slot;

	if (nfree == 0)
		return NULL;
	slot = free_list[--nfree];
	if (slot >= highest)
		highest = slot + 1;
	c = &table[slot];
	*c = (struct conn){.id = sequence << 16 | slot,
	    .service = (uint8_t)s,
	    .crowd = crowd,
	    .accepted_ms = now,
	    .older = newest[s],
	    .newer = CONN_NONE,
	    .same_bucket = CONN_NONE};
	sequence = sequence == UINT16_MAX ? 1 : sequence + 1;
	if (newest[s] != CONN_NONE)
		table[newest[s]].newer = slot;
	else
		oldest[s] = slot;
	newest[s] = slot;
	counts[s]++;
	crowd_enter(s, crowd);
	return c;
}

struct conn *
conns_by_id(uint32_t id)
{
	struct conn *c = &table[id & (CONN_MAX - 1)];

	return id != 0 && c->id == id ? c : NULL;
}

struct conn *
conns_by_pid(pid_t pid)
{
	for (uint32_t i = buckets[(uint32_t)pid % BUCKETS]; i != CONN_NONE;
	     i = table[i].same_bucket)
		if (table[i].pid == pid)
			return &table[i];
	return NULL;
}

void
conns_set_pid(struct conn *c, pid_t pid)
{
	uint32_t *head = &buckets[(uint32_t)pid % BUCKETS];

	c->pid = pid;
	c->same_bucket = *head;
	*head = slot_of(c);
}

static void
leave_bucket(struct conn *c)
{
	uint32_t *at = &buckets[(uint32_t)c->pid % BUCKETS];

	if (c->pid == 0)
		return;
	while (*at != CONN_NONE && *at != slot_of(c))
		at = &table[*at].same_bucket;
	if (*at != CONN_NONE)
		*at = c->same_bucket;
}

static void
leave_queue(struct conn *c)
{
	if (c->logged_in)
		return;
	if (!c->stopping)
		crowd_leave((enum service)c->service, c->crowd);
	if (c->older != CONN_NONE)
		table[c->older].newer = c->newer;
	else
		oldest[c->service] = c->newer;
	if (c->newer != CONN_NONE)
		table[c->newer].older = c->older;
	else
		newest[c->service] = c->older;
}

void
conns_logged_in(struct conn *c)
{
	leave_queue(c);
	c->logged_in = true;
	/* It was told to make room, and was faster: it stays. */
	if (c->stopping) {
		c->stopping = false;
		stopping[c->service]--;
	}
}

void
conns_remove(struct conn *c)
{
	leave_queue(c);
	leave_bucket(c);
	if (c->stopping)
		stopping[c->service]--;
	counts[c->service]--;
	free_list[nfree++] = slot_of(c);
	c->id = 0;
}

struct conn *
conns_next_before_login(enum service s, const struct conn *c)
{
	uint32_t i = c == NULL ? oldest[s] : c->newer;

	return i == CONN_NONE ? NULL : &table[i];
}

struct conn *
conns_victim(enum service s, unsigned int flood, bool (*avoid)(const struct conn *c))
{
	struct conn *victim = NULL;
	unsigned int highest_rank = 0;

	for (struct conn *c = conns_next_before_login(s, NULL); c != NULL;
	     c = conns_next_before_login(s, c)) {
		unsigned int rank = crowd_size(s, c->crowd);

		if (c->stopping)
			continue;
		rank = avoid != NULL && avoid(c) ? 1 : rank >= flood && rank > 2 ? rank : 2;
		if (rank > highest_rank) { /* of equals the first, which is the oldest */
			highest_rank = rank;
			victim = c;
		}
	}
	return victim;
}

struct conn *
conns_next(const struct conn *c)
{
	for (uint32_t i = c == NULL ? 0 : slot_of(c) + 1; i < highest; i++)
		if (table[i].id != 0)
			return &table[i];
	return NULL;
}

unsigned int
conns_count(enum service s)
{
	return counts[s];
}

unsigned int
conns_stopping(enum service s)
{
	return stopping[s];
}

unsigned int
conns_total(void)
{
	unsigned int n = 0;

	for (int s = 0; s < SERVICE__MAX; s++)
		n += counts[s];
	return n;
}

void
conns_mark_stopping(struct conn *c, uint64_t kill_at)
{
	if (!c->stopping) {
		stopping[c->service]++;
		if (!c->logged_in)
			crowd_leave((enum service)c->service, c->crowd);
	}
	c->stopping = true;
	c->kill_at = kill_at;
}
