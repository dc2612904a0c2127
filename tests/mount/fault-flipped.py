"""Whoever looks for bytes of a record in the database's file, and damages them where they are first
found, has damaged the record: no copy that is left over lies in front of it."""
from lib import *

SIZES = ([3000] * 10, [50000] * 3, [120000] * 3, [400000], [1 << 20], [5000, 1 << 20, 70000])


def content(record, size):
    return b"".join(b"record %02d, line %08d\n" % (record, n) for n in range(size // 25 + 1))[:size]


def unmount(daemon):
    daemon.umount()
    return bytearray(STORE.read_bytes())


flipped = 0
for sizes in SIZES:
    STORE.unlink(missing_ok=True)
    daemon = Daemon()
    records = [content(i, size) for i, size in enumerate(sizes)]
    for i, data in enumerate(records):
        (MNT / f"r{i}").write_bytes(data)
    sound = unmount(daemon)
    places = [(i, sound.find(data[at:at + 64])) for i, data in enumerate(records)
              for at in (0, len(data) // 2, len(data) - 64)]
    for i, at in places:
        if at < 0:  # it lies across the edge of a page
            continue
        sound[at + 20] ^= 1
        STORE.write_bytes(sound)
        sound[at + 20] ^= 1
        daemon = Daemon()
        fails(errno.EIO, (MNT / f"r{i}").read_bytes)
        daemon.umount()
        flipped += 1
print(flipped, "places")
assert flipped > 30, flipped
