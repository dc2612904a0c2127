# shellcheck shell=bash
# What scenarios in shell share. Start with `. "$RFS_TOP/tests/mount/lib.sh"`. Every command that
# fails ends the test, as does the end of the script with a store that `recordfsctl check` faults.
#
#   $T      a fresh directory, on a disk       $MNT    where mount_store mounts, $T/mnt
#   $STORE  the store, $T/store.db             $DAEMON process id of the daemon
set -eEuo pipefail
umask 022

MNT=$T/mnt
STORE=$T/store.db
DAEMON=
mkdir -p "$MNT"
trap 'printf "%s:%s: failed: %s\n" "${BASH_SOURCE[0]##*/}" "$LINENO" "$BASH_COMMAND" >&2' ERR
trap end EXIT

fail() {
	printf 'FAILED: %s\n' "$*" >&2
	exit 1
}

# skip WHY: only for what a machine may lack; the runner's machine in CI lacks nothing.
skip() {
	printf 'skipped: %s\n' "$*"
	[ "${CI-}" != true ] || exit 1
	exit 77
}

need() {
	local command
	for command; do
		command -v "$command" >/dev/null || skip "no $command"
	done
}

need_root() { [ "$(id -u)" -eq 0 ] || skip 'not root'; }

# is_mounted [DIR]
is_mounted() { awk -v dir="${1-$MNT}" '$5 == dir {found = 1} END {exit !found}' /proc/self/mountinfo; }

# until_true WHAT COMMAND...: polls, a minute at most.
until_true() {
	local what=$1 i
	shift
	for ((i = 0; i < 3000; i++)); do
		if "$@"; then return 0; fi
		sleep 0.02
	done
	fail "waited in vain: $what"
}

mounted_or_dead() { is_mounted || ! kill -0 "$DAEMON" 2>/dev/null; }

# mount_store [OPTION...]: mounts $STORE on $MNT and returns when the mount works.
mount_store() {
	recordfs -f "$STORE" "$MNT" "$@" >>"$T/daemon.log" 2>&1 &
	DAEMON=$!
	until_true 'the mount' mounted_or_dead
	kill -0 "$DAEMON" 2>/dev/null || fail "the daemon ended: $(cat "$T/daemon.log")"
	stat "$MNT/." >/dev/null
}

# umount_store: unmounts, and the daemon must end with status 0.
umount_store() {
	local status=0
	unmount "$MNT"
	wait "$DAEMON" || status=$?
	[ "$status" -eq 0 ] || fail "the daemon's exit status is $status: $(tail "$T/daemon.log")"
	DAEMON=
}

remount_store() {
	umount_store
	mount_store "$@"
}

# unmount DIR: also when somebody looks at all mounts just now.
unmount() { until_true 'unmounting' fusermount3 -u "$1"; }

# crash_daemon: kill -9, and what it leaves is unmounted.
crash_daemon() {
	kill -9 "$DAEMON"
	wait "$DAEMON" 2>/dev/null || true
	DAEMON=
	unmount "$MNT"
}

# daemon_of STORE: process id of the daemon in the background that was started with this word.
daemon_of() {
	local dir
	for dir in /proc/[0-9]*; do
		if [[ $(tr '\0' ' ' 2>/dev/null <"$dir/cmdline") == *"recordfs $1 "* ]]; then
			echo "${dir#/proc/}"
			return
		fi
	done 2>/dev/null
	fail "no daemon serves $1"
}

gone() { [ ! -e "/proc/$1" ]; }

# What every scenario ends with: an orderly unmount, and a store without a fault in it.
# CHECK=no before the end leaves the second out, for scenarios that damage the store.
end() {
	local status=$?
	trap - EXIT ERR
	set +e
	cd "$T" || exit 1
	if [ "$status" -eq 0 ]; then
		if [ -n "$DAEMON" ]; then umount_store; fi
		if [ "${CHECK-}" != no ] && [ -e "$STORE" ]; then
			recordfsctl check "$STORE" >"$T/check.out" 2>&1 || {
				status=1
				echo 'FAILED: recordfsctl check:' >&2
				head -n 20 "$T/check.out" >&2
			}
		fi
	fi
	exit "$status"
}

# stat_field NAME: one whole number of `recordfsctl stats --json`.
stat_field() {
	recordfsctl stats --json "$MNT" | python3 -c '
import json, sys
print(json.load(sys.stdin)[sys.argv[1]])' "$1"
}

# same WANTED GOT [WHAT]
same() { [ "$1" = "$2" ] || fail "${3-}: wanted '$1', got '$2'"; }

# expect_error ERRNO COMMAND...: it must fail, saying what strerror says of ERRNO.
expect_error() {
	local text status=0 out
	text=$(python3 -c 'import errno, os, sys; print(os.strerror(getattr(errno, sys.argv[1])))' "$1")
	shift
	out=$("$@" 2>&1 >/dev/null) || status=$?
	[ "$status" -ne 0 ] || fail "succeeded, should say '$text': $*"
	[[ $out == *"$text"* ]] || fail "should say '$text', says '$out': $*"
}

# refuse COMMAND...: it must fail, by an exit status and not by a signal.
refuse() {
	local status=0
	"$@" >"$T/refused.out" 2>&1 || status=$?
	[ "$status" -ne 0 ] || fail "succeeded: $*"
	[ "$status" -lt 126 ] || fail "exit status $status: $*"
}

# one_line FILE: exactly one line, and it says something.
one_line() { same 1 "$(grep -c . "$1")" "lines of '$(cat "$1")'"; }
