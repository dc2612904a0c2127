"""What is done to the view `records` is seen in the mount; and of the kernel's and the daemon's caches
only that goes which it concerns. A mount that may only read sees it too."""
from lib import *

SECOND = T / "second"
daemon = Daemon("-o", "cache_ttl=3600,watch=20")
(MNT / "shop").mkdir()
for i in range(50):
    (MNT / "shop" / f"{i}.json").write_bytes(b'{"price": %d}' % i)
reader = Daemon("-o", "cache_ttl=3600,watch=20,ro", mnt=SECOND)
db = sqlite3.connect(STORE, isolation_level=None, timeout=60)


def sees(what, wanted, path, view=lambda path: path.read_bytes()):
    for mnt in (MNT, SECOND):
        poll(f"{what} in {mnt.name}", lambda: view(mnt / path) == wanted)


def read_all():
    for mnt in (MNT, SECOND):
        for i in range(50):
            (mnt / "shop" / f"{i}.json").read_bytes()


read_all()
same(False, (MNT / "shop" / "new.json").exists())
same(False, (SECOND / "shop" / "new.json").exists())
time.sleep(0.2)  # what has been told of all this
read_all()
before = daemon.stats()
db.execute("UPDATE records SET content = '{\"price\": 12}' WHERE path = '/shop/42.json'")
sees("a record", b'{"price": 12}', "shop/42.json")
time.sleep(0.1)
read_all()
after = daemon.stats()
same(1, after["read_requests"] - before["read_requests"], "records that were read again")
db.execute("INSERT INTO records(path, content) VALUES('/shop/new.json', 'made')")
sees("a new record", True, "shop/new.json", os.path.exists)
sees("its contents", b"made", "shop/new.json")
sees("it is listed", 51, "shop", lambda path: len(os.listdir(path)))
db.execute("UPDATE records SET path = '/shop/moved.json' WHERE path = '/shop/new.json'")
sees("the old name", False, "shop/new.json", os.path.exists)
sees("the new name", b"made", "shop/moved.json")
db.execute("UPDATE records SET mode = 384 WHERE path = '/shop/moved.json'")
sees("the mode", 0o600, "shop/moved.json", lambda path: os.stat(path).st_mode & 0o7777)
db.execute("DELETE FROM records WHERE path = '/shop/moved.json'")
sees("it is gone", False, "shop/moved.json", os.path.exists)
db.execute("UPDATE records SET content = zeroblob(3000000) WHERE path = '/shop/1.json'")
sees("a large one", bytes(3000000), "shop/1.json")
db.execute("UPDATE records SET content = 'short' WHERE path = '/shop/1.json'")
sees("a short one", b"short", "shop/1.json")
db.close()
reader.umount()
done(daemon)
