/*
 * Lines of the auth server in any pieces: reader, parser, fields, the meaning of
 * OK and FAIL; and the encoder: whatever goes in, one line with the expected
 * number of fields comes out, and says the same when it is read.
 */
/* SRC: src/auth/line.c src/auth/answer.c src/auth/logfmt.c src/auth/logmod.c src/ipc/logvar.c src/ipc/conn.c src/ipc/codec.c src/common/str.c */
#include <stdlib.h>
#include <string.h>

#include "auth/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void
check(int good)
{
	if (!good)
		abort();
}

static void
clean(const char *text)
{
	for (; *text != '\0'; text++)
		check((unsigned char)*text >= ' ' && *text != 0x7f);
}

static void
meaning(struct auth_line *l)
{
	static struct auth_answer a;
	static struct auth_failure f;

	answer_read(l, &a, "%{passdb:x} %{passdb:user:y}");
	answer_failure(&a, "mail.example.test", 1700000000, &f);
	check(f.fail < DLG_FAIL__MAX && strlen(f.text) < sizeof(f.text));
	clean(f.text);
	if (answer_refusal(&a, SERVICE_IMAP, "PLAIN", &f))
		clean(f.text);
}

/* Its data and binding lie inside of the line, in both dialects. */
static void
challenge(struct auth_line *l, const char *end)
{
	struct auth_line again = *l;
	struct auth_cont c;

	check(authline_cont(l, false, &c) && c.data + c.len == end);
	check(!c.out_of_band && !c.wants_binding);
	if (!authline_cont(&again, true, &c))
		return;
	check(c.data + c.len <= end && strlen(c.binding) < sizeof(c.binding));
	check(c.wants_binding == (c.binding[0] != '\0') && (c.wants_binding || !c.out_of_band));
}

static void
reader(const uint8_t *data, size_t len, size_t step)
{
	static struct line_reader r;

	line_reader_init(&r);
	while (len > 0) {
		size_t room, n, line_len;
		char *line, *to = line_reader_space(&r, &room);
		int rv;

		check(room > 0);
		n = step < len ? step : len;
		n = n < room ? n : room;
		memcpy(to, data, n);
		line_reader_added(&r, n);
		data += n;
		len -= n;
		while ((rv = line_reader_next(&r, &line, &line_len)) == 1) {
			struct auth_line l;

			check(line_len <= AUTH_LINE_MAX);
			if (authline_parse(line, line_len, &l) == -1)
				continue;
			if (l.verb == AV_OK || l.verb == AV_FAIL)
				meaning(&l);
			else if (l.verb == AV_CONT)
				challenge(&l, line + line_len);
		}
		if (rv == -1)
			return;
	}
}

static void
encoder(const uint8_t *data, size_t len)
{
	static struct auth_cmd c;
	static char word[4096];
	unsigned int tabs = 0, lfs = 0;
	struct auth_line l;
	struct auth_field f;

	len = len < sizeof(word) - 1 ? len : sizeof(word) - 1;
	memcpy(word, data, len);
	word[len] = '\0';
	authcmd_begin(&c, "OK");
	authcmd_number(&c, (uint32_t)len);
	authcmd_field(&c, "user", word);
	authcmd_resp(&c, data, len);
	if (!authcmd_end(&c))
		return;
	for (size_t i = 0; i < c.len; i++) {
		tabs += c.buf[i] == '\t';
		lfs += c.buf[i] == '\n';
		check(c.buf[i] != '\0' && c.buf[i] != '\r');
	}
	check(tabs == 3 && lfs == 1 && c.buf[c.len - 1] == '\n');
	check(authline_parse(c.buf, c.len - 1, &l) == 0 && authline_field(&l, &f));
	check(f.value_len == strlen(word) && memcmp(f.value, word, f.value_len) == 0);
	check(authline_field(&l, &f) && auth_field_is(&f, "resp") && !authline_field(&l, &f));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	reader(data, len, len);
	reader(data, len, 1 + len % 7);
	encoder(data, len);
	return 0;
}
