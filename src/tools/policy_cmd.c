#include "tools/policy_cmd.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/str.h"
#include "policy/eval.h"
#include "policy/internal.h"
#include "supervisor/commands.h"
#include "tools/policy_text.h"
#include "tools/tools.h"

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
policy_read(const struct policy_args *args, const char *name, struct diag *d)
{
	struct policy *p = calloc(1, sizeof(*p));
	char copy[PATH_MAX], *base, *dot;
	const char *dir = args->dir;

	if (p == NULL || (size_t)snprintf(copy, sizeof(copy), "%s", name) >= sizeof(copy)) {
		diag_set(d, NULL, 0, 0, "cannot open %.200s", name);
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
	if (policy_load(p, dir, base, d) == 0)
		return p;
	free(p);
	return NULL;
}

struct policy *
policy_open(const struct policy_args *args, const char *name)
{
	struct diag d = {0};
	struct policy *p = policy_read(args, name, &d);

	if (p == NULL)
		policy_complain(&d);
	return p;
}

static void
print_error_json(const char *before, const char *name, const struct diag *d)
{
	char text[1200];

	diag_format(d, text, sizeof(text));
	printf("%s{\"policy\":", before);
	json_string(stdout, name);
	printf(",\"error\":");
	json_string(stdout, text);
	printf("}");
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
		if (args->json)
			print_error_json("", args->dir, &d);
		else
			policy_complain(&d);
		status = EX_CONFIG;
	}
	for (int i = 0; status == EX_OK && i < POL__MAX; i++) {
		if (args->json)
			printf("%s{\"policy\":\"%s\",\"instructions\":%zu,\"fingerprint\":\"%s\"}",
			    i == 0 ? "" : ",", policy_file_name((enum policy_id)i), s->whole[i].n,
			    s->fingerprint[i]);
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
check_file(const struct policy_args *args, const char *name, const char *before)
{
	struct diag d = {0};
	struct policy *p = policy_read(args, name, &d);
	struct policy_bpf b[2] = {{0}};
	bool good = p != NULL && policy_compile(p, PARCH_X86_64, &b[0], &d) == 0 &&
	    policy_compile(p, PARCH_AARCH64, &b[1], &d) == 0;

	if (good && args->json)
		printf("%s{\"policy\":\"%s\",\"x86_64\":%zu,\"aarch64\":%zu}", before, p->name,
		    b[0].n, b[1].n);
	else if (good)
		printf("%s: good; %zu instructions on x86_64, %zu on aarch64\n", p->file, b[0].n,
		    b[1].n);
	else if (args->json)
		print_error_json(before, name, &d);
	else
		policy_complain(&d);
	policy_bpf_free(&b[0]);
	policy_bpf_free(&b[1]);
	free(p);
	return good ? EX_OK : EX_CONFIG;
}

static int
cmd_check(const struct policy_args *args)
{
	int status = EX_OK;

	if (args->json)
		putchar('[');
	if (args->argc == 0)
		status = check_set(args);
	for (int i = 0; i < args->argc; i++)
		if (check_file(args, args->argv[i], i > 0 ? "," : "") != EX_OK)
			status = EX_CONFIG;
	if (args->json)
		printf("]\n");
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
count_one(const struct policy_args *args, const char *name, const char *before)
{
	struct policy *p = policy_open(args, name);
	unsigned int allowed, unpinned;
	char text[200];

	if (p == NULL)
		return EX_CONFIG;
	policy_count(p, &allowed, &unpinned);
	policy_count_text(p, text, sizeof(text));
	if (args->json)
		printf("%s{\"policy\":\"%s\",\"seccomp\":%s,\"syscalls\":%u,\"free\":%u,"
		       "\"pinned\":%u,\"default\":\"%s\"}",
		    before, p->name, p->seccomp == NEED_OFF ? "false" : "true", allowed, unpinned,
		    allowed - unpinned, p->def == PACT_ERRNO ? "errno" : "kill-process");
	else
		printf("%-12s %s\n", p->name, text);
	free(p);
	return EX_OK;
}

static int
cmd_count(const struct policy_args *args)
{
	int n = args->argc > 0 ? args->argc : POL__MAX, status = EX_OK;
	const char *before = "";
	uint64_t pid;

	if (args->pid != NULL) {
		if (str_to_u64(args->pid, INT32_MAX, &pid) && pid > 0 && args->argc == 0)
			return policy_count_pid(args, (pid_t)pid);
		return policy_usage(args);
	}
	if (args->json)
		putchar('[');
	for (int i = 0; i < n; i++) {
		if (count_one(args, args->argc > 0 ? args->argv[i]
						   : policy_file_name((enum policy_id)i),
			before) == EX_OK)
			before = ",";
		else
			status = EX_CONFIG;
	}
	if (args->json)
		printf("]\n");
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

	if (args->format == NULL)
		return policy_usage(args);
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

static const struct policy_command commands[] = {
    {"check", cmd_check, 0, INT_MAX, "jd", "[-j] [-d DIR] [FILE...]",
	"reads, compiles and proves policies; without FILE all of gatehouse's, with their chains"},
    {"explain", cmd_explain, 1, 1, "jd", "[-j] [-d DIR] FILE",
	"a sentence for each rule; what is left to somebody who takes the process over"},
    {"count", cmd_count, 0, INT_MAX, "jdp", "[-j] [-d DIR] [FILE...] | [-j] --pid PID",
	"system calls that get through: of policies, or of any running process (root)"},
    {"list", cmd_list, 1, 1, "d", "[-d DIR] FILE", "the policy resolved to numbers"},
    {"eval", policy_cmd_eval, 2, 8, "jad", "[-j] [-a ARCH] [-d DIR] FILE CALL [ARGUMENT...]",
	"would this call be allowed?  status 0: yes, 1: no"},
    {"diff", policy_cmd_diff, 2, 2, "jd", "[-j] [-d DIR] OLD NEW",
	"what changes by behaviour; status 2 if anything gets wider"},
    {"export", cmd_export, 1, 1, "ad", "--bpf|--asm|--oci|--systemd [-a ARCH] [-d DIR] FILE",
	"the program, or what a container runtime or systemd can express of the policy"},
    {"verify", policy_cmd_verify, 1, 1, "jcd", "[-j] [-c CONFIG] [-d DIR] PID",
	"is a process of gatehouse what its policy says?  (root) status 0: yes, 1: no"},
    {"doctor", policy_cmd_doctor, 0, 0, "jd", "[-j] [-d DIR]",
	"what this kernel offers; status 69 if something that policies require is missing"},
    {"trace", policy_cmd_trace, 2, INT_MAX, "jdo", "[-j] [-d DIR] [-o REPORT] FILE [--] COMMAND...",
	"runs a command without killing it; lists what the policy would have denied"},
};
#define NCOMMANDS (sizeof(commands) / sizeof(commands[0]))

static void
print_usage(FILE *f, const struct policy_command *only)
{
	const char *before = "usage: ";

	for (size_t i = 0; i < NCOMMANDS; i++) {
		if (only != NULL && only != &commands[i])
			continue;
		fprintf(f, "%sgatehouse policy %s %s\n", before, commands[i].name,
		    commands[i].synopsis);
		fprintf(f, "           %s\n", commands[i].what);
		before = "       ";
	}
	fputs("FILE is a path that ends in .policy, or the name of a policy in DIR (-d, --dir).\n"
	      "-j, --json: for machines.", f);
	if (only == NULL || strchr(only->options, 'a') != NULL)
		fputs("  -a, --arch: x86_64 or aarch64.", f);
	if (only == NULL || strchr(only->options, 'c') != NULL)
		fputs("  -c, --config: gatehouse's configuration.", f);
	if (only == NULL || strchr(only->options, 'o') != NULL)
		fputs("  -o, --output: not to standard error.", f);
	fputs("\nSee gatehouse-policy(1) and gatehouse.policy(5).\n", f);
}

int
policy_usage(const struct policy_args *args)
{
	print_usage(stderr, args->command);
	return EX_USAGE;
}

/* Options stand before the operands, so that -1 can be an argument of a call. */
static bool
parse_options(struct policy_args *args, int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
	    {"dir", required_argument, NULL, 'd'}, {"config", required_argument, NULL, 'c'},
	    {"output", required_argument, NULL, 'o'}, {"pid", required_argument, NULL, 'p'},
	    {"arch", required_argument, NULL, 'a'}, {"bpf", no_argument, NULL, 'B'},
	    {"asm", no_argument, NULL, 'A'}, {"oci", no_argument, NULL, 'O'},
	    {"systemd", no_argument, NULL, 'S'}, {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0}};
	static const struct {
		int option;
		const char *name;
	} formats[] = {{'B', "bpf"}, {'A', "asm"}, {'O', "oci"}, {'S', "systemd"}};
	bool export = args->command->run == cmd_export;
	int c;

	optind = 0;
	while ((c = getopt_long(argc, argv, "+jc:d:a:o:p:h", options, NULL)) != -1) {
		bool format = false;

		for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
			if (export && formats[i].option == c) {
				args->format = formats[i].name;
				format = true;
			}
		}
		if (format)
			continue;
		if (c == 'h')
			args->help = true;
		else if (c == '?' || strchr(args->command->options, c) == NULL ||
		    (c == 'a' && !policy_arch_by_name(optarg, &args->arch)))
			return false;
		else if (c == 'j')
			args->json = true;
		else if (c == 'c')
			args->config = optarg;
		else if (c == 'o')
			args->output = optarg;
		else if (c == 'p')
			args->pid = optarg;
		else if (c == 'd') {
			args->dir = optarg;
			args->dir_given = true;
		}
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

	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		print_usage(stdout, NULL);
		return EX_OK;
	}
	for (size_t i = 0; argc > 1 && i < NCOMMANDS; i++) {
		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		args.command = &commands[i];
		if (!parse_options(&args, argc - 1, argv + 1))
			return policy_usage(&args);
		if (args.help) {
			print_usage(stdout, args.command);
			return EX_OK;
		}
		if (args.argc < commands[i].min || args.argc > commands[i].max)
			return policy_usage(&args);
		return commands[i].run(&args);
	}
	if (argc > 1)
		fprintf(stderr, "gatehouse policy: there is no command \"%s\"\n", argv[1]);
	print_usage(stderr, NULL);
	return EX_USAGE;
}
