"""STORE is removed, renamed or replaced while it is mounted: changes are refused with EIO, which is said
once and shown; what is there can be read; and all is well when it is back under its name."""
from lib import *

ASIDE = T / "aside.db"


def log_lines(text):
    return sum(text in line for line in open(T / "daemon.log"))


daemon = Daemon("-o", "cache_ttl=0")
(MNT / "f").write_bytes(b"was there")


def refused(n):
    fails(errno.EIO, os.mkdir, MNT / "new")
    fails(errno.EIO, os.truncate, MNT / "f", 3)
    same(b"was there", (MNT / "f").read_bytes())
    same(["f"], os.listdir(MNT))
    assert os.statvfs(MNT).f_blocks > 0
    same(1, daemon.stats()["store_degraded"])
    same("degraded", daemon.stats()["state"])
    same(n, log_lines("STORE has been removed or renamed"))


def works(n):
    (MNT / "f").write_bytes(b"is there")
    (MNT / "f").write_bytes(b"was there")
    same(0, daemon.stats()["store_degraded"])
    same(n, log_lines("is back"))


os.rename(STORE, ASIDE)
refused(1)
os.rename(ASIDE, STORE)
works(1)

os.rename(STORE, ASIDE)
STORE.write_bytes(ASIDE.read_bytes())
refused(2)
same(ASIDE.read_bytes(), STORE.read_bytes())
os.rename(ASIDE, STORE)
works(2)

STORE.unlink()
refused(3)
daemon.umount()
done(check=False)
