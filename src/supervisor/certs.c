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

static int
open_key(const char *path, struct diag *d)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct stat st;

	if (fd == -1 || fstat(fd, &st) == -1) {
		diag_set(d, NULL, 0, 0, "cannot open the key %s: %s", path, strerror(errno));
		if (errno == EACCES)
			diag_hint(d, "the supervisor keeps no right to override file modes: the key "
			    "must be readable by the account that starts gatehouse");
	} else if (!S_ISREG(st.st_mode)) {
		diag_set(d, NULL, 0, 0, "the key %s is not a file", path);
	} else if ((st.st_mode & S_IROTH) != 0) {
		diag_set(d, NULL, 0, 0, "the key %s can be read by everybody", path);
		diag_hint(d, "chmod 600 %s", path);
	} else {
		return fd;
	}
	if (fd != -1)
		close(fd);
	return -1;
}

static int
add(struct plan *p, struct certs *c, struct worker_settings *worker, const char *name,
    const char *cert, const char *key, FILE *warn, struct diag *d)
{
	struct cert_settings *cs = &worker->certs[worker->ncerts];
	struct plan_key *k = &p->keys[p->nkeys];
	size_t len;

	if (worker->ncerts == SETTINGS_CERTS_MAX || p->nkeys == PLAN_KEYS_MAX) {
		diag_set(d, p->conf.file, 0, 0, "more than %d certificates", PLAN_KEYS_MAX);
		return -1;
	}
	c->pem[c->n] = read_file(cert, &len, d);
	if (c->pem[c->n] == NULL || inspect(cert, c->pem[c->n], len, k, warn, d) == -1) {
		free(c->pem[c->n]);
		return -1;
	}
	c->n++;
	k->fd = open_key(key, d);
	if (k->fd == -1)
		return -1;
	str_copy(k->path, sizeof(k->path), key);
	str_copy(k->cert, sizeof(k->cert), cert);
	str_copy(cs->name, sizeof(cs->name), name);
	cs->key = (uint16_t)p->nkeys++;
	cs->pem = c->pem[c->n - 1];
	cs->pem_len = len;
	worker->ncerts++;
	return 0;
}

int
certs_load(struct plan *p, struct certs *c, struct worker_settings *worker, FILE *warn,
    struct diag *d)
{
	if (p->conf.ssl == SSL_NO)
		return 0;
	for (unsigned int i = 0; i < p->conf.ncerts; i++) {
		const struct config_cert *cc = &p->conf.certs[i];

		if (cc->cert_file[0] != '\0' &&
		    add(p, c, worker, cc->name, cc->cert_file, cc->key_file, warn, d) == -1)
			return -1;
		if (cc->alt_cert_file[0] != '\0' &&
		    add(p, c, worker, cc->name, cc->alt_cert_file, cc->alt_key_file, warn, d) == -1)
			return -1;
	}
	return 0;
}

void
certs_free(struct certs *c)
{
	for (unsigned int i = 0; i < c->n; i++)
		free(c->pem[i]);
	c->n = 0;
}
