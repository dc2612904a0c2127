"""Random statements on the view `records` do what a model in Python says, are refused where it says
so and then change nothing, and leave a store that `recordfsctl check` finds no fault in."""
import random

from lib import *

STEPS = 4000 if LONG else 400
NAMES = [b"a", b"b", b"c", "\u00fc".encode(), "\uffff".encode(), "\U0001f600".encode(), b"\xff",
         b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"x\ny", b"q'\"", b"n" * 255]
SIZES = [0, 1, 4095, 4096, 4097, 65535, 65536, 65537, 200000]
TYPES = {"file": stat.S_IFREG, "directory": stat.S_IFDIR, "symlink": stat.S_IFLNK,
         "fifo": stat.S_IFIFO, "socket": stat.S_IFSOCK}
COLUMNS = "path, type, mode, uid, gid, size, nlink, target, content"


class Node:
    """An inode."""

    def __init__(self, kind, mode, uid, gid, target=None):
        self.kind, self.mode, self.uid, self.gid, self.target = kind, mode, uid, gid, target
        self.content = b"" if kind == "file" else None
        self.names = {} if kind == "directory" else None
        self.links = 1

    def kill(self):
        if self.kind != "directory":
            self.mode &= ~0o6000 if self.mode & 0o10 else ~0o4000


def text(value):
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


class Model:
    def __init__(self, uid, gid):
        self.root = Node("directory", 0o755, uid, gid)

    def rows(self):
        found = []

        def walk(node, path):
            for name, child in node.names.items():
                size = len(child.target or child.content or b"")
                links = child.links if child.names is None else 2 + sum(
                    c.kind == "directory" for c in child.names.values())
                found.append((text(path + b"/" + name), child.kind, TYPES[child.kind] | child.mode,
                              child.uid, child.gid, size, links,
                              child.target and text(child.target), child.content))
                if child.names is not None:
                    walk(child, path + b"/" + name)

        walk(self.root, b"")
        return sorted(found, key=lambda row: as_bytes(row[0]))

    def paths(self, kinds=TYPES):
        return [as_bytes(row[0]) for row in self.rows() if row[1] in kinds]

    def parent(self, path):
        """The directory that a path is in, and the name; the directory is None if there is none."""
        *above, name = path.split(b"/")[1:]
        node = self.root
        for part in above:
            node = node and (node.names or {}).get(part)
        return (node if node and node.names is not None else None), name

    def get(self, path):
        node, name = self.parent(path)
        return node.names[name]

    def insert(self, path, kind, mode, uid, gid, target, content):
        where, name = self.parent(path)
        if where is None or name in where.names or len(name) > 255:
            return False
        if (kind == "symlink") != (target is not None) or (kind != "file" and content is not None):
            return False
        if mode is None:
            mode = {"directory": 0o755, "symlink": 0o777}.get(kind, 0o644)
        node = Node(kind, mode, where.uid if uid is None else uid, where.gid if gid is None else gid,
                    target)
        if kind == "directory":
            node.mode |= where.mode & 0o2000
        if content is not None:
            node.content = content
        where.names[name] = node
        return True

    def rename(self, old, new):
        where, name = self.parent(old)
        to, new_name = self.parent(new)
        node = where.names[name]
        if old == new:
            return True
        if to is None or new_name in to.names or len(new_name) > 255:
            return False
        if new.startswith(old + b"/"):
            return False
        del where.names[name]
        to.names[new_name] = node
        return True

    def link(self, old, new):
        where, name = self.parent(new)
        node = self.get(old)
        if where is None or name in where.names or node.kind == "directory":
            return False
        where.names[name] = node
        node.links += 1
        return True

    def delete(self, path):
        where, name = self.parent(path)
        node = where.names[name]
        if node.names:
            return False
        del where.names[name]
        node.links -= 1
        return True


def as_bytes(value):
    return value.encode() if isinstance(value, str) else value


def listing(db):
    rows = db.execute(f"SELECT {COLUMNS} FROM records").fetchall()
    return sorted(rows, key=lambda row: as_bytes(row[0]))


def attempt(db, sql, arguments, allowed, what):
    try:
        db.execute(sql, arguments)
        refused = None
    except sqlite3.IntegrityError as error:
        refused = str(error)
        assert refused.startswith("recordfs: "), refused
    same(allowed, refused is None, f"{what}: {refused}")


def link(db, old, new):
    """What link(2) does, with plain SQL."""
    directory, name = os.path.split(new)
    (ino, mode) = db.execute("SELECT ino, mode FROM records WHERE path = ?", (text(old),)).fetchone()
    (parent,) = db.execute("SELECT ino FROM records WHERE path = ?",
                           (text(directory),)).fetchone() if directory != b"/" else (1,)
    db.execute("BEGIN")
    db.execute("INSERT INTO dentry(parent, name, id, ino, type) VALUES(?1, ?2, (SELECT max(version,"
               " coalesce((SELECT max(id) FROM dentry WHERE parent = ?1), 0) + 1) FROM inode"
               " WHERE ino = ?1), ?3, ?4)", (parent, text(name), ino, stat.S_IFMT(mode)))
    db.execute("UPDATE inode SET nlink = nlink + 1, version = version + 1 WHERE ino = ?", (ino,))
    db.execute("COMMIT")


def step(rng, model, db):
    how = rng.choice(["", "", "", " OR IGNORE", " OR REPLACE", " OR FAIL", " OR ABORT"])
    anywhere = [b""] + model.paths(["directory"])
    there = model.paths()
    new = rng.choice(anywhere + there[:1] + [b"/missing"]) + b"/" + rng.choice(NAMES)
    if rng.random() < 0.05:
        new += b"n" * 255
    old = rng.choice(there) if there else None
    op = rng.choice(["insert", "insert", "insert", "content", "rename", "rename", "attributes",
                     "delete", "delete", "link", "all"])
    if op == "insert" or old is None:
        kind = rng.choice(["file", "file", "file", "directory", "directory", "symlink", "fifo",
                           "socket"])
        content = rng.choice([None, rng.randbytes(rng.choice(SIZES))])
        target = rng.choice([b"t", "z\u00fcriel".encode(), b"\xfe"]) if kind == "symlink" else None
        if rng.random() < 0.05:
            target = b"wrong"
        mode = rng.choice([None, rng.randrange(0o10000)])
        uid, gid = rng.choice([None, 0, 5]), rng.choice([None, 0, 7])
        attempt(db, f"INSERT{how} INTO records(path, type, mode, uid, gid, target, content)"
                " VALUES(?, ?, ?, ?, ?, ?, ?)", (text(new), kind, mode, uid, gid, target, content),
                model.insert(new, kind, mode, uid, gid, target, content), f"insert {new} {kind}")
        return
    node = model.get(old)
    if op == "content":
        content = rng.choice([rng.randbytes(rng.choice(SIZES)), '{"a": [1, "\u00fc"]}', 42])
        allowed = node.kind == "file"
        attempt(db, f"UPDATE{how} records SET content = ? WHERE path = ?", (content, text(old)),
                allowed, f"content of {old}")
        if allowed:
            node.content = content if isinstance(content, bytes) else str(content).encode()
            node.kill()
    elif op == "rename":
        attempt(db, f"UPDATE{how} records SET path = ? WHERE path = ?", (text(new), text(old)),
                model.rename(old, new), f"rename {old} to {new}")
    elif op == "attributes":
        mode, uid = rng.randrange(0o10000), rng.choice([node.uid, 9])
        attempt(db, f"UPDATE{how} records SET uid = ? WHERE path = ?", (uid, text(old)), True,
                f"uid of {old}")
        if uid != node.uid:
            node.uid = uid
            node.kill()
        attempt(db, f"UPDATE{how} records SET mode = ? WHERE path = ?", (mode, text(old)), True,
                f"mode of {old}")
        node.mode = mode
    elif op == "all" and node.kind == "file":
        mode = node.mode ^ 0o7007
        if model.rename(old, new):
            attempt(db, f"UPDATE{how} records SET gid = 3, content = x'ff00', mode = ?, path = ?"
                    " WHERE path = ?", (mode, text(new), text(old)), True, f"all of {old}")
            node.gid, node.mode, node.content = 3, mode, b"\xff\0"
    elif op == "delete":
        attempt(db, "DELETE FROM records WHERE path = ?", (text(old),), model.delete(old),
                f"delete {old}")
    elif op == "link" and len(os.path.basename(new)) < 256 and model.link(old, new):
        link(db, old, new)


seed = int(os.environ.get("RFS_SEED") or random.SystemRandom().randrange(1 << 32))
print("seed", seed, flush=True)
rng = random.Random(seed)
Daemon().umount()
db = sqlite3.connect(STORE, isolation_level=None)
for pragma in ("recursive_triggers", "reverse_unordered_selects", "case_sensitive_like"):
    db.execute(f"PRAGMA {pragma} = {rng.choice(['ON', 'OFF'])}")
db.execute("PRAGMA trusted_schema = OFF")
model = Model(*db.execute("SELECT uid, gid FROM inode WHERE ino = 1").fetchone())
for number in range(STEPS):
    step(rng, model, db)
    same(model.rows(), listing(db), f"seed {seed}, after step {number}")
    if number % 20 == 0:
        subprocess.run(["recordfsctl", "check", STORE], check=True, stdout=subprocess.DEVNULL)
db.close()

# A mount shows the same.
daemon = Daemon()
for path, kind, mode, uid, gid, size, links, target, content in model.rows():
    found = os.fsencode(MNT) + as_bytes(path)
    status = os.lstat(found)
    same((mode, uid, gid, links), (status.st_mode, status.st_uid, status.st_gid, status.st_nlink),
         path)
    if kind == "file":
        same(content, pathlib.Path(os.fsdecode(found)).read_bytes(), path)
    elif kind == "symlink":
        same(as_bytes(target), os.readlink(found), path)
done(daemon)
