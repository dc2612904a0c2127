# shellcheck shell=bash
# What the scripts in tools/ share: messages, Debian packages, builds. Sourced, with bash, after
# `set -euo pipefail`. Sets `top`, the root of the source tree.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# What a build needs; a Debian package on top of it; the tests on top of both; those of --long and CI.
build_packages=(gcc libc6-dev meson ninja-build pkg-config libfuse3-dev libseccomp-dev libsqlite3-dev libxxhash-dev
	libarchive-dev fuse3)
package_packages=(build-essential debhelper dpkg-dev fakeroot lintian)
# shellcheck disable=SC2034 # used by tools/test
test_packages=("${build_packages[@]}" "${package_packages[@]}" libcmocka-dev clang clang-format
	shellcheck python3 sqlite3 attr acl git rsync vim make tar lsof psmisc fish zsh mandoc groff-base
	systemd procps fio stress-ng)
# shellcheck disable=SC2034 # used by tools/test
long_packages=(debootstrap systemd-container)

say() { printf '%s\n' "$*"; }

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# quiet WHAT COMMAND...: runs it; its output is shown only when it fails.
quiet() {
	local what=$1 log status=0
	shift
	log=$(mktemp)
	"$@" >"$log" 2>&1 </dev/null || status=$?
	if [ "$status" -ne 0 ]; then
		cat "$log" >&2
		printf '%s: %s failed (%s)\n' "${0##*/}" "$what" "$*" >&2
	fi
	rm -f "$log"
	return "$status"
}

# install_missing PACKAGE...: installs those that are not there; silent when all of them are.
install_missing() {
	local package missing=() as_root=()
	if ! command -v dpkg-query >/dev/null; then
		say "This is not a Debian system; the equivalents of these are needed: $*" >&2
		return 0
	fi
	for package; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
			missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null || die "missing packages, and neither root nor sudo to install" \
			"them; as root: apt-get install ${missing[*]}"
		as_root=(sudo)
	fi
	say "Installing from Debian: ${missing[*]}"
	as_root+=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
	quiet 'apt-get update' "${as_root[@]}" update || true
	quiet 'apt-get install' "${as_root[@]}" install -y --no-install-recommends "${missing[@]}" ||
		die "install them by hand and try again: apt-get install ${missing[*]}"
}

# fetch_promtool: Prometheus's checker of metrics as $top/build-promtool/promtool, taken out of its package: to install
# that would start a server. Without it the test that needs it does without.
fetch_promtool() {
	local dir=$top/build-promtool
	if command -v promtool >/dev/null || [ -x "$dir/promtool" ] || ! command -v apt-get >/dev/null; then
		return 0
	fi
	mkdir -p "$dir"
	say "Taking promtool out of Debian's prometheus"
	if (cd "$dir" && apt-get -qq download prometheus && dpkg-deb --fsys-tarfile prometheus_*.deb |
		tar -x --strip-components=3 ./usr/bin/promtool) >/dev/null 2>&1; then
		rm -f "$dir"/prometheus_*.deb
	else
		rm -rf "$dir"
		say 'tools: no promtool: the format of the metrics is checked by our own parser alone'
	fi
}

# build DIR "MESON OPTIONS" [TARGET...]: configures $top/DIR once and brings it up to date. DIR is
# configured again when the list of mount tests changed, which meson cannot see.
build() {
	local dir=$top/$1 list
	local -a options
	read -ra options <<<"$2"
	shift 2
	[ -w "$([ -e "$dir" ] && echo "$dir" || echo "$top")" ] ||
		die "$(id -un) cannot write to $dir; run it as $(stat -c %U "$top")," \
			"or in a copy of the sources of your own"
	list=$(cd "$top/tests/mount" && ls)
	if [ ! -f "$dir/build.ninja" ]; then
		quiet configuring meson setup "$dir" "$top" "${options[@]}" || return
	elif [ "$list" != "$(cat "$dir/mount-tests" 2>/dev/null)" ]; then
		quiet configuring meson setup --reconfigure "$dir" "$top" || return
	fi
	printf '%s\n' "$list" >"$dir/mount-tests"
	quiet building ninja --quiet -C "$dir" "$@"
}
