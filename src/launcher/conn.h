/*
 * The table of connections.  The launcher holds no descriptor of a connection once
 * it is handed out: an entry is an id, a process, a state and times.  Pure: times
 * are passed in.
 */
#ifndef LAUNCHER_CONN_H
#define LAUNCHER_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ipc/conn.h"

#define CONN_MAX 65536 /* the low half of an id is the slot */

struct conn {
	uint32_t id;          /* 0: the slot is free */
	pid_t pid;            /* 0: not known yet */
	uint8_t service;
	bool logged_in;
	bool stopping;        /* told to end; killed at kill_at */
	bool untold;          /* that is, the auth client's queue was full: told again */
	uint8_t stop_why;     /* enum dlg_bye */
	uint16_t worker;      /* pooled: its worker's slot + 1; else 0 */
	uint16_t template;    /* fork, until its process is known: the template's slot + 1 */
	uint32_t layout;      /* of its process: ready.h */
	uint16_t crowd;       /* crowd.h: counted there until it logs in or is told to end */
	uint64_t accepted_ms, kill_at;
	uint32_t timeout_ms;  /* login_timeout */
	char session[33];
	/* oldest first, those before login, for each service */
	uint32_t older, newer; /* slots, CONN_NONE */
	uint32_t same_bucket;  /* by pid */
};

#define CONN_NONE UINT32_MAX

/* Allocates the table; false: no memory.  first: where the numbers begin, a random one:
 * what is still said of a connection of a launcher that died fits none of ours. */
bool conns_init(uint16_t first);
/* A fresh entry at the new end of its service's queue; NULL: the table is full. */
struct conn *conns_add(enum service s, uint16_t crowd, uint64_t now);
struct conn *conns_by_id(uint32_t id);
struct conn *conns_by_pid(pid_t pid);
void conns_set_pid(struct conn *c, pid_t pid);
void conns_logged_in(struct conn *c);
void conns_remove(struct conn *c);
/* Of those that have not logged in and are not stopping: the oldest of the largest
 * crowd, where one has flood members or more; else the oldest.  One that avoid (if
 * it is there) names only if there is no other; NULL: none. */
struct conn *conns_victim(enum service s, unsigned int flood,
    bool (*avoid)(const struct conn *c));
/* Walk those before login, oldest first: NULL, then what came before. */
struct conn *conns_next_before_login(enum service s, const struct conn *c);
/* Walk all. */
struct conn *conns_next(const struct conn *c);
unsigned int conns_count(enum service s); /* all states */
unsigned int conns_total(void);
unsigned int conns_stopping(enum service s);
/* Told to end (BYE is on its way). */
void conns_mark_stopping(struct conn *c, uint64_t kill_at);

#endif
