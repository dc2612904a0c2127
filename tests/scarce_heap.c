#include "scarce_heap.h"

#include <stdlib.h>

static _Thread_local long left_here = -1;
static _Thread_local int refused;
static _Thread_local int paused;

static bool refuse(void)
{
	if (paused > 0 || left_here < 0 || left_here-- > 0)
		return false;
	left_here = -1;
	refused++;
	return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

void *__wrap_malloc(size_t size)
{
	return refuse() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return refuse() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return refuse() ? NULL : __real_realloc(p, size);
}

void scarce_heap_arm(long left)
{
	left_here = left;
	refused = 0;
}

void scarce_heap_pause(bool on)
{
	paused += on ? 1 : -1;
}

int scarce_heap_refused(void)
{
	return refused;
}
