/*
 * What the parts of a connection before login share: session.c (whose turn it is),
 * session_client.c (bytes of the client) and session_auth.c (messages of the auth
 * client).  Nobody else includes this.
 */
#ifndef LOGIN_SESSION_INTERNAL_H
#define LOGIN_SESSION_INTERNAL_H

#include "ipc/msg.h"
#include "login/session.h"

/* session.c */
/* Over.  The auth client writes the log line when the channel closes. */
void session_end(struct session *s, const char *why);
/* Settle whether the dialog passes on what a client says of itself. */
void session_id_wanted(struct session *s);
/* What is in dlg.out goes out first, then it is over. */
void session_close_after(struct session *s, const char *why);

/* session_client.c: where the client is at fault or gone, the session ends. */
void client_handshake(struct session *s);
/* The dialog's output, as far as the client takes it. */
void client_flush(struct session *s);
/* True: something was read. */
bool client_read(struct session *s);
/* STARTTLS was accepted: its reply goes out, then the handshake is next. */
void client_start_tls(struct session *s);
/* The first bytes of the input are used up: wiped. */
void session_consume(struct session *s, size_t used);

/* session_auth.c */
void auth_tell_goodbye(struct session *s, const char *why);
void auth_tell_tls(struct session *s, const char *server_name, const char *how,
    enum conn_cert cert, const char *cert_user);
/* A login that the dialog refused by itself: for the log, once, so that no client
 * can fill the auth client's queue. */
void auth_tell_refusal(struct session *s);
/* What the client says of itself; the first few times. */
void auth_tell_id(struct session *s);
/* AUTH_START, AUTH_CONT or AUTH_CANCEL, of s->ev. */
void auth_ask(struct session *s, enum msg_type type);
/* Read and act on one message.  True: something happened. */
bool auth_step(struct session *s);
/* Take what the mail channel has of a NO that is owed, and go on once it is whole. */
void auth_owed_step(struct session *s);
/* It did not come in time: the command is answered, the channel is of no more use. */
void auth_owed_late(struct session *s);

#endif
