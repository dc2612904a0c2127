#!/usr/bin/env bash
# timeout: 60
# The same as killed.py where the control filesystem of FUSE is not mounted, as on a system without
# systemd: in a mount namespace of our own.
[ "${1-}" = inside ] || exec "$RFS_TOP/tests/mount/apart" -- bash "$0" inside
. "$RFS_TOP/tests/mount/lib.sh"
need_root
until ! mountpoint -q /sys/fs/fuse/connections; do
	umount /sys/fs/fuse/connections
done
python3 "$RFS_TOP/tests/mount/killed.py"
