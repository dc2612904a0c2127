"""F6: the store fails a cold read. EIO, nothing cached, and the store is asked again; names and what
is warm are served."""
from lib import *

faults = Faults()
daemon = Daemon()
cold, warm = MNT / "cold", MNT / "warm"
data = os.urandom(300000)
cold.write_bytes(data)
warm.write_bytes(data)
daemon.umount()
daemon = Daemon("-o", faults.spec("read:EIO"))
same(data, warm.read_bytes())
with faults:
    for _ in range(3):
        fails(errno.EIO, cold.read_bytes)
        fails(errno.EIO, read_direct, cold)
    same(["cold", "warm"], sorted(os.listdir(MNT)))
    same(300000, cold.stat().st_size)
    same(data, warm.read_bytes())
    same(data, read_direct(warm))
same(data, cold.read_bytes())
same(data, read_direct(cold))
stats = daemon.stats()
assert stats["store_failures"] >= 6, stats
same(0, stats["checksum_failures"])
daemon.umount()

# A part of a block is written while its rest cannot be read by a reader: the store has it
daemon = Daemon("-o", faults.spec("read:EIO"))
with faults:
    fd = os.open(cold, os.O_WRONLY)
    same(10, os.pwrite(fd, b"0123456789", 5000))
    os.close(fd)
data = data[:5000] + b"0123456789" + data[5010:]
same(data, cold.read_bytes())
same(data, stored("cold"))
done(daemon)
