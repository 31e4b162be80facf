/*
 * Exchanges with a dialog (proto/dialog.h) as tables: input, replies, events; each
 * row is fed whole, byte by byte and split in two at every offset, with the same
 * result.  Included by test_imap.c and test_pop3.c.
 */
#ifndef TESTS_DIALOG_TABLE_H
#define TESTS_DIALOG_TABLE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/dialog.h"

enum {
	T_TLS = 1,      /* TLS from the start */
	T_OFFERED = 2,  /* STARTTLS can be used */
	T_SECURED = 4,
	T_REQUIRED = 8, /* ssl = required */
	T_CLEAR = 16,   /* disable_plaintext_auth = no */
	T_MINUS = 32,   /* LITERAL- */
	T_APOP = 64,
	T_NO_PLAIN = 128, /* the auth server has no PLAIN */
	T_ID = 256 /* the session wants to know what clients say of themselves; a trusted one */
};

struct row {
	const char *name;
	int flags;
	const char *in;
	size_t in_len;      /* 0: strlen(in) */
	/* What the auth client says to each request in turn: f failure, c an empty
	 * challenge, t temporary failure. */
	const char *answers;
	const char *replies;
	const char *events; /* "START PLAIN \0a\0b|CLOSE reason|" with NUL as '~' */
};

static const struct dlg_mech test_mechs[] = {
    {"PLAIN", DLG_MECH_PLAINTEXT},
    {"LOGIN", DLG_MECH_PLAINTEXT},
    {"SCRAM-SHA-256", 0},
    {"APOP", DLG_MECH_PRIVATE},
};

struct outcome {
	char replies[65536], events[65536];
	size_t used; /* of the whole input, when it stopped */
	bool stopped;
};

static struct dialog dlg;
static struct dlg_settings set;
static uint8_t pending[2 * DLG_INPUT_MAX];
static size_t npending;

static void
note(struct outcome *o, const char *what, const struct dlg_event *ev, bool data)
{
	size_t n = strlen(o->events);

	n += (size_t)snprintf(o->events + n, sizeof(o->events) - n, "%s", what);
	if (data) {
		if (!ev->has_ir && ev->type == DLG_AUTH_START)
			n += (size_t)snprintf(o->events + n, sizeof(o->events) - n, " none");
		else
			o->events[n++] = ' ';
		for (size_t i = 0; i < ev->data_len; i++)
			o->events[n++] = ev->data[i] == 0 ? '~' : (char)ev->data[i];
	}
	o->events[n++] = '|';
	o->events[n] = '\0';
}

static void
take_out(struct outcome *o)
{
	size_t n = strlen(o->replies);

	if (n + dlg.out_len >= sizeof(o->replies))
		abort();
	memcpy(o->replies + n, dlg.out, dlg.out_len);
	o->replies[n + dlg.out_len] = '\0';
	dlg.out_len = 0;
}

static void
answer(const char **answers)
{
	switch (**answers) {
	case 'c':
		dlg_auth_challenge(&dlg, (const uint8_t *)"", 0);
		break;
	case 't':
		dlg_auth_fail(&dlg, DLG_FAIL_TEMP, "Temporary authentication failure.");
		break;
	default:
		dlg_auth_fail(&dlg, DLG_FAIL_AUTH, "");
		break;
	}
	if (**answers != '\0')
		++*answers;
}

/* As the session does it: feed, act, consume, until nothing more comes of it. */
static void
digest(struct outcome *o, const char **answers)
{
	static struct dlg_event ev;
	char what[64];

	while (npending > 0 && !o->stopped) {
		size_t used = 99999;

		dlg_feed(&dlg, pending, npending, &used, &ev);
		if (used > npending)
			abort();
		memmove(pending, pending + used, npending - used);
		npending -= used;
		o->used += used;
		snprintf(what, sizeof(what), "START %s", ev.mech);
		switch (ev.type) {
		case DLG_MORE:
			take_out(o);
			if (used == 0)
				return;
			break;
		case DLG_REPLIED:
			if (ev.refused == DLG_FAIL_MECH || ev.refused == DLG_FAIL_PLAINTEXT ||
			    ev.refused == DLG_FAIL_SSL_REQUIRED) {
				snprintf(what, sizeof(what), "REFUSED%s%s", ev.mech[0] != '\0' ? " " : "", ev.mech);
				note(o, what, &ev, false);
			}
			break;
		case DLG_ID:
			note(o, "ID", &ev, true);
			break;
		case DLG_STARTTLS:
			note(o, "STARTTLS", &ev, false);
			o->stopped = true;
			break;
		case DLG_AUTH_START:
			note(o, what, &ev, true);
			answer(answers);
			break;
		case DLG_AUTH_CONT:
			note(o, "CONT", &ev, true);
			answer(answers);
			break;
		case DLG_AUTH_CANCEL:
			note(o, "CANCEL", &ev, false);
			break;
		case DLG_CLOSE:
			snprintf(what, sizeof(what), "CLOSE %s", ev.reason);
			note(o, what, &ev, false);
			o->stopped = true;
			break;
		}
		take_out(o);
	}
}

/* step: bytes at a time; or, if split is not 0, split bytes and then the rest. */
static void
run_row(const struct row *r, enum dlg_proto proto, size_t step, size_t split, struct outcome *o)
{
	size_t len = r->in_len != 0 ? r->in_len : strlen(r->in), at = 0;
	const char *answers = r->answers != NULL ? r->answers : "";

	memset(o, 0, sizeof(*o));
	set = (struct dlg_settings){.greeting = "Ready.", .imap_capability = "", .imap_id_send = "",
	    .imap_literal_minus = (r->flags & T_MINUS) != 0,
	    .ssl_required = (r->flags & T_REQUIRED) != 0,
	    .plaintext_allowed = (r->flags & T_CLEAR) != 0};
	dlg_init(&dlg, proto, &set, (r->flags & T_OFFERED) != 0, (r->flags & T_TLS) != 0,
	    (r->flags & (T_TLS | T_SECURED)) != 0);
	dlg.id_wanted = dlg.trusted = (r->flags & T_ID) != 0;
	dlg_set_mechs(&dlg, test_mechs + ((r->flags & T_NO_PLAIN) != 0 ? 2 : 0),
	    sizeof(test_mechs) / sizeof(test_mechs[0]) - ((r->flags & T_NO_PLAIN) != 0 ? 2 : 0));
	if ((r->flags & T_APOP) != 0)
		dlg_set_apop(&dlg, "<1.2.3@x>");
	npending = 0;
	while (at < len && !o->stopped) {
		size_t n = split != 0 ? (at == 0 ? split : len - at) : step;

		if (n > len - at)
			n = len - at;
		if (npending + n > sizeof(pending))
			abort();
		/* The session never holds more than one command's room. */
		if (n > DLG_INPUT_MAX - npending)
			n = DLG_INPUT_MAX - npending;
		if (n == 0)
			abort(); /* the dialog neither swallows nor closes */
		memcpy(pending + npending, r->in + at, n);
		npending += n;
		at += n;
		digest(o, &answers);
	}
}

static void
check_outcome(const struct row *r, struct outcome *o, const char *how, size_t n)
{
	if (strcmp(o->replies, r->replies) == 0 && strcmp(o->events, r->events) == 0)
		return;
	fail_msg("%s, %s %zu:\nreplies <%s>\nnot     <%s>\nevents  <%s>\nnot     <%s>", r->name, how, n,
	    o->replies, r->replies, o->events, r->events);
}

static void
check_rows(const struct row *rows, size_t n, enum dlg_proto proto)
{
	static struct outcome o;

	for (size_t i = 0; i < n; i++) {
		const struct row *r = &rows[i];
		size_t len = r->in_len != 0 ? r->in_len : strlen(r->in);

		run_row(r, proto, len, 0, &o);
		check_outcome(r, &o, "whole", len);
		run_row(r, proto, 1, 0, &o);
		check_outcome(r, &o, "bytes", 1);
		for (size_t split = 1; split < len && len < 3000; split++) {
			run_row(r, proto, 0, split, &o);
			check_outcome(r, &o, "split at", split);
		}
	}
}

#endif
