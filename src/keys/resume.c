#include "keys/resume.h"

#include <openssl/crypto.h>
#include <string.h>

struct entry {
	uint64_t expires;
	uint32_t at;   /* of its bytes in the pool */
	uint16_t len;  /* 0: given out */
	uint16_t room; /* of the pool: its bytes and what was left over before them */
	struct resume_owner owner;
	uint8_t id[RESUME_ID_LEN];
};

/*
 * Two rings in order of age, which is the order of expiry: the entries, and the
 * pool with their bytes.  All of it is allocated once, because strangers decide
 * how long a session is (a server name is in it), and a heap with free lists by
 * size could be filled up by sizes that change.  The first bytes of the ids lie
 * together, so that a look-up reads 32 KiB and not the entries; ids may be chosen
 * by a worker gone bad, and a list has no worst case to aim at.
 */
static struct entry *ring;
static uint64_t *heads;
static uint8_t *pool;
static unsigned int oldest, used, live;
static size_t next, taken; /* in the pool: where the next goes, bytes in use */
static uint64_t lifetime;

void
resume_owner_of(const struct conn_info *info, struct resume_owner *o)
{
	bool four = info->remote.family == AF_INET;

	memset(o, 0, sizeof(*o));
	o->service = (uint8_t)info->service;
	o->net[0] = four ? 4 : 6;
	memcpy(o->net + 1, info->remote.ip, four ? 4 : 8);
}

bool
resume_init(uint64_t lifetime_ms)
{
	lifetime = lifetime_ms;
	if (lifetime == 0)
		return true;
	ring = OPENSSL_zalloc(RESUME_SESSIONS_MAX * sizeof(*ring));
	heads = OPENSSL_zalloc(RESUME_SESSIONS_MAX * sizeof(*heads));
	pool = OPENSSL_zalloc(RESUME_BYTES_MAX);
	return ring != NULL && heads != NULL && pool != NULL;
}

bool
resume_on(void)
{
	return lifetime != 0;
}

unsigned int
resume_count(void)
{
	return live;
}

static void
forget(struct entry *e)
{
	if (e->len == 0)
		return;
	explicit_bzero(pool + e->at, e->len);
	e->len = 0;
	live--;
}

static void
drop_oldest(void)
{
	struct entry *e = &ring[oldest];

	forget(e);
	taken -= e->room;
	explicit_bzero(e, sizeof(*e));
	heads[oldest] = 0;
	oldest = (oldest + 1) % RESUME_SESSIONS_MAX;
	used--;
	if (used == 0)
		next = 0;
}

void
resume_expire(uint64_t now)
{
	while (used > 0 && (ring[oldest].len == 0 || ring[oldest].expires <= now))
		drop_oldest();
}

static uint64_t
head_of(const uint8_t *id)
{
	uint64_t h;

	memcpy(&h, id, sizeof(h));
	return h;
}

static struct entry *
find(const struct resume_owner *o, const uint8_t *id)
{
	uint64_t h = head_of(id);

	for (unsigned int i = 0; i < used; i++) {
		unsigned int at = (oldest + i) % RESUME_SESSIONS_MAX;

		if (heads[at] == h && ring[at].len != 0 &&
		    memcmp(&ring[at].owner, o, sizeof(*o)) == 0 &&
		    CRYPTO_memcmp(ring[at].id, id, RESUME_ID_LEN) == 0)
			return &ring[at];
	}
	return NULL;
}

/* What the end of the pool is too short for goes to its beginning. */
static size_t
place_for(size_t len)
{
	return next + len > RESUME_BYTES_MAX ? 0 : next;
}

static size_t
room_for(size_t len)
{
	return place_for(len) == next ? len : RESUME_BYTES_MAX - next + len;
}

void
resume_put(const struct resume_owner *o, const uint8_t id[RESUME_ID_LEN], const uint8_t *data,
    size_t len, uint64_t now)
{
	struct entry *e;
	unsigned int at;

	resume_expire(now);
	if (lifetime == 0 || len == 0 || len > RESUME_DATA_MAX || find(o, id) != NULL)
		return;
	while (used == RESUME_SESSIONS_MAX || taken + room_for(len) > RESUME_BYTES_MAX)
		drop_oldest();
	at = (oldest + used++) % RESUME_SESSIONS_MAX;
	e = &ring[at];
	*e = (struct entry){.expires = now + lifetime, .at = (uint32_t)place_for(len),
	    .len = (uint16_t)len, .room = (uint16_t)room_for(len), .owner = *o};
	memcpy(e->id, id, RESUME_ID_LEN);
	memcpy(pool + e->at, data, len);
	heads[at] = head_of(id);
	next = e->at + len;
	taken += e->room;
	live++;
}

size_t
resume_take(const struct resume_owner *o, const uint8_t id[RESUME_ID_LEN],
    uint8_t data[RESUME_DATA_MAX], uint64_t now)
{
	struct entry *e;
	size_t len;

	resume_expire(now);
	if (lifetime == 0 || (e = find(o, id)) == NULL)
		return 0;
	len = e->len;
	memcpy(data, pool + e->at, len);
	forget(e); /* its place is free when it is the oldest */
	return len;
}
