"""Deleted files are given back while others go on changing names, though not at once; and soon when
nobody does. An SQL client looks, since statfs(2) has it done."""
import sqlite3
import threading

from lib import *

daemon = Daemon()
db = sqlite3.connect(STORE, isolation_level=None)
over = threading.Event()


def count(what):
    return db.execute(f"SELECT count(*) FROM {what}").fetchone()[0]


def rename_on_and_on():
    here, there = MNT / "here", MNT / "there"
    here.write_bytes(b"x")
    while not over.is_set():
        os.rename(here, there)
        os.rename(there, here)


def remove_some(what):
    for i in range(200):
        (MNT / f"f{i}").write_bytes(b"%d" % i * 500)
    for i in range(200):
        (MNT / f"f{i}").unlink()
    poll(f"they are gone, {what}", lambda: count("orphan") == 0)
    same(base, count("inode"))


def remove_large(what):
    (MNT / "large").write_bytes(os.urandom(80 << 20))
    (MNT / "large").unlink()
    poll(f"it is gone, {what}", lambda: count("block") == blocks)


(MNT / "here").write_bytes(b"x")
base, blocks = count("inode"), count("block")
remove_some("alone")
remove_large("alone")
thread = threading.Thread(target=rename_on_and_on)
thread.start()
try:
    remove_some("while names change")
    remove_large("while names change")
    # Who looks how much space there is finds all of it
    for i in range(200):
        (MNT / f"f{i}").write_bytes(b"%d" % i * 500)
    before = os.statvfs(MNT)
    for i in range(200):
        (MNT / f"f{i}").unlink()
    poll("inodes are free", lambda: os.statvfs(MNT).f_ffree == before.f_ffree + 200)
finally:
    over.set()
    thread.join()
# What waits at the end is gone when the daemon has ended
for i in range(200):
    (MNT / f"f{i}").write_bytes(b"%d" % i * 500)
for i in range(200):
    (MNT / f"f{i}").unlink()
db.close()
daemon.umount()
db = sqlite3.connect(STORE, isolation_level=None)
same(0, count("orphan"))
same(base, count("inode"))
db.close()
done()
