/*
 * Whose a file is that lies where anybody may put one, as in /tmp: the rules that Linux has for
 * such directories when fs.protected_symlinks and the like are on, whether they are on or not.
 *
 * Trusted are files of root, of the caller's user, and of the owner of the directory that they are
 * in. In directories that only their owner and group may write to, nobody else can have put
 * anything, and all is trusted.
 */
#pragma once

#include "compiler.h"

/* May the file at `path` be used as if we had made it ourselves? 0: it may, or there is none, or it
 * cannot be told. -EACCES: a stranger's, a symbolic link, or one with a second name, where anybody
 * may put files. */
int trust_file(const char *path) MUST_CHECK NONNULL(1);

/* Symbolic links on the way to `path`, itself included. -EACCES: one that a stranger may have put
 * there; *ret_link is its path, to be freed. -ENOMEM, -ELOOP, -ENAMETOOLONG. What is not there is
 * no error. */
int trust_links(const char *path, char **ret_link) MUST_CHECK NONNULL(1, 2);
