#include "store_file.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int store_file_try_open(struct store_file *f, bool readonly)
{
	struct sqlite_config cfg = {
		.path = f->path, .readonly = readonly, .busy_timeout_ms = f->busy_timeout_ms};
	return sqlite_store_open(&cfg, &f->store, f->why, sizeof f->why);
}

void store_file_open(struct store_file *f)
{
	if (store_file_try_open(f, false) < 0)
		fail_msg("%s", f->why);
}

void store_file_close(struct store_file *f)
{
	f->store = store_close(f->store);
}

static int setup_below(const char *base, void **state)
{
	struct store_file *f = calloc(1, sizeof *f);
	assert_non_null(f);
	snprintf(f->dir, sizeof f->dir, "%s/recordfs-file-XXXXXX", base);
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof f->path, "%s/store.db", f->dir);
	f->busy_timeout_ms = 5000;
	store_file_open(f);
	*state = f;
	return 0;
}

int store_file_setup(void **state)
{
	return setup_below("/tmp", state);
}

int store_file_setup_in_memory(void **state)
{
	return setup_below(access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", state);
}

int store_file_teardown(void **state)
{
	struct store_file *f = *state;
	char command[96];
	store_file_close(f);
	snprintf(command, sizeof command, "rm -r %s", f->dir);
	int status = system(command);
	free(f);
	return status;
}

void store_file_sql(struct store_file *f, const char *sql)
{
	sqlite3 *db = NULL;
	char *error = NULL;
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_wal_autocheckpoint(db, 0), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
		fail_msg("%s: %s", sql, error);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

uint64_t store_file_create(struct store_file *f, const char *name)
{
	struct change ch = {.kind = CHANGE_CREATE,
		.now = 1,
		.create = {.parent = STORE_ROOT_INO,
			.name = {.bytes = name, .len = strlen(name)},
			.mode = S_IFREG | 0644}};
	assert_int_equal(store_apply_one(f->store, &ch, true), 0);
	return ch.touched[0].ino;
}

int store_file_write(
	struct store_file *f, uint64_t ino, uint64_t offset, char fill, size_t len, bool durable)
{
	char *data = malloc(len);
	assert_non_null(data);
	memset(data, fill, len);
	struct change ch = {.kind = CHANGE_WRITE,
		.now = 2,
		.write = {.ino = ino, .offset = offset, .data = data, .len = len}};
	int r = store_apply_one(f->store, &ch, durable);
	block_unref(ch.write.head);
	block_unref(ch.write.tail);
	free(data);
	return r;
}

char store_file_first(struct store_file *f, uint64_t ino)
{
	static struct store_span span;
	assert_int_equal(store_read(f->store, ino, 0, 1, &span), 0);
	char first = span.count && span.blocks[0]->len ? (char)span.blocks[0]->data[0] : '\0';
	store_span_release(&span);
	return first;
}
