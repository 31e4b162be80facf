/*
 * Faults on demand: after a content with these words every signature has one bit
 * turned, the one whose number follows them (u16, big-endian, modulo its length).
 * Linked with -Wl,--wrap=EVP_DigestSign, into build/faulty/gatehouse-keys and into
 * tests.
 */
#ifndef TESTS_FAULTY_SIGN_H
#define TESTS_FAULTY_SIGN_H

#define FAULT_WORDS "turn one bit:"

/* lacking_memory.c, with --wrap=msg_write and in that program only: so many times there
 * is no memory to tell the auth client of the connection with this number. */
#define LACKING_CONN 7777
#define LACKING_TIMES 3

#endif
