"""statfs(2) tells true figures: what is written is used, what is deleted is free again."""
from lib import *

MIB = 1 << 20
daemon = Daemon("-o", "max_size=64M")


def space():
    s = os.statvfs(MNT)
    assert s.f_bfree <= s.f_blocks and s.f_ffree <= s.f_files, s
    assert s.f_bavail <= s.f_bfree, s
    same(255, s.f_namemax)
    return s.f_blocks * s.f_frsize, s.f_bavail * s.f_frsize, s.f_files - s.f_ffree


total, free, inodes = space()
assert 56 * MIB <= total <= 64 * MIB, total
assert free > 40 * MIB, free
(MNT / "f").write_bytes(os.urandom(16 * MIB))
now_total, now_free, now_inodes = space()
same(total, now_total)
same(inodes + 1, now_inodes)
assert 16 * MIB <= free - now_free <= 20 * MIB, free - now_free
for i in range(50):
    (MNT / f"d{i}").mkdir()
same(inodes + 51, space()[2])
(MNT / "f").unlink()
for i in range(50):
    (MNT / f"d{i}").rmdir()
poll("the space comes back", lambda: free - space()[1] < MIB)
poll("the inodes come back", lambda: space()[2] == inodes)
out = subprocess.check_output(["df", "--output=size,fstype", "-B1", MNT], text=True)
same([str(total), "fuse.recordfs"], out.splitlines()[1].split())
daemon.umount()

# Without a limit: what the disk has
daemon = Daemon()
disk = os.statvfs(T)
total, free, _ = space()
assert abs(free - disk.f_bavail * disk.f_frsize) < 1 << 30, (free, disk)
done(daemon)
