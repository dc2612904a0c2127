#include "caller.h"

#include "reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Is `gid` in a line "Groups:\t4 24 1000 "? */
static bool is_listed(const char *line, gid_t gid)
{
	for (char *end;; line = end) {
		unsigned long listed = strtoul(line, &end, 10);
		if (end == line)
			return false;
		if (listed == gid)
			return true;
	}
}

/* As the kernel says it of the thread that asks; not by fuse_req_getgroups(), which (3.14) looks
 * for the line in a buffer without an end. */
static bool caller_in_group(fuse_req_t req, gid_t gid)
{
	const struct fuse_ctx *caller = fuse_req_ctx(req);
	char name[64], *line = NULL;
	size_t size = 0;
	if (caller->gid == gid)
		return true;
	snprintf(name, sizeof name, "/proc/%ld/status", (long)caller->pid);
	FILE *f = fopen(name, "re");
	bool found = false;
	while (f && getline(&line, &size, f) > 0)
		if (!strncmp(line, "Groups:", 7))
			found = is_listed(line + 7, gid);
	free(line);
	if (f)
		fclose(f);
	return found;
}

bool caller_kills_sgid(fuse_req_t req, uint64_t ino)
{
	struct store_attr attr;
	if (fuse_req_ctx(req)->uid == 0)
		return false;
	if (store_getattr(fs_of(req)->store, ino, &attr) < 0)
		return true;
	return attr.mode & S_ISGID && !caller_in_group(req, attr.gid);
}

bool caller_kills_idle_sgid(fuse_req_t req, uint64_t ino)
{
	return fuse_req_ctx(req)->uid != 0 && inodes_had_sgid(fs_of(req)->inodes, ino) &&
	       caller_kills_sgid(req, ino);
}
