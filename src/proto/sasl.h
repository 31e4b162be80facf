/*
 * SASL as it appears in lines (RFC 4422; RFC 4959; RFC 4954 4 for the limit): base64
 * in, bytes out.  Pure.
 */
#ifndef PROTO_SASL_H
#define PROTO_SASL_H

#include <stddef.h>
#include <stdint.h>

#include "proto/dialog.h"

enum sasl_result {
	SASL_GOOD,
	SASL_CANCELLED, /* "*" */
	SASL_BAD_BASE64,
	SASL_TOO_LONG   /* over DLG_SASL_B64_MAX octets */
};

/* A response line without its line end: data and data_len of ev. */
enum sasl_result sasl_response(const char *line, size_t len, struct dlg_event *ev);
/* An initial response ("=" is empty): has_ir, data and data_len of ev. */
enum sasl_result sasl_initial(const char *word, size_t len, struct dlg_event *ev);
/* PLAIN's message (RFC 4616) from a name and a password: mech, has_ir, data.
 * False: one holds a NUL, or both together are too long. */
bool sasl_plain(const uint8_t *user, size_t user_len, const uint8_t *pass, size_t pass_len,
    struct dlg_event *ev);

#endif
