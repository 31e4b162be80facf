/*
 * The signer's event loop: epoll, level-triggered, one table by descriptor number.
 * Descriptors come and go; a late event for a number that is in use again is
 * harmless, because everything is received with MSG_DONTWAIT.
 */
#ifndef KEYS_LOOP_H
#define KEYS_LOOP_H

#include <stdint.h>

/* The epoll descriptor has this number for ever: the filter pins it. */
#define LOOP_FD 15
#define LOOP_FDS_MAX 65536

enum watch {
	WATCH_NONE,
	WATCH_CONTROL,
	WATCH_LAUNCHER,
	WATCH_AUTH,
	WATCH_CHANNEL,
	WATCH__MAX
};

/* events: EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR. */
typedef void (*loop_fn)(int fd, uint32_t events);

/* Before the last filter.  -1 with errno. */
int loop_init(void);
/* The largest descriptor number that this process can have, and one more. */
int loop_fds(void);
/* Watch for input.  -1: there is no room (fd stays the caller's). */
int loop_add(int fd, enum watch kind);
/* Watch for room to write as well, or no longer. */
void loop_want_write(int fd, int want);
/* Leave it alone until the next loop_add; it stays open. */
void loop_pause(int fd);
/* Forget and close. */
void loop_close(int fd);
/* Wait (-1: as long as it takes), then call handlers[kind] for each descriptor
 * that is ready. */
void loop_once(const loop_fn handlers[WATCH__MAX], int timeout_ms);
/* Milliseconds, those of a suspended machine included.  No system call. */
uint64_t loop_now(void);

#endif
