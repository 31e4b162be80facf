#include "supervisor/certs.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/str.h"

#define CERT_FILE_MAX (256 << 10)

static uint8_t *
read_file(const char *path, size_t *len, struct diag *d)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t *buf = NULL;
	ssize_t n;

	*len = 0;
	if (fd == -1) {
		diag_set(d, NULL, 0, 0, "cannot read the certificate %s: %s", path, strerror(errno));
		return NULL;
	}
	buf = malloc(CERT_FILE_MAX);
	while (buf != NULL && *len < CERT_FILE_MAX &&
	    (n = read(fd, buf + *len, CERT_FILE_MAX - *len)) > 0)
		*len += (size_t)n;
	close(fd);
	if (buf == NULL || *len == 0 || *len == CERT_FILE_MAX) {
		diag_set(d, NULL, 0, 0, "the certificate file %s is %s", path,
		    *len == 0 ? "empty" : "too large");
		free(buf);
		return NULL;
	}
	return buf;
}

/* The leaf of a PEM chain: its public key, and whether its time has come. */
static int
inspect(const char *path, const uint8_t *pem, size_t len, struct plan_key *key, FILE *warn,
    struct diag *d)
{
	BIO *bio = BIO_new_mem_buf(pem, (int)len);
	X509 *x = bio != NULL ? PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL) : NULL;
	unsigned char *p = key->spki;
	int n, rv = -1;

	if (x == NULL) {
		diag_set(d, NULL, 0, 0, "%s has no PEM certificate", path);
		goto out;
	}
	n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), NULL);
	if (n <= 0 || n > PLAN_SPKI_MAX) {
		diag_set(d, NULL, 0, 0, "%s: its public key is too large", path);
		goto out;
	}
	key->spki_len = (size_t)i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &p);
	key->type = X509_get0_pubkey(x) != NULL ? EVP_PKEY_get_base_id(X509_get0_pubkey(x)) : 0;
	if (warn != NULL && X509_cmp_current_time(X509_get0_notAfter(x)) <= 0)
		fprintf(warn, "certificate %s has expired\n", path);
	if (warn != NULL && X509_cmp_current_time(X509_get0_notBefore(x)) > 0)
		fprintf(warn, "certificate %s is not valid yet\n", path);
	rv = 0;
out:
	ERR_clear_error();
	X509_free(x);
	BIO_free(bio);
	return rv;
}

/* what: "key", or "password file". */
static int
open_secret(const char *path, const char *what, struct diag *d)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct stat st;

	if (fd == -1 || fstat(fd, &st) == -1) {
		diag_set(d, NULL, 0, 0, "cannot open the %s %s: %s", what, path, strerror(errno));
		if (errno == EACCES)
			diag_hint(d, "the supervisor keeps no right to override file modes: the %s "
			    "must be readable by the account that starts gatehouse", what);
	} else if (!S_ISREG(st.st_mode)) {
		diag_set(d, NULL, 0, 0, "the %s %s is not a file", what, path);
	} else if ((st.st_mode & S_IROTH) != 0) {
		diag_set(d, NULL, 0, 0, "the %s %s can be read by everybody", what, path);
		diag_hint(d, "chmod 600 %s", path);
	} else {
		return fd;
	}
	if (fd != -1)
		close(fd);
	return -1;
}

/* The first line of its file, or the setting itself. */
static int
key_password(const char *setting, char dst[KEY_PASSWORD_MAX + 1], struct diag *d)
{
	char buf[KEY_PASSWORD_MAX + 3] = ""; /* CR, LF, and one byte too many */
	ssize_t n;
	size_t len;
	int fd;

	if (setting[0] != '<') {
		str_copy(dst, KEY_PASSWORD_MAX + 1, setting);
		return 0;
	}
	fd = open_secret(setting + 1, "password file", d);
	if (fd == -1)
		return -1;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	len = n > 0 ? strcspn(buf, "\r\n") : 0;
	if (n == -1)
		diag_set(d, NULL, 0, 0, "cannot read the password file %s: %s", setting + 1,
		    strerror(errno));
	else if (len == 0 || len > KEY_PASSWORD_MAX)
		diag_set(d, NULL, 0, 0, "the password file %s %s", setting + 1,
		    len == 0 ? "begins with no password" : "has a first line that is too long");
	else
		str_copy_n(dst, KEY_PASSWORD_MAX + 1, buf, len);
	explicit_bzero(buf, sizeof(buf));
	return dst[0] != '\0' ? 0 : -1;
}

/* Where certificates and CAs of a set of rules are named. */
struct place {
	const char *file;
	unsigned int line;
};

static struct place
place_of(const struct config *conf, int block)
{
	return block < 0 ? (struct place){conf->file, 0}
			 : (struct place){conf->blocks[block].file, conf->blocks[block].line};
}

/* One more certificate of the set. */
static int
add(struct plan *p, struct certs *c, struct worker_settings *worker, const struct place *at,
    uint16_t set, const char *cert, const char *key, const char *password, FILE *warn,
    struct diag *d)
{
	struct cert_settings *cs = &worker->certs[worker->ncerts];
	struct plan_key *k = &p->keys[p->nkeys];
	size_t len;

	if (worker->ncerts == SETTINGS_CERTS_MAX || p->nkeys == PLAN_KEYS_MAX) {
		diag_set(d, at->file, at->line, 0, "more than %d certificates", PLAN_KEYS_MAX);
		return -1;
	}
	c->pem[c->n] = read_file(cert, &len, d);
	if (c->pem[c->n] == NULL || inspect(cert, c->pem[c->n], len, k, warn, d) == -1) {
		free(c->pem[c->n]);
		return -1;
	}
	c->n++;
	if (key_password(password, k->password, d) == -1)
		return -1;
	k->fd = open_secret(key, "key", d);
	if (k->fd == -1)
		return -1;
	str_copy(k->path, sizeof(k->path), key);
	str_copy(k->cert, sizeof(k->cert), cert);
	cs->set = set;
	cs->key = (uint16_t)p->nkeys++;
	cs->pem = c->pem[c->n - 1];
	cs->pem_len = len;
	worker->ncerts++;
	return 0;
}

/* OpenSSL would take the second one for the first, in silence. */
static int
two_types(const struct plan *p, const struct config_cert *cc, const struct place *at,
    struct diag *d)
{
	if (p->keys[p->nkeys - 2].type != p->keys[p->nkeys - 1].type)
		return 0;
	diag_set(d, at->file, at->line, 0, "ssl_alt_cert %s has a key of the same type as %s",
	    cc->alt_cert_file, cc->cert_file);
	diag_hint(d, "one of the two is ECDSA and the other RSA, for clients that take only one");
	return -1;
}

/* The certificates of these rules: one set. */
static int
load_set(struct plan *p, struct certs *c, struct worker_settings *worker, int block,
    struct config_rules *rules, FILE *warn, struct diag *d)
{
	struct place at = place_of(&p->conf, block);
	const struct config_cert *cc = &rules->files;
	const char *password = cc->key_password[0] != '\0' ? cc->key_password
							   : p->conf.rules.files.key_password;

	rules->cert = (uint16_t)c->nsets++;
	if (add(p, c, worker, &at, rules->cert, cc->cert_file, cc->key_file, password, warn, d) == -1)
		return -1;
	if (cc->alt_cert_file[0] == '\0')
		return 0;
	if (add(p, c, worker, &at, rules->cert, cc->alt_cert_file, cc->alt_key_file, password, warn,
		d) == -1)
		return -1;
	return two_types(p, cc, &at, d);
}

/* The number of an ssl_ca, which is read if it is new; "" is one, too: nobody's. */
static int
number_ca(struct certs *c, struct worker_settings *worker, const struct place *at,
    const char *path, uint16_t *number, struct diag *d)
{
	struct ca_settings *ca = &worker->cas[worker->ncas];

	for (*number = 0; *number < worker->ncas; ++*number)
		if (strcmp(c->ca_path[*number], path) == 0)
			return 0;
	if (*number == SETTINGS_CAS_MAX) {
		diag_set(d, at->file, at->line, 0, "more than %d different ssl_ca", SETTINGS_CAS_MAX - 1);
		return -1;
	}
	if (path[0] != '\0' && (c->ca[*number] = read_file(path, &ca->pem_len, d)) == NULL)
		return -1;
	ca->pem = c->ca[*number];
	c->ca_path[*number] = path;
	worker->ncas++;
	return 0;
}

/* At least one CA, and a CRL if they are required; the field's name. */
static int
inspect_ca(const struct config_rules *r, const struct ca_settings *ca, const struct place *at,
    struct diag *d)
{
	BIO *bio = BIO_new_mem_buf(ca->pem, (int)ca->pem_len);
	STACK_OF(X509_INFO) *all = bio != NULL ? PEM_X509_INFO_read_bio(bio, NULL, NULL, NULL) : NULL;
	unsigned int cas = 0, crls = 0;

	for (int i = 0; i < sk_X509_INFO_num(all); i++) {
		cas += sk_X509_INFO_value(all, i)->x509 != NULL;
		crls += sk_X509_INFO_value(all, i)->crl != NULL;
	}
	sk_X509_INFO_pop_free(all, X509_INFO_free);
	BIO_free(bio);
	ERR_clear_error();
	if (cas == 0) {
		diag_set(d, at->file, at->line, 0, "%s has no PEM certificate", r->ssl_ca);
	} else if (r->ssl_require_crl && crls == 0) {
		diag_set(d, at->file, at->line, 0, "%s has no CRL, so that every client certificate "
		    "would be refused", r->ssl_ca);
		diag_hint(d, "append the CA's CRL, or set ssl_require_crl = no");
	} else if (OBJ_txt2nid(r->ssl_cert_username_field) == NID_undef) {
		diag_set(d, at->file, at->line, 0, "ssl_cert_username_field: %s is no field of a name "
		    "(commonName, x500UniqueIdentifier)", r->ssl_cert_username_field);
	} else {
		return 0;
	}
	return -1;
}

/* Client certificates as they are asked for outside of blocks (-1), or in one. */
static int
check_ca(const struct config *conf, int block, const struct worker_settings *worker,
    struct diag *d)
{
	struct place at = place_of(conf, block);
	static struct config_rules r;

	config_rules_at(conf, block, &r);
	if (!r.ssl_verify_client_cert) {
		if (!r.auth_ssl_require_client_cert && !r.auth_ssl_username_from_cert)
			return 0;
		diag_set(d, at.file, at.line, 0, "%s = yes needs ssl_verify_client_cert = yes",
		    r.auth_ssl_require_client_cert ? "auth_ssl_require_client_cert"
						   : "auth_ssl_username_from_cert");
		return -1;
	}
	if (r.ssl_ca[0] == '\0') {
		diag_set(d, at.file, at.line, 0, "ssl_verify_client_cert = yes needs ssl_ca");
		return -1;
	}
	return inspect_ca(&r, &worker->cas[r.ca], &at, d);
}

static int
load_cas(struct plan *p, struct certs *c, struct worker_settings *worker, FILE *warn,
    struct diag *d)
{
	struct config *conf = &p->conf;
	bool verify = false;

	for (int i = -1; i < (int)conf->nblocks; i++) {
		struct config_rules *r = i < 0 ? &conf->rules : &conf->blocks[i].rules;
		struct place at = place_of(conf, i);

		if ((i < 0 || (conf->blocks[i].has & RULE_BIT(RULE_CA)) != 0) &&
		    number_ca(c, worker, &at, r->ssl_ca, &r->ca, d) == -1)
			return -1;
		verify = verify || r->ssl_verify_client_cert;
	}
	for (int i = -1; i < (int)conf->nblocks; i++)
		if (check_ca(conf, i, worker, d) == -1)
			return -1;
	if (verify && warn != NULL)
		fprintf(warn, "ssl_verify_client_cert: client certificates are verified by the login "
		    "worker, and what it says is believed: a worker that a client has taken over can "
		    "claim any certificate's name (SECURITY.md)\n");
	return 0;
}

int
certs_load(struct plan *p, struct certs *c, struct worker_settings *worker, FILE *warn,
    struct diag *d)
{
	struct config *conf = &p->conf;

	if (conf->rules.ssl == SSL_NO)
		return 0;
	if (load_set(p, c, worker, -1, &conf->rules, warn, d) == -1)
		return -1;
	for (unsigned int i = 0; i < conf->nblocks; i++)
		if ((conf->blocks[i].has & RULE_BIT(RULE_CERT)) != 0 &&
		    load_set(p, c, worker, (int)i, &conf->blocks[i].rules, warn, d) == -1)
			return -1;
	return load_cas(p, c, worker, warn, d);
}

void
certs_free(struct certs *c)
{
	for (unsigned int i = 0; i < SETTINGS_CAS_MAX; i++) {
		free(c->ca[i]);
		c->ca[i] = NULL;
	}
	for (unsigned int i = 0; i < c->n; i++)
		free(c->pem[i]);
	c->n = 0;
}
