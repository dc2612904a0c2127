#!/usr/bin/env bash
# What systemd makes of us: the unit file says nothing that it does not understand, and what it would
# run works as it says; a line of fstab becomes the mount unit that it means.
# Without a systemd that runs; in a mount namespace of our own, for /usr/local/bin.
[ "${1-}" = inside ] || exec "$RFS_TOP/tests/mount/apart" -- bash "$0" inside
. "$RFS_TOP/tests/mount/lib.sh"
need_root
need systemd-analyze
mount --bind "$RFS_BUILD/fs" /usr/local/bin

unit=$RFS_BUILD/tools/install/recordfs@.service
cp "$unit" "$T/recordfs@shop.service"
same '' "$(systemd-analyze verify --man=no "$T/recordfs@shop.service" 2>&1)" 'systemd-analyze verify'
# Each capability that recordfs(1) speaks of
grep -oE 'CAP_[A-Z_]+' "$RFS_TOP/docs/recordfs.1" >capabilities
while read -r capability; do
	grep -qE "^CapabilityBoundingSet=.*\\<$capability\\>" "$unit" || fail "no $capability"
done <capabilities
# What would keep the mount in a view that the service has for itself
if grep -E '^(Protect|Private|ReadOnlyPaths|ReadWritePaths|InaccessiblePaths|TemporaryFileSystem|Bind|Root|MountFlags|DynamicUser)' \
	"$unit"; then
	fail 'a directive that gives the service a mount namespace'
fi

# command_of NAME: that line of the unit file as the array `command`, with ${NAME} of the environment
# in it, as systemd would: no word is split.
command_of() {
	local i
	read -ra command < <(sed -n "s/^$1=-*//p" "$unit")
	for i in "${!command[@]}"; do
		[[ ${command[i]} != "\${"*"}" ]] || command[i]=$(printenv "${command[i]:2:-1}")
	done
}
# serves_it: there is a mount whose daemon is there, by one call: a dead one may go meanwhile, and the
# kernel may know the attributes of its root.
serves_it() { [ "$(stat -f -c %t "$MOUNTPOINT" 2>/dev/null)" = 65735546 ]; }
export STORE="$T/a b.db" MOUNTPOINT=$T/point OPTIONS=cache_size=8M,noatime
for round in 1 2; do
	command_of ExecStartPre
	"${command[@]}" 2>/dev/null || [ "$round" = 2 ]
	command_of ExecStart
	"${command[@]}" >>"$T/daemon.log" 2>&1 &
	pid=$!
	until_true 'the mount' serves_it
	touch "$MOUNTPOINT/f"
	[ "$round" = 2 ] || {
		kill -9 "$pid"
		wait "$pid" 2>/dev/null || true
	}
done
same "$STORE" "$(findmnt -n -o SOURCE "$MOUNTPOINT")"
same 1 "$(grep -cF 'whose daemon had died' daemon.log)" 'what the crash left was cleared'
command_of ExecStop
exec 9<"$MOUNTPOINT/f"
refuse "${command[@]}"
exec 9<&-
"${command[@]}"
wait "$pid"
export OPTIONS=rw
command_of ExecStart
"${command[@]}" >>"$T/daemon.log" 2>&1 &
pid=$!
until_true 'a mount' is_mounted "$MOUNTPOINT"
exec 9<"$MOUNTPOINT/f"
kill "$pid"
wait "$pid"
exec 9<&-
if is_mounted "$MOUNTPOINT"; then fail 'mounted after the signal'; fi

generator=/usr/lib/systemd/system-generators/systemd-fstab-generator
[ -x $generator ] || generator=/lib/systemd/system-generators/systemd-fstab-generator
cat >"$T/fstab" <<-FSTAB
	/srv/a\\040b.db /srv/a fuse.recordfs cache_size=1G,allow_other,nofail,x-systemd.requires=a.service 0 0
	/srv/c.db /srv/c fuse.recordfs noauto,user,x-systemd.automount 0 0
	/srv/d.db /srv/d fuse.recordfs defaults 0 0
FSTAB
mkdir normal early late
SYSTEMD_FSTAB=$T/fstab $generator "$T/normal" "$T/early" "$T/late"
for line in 'What=/srv/a b.db' Where=/srv/a Type=fuse.recordfs After=a.service \
	Options=cache_size=1G,allow_other,nofail,x-systemd.requires=a.service; do
	grep -qFx "$line" normal/srv-a.mount || fail "no '$line' in $(cat normal/srv-a.mount)"
done
[ -e normal/local-fs.target.wants/srv-a.mount ] || fail 'nofail: not wanted'
[ -e normal/local-fs.target.requires/srv-d.mount ] || fail 'not required'
[ -e normal/local-fs.target.requires/srv-c.automount ] || fail 'no automount'
[ ! -e normal/local-fs.target.requires/srv-c.mount ] || fail 'noauto: required'
printf '[Service]\nExecStart=/bin/true\n' >normal/a.service
# After the filesystem that the store is on, and on nothing that has no unit
same '' "$(systemd-analyze verify --man=no "$T/normal/srv-a.mount" 2>&1 | grep srv-a || true)" 'the mount unit'
# The options as mount(8) hands them on
mkdir store.d
sed -n 's/^Options=//p' normal/srv-c.mount | xargs -I OPTIONS mount -t fuse.recordfs -o OPTIONS \
	"$T/store.d/c.db" "$MNT"
is_mounted
umount "$MNT"
