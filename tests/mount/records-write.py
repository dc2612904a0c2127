"""INSERT, UPDATE and DELETE of rows of `records`: what each column does, what is refused and why, and
that nothing at all has changed after a refusal, however the statement wants conflicts handled. The
store is not mounted, so every byte of every table can be compared."""
import random

from lib import *

HOW = ["", " OR ABORT", " OR FAIL", " OR IGNORE", " OR REPLACE", " OR ROLLBACK"]
TABLES = ["store", "inode", "dentry", "block", "hole", "xattr", "orphan", "mount", "changelog"]
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"


def acl(*entries):
    """Of (tag, permissions, id)."""
    none = 0xffffffff
    return b"\2\0\0\0" + b"".join(
        tag.to_bytes(2, "little") + perm.to_bytes(2, "little")
        + (none if who is None else who).to_bytes(4, "little") for tag, perm, who in entries)


def connect():
    return sqlite3.connect(STORE, isolation_level=None)


def everything():
    return {table: db.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES}


def check():
    subprocess.run(["recordfsctl", "check", STORE], check=True, stdout=subprocess.DEVNULL)


def refused(why, sql, *arguments):
    """For each way to handle conflicts: the statement fails, says why, and has changed nothing."""
    before = everything()
    for how in HOW:
        if how and not sql.startswith("DELETE"):
            verb, rest = sql.split(" ", 1)
        elif how:
            continue
        else:
            verb, rest = sql, ""
        try:
            db.execute(f"{verb}{how} {rest}", arguments)
        except sqlite3.IntegrityError as error:
            assert str(error).startswith("recordfs: ") and why in str(error), (sql, arguments, error)
        else:
            raise AssertionError(f"not refused: {sql} {arguments}")
        same(before, everything(), sql)


def run(sql, *arguments):
    db.execute(sql, arguments)
    check()


def one(what, path):
    row = db.execute(f"SELECT {what} FROM records WHERE path = ?", (path,)).fetchone()
    return row[0] if row and len(row) == 1 else row


def logged(sql, *arguments):
    """What the statement adds to the change log, without ids."""
    (last,) = db.execute("SELECT max(id) FROM changelog").fetchone()
    run(sql, *arguments)
    rows = db.execute("SELECT * FROM changelog WHERE id > ? ORDER BY id", (last,)).fetchall()
    same([last + 1 + n for n in range(len(rows))], [row[0] for row in rows], "ids of the log")
    return [row[2:] for row in rows if same(0, row[1], "mount") is None]


daemon = Daemon()
(MNT / "d/sub").mkdir(parents=True)
(MNT / "e").mkdir()
(MNT / "full").mkdir()
(MNT / "full/x").touch()
(MNT / "f").write_text("old")
(MNT / "g").write_text("other")
os.link(MNT / "g", MNT / "d/g")
os.symlink("f", MNT / "l")
(MNT / "ttl").mkdir()
os.setxattr(MNT / "ttl", "user.recordfs.ttl", b"2.5")
(MNT / "setgid").mkdir()
os.chmod(MNT / "setgid", 0o2775)
if os.getuid() == 0:
    os.chown(MNT / "setgid", 11, 22)
(MNT / "sparse").touch()
os.truncate(MNT / "sparse", 3_000_000)
with open(MNT / "sparse", "r+b") as file:
    os.pwrite(file.fileno(), os.urandom(300_000), 1_000_001)
acls = True
try:
    (MNT / "plain-acl").mkdir()
    (MNT / "acl").mkdir()
    os.setxattr(MNT / "plain-acl", DEFAULT, acl((1, 7, None), (4, 4, None), (32, 1, None)))
    os.setxattr(MNT / "acl", DEFAULT, acl((1, 7, None), (2, 6, 77), (4, 5, None), (16, 6, None),
                                          (32, 4, None)))
    (MNT / "acl/by mount").touch()
    (MNT / "acl/dir by mount").mkdir()
except OSError as error:
    assert error.errno == errno.EOPNOTSUPP
    acls = False
daemon.umount()
db = connect()

# -- INSERT ------------------------------------------------------------------------------------
NEW = "INSERT INTO records(path, {}) VALUES(?, ?)"
for number, content in enumerate([b"bytes\0\xff", "t\u00ebxt\0with NUL", "", b"", None, 42, 2.5, "x" * 65536,
                                  b"y" * 65537, os.urandom(1_000_000)]):
    run(NEW.format("content"), f"/new {number}", content)
    wanted = content if isinstance(content, bytes) else str(
        "" if content is None else content).encode()
    same((wanted, len(wanted), "file", 0o100644, 1), one("content, size, type, mode, nlink",
                                                         f"/new {number}"), content)
before = time.time_ns() - 50_000_000
run("INSERT INTO records(path) VALUES('/now')")
for column in ("mtime", "ctime", "atime"):
    assert before <= one(column, "/now") <= time.time_ns() + 50_000_000, column
same(one("uid, gid", "/d"), one("uid, gid", "/now"))
run("INSERT INTO records(path, mtime, atime, uid, gid, mode) VALUES('/given', -7, 8, 5, 6, 4095)")
same((-7, 8, 5, 6, 0o107777), one("mtime, atime, uid, gid, mode", "/given"))
for kind, bits, mode in (("file", 0o100000, 0o644), ("directory", 0o40000, 0o755),
                         ("dir", 0o40000, 0o755), ("fifo", 0o10000, 0o644),
                         ("socket", 0o140000, 0o644)):
    run(NEW.format("type"), f"/{kind}", kind)
    run(NEW.format("mode"), f"/{kind} by mode", bits | 0o7123)
    same(bits | mode, one("mode", f"/{kind}"), kind)
    same(bits | 0o7123, one("mode", f"/{kind} by mode"), kind)
run(NEW.format("target"), "/link", "to \u00fc")
same(("symlink", 0o120777, "to \u00fc", 5, None), one("type, mode, target, size, content", "/link"))
run("INSERT INTO records(path, type, target) VALUES('/link 2', 'symlink', x'ff')")
same(b"\xff", one("target", "/link 2"))
same(6, one("nlink", "/dir") + one("nlink", "/d") + 1, "2 for an empty one, 3 with a subdirectory")
run(NEW.format("content"), b"/d/sub/odd \xff", "x")
same(b"odd \xff", one("name", b"/d/sub/odd \xff"))
run(NEW.format("content"), b"/d/sub/a BLOB that is text", "x")
same("a BLOB that is text", one("name", "/d/sub/a BLOB that is text"))
run("INSERT INTO records(path, type) VALUES('/tree', 'dir'), ('/tree/a', 'dir'), ('/tree/a/b', 'file')")

for path, why in (("/none/x", "no such directory"), ("/f/x", "no such directory"),
                  ("/l/x", "no such directory"), ("/f", "exists already"), (b"/f", "exists already"),
                  (b"/d/sub/odd \xff", "exists already"), ("f", "begin with a slash"),
                  ("", "begin with a slash"), ("/", "empty part"), ("//x", "empty part"),
                  ("/d/", "empty part"), ("/d//x", "empty part"), ("/d/.", ". or .."),
                  ("/d/..", ". or .."), ("/./x", ". or .."), ("/d/../x", ". or .."),
                  ("/a\0b", "NUL"), ("/" + "n" * 256, "255 bytes"),
                  ("/" + "\u00fc" * 128, "255 bytes"), (None, "must be a text"),
                  (5, "must be a text")):
    refused(why, NEW.format("content"), path, "x")
for column, value, why in (
        ("type", "char", "type must be"), ("type", 5, "type must be"), ("mode", "420", "mode must"),
        ("mode", 4.2, "mode must"), ("mode", -1, "mode must"), ("mode", 65536, "mode must"),
        ("mode", 0o20644, "device nodes"), ("mode", 0o60644, "device nodes"),
        ("mode", 0o170644, "device nodes"), ("mode", 0o120777, "needs a target"),
        ("uid", -1, "uid must"), ("uid", 1 << 32, "uid must"), ("uid", (1 << 32) - 1, "uid must"),
        ("gid", "0", "gid must"), ("mtime", 1.5, "mtime must"), ("atime", "now", "atime must"),
        ("target", "", "needs a target"), ("target", "x" * 4096, "needs a target"),
        ("target", "a\0b", "needs a target"), ("target", 7, "needs a target"),
        ("ino", 77, "cannot be given"), ("name", "x", "cannot be given"),
        ("size", 0, "cannot be given"), ("ctime", 0, "cannot be given"),
        ("nlink", 1, "cannot be given"), ("parent", 1, "cannot be given")):
    refused(why, NEW.format(column), "/refused", value)
refused("different things", "INSERT INTO records(path, type, mode) VALUES('/x', 'file', 16877)")
refused("only a symlink", "INSERT INTO records(path, type, target) VALUES('/x', 'file', 'y')")
refused("only a regular file", "INSERT INTO records(path, type, content) VALUES('/x', 'dir', 'y')")
refused("only a regular file", "INSERT INTO records(path, target, content) VALUES('/x', 'y', 'z')")
refused("needs a target", "INSERT INTO records(path, type) VALUES('/x', 'symlink')")
refused("exists already", "INSERT INTO records(path) VALUES('/x'), ('/y'), ('/x')")


def refused_when(prepare, why, sql):
    """In a transaction that makes the store one that this cannot be done in."""
    db.execute("BEGIN")
    db.execute(prepare)
    try:
        db.execute(sql)
    except sqlite3.IntegrityError as error:
        assert why in str(error), error
    else:
        raise AssertionError(f"not refused: {sql}")
    db.execute("ROLLBACK")


refused_when("UPDATE store SET next_ino = 1 << 33", "no inode number",
             "INSERT INTO records(path) VALUES('/x')")
FULL = "UPDATE inode SET nlink = 1000000 WHERE ino = 1"
refused_when(FULL, "too many", "INSERT INTO records(path, type) VALUES('/x', 'dir')")
refused_when(FULL, "too many", "UPDATE records SET path = '/x' WHERE path = '/d/sub'")
if acls:
    DAMAGE = "UPDATE xattr SET value = x'02' WHERE name = CAST('system.posix_acl_{}' AS BLOB)"
    refused_when(DAMAGE.format("default"), "damaged", "INSERT INTO records(path) VALUES('/acl/x')")
    refused_when(DAMAGE.format("access"), "damaged",
                 "UPDATE records SET mode = 0 WHERE path = '/acl/by mount'")

# Names of all kinds of bytes: TEXT when Python can decode them, and for the check as well.
PIECES = [b"a", b"\xc3", b"\xa4", b"\xe2", b"\x82", b"\xac", b"\xf0", b"\x9f", b"\x98", b"\x80",
          b"\xed", b"\xa0", b"\xef", b"\xbf", b"\xbe", b"\xc0", b"\xe0", b"\xf4", b"\x90", b"\x8f",
          b"\xf5", b"\xfe", b"\xff", b"\x01", b"\x7f", "\uffff\ufdd0\U0010ffff\ud7ff".encode()]
seed = int(os.environ.get("RFS_SEED") or random.SystemRandom().randrange(1 << 32))
print("seed", seed, flush=True)
rng = random.Random(seed)
names = {b"".join(rng.choices(PIECES, k=rng.randrange(1, 6))) for _ in range(2000)}
db.execute("BEGIN")
for name in names:
    db.execute("INSERT INTO records(path) VALUES(?)", (b"/e/" + name,))
    try:
        stored_as = ("text", name.decode())
    except UnicodeDecodeError:
        stored_as = ("blob", name)
    same(stored_as, db.execute("SELECT typeof(name), name FROM dentry WHERE parent = ? AND name IN (?, ?)",
                               (one("ino", "/e"), name, stored_as[1])).fetchone(), f"seed {seed}")
check()
db.execute("COMMIT")
check()
run("DELETE FROM records WHERE parent = ?", one("ino", "/e"))

# What is inherited.
run("INSERT INTO records(path, type) VALUES('/ttl/f', 'file'), ('/ttl/d', 'dir'), ('/ttl/p', 'fifo')")
run("INSERT INTO records(path, content) VALUES('/ttl/d/f', 'deep')")
for path, flags in (("/ttl/f", 1), ("/ttl/d", 1), ("/ttl/p", 0), ("/ttl/d/f", 1)):
    same((2_500_000_000, flags), db.execute("SELECT ttl, flags FROM inode WHERE ino = ?",
                                            (one("ino", path),)).fetchone(), path)
run("INSERT INTO records(path, type) VALUES('/setgid/f', 'file'), ('/setgid/d', 'dir')")
same((one("gid", "/setgid"), 0o100644), one("gid, mode", "/setgid/f"))
same((one("gid", "/setgid"), 0o42755), one("gid, mode", "/setgid/d"))


def attributes(path):
    return sorted(db.execute("SELECT CAST(name AS TEXT), value FROM xattr WHERE ino = ?",
                             (one("ino", path),)))


if acls:
    run("INSERT INTO records(path, mode) VALUES('/acl/by mount 2', 438)")
    run("INSERT INTO records(path, type, mode) VALUES('/acl/dir by mount 2', 'dir', 511)")
    for path in ("/acl/by mount", "/acl/dir by mount"):
        same(one("mode", path), one("mode", f"{path} 2"), path)
        same(attributes(path), attributes(f"{path} 2"), path)
    run("INSERT INTO records(path, mode) VALUES('/plain-acl/f', 511)")
    same((0o100741, []), (one("mode", "/plain-acl/f"), attributes("/plain-acl/f")))
    run("INSERT INTO records(path, target) VALUES('/acl/l', 'x')")
    same((0o120777, []), (one("mode", "/acl/l"), attributes("/acl/l")))
    # chmod of what has an ACL changes its owner's, mask's and others' entries.
    run("UPDATE records SET mode = 33168 WHERE path = '/acl/by mount 2'")  # 0100620
    (_, value), = attributes("/acl/by mount 2")
    same(acl((1, 6, None), (2, 6, 77), (4, 5, None), (16, 2, None), (32, 0, None)), value)

# -- UPDATE ------------------------------------------------------------------------------------
for path in ("/f", "/sparse", "/g", "/new 9", "/new 2"):
    for content in (os.urandom(100_000), "", "text", b"x" * 4096, 12):
        version, mtime, ctime = db.execute("SELECT version, mtime, ctime FROM inode WHERE ino = ?",
                                           (one("ino", path),)).fetchone()
        run("UPDATE records SET content = ? WHERE path = ?", content, path)
        wanted = content if isinstance(content, bytes) else str(content).encode()
        same(wanted, one("content", path))
        now = db.execute("SELECT version, mtime, ctime, reserved FROM inode WHERE ino = ?",
                         (one("ino", path),)).fetchone()
        assert now[0] > version and now[1] > mtime and now[2] > ctime and now[3] == 0, now
same(one("content", "/g"), one("content", "/d/g"), "two names of one file")
same(2, one("nlink", "/d/g"))
run("UPDATE records SET content = 'both' WHERE ino = ?", one("ino", "/g"))
run("UPDATE records SET mode = 36333 WHERE path = '/f'")  # 0106755
run("UPDATE records SET content = 'a' WHERE path = '/f'")
same(0o100755, one("mode", "/f"), "setuid and setgid go when the content changes")
run("UPDATE records SET mode = 0 | 3492 WHERE path = '/f'")  # 06644: mandatory locking stays
run("UPDATE records SET uid = 4242 WHERE path = '/f'")
same((0o102644, 4242), one("mode, uid", "/f"))
run("UPDATE records SET mode = 3565, gid = 77, content = 'c', mtime = 1, atime = 2 WHERE path = '/f'")
same((0o106755, 77, b"c", 1, 2), one("mode, gid, content, mtime, atime", "/f"), "mode is what was said")
db.execute("INSERT INTO xattr SELECT ino, CAST('security.capability' AS BLOB), x'01' FROM records"
           " WHERE path IN ('/f', '/d/g')")
db.execute("UPDATE inode SET flags = 1 WHERE ino IN (SELECT ino FROM xattr)")
run("UPDATE records SET content = 'd' WHERE path = '/f'")
run("UPDATE records SET gid = 9 WHERE path = '/g'")
same([[], []], [attributes("/f"), attributes("/g")], "file capabilities go")
run("UPDATE records SET path = '/d/moved' WHERE path = '/f'")
run("UPDATE records SET path = '/d/again' WHERE path = '/d/moved'")
same((b"d", "again"), one("content, name", "/d/again"))
run("UPDATE records SET path = '/f', content = 'e', mode = 384 WHERE path = '/d/again'")
same((b"e", 0o100600), one("content, mode", "/f"))
run("UPDATE records SET path = '/e/d' WHERE path = '/d'")
same((3, 3), (one("nlink", "/e"), one("nlink", "/e/d")))
same(b"x", one("content", b"/e/d/sub/odd \xff"))
run("UPDATE records SET path = '/d' WHERE path = '/e/d'")
run("UPDATE records SET path = path")
run("UPDATE records SET path = '/e' || substr(path, 6) WHERE path LIKE '/tree/%'")
same((2, "directory", "file"), (one("nlink", "/tree"), one("type", "/e/a"), one("type", "/e/a/b")))
run("UPDATE records SET path = '/e/renamed by an odd name' WHERE path = ?", b"/d/sub/odd \xff")
run("UPDATE records SET path = ? WHERE path = '/e/renamed by an odd name'", b"/d/sub/\xfe")
same("blob", one("typeof(path)", b"/d/sub/\xfe"))
run("UPDATE records SET content = upper(CAST(content AS TEXT)) WHERE path IN ('/f', '/new 1')")

for change, why in (
        ("ino = 500", "ino cannot"), ("name = 'x'", "set path"), ("parent = 1 + parent", "set path"),
        ("type = 'fifo'", "type cannot"), ("size = 0", "set content"), ("ctime = 0", "ctime cannot"),
        ("nlink = 9", "nlink cannot"), ("target = 'x'", "target cannot"), ("mode = 16877", "type"),
        ("mode = NULL", "mode must"), ("mode = 'x'", "mode must"), ("uid = -1", "uid must"),
        ("gid = 1 << 32", "gid must"), ("mtime = 0.5", "mtime must"), ("atime = NULL", "atime must"),
        ("content = NULL", "cannot be NULL"), ("path = '/g'", "exists already"),
        ("path = '/d'", "exists already"), ("path = '/none/f'", "no such directory"),
        ("path = '/g/f'", "no such directory"), ("path = 'f'", "slash"), ("path = NULL", "text"),
        ("path = '/d/../f'", ". or .."), ("path = '/' || printf('%0256d', 0)", "255 bytes"),
        ("path = '/a' || char(0)", "NUL"), ("content = 'x', path = '/g'", "exists already"),
        ("path = '/fine', uid = -1", "uid must"), ("content = 'x', mode = -1", "mode must")):
    refused(why, f"UPDATE records SET {change} WHERE path = '/f'")
refused("below itself", "UPDATE records SET path = '/d/sub/d' WHERE path = '/d'")
refused("below itself", "UPDATE records SET path = '/d/d' WHERE path = '/d'")
refused("only a regular file", "UPDATE records SET content = 'x' WHERE path = '/d'")
refused("only a regular file", "UPDATE records SET content = '' WHERE path = '/l'")
refused("exists already", "UPDATE records SET path = '/same' WHERE path LIKE '/new%'")
refused("only a regular file", "UPDATE records SET content = 'x'")

# -- DELETE ------------------------------------------------------------------------------------
refused("not empty", "DELETE FROM records WHERE path = '/d'")
refused("not empty", "DELETE FROM records WHERE path IN ('/f', '/full')")
run("DELETE FROM records WHERE path = '/d/g'")
same(1, one("nlink", "/g"))
run("DELETE FROM records WHERE path = '/g'")
run("DELETE FROM records WHERE path LIKE '/new%'")
run("DELETE FROM records WHERE path = '/sparse'")
run("DELETE FROM records WHERE path IN ('/setgid/d', '/link', '/fifo', '/socket by mode')")
run("DELETE FROM records WHERE path = '/none'")
same([], db.execute("SELECT * FROM orphan").fetchall(), "orphans, where nobody mounts")
# A tree goes from below.
while db.execute("SELECT count(*) FROM records WHERE path LIKE '/e/%'").fetchone()[0]:
    run("DELETE FROM records WHERE path LIKE '/e/%' AND ino NOT IN (SELECT parent FROM dentry)")

# A tree is copied from above, and deleted from below at once where SQLite can.
run("INSERT INTO records(path, type) VALUES('/a', 'dir'), ('/a/b', 'dir'), ('/a/b/c', 'dir')")
run("INSERT INTO records(path, content, mode) VALUES('/a/b/c/f', 'copied', 384), (x'2f612f62ff', 'odd', 256)")
run("INSERT INTO records(path, target) VALUES('/a/l', 'b')")
run("INSERT INTO records(path, type, mode, content, target)"
    " SELECT '/copy' || substr(path, 3), type, mode, content, target FROM records"
    " WHERE typeof(path) = 'text' AND (path = '/a' OR path LIKE '/a/%') ORDER BY path")
COPIED = "substr(path, {}), type, mode, content, target"
same(db.execute(f"SELECT {COPIED.format(3)} FROM records WHERE path LIKE '/a/%'"
                " AND typeof(path) = 'text' ORDER BY 1").fetchall(),
     db.execute(f"SELECT {COPIED.format(6)} FROM records WHERE path LIKE '/copy/%'"
                " ORDER BY 1").fetchall(), "the copy")
if ("ENABLE_UPDATE_DELETE_LIMIT",) in db.execute("PRAGMA compile_options").fetchall():
    BELOW = "FROM records WHERE path = '/a' OR CAST(path AS TEXT) LIKE '/a/%'"
    refused("not empty", f"DELETE {BELOW}")
    run(f"DELETE {BELOW} ORDER BY path DESC LIMIT -1")
    same([], db.execute(f"SELECT path {BELOW}").fetchall())

# -- the log -----------------------------------------------------------------------------------
run("INSERT INTO records(path, type) VALUES('/log', 'dir')")
where = one("ino", "/log")
rows = logged("INSERT INTO records(path, content) VALUES('/log/a', ?)", os.urandom(1_000_000))
ino = one("ino", "/log/a")
same([(1, ino, None, None, None), (3, where, None, None, "a"), (1, where, None, None, None),
      (2, ino, 0, None, None)], rows, "an INSERT")
same([(2, ino, 0, None, None)], logged("UPDATE records SET content = ? WHERE path = '/log/a'",
                                       os.urandom(500_000)))
same([(1, ino, None, None, None)], logged("UPDATE records SET mode = 0 WHERE path = '/log/a'"))
same([], logged("UPDATE records SET mode = mode, path = path WHERE path = '/log/a'"))
same([(3, where, None, None, "a"), (3, where, None, None, b"\xff"), (1, ino, None, None, None),
      (1, where, None, None, None)], logged("UPDATE records SET path = ? WHERE path = '/log/a'",
                                            b"/log/\xff"))
same([(3, where, None, None, b"\xff"), (1, where, None, None, None), (1, ino, None, None, None),
      (4, ino, None, None, None), (2, ino, 0, None, None), (1, ino, None, None, None)],
     logged("DELETE FROM records WHERE path = ?", b"/log/\xff"))
# Writing to the tables is logged, too; more than changed, never less.
ino = one("ino", "/f")
key = ino << 30
db.execute("BEGIN")
(last,) = db.execute("SELECT max(id) FROM changelog").fetchone()
for sql, wanted in (
        (f"UPDATE inode SET atime = 5 WHERE ino = {ino}", [(1, ino, None, None)]),
        (f"UPDATE inode SET size = 9000 WHERE ino = {ino}", [(2, ino, 0, None)]),
        (f"UPDATE inode SET size = 5000 WHERE ino = {ino}", [(2, ino, 1, None)]),
        (f"UPDATE inode SET ttl = 1 WHERE ino = {ino}", [(2, ino, 0, None)]),
        (f"UPDATE block SET data = x'00' WHERE key = {key}", [(2, ino, 0, 15)] * 2),
        (f"INSERT INTO block VALUES({key} + 35, NULL, x'00')", [(2, ino, 35, 47)]),
        (f"DELETE FROM block WHERE key = {key} + 35", [(2, ino, 35, 47)]),
        (f"INSERT INTO hole VALUES({key} + 100, 50, 0)", [(2, ino, 100, 149)]),
        (f"UPDATE hole SET count = 60 WHERE key = {key} + 100", [(2, ino, 100, 149),
                                                                  (2, ino, 100, 159)]),
        (f"DELETE FROM hole WHERE key = {key} + 100", [(2, ino, 100, 159)]),
        (f"INSERT INTO xattr VALUES({ino}, x'61', x'62')", [(1, ino, None, None)]),
        (f"UPDATE xattr SET value = x'' WHERE ino = {ino}", [(1, ino, None, None)] * 2),
        (f"DELETE FROM xattr WHERE ino = {ino}", [(1, ino, None, None)]),
        (f"INSERT INTO orphan VALUES({ino}, 0, 0)", [(4, ino, None, None)]),
        (f"DELETE FROM orphan WHERE ino = {ino}", [(1, ino, None, None)])):
    db.execute(sql)
    if "INTO orphan" in sql:
        same((last + 1,), db.execute("SELECT change FROM orphan").fetchone())
    rows = db.execute("SELECT kind, ino, first, last FROM changelog WHERE id > ?", (last,)).fetchall()
    same(wanted, rows, sql)
    last += len(rows)
db.execute("ROLLBACK")
for sql in ("DELETE FROM changelog", "UPDATE changelog SET ino = 1",
            "DELETE FROM changelog WHERE id = (SELECT max(id) FROM changelog)"):
    try:
        db.execute(sql)
    except sqlite3.IntegrityError as error:
        assert "changelog" in str(error)
    else:
        raise AssertionError(sql)
db.execute("BEGIN")
for number in range(70_000):
    db.execute("UPDATE inode SET atime = ? WHERE ino = 1", (number,))
db.execute("COMMIT")
least, most, count = db.execute("SELECT min(id), max(id), count(*) FROM changelog").fetchone()
assert 65536 <= count <= 65536 + 1024 and most - least + 1 == count, (least, most, count)
check()

# -- and the same by the shell -----------------------------------------------------------------
subprocess.run(["sqlite3", STORE, "INSERT INTO records(path, content) VALUES('/shell', '{\"a\": 1}')",
                "UPDATE records SET content = json_set(content, '$.a', 2) WHERE path = '/shell'",
                "UPDATE records SET path = '/shell 2' WHERE path = '/shell'"], check=True)
same(b'{"a":2}', one("content", "/shell 2"))
result = subprocess.run(["sqlite3", STORE, "INSERT INTO records(path) VALUES('/no/x')"],
                        capture_output=True, text=True)
assert result.returncode != 0 and "recordfs: no such directory" in result.stderr, result
db.close()

# A mount takes all of it as its own.
daemon = Daemon()
same(b'{"a":2}', (MNT / "shell 2").read_bytes())
(MNT / "shell 2").write_bytes(b"3")
subprocess.run(["rm", "-rf", *(str(path) for path in MNT.iterdir())], check=True)
done(daemon)
