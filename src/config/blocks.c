/*
 * local, remote, local_name and protocol blocks: which connections they take, their
 * order, and what holds in them.
 */
#include <string.h>

#include "common/str.h"
#include "config/load.h"

/* ---- the head of a block -------------------------------------------------- */

static int
wrong_head(struct diag *d, const struct line *ln, const char *file, const char *text,
    const char *hint)
{
	diag_set(d, file, ln->number, ln->column, "%s %.100s: %s", ln->key, ln->arg, text);
	diag_hint(d, "%s", hint);
	return -1;
}

/* "a.example", "*.example": letters, digits, "-", "_", dots. */
static bool
name_good(const char *s, size_t len)
{
	size_t n = len > 2 && strncmp(s, "*.", 2) == 0 ? 2 : 0;

	return n < len && len < 254 &&
	    strspn(s + n, "abcdefghijklmnopqrstuvwxyz0123456789-_.") >= len - n && s[n] != '.';
}

/* In lower case, with one blank between them. */
static bool
names_parse(const char *arg, char *dst, size_t cap)
{
	char lower[256];
	const char *s = lower;
	size_t n = 0;

	if (!str_copy(lower, sizeof(lower), arg))
		return false;
	for (char *p = lower; *p != '\0'; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p |= 0x20;
	while (*(s += strspn(s, " \t")) != '\0') {
		size_t len = strcspn(s, " \t");

		if (!name_good(s, len) || n + len + 2 > cap)
			return false;
		if (n > 0)
			dst[n++] = ' ';
		memcpy(dst + n, s, len);
		dst[n += len] = '\0';
		s += len;
	}
	return n > 0;
}

/* The one service that is meant; SERVICE__MAX: none that is served. */
static uint8_t
service_parse(const char *arg)
{
	bool not = arg[0] == '!';
	uint8_t found = SERVICE__MAX;

	for (uint8_t s = 0; s < SERVICE__MAX; s++)
		if ((strcmp(service_name((enum service)s), arg + not) == 0) != not)
			found = s;
	if (not && strcmp(arg, "!imap") != 0 && strcmp(arg, "!pop3") != 0)
		return SERVICE__MAX;
	return found;
}

static int
take_net(struct conn_net *net, const struct line *ln, const char *file, struct diag *d)
{
	if (conn_net_parse(ln->arg, net))
		return 0;
	return wrong_head(d, ln, file, "this is no network",
	    "10.0.0.0/8, 192.0.2.1, 2001:db8::/32; of several, a block for each");
}

int
block_head(struct block_takes *t, const struct line *ln, const char *file, struct diag *d)
{
	struct block_takes outer = *t;
	int rv = 0;

	if (strcmp(ln->key, "protocol") == 0) {
		t->service = service_parse(ln->arg);
		if (t->service == SERVICE__MAX)
			return wrong_head(d, ln, file, "gatehouse has the protocols imap and pop3",
			    "protocol imap, protocol pop3, protocol !imap");
	} else if (strcmp(ln->key, "local_name") == 0) {
		if (!names_parse(ln->arg, t->names, sizeof(t->names)))
			return wrong_head(d, ln, file, "a block needs one host name or more",
			    "mail.example.org, *.example.org, \"a.example b.example\"");
	} else {
		rv = take_net(strcmp(ln->key, "local") == 0 ? &t->local : &t->remote, ln, file, d);
	}
	if (rv == -1 || block_within(t, &outer))
		return rv;
	return wrong_head(d, ln, file, "it does not lie within the block around it",
	    "no connection is in both; put the two side by side");
}

/* ---- while the file is read ----------------------------------------------- */

int
loading_block(struct loading *ld, const struct block_takes *t, const char *file,
    unsigned int line)
{
	struct config *c = &ld->conf;
	struct config_block *b = &c->blocks[c->nblocks];

	for (unsigned int i = 0; i < c->nblocks; i++)
		if (block_within(&c->blocks[i].takes, t) && block_within(t, &c->blocks[i].takes))
			return (int)i;
	if (c->nblocks == BLOCKS_MAX)
		return -1;
	memset(b, 0, sizeof(*b));
	b->takes = *t;
	b->line = line;
	if (!str_copy(b->file, sizeof(b->file), file)) /* the end of a long path says more */
		str_copy(b->file, sizeof(b->file), file + strlen(file) + 1 - sizeof(b->file));
	return (int)c->nblocks++;
}

/* ---- all of them ---------------------------------------------------------- */

static void
overlay(struct config_rules *to, const struct config_block *b)
{
	for (size_t i = 0; i < nsettings; i++) {
		const struct setting *s = &settings[i];

		if (s->scope == SC_RULE && (b->has & RULE_BIT(s->rule)) != 0)
			memcpy((char *)to + s->off, (const char *)&b->rules + s->off, s->size);
	}
	/* What is made from them. */
	value_id_pairs(to->imap_id_text, to->imap_id_send, sizeof(to->imap_id_send));
	if ((b->has & RULE_BIT(RULE_CERT)) != 0)
		to->cert = b->rules.cert;
	if ((b->has & RULE_BIT(RULE_CA)) != 0)
		to->ca = b->rules.ca;
}

void
config_rules_at(const struct config *c, int block, struct config_rules *out)
{
	*out = c->rules;
	for (int i = 0; i < (int)c->nblocks && block >= 0; i++)
		if (block_within(&c->blocks[block].takes, &c->blocks[i].takes))
			overlay(out, &c->blocks[i]);
}

void
config_only_for(struct config *c, const struct conn_info *conn, const char *name)
{
	for (unsigned int i = 0; i < c->nblocks; i++)
		if (block_takes(&c->blocks[i].takes, conn, name))
			overlay(&c->rules, &c->blocks[i]);
	c->nblocks = 0;
}

static bool
named(const struct config_block *b)
{
	return b->takes.names[0] != '\0';
}

/* Of the rules in both, the name of one. */
static const char *
common_name(uint64_t rules)
{
	for (size_t i = 0; i < nsettings; i++)
		if (settings[i].scope == SC_RULE && (rules & RULE_BIT(settings[i].rule)) != 0)
			return settings[i].name;
	return "nothing";
}

/*
 * As in Dovecot a block may change what a wider one says; two that say the same
 * setting, and of which neither lies within the other, must not take the same
 * connection.  (Dovecot finds that out when such a connection comes.)  But a name is
 * always narrower than addresses for what a client may choose by asking for one
 * (NAME_WINS): a certificate may follow both.  What protects is not his to choose.
 */
#define NAME_WINS (RULE_BIT(RULE_CERT) | RULE_BIT(RULE_GREETING) | RULE_BIT(RULE_CAPABILITY) | \
	RULE_BIT(RULE_ID_SEND) | RULE_BIT(RULE_ID_LOG) | RULE_BIT(RULE_ID_RETAIN) | \
	RULE_BIT(RULE_LITERAL_MINUS) | RULE_BIT(RULE_LOG_FORMAT) | RULE_BIT(RULE_LOG_ELEMENTS))

static int
conflict(const struct config *c, unsigned int n, struct diag *d)
{
	const struct config_block *b = &c->blocks[n];

	for (unsigned int i = 0; i < n; i++) {
		const struct config_block *a = &c->blocks[i];

		uint64_t both = a->has & b->has & (named(a) != named(b) ? ~NAME_WINS : ~(uint64_t)0);

		if (both == 0 || !block_overlaps(&a->takes, &b->takes) ||
		    block_within(&a->takes, &b->takes) || block_within(&b->takes, &a->takes))
			continue;
		diag_set(d, b->file, b->line, 0, "this block and the one of %.100s:%u both set %s, and "
		    "there are connections that are in both", a->file, a->line,
		    common_name(both));
		diag_hint(d, "put one into the other, or say it where both meet");
		return -1;
	}
	return 0;
}

static bool
behind(const struct config_block *a, const struct config_block *b)
{
	return (named(a) && !named(b)) || block_within(&a->takes, &b->takes);
}

/* First those that no other of the rest is around, in the file's order; with names
 * behind all that are without. */
static void
sort(struct config *c)
{
	for (unsigned int n = 0; n < c->nblocks; n++) {
		unsigned int best = n;

		for (unsigned int i = n; i < c->nblocks; i++) {
			unsigned int j = n;

			while (j < c->nblocks && (j == i || !behind(&c->blocks[i], &c->blocks[j])))
				j++;
			if (j == c->nblocks) {
				best = i;
				break;
			}
		}
		for (; best > n; best--) {
			static struct config_block spare;

			spare = c->blocks[best];
			c->blocks[best] = c->blocks[best - 1];
			c->blocks[best - 1] = spare;
		}
	}
}

/* A TLS that no certificate is there for cannot be switched on by a block. */
static int
tls_for_all(const struct config *c, struct diag *d)
{
	for (unsigned int i = 0; i < c->nblocks && c->rules.ssl == SSL_NO; i++) {
		const struct config_block *b = &c->blocks[i];

		if ((b->has & RULE_BIT(RULE_SSL)) == 0 || b->rules.ssl == SSL_NO)
			continue;
		diag_set(d, b->file, b->line, 0, "this block has ssl, and outside of blocks it is off");
		diag_hint(d, "set ssl = yes there, and ssl = no in the blocks that are without");
		return -1;
	}
	return 0;
}

/* A block's certificate is a whole of its own: nobody wants one block's
 * certificate with another's key. */
static int
whole_cert(const struct config_block *b, struct diag *d)
{
	const struct config_cert *k = &b->rules.files;
	const char *lacks = NULL;

	if ((b->has & RULE_BIT(RULE_CERT)) == 0)
		return 0;
	if (k->cert_file[0] == '\0')
		lacks = "ssl_cert";
	else if (k->key_file[0] == '\0')
		lacks = "ssl_key";
	else if ((k->alt_cert_file[0] == '\0') != (k->alt_key_file[0] == '\0'))
		lacks = k->alt_key_file[0] == '\0' ? "ssl_alt_key" : "ssl_alt_cert";
	if (lacks == NULL)
		return 0;
	diag_set(d, b->file, b->line, 0, "the certificate of this block has no %s", lacks);
	diag_hint(d, "a certificate and its key come together, in one block");
	return -1;
}

int
loading_finish_blocks(struct loading *ld, struct diag *d)
{
	struct config *c = &ld->conf;

	for (unsigned int i = 0; i < c->nblocks; i++)
		if (conflict(c, i, d) == -1 || whole_cert(&c->blocks[i], d) == -1)
			return -1;
	sort(c);
	return tls_for_all(c, d);
}
