#!/usr/bin/env bash
# mount -t fuse.recordfs, and what /etc/fstab and systemd make of it: names with blanks and quotes,
# the usual option words, the exit status.
# mount(8) looks for the program in the system's folders only, so the build's take the place of
# /usr/local/bin in a mount namespace of our own.
[ "${1-}" = inside ] || exec unshare -m --propagation private bash "$0" inside
. "$RFS_TOP/tests/mount/lib.sh"
need_root
need mount.fuse3
mount --bind "$RFS_BUILD/fs" /usr/local/bin

mount -t fuse.recordfs "$STORE" "$MNT" -o cache_ttl=5,sync=standard,noatime,nodev,nosuid
is_mounted
echo hello >"$MNT/f"
findmnt -n -o OPTIONS "$MNT" | grep -qw noatime
umount "$MNT"

mkdir "$T/a b'c"
mount -t fuse.recordfs "$STORE" "$T/a b'c" -o ro,x-systemd.automount,nofail,_netdev
same hello "$(cat "$T/a b'c/f")"
expect_error EROFS touch "$T/a b'c/g"
umount "$T/a b'c"
mount -t fuse.recordfs "$T/new store.db" "$MNT"
[ -e "$T/new store.db" ]
umount "$MNT"

# As mount(8) reads it from fstab
printf '%s %s fuse.recordfs defaults,noexec,user_id=0,cache_size=8M 0 0\n' "$STORE" "$MNT" |
	sed 's/,user_id=0//' >"$T/fstab"
mount -T "$T/fstab" "$MNT"
same hello "$(cat "$MNT/f")"
umount "$MNT"
printf 'recordfs#%s %s fuse defaults 0 0\n' "$STORE" "$MNT" >"$T/fstab"
mount -T "$T/fstab" "$MNT"
same hello "$(cat "$MNT/f")"
umount "$MNT"

echo text >"$T/text"
refuse mount -t fuse.recordfs "$T/text" "$MNT"
refuse mount -t fuse.recordfs "$STORE" "$MNT" -o nonsense=1
if is_mounted; then fail 'mounted'; fi
