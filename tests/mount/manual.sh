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
for command in stats info check backup; do
	help+=$(recordfsctl "$command" --help)
	grep -q "^\.Cm $command\$" "$docs/recordfsctl.1" || fail "no $command in the manual"
done
same "$(long_options "$help")" "$(long_options "$(page recordfsctl.1)")" 'recordfsctl'

# Mount options of our own
recordfs --help | grep -oE '^  -o [a-z_]+=' | grep -oE '[a-z_]+=' | sort >helped
sed -nE 's/^\.It Cm ([a-z_]+=) Ns Ar [A-Z]+$/\1/p' "$docs/recordfs.1" | sort >described
same "$(cat helped)" "$(cat described)" 'mount options'
[ "$(wc -l <helped)" -ge 7 ]

if command -v groff >/dev/null; then
	for name in recordfs recordfsctl; do
		same '' "$(groff -mandoc -ww -Tutf8 "$docs/$name.1" 2>&1 >"$name.txt")" "groff $name"
		[ "$(wc -l <"$name.txt")" -gt 50 ]
	done
fi
