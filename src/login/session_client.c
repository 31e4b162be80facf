/*
 * A connection before login, towards the client: the handshake, and bytes in and
 * out, through TLS or in the clear.
 */
#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "login/client_cert.h"
#include "login/resume.h"
#include "login/session_internal.h"
#include "login/tls.h"

/* In the clear nothing may be read that cannot be handed over with the rest
 * (dovecot-protocols, gotcha 12). */
#define PLAIN_READ_MAX 1024

static void
tls_done(struct session *s)
{
	char name[256], how[160], user[256];
	enum conn_cert cert = client_cert_state(s->ssl, &s->rules.now, user, sizeof(user));

	tls_settled(s->ssl);
	session_id_wanted(s);
	s->handshaking = false;
	s->want_read = true;
	s->want_write = false;
	tls_server_name(s->ssl, name, sizeof(name));
	tls_describe(s->ssl, how, sizeof(how));
	auth_tell_tls(s, name, how, cert, user);
	if (s->greeted)
		dlg_tls_started(&s->dlg);
}

void
client_handshake(struct session *s)
{
	const struct resume_store store = {resume_channel_get, resume_channel_put, &s->signer};
	int n, err;

	/* Requests of this handshake go out on this connection's channel. */
	remotekey_set_signer(remotekey_channel, &s->signer);
	resume_set_store(&store);
	ERR_clear_error();
	n = SSL_do_handshake(s->ssl);
	resume_set_store(NULL);
	if (n == 1) {
		/* The signer waits for the last word: no session is one, too. */
		if (s->w->set.session_lifetime_ms != 0)
			resume_channel_put(&s->signer, NULL, NULL, 0);
		tls_done(s);
		return;
	}
	err = SSL_get_error(s->ssl, n);
	s->want_read = err == SSL_ERROR_WANT_READ;
	s->want_write = err == SSL_ERROR_WANT_WRITE;
	if (!s->want_read && !s->want_write) {
		char why[200], text[300];

		tls_failure(s->ssl, n, why, sizeof(why));
		snprintf(text, sizeof(text), "TLS handshaking: SSL_accept() failed: %s", why);
		session_end(s, text);
	}
}

/* Returns the number of bytes written, 0 if it would block, -1 if it is over. */
static ssize_t
client_write(struct session *s, const char *p, size_t len)
{
	ssize_t n;

	if (s->ssl != NULL) {
		int err;

		ERR_clear_error();
		n = SSL_write(s->ssl, p, (int)len);
		if (n > 0)
			return n;
		err = SSL_get_error(s->ssl, (int)n);
		return err == SSL_ERROR_WANT_WRITE || err == SSL_ERROR_WANT_READ ? 0 : -1;
	}
	n = write(s->client_fd, p, len);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return n;
}

void
client_flush(struct session *s)
{
	while (s->out_sent < s->dlg.out_len) {
		ssize_t n = client_write(s, s->dlg.out + s->out_sent, s->dlg.out_len - s->out_sent);

		if (n == -1) {
			session_end(s, "Connection closed");
			return;
		}
		s->want_write = n == 0;
		if (n == 0)
			return;
		s->out_sent += (size_t)n;
	}
	s->want_write = false;
	s->out_sent = s->dlg.out_len = 0;
	if (s->phase == SP_CLOSE) {
		if (s->ssl != NULL)
			SSL_shutdown(s->ssl);
		session_end(s, s->reason);
	}
}

bool
client_read(struct session *s)
{
	size_t room = sizeof(s->in) - s->in_len;
	ssize_t n;

	if (s->ssl == NULL && room > PLAIN_READ_MAX)
		room = PLAIN_READ_MAX;
	if (room == 0) {
		session_end(s, "Input buffer full"); /* the dialog has swallowed or closed before */
		return false;
	}
	if (s->ssl != NULL) {
		int err;

		ERR_clear_error();
		n = SSL_read(s->ssl, s->in + s->in_len, (int)room);
		err = n > 0 ? SSL_ERROR_NONE : SSL_get_error(s->ssl, (int)n);
		if (err == SSL_ERROR_WANT_READ || err == SSL_ERROR_WANT_WRITE)
			return false;
		if (err == SSL_ERROR_ZERO_RETURN) /* he may still read: the end is one, too */
			SSL_shutdown(s->ssl);
	} else {
		n = read(s->client_fd, s->in + s->in_len, room);
		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			return false;
	}
	if (n <= 0) {
		session_end(s, "Connection closed");
		return false;
	}
	s->in_len += (size_t)n;
	return true;
}

void
session_consume(struct session *s, size_t used)
{
	if (used == 0)
		return;
	memmove(s->in, s->in + used, s->in_len - used);
	explicit_bzero(s->in + s->in_len - used, used); /* it may have been a password */
	s->in_len -= used;
}

void
client_start_tls(struct session *s)
{
	/* A byte behind the command, in the clear, closes the connection: it is
	 * neither a command nor part of the handshake (CVE-2021-33515's class). */
	if (s->in_len > 0) {
		s->dlg.out_len = 0;
		session_end(s, "Plaintext after STARTTLS");
		return;
	}
	client_flush(s);
	if (s->phase == SP_END)
		return;
	if (s->dlg.out_len > 0) /* somebody who does not read his replies */
		session_end(s, "Output buffer full before TLS");
	else if ((s->ssl = tls_new(s->client_fd, &s->rules)) == NULL)
		session_end(s, tls_error());
	else
		s->handshaking = true;
}
