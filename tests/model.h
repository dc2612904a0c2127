/*
 * What the files of the model store share. All functions are called with the model's lock held, and
 * change nothing when they answer an error.
 */
#pragma once

#include "cache/store/store.h"

#include <pthread.h>

/* Blocks of an orphan that one CHANGE_REAP takes. */
#define MODEL_REAP_PIECE 64u

struct model_block {
	uint64_t index;
	unsigned char *data; /* STORE_BLOCK_SIZE bytes; those past the end of the file are zero */
};

struct model_entry {
	uint64_t id;
	uint64_t ino;
	size_t len;
	char name[STORE_NAME_MAX];
};

struct model_xattr {
	size_t len;
	size_t size;
	char name[STORE_NAME_MAX];
	unsigned char *value;
};

struct model_inode {
	struct store_attr attr;
	struct model_block *blocks; /* of a regular file, by index */
	size_t n_blocks;
	struct model_entry *entries; /* of a directory, by id */
	size_t n_entries;
	uint64_t parent; /* of a directory */
	struct model_xattr *xattrs;
	size_t n_xattrs;
	char *target; /* of a symlink, terminated */
};

struct model {
	struct store store;
	pthread_mutex_t lock;	     /* guards all that follows, and is the only lock */
	struct model_inode **inodes; /* inodes[ino], NULL: no such inode (any more) */
	size_t n_inodes;
	uint64_t last_id; /* of an entry */
	struct store_stats stats;
};

/* Memory or death. */
void *model_resize(void *p, size_t n, size_t size) MUST_CHECK;

/* model_inode.c: inodes and the entries of directories */
struct model_inode *model_inode(const struct model *m, uint64_t ino) MUST_CHECK;
struct model_inode *model_inode_new(struct model *m, uint32_t mode, int64_t now) MUST_CHECK;
void model_inode_free(struct model *m, struct model_inode *i);
/* The directory `ino` to look into (0, -ESTALE, -ENOTDIR); to add a name to (-ENOENT as well). */
int model_directory(const struct model *m, uint64_t ino, struct model_inode **ret) MUST_CHECK;
int model_directory_alive(const struct model *m, uint64_t ino, struct model_inode **ret) MUST_CHECK;
struct model_entry *model_entry_find(
	const struct model_inode *dir, const char *name, size_t len) MUST_CHECK;
void model_entry_add(
	struct model *m, struct model_inode *dir, const struct change_name *name, uint64_t ino);
void model_entry_remove(struct model_inode *dir, struct model_entry *e);
/* Is directory `dir` directory `above`, or somewhere below it? */
bool model_is_below(const struct model *m, uint64_t dir, uint64_t above) MUST_CHECK;
int model_path(const struct model *m, uint64_t ino, char *buf, size_t size) MUST_CHECK;
/* The change alters `i`: new version, ctime; `i` gets its place in c->touched. */
void model_touch(struct change *c, struct model_inode *i);
/* The same for a directory whose entries change. */
void model_touch_entries(struct change *c, struct model_inode *dir);

/* model_data.c: what regular files hold */
struct model_block *model_block_find(const struct model_inode *i, uint64_t index) MUST_CHECK;
void model_bytes_read(const struct model_inode *i, uint64_t offset, void *buf, size_t len);
void model_bytes_write(struct model_inode *i, uint64_t offset, const void *buf, size_t len);
/* Makes [offset, end) zeros, and blocks that lie in it holes. */
void model_bytes_clear(struct model_inode *i, uint64_t offset, uint64_t end);
void model_set_size(struct model_inode *i, uint64_t size);
void model_blocks_drop(struct model_inode *i, size_t from, size_t n);
/* A regular file, or -ESTALE, -EISDIR, -EINVAL. */
int model_file(const struct model *m, uint64_t ino, struct model_inode **ret) MUST_CHECK;
/* Block `index` as a span has it: up to the end of the file, length 0 for a hole. */
struct block *model_block_copy(const struct model_inode *i, uint64_t index) MUST_CHECK;

/* model_xattr.c */
struct model_xattr *model_xattr_find(
	const struct model_inode *i, const char *name, size_t len) MUST_CHECK;
void model_xattr_set(
	struct model_inode *i, const char *name, size_t len, const void *value, size_t size);
void model_xattr_remove(struct model_inode *i, struct model_xattr *x);
/* What a new inode takes over from its directory: default ACL or umask, and the TTL. */
void model_xattr_inherit(
	const struct model_inode *dir, struct model_inode *i, const struct change_caller *caller);
/* chmod(2): sets the permission bits, and the access ACL's. */
void model_chmod(struct model_inode *i, uint32_t mode);

/* The changes: 0 or the errno of the change. */
int model_do_write(struct model *m, struct change *c) MUST_CHECK;
int model_do_setattr(struct model *m, struct change *c) MUST_CHECK;
int model_do_allocate(struct model *m, struct change *c) MUST_CHECK;
int model_do_copy(struct model *m, struct change *c) MUST_CHECK;
int model_do_create(struct model *m, struct change *c) MUST_CHECK;
int model_do_link(struct model *m, struct change *c) MUST_CHECK;
int model_do_unlink(struct model *m, struct change *c) MUST_CHECK;
int model_do_rename(struct model *m, struct change *c) MUST_CHECK;
int model_do_setxattr(struct model *m, struct change *c) MUST_CHECK;
int model_do_removexattr(struct model *m, struct change *c) MUST_CHECK;
int model_do_reap(struct model *m, struct change *c) MUST_CHECK;
