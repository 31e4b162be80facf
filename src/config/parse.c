/*
 * The file as a whole: sections, includes, references, old names.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/str.h"
#include "config/internal.h"
#include "config/load.h"

enum where {
	IN_GLOBAL,
	IN_SERVICE,
	IN_LISTENER,
	IN_BLOCK /* local, remote, local_name, protocol */
};

struct section {
	enum where where;
	unsigned int line;
	enum service service;
	struct config_listener *listener;
	struct block_takes takes; /* IN_BLOCK: which connections */
	int block;                /* IN_BLOCK: made with its first setting; -1: not yet */
};

struct parser {
	struct loading *ld;
	struct diag *d;
	struct section stack[CONFIG_DEPTH_MAX + 1];
	unsigned int depth, includes;
	char dir[PATH_MAX]; /* of the file being read */
};

static int parse_file(struct parser *p, const char *path);

static int
complain(struct parser *p, const struct lexer *l, const struct line *ln, const char *text)
{
	diag_set(p->d, l->file, ln->number, ln->column, "%s", text);
	return -1;
}

static struct section *
here(struct parser *p)
{
	return &p->stack[p->depth];
}

/* Where the value of a setting lies that is in force here: in a block around us, or
 * outside of blocks. */
static const void *
value_here(const struct parser *p, const struct setting *s)
{
	for (unsigned int i = p->depth; s->scope == SC_RULE && i > 0; i--) {
		const struct section *at = &p->stack[i];

		if (at->where == IN_BLOCK && at->block != -1 &&
		    (p->ld->conf.blocks[at->block].has & RULE_BIT(s->rule)) != 0)
			return &p->ld->conf.blocks[at->block].rules;
	}
	return s->scope == SC_RULE ? (const void *)&p->ld->conf.rules : &p->ld->conf;
}

/* $name anywhere in an unquoted value: what that setting is now. */
static int
expand(struct parser *p, const struct lexer *l, struct line *ln)
{
	static char out[CONFIG_LINE_MAX];
	const char *s = ln->value;
	size_t n = 0;

	if (ln->quoted || strchr(s, '$') == NULL)
		return 0;
	while (*s != '\0' && n + 1 < sizeof(out)) {
		char name[128], value[2048], text[256];
		const struct setting *ref;
		size_t len;

		if (*s != '$') {
			out[n++] = *s++;
			continue;
		}
		len = strspn(++s, "abcdefghijklmnopqrstuvwxyz0123456789_");
		if (len == 0) { /* login_log_format = %$: %s */
			out[n++] = '$';
			continue;
		}
		str_copy_n(name, sizeof(name), s, len);
		ref = setting_find(SC_GLOBAL, name);
		if (ref == NULL) {
			snprintf(text, sizeof(text), "$%.60s: no setting has this name", name);
			return complain(p, l, ln, text);
		}
		setting_format(ref, value_here(p, ref), value, sizeof(value));
		n += (size_t)snprintf(out + n, sizeof(out) - n, "%s", value);
		if (n >= sizeof(out))
			return complain(p, l, ln, "the value becomes too long");
		s += len;
	}
	out[n] = '\0';
	str_copy(ln->value, sizeof(ln->value), out);
	return 0;
}

/* ---- settings of Dovecot 1.x (dovecot-protocols D.12) --------------------- */

static void
set_both(struct loading *ld, size_t off, uint32_t v)
{
	for (int s = 0; s < SERVICE__MAX; s++)
		*(uint32_t *)((char *)&ld->conf.service[s] + off) = v;
}

static int
old_setting(struct parser *p, const struct lexer *l, const struct line *ln)
{
	static const struct {
		const char *old, *now;
		size_t off;
	} names[] = {
	    {"login_processes_count", "process_min_avail",
		offsetof(struct config_service, process_min_avail)},
	    {"login_max_processes_count", "process_limit",
		offsetof(struct config_service, process_limit)},
	    {"login_max_connections", "client_limit",
		offsetof(struct config_service, client_limit)},
	    {"login_process_per_connection", "service_count",
		offsetof(struct config_service, service_count)},
	};
	uint64_t v = 0;
	bool yes = false;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i].old, ln->key) != 0)
			continue;
		if (strcmp(names[i].now, "service_count") == 0) {
			if (!value_bool(ln->value, &yes))
				return complain(p, l, ln, "must be yes or no");
			v = yes ? 1 : 0;
		} else if (!value_count(ln->value, 100000, &v)) {
			return complain(p, l, ln, "is no number");
		}
		set_both(p->ld, names[i].off, (uint32_t)v);
		loading_notice(p->ld, "%s:%u: %s is a setting of Dovecot 1.x; today it is `service "
		    "imap-login { %s = %llu }` and the same for pop3-login", l->file, ln->number,
		    ln->key, names[i].now, (unsigned long long)v);
	}
	return 0;
}

/* ---- one setting ---------------------------------------------------------- */

static void *
base_of(struct parser *p, enum setting_scope scope)
{
	struct section *s = here(p);

	switch (scope) {
	case SC_SERVICE:
		return &p->ld->conf.service[s->service];
	case SC_LISTENER:
		return s->listener;
	case SC_RULE:
		return s->where == IN_BLOCK ? &p->ld->conf.blocks[s->block].rules : &p->ld->conf.rules;
	case SC_GLOBAL:
		break;
	}
	return &p->ld->conf;
}

static const struct place {
	enum setting_scope scope;
	const char *words;
} places[] = {
    [IN_GLOBAL] = {SC_GLOBAL, ""},
    [IN_SERVICE] = {SC_SERVICE, " in a service"},
    [IN_LISTENER] = {SC_LISTENER, " in an inet_listener"},
    [IN_BLOCK] = {SC_RULE, " in a local, remote, local_name or protocol block"},
};

static int
unknown(struct parser *p, const struct lexer *l, const struct line *ln)
{
	const struct place *at = &places[here(p)->where];
	const char *near = setting_nearest(at->scope, ln->key);
	bool global = setting_find(SC_GLOBAL, ln->key) != NULL;
	bool service = setting_find(SC_SERVICE, ln->key) != NULL;

	if (at->scope == SC_RULE && (global || service)) {
		diag_set(p->d, l->file, ln->number, 1, "%s cannot be set%s", ln->key, at->words);
		diag_hint(p->d, service ? "a process serves connections of all kinds: it belongs into "
		    "service imap-login or pop3-login"
			: "it is the same for all connections: set it outside of blocks");
		return -1;
	}
	diag_set(p->d, l->file, ln->number, 1, "unknown setting %s%s", ln->key, at->words);
	if (near != NULL)
		diag_hint(p->d, "did you mean %s?", near);
	else
		diag_hint(p->d, "gatehouse.conf is a file of its own: Dovecot's other settings stay "
		    "in dovecot.conf");
	return -1;
}

/* The first setting makes the block that it is in. */
static int
enter_block(struct parser *p, const struct lexer *l, const struct line *ln,
    const struct setting *st)
{
	struct section *s = here(p);

	if (s->takes.names[0] != '\0' && (RULES_NOT_BY_NAME & RULE_BIT(st->rule)) != 0) {
		diag_set(p->d, l->file, ln->number, 1, "%s cannot be set in a local_name block", ln->key);
		diag_hint(p->d, "it is decided before the client has named a server: local, remote and "
		    "protocol blocks have it");
		return -1;
	}
	if (s->block == -1)
		s->block = loading_block(p->ld, &s->takes, l->file, s->line);
	if (s->block == -1) {
		diag_set(p->d, l->file, s->line, 0, "more than %d local, remote, local_name and protocol "
		    "blocks", BLOCKS_MAX);
		diag_hint(p->d, "one local_name block may have several names: local_name \"a.example "
		    "b.example\"");
		return -1;
	}
	p->ld->conf.blocks[s->block].has |= RULE_BIT(st->rule);
	return 0;
}

static int
on_setting(struct parser *p, const struct lexer *l, struct line *ln)
{
	const struct setting *st = setting_find(places[here(p)->where].scope, ln->key);
	char why[200], text[600];

	if (st == NULL)
		return unknown(p, l, ln);
	if (st->type == ST_OLD)
		return old_setting(p, l, ln);
	if (st->type == ST_IGNORED) {
		loading_notice(p->ld, "%s:%u: %s has no meaning here and is ignored", l->file,
		    ln->number, ln->key);
		return 0;
	}
	if (expand(p, l, ln) == -1)
		return -1;
	if (here(p)->where == IN_BLOCK && enter_block(p, l, ln, st) == -1)
		return -1;
	if (setting_store(st, base_of(p, st->scope), ln->value, p->dir, why, sizeof(why)) == 0) {
		loading_seen(p->ld, st, here(p)->where == IN_SERVICE ? (int)here(p)->service : -1,
		    l->file, ln->number);
		return 0;
	}
	if (st->type == ST_SECRET)
		snprintf(text, sizeof(text), "%s %s", ln->key, why);
	else
		snprintf(text, sizeof(text), "%s: \"%.80s\" %s", ln->key, ln->value, why);
	return complain(p, l, ln, text);
}

/* ---- sections ------------------------------------------------------------- */

static bool
service_by_name(const char *name, const char *suffix, enum service *out)
{
	for (int s = 0; s < SERVICE__MAX; s++) {
		char want[32];

		snprintf(want, sizeof(want), "%s%s", service_name((enum service)s), suffix);
		if (strcmp(want, name) == 0) {
			*out = (enum service)s;
			return true;
		}
	}
	return false;
}

static bool
is_block(const char *key)
{
	return strcmp(key, "local") == 0 || strcmp(key, "remote") == 0 ||
	    strcmp(key, "local_name") == 0 || strcmp(key, "protocol") == 0;
}

/* In any order, inside of one another. */
static int
open_block(struct parser *p, const struct lexer *l, const struct line *ln, struct section *next)
{
	next->where = IN_BLOCK;
	next->block = -1;
	next->takes.service = SERVICE__MAX;
	if (here(p)->where == IN_BLOCK)
		next->takes = here(p)->takes;
	if (block_head(&next->takes, ln, l->file, p->d) == -1)
		return -1;
	p->stack[++p->depth] = *next;
	return 0;
}

static int
open_section(struct parser *p, const struct lexer *l, const struct line *ln)
{
	struct section next = {.line = ln->number};
	enum where w = here(p)->where;

	if (p->depth == CONFIG_DEPTH_MAX)
		return complain(p, l, ln, "sections are nested too deeply");
	if (w == IN_GLOBAL && strcmp(ln->key, "service") == 0) {
		next.where = IN_SERVICE;
		if (!service_by_name(ln->arg, "-login", &next.service))
			return complain(p, l, ln, "gatehouse has the services imap-login and pop3-login");
	} else if (w == IN_SERVICE && strcmp(ln->key, "inet_listener") == 0) {
		next.where = IN_LISTENER;
		next.service = here(p)->service;
		next.listener = loading_listener(p->ld, next.service, ln->arg);
		if (next.listener == NULL)
			return complain(p, l, ln, "too many listeners");
	} else if ((w == IN_GLOBAL || w == IN_BLOCK) && is_block(ln->key)) {
		return open_block(p, l, ln, &next);
	} else {
		diag_set(p->d, l->file, ln->number, ln->column, "unknown section %s%s%s", ln->key,
		    ln->arg[0] != '\0' ? " " : "", ln->arg);
		diag_hint(p->d, "service imap-login, service pop3-login, inet_listener, local_name, "
		    "local, remote, protocol");
		return -1;
	}
	p->stack[++p->depth] = next;
	return 0;
}

static int
include_one(struct parser *p, const char *path)
{
	char dir[PATH_MAX];
	int rv;

	str_copy(dir, sizeof(dir), p->dir);
	p->includes++;
	rv = parse_file(p, path);
	p->includes--;
	str_copy(p->dir, sizeof(p->dir), dir);
	return rv;
}

static int
on_include(struct parser *p, const struct lexer *l, const struct line *ln)
{
	char pattern[PATH_MAX + CONFIG_LINE_MAX];
	glob_t g = {0};
	int rv = 0;

	if (p->includes == CONFIG_INCLUDE_MAX)
		return complain(p, l, ln, "files include each other too deeply");
	snprintf(pattern, sizeof(pattern), "%s%s%s", ln->value[0] == '/' ? "" : p->dir,
	    ln->value[0] == '/' ? "" : "/", ln->value);
	if (glob(pattern, 0, NULL, &g) != 0 || g.gl_pathc == 0) {
		globfree(&g);
		if (strcmp(ln->arg, "try") == 0)
			return 0;
		diag_set(p->d, l->file, ln->number, ln->column, "no file matches %s", pattern);
		diag_hint(p->d, "!include_try does not mind");
		return -1;
	}
	for (size_t i = 0; i < g.gl_pathc && rv == 0; i++)
		rv = include_one(p, g.gl_pathv[i]);
	globfree(&g);
	return rv;
}

/* ---- files ---------------------------------------------------------------- */

static int
on_line(struct parser *p, const struct lexer *l, struct line *ln, unsigned int floor)
{
	switch (ln->kind) {
	case LINE_SETTING:
		return on_setting(p, l, ln);
	case LINE_SECTION:
		return open_section(p, l, ln);
	case LINE_INCLUDE:
		return on_include(p, l, ln);
	case LINE_CLOSE:
		if (p->depth == floor)
			return complain(p, l, ln, "} without a section");
		p->depth--;
		return 0;
	case LINE_END:
		break;
	}
	return 0;
}

static int
parse_text(struct parser *p, const char *name, const char *text, size_t len)
{
	static struct line ln;
	unsigned int floor = p->depth;
	struct lexer l;

	config_lex_init(&l, name, text, len);
	for (;;) {
		if (config_lex_next(&l, &ln, p->d) == -1)
			return -1;
		if (ln.kind == LINE_END)
			break;
		if (on_line(p, &l, &ln, floor) == -1)
			return -1;
	}
	if (p->depth == floor)
		return 0;
	diag_set(p->d, name, here(p)->line, 0, "the section that begins here is never closed");
	diag_hint(p->d, "a } is missing");
	return -1;
}

static char *
slurp(const char *path, size_t *len, struct diag *d)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *buf = fd != -1 ? malloc(CONFIG_FILE_MAX + 1) : NULL;
	ssize_t n = 0;

	*len = 0;
	while (buf != NULL && *len <= CONFIG_FILE_MAX &&
	    (n = read(fd, buf + *len, CONFIG_FILE_MAX + 1 - *len)) > 0)
		*len += (size_t)n;
	if (buf == NULL || n == -1) {
		diag_set(d, NULL, 0, 0, "cannot read %s: %s", path, strerror(errno));
		if (errno == ENOENT)
			diag_hint(d, "-c FILE names the configuration");
	} else if (*len > CONFIG_FILE_MAX) {
		diag_set(d, path, 0, 0, "larger than %u bytes", CONFIG_FILE_MAX);
	} else {
		close(fd);
		return buf;
	}
	if (fd != -1)
		close(fd);
	free(buf);
	return NULL;
}

static void
directory_of(const char *path, char *dst, size_t cap)
{
	char real[PATH_MAX], copy[PATH_MAX];

	if (realpath(path, real) == NULL)
		str_copy(real, sizeof(real), path);
	str_copy(copy, sizeof(copy), real);
	str_copy(dst, cap, dirname(copy));
}

static int
parse_file(struct parser *p, const char *path)
{
	size_t len;
	char *text = slurp(path, &len, p->d);
	int rv;

	if (text == NULL)
		return -1;
	directory_of(path, p->dir, sizeof(p->dir));
	rv = parse_text(p, path, text, len);
	free(text);
	return rv;
}

int
loading_file(struct loading *ld, const char *path, struct diag *d)
{
	struct parser p = {.ld = ld, .d = d};

	return parse_file(&p, path);
}

int
loading_text(struct loading *ld, const char *name, const char *text, size_t len, struct diag *d)
{
	struct parser p = {.ld = ld, .d = d};

	if (len > CONFIG_FILE_MAX) {
		diag_set(d, name, 0, 0, "larger than %u bytes", CONFIG_FILE_MAX);
		return -1;
	}
	return parse_text(&p, name, text, len);
}
