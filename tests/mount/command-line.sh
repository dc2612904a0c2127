#!/usr/bin/env bash
# The command line: help, version, options, mistakes. What is refused is refused in one clear line,
# and leaves nothing behind.
. "$RFS_TOP/tests/mount/lib.sh"

for program in recordfs recordfsctl; do
	for option in -h --help; do
		"$program" $option >help.out 2>help.err
		grep -q "$program" help.out
		same '' "$(cat help.err)" "$program $option on standard error"
	done
	for option in -V --version; do
		same 1 "$("$program" $option | grep -c "^$program.* [0-9][0-9.]*$")" "$program $option"
	done
done
recordfs --help >help.out
for option in cache_size cache_ttl sync on_cache_error watch max_size fault ro allow_other; do
	grep -q -- "$option" help.out || fail "--help does not say what $option is"
done

# refused WHAT ARGUMENT...: one line, and nothing was made or mounted.
refused() {
	local what=$1 before
	shift
	before=$(find "$T" -newer "$T/mark" ! -path "$T" ! -name '*.out' ! -name daemon.log | sort)
	refuse timeout 60 recordfs "$@"
	one_line "$T/refused.out"
	grep -q '^recordfs: ' "$T/refused.out" || fail "$what: $(cat "$T/refused.out")"
	if is_mounted; then fail "$what: mounted"; fi
	same "$before" "$(find "$T" -newer "$T/mark" ! -path "$T" ! -name '*.out' ! -name daemon.log |
		sort)" "$what left something behind"
}
touch -d '1 hour ago' mark
mkdir -p full && touch full/file

refuse recordfs
one_line refused.out
refused 'no mountpoint' "$STORE"
refused 'too many arguments' "$STORE" "$MNT" "$MNT"
refused 'an unknown option' "$STORE" "$MNT" -o nonsense
refused 'an unknown option with a value' "$STORE" "$MNT" -o cache_sise=5M
refused 'an unknown letter' -z "$STORE" "$MNT"
refused 'an unknown word' --nonsense "$STORE" "$MNT"
for option in cache_size=x cache_size=-5 cache_size=5Q cache_ttl=x cache_ttl=-1 cache_ttl= sync=maybe \
	sync= on_cache_error=ignore watch=x watch=-1 max_size=x max_size=0x fault=x fault=write \
	fault=nowhere:EIO fault=write:NOERROR fault=write:EIO:every=x fault=write:EIO:some=1 max_size=0 \
	fault=write:EIO:every=2:every=3 fault=read:EIO,fault=write:EIO; do
	refused "$option" "$STORE" "$MNT" -o "$option"
done
refused 'a fault that there is not' "$STORE" "$MNT" -o fault=write
grep -q 'POINT:ERROR' refused.out || fail "$(cat refused.out)"
refused 'no such mountpoint' "$STORE" "$T/absent"
refused 'a file as the mountpoint' "$STORE" "$T/mark"
refused 'a store in no directory' "$T/absent/store.db" "$MNT"
refused 'a directory as the store' "$T/full" "$MNT"
refused 'a store inside its own mountpoint' "$MNT/store.db" "$MNT"
refused 'the same in the foreground' -f "$STORE" "$T/absent"

# An empty word is a wrong command line, for which the status is 2
for words in "'' $MNT" "$STORE ''"; do
	status=0
	eval "recordfs $words" >empty.out 2>&1 || status=$?
	same 2 "$status" "recordfs $words"
	one_line empty.out
done

# A symbolic link that leads to nothing yet: the store is made there
ln -s later.db link
recordfs link "$MNT"
[ -f later.db ]
unmount "$MNT"
until_true 'its end' [ ! -e later.db-wal ]

# What the kernel has against it is in the one line as well
if [ "$(id -u)" -eq 0 ]; then
	refused 'an option that the kernel refuses' "$STORE" "$MNT" -o rootcontext=nonsense
	grep -q 'cannot mount .*: Invalid argument$' refused.out || fail "$(cat refused.out)"
fi

# In the background: exit status 0 means mounted, and standard output is not held open
same '' "$(recordfs "$STORE" "$MNT" 2>&1)"
is_mounted || fail 'exit status 0, and not mounted'
echo works >"$MNT/f"
same "$STORE" "$(findmnt -n -o SOURCE "$MNT")"
same fuse.recordfs "$(findmnt -n -o FSTYPE "$MNT")"
unmount "$MNT"

# Options in every order and form; relative paths
cd "$T"
recordfs -o cache_size=64M,cache_ttl=2.5 store.db mnt -o sync=standard -o on_cache_error=drop,watch=50
same works "$(cat mnt/f)"
unmount mnt
recordfs -s store.db mnt -o noatime,max_size=1G,cache_size=1048576,fsname=mine,default_permissions
same works "$(cat mnt/f)"
same mine "$(findmnt -n -o SOURCE "$MNT")"
unmount mnt

# With too few files that it may open: it says so, and leaves no mount, at whatever file that was
for ((n = 8; n < 64; n++)); do
	if (ulimit -n "$n" && exec timeout 60 recordfs "$STORE" "$MNT" >few.out 2>&1); then break; fi
	if is_mounted; then fail "a mount is left, with $n files: $(cat few.out)"; fi
done
unmount "$MNT"

mount_store -d
same works "$(cat mnt/f)"
umount_store
