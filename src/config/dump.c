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

/* Without old and meaningless ones and those under their other name. */
static bool
printed(const struct setting *s)
{
	return s->type != ST_OLD && s->type != ST_IGNORED && s->type != ST_NOT_BOOL;
}

static const void *
base(const struct config *c, const struct setting *s)
{
	return s->scope == SC_RULE ? (const void *)&c->rules : c;
}

/* What is outside of sections. */
static void
globals(FILE *out, const struct config *now, const struct config *usual)
{
	for (size_t i = 0; i < nsettings; i++) {
		const struct setting *s = &settings[i];
		char v[4096], u[4096];

		if ((s->scope != SC_GLOBAL && s->scope != SC_RULE) || !printed(s))
			continue;
		setting_format(s, base(now, s), v, sizeof(v));
		if (usual != NULL) {
			setting_format(s, base(usual, s), u, sizeof(u));
			if (strcmp(u, v) == 0)
				continue;
		}
		if ((s->type != ST_FILE && s->type != ST_SECRET) || v[0] != '\0')
			put(out, "", s->name, v);
	}
}

static void
scope(FILE *out, const char *indent, enum setting_scope sc, const void *now, const void *usual)
{
	for (size_t i = 0; i < nsettings; i++) {
		const struct setting *s = &settings[i];
		char v[4096], u[4096];

		if (s->scope != sc || !printed(s))
			continue;
		setting_format(s, now, v, sizeof(v));
		if (usual != NULL) {
			setting_format(s, usual, u, sizeof(u));
			if (strcmp(u, v) == 0)
				continue;
		}
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

/* Its heads, outermost first, as Dovecot nests them: "local NET {", each on a line
 * (lines) or behind one another.  Returns how many there are. */
static unsigned int
heads(const struct block_takes *t, bool lines, FILE *out)
{
	const struct conn_net *nets[2] = {&t->local, &t->remote};
	unsigned int n = 0;

	for (int i = 0; i < 2; i++) {
		struct conn_addr a = {.family = nets[i]->family};
		char ip[INET6_ADDRSTRLEN];

		if (a.family != 0) {
			memcpy(a.ip, nets[i]->ip, sizeof(a.ip));
			fprintf(out, "%*s%s %s/%u {", lines ? (int)n * 2 : 0, "",
			    i == 0 ? "local" : "remote", conn_addr_text(&a, ip), nets[i]->prefix);
			fputc(lines ? '\n' : ' ', out);
			n++;
		}
		if (i == 0 && t->names[0] != '\0') {
			fprintf(out, "%*slocal_name %s%s%s {%c", lines ? (int)n * 2 : 0, "",
			    strchr(t->names, ' ') != NULL ? "\"" : "", t->names,
			    strchr(t->names, ' ') != NULL ? "\"" : "", lines ? '\n' : ' ');
			n++;
		}
	}
	if (t->service != SERVICE__MAX) {
		fprintf(out, "%*sprotocol %s {%c", lines ? (int)n * 2 : 0, "",
		    service_name((enum service)t->service), lines ? '\n' : ' ');
		n++;
	}
	return n;
}

static bool
in_block(const struct config_block *b, const struct setting *s)
{
	return s->scope == SC_RULE && printed(s) && (b->has & RULE_BIT(s->rule)) != 0 &&
	    (s->rule != RULE_CERT || *((const char *)&b->rules + s->off) != '\0');
}

static void
block(const struct config_block *b, FILE *out)
{
	unsigned int depth = heads(&b->takes, true, out);
	char indent[16];

	snprintf(indent, sizeof(indent), "%*s", (int)depth * 2, "");
	for (size_t i = 0; i < nsettings; i++) {
		char v[4096];

		if (!in_block(b, &settings[i]))
			continue;
		setting_format(&settings[i], &b->rules, v, sizeof(v));
		put(out, indent, settings[i].name, v);
	}
	for (; depth > 0; depth--)
		fprintf(out, "%*s}\n", (int)depth * 2 - 2, "");
}

void
config_block_text(const struct config_block *b, char *dst, size_t cap)
{
	FILE *out = fmemopen(dst, cap, "w");
	unsigned int depth;
	const char *comma = "";

	dst[0] = '\0';
	if (out == NULL)
		return;
	depth = heads(&b->takes, false, out);
	for (size_t i = 0; i < nsettings; i++) {
		if (!in_block(b, &settings[i]))
			continue;
		fprintf(out, "%s%s", comma, settings[i].name);
		comma = ", ";
	}
	for (; depth > 0; depth--)
		fputs(" }", out);
	fclose(out);
	dst[cap - 1] = '\0';
}

void
config_dump(const struct config *c, bool changed_only, FILE *out)
{
	struct config *usual = malloc(sizeof(*usual));

	if (usual == NULL)
		return;
	config_defaults(usual);
	globals(out, c, changed_only ? usual : NULL);
	for (unsigned int i = 0; i < c->nblocks; i++)
		block(&c->blocks[i], out);
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
