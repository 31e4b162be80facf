/*
 * Compiled seccomp programs for the processes that install them.
 *
 * One sealed memfd holds FILTER__MAX slots of FILTER_SLOT_SIZE bytes; each is a
 * struct sock_fprog whose `filter` already points to FILTER_BASE + slot *
 * FILTER_SLOT_SIZE + FILTER_INSN_OFFSET, followed there by the instructions.
 * The process maps it MAP_SHARED, PROT_READ at FILTER_BASE, so the addresses,
 * and with them the filters that pin seccomp(2)'s third argument, are constant
 * (mechanisms: nothing can make these pages writable).  A slot with len 0 is
 * empty: the layer is off by policy; installing it is refused by filters_install.
 */
#ifndef IPC_FILTERS_H
#define IPC_FILTERS_H

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

#define FILTER_BASE 0x20000000UL
#define FILTER_SLOT_SIZE 4096UL
#define FILTER_INSN_OFFSET 64UL
#define FILTER_INSN_MAX ((FILTER_SLOT_SIZE - FILTER_INSN_OFFSET) / 8)

/* Names as they stand in a policy after '@'. */
enum filter_slot {
	FILTER_TLS_PROXY,  /* @tls-proxy: what login -> tls-proxy takes away */
	FILTER_LOGIN,      /* @login: what template -> login takes away */
	FILTER_TEMPLATE,   /* @template: whole */
	FILTER_LOGIN_FULL, /* @login-full: for an exec'd worker, whole */
	FILTER_POOL,       /* @pool: whole */
	FILTER_SELF,       /* @self: last filter of auth client, signer, launcher, whole */
	FILTER__MAX
};

#define FILTER_ADDR(slot) (FILTER_BASE + (unsigned long)(slot) * FILTER_SLOT_SIZE)

/* "tls-proxy" ... for slot; NULL if there is no such slot. */
const char *filter_slot_name(enum filter_slot slot);
/* -1 if unknown. */
int filter_slot_by_name(const char *name);

/*
 * Supervisor: lay out the programs (prog[i].len == 0: empty) in a new sealed
 * memfd, reopened read-only where the kernel wants that.  Returns the
 * descriptor (close-on-exec) or -1 with errno.
 */
int filters_make(const struct sock_fprog prog[FILTER__MAX]);

/* Confined process: map FD_FILTERS, mseal it where the kernel can, and close
 * the descriptor.  0, or -1 with errno (EEXIST: the address is taken). */
int filters_map(int fd);
/* Number of instructions in a mapped slot, 0 if it is empty. */
unsigned int filters_len(enum filter_slot slot);
/* Install: raw seccomp(SECCOMP_SET_MODE_FILTER, 0, FILTER_ADDR(slot)).
 * 0, or -1 with errno (ENOENT: slot empty). */
int filters_install(enum filter_slot slot);

#endif
