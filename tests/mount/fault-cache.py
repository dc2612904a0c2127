"""F5: the store has committed and the cache's update fails. EIO or success, as asked for; what is
read is the new data, from the store."""
from lib import *

faults = Faults()
for mode in ("eio", "drop"):
    daemon = Daemon("-o", f"on_cache_error={mode}," + faults.spec("cache:ENOMEM"))
    f = MNT / mode
    data = bytearray(os.urandom(20000))
    f.write_bytes(data)
    views = Views(f)
    fd = os.open(f, os.O_RDWR)
    views.verify(bytes(data), "before")
    before = daemon.stats()["cache_update_failures"]
    with faults:
        for offset, length in ((4096, 4096), (100, 5000), (19000, 4000), (0, 20000)):
            new = os.urandom(length)
            if mode == "eio":
                fails(errno.EIO, os.pwrite, fd, new, offset)
            else:
                same(length, os.pwrite(fd, new, offset))
            data.extend(bytes(max(0, offset + length - len(data))))
            data[offset:offset + length] = new
            same(bytes(data), stored(mode), "the store")
            same(bytes(data), read_direct(f), "the daemon")
            poll("the kernel's cache is dropped", lambda: views.read() == bytes(data))
            views.verify(bytes(data), f"{mode}: {length} at {offset}")
    assert daemon.stats()["cache_update_failures"] >= before + 4
    os.pwrite(fd, b"Y" * 100, 0)
    data[:100] = b"Y" * 100
    views.verify(bytes(data), "afterwards")
    os.close(fd)
    views.close()
    daemon.umount()

daemon = Daemon()
same(bytes(data), (MNT / "drop").read_bytes())
done(daemon)
