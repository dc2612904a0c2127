/*
 * Having the kernel read at one time what a small read would wait for page after page.
 *
 * SQLite asks for the pages of a row one by one: the leaf of the tree, which says where the data
 * begins, perhaps a page of the pointer map, by which it goes on along the chain, and the pages of
 * the data. When it asks for the leaf, the kernel is told where the other two should be
 * (sqlite_guess.h), and then all three are read at one time; when it asks for the first page of the
 * data, the kernel is told of all that are wanted, unless the guess was right.
 *
 * What fails or is wrong here costs time, nothing else: what was read is what SQLite reads.
 */

#include "sqlite_internal.h"
#include "sqlite_vfs.h"

#include <fcntl.h>

static uint64_t page_at(const struct sq_ahead *a, int64_t at)
{
	return (uint64_t)at / a->page_size + 1;
}

static int64_t offset_of(const struct sq_ahead *a, uint64_t page)
{
	return ((int64_t)page - 1) * a->page_size;
}

/* The kernel is to read `bytes` bytes from there. */
static void tell(const struct sq_ahead *a, int64_t at, size_t bytes)
{
	IGNORE(posix_fadvise(a->fd, at, (off_t)bytes, POSIX_FADV_WILLNEED));
}

/* Pages of the chain before those that have what is wanted. The leaf has the first few hundred
 * bytes of the row, and each page of the chain begins with the number of the next one: block n lies
 * in pages n - 1 and n, block 0 in the leaf and page 0. */
static int64_t pages_before(const struct sq_ahead *a)
{
	return a->skip ? (int64_t)a->skip - 1 : 0;
}

static void tell_guess(struct sq_ahead *a, uint64_t leaf)
{
	uint64_t row = sq_guess_row(a->file, a->chunk, leaf);
	uint64_t page = row ? sq_guess_on(row, pages_before(a)) : 0;
	if (!page)
		return;
	a->told = offset_of(a, page);
	tell(a, a->told, a->bytes);
	if (pages_before(a) > 0)
		tell(a, offset_of(a, sq_guess_map(page)), a->page_size);
}

/* A page on the way down the tree to the row. */
static void on_descent(void *arg, int64_t at)
{
	struct sq_ahead *a = arg;
	uint64_t page = page_at(a, at);
	if (a->straight && a->leaf)
		sq_guess_inner(a->guess, a->leaf); /* it has led on */
	a->leaf = page;
	if (a->straight && !sq_guess_is_inner(a->guess, page))
		tell_guess(a, page);
}

/* A page on the way along the chain. */
static void on_data(void *arg, int64_t at)
{
	struct sq_ahead *a = arg;
	uint64_t page = page_at(a, at);
	if (a->guesses && sq_guess_is_map(page))
		return;
	if (!a->data)
		a->data = page;
	if (a->told >= 0 && at >= a->told && at < a->told + (int64_t)a->bytes)
		return;
	a->told = at;
	tell(a, at, a->bytes);
}

void sq_ahead_begin(struct sq_ahead *a, const struct sqlite_store *s, struct sq_conn *c,
	uint64_t ino, uint64_t first, uint64_t end)
{
	*a = (struct sq_ahead){.fd = s->file,
		.page_size = s->page_size,
		.guesses = s->page_size == SQ_GUESS_PAGE,
		.conn_file = c->file,
		.guess = &c->guess,
		.file = sq_guess_file(&c->guess, ino),
		.chunk = first / SQ_RUN_MAX,
		.told = -1};
	sq_ahead_want(a, first, end);
}

void sq_ahead_want(struct sq_ahead *a, uint64_t first, uint64_t end)
{
	a->skip = first % SQ_RUN_MAX;
	/* A page more, since blocks lie across the edges of pages. */
	a->bytes = (size_t)(end - first) * STORE_BLOCK_SIZE + a->page_size;
}

void sq_ahead_descent(struct sq_ahead *a, bool straight)
{
	a->straight = straight;
	a->leaf = 0;
	if (a->guesses && a->fd >= 0)
		sq_vfs_on_read(a->conn_file, on_descent, a);
}

void sq_ahead_data(struct sq_ahead *a)
{
	if (a->fd >= 0)
		sq_vfs_on_read(a->conn_file, on_data, a);
}

void sq_ahead_stop(struct sq_ahead *a)
{
	sq_vfs_on_read(a->conn_file, NULL, NULL);
}

void sq_ahead_learn(struct sq_ahead *a)
{
	uint64_t row = a->data ? sq_guess_on(a->data, -pages_before(a)) : 0;
	if (a->leaf && row)
		sq_guess_found(a->file, a->chunk, a->leaf, row);
}
