"""The cache stays within its size, whatever is read and written, and so does the daemon."""
from lib import *

MIB = 1 << 20
daemon = Daemon("-o", "cache_size=4M,sync=disabled")


def resident():
    status = pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


data = os.urandom(MIB)
for i in range(48):
    (MNT / f"f{i}").write_bytes(data)
    stats = daemon.stats()
    assert stats["cache_bytes"] <= stats["cache_limit_bytes"] == 4 * MIB, stats
for i in range(48):
    same(True, data == read_direct(MNT / f"f{i}"), f"file {i}")
    stats = daemon.stats()
    assert stats["cache_bytes"] <= 4 * MIB, stats
assert stats["cache_evictions"] > 1000, stats
assert 0 < stats["cache_blocks"] <= 1024, stats
(MNT / "large").write_bytes(data * 32)
subprocess.run(["cp", MNT / "large", MNT / "copy"], check=True)
subprocess.run(["cmp", MNT / "large", MNT / "copy"], check=True)
if resident() > 128 * MIB:  # a sanitizer's daemon is larger by what its shadow takes
    assert float(os.environ.get("RFS_TIMEOUT_FACTOR", "1")) > 1, f"{resident()} bytes"
done(daemon)
