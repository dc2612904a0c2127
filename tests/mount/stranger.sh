#!/usr/bin/env bash
# A stranger's first hour: a bare Debian, a clone of this tree, and what README.md says, to the letter:
# tools/start, the tour, the installation, the package, and the service under a systemd that is process 1.
# In CI and with RFS_LONG only: it fetches 400 MB, which takes two to three minutes.
# All of it in namespaces of its own, so that nothing is left of it when it ends, however it does.
# timeout: 3600
# What is in single quotes is for the shell in there:
# shellcheck disable=SC2016
[ "${RFS_TIMEOUT_FACTOR:-1}" = 1 ] && [ -n "${RFS_LONG-}${CI-}" ] || exit 0
[ "${1-}" = inside ] ||
	exec "$RFS_TOP/tests/mount/apart" -p -f --kill-child -- bash "$0" inside
. "$RFS_TOP/tests/mount/lib.sh"
need_root
need debootstrap git
mount -t proc proc /proc

# Where this system gets its packages from.
mirror=$(find /etc/apt/sources.list /etc/apt/sources.list.d -type f -exec \
	sed -nE 's/^(deb |URIs: *)(\[.*\] )?(https?:[^ ]*\/debian\/?)( .*)?$/\3/p' {} + 2>/dev/null | sed 1q) || true
mkdir debian
debootstrap --variant=minbase bookworm "$T/debian" "${mirror:-http://deb.debian.org/debian}" \
	>debootstrap.out 2>&1 || {
	tail -n 5 debootstrap.out >&2
	fail 'no Debian could be fetched'
}
mount -t proc proc debian/proc
mount --rbind /sys debian/sys
mount -t tmpfs tmpfs debian/dev
for device in null zero full random urandom tty fuse; do
	touch "debian/dev/$device"
	mount --bind "/dev/$device" "debian/dev/$device"
done
mkdir debian/dev/pts debian/dev/shm
mount --bind /dev/pts debian/dev/pts
ln -s /proc/self/fd debian/dev/fd
ln -s pts/ptmx debian/dev/ptmx
cp /etc/resolv.conf /etc/hosts debian/etc/
if [ -d /etc/apt/apt.conf.d ]; then
	cp -n /etc/apt/apt.conf.d/*proxy* debian/etc/apt/apt.conf.d/ 2>/dev/null || true
fi

# What he would have cloned, with what is not committed yet.
git -C "$RFS_TOP" ls-files -z --cached --others --exclude-standard |
	tar -C "$RFS_TOP" --null --files-from=- -cf - | {
	mkdir debian/root/recordfs
	tar -C debian/root/recordfs --no-same-owner -xf -
}

# as_stranger SCRIPT: in a login shell of that system, from the project's folder.
as_stranger() {
	env -i TERM=dumb HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		${http_proxy+"http_proxy=$http_proxy"} ${https_proxy+"https_proxy=$https_proxy"} \
		CI="${CI-}" chroot debian /bin/bash -euo pipefail -c "cd /root/recordfs; $1"
}

say() { printf '== %s: %s s\n' "$1" "$SECONDS"; }
say 'a bare Debian'
as_stranger 'tools/start' >start.out 2>&1 || fail "tools/start: $(tail -n 20 start.out)"
as_stranger 'echo works >records/f; cat records/f; fusermount3 -u records; tools/start >/dev/null;
	[ "$(cat records/f)" = works ]; fusermount3 -u records'
say 'tools/start'

# The tour needs what it names, and so has to say it.
as_stranger 'apt-get -qq install -y --no-install-recommends python3 >/dev/null 2>&1'
as_stranger 'sed -n "/^## Five minutes/,/^\$ /s/.*\`\(apt-get install [^\`]*\)\`.*/\1 -y -qq/p" README.md | sh -ex' \
	>tour-packages.out 2>&1 || fail "what the tour needs: $(tail tour-packages.out)"
as_stranger 'mkdir /tmp/t; cd /tmp/t; T=/tmp/t RFS_TOP=/root/recordfs \
	PATH=/root/recordfs/build/fs:/root/recordfs/build/tools:$PATH \
	PYTHONPATH=/root/recordfs/tests/mount python3 /root/recordfs/tests/mount/readme-tour.py' \
	>tour.out 2>&1 || fail "the tour: $(tail -n 20 tour.out)"
say 'the tour'

as_stranger 'meson install -C build --no-rebuild >/dev/null; cd /tmp; recordfs --version;
	mkdir shop; mount -t fuse.recordfs /tmp/shop.db /tmp/shop; echo 1 >shop/1; umount shop;
	recordfsctl check shop.db' >install.out 2>&1 || fail "meson install: $(tail install.out)"
say 'meson install'

as_stranger 'tools/package' >package.out 2>&1 || fail "tools/package: $(tail -n 20 package.out)"
as_stranger 'apt-get -qq install -y ./build-package/recordfs_*.deb >/dev/null; /usr/bin/recordfs --version;
	cd /tmp; /usr/bin/recordfs shop.db shop; [ "$(cat shop/1)" = 1 ]; fusermount3 -u shop;
	apt-get -qq purge -y recordfs >/dev/null; [ ! -e /usr/bin/recordfs ];
	apt-get -qq install -y /root/recordfs/build-package/recordfs_*.deb >/dev/null' \
	>apt.out 2>&1 || fail "the package: $(tail apt.out)"
say 'the package'

# The same system, started: a service and a line of fstab, by a systemd that is process 1.
need systemd-nspawn
as_stranger 'apt-get -qq install -y --no-install-recommends systemd systemd-sysv' >systemd.out 2>&1 ||
	fail "systemd: $(tail systemd.out)"
mkdir debian/srv/tab
echo '/srv/tab.db /srv/tab fuse.recordfs nofail 0 0' >debian/etc/fstab
printf 'STORE=/srv/shop.db\nMOUNTPOINT=/srv/shop\nOPTIONS=cache_size=8M\n' \
	>debian/etc/recordfs/shop.conf
cat >debian/root/try <<-'TRY'
	set -euxo pipefail
	systemctl start recordfs@shop
	[ "$(systemctl show -P StatusText recordfs@shop)" = '/srv/shop.db is mounted on /srv/shop' ]
	echo hello >/srv/shop/f
	kill -9 "$(systemctl show -P MainPID recordfs@shop)"
	for _ in {1..600}; do
		[ "$(cat /srv/shop/f)" != hello ] || break
		sleep 0.1
	done
	[ "$(cat /srv/shop/f)" = hello ]
	[ "$(systemctl show -P NRestarts recordfs@shop)" = 1 ]
	exec 9</srv/shop/f
	systemctl stop recordfs@shop
	if findmnt /srv/shop; then exit 1; fi
	if systemctl is-failed recordfs@shop; then exit 1; fi
	if systemctl start recordfs@absent; then exit 1; fi
	journalctl --no-pager -u recordfs@shop -p warning -o cat >/root/warnings
	if grep -v '^recordfs@shop.service: ' /root/warnings; then exit 1; fi
	findmnt -n -o SOURCE /srv/tab
	systemctl is-active srv-tab.mount
	systemctl stop srv-tab.mount
	if findmnt /srv/tab; then exit 1; fi
	echo passed
TRY
cat >debian/etc/systemd/system/try.service <<-'UNIT'
	[Unit]
	After=multi-user.target
	[Service]
	Type=oneshot
	ExecStart=/bin/bash -c 'bash /root/try >/root/try.out 2>&1'
	ExecStopPost=/bin/systemctl --no-block poweroff
	[Install]
	WantedBy=default.target
UNIT
as_stranger 'systemctl enable try.service' >/dev/null 2>&1
umount -R debian/dev debian/sys debian/proc
timeout 300 systemd-nspawn -D "$T/debian" --register=no --keep-unit --link-journal=no --bind=/dev/fuse \
	-b >boot.out 2>&1 || true
same passed "$(tail -n 1 debian/root/try.out)" "the service: $(tail debian/root/try.out boot.out)"
say 'systemd'
