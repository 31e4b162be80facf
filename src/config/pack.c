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
	return c->rules.ssl == SSL_NO || c->rules.ssl_verify_client_cert ? 0
									  : c->ssl_session_lifetime_ms;
}

void
config_to_rules(const struct config_rules *from, struct rules *to)
{
#define RULE_U8(name) to->name = from->name;
#define RULE_U16 RULE_U8
#define RULE_U32 RULE_U8
#define RULE_STR RULE_U8
#define RULE_NETS(name) to->name = (struct net_list){from->name.p, from->name.len};
#define RULE(id, name, type, limit, who) RULE_##type(name)
#include "ipc/rules.def"
}

static void
rule_set(const struct config *c, struct rule_set *s)
{
	config_to_rules(&c->rules, &s->base);
	s->nblocks = (uint16_t)c->nblocks;
	for (unsigned int i = 0; i < c->nblocks; i++) {
		s->blocks[i].takes = c->blocks[i].takes;
		s->blocks[i].has = c->blocks[i].has;
		config_to_rules(&c->blocks[i].rules, &s->blocks[i].set);
	}
}

/* %{pid} in a line about any connection. */
static bool
tell_pids(const struct config *c)
{
	bool yes = logvar_names(c->rules.login_log_format_elements, LOGVAR_OF_ELEMENTS, LV_PID);

	for (unsigned int i = 0; i < c->nblocks && !yes; i++)
		yes = (c->blocks[i].has & RULE_BIT(RULE_LOG_ELEMENTS)) != 0 &&
		    logvar_names(c->blocks[i].rules.login_log_format_elements, LOGVAR_OF_ELEMENTS,
			LV_PID);
	return yes;
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
	rule_set(c, &s->rules);
	s->tell_pids = tell_pids(c);
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
	rule_set(c, &s->rules);
	s->debug = c->auth_debug;
}

void
config_to_worker(const struct config *c, struct worker_settings *s)
{
	str_copy(s->hostname, sizeof(s->hostname), c->hostname);
	rule_set(c, &s->rules);
	s->session_lifetime_ms = session_lifetime_ms(c);
	s->debug = c->auth_debug;
}

void
config_to_keys(const struct config *c, struct keys_settings *s)
{
	s->sign_limit = SIGN_LIMIT;
	s->sign_rate = c->ssl_max_signature_rate;
	s->session_lifetime_ms = session_lifetime_ms(c);
	s->debug = c->auth_debug;
}
