#!/usr/bin/env bash
# Damaged stores and the programs: what is mounted does not crash and gives errors, not other bytes;
# recordfsctl check and --repair say what is wrong, with the exit status of the manual; a store that
# is in use is not repaired, and a log without its store is not given to a new one.
. "$RFS_TOP/tests/mount/lib.sh"
need sqlite3
CHECK=no

mount_store
mkdir -p "$MNT/d/e"
seq 1 50000 >"$MNT/d/numbers"
seq 1 300 >"$MNT/d/e/small"
ln -s small "$MNT/d/soft"
umount_store
sqlite3 "$STORE" 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null
cp "$STORE" sound.db

# ctl STATUS ARGUMENT...: recordfsctl ends with that status, and never with a signal.
ctl() {
	local wanted=$1 status=0
	shift
	timeout 60 recordfsctl "$@" >ctl.out 2>ctl.err || status=$?
	same "$wanted" "$status" "exit status of recordfsctl $* ($(tail -n 3 ctl.out ctl.err))"
}

# damaged SQL: the store, damaged by it.
damaged() {
	rm -f "$STORE"*
	cp sound.db "$STORE"
	sqlite3 "$STORE" "$1" >/dev/null
}

# A sound store
ctl 0 check --repair "$STORE"
same 1 "$(wc -l <ctl.out)" 'lines about a sound store'

# What can be mended, is
damaged "DELETE FROM dentry WHERE name = 'd'; UPDATE inode SET nlink = 9 WHERE ino = 1"
ctl 1 check "$STORE"
ctl 0 check --repair "$STORE"
grep -q '^mended: ' ctl.out || fail "does not say what was mended: $(cat ctl.out)"
ctl 0 check "$STORE"
mount_store
same "$(seq 1 50000 | md5sum)" "$(md5sum <"$MNT"/lost+found/\#*/numbers)" 'a file in lost+found'
umount_store

# What cannot, is said, and stays an error
damaged "UPDATE block SET data = zeroblob(65536) WHERE key = (SELECT min(key) FROM block)"
ctl 1 check --repair "$STORE"
grep -q '^not mended: /d/numbers: inode [0-9]*, offset 0: checksum' ctl.out || fail "$(cat ctl.out)"
mount_store
expect_error EIO cat "$MNT/d/numbers"
same "$(seq 1 300)" "$(cat "$MNT/d/e/small")"
# In use: refused, in one line
ctl 1 check --repair "$STORE"
one_line ctl.err
grep -q 'in use; unmount it' ctl.err || fail "$(cat ctl.err)"
umount_store

# Not even a sound database
damaged 'SELECT 1'
page=$(sqlite3 "$STORE" "SELECT rootpage FROM sqlite_schema WHERE name = 'dentry_order'")
dd if=/dev/zero of="$STORE" bs=4096 seek=$((page - 1)) count=1 conv=notrunc status=none
cp "$STORE" was.db
ctl 1 check "$STORE"
ctl 0 check --repair "$STORE"
cmp was.db "$STORE.damaged"
mount_store
same "$(seq 1 50000 | md5sum)" "$(md5sum <"$MNT/d/numbers")"
umount_store
rm -f "$STORE.damaged"*

# Nothing is left: nothing is said to be mended, and nothing is altered
damaged 'SELECT 1'
dd if=/dev/urandom of="$STORE" bs=4096 seek=1 count=100 conv=notrunc status=none
cp "$STORE" was.db
ctl 1 check --repair "$STORE"
if grep '^mended: ' ctl.out; then fail 'mended, it says'; fi
grep -q 'restore it from a copy' ctl.err || fail "$(cat ctl.err)"
cmp was.db "$STORE"

# Rows that lead a reader astray: errors, and the daemon lives
damaged "UPDATE inode SET parent = (SELECT ino FROM dentry WHERE name = 'e') WHERE ino =
	(SELECT ino FROM dentry WHERE name = 'd');
	UPDATE dentry SET name = x'2e2e2f78' WHERE name = 'soft';
	UPDATE inode SET uid = 1 << 32 WHERE ino = (SELECT ino FROM dentry WHERE name = 'small');
	UPDATE hole SET count = 1 << 60"
mount_store
expect_error EIO ls -l "$MNT/d"
expect_error EIO stat "$MNT/d/e/small"
same "$(seq 1 50000 | md5sum)" "$(md5sum <"$MNT/d/numbers")"
echo new >"$MNT/new"
same new "$(cat "$MNT/new")"
umount_store
ctl 0 check --repair "$STORE"
ctl 0 check "$STORE"

# What is left of a store that is gone is not taken for a part of a new one
rm -f "$STORE"*
echo 'a log' >"$STORE-wal"
refuse timeout 60 recordfs "$STORE" "$MNT"
one_line "$T/refused.out"
grep -qF "$STORE-wal" "$T/refused.out" || fail "$(cat "$T/refused.out")"
[ ! -e "$STORE" ]
same 'a log' "$(cat "$STORE-wal")"
