/*
 * Whether the database is still where it was opened.
 *
 * A file that was removed, renamed or replaced can be written to for as long as it is open, and all
 * of that is lost at the end, or found under another name by nobody. So changes are refused until
 * it is back. Every batch of changes looks before it begins; that costs one stat(2).
 */

#include "sqlite_internal.h"

#include <errno.h>
#include <sys/stat.h>

void sq_place_note(struct sqlite_store *s)
{
	struct stat st;
	s->placed = s->file >= 0 && fstat(s->file, &st) == 0;
	if (s->placed) {
		s->place_dev = st.st_dev;
		s->place_ino = st.st_ino;
	}
}

/* What cannot be looked at may be there. */
static bool is_gone(const struct sqlite_store *s)
{
	struct stat st;
	if (stat(s->path, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR;
	return st.st_dev != s->place_dev || st.st_ino != s->place_ino;
}

bool sq_misplaced(struct sqlite_store *s)
{
	if (!s->placed)
		return false;
	bool gone = is_gone(s);
	if (atomic_load(&s->misplaced) == gone || atomic_exchange(&s->misplaced, gone) == gone)
		return gone;
	if (s->tell_misplaced)
		s->tell_misplaced(s->path, gone);
	return gone;
}
