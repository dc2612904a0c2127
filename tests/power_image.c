#include "power_image.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAMES_MAX 32u

struct name {
	char name[DISK_NAME_MAX];
	unsigned file;
};

struct names {
	struct name name[NAMES_MAX];
	unsigned n;
};

/* A file on the disk, and what was done to it that was not flushed. */
struct on_disk {
	unsigned char *bytes; /* zeros after `size` */
	size_t room;
	uint64_t size;
	const struct disk_op **pending;
	size_t n, pending_room;
};

struct walk {
	const struct disk_record *record;
	size_t at;
	uint64_t random;
	uint64_t last; /* as it was before the last image */
	struct on_disk files[DISK_FILES_MAX];
	struct names names;
	const struct disk_op *pending[NAMES_MAX]; /* of the names */
	size_t n_pending;
};

/* How much of what is pending has reached the disk. */
enum manner {
	NOTHING,
	EVERYTHING,
	SOME,	 /* each write for itself */
	SECTORS, /* each sector for itself */
	FIRST,	 /* up to some point, the last write torn */
	LAST,	 /* from some point on */
	MANNERS,
};

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

/* xorshift64*: the same numbers everywhere. */
size_t walk_roll(struct walk *w, size_t n)
{
	w->random ^= w->random >> 12;
	w->random ^= w->random << 25;
	w->random ^= w->random >> 27;
	return (size_t)((w->random * 2685821657736338717u) >> 33) % n;
}

static bool chance(struct walk *w, unsigned percent)
{
	return walk_roll(w, 100) < percent;
}

static void reach(struct on_disk *f, uint64_t size)
{
	uint64_t whole = (size + DISK_SECTOR) / DISK_SECTOR * DISK_SECTOR;
	if (whole > f->room) {
		size_t room = (size_t)whole * 2;
		f->bytes = must(realloc(f->bytes, room));
		memset(f->bytes + f->room, 0, room - f->room);
		f->room = room;
	}
}

static void set_size(struct on_disk *f, uint64_t size)
{
	reach(f, size);
	memset(f->bytes + size, 0, f->room - size);
	f->size = size;
}

static void add_name(struct names *n, const char *name, unsigned file)
{
	if (n->n == NAMES_MAX)
		abort();
	snprintf(n->name[n->n].name, DISK_NAME_MAX, "%s", name);
	n->name[n->n++].file = file;
}

struct walk *walk_new(const struct disk_record *r, uint64_t seed)
{
	struct walk *w = must(calloc(1, sizeof *w));
	w->record = r;
	w->random = seed * 2654435761u + 88172645463325252u;
	for (unsigned i = 0; i < r->n_base; i++) {
		set_size(&w->files[i], r->base[i].size);
		memcpy(w->files[i].bytes, r->base[i].bytes, r->base[i].size);
		add_name(&w->names, r->base[i].name, i);
	}
	return w;
}

void walk_free(struct walk *w)
{
	for (unsigned i = 0; i < DISK_FILES_MAX; i++) {
		free(w->files[i].bytes);
		free(w->files[i].pending);
	}
	free(w);
}

/* -- names ----------------------------------------------------------------------------------- */

static void forget_name(struct names *n, const char *name)
{
	for (unsigned i = 0; i < n->n; i++)
		if (strcmp(n->name[i].name, name) == 0) {
			n->name[i] = n->name[--n->n];
			return;
		}
}

static void apply_name(struct names *n, const struct disk_op *op)
{
	forget_name(n, op->name);
	if (op->old[0])
		forget_name(n, op->old);
	if (op->kind == DISK_UNNAME)
		return;
	add_name(n, op->name, op->file);
}

static void names_synced(struct walk *w, size_t upto)
{
	size_t kept = 0;
	for (size_t i = 0; i < w->n_pending; i++)
		if ((size_t)(w->pending[i] - w->record->ops) < upto)
			apply_name(&w->names, w->pending[i]);
		else
			w->pending[kept++] = w->pending[i];
	w->n_pending = kept;
}

/* -- contents -------------------------------------------------------------------------------- */

/* The sectors of a write that reach the disk. */
static void apply_write(
	struct walk *w, struct on_disk *f, const struct disk_op *op, enum manner manner)
{
	size_t sectors = op->len / DISK_SECTOR;
	size_t from = manner == LAST ? walk_roll(w, sectors) : 0;
	size_t to = manner == FIRST ? walk_roll(w, sectors) : sectors;
	reach(f, op->at + op->len);
	for (size_t i = from; i < to; i++)
		if (manner != SECTORS || chance(w, 50))
			memcpy(f->bytes + op->at + i * DISK_SECTOR, op->bytes + i * DISK_SECTOR,
				DISK_SECTOR);
}

/* All of it. */
static void apply(struct walk *w, struct on_disk *f, const struct disk_op *op)
{
	if (op->kind == DISK_WRITE)
		apply_write(w, f, op, EVERYTHING);
	if (op->size != f->size)
		set_size(f, op->size);
}

static void synced(struct walk *w, struct on_disk *f, size_t upto)
{
	size_t kept = 0;
	for (size_t i = 0; i < f->n; i++)
		if ((size_t)(f->pending[i] - w->record->ops) < upto)
			apply(w, f, f->pending[i]);
		else
			f->pending[kept++] = f->pending[i];
	f->n = kept;
}

/* Which size the file has then: that after pending operation i, or (n) as it was. */
static size_t pick_size(struct walk *w, size_t n, enum manner manner)
{
	if (manner == NOTHING || n == 0)
		return n;
	if (manner == EVERYTHING || chance(w, 50))
		return n - 1;
	return walk_roll(w, n + 1);
}

/* Some of the first n pending operations happen to the file. */
static void apply_some(struct walk *w, struct on_disk *f, size_t n)
{
	static const unsigned percents[] = {2, 10, 50, 90, 98};
	enum manner manner = (enum manner)walk_roll(w, MANNERS);
	unsigned percent = percents[walk_roll(w, 5)];
	size_t size_at = pick_size(w, n, manner), point = n ? walk_roll(w, n) : 0;
	uint64_t size = size_at < n ? f->pending[size_at]->size : f->size;
	for (size_t i = 0; i < n; i++) {
		const struct disk_op *op = f->pending[i];
		bool torn = i == point && (manner == FIRST || manner == LAST);
		bool happens = manner == EVERYTHING || torn ||
			       ((manner == SOME || manner == SECTORS) && chance(w, percent)) ||
			       (manner == FIRST && i < point) || (manner == LAST && i > point);
		if (op->kind == DISK_SIZE && size_at < n && i <= size_at) {
			reach(f, op->size);
			memset(f->bytes + op->size, 0, f->room - op->size);
		} else if (op->kind == DISK_WRITE && happens) {
			bool pieces = manner == SECTORS || torn;
			apply_write(w, f, op, pieces ? manner : EVERYTHING);
		}
	}
	set_size(f, size);
}

/* No later flush writes what this one has not. */
static void sync_failed(struct walk *w, struct on_disk *f, size_t upto)
{
	size_t n = 0;
	while (n < f->n && (size_t)(f->pending[n] - w->record->ops) < upto)
		n++;
	apply_some(w, f, n);
	memmove(f->pending, f->pending + n, (f->n - n) * sizeof(const struct disk_op *));
	f->n -= n;
}

static void add_pending(struct on_disk *f, const struct disk_op *op)
{
	if (f->n == f->pending_room) {
		f->pending_room = f->pending_room ? 2 * f->pending_room : 64;
		f->pending =
			must(realloc(f->pending, f->pending_room * sizeof(const struct disk_op *)));
	}
	f->pending[f->n++] = op;
}

void walk_to(struct walk *w, size_t cut)
{
	for (; w->at < cut; w->at++) {
		const struct disk_op *op = &w->record->ops[w->at];
		struct on_disk *f = &w->files[op->file];
		switch (op->kind) {
		case DISK_WRITE:
		case DISK_SIZE:
			add_pending(f, op);
			break;
		case DISK_SYNC:
			synced(w, f, op->upto);
			break;
		case DISK_SYNC_FAILED:
			sync_failed(w, f, op->upto);
			break;
		case DISK_NAME:
		case DISK_UNNAME:
			if (w->n_pending == NAMES_MAX)
				abort();
			w->pending[w->n_pending++] = op;
			break;
		case DISK_NAMES_SYNC:
			names_synced(w, op->upto);
			break;
		}
	}
}

/* -- images ---------------------------------------------------------------------------------- */

static void write_file(const char *dir, const char *name, const struct on_disk *f)
{
	char path[512];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		abort();
	for (uint64_t at = 0; at < f->size;) {
		ssize_t n = pwrite(fd, f->bytes + at, (size_t)(f->size - at), (off_t)at);
		if (n <= 0)
			abort();
		at += (uint64_t)n;
	}
	close(fd);
}

static void write_image(struct walk *w, const char *dir, const struct name *name)
{
	const struct on_disk *now = &w->files[name->file];
	struct on_disk f = *now;
	f.bytes = must(malloc(now->room + 1));
	if (now->room)
		memcpy(f.bytes, now->bytes, now->room);
	apply_some(w, &f, f.n);
	write_file(dir, name->name, &f);
	free(f.bytes);
}

static void clear(const char *dir)
{
	char path[600];
	DIR *d = must(opendir(dir));
	for (struct dirent *e; (e = readdir(d));) {
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		if (e->d_name[0] != '.' && unlink(path) < 0)
			abort();
	}
	closedir(d);
}

void walk_image(struct walk *w, const char *dir)
{
	static const unsigned percents[] = {0, 50, 100};
	w->last = w->random;
	struct names names = w->names;
	unsigned percent = percents[walk_roll(w, 3)];
	for (size_t i = 0; i < w->n_pending; i++)
		if (chance(w, percent))
			apply_name(&names, w->pending[i]);
	clear(dir);
	for (unsigned i = 0; i < names.n; i++)
		write_image(w, dir, &names.name[i]);
}

void walk_image_again(struct walk *w, const char *dir)
{
	w->random = w->last;
	walk_image(w, dir);
}
