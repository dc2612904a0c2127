#!/usr/bin/env bash
# A mountpoint that is in use: another recordfs is not covered unless that is asked for, what a dead
# daemon left is cleared away, and what is below a mount is a mountpoint like any other.
. "$RFS_TOP/tests/mount/lib.sh"
second=$T/second.db

mount_store
echo first >"$MNT/f"
ln -s mnt link
for way in "$MNT" "$MNT/" ../"${T##*/}"/mnt link; do
	refuse timeout 60 recordfs "$second" "$way"
	one_line refused.out
	grep -qF "'$STORE' is mounted there already" refused.out || fail "$(cat refused.out)"
done
[ ! -e "$second" ] || fail 'a store was made'
same first "$(cat "$MNT/f")"

recordfs -o nonempty "$second" "$MNT"
same '' "$(ls "$MNT")" 'what covers it'
same "$second" "$(findmnt -n -o SOURCE "$MNT" | tail -n 1)"
unmount "$MNT"
same first "$(cat "$MNT/f")"
mkdir "$MNT/below"
recordfs "$second" "$MNT/below"
unmount "$MNT/below"

# A daemon that has died is in nobody's way, whatever the kernel still knows of its root.
stat "$MNT" >/dev/null
kill -9 "$DAEMON"
wait "$DAEMON" 2>/dev/null || true
DAEMON=
expect_error ENOTCONN ls "$MNT"
recordfs "$STORE" link 2>said
one_line said
grep -qF "unmounted '$STORE', whose daemon had died, from '$MNT'" said || fail "$(cat said)"
same first "$(cat "$MNT/f")"
same 1 "$(findmnt -n "$MNT" | wc -l)" 'mounts'

# Two dead ones, one over the other; names that the list of mounts has to escape
unmount "$MNT"
odd="$T/a b\\c,d#e\"f'g"
mkdir "$odd"
recordfs "$second" "$odd"
recordfs -o nonempty "$odd.db" "$odd"
for pid in "$(daemon_of "$second")" "$(daemon_of "-o nonempty $odd.db")"; do
	kill -9 "$pid"
	until_true 'the daemon is dead' gone "$pid"
done
recordfs "$odd.db" "$odd" 2>said
same 2 "$(wc -l <said)" 'lines said'
touch "$odd/f"
same "$odd.db" "$(findmnt -n -o SOURCE "$odd")"
same "$odd.db" "$(df --output=source "$odd" | tail -n 1)"
unmount "$odd"
if grep -qF "${T##*/}" /proc/self/mountinfo; then fail 'a mount is left'; fi
