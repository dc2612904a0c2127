#include "tar_export.h"
#include "tar_acl.h"
#include "tar_export_internal.h"
#include "tar_links.h"

#include <archive.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Bytes of the longest path: a damaged store may have directories that lie in themselves. */
#define PATH_BYTES_MAX (1u << 20)
/* Entries of a directory that are read at a time. */
#define SLICE 64
/* Zeros are handed over for a hole in such pieces; libarchive only counts them. */
#define HOLE_PIECE ((size_t)1 << 20)
/* Extents of a file that are told of; what follows the last is exported as data. */
#define EXTENTS_MAX 1000000u
/* A name that surely fits into a ustar header. */
#define USTAR_NAME 80u

struct name_list {
	char *bytes; /* each terminated */
	size_t len;
	bool failed;
};

/* A directory on the way, and how far it has been read. */
struct level {
	uint64_t ino;
	uint64_t after;
	size_t path_len;
};

struct slice {
	size_t n;
	struct {
		uint64_t id;
		struct store_attr attr;
		size_t len;
		char name[STORE_NAME_MAX];
	} entry[SLICE];
};

struct exporter {
	const struct tar_export *x;
	struct archive *a;
	struct archive_entry *entry;
	struct tar_links links;
	struct store_span *span;
	unsigned char *zeros;
	char *path; /* of the record that is exported; from the root, "/a/b" */
	size_t path_len, path_size;
	struct level *levels;
	size_t n_levels, levels_size;
	struct slice *slice;
	uint64_t bytes;
	int failure;	 /* of x->write; negative once it has failed */
	bool incomplete; /* nothing more is written: what is not complete must not look so */
	char *why;
	size_t why_size;
};

static int failed(struct exporter *x, int r, const char *what)
{
	snprintf(x->why, x->why_size, "%s: %s%s%s", x->path_len ? x->path : "/", what ? what : "",
		what ? ": " : "", strerror(-r));
	return r;
}

static int archive_failed(struct exporter *x)
{
	if (x->failure < 0) {
		snprintf(
			x->why, x->why_size, "cannot write the archive: %s", strerror(-x->failure));
		return x->failure;
	}
	const char *text = archive_error_string(x->a);
	snprintf(x->why, x->why_size, "%s: %s", x->path, text ? text : "cannot be archived");
	return archive_errno(x->a) == ENOMEM ? -ENOMEM : -EIO;
}

static int go_on(struct exporter *x)
{
	if (!x->x->progress || x->x->progress(x->x->arg, x->bytes))
		return 0;
	snprintf(x->why, x->why_size, "stopped; the archive is not complete");
	return -ECANCELED;
}

/* -- paths ----------------------------------------------------------------------------------------
 */

static int push_name(struct exporter *x, const char *name, size_t len)
{
	if (x->path_len + len + 2 > PATH_BYTES_MAX)
		return failed(x, -ELOOP, "directories without end; see recordfsctl check");
	if (x->path_len + len + 2 > x->path_size) {
		size_t size = 2 * (x->path_len + len + 2);
		char *path = realloc(x->path, size);
		if (!path)
			return failed(x, -ENOMEM, NULL);
		x->path = path;
		x->path_size = size;
	}
	x->path[x->path_len++] = '/';
	memcpy(x->path + x->path_len, name, len);
	x->path_len += len;
	x->path[x->path_len] = '\0';
	return 0;
}

static void cut_path(struct exporter *x, size_t len)
{
	x->path_len = len;
	x->path[len] = '\0';
}

/* -- an entry -------------------------------------------------------------------------------------
 */

static bool take_name(void *arg, const char *name, size_t len)
{
	struct name_list *l = arg;
	char *bytes = realloc(l->bytes, l->len + len + 1);
	if (!bytes) {
		l->failed = true;
		return false;
	}
	memcpy(bytes + l->len, name, len);
	bytes[l->len + len] = '\0';
	l->bytes = bytes;
	l->len += len + 1;
	return true;
}

static int add_xattr(struct exporter *x, uint64_t ino, const char *name)
{
	size_t len = strlen(name);
	enum acl_kind kind = acl_kind(name, len);
	int r = -ENOMEM;
	void *value = malloc(STORE_XATTR_MAX);
	ssize_t size = value ? store_getxattr(x->x->store, ino, name, len, value, STORE_XATTR_MAX)
			     : -ENOMEM;
	if (size < 0)
		r = (int)size;
	else if (kind == ACL_KIND_NONE) {
		archive_entry_xattr_add_entry(x->entry, name, value, (size_t)size);
		r = 0;
	} else {
		r = tar_acl_to_entry(x->entry, value, (size_t)size, kind);
	}
	free(value);
	return r;
}

static int add_xattrs(struct exporter *x, uint64_t ino)
{
	struct name_list l = {0};
	int r = store_listxattr(x->x->store, ino, take_name, &l);
	if (l.failed)
		r = -ENOMEM;
	for (size_t at = 0; r == 0 && at < l.len; at += strlen(l.bytes + at) + 1)
		r = add_xattr(x, ino, l.bytes + at);
	free(l.bytes);
	return r;
}

static int set_target(struct exporter *x, const struct store_attr *a)
{
	char target[STORE_TARGET_MAX + 1];
	int r = store_readlink(x->x->store, a->ino, target, sizeof target);
	if (r == 0)
		archive_entry_copy_symlink(x->entry, target);
	return r;
}

/* -- data -----------------------------------------------------------------------------------------
 */

/* libarchive (3.6) writes a wrong name of a sparse file whose path is longer than a ustar header
 * has room for and cannot be converted to UTF-8. Its holes are then exported as zeros. */
static bool may_be_sparse(const struct exporter *x)
{
	return x->path_len < USTAR_NAME || mbstowcs(NULL, x->path, 0) != (size_t)-1;
}

/* Tells of the extents of a file that has holes. */
static int set_extents(struct exporter *x, const struct store_attr *a)
{
	uint64_t at = 0, from, to;
	unsigned n = 0;
	int r = store_seek(x->x->store, a->ino, 0, false, &to);
	if (r < 0 || to >= a->size)
		return r;
	while (at < a->size) {
		r = store_seek(x->x->store, a->ino, at, true, &from);
		if (r == -ENXIO)
			break;
		if (r == 0)
			r = store_seek(x->x->store, a->ino, from, false, &to);
		if (r < 0)
			return r;
		if (++n == EXTENTS_MAX)
			to = a->size;
		archive_entry_sparse_add_entry(x->entry, (int64_t)from, (int64_t)(to - from));
		at = to;
	}
	/* One of no length at the end stands for a hole there. */
	if (at < a->size)
		archive_entry_sparse_add_entry(x->entry, (int64_t)a->size, 0);
	return 0;
}

static int put(struct exporter *x, const void *data, size_t len)
{
	la_ssize_t n = archive_write_data(x->a, data, len);
	return n == (la_ssize_t)len && x->failure == 0 ? 0 : archive_failed(x);
}

static int put_zeros(struct exporter *x, uint64_t len)
{
	int r = 0;
	while (r == 0 && len > 0) {
		size_t piece = len < HOLE_PIECE ? (size_t)len : HOLE_PIECE;
		r = put(x, x->zeros, piece);
		len -= piece;
		if (r == 0)
			r = go_on(x);
	}
	return r;
}

/* The blocks of the span from file offset *at on, as far as it goes. */
static int put_span(struct exporter *x, uint64_t size, uint64_t *at)
{
	const struct store_span *s = x->span;
	int r = 0;
	for (uint32_t i = 0; r == 0 && i < s->count; i++) {
		uint64_t from = (s->first + i) * STORE_BLOCK_SIZE;
		if (from < *at || from >= size)
			continue;
		uint64_t len = size - from < STORE_BLOCK_SIZE ? size - from : STORE_BLOCK_SIZE;
		uint64_t have = s->blocks[i]->len < len ? s->blocks[i]->len : len;
		r = put(x, s->blocks[i]->data, (size_t)have);
		if (r == 0)
			r = put_zeros(x, len - have);
		*at = from + len;
		x->bytes += have;
	}
	return r;
}

static int damaged(struct exporter *x)
{
	snprintf(x->why, x->why_size,
		"%s: a block of it is damaged; write it anew or delete it, or export with"
		" --keep-going",
		x->path);
	return -EBADMSG;
}

/* Is the record to be left out, for this errno? */
static bool leave_out(struct exporter *x, int r)
{
	if ((r != -EBADMSG && r != -EIO) || !x->x->unreadable)
		return false;
	x->x->unreadable(x->x->arg, x->path_len ? x->path : "/", r);
	return true;
}

static int put_data(struct exporter *x, const struct store_attr *a)
{
	uint64_t at = 0;
	int r = 0;
	while (r == 0 && at < a->size) {
		uint64_t data = 0, before = at;
		r = store_seek(x->x->store, a->ino, at, true, &data);
		if (r == -ENXIO) {
			r = 0;
			data = a->size;
		}
		data = data / STORE_BLOCK_SIZE * STORE_BLOCK_SIZE;
		if (r < 0)
			return failed(x, r, NULL);
		if (data >= a->size || data > at) {
			uint64_t end = data > a->size ? a->size : data;
			r = put_zeros(x, end > at ? end - at : a->size - at);
			at = end > at ? end : a->size;
			continue;
		}
		r = store_read(x->x->store, a->ino, at / STORE_BLOCK_SIZE, READ_BLOCKS, x->span);
		if (r == -EBADMSG)
			return damaged(x);
		if (r < 0)
			return failed(x, r, "reading it");
		r = put_span(x, a->size, &at);
		store_span_release(x->span);
		if (r == 0 && at == before)
			return failed(x, -EIO, "reading it");
		if (r == 0)
			r = go_on(x);
	}
	return r;
}

static int put_entry(struct exporter *x, const struct store_attr *a)
{
	int r = archive_write_header(x->a, x->entry);
	/* A warning is about what no reader needs: names that are not UTF-8 are marked so. */
	if (r < ARCHIVE_WARN || x->failure < 0)
		return archive_failed(x);
	if (!S_ISREG(a->mode) || archive_entry_hardlink(x->entry))
		return 0;
	return put_data(x, a);
}

static int export_one(struct exporter *x, const struct store_attr *a)
{
	const char *first = NULL;
	int r = go_on(x);
	if (r < 0)
		return r;
	if (S_ISSOCK(a->mode)) {
		if (x->x->skipped)
			x->x->skipped(x->x->arg, x->path, "a socket; tar has no place for it");
		return 0;
	}
	if (x->x->unreadable && S_ISREG(a->mode)) {
		r = tar_try_data(x->x, a, x->span, x->bytes);
		if (r < 0)
			return leave_out(x, r)	 ? 0
			       : r == -ECANCELED ? go_on(x)
						 : failed(x, r, NULL);
	}
	tar_set_stat(x->entry, x->path_len ? x->path + 1 : "./", a);
	if (!S_ISDIR(a->mode) && a->nlink > 1)
		r = tar_links_find(&x->links, a->ino, x->path + 1, &first);
	if (r == 0 && first) {
		archive_entry_unset_size(x->entry);
		archive_entry_copy_hardlink(x->entry, first);
		return put_entry(x, a);
	}
	if (r == 0 && a->flags & STORE_ATTR_XATTRS)
		r = add_xattrs(x, a->ino);
	if (r == 0 && S_ISLNK(a->mode))
		r = set_target(x, a);
	if (r == 0 && S_ISREG(a->mode) && a->size > 0 && may_be_sparse(x))
		r = set_extents(x, a);
	return r < 0 ? failed(x, r, NULL) : put_entry(x, a);
}

/* -- the tree -------------------------------------------------------------------------------------
 */

static bool take_entry(void *arg, const struct store_entry *e)
{
	struct slice *s = arg;
	s->entry[s->n].id = e->id;
	s->entry[s->n].attr = *e->attr;
	s->entry[s->n].len = e->name.len;
	memcpy(s->entry[s->n].name, e->name.bytes, e->name.len);
	return ++s->n < SLICE;
}

static int descend(struct exporter *x, uint64_t ino)
{
	if (x->n_levels == x->levels_size) {
		size_t size = x->levels_size ? 2 * x->levels_size : 64;
		struct level *levels = realloc(x->levels, size * sizeof *levels);
		if (!levels)
			return failed(x, -ENOMEM, NULL);
		x->levels = levels;
		x->levels_size = size;
	}
	x->levels[x->n_levels++] = (struct level){.ino = ino, .path_len = x->path_len};
	return 0;
}

/* The next entries of the innermost directory, up to and with the first directory among them. What
 * was read beyond that is read again later: it does not have to be kept for each level. */
static int go_through(struct exporter *x)
{
	struct level *l = &x->levels[x->n_levels - 1];
	cut_path(x, l->path_len);
	x->slice->n = 0;
	int r = store_readdir(x->x->store, l->ino, l->after, true, take_entry, x->slice);
	bool rest_lost = r < 0 && leave_out(x, r);
	if (r < 0 && !rest_lost)
		return failed(x, r, NULL);
	if (rest_lost || x->slice->n == 0) {
		x->n_levels--;
		return 0;
	}
	for (size_t i = 0; r == 0 && i < x->slice->n; i++) {
		const struct store_attr *a = &x->slice->entry[i].attr;
		l->after = x->slice->entry[i].id;
		cut_path(x, l->path_len);
		r = push_name(x, x->slice->entry[i].name, x->slice->entry[i].len);
		if (r == 0)
			r = export_one(x, a);
		if (r == 0 && S_ISDIR(a->mode))
			return descend(x, a->ino);
	}
	return r;
}

/* Finds what is at `path`. */
static int find(struct exporter *x, const char *path, struct store_attr *ret)
{
	int r = store_getattr(x->x->store, STORE_ROOT_INO, ret);
	while (r == 0) {
		path += strspn(path, "/");
		size_t len = strcspn(path, "/");
		if (len == 0)
			return 0;
		r = push_name(x, path, len);
		if (r < 0)
			return r;
		r = len > STORE_NAME_MAX ? -ENAMETOOLONG
					 : store_lookup(x->x->store, ret->ino, path, len, ret);
		path += len;
	}
	return failed(x, r, NULL);
}

/* Never fails as far as libarchive knows, which leaks the state of an archive that is broken off:
 * it closes it in order, and whoever calls it looks at `failure`. */
static la_ssize_t write_some(struct archive *a, void *arg, const void *data, size_t len)
{
	(void)a;
	struct exporter *x = arg;
	if (!x->incomplete && x->failure == 0)
		x->failure = x->x->write(x->x->arg, data, len);
	return (la_ssize_t)len;
}

static int begin(struct exporter *x)
{
	x->a = archive_write_new();
	x->entry = archive_entry_new();
	x->span = malloc(sizeof *x->span);
	x->slice = malloc(sizeof *x->slice);
	x->zeros = calloc(1, HOLE_PIECE);
	x->path = calloc(1, 256);
	x->path_size = 256;
	if (!x->a || !x->entry || !x->span || !x->slice || !x->zeros || !x->path) {
		snprintf(x->why, x->why_size, "%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	if (archive_write_set_format_pax(x->a) != ARCHIVE_OK ||
		archive_write_set_options(x->a, "xattrheader=SCHILY") != ARCHIVE_OK ||
		archive_write_set_bytes_per_block(x->a, 20 * 10240) != ARCHIVE_OK ||
		archive_write_set_bytes_in_last_block(x->a, 10240) != ARCHIVE_OK ||
		archive_write_open(x->a, x, NULL, write_some, NULL) != ARCHIVE_OK)
		return archive_failed(x);
	return 0;
}

static void end(struct exporter *x)
{
	if (x->a)
		archive_write_free(x->a);
	if (x->entry)
		archive_entry_free(x->entry);
	tar_links_free(&x->links);
	free(x->span);
	free(x->slice);
	free(x->zeros);
	free(x->path);
	free(x->levels);
}

int tar_export(const struct tar_export *cfg, const char *path, char *why, size_t why_size)
{
	struct exporter x = {.x = cfg, .why = why, .why_size = why_size};
	struct store_attr a;
	why[0] = '\0';
	int r = begin(&x);
	if (r == 0)
		r = find(&x, path, &a);
	if (r == 0)
		r = export_one(&x, &a);
	if (r == 0 && S_ISDIR(a.mode))
		r = descend(&x, a.ino);
	while (r == 0 && x.n_levels > 0)
		r = go_through(&x);
	if (r == 0 && (archive_write_close(x.a) != ARCHIVE_OK || x.failure < 0))
		r = archive_failed(&x);
	x.incomplete = r < 0;
	end(&x);
	return r;
}
