#include "ipc/settings.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/*
 * Each settings struct is described once by a table of its fields; packing and
 * unpacking walk the same table, so that they cannot disagree.
 */
enum field_type {
	F_U8,
	F_U16,
	F_U32,
	F_U64,
	F_STR
};

struct field {
	enum field_type type;
	size_t off, size;
};

#define U8(s, f) {F_U8, offsetof(struct s, f), 1}
#define U16(s, f) {F_U16, offsetof(struct s, f), 2}
#define U32(s, f) {F_U32, offsetof(struct s, f), 4}
#define U64(s, f) {F_U64, offsetof(struct s, f), 8}
#define STR(s, f) {F_STR, offsetof(struct s, f), sizeof(((struct s *)0)->f)}
#define PLAN(s, f) \
	U8(s, f.landlock), U8(s, f.landlock_min_abi), U8(s, f.landlock_unix_dir), U8(s, f.mdwe), \
	    U8(s, f.seccomp), U32(s, f.nofile)
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct field worker_fields[] = {
    STR(worker_settings, hostname), STR(worker_settings, greeting),
    STR(worker_settings, imap_capability), STR(worker_settings, imap_id_send),
    U8(worker_settings, imap_id_wanted), U8(worker_settings, imap_literal_minus), U8(worker_settings, ssl),
    U8(worker_settings, disable_plaintext_auth), U8(worker_settings, ssl_prefer_server_ciphers),
    U8(worker_settings, ssl_verify_client_cert), U8(worker_settings, ssl_require_crl),
    STR(worker_settings, ssl_cert_username_field), U16(worker_settings, ssl_min_version), STR(worker_settings, ssl_cipher_list),
    STR(worker_settings, ssl_cipher_suites), STR(worker_settings, ssl_curve_list),
    U32(worker_settings, login_timeout_ms), U32(worker_settings, sign_timeout_ms),
    U32(worker_settings, session_lifetime_ms),
    U32(worker_settings, arena_bytes), U8(worker_settings, debug),
    PLAN(worker_settings, template_plan), PLAN(worker_settings, exec_plan),
    PLAN(worker_settings, pool_plan), U16(worker_settings, ncerts)};

static const struct field cert_fields[] = {STR(cert_settings, name), U16(cert_settings, key)};

static const struct field service_fields[] = {
    U8(service_settings, enabled), U8(service_settings, model),
    U32(service_settings, service_count), U32(service_settings, client_limit),
    U32(service_settings, process_limit), U32(service_settings, process_min_avail),
    U64(service_settings, vsz_limit), U32(service_settings, idle_kill_ms),
    U32(service_settings, template_max_uses), U32(service_settings, template_max_age_ms)};

static const struct field launcher_fields[] = {
    U8(launcher_settings, ssl), U8(launcher_settings, disable_plaintext_auth),
    U8(launcher_settings, tell_pids),
    U32(launcher_settings, login_timeout_ms),
    U32(launcher_settings, stop_grace_ms), U8(launcher_settings, debug),
    PLAN(launcher_settings, plan), U16(launcher_settings, nnets),
    U16(launcher_settings, nblocks)};

static const struct field block_fields[] = {U8(block_settings, service), U8(block_settings, has),
    U8(block_settings, ssl), U8(block_settings, disable_plaintext_auth)};

static const struct field net_fields[] = {U16(conn_net, family), U8(conn_net, prefix)};

static const struct field auth_fields[] = {
    STR(auth_settings, hostname), STR(auth_settings, auth_socket),
    STR(auth_settings, login_socket[SERVICE_IMAP]), STR(auth_settings, login_socket[SERVICE_POP3]),
    STR(auth_settings, anvil_socket), STR(auth_settings, log_line),
    STR(auth_settings, log_format), STR(auth_settings, imap_id_log),
    U8(auth_settings, imap_id_retain),
    U32(auth_settings, mail_max_userip_connections), U32(auth_settings, auth_max_attempts),
    U32(auth_settings, auth_timeout_ms), U32(auth_settings, handoff_timeout_ms),
    U8(auth_settings, ssl), U8(auth_settings, disable_plaintext_auth),
    U8(auth_settings, client_certs), U8(auth_settings, ssl_require_client_cert),
    U8(auth_settings, ssl_username_from_cert),
    U8(auth_settings, auth_verbose), U8(auth_settings, debug), PLAN(auth_settings, plan)};

static const struct field keys_fields[] = {
    U16(keys_settings, nkeys), U32(keys_settings, sign_limit),
    U32(keys_settings, session_lifetime_ms), U32(keys_settings, arena_bytes),
    U8(keys_settings, memory), U8(keys_settings, debug), PLAN(keys_settings, plan)};

static void
pack(struct wr *w, const struct field *f, size_t n, const void *s)
{
	for (; n > 0; n--, f++) {
		const void *p = (const char *)s + f->off;

		switch (f->type) {
		case F_U8:
			wr_u8(w, *(const uint8_t *)p);
			break;
		case F_U16:
			wr_u16(w, *(const uint16_t *)p);
			break;
		case F_U32:
			wr_u32(w, *(const uint32_t *)p);
			break;
		case F_U64:
			wr_u64(w, *(const uint64_t *)p);
			break;
		case F_STR:
			wr_str(w, p);
			break;
		}
	}
}

static void
unpack(struct rd *r, const struct field *f, size_t n, void *s)
{
	for (; n > 0; n--, f++) {
		void *p = (char *)s + f->off;

		switch (f->type) {
		case F_U8:
			*(uint8_t *)p = rd_u8(r);
			break;
		case F_U16:
			*(uint16_t *)p = rd_u16(r);
			break;
		case F_U32:
			*(uint32_t *)p = rd_u32(r);
			break;
		case F_U64:
			*(uint64_t *)p = rd_u64(r);
			break;
		case F_STR:
			rd_str(r, p, f->size);
			break;
		}
	}
}

void
worker_settings_pack(struct wr *w, const struct worker_settings *s)
{
	pack(w, worker_fields, COUNT(worker_fields), s);
	wr_block(w, s->ca, s->ca_len);
	for (unsigned int i = 0; i < s->ncerts; i++) {
		pack(w, cert_fields, COUNT(cert_fields), &s->certs[i]);
		wr_block(w, s->certs[i].pem, s->certs[i].pem_len);
	}
}

bool
worker_settings_unpack(struct rd *r, struct worker_settings *s)
{
	memset(s, 0, sizeof(*s));
	unpack(r, worker_fields, COUNT(worker_fields), s);
	s->ca = rd_block(r, SETTINGS_MAX, &s->ca_len);
	if (s->ncerts > SETTINGS_CERTS_MAX)
		return false;
	for (unsigned int i = 0; i < s->ncerts; i++) {
		unpack(r, cert_fields, COUNT(cert_fields), &s->certs[i]);
		s->certs[i].pem = rd_block(r, SETTINGS_MAX, &s->certs[i].pem_len);
	}
	return rd_end(r);
}

static void
net_pack(struct wr *w, const struct conn_net *n)
{
	pack(w, net_fields, COUNT(net_fields), n);
	wr_block(w, n->ip, sizeof(n->ip));
}

static bool
net_unpack(struct rd *r, struct conn_net *n)
{
	size_t len;
	const uint8_t *ip;

	unpack(r, net_fields, COUNT(net_fields), n);
	ip = rd_block(r, sizeof(n->ip), &len);
	if (len != sizeof(n->ip) || n->prefix > 128)
		return false;
	memcpy(n->ip, ip, len);
	return true;
}

void
launcher_settings_pack(struct wr *w, const struct launcher_settings *s)
{
	pack(w, launcher_fields, COUNT(launcher_fields), s);
	for (int i = 0; i < SERVICE__MAX; i++)
		pack(w, service_fields, COUNT(service_fields), &s->service[i]);
	for (unsigned int i = 0; i < s->nnets; i++)
		net_pack(w, &s->nets[i]);
	for (unsigned int i = 0; i < s->nblocks; i++) {
		pack(w, block_fields, COUNT(block_fields), &s->blocks[i]);
		net_pack(w, &s->blocks[i].local);
		net_pack(w, &s->blocks[i].remote);
	}
}

bool
launcher_settings_unpack(struct rd *r, struct launcher_settings *s)
{
	memset(s, 0, sizeof(*s));
	unpack(r, launcher_fields, COUNT(launcher_fields), s);
	if (s->nnets > SETTINGS_NETS_MAX || s->nblocks > BLOCKS_MAX)
		return false;
	for (int i = 0; i < SERVICE__MAX; i++) {
		unpack(r, service_fields, COUNT(service_fields), &s->service[i]);
		if (s->service[i].model > MODEL_POOLED)
			return false;
	}
	for (unsigned int i = 0; i < s->nnets; i++)
		if (!net_unpack(r, &s->nets[i]))
			return false;
	for (unsigned int i = 0; i < s->nblocks; i++) {
		unpack(r, block_fields, COUNT(block_fields), &s->blocks[i]);
		if (!net_unpack(r, &s->blocks[i].local) || !net_unpack(r, &s->blocks[i].remote) ||
		    s->blocks[i].service > SERVICE__MAX || s->blocks[i].ssl > SSL_REQUIRED)
			return false;
	}
	return rd_end(r);
}

void
auth_settings_pack(struct wr *w, const struct auth_settings *s)
{
	pack(w, auth_fields, COUNT(auth_fields), s);
}

bool
auth_settings_unpack(struct rd *r, struct auth_settings *s)
{
	memset(s, 0, sizeof(*s));
	unpack(r, auth_fields, COUNT(auth_fields), s);
	return rd_end(r);
}

void
keys_settings_pack(struct wr *w, const struct keys_settings *s)
{
	pack(w, keys_fields, COUNT(keys_fields), s);
}

bool
keys_settings_unpack(struct rd *r, struct keys_settings *s)
{
	memset(s, 0, sizeof(*s));
	unpack(r, keys_fields, COUNT(keys_fields), s);
	return rd_end(r);
}

long
settings_read(int fd, uint8_t *buf, size_t cap)
{
	size_t len = 0;
	ssize_t n;

	while ((n = pread(fd, buf + len, cap - len, (off_t)len)) > 0)
		len += (size_t)n;
	if (n == -1)
		return -1;
	close(fd);
	if (len == cap) {
		errno = E2BIG;
		return -1;
	}
	return (long)len;
}
