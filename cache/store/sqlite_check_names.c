/* Do names lead to inodes, link counts count names, and directories make a tree? */

#include "sqlite_check_internal.h"

#include <assert.h>
#include <string.h>
#include <sys/stat.h>

#define DIRECTORY "16384" /* S_IFDIR */
static_assert(S_IFDIR == 16384, "the type of directories, as SQL has it");

#define ENTRY_ID_MAX ((int64_t)1 << 62)

/* -- the rows alone --------------------------------------------------------------------------- */

bool check_name_valid(const char *name, size_t len)
{
	if (!name || len == 0 || len > STORE_NAME_MAX)
		return false;
	if (memchr(name, '/', len) || memchr(name, '\0', len))
		return false;
	return !(name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')));
}

/* The row is on columns parent, name, its length, ino. */
static void judge_name(struct check *k, const struct cursor *c)
{
	int class = sqlite3_column_type(c->st, 1);
	const char *name = sqlite3_column_blob(c->st, 1);
	size_t len = (size_t)sqlite3_column_bytes(c->st, 1);
	if ((class != SQLITE_TEXT && class != SQLITE_BLOB) || !check_name_valid(name, len))
		check_fault(k, c->ino, -1,
			"has an entry with an invalid name of %lld byte%s, for inode %lld",
			(long long)cursor_int(c, 2), check_plural(cursor_int(c, 2)),
			(long long)cursor_int(c, 3));
	else if (class != (sq_is_text(name, len) ? SQLITE_TEXT : SQLITE_BLOB))
		check_fault(k, c->ino, -1, "has an entry whose name should be %s, for inode %lld",
			class == SQLITE_TEXT ? "a BLOB, for it is not UTF-8"
					     : "TEXT, for it is UTF-8",
			(long long)cursor_int(c, 3));
}

int check_entries(struct check *k)
{
	struct cursor c;
	int r = cursor_open(k,
		"SELECT parent, iif(length(CAST(name AS BLOB)) <= 255, name, x''),"
		" length(CAST(name AS BLOB)), ino FROM dentry ORDER BY parent, name",
		false, &c);
	while (r == 0 && c.row) {
		k->summary.names++;
		judge_name(k, &c);
		r = cursor_next(&c);
	}
	cursor_close(&c);
	return r;
}

int check_entry_ids(struct check *k)
{
	struct cursor c;
	int64_t parent = 0, id = 0;
	int r = cursor_open(k, "SELECT parent, id FROM dentry ORDER BY parent, id", false, &c);
	while (r == 0 && c.row) {
		if (c.ino == parent && cursor_int(&c, 1) == id)
			check_fault(k, parent, -1, "has two entries of id %lld", (long long)id);
		parent = c.ino;
		id = cursor_int(&c, 1);
		if (id < 1 || id > ENTRY_ID_MAX)
			check_fault(k, parent, -1, "has an entry of id %lld, out of range",
				(long long)id);
		r = cursor_next(&c);
	}
	cursor_close(&c);
	return r;
}

/* -- names and their inodes ------------------------------------------------------------------- */

/* The names of one inode, counted. */
struct names {
	int64_t n;
	bool strange_type;   /* one says another type than the inode */
	bool strange_parent; /* one is in another directory than the inode's parent */
};

#define NAMED_SQL "SELECT ino, mode, nlink, parent FROM inode ORDER BY ino"
#define NAME_SQL "SELECT ino, type, parent FROM dentry ORDER BY ino"

static int count_names(
	struct cursor *name, int64_t ino, const struct cursor *inode, struct names *ret)
{
	int r = 0;
	*ret = (struct names){0};
	while (r == 0 && cursor_at(name, ino)) {
		ret->n++;
		if (cursor_at(inode, ino)) {
			if (cursor_int(name, 1) != (cursor_int(inode, 1) & S_IFMT))
				ret->strange_type = true;
			if (cursor_int(name, 2) != cursor_int(inode, 3))
				ret->strange_parent = true;
		}
		r = cursor_next(name);
	}
	return r;
}

static void judge_directory(struct check *k, const struct cursor *inode, const struct names *names)
{
	bool root = inode->ino == STORE_ROOT_INO, deleted = cursor_int(inode, 2) == 0;
	if (root && deleted)
		check_fault(k, inode->ino, -1, "the root directory is deleted");
	if (root && cursor_int(inode, 3) != STORE_ROOT_INO)
		check_fault(k, inode->ino, -1, "the parent of the root is inode %lld",
			(long long)cursor_int(inode, 3));
	if (names->n != (root || deleted ? 0 : 1))
		check_fault(k, inode->ino, -1, "a %sdirectory with %lld name%s",
			root	  ? "root "
			: deleted ? "deleted "
				  : "",
			(long long)names->n, check_plural(names->n));
	else if (names->strange_parent)
		check_fault(k, inode->ino, -1, "its parent is not inode %lld, as its row says",
			(long long)cursor_int(inode, 3));
}

static void judge_names(struct check *k, const struct cursor *inode, const struct names *names)
{
	int64_t nlink = cursor_int(inode, 2);
	if (names->strange_type)
		check_fault(k, inode->ino, -1, "a name of it says that it is of another type");
	if (S_ISDIR((mode_t)cursor_int(inode, 1)))
		judge_directory(k, inode, names);
	else if (nlink > 0 && names->n == 0)
		check_fault(k, inode->ino, -1,
			"lost: it has no name, though its link count is %lld", (long long)nlink);
	else if (nlink != names->n)
		check_fault(k, inode->ino, -1, "link count is %lld, but it has %lld name%s",
			(long long)nlink, (long long)names->n, check_plural(names->n));
}

int check_names(struct check *k)
{
	struct cursor inode, name = {0};
	const struct cursor *const both[] = {&inode, &name};
	int64_t ino;
	int r = cursor_open(k, NAMED_SQL, false, &inode);
	if (r == 0)
		r = cursor_open(k, NAME_SQL, false, &name);
	while (r == 0 && cursor_least(both, 2, &ino)) {
		struct names names;
		bool exists = cursor_at(&inode, ino);
		r = count_names(&name, ino, &inode, &names);
		if (exists)
			judge_names(k, &inode, &names);
		else
			check_fault(k, ino, -1, "has a name, but there is no such inode");
		if (r == 0 && exists)
			r = cursor_next(&inode);
	}
	cursor_close(&inode);
	cursor_close(&name);
	return r;
}

/* -- directories ------------------------------------------------------------------------------ */

#define ENTRIES_SQL                                                                                \
	"SELECT parent, count(*), sum(type = " DIRECTORY ") FROM dentry GROUP BY parent"           \
	" ORDER BY parent"

static const char *entries_of(int64_t n)
{
	return n == 1 ? "entry" : "entries";
}

static void judge_entries(
	struct check *k, const struct cursor *inode, int64_t entries, int64_t subdirectories)
{
	int64_t nlink = cursor_int(inode, 2);
	bool directory = S_ISDIR((mode_t)cursor_int(inode, 1));
	if (!directory && entries > 0)
		check_fault(k, inode->ino, -1, "has %lld %s, but is no directory",
			(long long)entries, entries_of(entries));
	else if (directory && nlink == 0 && entries > 0)
		check_fault(k, inode->ino, -1, "a deleted directory with %lld %s",
			(long long)entries, entries_of(entries));
	else if (directory && nlink != 0 && nlink != 2 + subdirectories)
		check_fault(k, inode->ino, -1, "link count is %lld, but it has %lld %s",
			(long long)nlink, (long long)subdirectories,
			subdirectories == 1 ? "subdirectory" : "subdirectories");
}

int check_directories(struct check *k)
{
	struct cursor inode, group = {0};
	const struct cursor *const both[] = {&inode, &group};
	int64_t ino;
	int r = cursor_open(k, NAMED_SQL, false, &inode);
	if (r == 0)
		r = cursor_open(k, ENTRIES_SQL, false, &group);
	while (r == 0 && cursor_least(both, 2, &ino)) {
		bool exists = cursor_at(&inode, ino), used = cursor_at(&group, ino);
		int64_t entries = used ? cursor_int(&group, 1) : 0;
		if (exists)
			judge_entries(k, &inode, entries, used ? cursor_int(&group, 2) : 0);
		else
			check_fault(k, ino, -1, "has %lld %s, but there is no such inode",
				(long long)entries, entries_of(entries));
		if (exists)
			r = cursor_next(&inode);
		if (r == 0 && used)
			r = cursor_next(&group);
	}
	cursor_close(&inode);
	cursor_close(&group);
	return r;
}

/* Going down from the root, each directory once: SQLite keeps those seen in a temporary file. */
int check_tree(struct check *k)
{
	struct cursor c;
	int r = cursor_open(k,
		"WITH RECURSIVE reached(ino) AS (VALUES(1) UNION SELECT d.ino FROM reached"
		" JOIN dentry d ON d.parent = reached.ino WHERE d.type = " DIRECTORY ")"
		" SELECT ino FROM inode WHERE mode & 61440 = " DIRECTORY " AND nlink > 0"
		" AND ino NOT IN (SELECT ino FROM reached) ORDER BY ino",
		false, &c);
	while (r == 0 && c.row) {
		check_fault(k, c.ino, -1, "a directory that the root does not lead to");
		r = cursor_next(&c);
	}
	cursor_close(&c);
	return r;
}
