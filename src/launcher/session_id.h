/*
 * The session id that joins our log, the auth server's and the mail process'
 * (dovecot-protocols D.10): base64 of the clock in microseconds (48 bits, little
 * endian), the client's port (little endian) and address.
 */
#ifndef LAUNCHER_SESSION_ID_H
#define LAUNCHER_SESSION_ID_H

#include <stdint.h>

#include "ipc/conn.h"

/* dst: 16 (IPv4) or 32 (IPv6) characters and a NUL.  Two calls with the same
 * clock give different ids: the clock is pushed on. */
void session_id_make(char dst[33], const struct conn_addr *remote, uint64_t now_us);

#endif
