#!/usr/bin/env bash
# SIGTERM and SIGINT unmount cleanly, in the foreground and in the background, also under load.
. "$RFS_TOP/tests/mount/lib.sh"

for signal in TERM INT HUP; do
	mount_store
	echo "$signal" >"$MNT/$signal"
	kill -s "$signal" "$DAEMON"
	wait "$DAEMON" || fail "exit status $? after SIG$signal"
	if is_mounted; then fail "still mounted after SIG$signal"; fi
	DAEMON=
	recordfsctl check "$STORE"
done

unmounted() { ! is_mounted; }

for signal in TERM INT; do
	recordfs "$STORE" "$MNT"
	pid=$(daemon_of "$STORE")
	same TERM "$(cat "$MNT/TERM")"
	# Somebody writes on until the mount is gone
	while echo line; do :; done >>"$MNT/log" 2>/dev/null &
	writer=$!
	until_true 'the writer writes' test -s "$MNT/log"
	kill -s "$signal" "$pid"
	until_true 'the mount goes' unmounted
	until_true 'the daemon ends' gone "$pid"
	kill "$writer" 2>/dev/null || true
	wait "$writer" 2>/dev/null || true
	recordfsctl check "$STORE"
done
mount_store
same TERM "$(cat "$MNT/TERM")"
same '' "$(grep -v '^line$' "$MNT/log" || true)" 'only whole lines'
