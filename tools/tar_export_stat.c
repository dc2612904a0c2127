/* Attributes of a record as libarchive has them. */

#include "tar_export_internal.h"

#include <archive_entry.h>
#include <sys/stat.h>

#define SECOND 1000000000LL

/* Floor, for times before 1970. */
static void split_time(int64_t ns, time_t *ret_s, long *ret_ns)
{
	int64_t s = ns / SECOND - (ns % SECOND < 0);
	*ret_s = (time_t)s;
	*ret_ns = (long)(ns - s * SECOND);
}

void tar_set_stat(struct archive_entry *e, const char *path, const struct store_attr *a)
{
	time_t s;
	long ns;
	archive_entry_clear(e);
	archive_entry_copy_pathname(e, path);
	archive_entry_set_mode(e, (mode_t)a->mode);
	archive_entry_set_uid(e, a->uid);
	archive_entry_set_gid(e, a->gid);
	archive_entry_set_size(e, S_ISREG(a->mode) ? (int64_t)a->size : 0);
	split_time(a->mtime, &s, &ns);
	archive_entry_set_mtime(e, s, ns);
	split_time(a->atime, &s, &ns);
	archive_entry_set_atime(e, s, s || ns ? ns : 1); /* 0 would be taken for none */
	if (S_ISCHR(a->mode) || S_ISBLK(a->mode)) {	 /* as the kernel encodes it */
		archive_entry_set_rdevmajor(e, (a->rdev & 0xfff00) >> 8);
		archive_entry_set_rdevminor(e, (a->rdev & 0xff) | ((a->rdev >> 12) & 0xfff00));
	}
}
