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
#include "launcher/ready.h"

#define LISTENERS_MAX 64
#define WORKERS_MAX 16384
#define FULL_MS 10000     /* at the limit with nobody to end: then what waits is closed */
#define RETRY_MS 5        /* a peer's queue is full */
#define VICTIM_MS 250     /* one that was told to go and has not: another is asked, too */
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
	char name[32]; /* of its inet_listener, for the log */
};

struct service_state {
	struct service_settings set;
	uint32_t processes;   /* workers that count against process_limit */
	uint32_t wanted;      /* how many are kept ready, at the moment */
	bool missed;          /* a connection found none ready since the last tick */
	uint64_t grown_ms;    /* when wanted was last raised */
	bool said_layers;
	uint64_t full_since;  /* 0: not full */
	uint64_t victim_ms;   /* when the last connection was told to make room */
	uint32_t victims;     /* how many were told together */
	uint64_t pressed_ms;  /* when it was full, or somebody gave up waiting */
	uint64_t last_fail_log;
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
/* Again, where the auth client's queue was full. */
void peers_tell_stop(struct conn *c);
void peers_check_drained(void);
/* If the log wants it, the auth client hears which process a connection has. */
void peers_tell_pid(uint32_t conn, pid_t pid);

/* So that nobody who talks without end keeps the others waiting; more than a socket's
 * queue holds, so that the last words of a process are read at once. */
#define MESSAGES_PER_TURN 512

/* workers.c: table, start, retiring; workers_read.c: messages, end */
struct workers workers_of(enum service s);
bool workers_start_process(enum service s, uint64_t now); /* template, exec'd, pooled */
void workers_start_ready(enum service s, uint64_t now);   /* up to what is wanted */
void workers_read(struct worker *w, uint64_t now);
void workers_retire(struct worker *w, uint64_t now); /* nothing new: it ends by itself */
/* A template, and the children that wait with its layout. */
void workers_retire_template(struct worker *w, uint64_t now);
/* The template with this layout, if it is not on its way out already: its next is
 * started at once, or after a pause where one crash follows the other. */
void workers_retire_layout(enum service s, uint32_t layout, uint64_t now, const char *why);
/* It has its connection, and is in the table of those from now on. */
void workers_hand_over(struct worker *w);
/* A process is gone.  False: not one of these. */
bool workers_gone(pid_t pid, int code, int status, uint64_t now);
/* Room for one more process within process_limit. */
bool workers_room(enum service s);

/* keep.c: how many are kept, and for how long */
void workers_first(enum service s, uint64_t now);  /* at the start */
void workers_missed(enum service s, uint64_t now); /* a connection found none ready */
void workers_tick(uint64_t now);

/* spawn.c: fork and exec of the worker image; the control end, -1 with errno. */
int spawn_worker(enum service s, const struct service_settings *set, pid_t *pid);

/* score.c: the launcher's own oom_score_adj, which what it forks inherits */
/* False: FD_OOM_SCORE is not there, and workers have our score. */
bool score_init(void);
/* At least that, for a fork; *before is what score_back() takes.  -1 with errno. */
int score_raise(uint16_t least, int *before);
void score_back(int before);

/* pick.c */
/* Auth client, signer and worker can be told: a connection that is accepted is not
 * lost between us. */
bool pick_queues(const struct worker *w);
/* NULL: nobody.  A pooled worker that does not read what it is given is passed over: it
 * keeps nobody from the others. */
struct worker *pick_worker(const struct workers *all, uint64_t now);
/* Nobody, because of a full queue, and that is a burst, or there is no other. */
bool pick_later(const struct workers *all, uint64_t now);

/* accept.c */
void accept_on(struct listener *l, uint64_t now);
/* Something changed (room, a ready worker, a peer): look at the listeners again. */
void accept_again(void);
void accept_tick(uint64_t now);

/* room.c: full */
/* Tell connections before login to go; true: their ends are waited for. */
bool room_make(enum service s, uint64_t now);
/* Clients wait in vain, or did within the last second. */
bool room_pressed(enum service s, uint64_t now);
/* One line a second at most, which names the setting to raise. */
void room_log_full(enum service s, uint64_t now);

/* reap.c */
void reap(uint64_t now);
bool reap_is_crash(int code, int status);
/* How a process that nobody knew ended; false: it has not. */
bool reap_take_unknown(pid_t pid, int *code, int *status);
/* The pid of a connection's process is known: it may be gone already. */
void reap_bind(struct conn *c, pid_t pid, uint64_t now);
void conn_over(struct conn *c);

#endif
