#!/usr/bin/env bash
# tools/start: mounts, says what to try, is quick and quiet when there is nothing to do, mounts again
# what a dead daemon left, and says clearly what is wrong.
# timeout: 600
. "$RFS_TOP/tests/mount/lib.sh"
[ "${RFS_TIMEOUT_FACTOR:-1}" = 1 ] || exit 0 # builds without sanitizers whatever is tested
start=$RFS_TOP/tools/start

mkdir place
cd place
"$start" >first.out
grep -q fusermount3 first.out || fail "does not say how to stop: $(cat first.out)"
[ -e recordfs.db ]
is_mounted "$T/place/records"
echo hello >records/f
"$start" >second.out
one_line second.out
grep -q 'mounted already' second.out
status=0
"$start" my.db >third.out 2>&1 || status=$?
same 1 "$status" 'another store is mounted there'
grep -qF "$T/place/recordfs.db" third.out || fail "$(cat third.out)"
[ ! -e my.db ]
unmount records
"$start" recordfs.db records >/dev/null
same hello "$(cat records/f)"

pid=$(daemon_of "$T/place/recordfs.db")
kill -9 "$pid"
until_true 'the daemon is dead' gone "$pid"
expect_error ENOTCONN ls records
"$start" >/dev/null
same hello "$(cat records/f)"
unmount records

echo text >text
refuse "$start" text other
[ ! -e other ] || fail 'the mountpoint was left behind'
for words in --nonsense 'a b c'; do
	status=0
	# shellcheck disable=SC2086 # several words
	"$start" $words 2>wrong.out || status=$?
	same 2 "$status" "$words"
	one_line wrong.out
done
"$start" --help >/dev/null
sh "$start" --help >/dev/null # which is dash
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
	mkdir sources
	(cd "$RFS_TOP" && tar -c --exclude-from=.gitignore --exclude=.git .) | tar -x -C sources
	chmod -R go+rX . "$T"
	status=0
	setpriv --reuid=65534 --regid=65534 --clear-groups -- sources/tools/start >nobody.out 2>&1 || status=$?
	same 1 "$status" 'sources that cannot be written'
	same 1 "$(grep -c 'cannot write to' nobody.out)" "$(cat nobody.out)"
	same 1 "$(grep -vc '^Building' nobody.out)" "lines of $(cat nobody.out)"
fi
"$start" "$T/place/a b.db" "$T/place/m n" >blanks.out
"$start" "$T/place/a b.db" "$T/place/m n" | grep -q 'mounted already'
echo x >'m n/x'
# What it says to try works as it stands
sed -n 's/^  //p' blanks.out >try.sh
bash -e try.sh >tried.out
grep -q price tried.out
eval "$(sed -n 's/^To stop: //p' blanks.out)"
if is_mounted "$T/place/m n"; then fail 'still mounted'; fi
