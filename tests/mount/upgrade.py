"""A store of format 1 is converted when it is mounted for writing, and only then: all names, files,
orphans and attributes are what they were, and the schema is the one that a new store has."""
from lib import *

# The tables of format 1 that format 2 has changed, word for word.
OLD = """
CREATE TABLE dentry(parent INTEGER NOT NULL, name BLOB NOT NULL, id INTEGER NOT NULL, ino INTEGER NOT NULL, type INTEGER NOT NULL, PRIMARY KEY(parent, name)) STRICT, WITHOUT ROWID;
CREATE INDEX dentry_order ON dentry(parent, id, ino, type);
CREATE TABLE orphan(ino INTEGER PRIMARY KEY, mount INTEGER NOT NULL) STRICT;
CREATE TABLE mount(id INTEGER PRIMARY KEY, boot TEXT NOT NULL, pid INTEGER NOT NULL, started INTEGER NOT NULL, since INTEGER NOT NULL) STRICT;
"""
NAMES = [b"plain", "\u00fcml\u00e4ut".encode(), b"\xff\xfe", b"new\nline", b"\xed\xa0\x80", b"n" * 255]


def downgrade():
    """Makes the store what an older recordfs would have made. Without writable_schema, so that the
    file is what SQLite would write."""
    db = sqlite3.connect(STORE, isolation_level=None)
    db.create_function("bytes", 1, lambda name: name.encode() if isinstance(name, str) else name)
    for kind in ("trigger", "view"):
        for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = ?",
                                  (kind,)).fetchall():
            db.execute(f"DROP {kind} {name}")
    rows = db.execute("SELECT parent, bytes(name), id, ino, type FROM dentry").fetchall()
    orphans = db.execute("SELECT ino, mount FROM orphan").fetchall()
    mounts = db.execute("SELECT id, boot, pid, started, since FROM mount").fetchall()
    same(1, len(mounts), "the mount that crashed")
    for table in ("dentry", "orphan", "mount", "changelog"):
        db.execute(f"DROP TABLE {table}")
    db.executescript(OLD)
    db.executemany("INSERT INTO dentry VALUES(?, ?, ?, ?, ?)", rows)
    db.executemany("INSERT INTO orphan VALUES(?, ?)", orphans)
    db.executemany("INSERT INTO mount VALUES(?, ?, ?, ?, ?)", mounts)
    db.execute("PRAGMA user_version = 1")
    db.close()


def schema():
    db = sqlite3.connect(STORE, isolation_level=None)
    found = db.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2").fetchall()
    classes = db.execute("SELECT typeof(name), count(*) FROM dentry GROUP BY 1 ORDER BY 1").fetchall()
    version = db.execute("PRAGMA user_version").fetchone()
    db.close()
    return found, classes, version


def tree():
    found = {}
    for name in os.listdir(os.fsencode(MNT)):
        path = os.path.join(os.fsencode(MNT), name)
        status = os.stat(path)
        found[name] = (status.st_ino, status.st_mode, status.st_nlink, status.st_mtime_ns,
                       open(path, "rb").read(), os.listxattr(path))
    return found


def refused(*command):
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode != 0, command
    same(1, result.stderr.count("\n"), result.stderr)
    return result.stderr


daemon = Daemon()
for number, name in enumerate(NAMES):
    with open(os.path.join(os.fsencode(MNT), name), "wb") as file:
        file.write(name * (1 + 1000 * number))
os.link(MNT / "plain", MNT / "second")
os.setxattr(MNT / "plain", "user.recordfs.ttl", b"7")
before = tree()
with open(MNT / "open", "wb") as file:
    file.write(b"x" * 100000)
    os.unlink(MNT / "open")
    daemon.crash()
daemon.clear()
new = schema()
downgrade()

# Nobody who may only read converts it; it says what to do.
contents = STORE.read_bytes()
assert "mount it once for writing" in refused("recordfs", STORE, MNT, "-o", "ro")
assert "mount it once for writing" in refused("recordfsctl", "check", STORE)
same(contents, STORE.read_bytes(), "the store of format 1")

# Nor is it converted while an older recordfs has it mounted: a process that lives, by its row.
with open(f"/proc/{os.getpid()}/stat") as stat_file:
    started = int(stat_file.read().rsplit(")", 1)[1].split()[19])
boot = open("/proc/sys/kernel/random/boot_id").read().strip()
boot += f"/{os.stat('/proc/self/ns/pid').st_ino}"
db = sqlite3.connect(STORE, isolation_level=None)
db.execute("INSERT INTO mount VALUES(9, ?, ?, ?, 0)", (boot, os.getpid(), started))
assert "unmount it first" in refused("recordfs", STORE, MNT)
same((1,), db.execute("PRAGMA user_version").fetchone(), "the format")
db.execute("DELETE FROM mount WHERE id = 9")

# A schema that was altered is refused as ever, and not half converted.
db.execute("CREATE TABLE stranger(x)")
assert "stranger" in refused("recordfs", STORE, MNT)
same((1,), db.execute("PRAGMA user_version").fetchone(), "the format")
db.execute("DROP TABLE stranger")
db.close()

daemon = Daemon()
same(before, tree(), "the tree")
(MNT / "more").write_text("more")
daemon.umount()
found = schema()
same(new[0], found[0], "the schema")
same((2,), found[2], "the format")
same([("blob", 2), ("text", 6)], found[1], "classes of names")
db = sqlite3.connect(STORE)
same(before[b"second"][4], db.execute("SELECT content FROM records WHERE path = '/second'").fetchone()[0])
same([], db.execute("SELECT * FROM orphan").fetchall(), "orphans")
db.close()
done()
