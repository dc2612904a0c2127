"""Names are bytes: any but / and NUL, up to 255 of them, also when they are no valid UTF-8."""
from lib import *

daemon = Daemon()
root = os.fsencode(MNT)
names = [bytes([b]) for b in range(1, 256) if b not in b"/."]
names += [b"...", b".hidden", b" ", b"-rf", b"%s%n", b"'; DROP TABLE inode; --", b'"', b"a" * 255,
          b"\xff" * 255, "ä€😀".encode() * 28, b"\n" * 255, b"%", b"_", b"A", b"NULL", b"\xc3",
          b"name.", b"con", b"a\\b", b"*", b"?", "e\u0301".encode(), "\u00e9".encode()]
names = sorted(set(names))


def path(name):
    return os.path.join(root, name)


def verify():
    same(names, sorted(os.listdir(root)))
    for name in names:
        with open(path(name), "rb") as f:
            same(name, f.read())


for name in names:
    with open(path(name), "xb") as f:
        f.write(name)
verify()
fails(errno.ENAMETOOLONG, open, path(b"a" * 256), "wb")
fails(errno.ENAMETOOLONG, os.mkdir, path(b"a" * 256))
fails(errno.ENAMETOOLONG, os.stat, path(b"a" * 256))
fails(errno.ENAMETOOLONG, os.rename, path(b"a" * 255), path(b"b" * 256))
fails(errno.ENAMETOOLONG, os.symlink, "x", path(b"b" * 256))

# Deep: as many levels as a path may have, and past it by working directory
os.mkdir(path(b"deep"))
os.chdir(path(b"deep"))
for _ in range(300):
    os.mkdir(b"d" * 20)
    os.chdir(b"d" * 20)
pathlib.Path("bottom").write_text("deep")
os.chdir("/")
out = subprocess.check_output(["find", path(b"deep"), "-name", "bottom"])
same(1, len(out.splitlines()))
subprocess.run(["rm", "-rf", path(b"deep")], check=True)
daemon.umount()
daemon = Daemon()
verify()
for name in names:
    os.unlink(path(name))
same([], os.listdir(root))
done(daemon)
