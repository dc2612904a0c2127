#include "pages.h"

#include <stdint.h>
#include <sys/mman.h>

static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

void *pages_map(size_t bytes)
{
	if (bytes < PAGES_HUGE)
		return map(bytes);
	/* More than is needed, so that there is an aligned piece in it; the rest goes at once. */
	unsigned char *p = map(bytes + PAGES_HUGE - PAGES_SIZE);
	if (!p)
		return NULL;
	size_t before = -(uintptr_t)p & (PAGES_HUGE - 1);
	size_t after = PAGES_HUGE - PAGES_SIZE - before;
	/* munmap() and madvise() take whole pages. */
	bytes = (bytes + PAGES_SIZE - 1) & ~(PAGES_SIZE - 1);
	if (before > 0)
		munmap(p, before);
	p += before;
	if (after > 0)
		munmap(p + bytes, after);
	madvise(p, bytes, MADV_HUGEPAGE); /* it works without */
	return p;
}

void pages_unmap(void *p, size_t bytes)
{
	if (p)
		munmap(p, bytes);
}
