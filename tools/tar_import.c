/* Reads the stream with libarchive, entry by entry. */

#include "tar_import_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define READ_SIZE ((size_t)256 << 10)
/* Zeros that a tar stream ends with, at least. */
#define END_MARK 512u

int import_fail(struct import *m, int r, const char *path, const char *what)
{
	snprintf(m->why, m->why_size, "%s%s%s", path ? path : "", path ? ": " : "", what);
	return r;
}

static bool concerns_all(int r)
{
	return r == -ENOSPC || r == -EIO || r == -EROFS || r == -ENOMEM || r == -EBADMSG;
}

int import_complain(struct import *m, int r, const char *path, const char *what)
{
	char reason[STORE_NAME_MAX + 128];
	snprintf(reason, sizeof reason, "%s%s%s", what ? what : "", what ? ": " : "", strerror(-r));
	if (concerns_all(r))
		return import_fail(m, r, path, reason);
	m->sum.failures++;
	m->i->complain(m->i->arg, path, reason);
	return 0;
}

/* -- the stream -----------------------------------------------------------------------------------
 */

static la_ssize_t read_some(struct archive *a, void *arg, const void **ret)
{
	struct import *m = arg;
	if (m->ended)
		return 0;
	ssize_t n = m->i->read(m->i->arg, m->buf, READ_SIZE);
	if (n < 0) {
		m->failure = (int)n;
		archive_set_error(a, (int)-n, "%s", strerror((int)-n));
		return -1;
	}
	size_t zeros = 0;
	while (zeros < (size_t)n && m->buf[(size_t)n - 1 - zeros] == 0)
		zeros++;
	m->zeros = zeros == (size_t)n ? m->zeros + zeros : zeros;
	m->bytes += (uint64_t)n;
	m->ended = n == 0;
	*ret = m->buf;
	return n;
}

static int go_on(struct import *m)
{
	if (!m->i->progress || m->i->progress(m->i->arg, m->bytes))
		return 0;
	return import_fail(m, -ECANCELED, NULL, "stopped");
}

static int stream_failed(struct import *m, const char *path)
{
	const char *text = archive_error_string(m->a);
	if (m->failure == -ECANCELED)
		return import_fail(m, -ECANCELED, NULL, "stopped");
	if (m->failure < 0)
		return import_fail(m, m->failure, "cannot read the archive", strerror(-m->failure));
	if (!path && archive_file_count(m->a) == 0)
		return import_fail(m, -EINVAL, "no tar stream",
			"if it is compressed, unpack it: zcat FILE | recordfsctl import ...");
	return import_fail(
		m, -EINVAL, path ? path : "the archive", text ? text : "cannot be read as tar");
}

/* -- entries --------------------------------------------------------------------------------------
 */

/* The data of a file, into the record that was begun; how long the file is in the end comes from
 * the entry. */
static int copy_data(struct import *m, struct archive_entry *e, const char *path)
{
	const void *data;
	size_t len;
	la_int64_t at;
	uint64_t end = 0, size = (uint64_t)archive_entry_size(e);
	int r = 0, got = ARCHIVE_OK;
	while (r == 0 && (got = archive_read_data_block(m->a, &data, &len, &at)) == ARCHIVE_OK) {
		r = go_on(m);
		if (r < 0 || len == 0)
			continue;
		if (at < 0 || (uint64_t)at > STORE_FILE_MAX ||
			len > STORE_FILE_MAX - (uint64_t)at || (uint64_t)at + len > size)
			return import_fail(m, -EINVAL, path, "its data lies outside of it");
		end = (uint64_t)at + len;
		r = import_write(m, (uint64_t)at, data, len);
	}
	if (r == 0 && got != ARCHIVE_EOF)
		return stream_failed(m, path);
	if (r == 0 && end < size) {
		struct change c = import_change(m, CHANGE_SETATTR);
		c.setattr = (struct change_setattr){
			.ino = m->items[m->n_items - 1].ino, .mask = STORE_SET_SIZE, .size = size};
		r = import_queue(m, &c);
	}
	return r;
}

static int queue_xattr(struct import *m, const struct change *c, const char *path)
{
	(void)path; /* the record knows its own */
	return import_queue(m, c);
}

static int fill(struct import *m, struct archive_entry *e, const char *path)
{
	uint64_t ino = m->items[m->n_items - 1].ino;
	int r = archive_entry_filetype(e) == AE_IFREG ? copy_data(m, e, path) : 0;
	struct change c = import_attributes(m, e, ino);
	if (archive_entry_filetype(e) == AE_IFLNK) /* chmod(2) does not know them */
		c.setattr.mask &= ~STORE_SET_MODE;
	if (r == 0)
		r = import_queue(m, &c);
	/* After the owner, whose change takes capabilities away, and the mode. */
	if (r == 0)
		r = import_xattrs(m, e, path, ino, NULL, queue_xattr);
	return r;
}

/* How a record is made that is no directory; false: it is of no type that there is. */
static bool creation(struct import *m, struct archive_entry *e, struct change *ret)
{
	struct change c = import_change(m, CHANGE_CREATE);
	uint32_t type = (uint32_t)archive_entry_filetype(e);
	uint64_t major = archive_entry_rdevmajor(e), minor = archive_entry_rdevminor(e);
	const char *target = archive_entry_symlink(e);
	c.create.mode = type | (type == S_IFLNK ? 0777 : 0600);
	if (type == S_IFCHR || type == S_IFBLK) {
		if (major > 0xfff || minor > 0xfffff)
			return false;
		c.create.rdev =
			(uint32_t)((minor & 0xff) | major << 8 | (minor & ~UINT64_C(0xff)) << 12);
	}
	if (type == S_IFLNK) {
		if (!target || !*target)
			return false;
		c.create.target = (struct change_name){.bytes = target, .len = strlen(target)};
	}
	*ret = c;
	return type == S_IFREG || type == S_IFLNK || type == S_IFIFO || type == S_IFCHR ||
	       type == S_IFBLK;
}

static int import_record(struct import *m, const char *path, struct archive_entry *e)
{
	struct import_place at;
	struct change create;
	int r = import_place(m, path, true, &at);
	if (r <= 0)
		return r;
	if (!at.name)
		return import_complain(m, -EISDIR, path, NULL);
	if (!creation(m, e, &create))
		return import_complain(m, -EINVAL, path, "neither file, link nor device");
	if (archive_entry_size(e) < 0 || (uint64_t)archive_entry_size(e) > STORE_FILE_MAX)
		return import_complain(m, -EFBIG, path, NULL);
	r = import_begin(m, &at, path, &create);
	if (r <= 0)
		return r;
	r = fill(m, e, path);
	import_end(m, r);
	return r;
}

/* A name for what was imported before, or is there. */
static int import_hard_link(struct import *m, const char *path, const char *target)
{
	struct import_place from, to;
	struct store_attr a;
	int r = import_flush(m); /* it may have no name yet */
	if (r == 0)
		r = import_place(m, target, false, &from);
	if (r <= 0)
		return r;
	r = from.name ? store_lookup(m->i->store, from.dir.ino, from.name, from.len, &a) : -EPERM;
	if (r < 0)
		return import_complain(m, r, path, "the record that it is a link to");
	r = import_place(m, path, true, &to);
	if (r <= 0)
		return r;
	r = to.name ? import_link(m, a.ino, &to.dir, to.name, to.len) : -EISDIR;
	if (r < 0)
		return import_complain(m, r, path, NULL);
	m->sum.records++;
	return 0;
}

static int import_entry(struct import *m, struct archive_entry *e)
{
	const char *path = archive_entry_pathname(e), *link = archive_entry_hardlink(e);
	if (!path || !*path)
		return import_complain(m, -EINVAL, "an entry", "it has no path");
	if (link)
		return import_hard_link(m, path, link);
	if (archive_entry_filetype(e) == AE_IFDIR)
		return import_directory(m, path, e);
	return import_record(m, path, e);
}

static int import_entries(struct import *m)
{
	struct archive_entry *e;
	int got = ARCHIVE_OK, r = 0;
	while (r == 0) {
		got = archive_read_next_header(m->a, &e);
		/* A warning is about names that are not UTF-8: they come as bytes. */
		if (got != ARCHIVE_OK && got != ARCHIVE_WARN)
			break;
		r = import_entry(m, e);
		if (r == 0)
			r = go_on(m);
	}
	if (r == 0 && got != ARCHIVE_EOF)
		r = stream_failed(m, NULL);
	return r;
}

/* Who writes into a pipe is to find it read to its end; and a stream that ends without its mark is
 * not complete. */
static int drain(struct import *m)
{
	const void *rest;
	int r = 0;
	while (r == 0 && !m->ended) {
		if (read_some(m->a, m, &rest) < 0)
			return stream_failed(m, NULL);
		r = go_on(m);
	}
	if (r == 0 && m->zeros < END_MARK)
		return import_fail(
			m, -EPIPE, "the archive", "it ends before its end; it was cut off");
	return r;
}

static int begin(struct import *m)
{
	m->a = archive_read_new();
	m->buf = malloc(READ_SIZE);
	m->arena = malloc(IMPORT_ARENA);
	if (!m->a || !m->buf || !m->arena)
		return import_fail(m, -ENOMEM, NULL, strerror(ENOMEM));
	if (archive_read_support_format_tar(m->a) != ARCHIVE_OK ||
		archive_read_open(m->a, m, NULL, read_some, NULL) != ARCHIVE_OK)
		return stream_failed(m, NULL);
	return import_root(m);
}

int tar_import(
	const struct tar_import *cfg, struct tar_import_summary *ret, char *why, size_t why_size)
{
	struct import *m = calloc(1, sizeof *m);
	if (!m) {
		snprintf(why, why_size, "%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	m->i = cfg;
	m->why = why;
	m->why_size = why_size;
	why[0] = '\0';
	int r = begin(m);
	if (r == 0)
		r = import_entries(m);
	/* What is complete gets its name, whatever came after it. */
	int end = !concerns_all(r) && m->root.ino ? import_flush(m) : 0;
	import_drop(m);
	if (end == 0 && !concerns_all(r))
		end = import_late(m);
	if (r == 0 && end == 0)
		end = drain(m);
	if (r == 0)
		r = end;
	end = store_flush(cfg->store);
	if (r == 0 && end < 0)
		r = import_fail(m, end, NULL, strerror(-end));
	*ret = m->sum;
	if (m->a)
		archive_read_free(m->a);
	import_late_free(m);
	free(m->buf);
	free(m->arena);
	free(m);
	return r;
}
