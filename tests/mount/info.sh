#!/usr/bin/env bash
# recordfsctl info: what is stored, what is a hole, what is cached and for how long; by ranges and
# by blocks. The checksums are those in the store.
. "$RFS_TOP/tests/mount/lib.sh"
need sqlite3 setfattr

mount_store -o cache_ttl=1000
head -c 100000 /dev/urandom >"$MNT/dense"
truncate -s 1T "$MNT/sparse"
printf x >>"$MNT/sparse"
setfattr -n user.recordfs.ttl -v 7777 "$MNT/dense"
cat "$MNT/dense" >/dev/null
: >"$MNT/empty"
mkdir "$MNT/d"

has() { grep -qE -- "$1" info.out || fail "no '$1' in: $(cat info.out)"; }
recordfsctl info "$MNT/dense" >info.out
has "^$MNT/dense\$"
has "inode $(stat -c %i "$MNT/dense"), 100,000 bytes, .*TTL 7777 s .*its own"
has '25 stored, 0 in holes'
has 'cached: 25, TTL left'
has '^  0-24 .*stored, with checksums, cached, TTL left'
same 5 "$(wc -l <info.out)"

recordfsctl info --blocks "$MNT/dense" >info.out
same 25 "$(grep -c 'checksum [0-9a-f]\{16\}' info.out)"
has '^  24 +1696 bytes, checksum'

# A billion blocks are no list of a billion lines, nor a wait
recordfsctl info "$MNT/sparse" >info.out
has '1 stored, 268,435,456 in holes'
has '^  0-268435455 +hole$'
has '^  268435456 +1 byte, checksum'
has "TTL 1000 s .the mount's"
setfattr -n user.recordfs.ttl -v 0.0001 "$MNT/sparse"
recordfsctl info "$MNT/sparse" >info.out
has 'TTL 0.0001 s .its own'
recordfsctl info "$MNT/empty" "$MNT/d" >info.out
same 4 "$(wc -l <info.out)"

# The checksums are the store's own
recordfsctl info --blocks "$MNT/dense" | grep -oE 'checksum [0-9a-f]{16}' | cut -d ' ' -f 2 >shown
umount_store
sqlite3 "$STORE" "SELECT lower(hex(sums)) FROM block WHERE key >> 30 =
	(SELECT ino FROM dentry WHERE name = 'dense') ORDER BY key" |
	tr -d '\n' | fold -w 16 >stored
same "$(cat stored)" "$(cat shown)" 'checksums'

# Nothing is cached after a remount; without its TTL a cache serves nothing
mount_store -o cache_ttl=0
recordfsctl info "$MNT/sparse" >info.out
has 'cached: 0'
mkfifo "$MNT/fifo"
for path in "$STORE" "$MNT/fifo" "$T/absent" /dev/null; do
	refuse recordfsctl info "$path"
	one_line refused.out
done
# One that fails does not keep the others from being shown
recordfsctl info "$T/absent" "$MNT/empty" >info.out 2>/dev/null && fail 'succeeded'
has "^$MNT/empty\$"
