#include "tar_links.h"

#include <errno.h>
#include <search.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct link {
	uint64_t ino;
	char name[];
};

static int compare(const void *a, const void *b)
{
	const struct link *x = a, *y = b;
	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

int tar_links_find(struct tar_links *l, uint64_t ino, const char *name, const char **ret)
{
	size_t size = strlen(name) + 1;
	struct link *new = malloc(sizeof *new + size);
	if (!new)
		return -ENOMEM;
	new->ino = ino;
	memcpy(new->name, name, size);
	struct link **found = tsearch(new, &l->tree, compare);
	bool first = found && *found == new;
	if (found)
		*ret = first ? NULL : (*found)->name;
	if (!first)
		free(new);
	return found ? 0 : -ENOMEM;
}

void tar_links_free(struct tar_links *l)
{
	tdestroy(l->tree, free);
	l->tree = NULL;
}
