#!/usr/bin/env bash
# mount -t fuse.recordfs, and what /etc/fstab makes of it: names with blanks and quotes, the usual
# option words, ordinary users, what was mounted before a crash, the exit status; and what findmnt,
# mount, df, du, stat, fuser and lsof say of it.
# mount(8) looks for the program in the system's folders only, so the build's take the place of
# /usr/local/bin in a mount namespace of our own.
[ "${1-}" = inside ] || exec "$RFS_TOP/tests/mount/apart" -- bash "$0" inside
. "$RFS_TOP/tests/mount/lib.sh"
need_root
need mount.fuse3 setpriv fuser lsof
mount --bind "$RFS_BUILD/fs" /usr/local/bin
# umount_dir DIR: it is busy also while anybody looks through /proc at who has it open.
umount_dir() { until_true "unmounting $1" umount "$1"; }

mount -t fuse.recordfs "$STORE" "$MNT" -o cache_ttl=5,sync=standard,noatime,nodev,nosuid
is_mounted
echo hello >"$MNT/f"
findmnt -n -o OPTIONS "$MNT" | grep -qw noatime
umount_dir "$MNT"

mkdir "$T/a b'c"
mount -t fuse.recordfs "$STORE" "$T/a b'c" -o ro,x-systemd.automount,nofail,_netdev
same hello "$(cat "$T/a b'c/f")"
expect_error EROFS touch "$T/a b'c/g"
umount_dir "$T/a b'c"
mount -t fuse.recordfs "$T/new store.db" "$MNT"
[ -e "$T/new store.db" ]
umount_dir "$MNT"

# As mount(8) reads it from fstab
printf '%s %s fuse.recordfs defaults,noexec,user_id=0,cache_size=8M 0 0\n' "$STORE" "$MNT" |
	sed 's/,user_id=0//' >"$T/fstab"
mount -T "$T/fstab" "$MNT"
same hello "$(cat "$MNT/f")"
umount_dir "$MNT"
printf 'recordfs#%s %s fuse defaults 0 0\n' "$STORE" "$MNT" >"$T/fstab"
mount -T "$T/fstab" "$MNT"
same hello "$(cat "$MNT/f")"
umount_dir "$MNT"

echo text >"$T/text"
refuse mount -t fuse.recordfs "$T/text" "$MNT"
refuse mount -t fuse.recordfs "$STORE" "$MNT" -o nonsense=1
if is_mounted; then fail 'mounted'; fi

# All of fstab at once, again, and after a crash; what is not to be mounted with all is not.
mkdir "$T/more" "$T/later"
cat >"$T/fstab" <<-FSTAB
	# a comment
	$STORE	$MNT	fuse.recordfs	defaults,nofail,x-systemd.device-timeout=5,x-systemd.requires=a.service	0	0
	$T/new\040store.db $T/more fuse.recordfs auto,relatime,comment=more,X-mount.note,x-gvfs-hide 0 2
	$T/later.db $T/later fuse.recordfs noauto 0 0
FSTAB
mount -a -T "$T/fstab"
for dir in "$MNT" "$T/more"; do is_mounted "$dir" || fail "not mounted: $dir"; done
if is_mounted "$T/later"; then fail 'mounted, in spite of noauto'; fi
mount -a -T "$T/fstab"
same 1 "$(findmnt -n "$MNT" | wc -l)" 'mounted again by mount -a'
pid=$(daemon_of "$STORE")
kill -9 "$pid"
until_true 'the daemon is dead' gone "$pid"
mount -T "$T/fstab" "$MNT"
same hello "$(cat "$MNT/f")"
same 1 "$(findmnt -n "$MNT" | wc -l)" 'mounts after a crash'
umount_dir "$T/more"

# What the usual programs say of it
same "fuse.recordfs $STORE" "$(findmnt -n -o FSTYPE,SOURCE "$MNT")"
same "$MNT" "$(findmnt -n -o TARGET "$STORE")"
mount | grep -qF "$STORE on $MNT type fuse.recordfs (rw," || fail "mount: $(mount | grep -F "$MNT")"
same "$STORE" "$(df --output=source "$MNT" | tail -n 1)"
same fuse.recordfs "$(df --output=fstype "$MNT" | tail -n 1)"
same "$MNT" "$(stat -c %m "$MNT/f")" 'the mountpoint, by stat'
head -c 1M /dev/urandom >"$MNT/big"
truncate -s 1G "$MNT/sparse"
same 1028 "$(du -k --total "$MNT/f" "$MNT/big" "$MNT/sparse" | tail -n 1 | cut -f 1)" 'KiB, by du'
same '1073741824 0 4096' "$(stat -c '%s %b %o' "$MNT/sparse")" 'size, blocks and best size of I/O'
exec 8<"$MNT/f"
[[ " $(fuser -m "$MNT" 2>/dev/null) " == *" $$ "* ]] || fail 'fuser does not show who has a file open'
[[ $(lsof -p $$ 2>/dev/null) == *"$MNT/f"* ]] || fail 'lsof does not show the open file'
refuse umount "$MNT"
grep -q busy "$T/refused.out" || fail "busy: $(cat "$T/refused.out")"
exec 8<&-
umount_dir "$MNT"

# Odd names, as each of them has to be written in fstab
odd="$T/a b,c#d\\e\"f'g\$h.db"
mount -t fuse.recordfs "$odd" "$MNT"
same "$odd" "$(findmnt -n -o SOURCE "$MNT")"
same "$odd" "$(df --output=source "$MNT" | tail -n 1)"
touch "$MNT/odd"
umount_dir "$MNT"
escaped=${odd//\\/\\134}
printf '%s %s fuse.recordfs ro 0 0\n' "${escaped// /\\040}" "$MNT" >"$T/fstab"
mount -T "$T/fstab" "$MNT"
[ -e "$MNT/odd" ]
umount_dir "$MNT"

# An ordinary user, whom a line of fstab allows it; mount(8) believes only the real fstab
chmod 755 "$T"
mkdir "$T/u" "$T/theirs"
chown nobody "$T/u" "$T/theirs"
mknod -m 666 "$T/fuse" c 10 229
mount --bind "$T/fuse" /dev/fuse
printf '%s %s fuse.recordfs noauto,user,nofail 0 0\n' "$T/u/s.db" "$T/theirs" >"$T/fstab"
mount --bind "$T/fstab" /etc/fstab
as_user() { setpriv --reuid nobody --regid nogroup --clear-groups -- "$@"; }
as_user mount "$T/theirs"
as_user sh -c "echo mine >$T/theirs/f"
same nobody "$(as_user stat -c %U "$T/theirs/f")"
findmnt -n -o OPTIONS "$T/theirs" | grep -q 'nosuid,nodev,noexec' || fail 'options of a user mount'
as_user umount "$T/theirs"
as_user mount "$T/theirs"
pid=$(daemon_of "$T/u/s.db")
kill -9 "$pid"
until_true 'the daemon is dead' gone "$pid"
as_user mount "$T/theirs"
same mine "$(as_user cat "$T/theirs/f")"
as_user fusermount3 -u "$T/theirs"
umount -l /etc/fstab /dev/fuse # which the daemon of the last mount may still have open
