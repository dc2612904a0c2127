#include "benchfs_tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BUCKETS (1u << 16)
#define ROOM_MIN 4096u

static struct node root = {.attr = {.st_ino = 1, .st_mode = S_IFDIR | 0755, .st_nlink = 2}};
static struct node *buckets[BUCKETS];

static struct node **bucket(const struct node *dir, const char *name)
{
	uint64_t hash = dir->attr.st_ino;

	for (; *name != '\0'; name++)
		hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
	return &buckets[(hash * 0x9E3779B97F4A7C15u) >> 48];
}

static void stamp(struct node *node)
{
	clock_gettime(CLOCK_REALTIME, &node->attr.st_ctim);
}

void tree_touch(struct node *node)
{
	stamp(node);
	node->attr.st_mtim = node->attr.st_ctim;
}

struct node *tree_root(void)
{
	if (root.lookups == 0) {
		root.attr.st_uid = getuid();
		root.attr.st_gid = getgid();
		root.lookups = 1;
		tree_touch(&root);
	}
	return &root;
}

struct node *tree_find(const struct node *dir, const char *name)
{
	struct node *node = *bucket(dir, name);

	while (node != NULL && (node->parent != dir || strcmp(node->name, name) != 0))
		node = node->next_of_hash;
	return node;
}

static void link_in(struct node *node, struct node *dir, const char *name)
{
	struct node **hash = bucket(dir, name);

	node->parent = dir;
	snprintf(node->name, sizeof(node->name), "%s", name);
	node->next_of_hash = *hash;
	*hash = node;
	node->place = dir->last != NULL ? dir->last->place + 1 : 1;
	node->older = dir->last;
	node->younger = NULL;
	*(dir->last != NULL ? &dir->last->younger : &dir->first) = node;
	dir->last = node;
	dir->attr.st_nlink += S_ISDIR(node->attr.st_mode);
	tree_touch(dir);
}

static void take_out(struct node *node)
{
	struct node *dir = node->parent, **hash = bucket(dir, node->name);

	while (*hash != node)
		hash = &(*hash)->next_of_hash;
	*hash = node->next_of_hash;
	*(node->older != NULL ? &node->older->younger : &dir->first) = node->younger;
	*(node->younger != NULL ? &node->younger->older : &dir->last) = node->older;
	dir->attr.st_nlink -= S_ISDIR(node->attr.st_mode);
	node->parent = NULL;
	tree_touch(dir);
}

static void settle(struct node *node)
{
	if (node->parent != NULL || node->lookups > 0)
		return;
	free(node->data);
	free(node);
}

struct node *tree_add(struct node *dir, const char *name, mode_t mode)
{
	static ino_t last = 1;
	struct node *node = calloc(1, sizeof(*node));

	if (node == NULL)
		return NULL;
	node->attr = (struct stat){.st_ino = ++last,
		.st_mode = mode,
		.st_nlink = S_ISDIR(mode) ? 2 : 1,
		.st_uid = root.attr.st_uid,
		.st_gid = root.attr.st_gid,
		.st_blksize = ROOM_MIN};
	tree_touch(node);
	node->attr.st_atim = node->attr.st_mtim;
	link_in(node, dir, name);
	return node;
}

void tree_move(struct node *node, struct node *dir, const char *name)
{
	struct node *there = tree_find(dir, name);

	if (there == node)
		return;
	if (there != NULL)
		tree_remove(there);
	take_out(node);
	link_in(node, dir, name);
	stamp(node);
}

void tree_remove(struct node *node)
{
	take_out(node);
	node->attr.st_nlink = 0;
	stamp(node);
	settle(node);
}

void tree_forget(struct node *node, uint64_t n)
{
	if (node == &root)
		return;
	node->lookups -= n;
	settle(node);
}

bool tree_resize(struct node *node, size_t size)
{
	size_t room = node->room > 0 ? node->room : ROOM_MIN, old = (size_t)node->attr.st_size;

	while (room < size)
		room *= 2;
	if (room != node->room) {
		char *data = realloc(node->data, room);

		if (data == NULL)
			return false;
		node->data = data;
		node->room = room;
	}
	if (size > old)
		memset(node->data + old, 0, size - old);
	node->attr.st_size = (off_t)size;
	node->attr.st_blocks = (blkcnt_t)((size + 511) / 512);
	return true;
}
