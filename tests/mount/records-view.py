"""The view `records` and the view `lookup` show what a mount shows, by any client: an unmodified
sqlite3 shell, Python's module, read-only, with trusted_schema off, and by index where they should."""
import socket

from lib import *

COLUMNS = ["ino", "path", "name", "type", "mode", "uid", "gid", "size", "mtime", "ctime", "atime",
           "nlink", "target", "content", "parent"]
TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink",
         stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket", stat.S_IFCHR: "char",
         stat.S_IFBLK: "block"}


def text(value):
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def as_bytes(value):
    return value.encode() if isinstance(value, str) else value


def expected():
    """What the mount shows, as rows of the view."""
    rows = []
    for where, directories, files in os.walk(os.fsencode(MNT)):
        parent = os.stat(where).st_ino
        for name in directories + files:
            path = os.path.join(where, name)
            status = os.lstat(path)
            kind = TYPES[stat.S_IFMT(status.st_mode)]
            target = text(os.readlink(path)) if kind == "symlink" else None
            content = open(path, "rb").read() if kind == "file" else None
            rows.append((status.st_ino, text(path[len(os.fsencode(MNT)):]), text(name), kind,
                         status.st_mode, status.st_uid, status.st_gid, status.st_size,
                         status.st_mtime_ns, status.st_ctime_ns, status.st_atime_ns,
                         status.st_nlink, target, content, parent))
    return sorted(rows, key=lambda row: as_bytes(row[1]))


def connect(uri="", *pragmas):
    db = sqlite3.connect(f"file:{STORE}{uri}", uri=True, isolation_level=None)
    for pragma in pragmas:
        db.execute(f"PRAGMA {pragma}")
    return db


def verify(db, rows, what):
    names = [row[1] for row in db.execute("PRAGMA table_info(records)")]
    same(COLUMNS, names, f"{what}: columns")
    found = sorted(db.execute("SELECT * FROM records"), key=lambda row: as_bytes(row[1]))
    same(len(rows), len(found), f"{what}: rows")
    for wanted, got in zip(rows, found):
        for name, one, other in zip(COLUMNS, wanted, got):
            same(one, other, f"{what}: {wanted[1]!r}, column {name}")


def shell(*commands):
    return subprocess.run(["sqlite3", STORE, *commands], check=True, capture_output=True,
                          text=True).stdout


def plan(db, sql, *arguments):
    """The steps of a query plan. A SCAN of a common table expression reads what has been found."""
    return [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", arguments)]


def by_index(db, sql, *arguments):
    steps = plan(db, sql, *arguments)
    print(sql, *steps, sep="\n    ", flush=True)
    for step in steps:  # "SCAN records" is about the rows that an UPDATE or DELETE has found
        words = step.split()
        assert words[0] != "SCAN" or words[1] not in ("dentry", "inode", "block", *"diubn"), step
        assert "AUTOMATIC" not in step, step
    assert any(step.startswith("SEARCH d USING") for step in steps), steps


daemon = Daemon("-o", "noatime")
os.makedirs(MNT / "product/deep/er")
for number in range(50):
    (MNT / f"product/{number}.json").write_text(json.dumps({"price": number, "tags": ["a", number]}))
(MNT / "empty").touch()
(MNT / "runs").write_bytes(os.urandom(200_001))
with open(MNT / "sparse", "wb") as file:  # holes at the start, between, at the end; short blocks
    for offset, size in ((10_000, 5), (100_000, 70_000), (400_001, 4096)):
        file.seek(offset)
        file.write(os.urandom(size))
    file.truncate(600_123)
with open(MNT / "short", "wb") as file:  # one run, and zeros after it
    file.write(b"abc")
    file.truncate(10)
with open(MNT / "hole", "wb") as file:
    file.truncate(5_000_000)
with open(MNT / "reserved", "wb") as file:
    os.posix_fallocate(file.fileno(), 0, 300_000)
    os.pwrite(file.fileno(), b"x" * 5000, 150_000)
rewritten = os.open(MNT / "rewritten", os.O_CREAT | os.O_RDWR)
os.write(rewritten, os.urandom(300_000))
for offset in range(0, 300_000, 30_001):
    os.pwrite(rewritten, b"new", offset)
os.close(rewritten)
os.link(MNT / "runs", MNT / "product/deep/other name of runs")
os.symlink("../target", MNT / "product/link")
os.symlink(b"t\xff", MNT / "odd link")
os.symlink("z\u00fcriel", MNT / "l\u00efnk")
os.mkfifo(MNT / "fifo")
socket.socket(socket.AF_UNIX).bind(str(MNT / "socket"))
if os.getuid() == 0:
    os.mknod(MNT / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.mknod(MNT / "disk", stat.S_IFBLK | 0o600, os.makedev(8, 300))
    os.chown(MNT / "empty", 12, 34)
os.chmod(MNT / "empty", 0o4751)
os.utime(MNT / "short", ns=(-5, 123_456_789_123_456_789))
odd = os.fsencode(MNT)
os.makedirs(odd + b"/\xff\xfe/in")
open(odd + b"/\xff\xfe/in/f", "w").close()
for name in (b"new\nline", b"\xed\xa0\x80", "\uffff\U0001f600".encode(), b"quote'\"", b"n" * 255,
             b"%_*?[", b"\xc3", b"\xf5\x80\x80\x80", b" ", b"42"):
    (MNT / os.fsdecode(name)).write_bytes(name)
with open(MNT / "gone", "wb+") as gone:
    gone.write(b"x" * 100)
    os.unlink(MNT / "gone")

    rows = expected()
    verify(connect(), rows, "mounted")
    verify(connect("?mode=ro", "trusted_schema = OFF"), rows, "read-only, nothing trusted")
    verify(connect("", "reverse_unordered_selects = ON", "case_sensitive_like = ON"), rows,
           "in reverse")
    db = connect()
    same((0,), db.execute("SELECT count(*) FROM records WHERE nlink = 0").fetchone(),
         "what is open and deleted is no record")
daemon.umount()
verify(connect(), rows, "not mounted")
subprocess.run(["recordfsctl", "check", STORE], check=True)

# The shell, with JSON.
same("/product/7.json|7\n", shell("SELECT path, content->>'price' FROM records WHERE path GLOB"
                                  " '/product/*.json' AND content->>'$.tags[1]' = 7"))
same("1225", shell(".dbconfig defensive on", ".dbconfig trusted_schema off",
                     "SELECT sum(content->>'price') FROM records WHERE path GLOB '/product/*.json'").split()[-1])
same("/product\n", shell("SELECT path FROM lookup WHERE json = json_quote('/product')"))

# By index: a directory, a name in it, with constants, parameters and subqueries.
db = connect()
(product,) = db.execute("SELECT ino FROM records WHERE path = '/product'").fetchone()
ALL = "SELECT * FROM records WHERE "
by_index(db, f"{ALL} parent = {product}")
by_index(db, f"{ALL} parent = ?", product)
by_index(db, f"{ALL} parent = {product} AND name = '7.json'")
by_index(db, f"{ALL} parent = ? AND name = ?", product, "7.json")
by_index(db, f"{ALL} parent = ? AND name IN ('7.json', '8.json')", product)
by_index(db, f"{ALL} parent = (SELECT ino FROM dentry WHERE parent = 1 AND name = 'product')")
by_index(db, f"{ALL} parent = (SELECT ino FROM lookup WHERE json = json_quote('/product'))")
ONE = "(parent, name) = (SELECT parent, name FROM lookup WHERE json = json_quote('/product/7.json'))"
by_index(db, ALL + ONE)
by_index(db, "SELECT content FROM lookup WHERE json = json_quote(?)", "/product/7.json")
by_index(db, f"UPDATE records SET content = 'x' WHERE {ONE}")
by_index(db, f"DELETE FROM records WHERE {ONE}")
by_index(db, "SELECT path FROM (SELECT 1 AS a) JOIN records ON parent = a AND name = 'product'")

# What lookup finds.
for row in rows:
    found = db.execute("SELECT * FROM lookup WHERE json = json_quote(?)",
                       (row[1] if isinstance(row[1], str) else "/nothing",)).fetchall()
    if isinstance(row[1], bytes):
        same([], found, row[1])
        (one,) = db.execute("SELECT * FROM records WHERE parent = ? AND name = ?",
                            (row[14], row[2])).fetchall()
        same(row[1], one[1])
    else:
        (one,) = found
        same(row, one[1:], row[1])
for path in ("", "/", "product", "/product/", "//product", "/product/x", "/empty/x", "/./product",
             "/product/../product", "x" * 5000, "/" + "x" * 5000):
    same([], db.execute("SELECT path FROM lookup WHERE json = json_quote(?)", (path,)).fetchall(), path)
same([("/empty",), ("/product",)],
     db.execute("SELECT path FROM lookup WHERE json = json_array('/empty', '/none', '/product')"
                " ORDER BY 1").fetchall(), "several")

# Only what is asked for is computed: a file too large for SQLite has no content and disturbs nobody.
daemon = Daemon()
os.truncate(MNT / "hole", 1 << 40)
daemon.umount()
db = connect()
same([(1 << 40, None)], db.execute("SELECT size, content FROM records WHERE path = '/hole'").fetchall())
same(len(rows), db.execute("SELECT count(path) FROM records").fetchone()[0])
db.close()
done()
