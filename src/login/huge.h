/*
 * The program's text and constants in huge pages (Linux 6.1 and newer,
 * MADV_COLLAPSE; the loader honours the alignment of a static PIE since 6.10).
 * fork does not copy the page tables of files: a child faults its text in again,
 * 52 times up to the login with small pages, four times with huge ones.
 */
#ifndef LOGIN_HUGE_H
#define LOGIN_HUGE_H

/* Once, at the start.  Where the kernel cannot, the pages stay small: only slower. */
void huge_text(void);

#endif
