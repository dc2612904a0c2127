#!/usr/bin/env bash
# A file that is not a recordfs store is refused, with a line that says what it is, and untouched.
. "$RFS_TOP/tests/mount/lib.sh"
need sqlite3
CHECK=no

mkdir stores
mount_store
echo content >"$MNT/f"
umount_store
sqlite3 "$STORE" 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null

echo 'not a database' >stores/text
head -c 5000 /dev/urandom >stores/random
sqlite3 stores/other 'CREATE TABLE t(x); INSERT INTO t VALUES(1)'
sqlite3 stores/logged 'PRAGMA journal_mode=WAL; CREATE TABLE t(x)' >/dev/null
printf 'SQLite format 3\0' >stores/stub
cp "$STORE" stores/newer && sqlite3 stores/newer 'PRAGMA user_version = 4242'
cp "$STORE" stores/altered && sqlite3 stores/altered 'DROP TABLE xattr'
cp "$STORE" stores/stranger &&
	sqlite3 stores/stranger 'CREATE TRIGGER t AFTER INSERT ON block BEGIN DELETE FROM inode; END'
cp "$STORE" stores/rootless && sqlite3 stores/rootless 'DELETE FROM inode WHERE ino = 1'
cp "$STORE" stores/cut && truncate -s 5000 stores/cut

# fingerprint: names, sizes, times and contents of all of them. A reader in WAL mode may leave empty
# -wal and -shm files.
fingerprint() {
	find stores -maxdepth 1 -type f ! -name '*-shm' ! \( -name '*-wal' -empty \) \
		-printf '%f %s %T@ ' -exec sha256sum {} \; | sort
}
before=$(fingerprint)
for store in stores/*; do
	case $store in *-shm | *-wal) continue ;; esac
	refuse timeout 60 recordfs "$store" "$MNT"
	one_line "$T/refused.out"
	grep -qF "$store" "$T/refused.out" || fail "does not name $store: $(cat "$T/refused.out")"
	if is_mounted; then fail "$store is mounted"; fi
	same "$before" "$(fingerprint)" "$store was touched"
	if [ -e "$store-wal" ] || [ -e "$store-shm" ]; then fail "something is left beside $store"; fi
	refuse timeout 60 recordfs -o ro "$store" "$MNT"
	if [ -e "$store-wal" ] || [ -e "$store-shm" ]; then fail "something is left beside $store, read only"; fi
	refuse timeout 60 recordfsctl check "$store"
	same "$before" "$(fingerprint)" "$store was touched by recordfsctl check"
done
rm -rf stores/*

# Not regular files
mkfifo stores/fifo
refuse timeout 60 recordfs stores/fifo "$MNT"
refuse timeout 60 recordfs /dev/null "$MNT"
refuse timeout 60 recordfsctl check stores/absent
[ ! -e stores/absent ]

# What has the name of another store's log
for suffix in -wal -shm -journal; do
	refuse timeout 60 recordfs "stores/z.db$suffix" "$MNT"
	one_line refused.out
	[ ! -e "stores/z.db$suffix" ]
done

# An empty file becomes a store
: >stores/empty
STORE=$T/stores/empty
mount_store
echo x >"$MNT/x"
remount_store
same x "$(cat "$MNT/x")"
