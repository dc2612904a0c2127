#!/usr/bin/env bash
# Files and directories: made, written, read, renamed, removed, and there again after a remount.
. "$RFS_TOP/tests/mount/lib.sh"

mount_store
cd "$MNT"
echo hello >a
same hello "$(cat a)"
echo more >>a
same 'hello more ' "$(tr "\n" " " <a)"
mkdir -p d/e/f
mv a d/e/f/b
same 'd d/e d/e/f d/e/f/b' "$(find . -mindepth 1 -printf '%P\n' | sort | xargs)"
ln -s d/e/f/b lnk
same 'hello more ' "$(tr "\n" " " <lnk)"
: >empty
[ -f empty ] && [ ! -s empty ]
truncate -s 3 lnk
same hel "$(cat d/e/f/b)"
cd "$T"
remount_store
cd "$MNT"
same 'd d/e d/e/f d/e/f/b empty lnk' "$(find . -mindepth 1 -printf '%P\n' | sort | xargs)"
same hel "$(cat lnk)"
rm empty lnk
expect_error ENOENT cat lnk
expect_error ENOTEMPTY rmdir d
expect_error EISDIR sh -c ': > d'
expect_error ENOTDIR ls d/e/f/b/c
expect_error EEXIST mkdir d
rm -r d
same '' "$(ls -A)"
