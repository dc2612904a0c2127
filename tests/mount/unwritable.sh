#!/usr/bin/env bash
# A store that a user may only read is mounted read-only, with a warning; what keeps one that may be
# written from being mounted is named: the directory, a file beside the store. Damage is called so.
. "$RFS_TOP/tests/mount/lib.sh"
need_root
need setpriv
mkdir place

# Root without the right to pass over modes, since /dev/fuse may be closed to anybody else
user() { setpriv --bounding-set -dac_override,-dac_read_search -- "$@"; }
user_mount() { user timeout 60 recordfs "$@" 2>said; }

# end_mount: unmounted, and the daemon is gone
end_mount() {
	local pid
	pid=$(daemon_of "$1")
	user fusermount3 -u "$MNT"
	until_true 'the end of the daemon' gone "$pid"
}
# says WORD...
says() {
	local word
	one_line said
	for word; do grep -qF -- "$word" said || fail "no '$word' in: $(cat said)"; done
}
refused() {
	if user_mount "$@"; then fail "mounted: $*"; fi
}

s=$T/place/s.db
user_mount "$s" "$MNT"
user sh -c "echo 1 >$MNT/x"
end_mount "$s"

chmod 444 "$s"
user_mount "$s" "$MNT"
says "$s" 'mounted read-only'
same 1 "$(user cat "$MNT/x")"
expect_error EROFS user touch "$MNT/y"
findmnt -n -o OPTIONS "$MNT" | grep -q '^ro\b' || fail 'the mount is not shown as read-only'
end_mount "$s"

# What that left beside the store is of its mode
chmod 644 "$s"
refused "$s" "$MNT"
says "$s-wal" "$s-shm" 'writable as well'
chmod 644 "$s-wal" "$s-shm"
user_mount "$s" "$MNT"
same '' "$(cat said)"
end_mount "$s"

# A directory that cannot be written
chmod 555 place
refused "$s" "$MNT"
says 'mount with -o ro' 'Permission denied'
user_mount -o ro "$s" "$MNT"
same 1 "$(user cat "$MNT/x")"
end_mount "-o ro $s"
refused "$T/place/new.db" "$MNT"
says "$T/place/new.db" 'cannot create the store: Permission denied'
same 0 "$(find place -name 'new.db*' | wc -l)" 'files left behind'
chmod 755 place

# Damage
cp "$s" place/cut.db && truncate -s 5000 place/cut.db
refused "$T/place/cut.db" "$MNT"
says damaged "recordfsctl check $T/place/cut.db"

# ... is not explained by the place
cp "$s" place/torn.db
dd if=/dev/urandom of=place/torn.db bs=100 seek=1 count=30 conv=notrunc status=none
chmod 555 place
if user recordfsctl records "$T/place/torn.db" >/dev/null 2>said; then fail "a damaged store"; fi
says "$T/place/torn.db" malformed
chmod 755 place
