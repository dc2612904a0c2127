#!/usr/bin/env python3
# timeout: 900
"""recordfsctl export and import: whatever a store holds comes back, by tar as well; an export is of
one moment; an import that is stopped, killed, cut off or finds the disk full leaves no half a file."""
import random
import shutil
from lib import *

TAR = ["tar", "--acls", "--xattrs", "--xattrs-include=*", "--numeric-owner"]
SECOND = 10 ** 9
ROOT = os.getuid() == 0


def ctl(*args, code=0, data=None, **more):
    result = subprocess.run(["recordfsctl", *args], input=data if data is not None else b"",
                            capture_output=True, **more)
    result.stderr = complaints(result.stderr)
    same(code, result.returncode, (args, result.stderr))
    if code == 0:
        same(b"", result.stderr, args)
    else:
        assert result.stderr.startswith(b"recordfsctl: "), result.stderr
    return result


def export(*args):
    return ctl("export", *args).stdout


def holes(path):
    """Where SEEK_HOLE and SEEK_DATA find data."""
    found, at = [], 0
    with open(path, "rb") as f:
        size = os.fstat(f.fileno()).st_size
        while at < size:
            try:
                at = os.lseek(f.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            end = os.lseek(f.fileno(), at, os.SEEK_HOLE)
            found.append((at, end))
            at = end
    return found


def utf8(name):
    try:
        return bool(name.decode())
    except UnicodeDecodeError:
        return False


def describe(root, sparse=True):
    """All that a tree is, but for what no tar holds: ctime, inode numbers, sockets."""
    root = os.fsencode(root)
    tree, first = {}, {}
    for path, dirs, files in os.walk(root):
        for name in [b"."] + dirs + files:
            full = os.path.join(path, name)
            st = os.lstat(full)
            kind = stat.S_IFMT(st.st_mode)
            if kind == stat.S_IFSOCK or (name == b"." and path != root):
                continue
            key = os.path.relpath(full, root)
            what = {"mode": oct(st.st_mode), "uid": st.st_uid, "gid": st.st_gid,
                    "mtime": st.st_mtime_ns}
            if kind != stat.S_IFDIR:
                what["nlink"] = st.st_nlink
                first.setdefault(st.st_ino, set()).add(key)
            names = os.listxattr(full, follow_symlinks=False)
            what["xattrs"] = {n: os.getxattr(full, n, follow_symlinks=False) for n in names}
            if kind == stat.S_IFREG:
                with open(full, "rb") as f:
                    what["size"] = st.st_size
                    if st.st_size < 1 << 26:
                        what["data"] = hashlib.sha256(f.read()).hexdigest()
                # Long names that are not UTF-8: holes become zeros, see tar_export.c
                if sparse and st.st_nlink == 1 and (len(key) < 79 or utf8(key)):
                    what["holes"] = holes(full)
            if kind == stat.S_IFLNK:
                what["target"] = os.readlink(full)
            if kind in (stat.S_IFCHR, stat.S_IFBLK):
                what["rdev"] = st.st_rdev
            tree[key] = what
    tree["links"] = sorted(sorted(s) for s in first.values() if len(s) > 1)
    return tree


def compare(wanted, got, what):
    for key in sorted(set(wanted) | set(got), key=str):
        same(wanted.get(key), got.get(key), f"{what}: {key!r}")


def drop_old_times(wanted, got):
    """Before 1970, GNU tar and libarchive do not agree about fractions of a second."""
    for path, what in wanted.items():
        if isinstance(what, dict) and what["mtime"] < 0:
            del what["mtime"]
            got[path].pop("mtime", None)


def acl(*entries):
    """The extended attribute: (tag, permissions, id) of each."""
    return b"".join([(2).to_bytes(4, "little")] + [
        t.to_bytes(2, "little") + p.to_bytes(2, "little") + (i & 0xffffffff).to_bytes(4, "little")
        for t, p, i in entries])


def fill(root, rng):
    """A tree with everything in it."""
    dirs = [os.fsencode(root)]
    names = [b"a", b"b.json", b"\xff\xfe", b"u\xcc\x88", b"\xc3\xbc", b"a b", b"n\nl", b"-x", b"x" * 255,
             b"\\", b"\xed\xa0\x80", b"%41", b"caf\xc3\xa9", b"*", b"'q\""]
    files = []
    for i in range(120):
        path = os.path.join(rng.choice(dirs), rng.choice(names) + (b"" if i % 3 else b"%d" % i))
        path = path if len(os.path.basename(path)) < 256 else path[:-4]
        if os.path.lexists(path):
            continue
        kind = rng.choice("fffffdldspc" if ROOT else "fffffdldsp")
        if kind == "f":
            with open(path, "wb") as f:
                for _ in range(rng.randrange(4)):
                    f.seek(rng.choice((0, 5000, 70000, 1 << 20, 1 << 27)))
                    f.write(rng.randbytes(rng.randrange(1, 9000)))
                if rng.random() < 0.3:
                    f.truncate(rng.choice((0, 1, 4096, 100000, 1 << 28)))
            files.append(path)
        elif kind == "d":
            os.mkdir(path)
            dirs.append(path)
        elif kind == "l" and files:
            os.link(rng.choice(files), path)
        elif kind == "s":
            os.symlink(rng.randbytes(rng.randrange(1, 300)).replace(b"\0", b"/"), path)
        elif kind == "p":
            os.mkfifo(path)
        elif kind == "c":
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(rng.randrange(4096), rng.randrange(1 << 20)))
    every = [os.path.join(p, n) for p, d, f in os.walk(os.fsencode(root)) for n in d + f]
    for path in every:
        st = os.lstat(path)
        link = stat.S_ISLNK(st.st_mode)
        if ROOT and rng.random() < 0.5:
            os.lchown(path, rng.randrange(1 << 32 - 1), rng.randrange(70000))
        if not link and rng.random() < 0.7:
            os.chmod(path, rng.choice((0o644, 0o600, 0o755, 0o4755, 0o2775, 0o1777, 0o400)))
        if stat.S_ISREG(st.st_mode) or stat.S_ISDIR(st.st_mode):
            for _ in range(rng.randrange(3)):
                name = rng.choice((b"user.a", b"user.b=c", b"user.d%41e%", b"user.\xff", b"user.long" + b"n" * 200))
                os.setxattr(path, name, rng.randbytes(rng.choice((0, 1, 100, 900))))
            if rng.random() < 0.2:
                os.setxattr(path, "user.recordfs.ttl", b"2.5")
            if rng.random() < 0.4:
                os.setxattr(path, "system.posix_acl_access", acl(
                    (1, 7, -1), (2, 4, 77), (2, 6, 1234), (4, 5, -1), (8, 1, 5), (16, 4, -1), (32, 0, -1)))
            if stat.S_ISDIR(st.st_mode) and rng.random() < 0.5:
                os.setxattr(path, "system.posix_acl_default", acl(
                    (1, 7, -1), (4, 5, -1), (8, 7, 99), (16, 5, -1), (32, 4, -1)))
    for path in reversed(every + [os.fsencode(root)]):
        t = rng.choice((0, -1, -1500000000, 1, 10 ** 18 + 1, rng.randrange(2 ** 61)))
        os.utime(path, ns=(rng.randrange(2 ** 60), t), follow_symlinks=False)


seed = int(os.environ.get("RFS_SEED", random.randrange(1 << 30)))
print(f"RFS_SEED={seed}", flush=True)
rng = random.Random(seed)
OTHER = T / "other.db"
daemon = Daemon()
fill(MNT, rng)
tree = describe(MNT)

# From store to store: everything comes back, whether the other one is mounted or not
archive = export(MNT)
same(archive, export(STORE), "the mount and its store")
ctl("import", "--same-owner", OTHER, data=archive)
subprocess.run(["recordfsctl", "check", OTHER], check=True, stdout=subprocess.DEVNULL)
other = Daemon(store=OTHER, mnt=T / "mnt2")
compare(tree, describe(T / "mnt2"), "imported")
(T / "mnt2" / "seen").mkdir()
ctl("import", "--same-owner", T / "mnt2", "/seen", data=archive)
poll("the mount sees it", lambda: len(os.listdir(T / "mnt2" / "seen")) == len(os.listdir(MNT)))
compare(tree, describe(T / "mnt2" / "seen"), "imported beside the mount")
ctl("import", "--same-owner", T / "mnt2" / "seen", data=archive)
over = describe(T / "mnt2" / "seen")
for path, what in over.items():  # but the TTL of a directory is handed down, as it is to all
    if isinstance(what, dict) and "user.recordfs.ttl" not in tree[path]["xattrs"]:
        what["xattrs"].pop("user.recordfs.ttl", None)
compare(tree, over, "imported over itself")
result = ctl("import", "--keep", T / "mnt2", "/seen", data=archive, code=1)
kept = describe(T / "mnt2" / "seen")
same({p: w for p, w in over.items() if p != b"links"}.keys(), {p: w for p, w in kept.items() if p != b"links"}.keys())
assert b"File exists" in result.stderr, result.stderr

# A part of it
where = next(p for p in sorted(os.listdir(os.fsencode(MNT)))
             if stat.S_ISDIR(os.lstat(os.path.join(os.fsencode(MNT), p)).st_mode))
by_mount = export(MNT, os.path.join(os.fsencode(MNT), where))
same(by_mount, export(STORE, b"/" + where), "the two kinds of paths")
same(by_mount, export(os.path.join(os.fsencode(MNT), where)), "a directory of the mount")
ctl("export", STORE, "/absent", code=1)
ctl("export", STORE, "relative", code=1)
ctl("export", STORE, "/a/../b", code=1)
ctl("export", "-o", T / "x.tar", MNT)
same(archive, (T / "x.tar").read_bytes())
ctl("export", "-o", T / "x.tar", MNT, code=1)
ctl("export", T / "x.tar", code=1)
ctl("import", T / "absent.db", data=b"", code=1)
assert not (T / "absent.db").exists()
other.umount()

# GNU tar reads it, and writes what is imported. It warns of names that are not UTF-8 being marked
# so, and of old times.
if ROOT:
    ex = T / "extracted"
    ex.mkdir()
    subprocess.run([*TAR, "-xpf", T / "x.tar", "-C", ex], check=True, stderr=subprocess.DEVNULL)
    by_tar = describe(ex, sparse=False)
    wanted = describe(MNT, sparse=False)
    for each in (by_tar, wanted):  # names of attributes that it knows no way to write; old times
        for what in each.values():
            if isinstance(what, dict):
                what["xattrs"] = {n: v for n, v in what["xattrs"].items() if n.isascii() and "%FF" not in n}
    drop_old_times(wanted, by_tar)
    compare(wanted, by_tar, "extracted by tar")
    made = subprocess.run([*TAR, "--format=pax", "--sparse", "-C", MNT, "-cf", "-", "."],
                          capture_output=True).stdout
    OTHER.unlink()
    ctl("import", OTHER, data=made)
    other = Daemon(store=OTHER, mnt=T / "mnt2")
    wanted = describe(MNT, sparse=False)
    got = describe(T / "mnt2", sparse=False)
    for each in (got, wanted):
        for what in each.values():
            if isinstance(what, dict):
                what["xattrs"] = {n: v for n, v in what["xattrs"].items() if n.isascii() and "%FF" not in n}
    drop_old_times(wanted, got)
    compare(wanted, got, "made by tar")
    other.umount()

# Without rights to give files away, all is the importer's
OTHER.unlink()
ctl("import", "--no-same-owner", OTHER, data=archive)
db = sqlite3.connect(OTHER)
same([(os.geteuid(), os.getegid())], db.execute(
    "SELECT DISTINCT uid, gid FROM inode WHERE ino <> 1").fetchall())
db.close()

# One moment, while somebody writes
PLACES = 30
for i in range(PLACES):
    (MNT / f"counter{i:02d}").write_text("0" * 9)
(MNT / "counter-filler").write_bytes(os.urandom(8 << 20))


def count(stop):
    n = 0
    while not stop.exists():
        n += 1
        for i in range(PLACES):
            with open(MNT / f"counter{i:02d}", "r+") as f:
                f.write(f"{n:09d}")


import io
import tarfile
writer = child(count, T / "stop")
for _ in range(3):
    before = int((MNT / "counter00").read_text())
    poll("somebody writes", lambda: int((MNT / "counter00").read_text()) > before)
    with tarfile.open(fileobj=io.BytesIO(export(MNT))) as t:
        seen = [int(t.extractfile(f"counter{i:02d}").read()) for i in range(PLACES)]
    assert sorted(seen, reverse=True) == seen and seen[0] - seen[-1] <= 1, seen
(T / "stop").touch()
join(writer)

# A stream that is cut off, anywhere: what is there is whole, and it is said
whole = {p: w for p, w in describe(MNT).items() if isinstance(w, dict)}
archive = export(MNT)


def imported_is_whole(store):
    other = Daemon(store=store, mnt=T / "mnt2")
    for path, what in describe(T / "mnt2").items():
        if isinstance(what, dict) and "size" in what:
            same({k: whole[path][k] for k in ("size", "data", "mtime", "mode", "xattrs") if k in whole[path]},
                 {k: what[k] for k in ("size", "data", "mtime", "mode", "xattrs") if k in what}, path)
    other.umount()
    subprocess.run(["recordfsctl", "check", store], check=True, stdout=subprocess.DEVNULL)
    store.unlink()


OTHER.unlink()
for _ in range(4):
    cut = rng.randrange(len(archive) - 20000)
    ctl("import", "--same-owner", OTHER, data=archive[:cut], code=1)
    imported_is_whole(OTHER)
ctl("import", OTHER, data=b"no tar" * 1000, code=1)
same([], list(T.glob(f"{OTHER.name}*")), "what an import makes in vain")
ctl("import", T / "absent" / "s.db", data=archive, code=1)
# but not when somebody has filled it while the import waited
process = subprocess.Popen(["recordfsctl", "import", "-q", OTHER], stdin=subprocess.PIPE,
                           stderr=subprocess.DEVNULL)
poll("the store to be made", lambda: OTHER.exists() and OTHER.stat().st_size > 0)
other = Daemon(store=OTHER, mnt=T / "mnt2")
(T / "mnt2" / "kept").write_text("kept")
other.umount()
process.communicate(b"no tar" * 1000)
same(1, process.returncode)
other = Daemon(store=OTHER, mnt=T / "mnt2")
same("kept", (T / "mnt2" / "kept").read_text())
other.umount()
OTHER.unlink()

# Stopped by a signal, and killed, in the middle
for kill in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
    process = subprocess.Popen(["recordfsctl", "import", "-q", "--same-owner", OTHER],
                               stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(archive[:len(archive) * 2 // 3 - rng.randrange(100000)])
    process.stdin.flush()
    poll("it has begun", OTHER.exists)
    time.sleep(0.3)
    process.send_signal(kill)
    text = process.stderr.read()
    same(-9 if kill == signal.SIGKILL else 1, process.wait(), text)
    if kill != signal.SIGKILL:
        same(1, text.count(b"\n"), text)
        assert b"stopped" in text, text
    process.stdin.close()
    imported_is_whole(OTHER)
process = subprocess.Popen(["recordfsctl", "export", MNT], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE)
process.stdout.read(1000)
process.send_signal(signal.SIGINT)
process.stdout.close()
text = complaints(process.stderr.read())
same(1, process.wait(), text)
same(1, text.count(b"\n"), text)

# A disk that gets full
if ROOT:
    small = T / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=9M", "tmpfs", small], check=True)
    result = ctl("import", "--same-owner", small / "s.db", data=archive, code=1)
    assert b"No space left" in result.stderr, result.stderr
    shutil.copy(small / "s.db", OTHER)
    if (small / "s.db-wal").exists():
        shutil.copy(small / "s.db-wal", T / "other.db-wal")
    imported_is_whole(OTHER)
    subprocess.run(["umount", small], check=True)
done(daemon)

# A damaged block: the export ends there and says what to do, or leaves that record out
damaged = T / "damaged.db"
with_damage = Daemon(store=damaged, mnt=T / "damaged")
for name in "good1", "bad", "good2":
    (T / "damaged" / name).write_bytes(name.encode() * 20000)
os.link(T / "damaged/bad", T / "damaged/bad too")
with open(T / "damaged/good2", "r+b") as f:
    f.truncate(10 << 20)  # ends with a hole
with_damage.umount()
db = sqlite3.connect(damaged)
db.execute("UPDATE block SET data = zeroblob(length(data)) WHERE key = (SELECT max(key) FROM block"
           " WHERE key >> 30 = (SELECT ino FROM dentry WHERE name = 'bad'))")
db.commit()
db.close()
said = ctl("export", damaged, code=1).stderr
assert b"/bad: a block of it is damaged; write it anew or delete it" in said and b"--keep-going" in said, said
result = ctl("export", "--keep-going", damaged, code=1)
for said in (b"/bad: left out: a block of it is damaged", b"/bad too: left out", b"2 records were left out"):
    assert said in result.stderr, result.stderr
with tarfile.open(fileobj=io.BytesIO(result.stdout)) as t:
    same(["good1", "good2"], sorted(m.name for m in t if m.isfile()), "what is left")
    same(b"good2" * 20000, t.extractfile("good2").read(100000), "a file that can be read")
ctl("export", "-k", "-o", T / "kept.tar", damaged, code=1)
same(result.stdout, (T / "kept.tar").read_bytes(), "the file stays")
said = ctl("backup", damaged, T / "damaged-copy.db", code=1).stderr
assert b"faults and is not kept" in said and b"write anew or delete" in said, said
