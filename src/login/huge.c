#include "login/huge.h"

#include <link.h>
#include <stddef.h>
#include <sys/mman.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* What huge.ld ends text and constants with, so that both are whole huge pages:
 * a section needs a byte to exist. */
__asm__(".pushsection .text_fill,\"ax\"\n.byte 0xcc\n.popsection\n"
	".pushsection .rodata_fill,\"a\"\n.byte 0\n.popsection\n");

static int
collapse(struct dl_phdr_info *info, size_t size, void *arg)
{
	const size_t huge = (size_t)2 << 20;

	(void)size;
	(void)arg;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_LOAD && (p->p_flags & PF_W) == 0 && p->p_filesz >= huge)
			madvise((char *)info->dlpi_addr + p->p_vaddr, p->p_filesz & ~(huge - 1),
			    MADV_COLLAPSE);
	}
	return 0;
}

void
huge_text(void)
{
	dl_iterate_phdr(collapse, NULL);
}
