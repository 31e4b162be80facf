/*
 * Requests by hand, for tests of the signer (cmocka's headers come before this).
 */
#ifndef TESTS_SIGNER_REQUESTS_H
#define TESTS_SIGNER_REQUESTS_H

#include <string.h>
#include <unistd.h>

#include "signer_driver.h"
#include "testkeys.h"

#define ANSWER_MS 20000

static inline void
need_signer(void)
{
	const char *why = signer_available();

	if (why == NULL)
		return;
	print_message("skipped: %s\n", why);
	skip();
}

static inline size_t
content_13(uint8_t *p, size_t hash)
{
	memset(p, ' ', 64);
	memcpy(p + 64, "TLS 1.3, server CertificateVerify", 34);
	memset(p + 98, 0x5a, hash);
	return 98 + hash;
}

static inline int
ask(int fd, uint32_t id, uint16_t key, uint16_t alg, const uint8_t *tbs, size_t len)
{
	struct msgout m;

	msg_begin(&m, MSG_SIGN_REQ, id);
	wr_u16(&m.w, key);
	wr_u16(&m.w, alg);
	wr_block(&m.w, tbs, len);
	return msg_write(fd, &m);
}

static inline int
ask_well(int fd, uint32_t id)
{
	uint8_t tbs[200];

	return ask(fd, id, 0, 0x0403, tbs, content_13(tbs, 32));
}

/* The status of the next answer; -1: the channel is closed; -2: silence. */
static inline int
answer(int fd, uint32_t id, unsigned int ms)
{
	static uint8_t buf[MSG_MAX];
	struct msgin m;
	size_t len;
	int n, status;

	if (!signer_wait(fd, ms))
		return -2;
	n = msg_read(fd, R_WORKER, R_KEYS, &m, buf);
	if (n != 1)
		return -1;
	assert_int_equal(m.type, MSG_SIGN_RES);
	assert_int_equal(m.id, id);
	status = rd_u8(&m.r);
	rd_block(&m.r, 512, &len);
	assert_true(msg_end(&m));
	assert_true((status == 0) == (len > 0));
	return status;
}

static inline void
conn_tls_comes(struct signer *s, uint32_t id)
{
	struct msgin m;

	assert_int_equal(signer_auth_next(s, &m, 0), 0);
	assert_int_equal(m.type, MSG_CONN_TLS);
	assert_int_equal(m.id, id);
}

/* An honest connection is served, now. */
static inline void
honest(struct signer *s)
{
	uint32_t id;
	int fd = signer_conn(s, &id);

	assert_true(fd != -1);
	assert_int_equal(ask_well(fd, 7), 0);
	assert_int_equal(answer(fd, 7, ANSWER_MS), 0);
	conn_tls_comes(s, id);
	close(fd);
}

static inline void
start(struct signer *s, struct signer_options o)
{
	static unsigned char *file;
	static size_t len;

	need_signer();
	if (file == NULL)
		file = testkey_file(testkey(TK_P256), "PEM", "PrivateKeyInfo", NULL, &len);
	o.nkeys = 1;
	o.keys[0] = (struct signer_key){file, len, NULL};
	assert_int_equal(signer_start(s, &o), 0);
	assert_string_equal(s->answers[0].error, "");
}

static inline void
stop(struct signer *s)
{
	assert_true(signer_alive(s));
	assert_int_equal(signer_stop(s, false), 0);
}

#endif
