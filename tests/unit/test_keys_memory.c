/*
 * The private keys' bytes, in either byte order, are in no memory of the signer
 * that anybody can read; where there is no secret memory they are, which shows
 * that the search finds them.
 */
/* SRC: tests/lib/signer_driver.c src/policy/lex.c src/policy/names.c src/policy/consts.c src/policy/syscalls.c src/policy/cond.c src/policy/parse.c src/policy/parse_layers.c src/policy/parse_rule.c src/policy/check.c src/policy/load.c src/policy/relate.c src/policy/compile.c src/policy/diff.c src/policy/code.c src/policy/prove.c src/policy/points.c src/policy/eval.c src/common/diag.c src/common/str.c src/common/log.c src/ipc/filters.c src/ipc/msg.c src/ipc/codec.c src/ipc/conn.c src/ipc/settings.c src/confine/layers.c src/ipc/blocks.c src/ipc/rules.c */
/* LIBS: -lseccomp -lcrypto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine/layers.h"
#include "signer_driver.h"
#include "testkeys.h"

#define NEEDLE 16 /* bytes, from the middle of a number */
#define ANSWER_MS 20000

struct needle {
	const char *what;
	uint8_t bytes[2][NEEDLE]; /* big-endian, little-endian */
};

static struct needle needles[16];
static unsigned int nneedles;
static const enum test_key kinds[] = {TK_P256, TK_RSA2048, TK_ED25519};
static const uint16_t algs[][2] = {{0x0403, 0x0403}, {0x0804, 0x0805}, {0x0807, 0x0807}};

static void
add(const char *what, const uint8_t *p, size_t len)
{
	struct needle *n = &needles[nneedles++];

	n->what = what;
	for (size_t i = 0; i < NEEDLE; i++)
		n->bytes[0][i] = n->bytes[1][NEEDLE - 1 - i] = p[(len - NEEDLE) / 2 + i];
}

static void
add_number(EVP_PKEY *key, const char *what, const char *name)
{
	unsigned char buf[600];
	BIGNUM *bn = NULL;
	int n;

	assert_int_equal(EVP_PKEY_get_bn_param(key, name, &bn), 1);
	n = BN_bn2bin(bn, buf);
	BN_free(bn);
	add(what, buf, (size_t)n);
}

static void
make_needles(void)
{
	uint8_t raw[32];
	size_t len = sizeof(raw);

	if (nneedles > 0)
		return;
	add_number(testkey(TK_P256), "EC scalar", OSSL_PKEY_PARAM_PRIV_KEY);
	add_number(testkey(TK_RSA2048), "RSA d", OSSL_PKEY_PARAM_RSA_D);
	add_number(testkey(TK_RSA2048), "RSA p", OSSL_PKEY_PARAM_RSA_FACTOR1);
	add_number(testkey(TK_RSA2048), "RSA q", OSSL_PKEY_PARAM_RSA_FACTOR2);
	add_number(testkey(TK_RSA2048), "RSA dp", OSSL_PKEY_PARAM_RSA_EXPONENT1);
	add_number(testkey(TK_RSA2048), "RSA dq", OSSL_PKEY_PARAM_RSA_EXPONENT2);
	assert_int_equal(EVP_PKEY_get_raw_private_key(testkey(TK_ED25519), raw, &len), 1);
	add("Ed25519 seed", raw, len);
}

static unsigned int
search_block(const uint8_t *p, size_t len, const char *where, bool found[16])
{
	unsigned int hits = 0;

	for (unsigned int i = 0; i < nneedles; i++) {
		for (int order = 0; order < 2; order++) {
			if (memmem(p, len, needles[i].bytes[order], NEEDLE) == NULL)
				continue;
			hits++;
			found[i] = true;
			if (where != NULL)
				print_message("%s (%s-endian) in %s", needles[i].what,
				    order == 0 ? "big" : "little", where);
		}
	}
	return hits;
}

/* All readable mappings of the process.  The number of hits; *seen: bytes. */
static unsigned int
search(pid_t pid, size_t *seen, bool found[16], bool loud)
{
	char path[64], line[400];
	unsigned int hits = 0;
	FILE *maps;
	int mem;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	maps = fopen(path, "r");
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	mem = open(path, O_RDONLY);
	assert_non_null(maps);
	assert_true(mem != -1);
	*seen = 0;
	while (fgets(line, sizeof(line), maps) != NULL) {
		unsigned long from, to;
		uint8_t *buf;
		ssize_t n;

		if (sscanf(line, "%lx-%lx r", &from, &to) != 2 || strstr(line, "[v") != NULL)
			continue;
		buf = malloc(to - from);
		assert_non_null(buf);
		n = pread(mem, buf, to - from, (off_t)from);
		if (n > 0) {
			*seen += (size_t)n;
			hits += search_block(buf, (size_t)n, loud ? line : NULL, found);
		}
		free(buf);
	}
	fclose(maps);
	close(mem);
	return hits;
}

static void
sign_some(struct signer *s)
{
	uint8_t tbs[146];
	struct msgout m;

	memset(tbs, ' ', 64);
	memcpy(tbs + 64, "TLS 1.3, server CertificateVerify", 34);
	memset(tbs + 98, 7, 48);
	for (int i = 0; i < 30; i++) {
		int fd = signer_conn(s, NULL);
		uint8_t buf[MSG_MAX];
		struct msgin in;

		msg_begin(&m, MSG_SIGN_REQ, 1);
		wr_u16(&m.w, (uint16_t)(i % 3));
		wr_u16(&m.w, algs[i % 3][i & 1]);
		wr_block(&m.w, tbs, sizeof(tbs));
		assert_int_equal(msg_write(fd, &m), 0);
		assert_true(signer_wait(fd, ANSWER_MS));
		assert_int_equal(msg_read(fd, R_WORKER, R_KEYS, &in, buf), 1);
		assert_int_equal(rd_u8(&in.r), 0);
		close(fd);
	}
}

static void
start(struct signer *s, bool without, const char *format)
{
	struct signer_options o = {.nkeys = 3, .no_memfd_secret = without};

	for (unsigned int i = 0; i < 3; i++)
		o.keys[i].data = testkey_file(testkey(kinds[i]), format, "PrivateKeyInfo", NULL,
		    &o.keys[i].len);
	assert_int_equal(signer_start(s, &o), 0);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(s->answers[i].status, 0);
		OPENSSL_free((void *)(uintptr_t)o.keys[i].data);
	}
	sign_some(s);
}

static void
need(void)
{
	const char *why = signer_available();

	if (why == NULL && geteuid() != 0)
		why = "root is needed to read the memory of another process";
	if (why != NULL) {
		print_message("skipped: %s\n", why);
		skip();
	}
	make_needles();
}

static enum layer_state
secret_state(const struct signer *s)
{
	struct layer_report rep;

	assert_int_equal(layer_report_unpack(&rep, s->hello.layers, s->hello.layers_len), 0);
	return (enum layer_state)rep.state[LAYER_SECRET_MEM];
}

static void
not_to_be_found(void **state)
{
	static const char *const formats[] = {"PEM", "DER"};

	(void)state;
	need();
	for (int f = 0; f < 2; f++) {
		bool found[16] = {false};
		struct signer s;
		size_t seen;

		start(&s, false, formats[f]);
		if (secret_state(&s) != LAYER_ENFORCED) {
			signer_stop(&s, true);
			print_message("skipped: this kernel has no memfd_secret\n");
			skip();
		}
		assert_int_equal(search(s.pid, &seen, found, true), 0);
		assert_true(seen > 1 << 20);
		assert_int_equal(signer_stop(&s, false), 0);
	}
}

/* Control: with memfd_secret refused the same search finds every one. */
static void
found_in_ordinary_memory(void **state)
{
	bool found[16] = {false};
	struct signer s;
	size_t seen;

	(void)state;
	need();
	start(&s, true, "PEM");
	assert_int_equal(secret_state(&s), LAYER_ABSENT);
	assert_true(search(s.pid, &seen, found, false) >= nneedles);
	for (unsigned int i = 0; i < nneedles; i++)
		if (!found[i])
			fail_msg("%s was not found", needles[i].what);
	assert_int_equal(signer_stop(&s, false), 0);
}

/* Locked, and in no core file. */
static void
ordinary_memory_is_locked(void **state)
{
	char path[64], line[400];
	bool arena = false, locked = false, no_dump = false;
	struct signer s;
	FILE *f;

	(void)state;
	need();
	start(&s, true, "PEM");
	snprintf(path, sizeof(path), "/proc/%d/smaps", (int)s.pid);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		unsigned long from, to, kb;

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			arena = to - from == 4u << 20;
		else if (arena && sscanf(line, "Locked: %lu kB", &kb) == 1)
			locked = locked || kb == 4096;
		else if (arena && strncmp(line, "VmFlags:", 8) == 0)
			no_dump = no_dump || (strstr(line, " dd") != NULL && strstr(line, " dc") != NULL);
	}
	fclose(f);
	assert_true(locked);
	assert_true(no_dump); /* not in dumps, not in a child */
	assert_int_equal(signer_stop(&s, false), 0);
}

/* The other ways into somebody's memory. */
static void
secret_memory_has_no_back_door(void **state)
{
	char path[64], line[400];
	unsigned int regions = 0;
	struct signer s;
	FILE *f;

	(void)state;
	need();
	start(&s, false, "PEM");
	if (secret_state(&s) != LAYER_ENFORCED) {
		signer_stop(&s, false);
		skip();
	}
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)s.pid);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		unsigned long from, to;
		char buf[64];

		if (strstr(line, "secretmem") == NULL || sscanf(line, "%lx-%lx", &from, &to) != 2)
			continue;
		struct iovec here = {buf, sizeof(buf)};
		struct iovec there = {(void *)(uintptr_t)from, sizeof(buf)};

		regions++;
		assert_int_equal(process_vm_readv(s.pid, &here, 1, &there, 1, 0), -1);
		assert_int_equal(errno, EFAULT);
		assert_int_equal(process_vm_writev(s.pid, &here, 1, &there, 1, 0), -1);
	}
	fclose(f);
	assert_int_equal(regions, 1);
	assert_int_equal(signer_stop(&s, false), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(not_to_be_found),
	    cmocka_unit_test(found_in_ordinary_memory),
	    cmocka_unit_test(ordinary_memory_is_locked),
	    cmocka_unit_test(secret_memory_has_no_back_door),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
