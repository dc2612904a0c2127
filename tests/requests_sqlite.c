/* The SQLite stores of the inputs. To open one takes ten times as long as what is done with it, so
 * three in four of the inputs take one that was used before, and that they leave empty. */
#include "requests.h"

#include "cache/store/sqlite.h"
#include "cache/store/sqlite_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Inputs that one store is for; then it is checked, as that must not be done while it is open. */
#define USES_MAX 64u

static char folder[64];
static char path[96];

static struct {
	struct store *store; /* NULL: there is none */
	const struct store_ops *ops;
	struct store_attr root;
	unsigned uses;
} kept;

/* Its operations, but for close(). */
static struct store_ops lasting;

_Noreturn static void die(const char *what)
{
	fprintf(stderr, "requests: %s\n", what);
	abort();
}

static void remove_store(void)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	char file[128];
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		snprintf(file, sizeof file, "%s%s", path, suffixes[i]);
		unlink(file);
	}
}

/* In memory, if that can be had. */
void requests_sqlite_setup(void)
{
	const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(folder, sizeof folder, "%s/recordfs-requests-XXXXXX", base);
	if (!mkdtemp(folder))
		die("no folder");
	snprintf(path, sizeof path, "%s/store.db", folder);
	sqlite_store_prepare();
}

static void close_kept(void)
{
	if (!kept.store)
		return;
	kept.store->ops = kept.ops;
	kept.store = store_close(kept.store);
}

void requests_sqlite_teardown(void)
{
	close_kept();
	remove_store();
	rmdir(folder);
}

static struct store *open_new(void)
{
	struct sqlite_config config = {.path = path, .busy_timeout_ms = 10000};
	struct store *store = NULL;
	char why[SQLITE_STORE_WHY];
	remove_store();
	if (sqlite_store_open(&config, &store, why, sizeof why) < 0)
		die(why);
	return store;
}

static void stay_open(struct store *s)
{
	(void)s;
}

struct store *requests_sqlite_open(bool fresh)
{
	if (fresh || kept.uses == USES_MAX)
		close_kept();
	if (fresh)
		return open_new();
	if (!kept.store) {
		kept.store = open_new();
		kept.uses = 0;
		kept.ops = kept.store->ops;
		lasting = *kept.ops;
		lasting.close = stay_open;
		kept.store->ops = &lasting;
		if (store_getattr(kept.store, STORE_ROOT_INO, &kept.root) < 0)
			die("no root");
	}
	kept.uses++;
	return kept.store;
}

/* -- a store as new ----------------------------------------------------------------------------*/

struct found {
	char name[STORE_NAME_MAX + 1];
	size_t len;
	uint64_t ino;
	bool directory;
};

static bool take_entry(void *arg, const struct store_entry *e)
{
	struct found *f = arg;
	*f = (struct found){.len = e->name.len, .ino = e->ino, .directory = S_ISDIR(e->type)};
	memcpy(f->name, e->name.bytes, e->name.len);
	return false;
}

static bool take_xattr(void *arg, const char *name, size_t len)
{
	struct found *f = arg;
	*f = (struct found){.len = len};
	memcpy(f->name, name, len);
	return false;
}

static void reap(uint64_t ino)
{
	struct change c;
	do {
		c = (struct change){.kind = CHANGE_REAP, .reap = {.ino = ino}};
		if (store_apply_one(kept.store, &c, false) < 0)
			die("an inode of before cannot be deleted");
	} while (c.reap.more);
}

/* NOLINTNEXTLINE(misc-no-recursion): no deeper than an input has made it */
static void empty_directory(uint64_t dir)
{
	for (;;) {
		struct found f = {.len = 0};
		if (store_readdir(kept.store, dir, 0, false, take_entry, &f) < 0)
			die("a directory of before cannot be read");
		if (f.len == 0)
			return;
		if (f.directory)
			empty_directory(f.ino);
		struct change c = {.kind = CHANGE_UNLINK,
			.unlink = {
				.parent = dir, .name = {f.name, f.len}, .directory = f.directory}};
		if (store_apply_one(kept.store, &c, false) < 0)
			die("a name of before cannot be removed");
		if (c.touched[0].nlink == 0)
			reap(f.ino);
	}
}

static void restore_root(void)
{
	for (;;) {
		struct found f = {.len = 0};
		if (store_listxattr(kept.store, STORE_ROOT_INO, take_xattr, &f) < 0)
			die("extended attributes of before cannot be listed");
		if (f.len == 0)
			break;
		struct change c = {.kind = CHANGE_REMOVEXATTR,
			.removexattr = {.ino = STORE_ROOT_INO, .name = {f.name, f.len}}};
		if (store_apply_one(kept.store, &c, false) < 0)
			die("an extended attribute of before cannot be removed");
	}
	struct change c = {.kind = CHANGE_SETATTR,
		.setattr = {.ino = STORE_ROOT_INO,
			.mask = STORE_SET_MODE | STORE_SET_UID | STORE_SET_GID,
			.mode = kept.root.mode & 07777,
			.uid = kept.root.uid,
			.gid = kept.root.gid}};
	if (store_apply_one(kept.store, &c, false) < 0)
		die("the root cannot be made as before");
}

/* -- after an input --------------------------------------------------------------------------- */

static void tell_fault(void *arg, const struct sqlite_check_fault *fault)
{
	struct requests *r = arg;
	(void)requests_wrong(r, "the check finds: %s", fault->what);
}

static void check(struct requests *r)
{
	const struct sqlite_check_handler handler = {.fault = tell_fault, .arg = r};
	struct sqlite_check_summary sum;
	char why[SQLITE_STORE_WHY];
	if (sqlite_check(path, &handler, &sum, why, sizeof why) < 0)
		(void)requests_wrong(r, "%s", why);
	else if (sum.orphans)
		(void)requests_wrong(r, "%llu orphans are left", (unsigned long long)sum.orphans);
}

void requests_sqlite_done(struct requests *r, bool fresh)
{
	if (fresh) {
		if (!r->broken)
			check(r);
		return;
	}
	if (r->broken) {
		close_kept();
		return;
	}
	empty_directory(STORE_ROOT_INO);
	restore_root();
	if (kept.uses < USES_MAX)
		return;
	close_kept();
	check(r); /* what the inputs before have left behind, too */
}
