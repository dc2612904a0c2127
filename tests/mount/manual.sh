#!/usr/bin/env bash
# The manual pages and --help name the same options, of recordfs and of recordfsctl.
. "$RFS_TOP/tests/mount/lib.sh"
docs=$RFS_TOP/docs

# long_options TEXT: the --options in it.
long_options() { grep -oE -e '--[a-z][a-z-]+' <<<"$1" | sort -u; }
# page FILE: an mdoc page with its macros for options turned into what they print.
page() { sed -E 's/(Fl|Op|\|) -/\1 --/g' "$docs/$1"; }

same "$(long_options "$(recordfs --help)")" "$(long_options "$(page recordfs.1)")" 'recordfs'
help=$(recordfsctl --help)
commands=$(sed -n 's/^recordfsctl \([a-z]*\) .*/\1/p' <<<"$help")
[ "$(wc -w <<<"$commands")" -ge 13 ]
for command in $commands; do
	help+=$(recordfsctl "$command" --help)
	grep -q "^\.Cm $command\$" "$docs/recordfsctl.1" || fail "no $command in the manual"
	grep -q "^| .*\`${command}[\` ]" "$RFS_TOP/README.md" || fail "no $command in README.md"
done
same "$(long_options "$help")" "$(long_options "$(page recordfsctl.1)")" 'recordfsctl'

# Mount options of our own
recordfs --help | grep -oE '^  -o [a-z_]+=' | grep -oE '[a-z_]+=' | sort >helped
sed -nE 's/^\.It Cm ([a-z_]+=) Ns Ar [A-Z]+$/\1/p' "$docs/recordfs.1" | sort >described
same "$(cat helped)" "$(cat described)" 'mount options'
[ "$(wc -l <helped)" -ge 7 ]

if command -v groff >/dev/null; then
	for page in recordfs.1 recordfsctl.1 recordfs-store.5; do
		same '' "$(groff -mandoc -ww -Tutf8 "$docs/$page" 2>&1 >"$page.txt")" "groff $page"
		[ "$(wc -l <"$page.txt")" -gt 50 ]
	done
fi
need mandoc
for page in recordfs.1 recordfsctl.1 recordfs-store.5; do
	same '' "$(mandoc -T lint -W warning "$docs/$page" 2>&1)" "mandoc $page"
done

# What recordfs-store(5) says of the file is true, and its examples run.
recordfs "$STORE" "$MNT"
unmount "$MNT"
for pragma in application_id user_version; do
	value=$(sqlite3 -cmd '.timeout 60000' "$STORE" "PRAGMA $pragma") # the daemon may be ending
	[ $pragma = user_version ] || value=$(printf '0x%x' "$value")
	grep -A 1 -F "$pragma" "$docs/recordfs-store.5" | grep -qw "$value" || fail "$pragma is $value"
done
sed -n '/^\.Sh EXAMPLES/,/^\.Ed/p' "$docs/recordfs-store.5" | grep -v '^\.' >examples.sql
{
	echo "INSERT INTO records(path, type) VALUES('/archive', 'directory');"
	cat examples.sql
} | sqlite3 -cmd '.timeout 60000' -bail "$STORE" >examples.out
same /archive/43.json "$(cat examples.out)" 'what the examples print'
for table in store inode dentry block hole xattr orphan mount changelog; do
	grep -q "^\.It Sy $table\|, Sy $table" "$docs/recordfs-store.5" || fail "no table $table"
done
