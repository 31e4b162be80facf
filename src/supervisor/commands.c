#include "supervisor/commands.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "confine/confine.h"
#include "confine/layers.h"
#include "supervisor/helper.h"
#include "supervisor/plan.h"

#define SIGNER_MS 10000

static void
print_diag(const struct diag *d)
{
	char text[1200];

	diag_format(d, text, sizeof(text));
	fprintf(stderr, "gatehouse: %s\n", text);
}

/* -c FILE; false: usage was printed. */
static bool
options(int argc, char **argv, const char **file)
{
	int c;

	optind = 1;
	*file = DEFAULT_CONFIG;
	while ((c = getopt(argc, argv, "c:")) == 'c')
		*file = optarg;
	if (c == -1 && optind == argc)
		return true;
	fprintf(stderr, "usage: gatehouse %s [-c FILE]\n", argv[0]);
	return false;
}

/* ---- stats ---------------------------------------------------------------- */

int
stats_main(int argc, char **argv)
{
	struct config *c = calloc(1, sizeof(*c));
	struct diag d = {0};
	char path[300], text[4096];
	const char *file;
	FILE *f = NULL;
	int status = EX_CONFIG;
	size_t n;

	if (c == NULL || !options(argc, argv, &file)) {
		free(c);
		return EX_USAGE;
	}
	config_defaults(c);
	plan_build_tree(c);
	if (config_load(c, file, NULL, &d) == -1) {
		print_diag(&d);
	} else {
		snprintf(path, sizeof(path), "%s/stats", c->base_dir);
		status = (f = fopen(path, "re")) != NULL ? EX_OK : EX_UNAVAILABLE;
		if (f == NULL)
			fprintf(stderr, "gatehouse: %s: %s (is it running?)\n", path, strerror(errno));
	}
	while (f != NULL && (n = fread(text, 1, sizeof(text), f)) > 0)
		fwrite(text, 1, n, stdout);
	if (f != NULL)
		fclose(f);
	free(c);
	return status;
}

/* ---- check ---------------------------------------------------------------- */

static bool
key_answer(const struct plan *p, struct msgin *m)
{
	const struct plan_key *k;
	char type[64], error[512];
	uint8_t status = rd_u8(&m->r);
	const uint8_t *spki;
	size_t len;
	bool fits;

	rd_str(&m->r, type, sizeof(type));
	spki = rd_block(&m->r, PLAN_SPKI_MAX, &len);
	rd_str(&m->r, error, sizeof(error));
	if (!msg_end(m) || m->id >= p->nkeys)
		return false;
	k = &p->keys[m->id];
	fits = len == k->spki_len && memcmp(spki, k->spki, len) == 0;
	if (status != 0)
		printf("key       %s: %s\n", k->path, error);
	else if (!fits)
		printf("key       %s: does not belong to %s\n", k->path, k->cert);
	else
		printf("key       %s: %s, fits %s\n", k->path, type, k->cert);
	return status == 0 && fits;
}

/* Hello, then an answer for each key. */
static bool
talk_to_signer(struct helper *h, const struct plan *p)
{
	static uint8_t buf[MSG_MAX];
	struct pollfd pfd = {.fd = h->control_fd, .events = POLLIN};
	unsigned int answers = 0;
	struct layer_report late;
	struct hello hello;
	char text[1000];
	struct msgout out;
	struct msgin m;
	bool good = true;

	if (poll(&pfd, 1, SIGNER_MS) != 1 ||
	    msg_recv(h->control_fd, R_SUPERVISOR, R_KEYS, &m, buf) != 1 ||
	    !hello_get(&m, R_KEYS, &hello) ||
	    layer_report_unpack(&late, hello.layers, hello.layers_len) == -1)
		return false;
	layer_report_merge(&h->layers, &late);
	layer_report_text(&h->layers, text, sizeof(text));
	printf("layers    %s\n", text);
	hello_put(&out, R_SUPERVISOR, NULL, 0);
	helper_tell(h, &out);
	helper_send_keys(h, p);
	while (answers < p->nkeys && poll(&pfd, 1, SIGNER_MS) == 1) {
		if (msg_recv(h->control_fd, R_SUPERVISOR, R_KEYS, &m, buf) != 1)
			return false;
		good = m.type == MSG_KEY_INFO && key_answer(p, &m) && good;
		answers++;
	}
	msg_begin(&out, MSG_STOP, 0);
	helper_tell(h, &out);
	return good && answers == p->nkeys;
}

/* The real signer, behind its real walls, judges the real keys. */
static bool
try_signer(const struct plan *p)
{
	struct helper h = {.role = R_KEYS, .control_fd = -1, .log.fd = -1, .worker_log.fd = -1};
	struct diag d = {0};
	bool good;

	if (helper_start(&h, p, &d) == -1) {
		print_diag(&d);
		return false;
	}
	good = talk_to_signer(&h, p);
	kill(h.pid, SIGKILL);
	waitpid(h.pid, NULL, 0);
	helper_close(&h);
	if (!good)
		printf("signer    did not come up with good keys\n");
	return good;
}

static void
print_kernel(const struct layer_report *rep)
{
	printf("kernel    Landlock ABI %u\n", rep->landlock_abi);
	for (int l = 0; l < LAYER__MAX; l++) {
		if (rep->state[l] == LAYER_NOT_ASKED)
			continue;
		printf("kernel    %-24s %s%s%s\n", layer_name((enum layer)l),
		    layer_state_name((enum layer_state)rep->state[l]),
		    rep->err[l] != 0 ? ": " : "", rep->err[l] != 0 ? strerror(rep->err[l]) : "");
	}
}

/* The one layer that workers have and the signer, which is tried, has not. */
static bool
score_possible(const struct plan *p, const struct layer_report *rep)
{
	if (p->score_need != NEED_REQUIRED || rep->state[LAYER_OOM_SCORE] == LAYER_ENFORCED ||
	    (p->conf.confine_optional >> LAYER_OOM_SCORE & 1) != 0)
		return true;
	printf("workers   the layer \"%s\" is required and not enforced; or without this wall: "
	       "`confine_optional = %s`\n", layer_name(LAYER_OOM_SCORE), layer_word(LAYER_OOM_SCORE));
	return false;
}

static void
print_policies(const struct plan *p)
{
	for (int i = 0; i < POL__MAX; i++) {
		const struct policy *pol = &p->policies.policy[i];
		unsigned int allowed, unpinned;

		policy_count(pol, &allowed, &unpinned);
		printf("policy    %-12s %s  %u system calls, %u of them unpinned%s\n",
		    policy_file_name((enum policy_id)i), p->policies.fingerprint[i], allowed,
		    unpinned, pol->seccomp == NEED_OFF ? "  SECCOMP OFF" : "");
		if (p->policies.from_site[i])
			printf("          from %s\n", pol->file);
		if (p->policies.widened[i][0] != '\0')
			printf("          WIDER than the shipped one: %s\n", p->policies.widened[i]);
	}
}

static void
print_services(const struct config *c)
{
	char text[400];

	for (int i = 0; i < SERVICE__MAX; i++) {
		if (!c->service[i].enabled)
			continue;
		config_service_text(c, (enum service)i, text, sizeof(text));
		printf("service   %s\n", text);
	}
}

static void
print_blocks(const struct config *c)
{
	char text[1000];

	for (unsigned int i = 0; i < c->nblocks; i++) {
		config_block_text(&c->blocks[i], text, sizeof(text));
		printf("block     %s\n", text);
	}
}

int
check_main(int argc, char **argv)
{
	struct layer_report rep = {0};
	struct diag d = {0};
	const char *file;
	struct plan *p;
	bool good;

	if (!options(argc, argv, &file))
		return EX_USAGE;
	p = plan_load(file, stderr, &d);
	if (p == NULL) {
		print_diag(&d);
		return EX_CONFIG;
	}
	printf("config    %s: %u listeners\n", file, p->conf.nlisteners);
	print_services(&p->conf);
	print_blocks(&p->conf);
	confine_probe(&rep);
	print_kernel(&rep);
	print_policies(p);
	good = score_possible(p, &rep);
	fflush(stdout);
	good = try_signer(p) && good;
	printf("%s\n", good ? "gatehouse would start" : "gatehouse would not start");
	plan_free(p);
	return good ? EX_OK : EX_CONFIG;
}
