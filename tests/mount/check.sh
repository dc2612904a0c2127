#!/usr/bin/env bash
# recordfsctl check: clean stores are clean, offline and while they are written to; each kind of
# damage is found and said in a line, with exit status 1; nothing is altered.
. "$RFS_TOP/tests/mount/lib.sh"
need sqlite3
CHECK=no

mount_store
mkdir -p "$MNT/d/e"
seq 1 50000 >"$MNT/d/numbers"
echo small >"$MNT/d/small"
ln "$MNT/d/small" "$MNT/d/e/hard"
ln -s small "$MNT/d/soft"
setfattr -n user.a -v b "$MNT/d/small"
truncate -s 1G "$MNT/sparse"
# Online, while somebody writes
(for i in $(seq 1 200); do echo "$i" >"$MNT/busy$((i % 7))"; done) &
for _ in 1 2 3; do recordfsctl check "$STORE"; done
wait $!
umount_store
recordfsctl check "$STORE" >clean.out
sqlite3 "$STORE" 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null

# finds WHAT SQL: the damage that SQL does to a copy is found.
finds() {
	local status=0
	rm -f damaged.db*
	cp "$STORE" damaged.db
	sqlite3 damaged.db "$2" >/dev/null
	sqlite3 damaged.db 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null
	sum=$(sha256sum damaged.db)
	recordfsctl check damaged.db >found.out 2>&1 || status=$?
	same 1 "$status" "exit status for: $1 ($(head -n 3 found.out))"
	[ -s found.out ] || fail "nothing is said of: $1"
	same "$sum" "$(sha256sum damaged.db)" "check altered the store"
}
ino="(SELECT ino FROM dentry WHERE name = 'numbers')"
finds 'a flipped bit' "UPDATE block SET data = CAST(replace(CAST(data AS TEXT), '777', '778') AS BLOB)
	WHERE key >> 30 = $ino"
finds 'a missing row of data' "DELETE FROM block WHERE key >> 30 = $ino AND key & 1023 > 20"
finds 'data past the end' "UPDATE inode SET size = 10 WHERE ino = $ino"
finds 'data of no inode' "UPDATE block SET key = key + (1 << 50) WHERE key >> 30 = $ino"
finds 'a wrong link count' "UPDATE inode SET nlink = 7 WHERE ino = $ino"
finds 'a name of no inode' "UPDATE dentry SET ino = 4242 WHERE name = 'small'"
finds 'an inode of no name' "DELETE FROM dentry WHERE name = 'numbers'"
finds 'a wrong number of blocks' "UPDATE inode SET blocks = blocks + 1 WHERE ino = $ino"
finds 'an attribute of no inode' "INSERT INTO xattr VALUES(4242, x'61', x'62')"
finds 'a type that does not match' "UPDATE dentry SET type = 16384 WHERE name = 'numbers'"

# A damaged page: the roots of tables
for table in block inode dentry; do
	rm -f damaged.db*
	cp "$STORE" damaged.db
	page=$(sqlite3 damaged.db "SELECT rootpage FROM sqlite_schema WHERE name = '$table'")
	size=$(sqlite3 damaged.db 'PRAGMA page_size')
	head -c "$size" /dev/urandom |
		dd iflag=fullblock of=damaged.db bs="$size" seek=$((page - 1)) conv=notrunc status=none
	refuse recordfsctl check damaged.db
done
