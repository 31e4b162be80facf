#include "login/session.h"

#include <poll.h>
#include <string.h>

#include "common/str.h"
#include "login/heap.h"
#include "login/session_internal.h"
#include "login/tls.h"

void
session_end(struct session *s, const char *why)
{
	if (!s->told)
		auth_tell_goodbye(s, why);
	s->phase = SP_END;
}

void
session_close_after(struct session *s, const char *why)
{
	str_copy(s->reason, sizeof(s->reason), why);
	s->phase = SP_CLOSE;
}

/* IMAP's ID is passed on where somebody wants it, and from trusted networks always. */
void
session_id_wanted(struct session *s)
{
	s->dlg.id_wanted = s->rules.now.imap_id_log[0] != '\0' || s->rules.now.imap_id_retain != 0 ||
	    s->dlg.trusted;
}

void
session_begin(struct session *s, const struct worker *w, const struct conn_info *info,
    int client_fd, int auth_fd, int signer_fd, int mail_fd, uint64_t now)
{
	bool implicit = (info->flags & CONN_TLS_IMPLICIT) != 0;
	uint32_t timeout;

	s->w = w;
	s->info = *info;
	session_rules_begin(&s->rules, &w->set.rules, &s->info);
	timeout = s->rules.now.login_timeout_ms;
	s->client_fd = client_fd;
	s->auth_fd = auth_fd;
	s->mail_fd = mail_fd;
	s->signer = (struct remotekey_channel){.fd = signer_fd, .timeout_ms = w->set.sign_timeout_ms};
	s->phase = SP_DIALOG;
	s->handshaking = implicit;
	s->greeted = s->auth_ready = s->told = s->want_write = false;
	s->refusal_told = false;
	s->ids_told = 0;
	s->want_read = true;
	s->request = 0;
	s->binding[0] = '\0';
	s->owed = NO_NONE;
	s->deadline_ms = now + (info->age_ms < timeout ? timeout - info->age_ms : 0);
	s->reason[0] = '\0';
	s->ssl = NULL;
	s->out_sent = s->in_len = 0;
	dlg_init(&s->dlg, info->service == SERVICE_IMAP ? DLG_IMAP : DLG_POP3,
	    &s->rules.dialog,
	    (info->flags & CONN_TLS_OFFERED) != 0 && tls_available(), implicit,
	    implicit || (info->flags & CONN_SECURED) != 0);
	s->dlg.trusted = (info->flags & CONN_TRUSTED) != 0;
	session_id_wanted(s);
	if (implicit && (s->ssl = tls_new(client_fd, &s->rules)) == NULL)
		session_end(s, tls_error());
}

static void
act(struct session *s)
{
	switch (s->ev.type) {
	case DLG_STARTTLS:
		client_start_tls(s);
		break;
	case DLG_AUTH_START:
		auth_ask(s, MSG_AUTH_START);
		break;
	case DLG_AUTH_CONT:
		auth_ask(s, MSG_AUTH_CONT);
		break;
	case DLG_AUTH_CANCEL:
		auth_ask(s, MSG_AUTH_CANCEL);
		break;
	case DLG_ID:
		auth_tell_id(s);
		break;
	case DLG_CLOSE:
		session_close_after(s, s->ev.reason);
		break;
	case DLG_MORE:
	case DLG_REPLIED:
		break;
	}
}

/* The client's turn: feed what is there, read more.  True: something happened. */
static bool
dialog_step(struct session *s, bool readable)
{
	size_t used = 0;

	if (s->in_len > 0) {
		dlg_feed(&s->dlg, s->in, s->in_len, &used, &s->ev);
		session_consume(s, used);
		if (s->ev.refused != 0)
			auth_tell_refusal(s);
		if (s->ev.type != DLG_MORE || used > 0) {
			act(s);
			return true;
		}
	}
	if (readable || (s->ssl != NULL && SSL_has_pending(s->ssl)))
		return client_read(s);
	return false;
}

/* What is to be said, as far as the client takes it. */
static void
speak(struct session *s)
{
	if (!s->handshaking && s->phase != SP_END && (s->dlg.out_len > 0 || s->phase == SP_CLOSE))
		client_flush(s);
}

enum session_phase
session_move(struct session *s, short client, short auth)
{
	bool readable = client != 0, again = true;

	if (auth != 0)
		auth_step(s);
	if (s->owed != NO_NONE)
		auth_owed_step(s);
	while (again && s->phase != SP_END && s->phase != SP_PROXY) {
		again = false;
		if (s->handshaking) {
			client_handshake(s);
			if (s->handshaking)
				break;
		}
		if (!s->greeted && s->auth_ready && s->phase == SP_DIALOG) {
			dlg_greet(&s->dlg);
			s->greeted = true;
		}
		/* Before anything is read: who has closed his side behind his last word waits
		 * for the answer, and who does not take his answers is not listened to. */
		speak(s);
		if (s->phase == SP_DIALOG && s->greeted && !s->want_write)
			again = dialog_step(s, readable);
		readable = false;
		speak(s);
		if (s->want_write)
			break;
	}
	return s->phase;
}

enum session_phase
session_timeout(struct session *s)
{
	enum dlg_bye why = s->phase == SP_HANDOFF ? DLG_BYE_TIMEOUT_LOGIN
	    : s->phase == SP_AUTH || s->dlg.state == DLG_ST_AUTH_CLIENT ? DLG_BYE_TIMEOUT_AUTH
									: DLG_BYE_TIMEOUT;
	const char *reason = why == DLG_BYE_TIMEOUT_LOGIN ? "Timeout while finishing login"
	    : why == DLG_BYE_TIMEOUT_AUTH ? "Inactivity during authentication" : "Inactivity";

	if (s->owed != NO_NONE && s->phase == SP_HANDOFF) {
		auth_owed_late(s);
		why = DLG_BYE_INTERNAL;
		reason = "Mail process refused the login and left its answer open";
	}
	if (s->handshaking || s->want_write || s->phase == SP_CLOSE) {
		session_end(s, reason); /* no way to tell the client */
		return s->phase;
	}
	dlg_bye(&s->dlg, why);
	session_close_after(s, reason);
	client_flush(s);
	if (s->phase != SP_END)
		session_end(s, reason);
	return s->phase;
}

void
session_interest(const struct session *s, struct session_interest *i)
{
	*i = (struct session_interest){.auth = POLLIN, .deadline = s->deadline_ms};
	if (s->told && s->phase == SP_CLOSE)
		i->auth = 0; /* it is gone; its EOF would be reported for ever */
	if (s->handshaking)
		i->client = s->want_write ? POLLOUT : POLLIN;
	else if (s->want_write || s->dlg.out_len > 0)
		i->client = POLLOUT;
	else if (s->phase == SP_DIALOG && s->greeted)
		i->client = POLLIN;
	if (s->owed == NO_NONE || s->phase != SP_HANDOFF)
		return;
	i->mail = POLLIN;
	if (s->owed_by_ms < i->deadline)
		i->deadline = s->owed_by_ms;
}

/* What parsers left below this frame. */
static void __attribute__((noinline))
wipe_stack(void)
{
	volatile char below[12288];

	explicit_bzero((void *)(uintptr_t)below, sizeof(below));
}

void
session_wipe(struct session *s)
{
	/* Only what was used: a page that was never touched needs no wiping, and
	 * touching it costs a fault.  Requests and consumed input are wiped at once. */
	explicit_bzero(s->in, s->in_len);
	s->in_len = 0;
	explicit_bzero(s->dlg.user, sizeof(s->dlg.user));
	wipe_stack();
	heap_wipe_free();
}
