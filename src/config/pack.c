#include "config/pack.h"

#include <stdio.h>
#include <string.h>

#include "common/str.h"
#include "config/internal.h"
#include "ipc/logvar.h"

#define STOP_GRACE_MS 3000 /* from CONN_STOP to SIGKILL */

static uint8_t
model(const struct config_service *s)
{
	if (s->service_count != 1)
		return MODEL_POOLED;
	return s->spawn_exec ? MODEL_EXEC : MODEL_FORK;
}

/* The one place that decides whether sessions can be resumed, for workers and
 * signer.  What a session proves, it proves again without being asked. */
static uint32_t
session_lifetime_ms(const struct config *c)
{
	return c->ssl == SSL_NO || c->ssl_verify_client_cert ? 0 : c->ssl_session_lifetime_ms;
}

void
config_to_launcher(const struct config *c, struct launcher_settings *s)
{
	for (int i = 0; i < SERVICE__MAX; i++) {
		const struct config_service *from = &c->service[i];

		s->service[i] = (struct service_settings){.enabled = from->enabled,
		    .model = model(from),
		    .service_count = from->service_count,
		    .client_limit = from->client_limit,
		    .process_limit = from->process_limit,
		    .process_min_avail = from->process_min_avail,
		    .vsz_limit = from->vsz_limit == UINT64_MAX ? 0 : from->vsz_limit,
		    .idle_kill_ms = from->idle_kill_ms,
		    .template_max_uses = c->template_max_uses,
		    .template_max_age_ms = c->template_max_age_ms};
	}
	s->nnets = (uint16_t)c->nnets;
	memcpy(s->nets, c->login_trusted_networks, sizeof(s->nets));
	s->nblocks = (uint16_t)c->nblocks;
	memcpy(s->blocks, c->blocks, sizeof(s->blocks));
	s->ssl = c->ssl;
	s->disable_plaintext_auth = c->disable_plaintext_auth;
	s->tell_pids = logvar_names(c->login_log_format_elements, LOGVAR_OF_ELEMENTS, LV_PID);
	s->login_timeout_ms = c->login_timeout_ms;
	s->stop_grace_ms = STOP_GRACE_MS;
	s->debug = c->auth_debug;
}

static void
socket_name(const struct config *c, const char *path, char *dst, size_t cap)
{
	if (path[0] != '\0')
		str_copy(dst, cap, path + strlen(c->login_socket_dir) + 1);
}

void
config_to_auth(const struct config *c, struct auth_settings *s)
{
	str_copy(s->hostname, sizeof(s->hostname), c->hostname);
	socket_name(c, c->auth_socket_path, s->auth_socket, sizeof(s->auth_socket));
	socket_name(c, c->anvil_socket_path, s->anvil_socket, sizeof(s->anvil_socket));
	for (int i = 0; i < SERVICE__MAX; i++)
		str_copy(s->login_socket[i], sizeof(s->login_socket[i]),
		    service_name((enum service)i));
	str_copy(s->log_line, sizeof(s->log_line), c->login_log_format);
	str_copy(s->log_format, sizeof(s->log_format), c->login_log_format_elements);
	s->mail_max_userip_connections = c->mail_max_userip_connections;
	str_copy(s->imap_id_log, sizeof(s->imap_id_log), c->imap_id_log);
	s->imap_id_retain = c->imap_id_retain;
	s->auth_max_attempts = c->auth_max_attempts;
	s->auth_timeout_ms = c->auth_timeout_ms;
	s->handoff_timeout_ms = c->handoff_timeout_ms;
	s->ssl = c->ssl;
	s->disable_plaintext_auth = c->disable_plaintext_auth;
	s->client_certs = c->ssl_verify_client_cert;
	s->ssl_require_client_cert = c->auth_ssl_require_client_cert;
	s->ssl_username_from_cert = c->auth_ssl_username_from_cert;
	s->auth_verbose = c->auth_verbose;
	s->debug = c->auth_debug;
}

void
config_to_worker(const struct config *c, struct worker_settings *s)
{
	str_copy(s->hostname, sizeof(s->hostname), c->hostname);
	str_copy(s->greeting, sizeof(s->greeting), c->login_greeting);
	str_copy(s->imap_capability, sizeof(s->imap_capability), c->imap_capability);
	value_id_pairs(c->imap_id_send, s->imap_id_send, sizeof(s->imap_id_send));
	s->imap_id_wanted = c->imap_id_log[0] != '\0' || c->imap_id_retain;
	s->imap_literal_minus = c->imap_literal_minus;
	s->ssl = c->ssl;
	s->disable_plaintext_auth = c->disable_plaintext_auth;
	s->ssl_prefer_server_ciphers = c->ssl_prefer_server_ciphers;
	s->ssl_verify_client_cert = c->ssl_verify_client_cert;
	s->ssl_require_crl = c->ssl_require_crl;
	str_copy(s->ssl_cert_username_field, sizeof(s->ssl_cert_username_field),
	    c->ssl_cert_username_field);
	s->ssl_min_version = c->ssl_min_version;
	str_copy(s->ssl_cipher_list, sizeof(s->ssl_cipher_list), c->ssl_cipher_list);
	str_copy(s->ssl_cipher_suites, sizeof(s->ssl_cipher_suites), c->ssl_cipher_suites);
	str_copy(s->ssl_curve_list, sizeof(s->ssl_curve_list), c->ssl_curve_list);
	s->login_timeout_ms = c->login_timeout_ms;
	s->session_lifetime_ms = session_lifetime_ms(c);
	s->debug = c->auth_debug;
}

void
config_to_keys(const struct config *c, struct keys_settings *s)
{
	s->sign_limit = SIGN_LIMIT;
	s->session_lifetime_ms = session_lifetime_ms(c);
	s->debug = c->auth_debug;
}
