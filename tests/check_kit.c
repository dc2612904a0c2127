#include "check_kit.h"

#include "cache/store/acl.h"
#include "cache/store/sqlite.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char check_dir[64];
char check_sound[96];
char check_broken[96];

/* -- a store with some of everything ------------------------------------------------------------
 */

struct kit *check_open(const char *path)
{
	struct sqlite_config cfg = {.path = path, .busy_timeout_ms = 5000};
	char why[SQLITE_STORE_WHY] = "";
	struct store *s = NULL;
	if (sqlite_store_open(&cfg, &s, why, sizeof why) < 0)
		fail_msg("%s", why);
	return kit_new(s);
}

static void make_data(struct kit *k)
{
	static unsigned char data[40 * STORE_BLOCK_SIZE - 100];
	kit_pattern(data, sizeof data, 1);
	memcpy(data + (size_t)3 * STORE_BLOCK_SIZE, CHECK_MARK, sizeof CHECK_MARK);
	uint64_t file = kit_must_file(k, STORE_ROOT_INO, "file");
	assert_int_equal(kit_write(k, file, 0, data, sizeof data), 0);
	uint64_t sparse = kit_must_file(k, STORE_ROOT_INO, "sparse");
	assert_int_equal(kit_write(k, sparse, (uint64_t)20 * STORE_BLOCK_SIZE, data, 5000), 0);
	assert_int_equal(
		kit_allocate(k, sparse, STORE_ALLOCATE, (uint64_t)30 * STORE_BLOCK_SIZE, 9000), 0);
	uint64_t gone = kit_must_file(k, STORE_ROOT_INO, "gone");
	assert_int_equal(kit_write(k, gone, 0, data, 70000), 0);
	assert_int_equal(kit_unlink(k, STORE_ROOT_INO, "gone"), 0);
}

static void make_names(struct kit *k)
{
	uint64_t top = kit_must_dir(k, STORE_ROOT_INO, "dir");
	uint64_t sub = kit_must_dir(k, top, "sub"), node;
	uint64_t deep = kit_must_file(k, sub, "deep");
	assert_int_equal(kit_link(k, deep, STORE_ROOT_INO, "second name"), 0);
	assert_int_equal(kit_symlink(k, STORE_ROOT_INO, "symlink", "dir/sub/deep"), 0);
	assert_int_equal(kit_create(k, top, "fifo", S_IFIFO | 0600, &node), 0);
}

static void make_attributes(struct kit *k)
{
	/* user::rw-, user:7:r--, group::r--, mask::r--, other::r-- */
	static const unsigned char acl[] = {2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0,
		7, 0, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255, 16, 0, 4, 0, 255, 255, 255, 255, 32, 0,
		4, 0, 255, 255, 255, 255};
	uint64_t file = kit_must_file(k, STORE_ROOT_INO, "attributes");
	assert_int_equal(kit_setxattr(k, file, "user.recordfs.ttl", "2.5", 3, 0), 0);
	assert_int_equal(kit_setxattr(k, file, "user.empty", "", 0, 0), 0);
	assert_int_equal(kit_setxattr(k, file, ACL_ACCESS_NAME, acl, sizeof acl, 0), 0);
	uint64_t top = kit_must_dir(k, STORE_ROOT_INO, "rules");
	assert_int_equal(kit_setxattr(k, top, ACL_DEFAULT_NAME, acl, sizeof acl, 0), 0);
	assert_int_equal(kit_setxattr(k, top, "user.recordfs.ttl", "60", 2, 0), 0);
	kit_must_file(k, top, "heir");
	assert_int_equal(kit_symlink(k, top, "heir too", "heir"), 0);
}

int check_make_store(void **state)
{
	(void)state;
	snprintf(check_dir, sizeof check_dir, "/tmp/recordfs-check-XXXXXX");
	if (!mkdtemp(check_dir))
		return -1;
	snprintf(check_sound, sizeof check_sound, "%s/sound.db", check_dir);
	snprintf(check_broken, sizeof check_broken, "%s/broken.db", check_dir);
	struct kit *k = check_open(check_sound);
	make_data(k);
	make_names(k);
	make_attributes(k);
	kit_free(k);
	return 0;
}

int check_remove_store(void **state)
{
	(void)state;
	char command[128];
	snprintf(command, sizeof command, "rm -r '%s'", check_dir);
	return system(command); /* NOLINT(cert-env33-c): a path of our own */
}

/* -- what a check finds -------------------------------------------------------------------------
 */

static void note(void *arg, const struct sqlite_check_fault *f)
{
	struct check_findings *found = arg;
	if (found->n < CHECK_FAULTS_MAX) {
		size_t i = found->n;
		snprintf(found->fault[i].what, sizeof found->fault[i].what, "%s", f->what);
		snprintf(found->fault[i].path, sizeof found->fault[i].path, "%s",
			f->path ? f->path : "");
		found->fault[i].ino = f->ino;
		found->fault[i].offset = f->offset;
	}
	found->n++;
}

static bool go_on(void *arg, const char *step, uint64_t done, uint64_t total)
{
	struct check_findings *found = arg;
	(void)done;
	(void)total;
	assert_non_null(step);
	return found->allowed == 0 || --found->allowed > 0;
}

int check_run(const char *path, struct check_findings *found, struct sqlite_check_summary *sum)
{
	char why[SQLITE_STORE_WHY] = "";
	struct sqlite_check_handler handler = {.fault = note, .progress = go_on, .arg = found};
	found->n = 0;
	int r = sqlite_check(path, &handler, sum, why, sizeof why);
	if (r < 0)
		assert_true(strncmp(why, path, strlen(path)) == 0 && !strchr(why, '\n'));
	else
		assert_int_equal(sum->faults, found->n);
	return r;
}

void check_print(const struct check_findings *found)
{
	for (size_t i = 0; i < found->n && i < CHECK_FAULTS_MAX; i++)
		print_message("found: %s: inode %lld, offset %lld: %s\n", found->fault[i].path,
			(long long)found->fault[i].ino, (long long)found->fault[i].offset,
			found->fault[i].what);
}

void check_expect_clean(const char *path, struct sqlite_check_summary *sum)
{
	struct check_findings found = {0};
	assert_int_equal(check_run(path, &found, sum), 0);
	if (found.n) {
		check_print(&found);
		fail_msg("%zu faults in a check_sound store", found.n);
	}
}

/* -- files --------------------------------------------------------------------------------------
 */

struct check_bytes check_read_file(const char *path)
{
	struct stat st = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	struct check_bytes b = {.p = malloc((size_t)st.st_size + 1), .n = (size_t)st.st_size};
	assert_non_null(b.p);
	assert_int_equal(read(fd, b.p, b.n), st.st_size);
	/* The size in pages, and here they are of 4096 bytes. */
	for (size_t at = 28; b.n >= 100 && at < 32; at++)
		b.used = b.used << 8 | b.p[at];
	b.used *= 4096;
	close(fd);
	return b;
}

void check_write_file(const char *path, const void *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, n), (ssize_t)n);
	close(fd);
}

void check_copy_sound(void)
{
	struct check_bytes b = check_read_file(check_sound);
	check_write_file(check_broken, b.p, b.n);
	free(b.p);
}

bool check_exists(const char *path, const char *suffix)
{
	char name[256];
	snprintf(name, sizeof name, "%s%s", path, suffix);
	return access(name, F_OK) == 0;
}

void check_run_sql(const char *path, const char *sql)
{
	sqlite3 *db;
	char *error = NULL;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
		fail_msg("%s: %s", sql, error);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}
