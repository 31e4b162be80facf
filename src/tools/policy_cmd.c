#include "tools/policy_cmd.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "policy/eval.h"
#include "policy/internal.h"
#include "supervisor/commands.h"
#include "tools/policy_text.h"
#include "tools/tools.h"

static const char usage[] =
    "usage: gatehouse policy check [-j] [-d DIR] [FILE...]\n"
    "       gatehouse policy explain [-j] [-d DIR] FILE\n"
    "       gatehouse policy count [-j] [-d DIR] [FILE...]\n"
    "       gatehouse policy list [-d DIR] FILE\n"
    "       gatehouse policy eval [-j] [-a ARCH] [-d DIR] FILE CALL [ARG...]\n"
    "       gatehouse policy diff [-j] [-d DIR] OLD NEW\n"
    "       gatehouse policy export --bpf|--asm|--oci|--systemd [-a ARCH] [-d DIR] FILE\n"
    "       gatehouse policy verify [-j] [-c CONFIG] [-d DIR] PID\n"
    "FILE is a path, or the name of a policy in DIR.  -j, --json: for machines.\n"
    "-a, --arch: x86_64 or aarch64.  See gatehouse.policy(5).\n";

void
policy_complain(const struct diag *d)
{
	char text[1200];

	diag_format(d, text, sizeof(text));
	fprintf(stderr, "gatehouse policy: %s\n", text);
}

/* In a source tree its policy/, else the installed directory. */
static const char *
default_dir(void)
{
	static char path[PATH_MAX + 32];
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);
	char *cut;

	if (n > 0) {
		path[n] = '\0';
		/* TREE/build/bin/gatehouse */
		for (int i = 0; i < 3; i++)
			if ((cut = strrchr(path, '/')) != NULL)
				*cut = '\0';
		strcat(path, "/policy/login.policy");
		if (access(path, R_OK) == 0) {
			*strrchr(path, '/') = '\0';
			return path;
		}
	}
	return POLICY_DIR;
}

struct policy *
policy_open(const struct policy_args *args, const char *name)
{
	struct policy *p = calloc(1, sizeof(*p));
	char copy[PATH_MAX], *base, *dot;
	const char *dir = args->dir;
	struct diag d = {0};

	if (p == NULL || (size_t)snprintf(copy, sizeof(copy), "%s", name) >= sizeof(copy)) {
		fprintf(stderr, "gatehouse policy: cannot open %s\n", name);
		free(p);
		return NULL;
	}
	dot = strlen(copy) > 7 ? copy + strlen(copy) - 7 : copy;
	if (strcmp(dot, ".policy") == 0) {
		*dot = '\0';
		dir = "."; /* it has the form of a file name */
	}
	base = strrchr(copy, '/');
	if (base != NULL) {
		*base++ = '\0';
		dir = copy[0] != '\0' ? copy : "/";
	} else {
		base = copy;
	}
	if (policy_load(p, dir, base, &d) == 0)
		return p;
	policy_complain(&d);
	free(p);
	return NULL;
}

static int
check_set(const struct policy_args *args)
{
	struct policy_set *s = calloc(1, sizeof(*s));
	struct diag d = {0};
	int status = EX_OK;

	if (s == NULL)
		return EX_OSERR;
	if (policy_set_load(s, args->dir, NULL, false, &d) == -1) {
		policy_complain(&d);
		status = EX_CONFIG;
	}
	for (int i = 0; status == EX_OK && i < POL__MAX; i++) {
		if (args->json)
			printf("%s{\"policy\":\"%s\",\"instructions\":%zu,\"fingerprint\":\"%s\"}%s",
			    i == 0 ? "[" : ",", policy_file_name((enum policy_id)i), s->whole[i].n,
			    s->fingerprint[i], i + 1 == POL__MAX ? "]\n" : "");
		else
			printf("%-12s %s  %3zu instructions\n", policy_file_name((enum policy_id)i),
			    s->fingerprint[i], s->whole[i].n);
	}
	if (status == EX_OK && !args->json)
		printf("installed for each connection: login difference %zu, tls-proxy difference %zu\n",
		    s->login_diff.n, s->tls_proxy_diff.n);
	policy_set_free(s);
	free(s);
	return status;
}

static int
check_file(const struct policy_args *args, const char *name)
{
	struct policy *p = policy_open(args, name);
	struct policy_bpf b[2] = {{0}};
	struct diag d = {0};
	int status = EX_CONFIG;

	if (p == NULL)
		return EX_CONFIG;
	if (policy_compile(p, PARCH_X86_64, &b[0], &d) == 0 &&
	    policy_compile(p, PARCH_AARCH64, &b[1], &d) == 0) {
		if (args->json)
			printf("{\"policy\":\"%s\",\"x86_64\":%zu,\"aarch64\":%zu}\n", p->name, b[0].n,
			    b[1].n);
		else
			printf("%s: good; %zu instructions on x86_64, %zu on aarch64\n", p->file,
			    b[0].n, b[1].n);
		status = EX_OK;
	} else {
		policy_complain(&d);
	}
	policy_bpf_free(&b[0]);
	policy_bpf_free(&b[1]);
	free(p);
	return status;
}

static int
cmd_check(const struct policy_args *args)
{
	int status = EX_OK;

	if (args->argc == 0)
		return check_set(args);
	for (int i = 0; i < args->argc; i++)
		if (check_file(args, args->argv[i]) != EX_OK)
			status = EX_CONFIG;
	return status;
}

static int
cmd_explain(const struct policy_args *args)
{
	struct policy *p = policy_open(args, args->argv[0]);

	if (p == NULL)
		return EX_CONFIG;
	if (args->json)
		policy_explain_json(stdout, p);
	else
		policy_explain(stdout, p);
	free(p);
	return EX_OK;
}

static int
cmd_list(const struct policy_args *args)
{
	struct policy *p = policy_open(args, args->argv[0]);

	if (p == NULL)
		return EX_CONFIG;
	policy_list(stdout, p);
	free(p);
	return EX_OK;
}

static int
count_one(const struct policy_args *args, const char *name)
{
	struct policy *p = policy_open(args, name);
	unsigned int allowed, unpinned;
	char text[200];

	if (p == NULL)
		return EX_CONFIG;
	policy_count(p, &allowed, &unpinned);
	policy_count_text(p, text, sizeof(text));
	if (args->json)
		printf("{\"policy\":\"%s\",\"seccomp\":%s,\"syscalls\":%u,\"free\":%u,\"pinned\":%u,"
		       "\"default\":\"%s\"}\n",
		    p->name, p->seccomp == NEED_OFF ? "false" : "true", allowed, unpinned,
		    allowed - unpinned, p->def == PACT_ERRNO ? "errno" : "kill-process");
	else
		printf("%-12s %s\n", p->name, text);
	free(p);
	return EX_OK;
}

static int
cmd_count(const struct policy_args *args)
{
	int status = EX_OK;

	for (int i = 0; args->argc == 0 && i < POL__MAX; i++)
		if (count_one(args, policy_file_name((enum policy_id)i)) != EX_OK)
			status = EX_CONFIG;
	for (int i = 0; i < args->argc; i++)
		if (count_one(args, args->argv[i]) != EX_OK)
			status = EX_CONFIG;
	return status;
}

static void
export_program(const struct policy_args *args, const struct policy *p, const struct policy_bpf *b)
{
	if (strcmp(args->format, "oci") == 0)
		policy_export_oci(stdout, p);
	else if (strcmp(args->format, "systemd") == 0)
		policy_export_systemd(stdout, p);
	else if (strcmp(args->format, "asm") == 0)
		policy_asm(stdout, b, args->arch);
	else
		fwrite(b->insn, sizeof(*b->insn), b->n, stdout);
}

static int
cmd_export(const struct policy_args *args)
{
	struct policy *p;
	struct policy_bpf b = {0};
	struct diag d = {0};
	int status = EX_OK;

	if (args->format == NULL) {
		fputs(usage, stderr);
		return EX_USAGE;
	}
	p = policy_open(args, args->argv[0]);
	if (p == NULL)
		return EX_CONFIG;
	/* nothing leaves that was not compiled and proven */
	if (policy_compile(p, args->arch, &b, &d) == -1) {
		policy_complain(&d);
		status = EX_CONFIG;
	} else {
		export_program(args, p, &b);
		if (fflush(stdout) != 0)
			status = EX_IOERR;
	}
	policy_bpf_free(&b);
	free(p);
	return status;
}

static const struct command {
	const char *name;
	int (*run)(const struct policy_args *args);
	int min, max; /* operands */
} commands[] = {
    {"check", cmd_check, 0, INT_MAX},
    {"explain", cmd_explain, 1, 1},
    {"count", cmd_count, 0, INT_MAX},
    {"list", cmd_list, 1, 1},
    {"eval", policy_cmd_eval, 2, 8},
    {"diff", policy_cmd_diff, 2, 2},
    {"export", cmd_export, 1, 1},
    {"verify", policy_cmd_verify, 1, 1},
};

/* Options stand before the operands, so that -1 can be an argument of a call. */
static bool
parse_options(struct policy_args *args, int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
	    {"dir", required_argument, NULL, 'd'}, {"config", required_argument, NULL, 'c'}, {"arch", required_argument, NULL, 'a'},
	    {"bpf", no_argument, NULL, 'B'}, {"asm", no_argument, NULL, 'A'},
	    {"oci", no_argument, NULL, 'O'}, {"systemd", no_argument, NULL, 'S'},
	    {NULL, 0, NULL, 0}};
	int c;

	optind = 0;
	while ((c = getopt_long(argc, argv, "+jc:d:a:", options, NULL)) != -1) {
		if (c == 'j')
			args->json = true;
		else if (c == 'c')
			args->config = optarg;
		else if (c == 'd') {
			args->dir = optarg;
			args->dir_given = true;
		}
		else if (c == 'a' && policy_arch_by_name(optarg, &args->arch))
			continue;
		else if (c == 'B')
			args->format = "bpf";
		else if (c == 'A')
			args->format = "asm";
		else if (c == 'O')
			args->format = "oci";
		else if (c == 'S')
			args->format = "systemd";
		else
			return false;
	}
	args->argc = argc - optind;
	args->argv = argv + optind;
	return true;
}

int
policy_main(int argc, char **argv)
{
	struct policy_args args = {.dir = default_dir(), .arch = policy_native_arch(),
	    .config = DEFAULT_CONFIG};

	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		if (!parse_options(&args, argc - 1, argv + 1) || args.argc < commands[i].min ||
		    args.argc > commands[i].max)
			break;
		return commands[i].run(&args);
	}
	fputs(usage, stderr);
	return EX_USAGE;
}
