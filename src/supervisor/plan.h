/*
 * Everything that one generation of helpers is started from, loaded and checked
 * before any of it is used: configuration, policies, certificates, the opened
 * key files, and the sealed memfds that helpers get.
 */
#ifndef SUPERVISOR_PLAN_H
#define SUPERVISOR_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "common/diag.h"
#include "config/config.h"
#include "policy/policy.h"

#define PLAN_KEYS_MAX 64
#define PLAN_SPKI_MAX 1200

/* The programs that are executed from sealed copies. */
enum image {
	IMAGE_LAUNCHER,
	IMAGE_LOGIN,
	IMAGE_AUTH,
	IMAGE_KEYS,
	IMAGE__MAX
};

struct plan_key {
	char path[256];
	int fd;                      /* opened, never read here */
	char password[KEY_PASSWORD_MAX + 1]; /* of an encrypted one; empty: none */
	char cert[256];              /* the certificate that it must fit */
	uint8_t spki[PLAN_SPKI_MAX]; /* that one's SubjectPublicKeyInfo */
	size_t spki_len;
	int type;                    /* EVP_PKEY_EC ...: one certificate of each for a name */
};

struct plan {
	struct config conf;
	struct policy_set policies;
	struct plan_key keys[PLAN_KEYS_MAX];
	unsigned int nkeys;
	uid_t login_uid, auth_uid, keys_uid; /* (uid_t)-1: stay who we are */
	gid_t login_gid, auth_gid, keys_gid;
	int image_fd[IMAGE__MAX];
	int settings_fd[IMAGE__MAX];
	int filters_fd[IMAGE__MAX]; /* each one's FD_FILTERS */
	enum layer_need score_need; /* of the launcher's FD_OOM_SCORE: some worker's policy wants it */
};

/* Where programs and policies are when run from a build tree: fills the
 * directories that the configuration did not name. */
void plan_build_tree(struct config *defaults);

/* NULL, and d: what is wrong and what to do.  warn: notices, one a line. */
struct plan *plan_load(const char *config_file, FILE *warn, struct diag *d);
void plan_free(struct plan *p);

/* The policy that a worker of this model starts under. */
enum policy_id plan_worker_policy(uint8_t model);

/* What an account or a certificate looks like, for `gatehouse check`. */
void plan_describe(const struct plan *p, FILE *out);

#endif
