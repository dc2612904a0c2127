"""Three mounts make, remove, link and rename in the same directories: of those who want the same
exactly one gets it, and the rest are told so; the counts are right at the end."""
from several import *

ROUNDS = 1000 if LONG else 60
PER_MOUNT = 2
WATCHED = ["-o", "sync=standard"]


def race(what, action, wins, codes):
    """All do it with the same names, in the same order. `wins` is how many of them may succeed;
    the others must fail with one of the codes."""
    def racer(top, who):
        won = []
        for i in range(ROUNDS):
            try:
                action(top, who, i)
                won.append(i)
            except OSError as error:
                assert error.errno in codes, f"{what}: {error!r}"
        os.write(out, b"".join(struct.pack("<II", i, who) for i in won).ljust(8 * ROUNDS, b"\xff"))

    got, out = os.pipe()
    children = [child(racer, tops[i % len(tops)], i) for i in range(PER_MOUNT * len(tops))]
    results = []
    with limit(what, 600), open(got, "rb") as results_in:
        for _ in children:
            results += struct.iter_unpack("<II", results_in.read(8 * ROUNDS))
        join(*children)
    os.close(out)
    winners = {i: who for i, who in results if i < ROUNDS}
    same([wins] * ROUNDS, [sum(i == n for i, _ in results) for n in range(ROUNDS)], what)
    return winners


def create(top, who, i):
    with open(top / f"file{i}", "xb", buffering=0) as f:
        f.write(b"%d" % who)


def see(directory, wanted):
    for top in tops:
        poll(f"{top} shows {directory}",
             lambda: sorted(os.listdir(top / directory)) == sorted(wanted))


daemons = mount_all(WATCHED, ["-o", "sync=standard,cache_ttl=0"],
                    ["-o", "sync=disabled,watch=0,cache_ttl=0.3"])
tops = [daemon.mnt for daemon in daemons]
base = inodes_in_store()
files = [f"file{i}" for i in range(ROUNDS)]

winners = race("create", create, 1, (errno.EEXIST,))
for i, who in winners.items():
    same(b"%d" % who, stored(f"file{i}"))
race("mkdir", lambda top, who, i: os.mkdir(top / f"dir{i}"), 1, (errno.EEXIST,))
race("symlink", lambda top, who, i: os.symlink(f"{who}", top / f"sym{i}"), 1, (errno.EEXIST,))
race("link", lambda top, who, i: os.link(top / "file0", top / f"link{i}"), 1, (errno.EEXIST,))
same([(ROUNDS + 1,)], sql("SELECT nlink FROM inode JOIN dentry USING(ino)"
                          " WHERE CAST(name AS TEXT) = 'link7'"))
see(".", files + [f"{kind}{i}" for kind in ("dir", "sym", "link") for i in range(ROUNDS)])
for top in tops:
    for name, i in [(f"file{i}", i) for i in range(ROUNDS)] + [("link7", 0)]:
        poll("the contents are known", lambda: (top / name).read_bytes() == b"%d" % winners[i])

GONE = (errno.ENOENT,)
race("unlink a symlink", lambda top, who, i: os.unlink(top / f"sym{i}"), 1, GONE)
race("unlink a link", lambda top, who, i: os.unlink(top / f"link{i}"), 1, GONE)
race("move away", lambda top, who, i: os.rename(top / f"dir{i}", top / f"moved{i}-{who}"), 1, GONE)
race("NOREPLACE", lambda top, who, i: renameat2(top / f"file{i}", top / f"new{i}", 1), 1,
     GONE + (errno.EEXIST,))
see(".", [f"new{i}" for i in range(ROUNDS)] + [n for n in os.listdir(tops[1]) if n[:5] == "moved"])


def replacer(top, who):
    """What is renamed onto another one replaces it, at each moment there is one."""
    for i in range(ROUNDS):
        (top / f"temp{who}").write_bytes(b"%d %d" % (who, i))
        os.rename(top / f"temp{who}", top / "target")
        try:
            os.link(top / "target", top / f"hard{who}")
            os.unlink(top / f"hard{who}")
        except OSError as error:  # what the name was found to be has been replaced meanwhile
            assert error.errno in (errno.ENOENT, errno.ESTALE), error
        os.mkdir(top / f"d{who}")
        os.rename(top / f"d{who}", top / "shared" / f"d{who}")
        (top / "shared" / f"d{who}" / "f").touch()
        os.unlink(top / "shared" / f"d{who}" / "f")
        os.rmdir(top / "shared" / f"d{who}")


(tops[1] / "target").touch()
(tops[1] / "shared").mkdir()
for top in tops:
    poll("the directory is known", (top / "shared").is_dir)
with limit("renaming onto the same name", 600):
    join(*[child(replacer, tops[i % 3], i) for i in range(PER_MOUNT * len(tops))])
see("shared", [])
who, i = map(int, stored("target").split())
same(ROUNDS - 1, i)
same([(2,)], sql("SELECT nlink FROM inode JOIN dentry USING(ino) WHERE name = ? OR name = ?",
                 b"shared", "shared"))
same([(1,)], sql("SELECT nlink FROM inode JOIN dentry USING(ino) WHERE name = ? OR name = ?",
                 b"target", "target"))
for name in os.listdir(tops[1]):
    (os.rmdir if name.startswith(("moved", "shared")) else os.unlink)(tops[1] / name)
see(".", [])
for top in tops:  # what is known of its names keeps a directory until it is looked up in vain
    poll("the directory is known to be gone", lambda: not (top / "shared").exists())
poll("what was deleted is gone", lambda: inodes_in_store() == base)
umount_all(daemons)
