#include "scarce.h"

#include <sqlite3.h>
#include <stdlib.h>

static sqlite3_mem_methods memory; /* SQLite's own */
static _Thread_local long left_here = -1;
static _Thread_local int refused;
static _Thread_local bool paused;

static bool refuse(void)
{
	if (paused || left_here < 0 || left_here-- > 0)
		return false;
	left_here = -1;
	refused++;
	return true;
}

static void *scarce_malloc(int n)
{
	return refuse() ? NULL : memory.xMalloc(n);
}

static void *scarce_realloc(void *p, int n)
{
	return refuse() ? NULL : memory.xRealloc(p, n);
}

void scarce_install(void)
{
	if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &memory) != SQLITE_OK)
		abort();
	sqlite3_mem_methods scarce = memory;
	scarce.xMalloc = scarce_malloc;
	scarce.xRealloc = scarce_realloc;
	if (sqlite3_config(SQLITE_CONFIG_MALLOC, &scarce) != SQLITE_OK)
		abort();
}

void scarce_arm(long left)
{
	left_here = left;
	refused = 0;
}

void scarce_pause(bool on)
{
	paused = on;
}

int scarce_disarm(void)
{
	left_here = -1;
	paused = false;
	return refused;
}
