"""Records as rows while the store is mounted: what a client inserts, changes and deletes is seen in
the mount, what the mount does is seen in the view, a file that is deleted with SQL while it is open
stays until the last close, and 100 MB go either way."""
from lib import *

BIG = 100_000_000


def connect():
    return sqlite3.connect(STORE, isolation_level=None, timeout=60)


def content(path):
    row = db.execute("SELECT content FROM records WHERE path = ?", (path,)).fetchone()
    return row and row[0]


def sees(what, condition):
    def holds():
        try:
            return condition()
        except FileNotFoundError:
            return False
    poll(what, holds)


daemon = Daemon()
db = connect()
(MNT / "product").mkdir()
(MNT / "product/42.json").write_text('{"price": 10}')
same([("/product/42.json", 10)],
     db.execute("SELECT path, content->>'price' FROM records WHERE path LIKE '/product/%'").fetchall())
subprocess.run(["sqlite3", STORE, ".timeout 5000", "UPDATE records SET content = '{\"price\": 12}'"
                " WHERE path = '/product/42.json'"], check=True, stdout=subprocess.DEVNULL)
sees("an UPDATE", lambda: (MNT / "product/42.json").read_text() == '{"price": 12}')
same(False, (MNT / "product/43.json").exists())
db.execute("INSERT INTO records(path, content) VALUES('/product/43.json', '{\"price\": 13}')")
sees("an INSERT", lambda: (MNT / "product/43.json").read_text() == '{"price": 13}')
db.execute("UPDATE records SET path = '/product/44.json', mode = 384 WHERE path = '/product/43.json'")
sees("a rename", lambda: (MNT / "product/44.json").stat().st_mode == 0o100600)
sees("the old name's end", lambda: not (MNT / "product/43.json").exists())
db.execute("UPDATE records SET path = '/goods' WHERE path = '/product'")
sees("a directory's rename", lambda: sorted(os.listdir(MNT / "goods")) == ["42.json", "44.json"])
db.execute("INSERT INTO records(path, target) VALUES('/link', 'goods/42.json')")
sees("a symlink", lambda: (MNT / "link").read_text() == '{"price": 12}')
db.execute("DELETE FROM records WHERE path = '/link'")
sees("its end", lambda: not os.path.lexists(MNT / "link"))

# Numbers of inodes: the mount has taken some beforehand.
for number in range(50):
    (MNT / f"by mount {number}").write_text(f"m{number}")
    db.execute("INSERT INTO records(path, content) VALUES(?, ?)", (f"/by SQL {number}", f"s{number}"))
sees("the last one", lambda: (MNT / "by SQL 49").read_text() == "s49")
for number in range(50):
    same(f"m{number}".encode(), content(f"/by mount {number}"))
    same(f"s{number}", (MNT / f"by SQL {number}").read_text())

# Deleted with SQL, open in the mount.
opened = open(MNT / "by mount 1", "r+b", buffering=0)
db.execute("DELETE FROM records WHERE path = '/by mount 1'")
same(None, content("/by mount 1"))
sees("it has no name", lambda: not (MNT / "by mount 1").exists())
same(b"m1", os.pread(opened.fileno(), 10, 0))
os.pwrite(opened.fileno(), b"still here", 0)
same(b"still here", os.pread(opened.fileno(), 10, 0))
poll("its link count", lambda: os.fstat(opened.fileno()).st_nlink == 0)
subprocess.run(["recordfsctl", "check", STORE], check=True)
ino = os.fstat(opened.fileno()).st_ino
same(1, db.execute("SELECT count(*) FROM inode WHERE ino = ?", (ino,)).fetchone()[0])
opened.close()
poll("the end of the orphan", lambda: not db.execute("SELECT 1 FROM inode WHERE ino = ?",
                                                     (ino,)).fetchall())
# A directory, too.
db.execute("INSERT INTO records(path, type) VALUES('/dir', 'directory')")
sees("a directory", lambda: os.listdir(MNT / "dir") == [])
fd = os.open(MNT / "dir", os.O_RDONLY | os.O_DIRECTORY)
db.execute("DELETE FROM records WHERE path = '/dir'")
sees("its end", lambda: not (MNT / "dir").exists())
same([], os.listdir(fd))
os.close(fd)
# And what nobody has open.
db.execute("DELETE FROM records WHERE path = '/by SQL 1'")
poll("the end of another", lambda: not db.execute("SELECT 1 FROM orphan").fetchall())

# A client and the mount write at once.
writers = []


def client():
    own = connect()
    for number in range(200):
        own.execute("INSERT INTO records(path, content) VALUES(?, ?)", (f"/c{number}", f"c{number}"))
        own.execute("UPDATE records SET content = content || '!' WHERE path = ?", (f"/c{number}",))
    own.close()


writers.append(child(client))
for number in range(200):
    (MNT / f"m{number}").write_text(f"m{number}")
    os.rename(MNT / f"m{number}", MNT / f"n{number}")
join(*writers)
for number in range(200):
    same(f"c{number}!".encode(), content(f"/c{number}"))
    same(f"m{number}".encode(), content(f"/n{number}"))
    sees("all of it", lambda: (MNT / f"c{number}").read_text() == f"c{number}!")

# 100 MB.
data = os.urandom(BIG)
db.execute("INSERT INTO records(path, content) VALUES('/big', ?)", (data,))
sees("100 MB", lambda: (MNT / "big").read_bytes() == data)
(MNT / "big 2").write_bytes(data)
assert content("/big 2") == data
data = data[::-1]
db.execute("UPDATE records SET content = ? WHERE path = '/big 2'", (data,))
sees("100 MB more", lambda: (MNT / "big 2").read_bytes() == data)
db.execute("DELETE FROM records WHERE path LIKE '/big%'")
sees("their end", lambda: not (MNT / "big").exists())
db.close()
done(daemon)
