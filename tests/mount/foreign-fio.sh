#!/usr/bin/env bash
# fio checks what it has written: through every way of writing; and after kill -9 of the daemon, all
# that had been acknowledged by then. (RFS_LONG: more of it.)
# timeout: 900
. "$RFS_TOP/tests/mount/lib.sh"
need fio
size=2m rounds=1
[ -z "${RFS_LONG-}" ] || { size=32m rounds=20; }
fio() { command fio --directory="$MNT" --size="$size" --verify=crc32c --verify_fatal=1 "$@"; }

cat >jobs.fio <<'END'
[global]
end_fsync=1
[psync]
rw=randwrite
ioengine=psync
bsrange=512-64k
blockalign=512
[libaio]
rw=randwrite
ioengine=libaio
iodepth=8
direct=1
bs=4k
[mmap]
rw=randwrite
ioengine=mmap
bs=4k
[read-write]
rw=randrw
ioengine=psync
bs=8k
[sequential]
rw=write
ioengine=psync
bs=256k
[threads]
rw=randwrite
ioengine=psync
thread
numjobs=2
bs=4k
END
mount_store
fio jobs.fio >fio.out 2>&1 || fail "$(tail -n 40 fio.out)"
rm "$MNT"/*
umount_store

cat >kill.fio <<'END'
[global]
rw=randwrite
ioengine=psync
bsrange=512-32k
blockalign=512
size=64m
verify_state_save=1
[a]
[b]
END
written() { [ "$(stat_field write_requests)" -gt 100 ]; }
for ((round = 1; round <= rounds; round++)); do
	mount_store
	fio --do_verify=0 --randseed="$round" kill.fio >fio.out 2>&1 &
	writer=$!
	until_true 'something written' written
	kill -9 "$DAEMON"
	! wait "$writer" || fail 'fio did not notice that the daemon is gone'
	wait "$DAEMON" 2>killed.out || true
	unmount "$MNT"
	mount_store
	fio --verify_only --verify_state_load=1 --randseed="$round" kill.fio >fio.out 2>&1 ||
		fail "round $round: $(tail -n 40 fio.out)"
	[ "$(awk -F'[=,]' '/issued rwts/ {n += $2} END {print n}' fio.out)" -gt 2 ] ||
		fail "nothing was verified: $(cat fio.out)"
	rm "$MNT"/* ./*.state
	umount_store
	recordfsctl check "$STORE"
done
