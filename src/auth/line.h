/*
 * Lines of the auth client protocol (version 1), both ways.  Pure: no I/O, no
 * clock, no allocation.
 *
 * Trust: what is parsed comes from the auth server, what is built contains
 * values that came from clients through workers.  Everything that is built goes
 * through one encoder: NUL, SOH, TAB, CR and LF become SOH and a letter, SASL
 * data is encoded to base64 here, from binary, so no client can add a field or
 * a line of its own (CVE-2026-33603, CVE-2025-59028).
 */
#ifndef AUTH_LINE_H
#define AUTH_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUTH_BINDING_MAX 32 /* name of a channel binding type (RFC 5056), with the NUL */
#define AUTH_LINE_MAX 16383 /* bytes without LF: the server drops us for more, and we it */

/* ---- from the server ------------------------------------------------------ */

/* Collects bytes into lines. */
struct line_reader {
	size_t len;   /* bytes in buf */
	size_t start; /* first byte that was not given out */
	size_t seen;  /* bytes behind start that hold no LF */
	char buf[4 * (AUTH_LINE_MAX + 1)];
};

void line_reader_init(struct line_reader *r);
/* Where the next bytes from the socket go; *room is never 0 after lines were
 * taken until none was left.  Call line_reader_added with what came. */
char *line_reader_space(struct line_reader *r, size_t *room);
void line_reader_added(struct line_reader *r, size_t n);
/* 1 and the next line (without LF, borrowed until the next call of
 * line_reader_space); 0 if there is none; -1 if it is longer than
 * AUTH_LINE_MAX. */
int line_reader_next(struct line_reader *r, char **line, size_t *len);

enum auth_verb {
	AV_UNKNOWN, /* from a newer server: skip */
	AV_VERSION, /* id: major, minor in .minor */
	AV_MECH,    /* fields: name, flags */
	AV_SPID,    /* id */
	AV_CUID,    /* id */
	AV_COOKIE,  /* cookie */
	AV_DONE,
	AV_OK,        /* id, fields */
	AV_FAIL,      /* id, fields */
	AV_CONT,      /* id; authline_cont reads the rest */
	AV_CANCELLED, /* id */
	AV__MAX
};

struct auth_line {
	enum auth_verb verb;
	uint32_t id;
	uint32_t minor;
	uint8_t cookie[16];
	char *p, *end; /* what authline_field has not given out; inside of the line */
};

struct auth_field {
	const char *key; /* borrowed, not terminated; may hold any byte */
	size_t key_len;
	const char *value; /* behind '='; without one value_len is 0 and !has_value */
	size_t value_len;
	bool has_value;
};

/* Takes a line apart; it is changed and must live as long as l.  -1: a known
 * word with arguments that cannot be: the server is broken. */
int authline_parse(char *line, size_t len, struct auth_line *l);
/* The next field, unescaped; empty ones are skipped.  False: no more. */
bool authline_field(struct auth_line *l, struct auth_field *f);
bool auth_field_is(const struct auth_field *f, const char *key);
/* Value as a string; false if it does not fit or holds a NUL. */
bool auth_field_copy(const struct auth_field *f, char *dst, size_t cap);

/* Of CONT.  data is base64 text as it came, borrowed. */
struct auth_cont {
	const char *data;
	size_t len;
	bool out_of_band; /* not for the client: answer at once */
	bool wants_binding;
	char binding[AUTH_BINDING_MAX]; /* its type */
};

/* fields: the server knows minor version 3 and was told so by us; then fields
 * stand behind the data and "#" for data that the client must not see.  Below
 * that all up to the end of the line is data.  False: it cannot be. */
bool authline_cont(struct auth_line *l, bool fields, struct auth_cont *c);

/* ---- to the server -------------------------------------------------------- */

/* One line; bad once it would exceed AUTH_LINE_MAX, and stays so.  Holds
 * credentials: wipe it (authcmd_wipe). */
struct auth_cmd {
	size_t len;
	bool bad;
	char buf[AUTH_LINE_MAX + 1];
};

void authcmd_begin(struct auth_cmd *c, const char *verb);
void authcmd_number(struct auth_cmd *c, uint32_t n);
/* key=value, escaped; a NULL value is a key alone. */
void authcmd_field(struct auth_cmd *c, const char *key, const char *value);
/* A word from the server's own list or from a table of ours; escaped, too. */
void authcmd_word(struct auth_cmd *c, const char *word);
/* resp=BASE64; no data is "resp=" alone, the empty response. */
void authcmd_resp(struct auth_cmd *c, const void *data, size_t len);
/* BASE64 as a field (CONT). */
void authcmd_base64(struct auth_cmd *c, const void *data, size_t len);
/* key=BASE64 */
void authcmd_field_base64(struct auth_cmd *c, const char *key, const void *data, size_t len);
/* Adds the LF.  False: it became too long and must not be sent. */
bool authcmd_end(struct auth_cmd *c);
void authcmd_wipe(struct auth_cmd *c);

#endif
