#include "auth/conn.h"
#include "auth/count.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/log.h"

#define BUCKETS 4096
/* A request's number at the auth server is slot + 1 in the low bits and a count
 * of that slot above: unique among all that can be open. */
#define SLOT_BITS 15
#define SLOT_MASK ((1u << SLOT_BITS) - 1)

static const struct auth_settings *set;
static struct conn *slots;
static unsigned int nslots, nused;
static struct conn *free_list;
static struct conn *buckets[BUCKETS];
static struct conn list = {.next = &list, .prev = &list};
static struct conn *graves;
static struct loglimit reject_limit, full_limit;

int
conns_init(const struct auth_settings *settings, unsigned int max)
{
	void *p;

	if (max > SLOT_MASK - 1)
		max = SLOT_MASK - 1;
	/* Pages are touched when their slot is first used. */
	p = mmap(NULL, max * sizeof(struct conn), PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return -1;
	set = settings;
	slots = p;
	nslots = max;
	return 0;
}

const struct auth_settings *
conns_settings(void)
{
	return set;
}

void
conn_rules(struct conn *c)
{
	struct conn_info real = c->info; /* whatever a trusted proxy says of its client */

	real.remote = c->real_remote;
	real.local = c->real_local;
	rule_set_apply(&set->rules, rule_set_match(&set->rules, &real, c->local_name), &c->rules);
}

static struct conn **
bucket(uint32_t id)
{
	return &buckets[(id ^ id >> 12) % BUCKETS];
}

/* The dead keep their place until they are reaped. */
static struct conn *
find(uint32_t id)
{
	struct conn *c = *bucket(id);

	while (c != NULL && (c->info.id != id || c->dead))
		c = c->hash_next;
	return c;
}

struct conn *
conn_by_id(uint32_t id)
{
	return find(id);
}

struct conn *
conn_by_auth_id(const struct server *s, uint32_t auth_id)
{
	uint32_t slot = auth_id & SLOT_MASK;
	struct conn *c;

	if (slot == 0 || slot > nslots)
		return NULL;
	c = &slots[slot - 1];
	return c->state != CS_FREE && !c->dead && c->server == s && c->auth_id == auth_id ? c : NULL;
}

uint32_t
conn_new_auth_id(struct conn *c)
{
	c->auth_seq = (c->auth_seq + 1) & (UINT32_MAX >> SLOT_BITS);
	c->auth_id = c->auth_seq << SLOT_BITS | (uint32_t)(c - slots + 1);
	return c->auth_id;
}

struct conn *
conns_after(struct conn *c)
{
	for (c = c->next; c != &list && c->dead; c = c->next)
		;
	return c == &list ? NULL : c;
}

struct conn *
conns_first(void)
{
	return conns_after(&list);
}

unsigned int
conns_count(void)
{
	return nused;
}

static struct conn *
slot_take(void)
{
	static unsigned int fresh;
	struct conn *c = free_list;
	uint32_t seq;

	if (c != NULL)
		free_list = c->next;
	else if (fresh < nslots)
		c = &slots[fresh++];
	else
		return NULL;
	seq = c->auth_seq; /* goes on, so that a late answer never fits */
	memset(c, 0, sizeof(*c));
	c->auth_seq = seq;
	nused++;
	return c;
}

void
conn_open(struct msgin *m)
{
	struct conn_info info;
	struct conn *c;
	bool implicit;

	if (!conn_get(&m->r, m->id, &info)) {
		log_errx("launcher: malformed CONN_OPEN");
		return;
	}
	implicit = (info.flags & CONN_TLS_IMPLICIT) != 0;
	if (m->nfds != (implicit ? 2 : 3) || find(info.id) != NULL) {
		log_errx("launcher: connection %u: %s", info.id,
		    find(info.id) != NULL ? "exists already" : "wrong descriptors");
		return;
	}
	if ((c = slot_take()) == NULL) {
		/* The channel is closed with the message: the worker says goodbye. */
		if (loglimit_pass(&full_limit, 1))
			log_warnx("too many connections before login (%u)", nslots);
		return;
	}
	count(info.service, COUNT_CONNECTIONS);
	c->state = CS_IDLE;
	c->info = info;
	c->real_remote = info.remote;
	c->real_local = info.local;
	conn_rules(c);
	c->opened_ms = loop_now() - info.age_ms;
	c->stop_bye = -1;
	c->worker = (struct watch){.fd = msg_take_fd(m, 0), .ready = conn_worker_ready};
	c->mail_fd = msg_take_fd(m, 1);
	c->client_fd = implicit ? -1 : msg_take_fd(m, 2);
	c->aux.fd = -1;
	c->timer.fire = conn_timeout;
	c->hash_next = *bucket(info.id);
	*bucket(info.id) = c;
	c->next = &list;
	c->prev = list.prev;
	list.prev->next = c;
	list.prev = c;
	if (loop_add(&c->worker, EPOLLIN) == -1) {
		log_err("cannot watch connection %u", info.id);
		conn_drop(c);
	} else if (server_current() != NULL) {
		conn_send_ready(c);
	}
}

void
conn_drop(struct conn *c)
{
	if (c->dead)
		return;
	c->dead = true;
	c->grave_next = graves;
	graves = c;
}

void
conn_reject(struct conn *c, const char *why)
{
	if (c->dead)
		return;
	if (loglimit_pass(&reject_limit, 20))
		log_warnx("worker of connection %u (session %s): %s: dropped", c->info.id,
		    c->info.session, why);
	if (c->goodbye[0] == '\0')
		strcpy(c->goodbye, "Internal error");
	conn_drop(c);
}

void
conns_drop_all(void)
{
	for (struct conn *c = conns_first(); c != NULL; c = conns_after(c))
		conn_drop(c);
}

static void
close_fd(int fd)
{
	if (fd != -1)
		close(fd);
}

static void
unlink_conn(struct conn *c)
{
	struct conn **p = bucket(c->info.id);

	while (*p != c)
		p = &(*p)->hash_next;
	*p = c->hash_next;
	c->prev->next = c->next;
	c->next->prev = c->prev;
}

static void
bury(struct conn *c)
{
	uint32_t seq;

	if (!c->logged_in) {
		request_forget(c); /* also an OK that nobody took (gotcha 10) */
		if (c->attempts == 0 && c->refused == OUT_NONE)
			count(c->info.service, COUNT_NO_ATTEMPT);
		connlog_end(c);
	}
	timer_clear(&c->timer);
	loop_close(&c->worker);
	loop_close(&c->aux);
	close_fd(c->mail_fd);
	close_fd(c->client_fd);
	unlink_conn(c);
	seq = c->auth_seq;
	explicit_bzero(c, sizeof(*c));
	c->auth_seq = seq;
	c->next = free_list;
	free_list = c;
	nused--;
}

void
conns_reap(void)
{
	struct conn *c;

	while ((c = graves) != NULL) {
		graves = c->grave_next;
		bury(c);
	}
}
