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
    STR(worker_settings, hostname), U32(worker_settings, sign_timeout_ms),
    U32(worker_settings, session_lifetime_ms), U32(worker_settings, arena_bytes),
    U8(worker_settings, debug), PLAN(worker_settings, template_plan),
    PLAN(worker_settings, exec_plan), PLAN(worker_settings, pool_plan),
    U16(worker_settings, ncerts), U16(worker_settings, ncas)};

static const struct field cert_fields[] = {U16(cert_settings, set), U16(cert_settings, key)};

static const struct field service_fields[] = {
    U8(service_settings, enabled), U8(service_settings, model),
    U32(service_settings, service_count), U32(service_settings, client_limit),
    U32(service_settings, process_limit), U32(service_settings, process_min_avail),
    U64(service_settings, vsz_limit), U16(service_settings, oom_score),
    U32(service_settings, nofile), U32(service_settings, idle_kill_ms),
    U32(service_settings, template_max_uses), U32(service_settings, template_max_age_ms)};

static const struct field launcher_fields[] = {U8(launcher_settings, tell_pids),
    U32(launcher_settings, stop_grace_ms), U8(launcher_settings, debug),
    PLAN(launcher_settings, plan)};

static const struct field auth_fields[] = {
    STR(auth_settings, hostname), STR(auth_settings, auth_socket),
    STR(auth_settings, login_socket[SERVICE_IMAP]), STR(auth_settings, login_socket[SERVICE_POP3]),
    STR(auth_settings, anvil_socket), U8(auth_settings, debug), PLAN(auth_settings, plan)};

static const struct field keys_fields[] = {
    U16(keys_settings, nkeys), U32(keys_settings, sign_limit), U32(keys_settings, sign_rate),
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
	rule_set_pack(w, &s->rules, TELL_WORKER);
	for (unsigned int i = 0; i < s->ncerts; i++) {
		pack(w, cert_fields, COUNT(cert_fields), &s->certs[i]);
		wr_block(w, s->certs[i].pem, s->certs[i].pem_len);
	}
	for (unsigned int i = 0; i < s->ncas; i++)
		wr_block(w, s->cas[i].pem, s->cas[i].pem_len);
}

bool
worker_settings_unpack(struct rd *r, struct worker_settings *s)
{
	memset(s, 0, sizeof(*s));
	unpack(r, worker_fields, COUNT(worker_fields), s);
	if (s->ncerts > SETTINGS_CERTS_MAX || s->ncas > SETTINGS_CAS_MAX ||
	    !rule_set_unpack(r, &s->rules, TELL_WORKER))
		return false;
	for (unsigned int i = 0; i < s->ncerts; i++) {
		unpack(r, cert_fields, COUNT(cert_fields), &s->certs[i]);
		s->certs[i].pem = rd_block(r, SETTINGS_MAX, &s->certs[i].pem_len);
		if (s->certs[i].set >= SETTINGS_CERTS_MAX)
			return false;
	}
	for (unsigned int i = 0; i < s->ncas; i++)
		s->cas[i].pem = rd_block(r, SETTINGS_MAX, &s->cas[i].pem_len);
	return rd_end(r);
}

void
launcher_settings_pack(struct wr *w, const struct launcher_settings *s)
{
	pack(w, launcher_fields, COUNT(launcher_fields), s);
	for (int i = 0; i < SERVICE__MAX; i++)
		pack(w, service_fields, COUNT(service_fields), &s->service[i]);
	rule_set_pack(w, &s->rules, TELL_LAUNCHER);
}

bool
launcher_settings_unpack(struct rd *r, struct launcher_settings *s)
{
	memset(s, 0, sizeof(*s));
	unpack(r, launcher_fields, COUNT(launcher_fields), s);
	for (int i = 0; i < SERVICE__MAX; i++) {
		unpack(r, service_fields, COUNT(service_fields), &s->service[i]);
		if (s->service[i].model > MODEL_POOLED)
			return false;
	}
	return rule_set_unpack(r, &s->rules, TELL_LAUNCHER) && rd_end(r);
}

void
auth_settings_pack(struct wr *w, const struct auth_settings *s)
{
	pack(w, auth_fields, COUNT(auth_fields), s);
	rule_set_pack(w, &s->rules, TELL_AUTH);
}

bool
auth_settings_unpack(struct rd *r, struct auth_settings *s)
{
	memset(s, 0, sizeof(*s));
	unpack(r, auth_fields, COUNT(auth_fields), s);
	return rule_set_unpack(r, &s->rules, TELL_AUTH) && rd_end(r);
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
