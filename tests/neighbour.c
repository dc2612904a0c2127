#include "neighbour.h"
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
	int n = atoi(args + 2), r = 0;
	for (int i = 0; i < n && r == 0; i++) {
		struct change ch = {.kind = CHANGE_WRITE,
			.now = 2,
			.write = {.ino = ino, .data = data, .len = sizeof data}};
		r = store_apply_one(self.store, &ch, true);
		block_unref(ch.write.head);
		block_unref(ch.write.tail);
	}
	answer("%d", r);
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

static void do_race(char *args)
{
	char row[200], checkpoint[64];
	int commits = 0;
	double seconds = strtod(args, &args);
	int64_t end = sq_now() + (int64_t)(seconds * 1e9);
	snprintf(checkpoint, sizeof checkpoint, "PRAGMA wal_checkpoint(%s)", args + 1);
	sqlite3 *db = connection(0);
	while (sq_now() < end) {
		if (run(db, "UPDATE store SET settled = settled + 1", row, sizeof row) == SQLITE_OK)
			commits++;
		IGNORE(run(db, checkpoint, row, sizeof row));
	}
	answer("%d", commits);
}

static void obey(char *line)
{
	char *args = strchr(line, ' ');
	if (args)
		*args++ = '\0';
	if (!strcmp(line, "open")) {
		do_open();
	} else if (!strcmp(line, "close")) {
		self.store = store_close(self.store);
		answer("0");
	} else if (!strcmp(line, "keeper")) {
		answer("%d", atomic_load(&sq_store(self.store)->log_role) == SQ_ROLE_PINNED);
	} else if (!strcmp(line, "salt") || !strcmp(line, "size")) {
		do_log(line[1] == 'a');
	} else if (!args) {
		abort();
	} else if (!strcmp(line, "create")) {
		do_create(args);
	} else if (!strcmp(line, "write")) {
		do_write(args);
	} else if (!strcmp(line, "sql")) {
		do_sql(args);
	} else if (!strcmp(line, "race")) {
		do_race(args);
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
