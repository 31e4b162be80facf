/*
 * Auth servers come and go, and a client is not to notice: what he has said in one
 * message is said once more to the next one.
 */
#include "auth/conn.h"

#define RETRY_MS 5000 /* for a new auth server to greet us */

/* The login that a mail process did not accept once more: all of it is in creds. */
static void
repeat(struct conn *c)
{
	struct server *s = server_current();
	bool held = c->creds.held, sent = false;

	if (s != NULL && held && s->serial != c->server_serial) {
		c->has_ir = c->said > 0;
		sent = request_submit(c, s, c->creds.data, c->creds.len);
	}
	if (!sent)
		handoff_failed(c, c->retry_result);
	else
		request_creds_wipe(c); /* there is no third time */
}

bool
request_retry(struct conn *c, uint8_t result)
{
	struct server *s = server_current();

	/* In any case: a reload must not be found out by one client after the other. */
	if (s != NULL && s->serial == c->server_serial)
		server_probe();
	if (c->retry_result != 0 || !c->creds.held)
		return false;
	c->retry_result = result;
	request_unbind(c, false);
	c->state = CS_RETRY;
	timer_set(&c->timer, RETRY_MS);
	if (s != NULL && s->serial != c->server_serial)
		repeat(c);
	return true;
}

void
conns_server_ready(bool list_changed)
{
	struct server *s = server_current();

	for (struct conn *c = conns_first(); c != NULL; c = conns_after(c)) {
		if (c->state == CS_RETRY) {
			repeat(c);
		} else if (c->state == CS_QUEUED && s != NULL) {
			if (!request_submit(c, s, c->creds.data, c->creds.len))
				request_temp_fail(c, OUT_COMM);
		}
		if (c->state != CS_OVER && (list_changed || !c->ready_sent))
			conn_send_ready(c);
	}
}

/* A server that went away with a request under way: what the client has said is at
 * hand and is said to the next one.  Once: it may be what a server dies of. */
static void
ask_again(struct conn *c)
{
	struct server *next = server_current();

	request_unbind(c, false);
	if (!c->creds.held || c->asked_again || c->retry_result != 0) {
		request_temp_fail(c, OUT_COMM);
		return;
	}
	c->asked_again = true;
	c->has_ir = c->said > 0;
	if (next == NULL)
		request_await_server(c);
	else if (!request_submit(c, next, c->creds.data, c->creds.len)) /* it was a retired one */
		request_temp_fail(c, OUT_COMM);
}

void
conns_server_lost(struct server *s)
{
	for (struct conn *c = conns_first(); c != NULL; c = conns_after(c)) {
		if (c->server != s)
			continue;
		switch (c->state) {
		case CS_AUTH:
			ask_again(c);
			break;
		case CS_LIMIT:
			request_unbind(c, false);
			request_temp_fail(c, OUT_COMM);
			break;
		default:
			/* CS_CLIENT, CS_GRANTED: found out by the next message.  CS_HANDOFF:
			 * the mail process's verdict is on its way. */
			c->server = NULL;
			break;
		}
	}
}
