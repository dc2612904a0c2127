#include "sqlite_vfs_pages.h"

#include "sqlite_vfs.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

/* So many pages have followed each other before more are read than is asked for. */
#define IN_ROW 2

#define PAGE 4096

void vfs_pages_begin(struct vfs_pages *p, size_t bytes)
{
	p->size = (int)(bytes < SQ_VFS_RUN ? bytes / PAGE * PAGE : SQ_VFS_RUN);
	p->n = p->in_row = 0;
	p->next = -1;
}

bool vfs_pages_read(struct vfs_pages *p, sqlite3_file *below, void *to, int n, int64_t at)
{
	if (p->size == 0)
		return false;
	p->in_row = at == p->next ? p->in_row + 1 : 0;
	p->next = at + n;
	if (at < p->at || at + n > p->at + p->n) {
		if (n != PAGE || p->in_row < IN_ROW)
			return false;
		if (!p->bytes)
			p->bytes = malloc(SQ_VFS_RUN);
		p->n = 0;
		if (!p->bytes ||
			below->pMethods->xRead(below, p->bytes, p->size, at) != SQLITE_OK) {
			p->in_row = 0; /* the end of the file, or a place that cannot be read */
			return false;
		}
		p->at = at;
		p->n = p->size;
	}
	memcpy(to, p->bytes + (at - p->at), (size_t)n);
	return true;
}

void vfs_pages_fini(struct vfs_pages *p)
{
	free(p->bytes);
}
