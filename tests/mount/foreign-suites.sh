#!/usr/bin/env bash
# Test suites of others, where they are given: RFS_PJDFSTEST and RFS_XFSTESTS are folders in which
# they were built. docs/foreign-suites.md says where from and how, and what is known to fail.
# RFS_FSX_OPS: operations of fsx, a million if it is not given; RFS_XFSTESTS_ARGS: what xfstests is to
# run, by its `check`.
# timeout: 36000
. "$RFS_TOP/tests/mount/lib.sh"
if [ -z "${RFS_PJDFSTEST-}${RFS_XFSTESTS-}" ]; then
	echo 'skipped: neither RFS_PJDFSTEST nor RFS_XFSTESTS is given'
	exit 77
fi
need_root

pjdfstest() {
	need prove
	mount_store -o allow_other,dev,suid
	mkdir "$MNT/pjdfstest"
	(cd "$MNT/pjdfstest" && prove -r -Q "$RFS_PJDFSTEST/tests") >pjdfstest.out 2>&1 ||
		fail "pjdfstest: $(grep -E '^Files|Failed' pjdfstest.out)"
	grep '^Files' pjdfstest.out
	umount_store
}

# fsx_run OPTION...: in its own directory, since it writes beside the file.
fsx_run() {
	"$RFS_XFSTESTS/ltp/fsx" -q -P "$T" "$@" "$MNT/fsx" >fsx.out 2>&1 ||
		fail "fsx $*: $(tail -n 60 fsx.out)"
	echo "fsx $*: $(grep -c 'All .* operations completed' fsx.out || true)"
}

fsx() {
	local ops=${RFS_FSX_OPS-1000000}
	mount_store -o sync=standard
	fsx_run -S 1 -N "$ops"
	fsx_run -S 2 -N $((ops / 10)) -c 50 -f
	fsx_run -S 3 -N $((ops / 20)) -l 8000000 -o 300000
	fsx_run -S 4 -N $((ops / 5)) -Z -R -W -r 512 -w 512 -t 512
	fsx_run -S 5 -N $((ops / 20)) -A -R -W -r 4096 -w 4096
	fsx_run -S 6 -N $((ops / 50)) -X
	umount_store
}

fsstress() {
	mount_store
	mkdir "$MNT/fsstress"
	"$RFS_XFSTESTS/ltp/fsstress" -d "$MNT/fsstress" -p 16 -n 2000 -s 42 >fsstress.out 2>&1 ||
		fail "fsstress: $(tail fsstress.out)"
	find "$MNT/fsstress" -type f -exec sha256sum {} + | sort >before
	remount_store
	find "$MNT/fsstress" -type f -exec sha256sum {} + | sort >after
	cmp before after || fail 'fsstress: contents are others after a remount'
	umount_store
	recordfsctl check "$STORE"
}

# xfstests mounts by itself, through a helper that it finds by its name.
xfstests() {
	local helper=/sbin/mount.fuse.recordfs-xfstests
	cat >"$helper" <<-END
		#!/bin/sh
		exec "$(command -v recordfs)" "\$1" "\$2" -o "allow_other,dev,suid,subtype=recordfs-xfstests,\$4"
	END
	chmod +x "$helper"
	# It takes types of FUSE filesystems for others than "fuse", but for those that it knows.
	grep -q recordfs-xfstests "$RFS_XFSTESTS/common/rc" ||
		sed -i "s|-e 's/fuse.glusterfs|-e 's/fuse.recordfs-xfstests/fuse/' &|" "$RFS_XFSTESTS/common/rc"
	mkdir -p "$T/test" "$T/scratch"
	cat >"$RFS_XFSTESTS/local.config" <<-END
		export FSTYP=fuse FUSE_SUBTYP=.recordfs-xfstests
		export TEST_DEV=$T/test.db TEST_DIR=$T/test SCRATCH_DEV=$T/scratch.db SCRATCH_MNT=$T/scratch
	END
	local status=0
	read -ra args <<<"${RFS_XFSTESTS_ARGS--g generic/quick}"
	(cd "$RFS_XFSTESTS" && ./check "${args[@]}") >xfstests.out 2>&1 || status=$?
	rm "$helper"
	grep -E '^(Ran|Not run|Failures|Failed|Passed):?' xfstests.out
	[ "$status" -eq 0 ] || echo 'xfstests: compare the failures with docs/foreign-suites.md'
}

[ -z "${RFS_PJDFSTEST-}" ] || pjdfstest
if [ -n "${RFS_XFSTESTS-}" ]; then
	fsx
	fsstress
	xfstests
fi
