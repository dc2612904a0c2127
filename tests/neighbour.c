#include "neighbour.h"
#include "fault_vfs.h"
#include "store_file.h"

#include "cache/store/sqlite_internal.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONNECTIONS 8

static struct {
	const char *path;
	struct store *store;
	sqlite3 *db[CONNECTIONS];
} self;

static void answer(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void answer(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

static void do_open(void)
{
	struct sqlite_config cfg = {.path = self.path, .busy_timeout_ms = 10000};
	char why[SQLITE_STORE_WHY];
	answer("%d", sqlite_store_open(&cfg, &self.store, why, sizeof why));
}

static void do_create(const char *args)
{
	struct change ch = {.kind = CHANGE_CREATE,
		.now = 1,
		.create = {.parent = STORE_ROOT_INO,
			.name = {.bytes = args, .len = strlen(args)},
			.mode = S_IFREG | 0644}};
	int r = store_apply_one(self.store, &ch, true);
	answer("%lld", r < 0 ? r : (long long)ch.touched[0].ino);
}

static void do_write(char *args)
{
	static char data[STORE_BLOCK_SIZE];
	uint64_t ino = strtoull(args, &args, 10);
	memset(data, args[1], sizeof data);
	long n = strtol(args + 2, NULL, 10);
	int r = 0;
	for (long i = 0; i < n && r == 0; i++) {
		struct change ch = {.kind = CHANGE_WRITE,
			.now = 2,
			.write = {.ino = ino, .data = data, .len = sizeof data}};
		r = store_apply_one(self.store, &ch, true);
		block_unref(ch.write.head);
		block_unref(ch.write.tail);
	}
	answer("%d", r);
}

/* FILE INO.acked beside the store; the descriptor. */
static int acked_file(const char *path, uint64_t ino)
{
	char name[160];
	const char *slash = strrchr(path, '/');
	snprintf(name, sizeof name, "%.*s/%llu.acked", (int)(slash - path), path,
		(unsigned long long)ino);
	return open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

long long neighbour_acked(const char *path, uint64_t ino)
{
	long long n = 0;
	int fd = acked_file(path, ino);
	assert_true(fd >= 0 && pread(fd, &n, sizeof n, 0) >= 0);
	close(fd);
	return n;
}

static void fill(long long *data, long long n)
{
	for (size_t i = 0; i < STORE_BLOCK_SIZE / sizeof n; i++)
		data[i] = n;
}

/* The number that a block is full of; 0: it is not there; -1: it is torn. */
static long long number_in(const struct block *b)
{
	long long data[STORE_BLOCK_SIZE / sizeof(long long)], n;
	if (b->len == 0)
		return 0;
	memcpy(&n, b->data, sizeof n);
	fill(data, n);
	return b->len == sizeof data && memcmp(b->data, data, sizeof data) == 0 ? n : -1;
}

long long neighbour_counted(struct store *s, uint64_t ino)
{
	static struct store_span span;
	long long number[NEIGHBOUR_BLOCKS] = {0}, last = 0;
	if (store_read(s, ino, 0, NEIGHBOUR_BLOCKS, &span) < 0)
		return -1;
	for (uint32_t i = 0; i < span.count; i++) {
		number[i] = number_in(span.blocks[i]);
		if (number[i] > last)
			last = number[i];
	}
	store_span_release(&span);
	for (long long n = last; n > 0 && n > last - (long long)NEIGHBOUR_BLOCKS; n--)
		if (number[n % NEIGHBOUR_BLOCKS] != n)
			return -1;
	return last;
}

static void do_count(char *args)
{
	static long long data[STORE_BLOCK_SIZE / sizeof(long long)];
	uint64_t ino = strtoull(args, &args, 10);
	int64_t end = sq_now() + (int64_t)(strtod(args, NULL) * 1e9);
	int fd = acked_file(self.path, ino);
	long long n = neighbour_counted(self.store, ino);
	while (n >= 0 && sq_now() < end) {
		fill(data, n + 1);
		struct change ch = {.kind = CHANGE_WRITE,
			.now = 2,
			.write = {.ino = ino,
				.offset = (uint64_t)(n + 1) % NEIGHBOUR_BLOCKS * STORE_BLOCK_SIZE,
				.data = data,
				.len = sizeof data}};
		int r = store_apply_one(self.store, &ch, n % 8 == 0);
		block_unref(ch.write.head);
		block_unref(ch.write.tail);
		if (r < 0 || pwrite(fd, &(long long){n + 1}, sizeof n, 0) != sizeof n)
			break;
		n++;
		if (n % 16 == 0 && neighbour_counted(self.store, ino) != n)
			n = -1;
	}
	close(fd);
	answer("%lld", sq_now() < end ? -1 : n);
}

static sqlite3 *connection(unsigned i)
{
	if (!self.db[i] && sqlite3_open(self.path, &self.db[i]) != SQLITE_OK)
		abort();
	return self.db[i];
}

static int run(sqlite3 *db, const char *sql, char *row, size_t size)
{
	sqlite3_stmt *st = NULL;
	row[0] = '\0';
	int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		for (int i = 0; i < sqlite3_column_count(st); i++) {
			const unsigned char *text = sqlite3_column_text(st, i);
			size_t len = strlen(row);
			snprintf(row + len, size - len, " %s", text ? (const char *)text : "NULL");
		}
	rc = sqlite3_finalize(st);
	return rc;
}

static void do_sql(char *args)
{
	char row[200];
	unsigned i = (unsigned)strtoul(args, &args, 10);
	int rc = run(connection(i), args, row, sizeof row);
	answer("%d%s", rc, row);
}

static void do_log(bool salt)
{
	char path[128];
	unsigned char header[32] = {0};
	struct stat st = {0};
	snprintf(path, sizeof path, "%s-wal", self.path);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || pread(fd, header, sizeof header, 0) < 0)
		abort();
	close(fd);
	unsigned long long value = 0;
	for (int i = 16; i < 24; i++)
		value = value << 8 | header[i];
	if (salt)
		answer("%llu", value >> 1);
	else
		answer("%lld", (long long)st.st_size);
}

static void halt(void)
{
	char line[16];
	answer("halted");
	if (!fgets(line, sizeof line, stdin))
		exit(0);
}

static void do_race(const char *args)
{
	char row[200], checkpoint[64];
	int commits = 0, word = (int)strcspn(args, " ");
	int64_t end = sq_now() + (int64_t)(strtod(args + word, NULL) * 1e9);
	snprintf(checkpoint, sizeof checkpoint, "PRAGMA wal_checkpoint(%.*s)", word, args);
	sqlite3 *db = connection(0);
	while (sq_now() < end) {
		if (run(db, "UPDATE store SET settled = settled + 1", row, sizeof row) == SQLITE_OK)
			commits++;
		IGNORE(run(db, checkpoint, row, sizeof row));
	}
	answer("%d", commits);
}

static void do_add(char *args)
{
	char row[200], sql[96];
	int commits = 0;
	unsigned long long ino = strtoull(args, &args, 10);
	int64_t end = sq_now() + (int64_t)(strtod(args, NULL) * 1e9);
	sqlite3 *db = connection(0);
	sqlite3_busy_timeout(db, 5000);
	sqlite3_wal_autocheckpoint(db, 8);
	snprintf(sql, sizeof sql, "UPDATE inode SET uid = uid + 1 WHERE ino = %llu", ino);
	while (sq_now() < end)
		commits += run(db, sql, row, sizeof row) == SQLITE_OK;
	answer("%d", commits);
}

/* The words that something follows. */
static void obey_with(const char *word, char *args)
{
	if (!strcmp(word, "create"))
		do_create(args);
	else if (!strcmp(word, "write"))
		do_write(args);
	else if (!strcmp(word, "count"))
		do_count(args);
	else if (!strcmp(word, "sql"))
		do_sql(args);
	else if (!strcmp(word, "race"))
		do_race(args);
	else if (!strcmp(word, "add"))
		do_add(args);
	else
		abort();
}

static void obey(char *line)
{
	char *args = strchr(line, ' ');
	if (args) {
		*args++ = '\0';
		obey_with(line, args);
	} else if (!strcmp(line, "open")) {
		do_open();
	} else if (!strcmp(line, "close")) {
		self.store = store_close(self.store);
		answer("0");
	} else if (!strcmp(line, "keeper")) {
		answer("%d", atomic_load(&sq_store(self.store)->log_role) != SQ_ROLE_NONE);
	} else if (!strcmp(line, "halting")) {
		fault_vfs_install();
		fault_vfs_on_checkpoint(halt);
		answer("0");
	} else if (!strcmp(line, "short")) {
		atomic_store(&sq_store(self.store)->log_size, 16);
		answer("0");
	} else if (!strcmp(line, "salt") || !strcmp(line, "size")) {
		do_log(line[1] == 'a');
	} else {
		abort();
	}
}

void neighbour_main(int argc, char **argv)
{
	char line[512];
	if (argc != 3 || strcmp(argv[1], "neighbour") != 0)
		return;
	self.path = argv[2];
	while (fgets(line, sizeof line, stdin)) {
		line[strcspn(line, "\n")] = '\0';
		obey(line);
	}
	exit(0);
}

void neighbour_start(struct neighbour *p, const char *path)
{
	int to[2], from[2];
	assert_int_equal(pipe2(to, O_CLOEXEC), 0);
	assert_int_equal(pipe2(from, O_CLOEXEC), 0);
	p->pid = fork();
	assert_true(p->pid >= 0);
	if (p->pid == 0) {
		dup2(to[0], STDIN_FILENO);
		dup2(from[1], STDOUT_FILENO);
		execl("/proc/self/exe", "neighbour", "neighbour", path, (char *)NULL);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	p->to = fdopen(to[1], "w");
	p->from = fdopen(from[0], "r");
	assert_true(p->to && p->from);
}

void neighbour_kill(struct neighbour *p)
{
	if (p->pid == 0)
		return;
	kill(p->pid, SIGKILL);
	waitpid(p->pid, NULL, 0);
	fclose(p->to);
	fclose(p->from);
	memset(p, 0, sizeof *p);
}

void neighbour_tell(struct neighbour *p, const char *line)
{
	fprintf(p->to, "%s\n", line);
	fflush(p->to);
}

const char *neighbour_answer(struct neighbour *p)
{
	if (!fgets(p->answer, sizeof p->answer, p->from))
		fail_msg("the neighbour has died");
	p->answer[strcspn(p->answer, "\n")] = '\0';
	return p->answer;
}

const char *neighbour_do(struct neighbour *p, const char *format, ...)
{
	char line[512];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof line, format, args);
	va_end(args);
	neighbour_tell(p, line);
	return neighbour_answer(p);
}

long long neighbour_number(struct neighbour *p, const char *line)
{
	neighbour_tell(p, line);
	return strtoll(neighbour_answer(p), NULL, 10);
}
