/*
 * The socket directory: in production "/", because the auth client's root holds
 * nothing but the sockets of Dovecot.
 */
#ifndef AUTH_SOCKDIR_H
#define AUTH_SOCKDIR_H

#include <stdbool.h>
#include <stddef.h>

/* The supervisor starts us anew, in the directory that is there now. */
#define EXIT_STALE_DIR 75

/* Before the filter.  path is borrowed and must last.  -1 with errno. */
int sockdir_open(const char *path);

/* A plain name: no '/', not "." or "..", not empty, short enough. */
bool sockdir_name_ok(const char *name);

/*
 * Connect to the named socket: a non-blocking, close-on-exec stream, or -1 with
 * errno (EAGAIN: its queue is full, try again soon).  If the name is not there
 * because the directory itself was removed (its link count is 0), the process
 * ends with EXIT_STALE_DIR: a directory made again under the same name is
 * another one, and cannot be seen from here.
 */
int sockdir_connect(const char *name);

/*
 * Streams: read at most cap bytes / write at most len bytes without waiting and
 * without SIGPIPE.  fd != -1: pass it along with the first byte.  As recv and
 * send: -1 with errno EAGAIN if it would block.
 */
long sock_read(int fd, void *buf, size_t cap);
long sock_write(int fd, const void *buf, size_t len, int pass_fd);

/* Inode of a socket; false if fd is no socket. */
bool sock_inode(int fd, unsigned long *ino);

#endif
