/*
 * gatehouse: the supervisor and the tools that administrators use.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "supervisor/commands.h"
#include "supervisor/supervise.h"
#include "tools/tools.h"

static const char usage_text[] =
    "usage: gatehouse [-c FILE] [-F]           run (-F: in the foreground, log to stderr)\n"
    "       gatehouse check [-c FILE]          configuration, certificates, policies, kernel:\n"
    "                                          what would be enforced; status 78 if it would\n"
    "                                          not start\n"
    "       gatehouse config [-n] [-c FILE]    the effective settings (-n: only those that\n"
    "                                          differ from the defaults; -f FILTER, as\n"
    "                                          doveconf's: for such a connection)\n"
    "       gatehouse stats [-c FILE]          counters of the running one, for Prometheus\n"
    "       gatehouse policy COMMAND ...       check, explain, count, list, eval, diff, export,\n"
    "                                          verify, doctor, trace (--help says more)\n"
    "       gatehouse confine POLICY [--] CMD  run any program under a policy\n"
    "       gatehouse --version | --help\n"
    "FILE is " SYSCONF_DIR "/gatehouse/gatehouse.conf if none is named.\n"
    "Signals: HUP reloads, TERM drains and ends, INT ends, USR1 reopens the log.\n";

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv); /* argv[0] is the command's name */
} commands[] = {
    {"check", check_main},
    {"config", config_main},
    {"stats", stats_main},
    {"policy", policy_main},
    {"confine", confine_main},
};

static int
usage(FILE *to, int status)
{
	fputs(usage_text, to);
	return status;
}

static int
run(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {0}};
	const char *file = DEFAULT_CONFIG;
	bool foreground = false;
	int c;

	while ((c = getopt_long(argc, argv, "+c:FhV", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			file = optarg;
			break;
		case 'F':
			foreground = true;
			break;
		case 'h':
			return usage(stdout, EX_OK);
		case 'V':
			printf("gatehouse %s\n", VERSION);
			return EX_OK;
		default:
			return usage(stderr, EX_USAGE);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "gatehouse: unknown command %s\n", argv[optind]);
		return usage(stderr, EX_USAGE);
	}
	return supervise(file, foreground);
}

int
main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	return run(argc, argv);
}
