/*
 * `gatehouse policy eval` and `gatehouse policy diff`: questions about what a
 * policy decides, answered by its text.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "ipc/filters.h"
#include "policy/eval.h"
#include "policy/internal.h"
#include "tools/policy_cmd.h"
#include "tools/policy_text.h"

#define DENIED 1 /* status of eval */
#define WIDER 2  /* status of diff */

/* One word: a descriptor's name, @filter, a constant or a number. */
static bool
word_value(const struct policy *p, const char *word, uint64_t *v)
{
	char *end;
	int64_t c;

	for (unsigned int i = 0; i < p->nfds; i++) {
		if (strcmp(p->fds[i].name, word) == 0) {
			*v = (uint64_t)p->fds[i].number;
			return true;
		}
	}
	if (word[0] == '@' && filter_slot_by_name(word + 1) != -1) {
		*v = FILTER_ADDR(filter_slot_by_name(word + 1));
		return true;
	}
	if (const_find(word, &c)) {
		*v = (uint64_t)c;
		return true;
	}
	*v = word[0] == '-' ? (uint64_t)strtoll(word, &end, 0) : strtoull(word, &end, 0);
	return *word != '\0' && *end == '\0';
}

/* Words joined by '|'. */
static bool
arg_value(const struct policy *p, const char *arg, uint64_t *v)
{
	char copy[256], *save = NULL;
	uint64_t one;

	*v = 0;
	if (strlen(arg) >= sizeof(copy))
		return false;
	strcpy(copy, arg);
	for (char *w = strtok_r(copy, "|", &save); w != NULL; w = strtok_r(NULL, "|", &save)) {
		if (!word_value(p, w, &one))
			return false;
		*v |= one;
	}
	return *arg != '\0';
}

static bool
read_call(const struct policy_args *args, const struct policy *p, struct seccomp_data *sd)
{
	int x86_64, aarch64;
	char *end;

	*sd = (struct seccomp_data){.arch = policy_audit_arch(args->arch)};
	sd->nr = (int)strtoul(args->argv[1], &end, 0);
	if (*end != '\0') {
		if (!call_numbers(args->argv[1], &x86_64, &aarch64)) {
			fprintf(stderr, "gatehouse policy: \"%s\" is no system call\n", args->argv[1]);
			return false;
		}
		sd->nr = args->arch == PARCH_X86_64 ? x86_64 : aarch64;
	}
	for (int i = 2; i < args->argc; i++) {
		uint64_t v;

		if (!arg_value(p, args->argv[i], &v)) {
			fprintf(stderr, "gatehouse policy: \"%s\" is no value\n", args->argv[i]);
			return false;
		}
		sd->args[i - 2] = v;
	}
	return true;
}

static const struct policy_rule *
rule_for(const struct policy *p, enum policy_arch arch, const struct seccomp_data *sd)
{
	uint64_t a[POLICY_ARGS];

	for (unsigned int i = 0; i < POLICY_ARGS; i++)
		a[i] = sd->args[i];
	for (unsigned int i = 0; i < p->nrules; i++) {
		const struct policy_rule *r = &p->rules[i];

		if ((arch == PARCH_X86_64 ? r->nr_x86_64 : r->nr_aarch64) == sd->nr &&
		    rule_matches(r, a))
			return r;
	}
	return NULL;
}

static void
print_verdict(const struct policy_args *args, const struct policy *p,
    const struct seccomp_data *sd, uint32_t ret, const char *before)
{
	const struct policy_rule *r = rule_for(p, args->arch, sd);
	char text[40];

	policy_ret_text(ret, text, sizeof(text));
	if (args->json) {
		printf("%s{\"policy\":\"%s\",\"verdict\":\"%s\",\"line\":%u,\"why\":", before,
		    p->name, text, r != NULL ? r->line : 0);
		json_string(stdout, r != NULL ? r->why : "");
		printf("}");
	} else if (r != NULL) {
		printf("%s: %s (%s:%u: %s)\n", p->name, text, rule_file(p, r), r->line, r->why);
	} else {
		printf("%s: %s (%s)\n", p->name, text,
		    p->seccomp == NEED_OFF ? "seccomp off" : "no rule allows it");
	}
}

/* The policy's own word, and that of each filter which stays in force above it. */
int
policy_cmd_eval(const struct policy_args *args)
{
	const char *name = args->argv[0];
	struct policy *p = policy_open(args, name);
	const char *before = "[";
	struct seccomp_data sd;
	char parent[32] = "";
	bool denied = false;

	if (p == NULL)
		return EX_CONFIG;
	if (!read_call(args, p, &sd)) {
		free(p);
		return EX_USAGE;
	}
	while (p != NULL) {
		uint32_t ret = policy_decide(p, args->arch, &sd);

		print_verdict(args, p, &sd, ret, before);
		before = ",";
		denied = denied || policy_ret_rank(ret) < policy_ret_rank(SECCOMP_RET_LOG);
		snprintf(parent, sizeof(parent), "%s",
		    p->follows[0] != '\0' ? p->follows : p->within);
		free(p);
		p = parent[0] != '\0' ? policy_open(args, parent) : NULL;
		if (p == NULL && parent[0] != '\0')
			return EX_CONFIG;
	}
	if (args->json)
		printf("]\n");
	return denied ? DENIED : 0;
}

struct change {
	const struct policy *old, *new;
	const struct policy_args *args;
	enum policy_arch arch;
	struct policy_points pt;
	bool wider, narrower, undecided;
	unsigned int printed;
};

static void
print_change(struct change *c, const struct policy_rule *r, const struct seccomp_data *sd, bool wider)
{
	uint32_t before = policy_decide(c->old, c->arch, sd);
	uint32_t after = policy_decide(c->new, c->arch, sd);
	char from[40], to[40], call[300];
	enum arg_type type;
	size_t len = (size_t)snprintf(call, sizeof(call), "%s(", r->call);

	for (unsigned int i = 0; i < POLICY_ARGS && len < sizeof(call); i++) {
		const char *arg = call_arg_name(r->call, i, &type);

		if (c->pt.n[i] > 0 && arg != NULL)
			len += (size_t)snprintf(call + len, sizeof(call) - len, "%s%s = 0x%llx",
			    call[len - 1] == '(' ? "" : ", ", arg, (unsigned long long)sd->args[i]);
	}
	policy_ret_text(before, from, sizeof(from));
	policy_ret_text(after, to, sizeof(to));
	if (c->args->json) {
		printf("%s{\"change\":\"%s\",\"call\":", c->printed++ > 0 ? "," : "",
		    wider ? "wider" : "narrower");
		snprintf(call + strlen(call), sizeof(call) - strlen(call), ")");
		json_string(stdout, call);
		printf(",\"old\":\"%s\",\"new\":\"%s\"}", from, to);
	} else {
		printf("%c %s): %s -> %s\n", wider ? '+' : '-', call, from, to);
	}
}

/* One example of each kind for a call that either policy names. */
static void
diff_call(struct change *c, const struct policy_rule *r, int nr)
{
	struct seccomp_data sd = {.nr = nr, .arch = policy_audit_arch(c->arch)};
	unsigned int pos[POLICY_ARGS] = {0};
	bool wider = false, narrower = false;

	policy_points_init(&c->pt);
	policy_points_of(&c->pt, c->old, c->arch, nr);
	policy_points_of(&c->pt, c->new, c->arch, nr);
	policy_points_ready(&c->pt);
	c->undecided = c->undecided || c->pt.full;
	policy_points_first(&c->pt, &sd);
	do {
		uint32_t before = policy_decide(c->old, c->arch, &sd);
		uint32_t after = policy_decide(c->new, c->arch, &sd);
		int d = policy_ret_rank(after) - policy_ret_rank(before);

		if (d > 0 && !wider)
			print_change(c, r, &sd, true);
		else if ((d < 0 || (d == 0 && before != after)) && !narrower)
			print_change(c, r, &sd, false);
		wider = wider || d > 0;
		narrower = narrower || d < 0 || before != after;
	} while (policy_points_next(&c->pt, pos, &sd));
	c->wider = c->wider || wider;
	c->narrower = c->narrower || narrower;
}

/* On x86_64, and then those calls that only aarch64 has. */
static void
diff_rules(struct change *c)
{
	bool seen[1024] = {false};

	for (int which = 0; which < 4; which++) {
		const struct policy *p = which % 2 == 0 ? c->old : c->new;

		c->arch = which < 2 ? PARCH_X86_64 : PARCH_AARCH64;
		for (unsigned int i = 0; i < p->nrules; i++) {
			const struct policy_rule *r = &p->rules[i];
			int nr = c->arch == PARCH_X86_64 ? r->nr_x86_64 : r->nr_aarch64;

			if (which == 2 && i == 0)
				memset(seen, 0, sizeof(seen));
			if (nr < 0 || nr >= 1024 || seen[nr] ||
			    (c->arch == PARCH_AARCH64 && r->nr_x86_64 != -1))
				continue;
			seen[nr] = true;
			diff_call(c, r, nr);
		}
	}
}

/* One line about something that is no rule. */
static void
say_layer(struct change *c, const char *what, bool wider)
{
	c->wider = c->wider || wider;
	c->narrower = c->narrower || !wider;
	if (c->args->json)
		printf("%s{\"change\":\"%s\",\"layer\":\"%s\"}", c->printed++ > 0 ? "," : "",
		    wider ? "wider" : "narrower", what);
	else
		printf("%c %s\n", wider ? '+' : '-', what);
}

static void
say_wider(void *arg, const char *what)
{
	say_layer(arg, what, true);
}

static void
say_narrower(void *arg, const char *what)
{
	say_layer(arg, what, false);
}

/* Everything but the rules, in both directions. */
static void
diff_layers(struct change *c)
{
	struct policy *a = malloc(sizeof(*a)), *b = malloc(sizeof(*b));

	if (a == NULL || b == NULL) {
		c->undecided = true;
		goto out;
	}
	*a = *c->old;
	*b = *c->new;
	/* that they are two policies is no change of rights */
	memcpy(a->name, b->name, sizeof(a->name));
	memcpy(a->follows, b->follows, sizeof(a->follows));
	memcpy(a->within, b->within, sizeof(a->within));
	a->seccomp = b->seccomp = NEED_REQUIRED;
	a->def = b->def; /* said beside the rules */
	policy_wider_layers(a, b, say_wider, c);
	policy_wider_layers(b, a, say_narrower, c);
out:
	free(a);
	free(b);
}

int
policy_cmd_diff(const struct policy_args *args)
{
	struct policy *old = policy_open(args, args->argv[0]);
	struct policy *new = policy_open(args, args->argv[1]);
	struct change *c = calloc(1, sizeof(*c));
	int status = EX_CONFIG;

	if (old == NULL || new == NULL || c == NULL)
		goto out;
	c->old = old;
	c->new = new;
	c->args = args;
	if (args->json)
		printf("{\"changes\":[");
	diff_layers(c);
	if (old->seccomp != new->seccomp) {
		say_layer(c, "seccomp", new->seccomp == NEED_OFF);
	} else if (old->seccomp != NEED_OFF) {
		if (old->def != new->def || old->def_err != new->def_err)
			say_layer(c, "default", old->def == PACT_KILL && new->def != PACT_KILL);
		diff_rules(c);
	}
	if (args->json)
		printf("],\"wider\":%s}\n", c->wider || c->undecided ? "true" : "false");
	else if (!c->wider && !c->narrower && !c->undecided)
		printf("the same behaviour\n");
	if (c->undecided)
		fprintf(stderr, "gatehouse policy: too many values to compare: taken as wider\n");
	status = c->wider || c->undecided ? WIDER : 0;
out:
	free(old);
	free(new);
	free(c);
	return status;
}
