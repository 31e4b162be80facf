#include "keys/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/arena.h"
#include "common/log.h"

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

static struct arena heap;

static void *
hook_malloc(size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return size == 0 ? NULL : arena_get(&heap, size);
}

static void
hook_free(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	arena_put(&heap, p);
}

static void *
hook_realloc(void *p, size_t size, const char *file, int line)
{
	if (size == 0) {
		hook_free(p, file, line);
		return NULL;
	}
	return arena_resize(&heap, p, size);
}

static void *
map_secret(size_t bytes)
{
	int fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC), saved;
	void *p = MAP_FAILED;

	if (fd == -1)
		return MAP_FAILED;
	if (ftruncate(fd, (off_t)bytes) == 0)
		p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	saved = errno;
	close(fd);
	errno = saved;
	return p;
}

static void *
map_locked(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p != MAP_FAILED) {
		madvise(p, bytes, MADV_DONTDUMP);
		if (mlock(p, bytes) == -1)
			log_warn("the memory for keys is not locked and may be swapped out");
	}
	return p;
}

bool
secret_init(size_t bytes, enum layer_need need, struct layer_report *rep)
{
	static const struct rlimit none;
	void *p = MAP_FAILED;

	errno = ENOSYS;
	if (need != NEED_OFF)
		p = map_secret(bytes);
	if (need != NEED_OFF) {
		rep->state[LAYER_SECRET_MEM] = p != MAP_FAILED ? LAYER_ENFORCED : errno == ENOSYS
			? LAYER_ABSENT
			: LAYER_REFUSED;
		rep->err[LAYER_SECRET_MEM] = p != MAP_FAILED ? 0 : (int16_t)errno;
	}
	if (p == MAP_FAILED && need == NEED_REQUIRED)
		return false;
	if (p == MAP_FAILED)
		p = map_locked(bytes);
	if (p == MAP_FAILED)
		return false;
	madvise(p, bytes, MADV_DONTFORK);
	arena_make(&heap, p, bytes, true);
	/* The mapping stays usable; nothing more is to be locked or written. */
	if (setrlimit(RLIMIT_MEMLOCK, &none) == -1 || setrlimit(RLIMIT_FSIZE, &none) == -1)
		return false;
	return CRYPTO_set_mem_functions(hook_malloc, hook_realloc, hook_free) == 1;
}
