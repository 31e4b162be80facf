/*
 * Inside src/proto: what IMAP and POP3 share behind dialog.h.
 */
#ifndef PROTO_INTERNAL_H
#define PROTO_INTERNAL_H

#include "proto/dialog.h"

#define DLG_BAD_MAX 3       /* the third bad command ends it (D.4) */
#define DLG_LINE_MAX 1026   /* bytes of a line that is not SASL (D.3) */
#define DLG_LITERAL_MAX 8191

/* Append to d->out; what does not fit is dropped whole (it cannot happen while
 * the session keeps to dialog.h's rule). */
void dlg_put(struct dialog *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void dlg_put_bytes(struct dialog *d, const void *p, size_t len);
void dlg_put_base64(struct dialog *d, const uint8_t *p, size_t len);

/* Text from elsewhere that becomes part of a reply line: no controls, no CR LF. */
const char *dlg_clean(const char *text, char *dst, size_t cap);

/* The text for a plaintext mechanism in AUTHENTICATE and AUTH; LOGIN and USER have
 * another one (D.5). */
#define DLG_NO_PLAINTEXT_SASL "Plaintext authentication disabled."

/* Can IMAP's LOGIN, POP3's USER and PASS be used: is PLAIN there, and allowed now? */
bool dlg_password_usable(const struct dialog *d);

const struct dlg_mech *dlg_find_mech(const struct dialog *d, const char *name, size_t len);

/* Where the line that begins at in ends: index of LF, or len if there is none. */
size_t dlg_line_end(const uint8_t *in, size_t len);
/* The line's length without CR LF, given the index of LF. */
size_t dlg_line_len(const uint8_t *in, size_t lf);
/* Compare a word with an upper-case literal, without case. */
bool dlg_word_is(const uint8_t *p, size_t len, const char *upper);

/* Swallow an over-long line up to its LF; true while still inside it. */
bool dlg_skip_line(struct dialog *d, const uint8_t *in, size_t len, size_t *used);

/* Common answers by protocol: tables in imap.c and pop3.c. */
void imap_greet(struct dialog *d);
void imap_feed(struct dialog *d, const uint8_t *in, size_t len, size_t *used,
    struct dlg_event *ev);
void imap_fail(struct dialog *d, enum dlg_fail why, const char *text);
void pop3_greet(struct dialog *d);
void pop3_feed(struct dialog *d, const uint8_t *in, size_t len, size_t *used,
    struct dlg_event *ev);
void pop3_fail(struct dialog *d, enum dlg_fail why, const char *text);

/*
 * AUTHENTICATE / AUTH: which mechanism, is it allowed now, and the initial
 * response (ir NULL: none).  Sets ev and the state; on refusal the reply is out.
 */
void dlg_start_sasl(struct dialog *d, const uint8_t *mech, size_t mech_len, const uint8_t *ir,
    size_t ir_len, struct dlg_event *ev);
/* A login is refused before anybody is asked; ev says so for the log. */
void dlg_refuse_login(struct dialog *d, enum dlg_fail why, const char *mech, size_t mech_len,
    struct dlg_event *ev);
/* The client's line in the middle of an exchange. */
void dlg_continue_sasl(struct dialog *d, const uint8_t *in, size_t len, size_t *used,
    struct dlg_event *ev);
/* The same for a name and password.  False: refused, the reply is out. */
bool dlg_start_plain(struct dialog *d, const uint8_t *user, size_t user_len,
    const uint8_t *pass, size_t pass_len, struct dlg_event *ev);

/* One pair as DLG_ID has it; once one does not fit none does. */
void dlg_id_pair(struct dlg_event *ev, const void *key, size_t key_len, const void *value,
    size_t value_len, bool nil);

void dlg_close(struct dlg_event *ev, const char *reason);

#endif
