#!/usr/bin/env bash
# In the background only once the mount works: a program that starts the daemon, waits for it and
# reads its output finds a working mount; the daemon holds neither terminal, directory nor pipes.
. "$RFS_TOP/tests/mount/lib.sh"

mkdir work
for _ in 1 2 3 4 5; do
	out=$(cd work && recordfs ../store.db "$MNT" 2>&1 && echo x >"$MNT/x" && cat "$MNT/x")
	same x "$out"
	pid=$(daemon_of ../store.db)
	same / "$(readlink "/proc/$pid/cwd")"
	# A session of its own, and no terminal: fields 6 and 7 of proc_pid_stat(5)
	read -r _ _ _ _ _ session terminal _ <"/proc/$pid/stat"
	[ "$session" != "$(awk '{print $6}' /proc/$$/stat)" ] || fail 'it is in the session of its starter'
	same 0 "$terminal" 'the terminal'
	for fd in 0 1 2; do
		case $(readlink "/proc/$pid/fd/$fd") in
		pipe:*) fail "the daemon holds its starter's pipe as $fd" ;;
		esac
	done
	unmount "$MNT"
done

# A lock that the starter holds on a file goes with the starter
exec 9>lock
flock 9
recordfs "$STORE" "$MNT"
exec 9>&-
flock -n lock true || fail 'the daemon holds a descriptor of its starter'
unmount "$MNT"

# The store that cannot be opened, the mountpoint that cannot be used: said before the exit
status=0
recordfs "$STORE" "$T/absent" 2>err.out || status=$?
[ "$status" -ne 0 ]
one_line err.out
status=0
recordfs -o fault=open:EIO "$STORE" "$MNT" 2>err.out || status=$?
[ "$status" -ne 0 ]
[ -s err.out ]
if is_mounted; then fail 'mounted, without a store'; fi
