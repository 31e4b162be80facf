/*
 * Limits of what worker and key signer say about resumable TLS sessions
 * (SESSION_GET, SESSION_RES, SESSION_PUT).
 */
#ifndef IPC_RESUME_H
#define IPC_RESUME_H

#define RESUME_ID_LEN 32    /* bytes; TLS 1.2's session id, TLS 1.3's ticket */
#define RESUME_DATA_MAX 640 /* bytes of a session: DER, without a peer certificate */
#define RESUME_GETS_MAX 2   /* look-ups for one connection */

#endif
