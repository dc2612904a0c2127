#!/usr/bin/env bash
# The Debian package: tools/package builds one that lintian has nothing against, and what dpkg makes
# of it works: programs, manual pages, completions, the unit file; a mount by hand and by mount(8).
# Removed, it takes along all that it brought.
# It is installed into a copy of this system, an overlay in a mount namespace of our own.
# timeout: 1800
[ "${RFS_TIMEOUT_FACTOR:-1}" = 1 ] || exit 0 # builds without sanitizers whatever is tested
[ "${1-}" = inside ] ||
	exec "$RFS_TOP/tests/mount/apart" -p -f --kill-child -- bash "$0" inside
. "$RFS_TOP/tests/mount/lib.sh"
need_root
need dpkg-deb dh lintian fakeroot unshare

"$RFS_TOP/tools/package" "$T/out"
deb=$(echo "$T"/out/recordfs_*.deb)
version=$(recordfs --version | sed -n 's/^recordfs //p')
same "$version" "$(dpkg-deb -f "$deb" Version)"

dpkg-deb -x "$deb" unpacked
"$RFS_TOP/tools/check-links" unpacked/usr/share/doc/recordfs
rm -r unpacked

mkdir memory system
mount -t tmpfs tmpfs memory
mkdir memory/upper memory/work
mount -t overlay overlay -o "lowerdir=/,upperdir=$T/memory/upper,workdir=$T/memory/work" system
mount --rbind /dev system/dev
mount -t proc proc system/proc
mount --rbind /sys system/sys
mount -t tmpfs tmpfs system/mnt
cp "$deb" system/mnt/recordfs.deb
dpkg-deb -c "$deb" | sed -n 's/.* \.\(\/.*[^/]\)$/\1/p' >system/mnt/files
cat >system/mnt/try <<-'TRY'
	set -euxo pipefail
	cd /mnt
	unset LD_LIBRARY_PATH
	PATH=/usr/sbin:/usr/bin:/sbin:/bin
	dpkg -i recordfs.deb >/dev/null
	dpkg -V recordfs
	while read -r file; do [ -e "$file" ]; done <files
	grep -q /man1/recordfs.1 files
	grep -q /man1/recordfsctl.1 files
	grep -q /man5/recordfs-store.5 files
	grep -q 'lib/systemd/system/recordfs@.service' files
	[ "$(grep -cE '(completions|vendor_completions.d|vendor-completions)/_?recordfs' files)" = 6 ]
	[ "$(recordfs --version | head -n 1)" = "recordfs $1" ]
	recordfsctl --help >/dev/null
	for page in /usr/share/man/man1/recordfs.1.gz /usr/share/man/man1/recordfsctl.1.gz \
		/usr/share/man/man5/recordfs-store.5.gz; do
		[ -z "$(man --warnings -l "$page" 2>&1 >page)" ]
		[ -s page ]
	done
	systemd-analyze verify --man=no /lib/systemd/system/recordfs@.service
	mkdir shop
	for how in 'recordfs' 'mount -t fuse.recordfs -o noatime'; do
		$how /mnt/shop.db /mnt/shop
		[ "$(findmnt -n -o SOURCE /mnt/shop)" = /mnt/shop.db ]
		echo "by $how" >/mnt/shop/how
		[ "$(cat shop/how)" = "by $how" ]
		umount shop
		[ -z "$(ls shop)" ]
	done
	recordfsctl check shop.db
	dpkg -r recordfs >/dev/null
	dpkg -P recordfs >/dev/null
	while read -r file; do [ ! -e "$file" ]; done <files
	[ ! -e /etc/recordfs ]
	[ -z "$(dpkg -l recordfs 2>/dev/null | grep recordfs)" ]
TRY
chroot system /bin/bash /mnt/try "$version" >try.out 2>&1 || {
	tail -n 30 try.out >&2
	fail 'what was installed does not work'
}
grep -q 'no faults' try.out
# What is in the overlay and has our name; a device is what says that something was deleted.
same '' "$(find memory/upper -name '*recordfs*' ! -type c)" 'left after the removal'
