#!/usr/bin/env bash
# What the daemon may be started with: a limit on the size of files, which is a full disk to it and
# nothing to die of; closed standard descriptors; a store behind symbolic links that lead to nothing yet.
. "$RFS_TOP/tests/mount/lib.sh"

# end_mount STORE: unmounted, and the daemon is gone
end_mount() {
	local pid
	pid=$(daemon_of "$1")
	unmount "$MNT"
	until_true 'the end of the daemon' gone "$pid"
}

# ulimit -f is in KiB. What was written stays, what is too much fails as on a full disk.
(
	ulimit -f 4096
	recordfs "$STORE" "$MNT"
)
echo old >"$MNT/old"
head -c 64K /dev/zero | tr '\0' n >new
expect_error ENOSPC dd if=/dev/urandom of="$MNT/big" bs=64K count=200
expect_error ENOSPC dd if=/dev/urandom of="$MNT/big2" bs=64K count=200
is_mounted
same old "$(cat "$MNT/old")"
rm -f "$MNT/big" "$MNT/big2"
until_true 'room again' cp new "$MNT/new"
cmp new "$MNT/new"
end_mount "$STORE"
recordfsctl check --quiet "$STORE" >check.out

# Too little for a store at all: one line, and nothing is left.
status=0
(
	ulimit -f 16
	exec recordfs "$T/small.db" "$MNT" 2>small.out
) || status=$?
same 1 "$status" 'the exit status'
one_line small.out
grep -qF "$T/small.db" small.out
same '' "$(find "$T" -name 'small.db*')" 'what was left'
if is_mounted; then fail 'mounted, without a store'; fi
status=0
(
	ulimit -f 16
	exec recordfsctl backup --quiet "$STORE" copy.db 2>small.out
) || status=$?
same 1 "$status" 'the exit status'
same '' "$(find "$T" -name 'copy.db*')" 'what was left'

# Whatever is closed, the mount works, and what is wrong is told by the exit status.
for closed in '<&-' '>&-' '2>&-' '<&- >&-' '>&- 2>&-' '<&- >&- 2>&-'; do
	eval "timeout 60 recordfs \"\$STORE\" \"\$MNT\" $closed"
	same old "$(cat "$MNT/old")" "with $closed"
	echo old >"$MNT/old"
	end_mount "$STORE"
	recordfsctl check --quiet "$STORE" >check.out
	status=0
	eval "timeout 60 recordfs new \"\$MNT\" $closed" 2>refused.out || status=$?
	same 1 "$status" "a file that is no store, with $closed"
done

# A new store is made where symbolic links lead, as any file would be.
mkdir far near
ln -s "$T/far/store.db" near/a
ln -s a near/b
recordfs near/b "$MNT"
same "$T/far/store.db" "$(findmnt -n -o SOURCE "$MNT")"
echo x >"$MNT/x"
end_mount near/b
[ -f far/store.db ] && [ -L near/a ] && [ -L near/b ]
recordfs near/b "$MNT"
same x "$(cat "$MNT/x")"
end_mount near/b
ln -s ../absent/store.db near/c
refuse recordfs near/c "$MNT"
one_line refused.out
ln -s loop near/loop
refuse recordfs near/loop "$MNT"
