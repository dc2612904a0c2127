#!/usr/bin/env python3
"""recordfsctl records and sql: what they print in each form, from a store and from a mount; that records are
found by index; what they refuse."""
import gzip

from lib import *


def ctl(*args, status=0, **kwargs):
    run = subprocess.run(["recordfsctl", *args], capture_output=True, **kwargs)
    same(status, run.returncode, f"{args}: {run.stdout}{run.stderr}")
    if status:
        same(1, run.stderr.count(b"\n"), f"{args}: lines of complaint: {run.stderr}")
        return run.stderr.decode()
    same(b"", run.stderr, f"{args}: complaints")
    return run.stdout


ODD = b"odd\xff\n|name"
daemon = Daemon("-o", "watch=20")
(MNT / "product/deep").mkdir(parents=True)
(MNT / "product/42.json").write_bytes(b'{"price": 10}')
(MNT / 'quo"te,').write_bytes(b"\x00\xff")
with open(os.path.join(os.fsencode(MNT), ODD), "wb") as f:
    f.write(b"x" * 5000)
(MNT / "link").symlink_to("product")
os.mkfifo(MNT / "product/fifo", 0o640)
paths = {"/product", "/product/deep", "/product/42.json", "/product/fifo", '/quo"te,', "/link"}

# records: every path, from a store and from a mount
wanted = {os.fsencode(p) for p in paths} | {b"/" + ODD}
for target in STORE, MNT:
    got = ctl("records", "-0", target).split(b"\0")[:-1]
    same(sorted(wanted), sorted(got), f"records -0 {target}")
    lines = ctl("records", target).splitlines()
    assert b"/odd\xff\\012|name" in lines and len(lines) == len(wanted), lines
below = [b"/product", b"/product/42.json", b"/product/deep", b"/product/fifo"]
for args in [STORE, "/product"], [MNT, "/product"], [MNT, MNT / "product"], [MNT / "product"]:
    same(below, ctl("records", *args).splitlines(), f"records {args}")
same([b"/product/42.json"], ctl("records", MNT, "42.json", cwd=MNT / "product").splitlines(), "one")
rows = {row["path"]: row for row in json.loads(ctl("records", "--json", STORE))}
for path in paths:
    st = os.lstat(f"{MNT}{path}")
    row = rows[path]
    same((st.st_ino, st.st_mode, st.st_uid, st.st_mtime_ns), (row["ino"], row["mode"], row["uid"], row["mtime"]), path)
    if row["type"] != "directory":
        same(st.st_size, row["size"], path)
same({"file", "directory", "symlink", "fifo"}, {row["type"] for row in rows.values()}, "types")
same(5000, rows["hex:" + (b"/" + ODD).hex()]["size"], "a path that is no UTF-8")
long = ctl("records", "-l", MNT).decode("latin1")
assert "prw-r-----" in long and "lrwxrwxrwx" in long and "drwxr-xr-x" in long, long
assert "no such record" in ctl("records", STORE, "/nothing", status=1)
ctl("records", status=2)
ctl("records", STORE, "relative", status=1)
assert "a record, not a store; name the MOUNTPOINT" in ctl("records", MNT / "product/42.json", status=1)

# sql: by index
find = "parent = path_dir('{0}') AND name = path_name('{0}')"
plan = ctl("sql", STORE, f"EXPLAIN QUERY PLAN SELECT size FROM records WHERE {find.format('/a/b')}").decode()
assert "SCAN" not in plan and "PRIMARY KEY (parent=? AND name=?)" in plan, plan
same(b'/product/42.json|13|{"price": 10}\n', ctl("sql", MNT, "SELECT path, size, content FROM records WHERE " +
     find.format("/product/42.json")), "by path")
for path in paths:
    same(f"{os.lstat(f'{MNT}{path}').st_ino}\n".encode(), ctl("sql", STORE, f"SELECT path_ino('{path}')"), path)
odd = f"X'{(b'/' + ODD).hex()}'"
same(b"5000\n", ctl("sql", STORE, f"SELECT size FROM inode WHERE ino = path_ino({odd})"), "a BLOB")
same(b"5000\n", ctl("sql", STORE, f"SELECT size FROM records WHERE parent = path_dir({odd}) AND name = path_name({odd})"), "a BLOB")
same(b"1|1|||||||\n", ctl("sql", STORE, "SELECT path_ino('/'), path_ino('//'), path_ino('/nothing'), path_ino(''), "
     "path_ino(NULL), path_ino('product'), path_ino('/product/42.json/x'), path_dir('/'), path_name('/')"), "no path")
same(b"1|deep\n", ctl("sql", STORE, "SELECT path_ino('/product/deep') = path_ino('//product///deep/'), "
     "path_name('/product/deep/')"), "slashes")

# changes are seen in the mount, in one statement or in several
ctl("sql", MNT, "UPDATE records SET content = json_set(content, '$.price', 12) WHERE " + find.format("/product/42.json"))
poll("a change by sql", lambda: (MNT / "product/42.json").read_bytes() == b'{"price":12}')
ctl("sql", STORE, "BEGIN IMMEDIATE; INSERT INTO records(path, content) VALUES('/new', 'x'); DELETE FROM records WHERE "
    + find.format("/link") + "; COMMIT")
poll("changes by sql", lambda: (MNT / "new").exists() and not (MNT / "link").is_symlink())
assert "undone" in ctl("sql", STORE, "BEGIN; DELETE FROM records WHERE path = '/new'", status=1)
assert (MNT / "new").exists()

# forms
same([{"path": "/new", "content": "x", "target": None, "half": 0.5, "size": 1}],
     json.loads(ctl("sql", "--json", MNT, "SELECT path, content, target, 0.5 AS half, size FROM records WHERE path = '/new'")), "json")
same(b'path,n\r\n"/quo""te,",2\r\n', ctl("sql", "--csv", MNT, "SELECT path, size AS n FROM records WHERE name GLOB 'quo*'"), "csv")
same(b"a|b\n1|\n", ctl("sql", "--header", MNT, "SELECT 1 AS a, NULL AS b"), "a header")
same(b"\x00\xff\n", ctl("sql", MNT, "SELECT content FROM records WHERE name GLOB 'quo*'"), "bytes")

# what is refused
assert "no such column" in ctl("sql", MNT, "SELECT nope", status=1)
assert "readonly" in ctl("sql", "--readonly", MNT, "DELETE FROM records WHERE path = '/new'", status=1)
assert "recordfs: " in ctl("sql", MNT, "UPDATE records SET size = 5 WHERE path = '/new'", status=1)
ctl("sql", MNT, "INSERT INTO sqlite_schema VALUES(1, 2, 3, 4, 5)", status=1)
ctl("sql", MNT, status=2)
(T / "other").write_text("no store")
ctl("sql", T / "other", "SELECT 1", status=1)
assert "one of" in ctl("sql", "--json", "--csv", MNT, "SELECT 1", status=2)
assert "one of" in ctl("records", "-l", "--json", MNT, status=2)
assert "recordfsctl records --help" in ctl("records", status=2)
for data in b"no archive" * 1000, gzip.compress(b"no archive"):
    said = ctl("import", MNT, status=1, input=data)
    assert "no tar stream: if it is compressed, unpack it" in said and "nothing was imported" in said, said
for words in ("--help", "check"), ("help", "check"):
    assert ctl(*words).startswith(b"usage: recordfsctl check"), words
assert b"no faults" in ctl("check", "--quiet", MNT)
one = subprocess.run(["recordfsctl", "export", MNT, "/product/fifo"], capture_output=True, check=True).stdout
assert ctl("import", MNT, "/imported", input=one).startswith(b"1 record, "), "one of them"
for path in "/imported/product/fifo", "/imported/product", "/imported":
    ctl("sql", MNT, f"DELETE FROM records WHERE path = '{path}'")
assert "needs the STORE, unmounted" in ctl("check", "--repair", MNT, status=1)
assert "not on a recordfs mount" in ctl("check", T, status=1)
assert "name the MOUNTPOINT" in ctl("stats", STORE, status=1)
assert "(try recordfsctl drop --help)" in ctl("drop", status=2)
assert "--readonly refuses" in ctl("sql", "--readonly", MNT, "DELETE FROM records", status=1)

# a part of the mount, mounted elsewhere, and all of it
if os.getuid() == 0:
    part, whole = T / "a part", T / "whole"
    for source, place in (MNT / "product", part), (MNT, whole):
        place.mkdir()
        subprocess.run(["mount", "--bind", source, place], check=True)
    for args in [part], [MNT, part], [part, "/product"], [whole, part], [part, MNT / "product"], [whole / "product"]:
        same(below, ctl("records", *args).splitlines(), f"records {args}")
    same([b"/product/42.json"], ctl("records", MNT, "42.json", cwd=part).splitlines(), "below a part")
    ctl("drop", "--quiet", part)
    assert b"warmed 1 file, " in ctl("warm", part), "files in the part"
    subprocess.run(["umount", whole], check=True)
    assert b"warmed 1 file, " in ctl("warm", MNT, part / "42.json")
    # ... and where nothing but the part can be seen
    alone = ctl("warm", part, status=1, preexec_fn=lambda: (check_call(libc.unshare(0x20000)), subprocess.run(
        f"mount --make-rprivate / && umount '{MNT}'", shell=True, check=True)))
    assert "mounted nowhere that can be seen" in alone, alone
    subprocess.run(["umount", part], check=True)

# the schema and the settings stay; what is temporary is the client's own
for statement in ("CREATE TABLE foo(a)", "DROP TABLE xattr", "CREATE VIEW v AS SELECT 1", "DROP VIEW records",
                  "CREATE INDEX i ON inode(size)", "ALTER TABLE inode RENAME TO node", "ANALYZE", "DROP TRIGGER records_insert",
                  "CREATE TRIGGER t AFTER INSERT ON inode BEGIN SELECT 1; END", "PRAGMA user_version = 7",
                  "PRAGMA application_id(7)", "PRAGMA journal_mode = DELETE", "PRAGMA auto_vacuum = 0",
                  "PRAGMA main.user_version = 7", "PRAGMA query_only = OFF", "PRAGMA optimize",
                  "CREATE VIRTUAL TABLE main.f USING fts5(a)"):
    assert "settings cannot be changed" in ctl("sql", MNT, statement, status=1), statement
same(b"2\n", ctl("sql", MNT, "CREATE TEMP TABLE foo(a); INSERT INTO foo VALUES(2); CREATE INDEX temp.i ON foo(a);"
                 "SELECT a FROM foo; DROP TABLE foo; PRAGMA cache_size = 100"), "temporary tables")
same(b"ok\n", ctl("sql", MNT, "PRAGMA quick_check(1)"), "a pragma that asks")
ctl("sql", MNT, "SELECT count(*) FROM records; PRAGMA page_count; PRAGMA table_info(inode)")

# a mount that is read-only changes nothing, whatever the file allows
daemon.umount()
daemon = Daemon("-o", "ro")
before = STORE.read_bytes()
archive = subprocess.run(["recordfsctl", "export", STORE], capture_output=True, check=True).stdout
for args in ("sql", MNT, "DELETE FROM records WHERE path = '/new'"), ("compact", MNT), ("import", MNT):
    assert f"mounted read-only; name the store itself: {STORE}" in ctl(*args, status=1, input=archive), args
same(b"1\n", ctl("sql", MNT, "SELECT count(*) FROM records WHERE path = '/new'"), "reading")
same(before, STORE.read_bytes(), "the store")

# a schema that is not ours runs nothing
daemon.umount()
ctl("sql", STORE, "SELECT 1")  # takes away the files of the log, which a mount that only reads leaves
copy = T / "copy.db"
copy.write_bytes(STORE.read_bytes())

# where nothing can be made beside the store: on a read-only filesystem, or in a directory of others
if os.getuid() == 0:
    where = T / "where"
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", where], check=True)
    still = where / "s.db"
    still.write_bytes(STORE.read_bytes())
    os.chmod(still, 0o644)
    listed = ctl("records", STORE)
    os.chmod(T, 0o755)
    same(listed, ctl("records", still, user=65534), "records, by somebody else")
    same(b"1\n", ctl("sql", "--readonly", still, "SELECT count(*) FROM records WHERE path = '/new'", user=65534))
    assert "cannot be written: Permission denied" in ctl("compact", still, status=1, user=65534)
    same([still.name], os.listdir(where), "files left behind")
    change = "DELETE FROM records WHERE path = '/new'"
    assert "cannot be written: Permission denied" in ctl("sql", still, change, status=1, user=65534)
    subprocess.run(["mount", "-o", "remount,ro", where], check=True)
    for args in ("compact", still), ("import", still), ("sql", still, change):
        assert "cannot be written: Read-only file system" in ctl(*args, status=1, input=archive), args
    same(b"1\n", ctl("sql", still, "SELECT count(*) FROM records WHERE path = '/new'"), "a question, where it is read-only")
    same(listed, ctl("records", still), "records on a read-only filesystem")
    same(b"1\n", ctl("sql", "--readonly", still, "SELECT count(*) FROM records WHERE path = '/new'"))
    subprocess.run(["umount", where], check=True)

    # somebody else's, where anybody may write: he could have put anything there
    for path in where, copy:
        os.chown(path, 65534, 65534)
    where.chmod(0o777)
    theirs = where / "s.db"
    theirs.write_bytes(copy.read_bytes())
    os.chown(where, 0, 0)
    os.chown(theirs, 65534, 65534)
    for args in ("records", theirs), ("sql", theirs, "SELECT 1"), ("export", theirs), ("backup", theirs, T / "no.db"), \
            ("import", theirs), ("compact", theirs):
        said = ctl(*args, status=1, input=archive)
        assert f"{theirs}: another user's" in said and "do this as that user" in said, said
    same(listed, ctl("records", theirs, user=65534), "that user himself")
    os.chown(copy, 0, 0)
db = sqlite3.connect(copy)
db.execute("CREATE TRIGGER evil AFTER INSERT ON xattr BEGIN DELETE FROM inode; END")
db.commit()
db.close()
assert "schema has been altered" in ctl("sql", copy, "SELECT 1", status=1)
assert "schema has been altered" in ctl("records", copy, status=1)
same([], [p.name for p in T.iterdir() if p.name.endswith(("-wal", "-shm"))], "files left behind")
done()
