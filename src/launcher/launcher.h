/*
 * What the launcher's parts share.  It is PID 1 of its namespace, in an empty root,
 * holds no secret and parses nothing that a client sends.
 */
#ifndef LAUNCHER_LAUNCHER_H
#define LAUNCHER_LAUNCHER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "confine/layers.h"
#include "ipc/msg.h"
#include "ipc/settings.h"
#include "launcher/conn.h"

#define LISTENERS_MAX 64
#define WORKERS_MAX 4096
#define FULL_MS 10000     /* at the limit with nobody to end: then what waits is closed */
#define RETRY_MS 5        /* a peer's queue is full, or a worker is not ready */
#define TIMEOUT_GRACE_MS 5000

/* epoll's data: what kind, and which. */
enum source {
	SRC_SIGNAL,
	SRC_CONTROL,
	SRC_AUTH,
	SRC_KEYS,
	SRC_LISTENER,
	SRC_WORKER
};

struct listener {
	int fd;
	uint8_t service, flags;
	bool armed; /* in epoll */
};

/* A process that takes connections: a template, a waiting exec'd worker, a pooled
 * one. */
struct worker {
	pid_t pid;       /* 0: the slot is free */
	int fd;          /* control pair; -1: let go, it ends by itself */
	uint8_t service;
	bool ready;      /* has said hello */
	bool retiring;   /* gets nothing new */
	bool holds_conn; /* exec: it has its connection */
	uint32_t uses;   /* connections so far */
	uint32_t conns;  /* pooled: now */
	uint64_t born_ms, idle_since;
};

struct service_state {
	struct service_settings set;
	uint32_t processes;   /* workers that count against process_limit */
	uint32_t wanted;      /* how many are kept ready, at the moment */
	bool missed;          /* a connection found none ready since the last tick */
	bool said_layers;
	uint64_t full_since;  /* 0: not full */
	uint64_t start_after; /* back-off after failed starts */
	uint32_t failures;
	uint64_t last_full_log;
};

struct launcher {
	struct launcher_settings set;
	struct service_state service[SERVICE__MAX];
	struct listener listeners[LISTENERS_MAX];
	unsigned int nlisteners;
	struct worker workers[WORKERS_MAX];
	unsigned int nworkers; /* highest used slot + 1 */
	int ep, signal_fd;
	int control_fd, auth_fd, keys_fd; /* -1: not there */
	bool auth_ready, keys_ready;      /* hello seen */
	bool started, draining, drained_said;
	uint64_t drain_kill_at;           /* 0: never */
	uint64_t retry_at;                /* 0: nobody waits */
	uint64_t ticked_ms;
};

extern struct launcher lr;

uint64_t now_ms(void);
bool watch(int fd, enum source kind, unsigned int index);
void unwatch(int fd);

/* peers.c */
void peers_control(void);
void peers_auth(void);
void peers_keys(void);
/* BYE for a connection before login; killed if it is still there after the grace. */
void peers_stop(struct conn *c, uint8_t why, uint64_t now);
void peers_check_drained(void);

/* workers.c */
void workers_start_ready(enum service s, uint64_t now); /* up to what is wanted */
struct worker *workers_pick(enum service s);            /* one that can take a connection */
void workers_read(struct worker *w, uint64_t now);
void workers_retire(struct worker *w);                  /* nothing new: it ends by itself */
/* A process is gone.  False: not one of these. */
bool workers_gone(pid_t pid, int code, int status, uint64_t now);
void workers_retire_template(enum service s, uint64_t now, const char *why);
void workers_tick(uint64_t now);
/* Room for one more process within process_limit. */
bool workers_room(enum service s);

/* spawn.c: fork and exec of the worker image; the control end, -1 with errno. */
int spawn_worker(enum service s, uint8_t model, uint64_t vsz_limit, pid_t *pid);

/* accept.c */
void accept_on(struct listener *l, uint64_t now);
/* Something changed (room, a ready worker, a peer): look at the listeners again. */
void accept_again(void);
void accept_tick(uint64_t now);

/* reap.c */
void reap(uint64_t now);
/* The pid of a connection's process is known: it may be gone already. */
void reap_bind(struct conn *c, pid_t pid, uint64_t now);
void conn_over(struct conn *c);

#endif
