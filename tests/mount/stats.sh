#!/usr/bin/env bash
# recordfsctl stats and info: every field, in every form; what is not a mount is said to be none.
. "$RFS_TOP/tests/mount/lib.sh"

mount_store -o cache_size=8M
printf '%05000d' 7 >"$MNT/f"
cat "$MNT/f" >/dev/null
recordfsctl stats --json "$MNT" >stats.json
python3 - stats.json <<'PYTHON'
import json, sys
stats = json.load(open(sys.argv[1]))
names = """read_requests write_requests cache_hits cache_misses cache_expired cache_evictions
    cache_invalidations cache_update_failures cache_bytes cache_limit_bytes cache_blocks store_reads
    store_commits store_write_requests store_flushes store_failures checksum_failures
    outside_changes""".split()
for name in names:
    assert isinstance(stats[name], int) and stats[name] >= 0, (name, stats.get(name))
assert stats["cache_limit_bytes"] == 8 << 20, stats
assert stats["write_requests"] >= 1 and stats["store_commits"] >= 1, stats
assert stats["cache_blocks"] >= 2 and stats["cache_bytes"] >= 5000, stats
assert stats["faults_on"] == 0, stats
PYTHON
recordfsctl stats "$MNT" >stats.txt
for name in cache_hits store_flushes checksum_failures; do
	grep -q "$name" stats.txt || fail "no $name in: $(cat stats.txt)"
done
# From below the mountpoint, by a relative path, and with the mount as the working directory
(cd "$MNT" && mkdir d && recordfsctl stats --json . && recordfsctl stats --json d) >/dev/null

# --watch goes on until it is told to stop
recordfsctl stats --watch "$MNT" >watch.out &
watcher=$!
twice() { [ "$(grep -c . watch.out)" -ge "$1" ]; }
until_true 'the first figures' twice 1
lines=$(grep -c . watch.out)
until_true 'the next figures' twice $((lines + 1))
kill "$watcher"
wait "$watcher" || true

recordfsctl info "$MNT/f" >info.out
grep -q "$MNT/f" info.out || fail "info does not name the file: $(cat info.out)"
: >"$MNT/empty"
truncate -s 1G "$MNT/sparse"
recordfsctl info "$MNT/empty" "$MNT/sparse" "$MNT/f" >info.out
[ "$(wc -c <info.out)" -lt 100000 ] || fail 'info lists the holes of a sparse file'

for command in "stats $T" "stats $T/absent" "info $T/stats.txt" "info $MNT/absent" 'stats' 'info' \
	'nonsense' '' 'check' "stats --nonsense $MNT"; do
	# shellcheck disable=SC2086 # words are meant
	refuse recordfsctl $command
	[ -s refused.out ] || fail "recordfsctl $command fails without a word"
done
one_line_of() {
	refuse recordfsctl "$@"
	one_line refused.out
}
one_line_of stats "$T"
one_line_of info "$MNT/absent"
one_line_of info --bogus "$MNT/f"
grep -q '^recordfsctl: info: .*bogus' refused.out || fail "no prefix: $(cat refused.out)"
umount_store

# Faults are said loudly
mount_store -o "fault=write:EIO:file=$T/on"
same 1 "$(stat_field faults_on)"
grep -qi fault daemon.log || fail "the log does not say that faults are on: $(cat daemon.log)"
recordfsctl stats "$MNT" | grep -i fault >/dev/null
touch on
expect_error EIO sh -c "echo x >$MNT/x"
rm on
[ "$(stat_field faults_injected)" -ge 1 ]
