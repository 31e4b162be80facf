/*
 * The smallest program that shows that it ran.
 */
#ifndef PROBE_ELF_H
#define PROBE_ELF_H

#include <stddef.h>
#include <stdint.h>

/* An ELF file that writes "R OPEN 0 ..." to the report channel and ends; its length,
 * 0 where there is none for the architecture. */
size_t elf_saying_open(uint8_t *dst, size_t cap);
/* The same instructions as a function that returns: for memory that should not be
 * executable.  Returns their length; call with no argument, gives 42. */
size_t code_returning_42(uint8_t *dst, size_t cap);

#endif
