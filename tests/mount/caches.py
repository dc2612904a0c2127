#!/usr/bin/env python3
"""recordfsctl warm, drop and set: what they do to both caches, seen in the counters, by mincore(2) and
in time; what they refuse."""
from lib import *

MIB = 1 << 20


def ctl(*args, status=0, **kwargs):
    run = subprocess.run(["recordfsctl", *args], capture_output=True, text=True, **kwargs)
    same(status, run.returncode, f"{args}: {run.stdout}{run.stderr}")
    return run.stdout + run.stderr


libc.mmap.restype = ctypes.c_void_p


def pages(path):
    """How many pages of the file the kernel has."""
    fd = os.open(path, os.O_RDONLY)
    size = ctypes.c_size_t(os.fstat(fd).st_size)
    address = ctypes.c_void_p(libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, fd,
                                        ctypes.c_long(0)))
    os.close(fd)
    seen = (ctypes.c_ubyte * ((size.value + 4095) // 4096))()
    check_call(libc.mincore(address, size, seen))
    check_call(libc.munmap(address, size))
    return sum(page & 1 for page in seen)


def cached(path):
    """How many blocks the daemon has, as info says."""
    for line in ctl("info", path).splitlines():
        if line.startswith("  cached: "):
            return int(line.split()[1].strip(",").replace(",", ""))
    raise AssertionError("info says nothing of what is cached")


def fill():
    tree = {}
    (MNT / "a/b").mkdir(parents=True)
    for name, size in {"one": 5000, "a/two": 3 * MIB + 17, "a/b/three": 40000, "a/b/four": 1,
                       "empty": 0}.items():
        tree[name] = os.urandom(size)
        (MNT / name).write_bytes(tree[name])
    (MNT / "a/link").symlink_to("../one")
    with open(MNT / "sparse", "wb") as f:
        f.truncate(1 << 40)
        f.seek(1 << 30)
        f.write(b"x" * 9000)
    return tree


def read_all(tree):
    for name, data in tree.items():
        same(data, (MNT / name).read_bytes(), name)


def blocks(tree, name):
    return (len(tree[name]) + 4095) // 4096


daemon = Daemon("-o", "cache_size=16M")
tree = fill()

# drop: everything, both tiers
read_all(tree)
assert pages(MNT / "a/two") > 700
ctl("drop", MNT)
same(0, cached(MNT / "a/two"), "blocks after a drop")
same(0, pages(MNT / "a/two"), "pages after a drop")
same(0, daemon.stats()["cache_blocks"], "all blocks after a drop")
before = daemon.stats()
read_all(tree)
after = daemon.stats()
assert after["cache_misses"] - before["cache_misses"] >= blocks(tree, "a/two"), (before, after)
assert after["store_reads"] > before["store_reads"]

# drop: what is named, and nothing else; the paths may be written in each way
for paths, cwd, gone, there in [
        (["/a/two"], T, ["a/two"], ["one", "a/b/three"]),
        ([str(MNT / "a/b")], T, ["a/b/three", "a/b/four"], ["one", "a/two"]),
        (["b", "two"], MNT / "a", ["a/b/three", "a/two"], ["one"]),
        (["/"], T, ["one", "a/b/three"], [])]:
    def warm_and_drop():
        ctl("warm", MNT)
        ctl("drop", MNT, *paths, cwd=cwd)
        for name in gone:
            same(0, cached(MNT / name), f"drop {paths}: blocks of {name}")
            same(0, pages(MNT / name), f"drop {paths}: pages of {name}")
        for name in there:
            same(blocks(tree, name), cached(MNT / name), f"drop {paths}: blocks of {name}")
        return all(blocks(tree, name) == pages(MNT / name) for name in there)

    # The kernel gives up pages for other reasons as well
    poll(f"the pages that drop {paths} should leave", warm_and_drop)

# A mapping that is in use is filled anew from the store
fd = os.open(MNT / "one", os.O_RDONLY)
mapping = mmap.mmap(fd, 5000, mmap.MAP_SHARED, mmap.PROT_READ)
same(tree["one"], mapping[:], "a mapping")
before = daemon.stats()["store_reads"]
ctl("drop", MNT)
same(tree["one"], mapping[:], "a mapping after a drop")
assert daemon.stats()["store_reads"] > before
os.close(fd)

# A page that a mapping has changed reaches the store
fd = os.open(MNT / "one", os.O_RDWR)
mapping = mmap.mmap(fd, 5000)
mapping[0:4] = b"WXYZ"
tree["one"] = b"WXYZ" + tree["one"][4:]
ctl("drop", MNT)
same(tree["one"], stored("one"), "a dirty page after a drop")
mapping.close()
os.close(fd)

# warm: all is in the cache of the daemon, and no read needs the store
ctl("drop", MNT)
out = ctl("warm", MNT)
assert "6 files" in out, out
for name in tree:
    same(blocks(tree, name), cached(MNT / name) if tree[name] else 0, f"warm: blocks of {name}")


def is_in_the_kernel():
    ctl("warm", MNT)
    return all(blocks(tree, name) == pages(MNT / name) for name in tree if tree[name])


poll("the pages of what is warm", is_in_the_kernel)
before = daemon.stats()["store_reads"]
read_all(tree)
for name in tree:
    same(tree[name], read_direct(MNT / name), name)
same(before, daemon.stats()["store_reads"], "store_reads after warm")
with open(MNT / "sparse", "rb") as f:
    f.seek(1 << 30)
    same(b"x" * 9000, f.read(9000), "the data of a sparse file")
same(before, daemon.stats()["store_reads"], "store_reads after warm, sparse")

# also where the kernel has the pages and the daemon has not
ctl("drop", MNT)
read_all(tree)
ctl("set", MNT, "cache_size=0")
ctl("set", MNT, "cache_size=16M")
same(0, cached(MNT / "a/two"), "no cache, and then one")
same("", ctl("warm", "--quiet", MNT, "/a/two"), "warm --quiet")
same(blocks(tree, "a/two"), cached(MNT / "a/two"), "warm what the kernel has")

# a cache that is too small: it says so, keeps what it has warmed, and stays within its size
ctl("set", MNT, "cache_size=1M")
ctl("drop", MNT)
out = ctl("warm", MNT, "/a/two", status=1)
assert "cache is full" in out and "cache_size" in out, out
stats = daemon.stats()
assert stats["cache_bytes"] <= stats["cache_limit_bytes"] == MIB, stats
assert cached(MNT / "a/two") > 150
ctl("set", MNT, "cache_size=16M")

# a TTL of 0 is no failure, but nothing is warmed
os.setxattr(MNT / "one", "user.recordfs.ttl", b"0")
out = ctl("warm", MNT, "/one")
assert "1 not" in out, out
same(0, cached(MNT / "one"), "a TTL of 0")
os.removexattr(MNT / "one", "user.recordfs.ttl")

# what is not there, or is no mount
ctl("warm", MNT, "/nothing", status=1)
ctl("drop", MNT, "/nothing", status=1)
ctl("warm", T, status=1)
ctl("drop", status=2)
ctl("warm", MNT, "nothing/of/it", status=1)

# set: all or none
ctl("set", MNT, "cache_ttl=1", "cache_size=4M", "sync=standard", "on_cache_error=drop")
stats = daemon.stats()
same(4 * MIB, stats["cache_limit_bytes"], "cache_size")
text = ctl("stats", MNT)
for value in "sync=standard", "cache_ttl=1", "cache_size=4194304", "on_cache_error=drop":
    assert value in text, (value, text)
for bad in (["cache_size=2M", "cache_ttl=x"], ["cache_size=2M", "max_size=1G"], ["cache_size"],
            ["cache_size=2M", "nonsense=1"], ["sync=sometimes"], ["cache_size=2M,ro"], [""]):
    out = ctl("set", MNT, *bad, status=2)
    assert out.count("\n") == 1 and out.startswith("recordfsctl: "), out
    assert "nonsense" not in str(bad) or "cache_ttl, sync" in out, out
    assert ctl("stats", MNT).splitlines()[1:3] == text.splitlines()[1:3], bad
assert "has set cache_ttl=1" in (T / "daemon.log").read_text()

# a shorter TTL holds for what is cached, in both tiers
ctl("set", MNT, "cache_ttl=300")
ctl("warm", MNT)
ctl("set", MNT, "cache_ttl=0.5")
same(0, pages(MNT / "a/two"), "pages that were to last longer")
time.sleep(0.6)
same(0, cached(MNT / "a/two"), "blocks past the new TTL")
before = daemon.stats()["store_reads"]
read_all(tree)
assert daemon.stats()["store_reads"] > before
ctl("set", MNT, "cache_ttl=0")
for _ in range(2):
    before = daemon.stats()["store_reads"]
    same(tree["one"], (MNT / "one").read_bytes(), "with a TTL of 0")
    assert daemon.stats()["store_reads"] > before

# sync=always begins with a flush, and from then on each write is flushed
ctl("set", MNT, "cache_ttl=300", "sync=disabled")
(MNT / "one").write_bytes(b"not flushed")
before = daemon.stats()["store_flushes"]
ctl("set", MNT, "sync=always")
flushed = daemon.stats()["store_flushes"]
assert flushed > before, (before, flushed)
(MNT / "one").write_bytes(b"flushed")
assert daemon.stats()["store_flushes"] > flushed

# Only for who has mounted it
if os.getuid() == 0:
    daemon.umount()
    T.chmod(0o755)
    daemon = Daemon("-o", "allow_other")
    for command in ["drop"], ["warm"], ["set", "cache_size=1M"]:
        out = ctl(command[0], MNT, *command[1:], status=1, user=65534, group=65534)
        assert "only root" in out, out
done(daemon)
