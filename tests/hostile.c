/* Makes the stores, has them damaged, and judges what comes of it. */

#include "hostile.h"

#include "cache/store/sqlite_repair.h"
#include "check_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

char hostile_path[128];
struct hostile_counts hostile_counts;

static char directory[64];
/* The sound stores that are copied: closed, and with a log that a crash has left. */
static struct hostile_file closed, crashed, crashed_log;

/* -- files -------------------------------------------------------------------------------------
 */

static int open_file(const char *path, const char *suffix, int flags)
{
	char name[256];
	snprintf(name, sizeof name, "%s%s", path, suffix);
	return open(name, flags | O_CLOEXEC, 0644);
}

struct hostile_file hostile_load(const char *path, const char *suffix)
{
	struct hostile_file f = {0};
	struct stat st;
	int fd = open_file(path, suffix, O_RDONLY);
	if (fd < 0)
		return f;
	if (fstat(fd, &st) < 0 || !(f.bytes = malloc((size_t)st.st_size + 1)))
		abort();
	f.size = (size_t)st.st_size;
	if (read(fd, f.bytes, f.size) != st.st_size)
		abort();
	close(fd);
	return f;
}

static void remove_file(const char *suffix)
{
	char name[256];
	snprintf(name, sizeof name, "%s%s", hostile_path, suffix);
	unlink(name);
}

void hostile_save(const char *path, const char *suffix, const struct hostile_file *f)
{
	if (f->size == 0 && *suffix)
		return;
	int fd = open_file(path, suffix, O_WRONLY | O_CREAT | O_TRUNC);
	if (fd < 0 || write(fd, f->bytes, f->size) != (ssize_t)f->size)
		abort();
	close(fd);
}

static void remove_store(void)
{
	static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
		remove_file(suffixes[i]);
}

static void free_file(struct hostile_file *f)
{
	free(f->bytes);
	*f = (struct hostile_file){0};
}

/* -- sound stores ------------------------------------------------------------------------------ */

/* More than check_make_store() makes: rows of one block, long names, hard links, a deep tree. */
static void make_more(struct kit *k)
{
	static char name[STORE_NAME_MAX + 1];
	uint64_t file = kit_lookup(k, STORE_ROOT_INO, "file");
	kit_must_fill(k, file, 5000, 100, 3, NULL);
	kit_must_fill(k, file, 70000, 4096, 4, NULL);
	memset(name, 'n', STORE_NAME_MAX);
	uint64_t last = kit_must_dir(k, STORE_ROOT_INO, name);
	for (unsigned i = 0; i < 6; i++)
		last = kit_must_dir(k, last, "deeper");
	for (unsigned i = 0; i < 12; i++) {
		snprintf(name, sizeof name, "f%u", i);
		uint64_t ino = kit_must_file(k, last, name);
		kit_must_fill(k, ino, 0, 1 + i * 777, i, NULL);
		snprintf(name, sizeof name, "h%u\xff", i);
		assert_int_equal(kit_link(k, ino, STORE_ROOT_INO, name), 0);
	}
}

/* What only the log has. */
static void make_log(struct kit *k)
{
	uint64_t file = kit_lookup(k, STORE_ROOT_INO, "file"), late;
	kit_must_fill(k, file, 100, 20000, 5, NULL);
	kit_must_fill(k, kit_lookup(k, STORE_ROOT_INO, "sparse"), 0, 70000, 6, NULL);
	late = kit_must_file(k, STORE_ROOT_INO, "late");
	kit_must_fill(k, late, 9000, 9000, 7, NULL);
	assert_int_equal(kit_unlink(k, STORE_ROOT_INO, "symlink"), 0);
	assert_int_equal(kit_rename(k, STORE_ROOT_INO, "rules", STORE_ROOT_INO, "ruled", 0), 0);
}

static void crash_in(const char *path)
{
	pid_t pid = fork();
	if (pid == 0) {
		make_log(check_open(path));
		_exit(0);
	}
	int status;
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		abort();
}

static void choose_directory(void)
{
	const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(directory, sizeof directory, "%s/recordfs-hostile-XXXXXX", base);
	if (!mkdtemp(directory))
		abort();
	snprintf(hostile_path, sizeof hostile_path, "%s/store.db", directory);
}

void hostile_setup(void)
{
	choose_directory();
	if (check_make_store(NULL) != 0)
		abort();
	struct kit *k = check_open(check_sound);
	make_more(k);
	kit_free(k);
	hostile_damage_setup(check_sound);
	hostile_learn(check_sound);
	closed = hostile_load(check_sound, "");
	hostile_save(hostile_path, "", &closed);
	crash_in(hostile_path);
	crashed = hostile_load(hostile_path, "");
	crashed_log = hostile_load(hostile_path, "-wal");
	k = check_open(hostile_path);
	kit_free(k);
	hostile_learn(hostile_path);
	remove_store();
}

void hostile_teardown(void)
{
	remove_store();
	rmdir(directory);
	IGNORE(check_remove_store(NULL));
	hostile_damage_teardown();
	hostile_forget();
	free_file(&closed);
	free_file(&crashed);
	free_file(&crashed_log);
}

/* -- the verdict ------------------------------------------------------------------------------- */

static bool broken(char *why, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool broken(char *why, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(why, HOSTILE_WHY, format, args);
	va_end(args);
	return false;
}

/* What the check says of the store: how many faults, and the first one. */
struct finding {
	int result;
	uint64_t faults;
	uint64_t mismatches; /* of the faults, those that a repair leaves */
	uint64_t mended;
	char first[160];
};

static void note_fault(void *arg, const struct sqlite_check_fault *f)
{
	struct finding *found = arg;
	if (getenv("RFS_KEEP"))
		fprintf(stderr, "fault: inode %lld: %s\n", (long long)f->ino, f->what);
	found->mismatches += strcmp(f->what, "checksum does not match") == 0 ||
			     strstr(f->what, " missing") != NULL;
	if (found->faults++ == 0)
		snprintf(found->first, sizeof found->first, "inode %lld: %s", (long long)f->ino,
			f->what);
}

static struct finding check_it(void)
{
	struct finding found = {0};
	struct sqlite_check_handler handler = {.fault = note_fault, .arg = &found};
	struct sqlite_check_summary sum;
	char why[SQLITE_STORE_WHY] = "";
	found.result = sqlite_check(hostile_path, &handler, &sum, why, sizeof why);
	if (found.result < 0)
		snprintf(found.first, sizeof found.first, "%.150s", why);
	return found;
}

static void note_mended(void *arg, const struct sqlite_check_fault *f)
{
	struct finding *found = arg;
	if (found->mended++ == 0)
		snprintf(found->first, sizeof found->first, "inode %lld: %.120s", (long long)f->ino,
			f->what);
}

static bool is_clean(const struct finding *found)
{
	return found->result == 0 && found->faults == 0;
}

static bool same_file(const char *suffix, const struct hostile_file *was)
{
	struct hostile_file is = hostile_load(hostile_path, suffix);
	bool same = is.size == was->size &&
		    (is.size == 0 || memcmp(is.bytes, was->bytes, is.size) == 0);
	free_file(&is);
	return same;
}

/* Reads, changes, reads again. *ret_blocks: that were read as they once were. */
static bool use(struct store *s, const struct finding *found, char *why, unsigned *ret_blocks)
{
	struct hostile_seen seen;
	hostile_walk(s, false, &seen);
	*ret_blocks = seen.blocks;
	if (seen.wrong[0])
		return broken(why, "%s", seen.wrong);
	if (is_clean(found) && seen.errors)
		return broken(why, "the check finds nothing, but: %s", seen.first);
	if (is_clean(found) && seen.vanished)
		return broken(
			why, "the check finds nothing, but %u blocks are gone", seen.vanished);
	hostile_change(s);
	hostile_walk(s, true, &seen);
	if (seen.wrong[0])
		return broken(why, "after changes: %s", seen.wrong);
	if (is_clean(found) && seen.errors)
		return broken(why, "after changes: %s", seen.first);
	return true;
}

/* A store that was mended has no fault but what cannot be, and works. */
static bool use_mended(const struct sqlite_repair_summary *sum, unsigned blocks, char *why)
{
	struct sqlite_config cfg = {.path = hostile_path, .busy_timeout_ms = 1000};
	struct store *s = NULL;
	char reason[SQLITE_STORE_WHY] = "";
	unsigned now;
	struct finding found = check_it();
	if (found.result < 0 || found.faults != sum->check.faults ||
		found.faults > found.mismatches)
		return broken(why, "after the repair: %s", found.first);
	if (sqlite_store_open(&cfg, &s, reason, sizeof reason) < 0)
		return broken(why, "after the repair: %s", reason);
	bool good = use(s, &found, why, &now);
	store_close(s);
	struct finding after = check_it();
	if (good && !sum->damaged[0] && now < blocks)
		return broken(why, "the repair lost %u blocks", blocks - now);
	if (good && after.faults > after.mismatches)
		return broken(why, "after the repair and changes: %s", after.first);
	return good;
}

static bool mend(const struct hostile_file *db, const struct hostile_file *wal, bool clean,
	unsigned blocks, char *why)
{
	struct finding left = {0};
	struct sqlite_check_handler handler = {
		.fault = note_fault, .mended = note_mended, .arg = &left};
	struct sqlite_repair_summary sum;
	char reason[SQLITE_STORE_WHY] = "";
	remove_store();
	hostile_save(hostile_path, "", db);
	hostile_save(hostile_path, "-wal", wal);
	int r = sqlite_repair(hostile_path, &handler, &sum, reason, sizeof reason);
	if (r < 0) {
		if (!reason[0] || strchr(reason, '\n'))
			return broken(why, "no repair, and the reason is '%s'", reason);
		if (r != -EPROTO && r != -EPROTONOSUPPORT && r != -EBADMSG)
			return broken(why, "no repair: %s", reason);
		if (!same_file("", db) || !same_file("-wal", wal))
			return broken(why, "no repair, but altered: %s", reason);
		return true;
	}
	hostile_counts.mended++;
	if (clean && sum.mended)
		return broken(why, "a sound store was mended: %s", left.first);
	bool good = use_mended(&sum, blocks, why);
	if (sum.damaged[0]) {
		unlink(sum.damaged);
		strncat(sum.damaged, "-wal", sizeof sum.damaged - strlen(sum.damaged) - 1);
		unlink(sum.damaged);
	}
	return good;
}

/* *ret_clean: the check finds nothing. */
static bool judge(const struct hostile_file *db, const struct hostile_file *wal, char *why,
	bool *ret_clean, unsigned *ret_blocks)
{
	struct sqlite_config cfg = {.path = hostile_path, .busy_timeout_ms = 1000};
	struct store *s = NULL;
	char reason[SQLITE_STORE_WHY] = "";
	struct finding found = check_it();
	*ret_clean = is_clean(&found);
	*ret_blocks = 0;
	if (!same_file("", db) || !same_file("-wal", wal))
		return broken(why, "the check has altered the store");
	hostile_counts.faulty += !is_clean(&found);
	int r = sqlite_store_open(&cfg, &s, reason, sizeof reason);
	if (r < 0) {
		hostile_counts.refused++;
		if (!reason[0] || strchr(reason, '\n'))
			return broken(why, "refused, and the reason is '%s'", reason);
		if (is_clean(&found))
			return broken(why, "the check finds nothing, but refused: %s", reason);
		/* A store that is too damaged to enter may have grown for the attempt. */
		if (r != -EIO && !(same_file("", db) && same_file("-wal", wal)))
			return broken(why, "refused, and altered: %s", reason);
		return true;
	}
	hostile_counts.opened++;
	bool good = use(s, &found, why, ret_blocks);
	store_close(s);
	struct finding after = check_it();
	if (good && is_clean(&found) && !is_clean(&after))
		return broken(why, "changes made faults: %s", after.first);
	return good;
}

bool hostile_run(const uint8_t *input, size_t size, char *why)
{
	bool with_log = size > 0 && input[0] % 3 == 0;
	hostile_counts.runs++;
	remove_store();
	hostile_save(hostile_path, "", with_log ? &crashed : &closed);
	if (with_log)
		hostile_save(hostile_path, "-wal", &crashed_log);
	if (size > 1)
		hostile_damage(input + 1, size - 1);
	remove_file("-shm");
	struct hostile_file db = hostile_load(hostile_path, "");
	struct hostile_file wal = hostile_load(hostile_path, "-wal");
	if (getenv("RFS_KEEP")) { /* to be looked at */
		int log = open_file(getenv("RFS_KEEP"), "-wal", O_WRONLY | O_TRUNC);
		if (log >= 0)
			close(log);
		hostile_save(getenv("RFS_KEEP"), "", &db);
		hostile_save(getenv("RFS_KEEP"), "-wal", &wal);
	}
	bool clean;
	unsigned blocks;
	bool good = judge(&db, &wal, why, &clean, &blocks) && mend(&db, &wal, clean, blocks, why);
	free_file(&db);
	free_file(&wal);
	return good;
}
