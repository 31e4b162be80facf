/*
 * `gatehouse config`: the effective settings, of all or of one kind of connection.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/str.h"
#include "config/config.h"
#include "supervisor/commands.h"
#include "supervisor/plan.h"

struct wanted {
	const char *file;
	bool changed_only;
	bool one; /* for the connections that -f names, not for all */
	struct conn_info conn;
	char name[256];
};

static int
usage(void)
{
	fputs("usage: gatehouse config [-n] [-c FILE] [-f local=IP|remote=IP|protocol=NAME|"
	      "lname=NAME] ...\n", stderr);
	return EX_USAGE;
}

static bool
take_address(const char *text, struct conn_addr *a)
{
	struct conn_net n;

	if (strchr(text, '/') != NULL || !conn_net_parse(text, &n))
		return false;
	a->family = n.family;
	memcpy(a->ip, n.ip, sizeof(a->ip));
	return true;
}

/* doveconf's words.  False: it is none. */
static bool
filter(struct wanted *w, const char *arg)
{
	const char *value = strchr(arg, '=');
	size_t n = value != NULL ? (size_t)(value - arg) : 0;

	if (value++ == NULL)
		return false;
	w->one = true;
	if (n == 5 && strncmp(arg, "local", n) == 0)
		return take_address(value, &w->conn.local);
	if (n == 6 && strncmp(arg, "remote", n) == 0)
		return take_address(value, &w->conn.remote);
	if (n == 5 && strncmp(arg, "lname", n) == 0)
		return str_copy(w->name, sizeof(w->name), value);
	if ((n == 8 && strncmp(arg, "protocol", n) == 0) || (n == 7 && strncmp(arg, "service", n) == 0))
		for (int s = 0; s < SERVICE__MAX; s++)
			if (strcmp(value, service_name((enum service)s)) == 0) {
				w->conn.service = (enum service)s;
				return true;
			}
	return false;
}

/* False: usage. */
static bool
options(int argc, char **argv, struct wanted *w)
{
	int c;

	*w = (struct wanted){.file = DEFAULT_CONFIG, .conn.service = SERVICE__MAX};
	optind = 1;
	while ((c = getopt(argc, argv, "c:f:n")) != -1) {
		if (c == 'c')
			w->file = optarg;
		else if (c == 'n')
			w->changed_only = true;
		else if (c != 'f')
			return false;
		else if (!filter(w, optarg)) {
			fprintf(stderr, "gatehouse: -f %s: this is no filter\n", optarg);
			return false;
		}
	}
	return optind == argc;
}

int
config_main(int argc, char **argv)
{
	struct config *c = calloc(1, sizeof(*c));
	struct diag d = {0};
	struct wanted w;
	char text[1200];
	int status = EX_OK;

	if (c == NULL)
		return EX_OSERR;
	if (!options(argc, argv, &w)) {
		free(c);
		return usage();
	}
	config_defaults(c);
	plan_build_tree(c);
	if (config_load(c, w.file, stderr, &d) == -1) {
		diag_format(&d, text, sizeof(text));
		fprintf(stderr, "gatehouse: %s\n", text);
		status = EX_CONFIG;
	} else {
		if (w.one)
			config_only_for(c, &w.conn, w.name);
		config_dump(c, w.changed_only, stdout);
	}
	free(c);
	return status;
}
