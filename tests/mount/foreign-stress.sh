#!/usr/bin/env bash
# stress-ng's loads on filesystems, which check what they do. (RFS_LONG: more of it.)
# timeout: 3600
. "$RFS_TOP/tests/mount/lib.sh"
need stress-ng
seconds=1 stressors=(copy-file fallocate fpunch rename symlink xattr)
if [ -n "${RFS_LONG-}" ]; then
	seconds=20
	stressors+=(access chdir chmod chown dentry dir dirdeep dirmany dup fcntl filename flock fsize
		fstat getdent handle hdd inode-flags inotify io iomix lease link locka lockf lockofd mknod
		open sync-file touch utime)
fi
mount_store
mkdir "$MNT/stress"
for stressor in "${stressors[@]}"; do
	stress-ng "--$stressor" 2 --timeout "${seconds}s" --temp-path "$MNT/stress" --verify --metrics-brief \
		>stress.out 2>&1 || fail "$stressor: $(cat stress.out)"
	! grep -E 'fail:|FAIL|unsuccessful' stress.out || fail "$stressor"
done
find "$MNT/stress" -mindepth 1 | head -n 5 >left
[ ! -s left ] || fail "stress-ng could not remove $(cat left)"
