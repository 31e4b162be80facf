/*
 * `gatehouse config`: the effective settings, in the file's own syntax.
 */
#include <stdlib.h>
#include <string.h>

#include "config/internal.h"

static bool
plain(const char *v)
{
	return *v != '\0' && strpbrk(v, "#\"'\\${}") == NULL && v[0] != ' ' &&
	    v[strlen(v) - 1] != ' ';
}

static void
put(FILE *out, const char *indent, const char *name, const char *v)
{
	fprintf(out, "%s%s = ", indent, name);
	if (plain(v)) {
		fprintf(out, "%s\n", v);
		return;
	}
	fputc('"', out);
	for (; *v != '\0'; v++) {
		if (*v == '"' || *v == '\\')
			fputc('\\', out);
		fputc(*v, out);
	}
	fputs("\"\n", out);
}

static void
scope(FILE *out, const char *indent, enum setting_scope sc, const void *now, const void *usual)
{
	for (size_t i = 0; i < nsettings; i++) {
		const struct setting *s = &settings[i];
		char v[4096], u[4096];

		if (s->scope != sc || s->type == ST_OLD || s->type == ST_IGNORED ||
		    s->type == ST_NOT_BOOL)
			continue;
		setting_format(s, now, v, sizeof(v));
		if (usual != NULL) {
			setting_format(s, usual, u, sizeof(u));
			if (strcmp(u, v) == 0)
				continue;
		}
		if ((s->type == ST_FILE || s->type == ST_SECRET) && v[0] == '\0')
			continue;
		put(out, indent, s->name, v);
	}
}

static void
listeners(const struct config *c, enum service sv, FILE *out)
{
	static const char *const names[SERVICE__MAX][2] = {{"imap", "imaps"}, {"pop3", "pop3s"}};

	for (unsigned int i = 0; i < c->nlisteners; i++) {
		const struct config_listener *l = &c->listeners[i];
		bool first = l->service == sv;

		for (unsigned int j = 0; j < i; j++)
			if (c->listeners[j].service == sv && strcmp(c->listeners[j].name, l->name) == 0)
				first = false;
		if (!first)
			continue;
		fprintf(out, "  inet_listener %s {\n    address = \"", l->name);
		for (unsigned int j = i; j < c->nlisteners; j++)
			if (c->listeners[j].service == sv && strcmp(c->listeners[j].name, l->name) == 0)
				fprintf(out, "%s%s", j > i ? ", " : "", c->listeners[j].address);
		fprintf(out, "\"\n    port = %u\n    ssl = %s\n  }\n", l->port, l->ssl ? "yes" : "no");
	}
	for (int n = 0; n < 2; n++) { /* a standard listener that is off */
		bool on = false;

		for (unsigned int i = 0; i < c->nlisteners; i++)
			if (c->listeners[i].service == sv &&
			    strcmp(c->listeners[i].name, names[sv][n]) == 0)
				on = true;
		if (!on)
			fprintf(out, "  inet_listener %s {\n    port = 0\n  }\n", names[sv][n]);
	}
}

static void
blocks(const struct config *c, FILE *out)
{
	for (unsigned int i = 0; i < c->nblocks; i++) {
		const struct block_settings *b = &c->blocks[i];
		const struct conn_net *nets[2] = {&b->local, &b->remote};
		char indent[16] = "", ip[INET6_ADDRSTRLEN];

		if (b->service != SERVICE__MAX) {
			fprintf(out, "protocol %s {\n", service_name((enum service)b->service));
			strcat(indent, "  ");
		}
		for (int n = 0; n < 2; n++) {
			struct conn_addr a = {.family = nets[n]->family};

			if (a.family == 0)
				continue;
			memcpy(a.ip, nets[n]->ip, sizeof(a.ip));
			fprintf(out, "%s%s %s/%u {\n", indent, n == 0 ? "local" : "remote",
			    conn_addr_text(&a, ip), nets[n]->prefix);
			strcat(indent, "  ");
		}
		for (size_t s = 0; s < nsettings; s++) {
			char v[64];
			uint8_t bit = settings[s].off == offsetof(struct block_settings, ssl)
			    ? BLOCK_SSL : BLOCK_PLAINTEXT;

			if (settings[s].scope != SC_BLOCK || settings[s].type == ST_NOT_BOOL ||
			    (b->has & bit) == 0)
				continue;
			setting_format(&settings[s], b, v, sizeof(v));
			put(out, indent, settings[s].name, v);
		}
		for (size_t n = strlen(indent); n > 0; n -= 2)
			fprintf(out, "%.*s}\n", (int)n - 2, indent);
	}
}

void
config_dump(const struct config *c, bool changed_only, FILE *out)
{
	struct config *usual = malloc(sizeof(*usual));

	if (usual == NULL)
		return;
	config_defaults(usual);
	scope(out, "", SC_GLOBAL, c, changed_only ? usual : NULL);
	if (c->ncerts > 0)
		scope(out, "", SC_CERT, &c->certs[0], NULL);
	for (unsigned int i = 1; i < c->ncerts; i++) {
		fprintf(out, "local_name %s {\n", c->certs[i].name);
		scope(out, "  ", SC_CERT, &c->certs[i], NULL);
		fputs("}\n", out);
	}
	blocks(c, out);
	for (int s = 0; s < SERVICE__MAX; s++) {
		fprintf(out, "service %s-login {\n", service_name((enum service)s));
		scope(out, "  ", SC_SERVICE, &c->service[s],
		    changed_only ? &usual->service[s] : NULL);
		listeners(c, (enum service)s, out);
		fputs("}\n", out);
	}
	free(usual);
}

void
config_service_text(const struct config *c, enum service s, char *dst, size_t cap)
{
	const struct config_service *v = &c->service[s];
	char idle[32], vsz[32];

	format_time(v->idle_kill_ms, idle, sizeof(idle));
	format_size(v->vsz_limit, vsz, sizeof(vsz));
	snprintf(dst, cap, "%s-login: %s, service_count %u, client_limit %u, process_limit %u, "
	    "process_min_avail %u, idle_kill %s, vsz_limit %s", service_name(s),
	    v->service_count != 1 ? "pooled" : v->spawn_exec ? "exec" : "fork", v->service_count,
	    v->client_limit, v->process_limit, v->process_min_avail, idle, vsz);
}
