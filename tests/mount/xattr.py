"""Extended attributes: set, replaced, listed, removed; on every type that may have them; limits."""
from lib import *

daemon = Daemon()
os.chdir(MNT)
pathlib.Path("f").touch()
os.mkdir("d")
for name in ("f", "d"):
    same([], os.listxattr(name))
    fails(errno.ENODATA, os.getxattr, name, "user.a")
    os.setxattr(name, "user.a", b"one")
    same(b"one", os.getxattr(name, "user.a"))
    fails(errno.EEXIST, os.setxattr, name, "user.a", b"x", os.XATTR_CREATE)
    os.setxattr(name, "user.a", b"two!", os.XATTR_REPLACE)
    fails(errno.ENODATA, os.setxattr, name, "user.b", b"x", os.XATTR_REPLACE)
    os.setxattr(name, "user.b", b"", os.XATTR_CREATE)
    os.setxattr(name, "user.bytes \xff\n", bytes(range(256)))
    same({"user.a", "user.b", "user.bytes \xff\n"}, set(os.listxattr(name)))
    same((b"two!", b""), (os.getxattr(name, "user.a"), os.getxattr(name, "user.b")))
    os.removexattr(name, "user.b")
    fails(errno.ENODATA, os.removexattr, name, "user.b")
    fails(errno.ENODATA, os.getxattr, name, "user.b")

# Values up to 64 KiB, names up to 255 bytes, many of them
os.setxattr("f", "user.large", b"v" * 65536)
same(65536, len(os.getxattr("f", "user.large")))
fails(errno.E2BIG, os.setxattr, "f", "user.larger", b"v" * 65537)
longest = "user." + "n" * 250
os.setxattr("d", longest, b"x")
same(b"x", os.getxattr("d", longest))
fails(errno.ERANGE, os.setxattr, "d", longest + "n", b"x")
pathlib.Path("many").touch()
for i in range(200):
    os.setxattr("many", f"user.{i}", str(i).encode())
same({f"user.{i}" for i in range(200)}, set(os.listxattr("many")))

# The size asked for is honoured: too small a buffer is ERANGE, size 0 asks for the size
buffer = ctypes.create_string_buffer(2)
same(4, libc.getxattr(b"f", b"user.a", None, 0))
same((-1, errno.ERANGE), (libc.getxattr(b"f", b"user.a", buffer, 2), ctypes.get_errno()))
same((-1, errno.ERANGE), (libc.listxattr(b"f", buffer, 2), ctypes.get_errno()))

# Not on symlinks and special files in user.; trusted. and security. by root everywhere
os.symlink("f", "s")
os.mkfifo("p")
for name in ("s", "p"):
    fails((errno.EPERM, errno.EOPNOTSUPP), os.setxattr, name, "user.a", b"x", follow_symlinks=False)
if os.getuid() == 0:
    for name in ("f", "d", "s", "p"):
        os.setxattr(name, "trusted.t", b"t", follow_symlinks=False)
        same(b"t", os.getxattr(name, "trusted.t", follow_symlinks=False))
    os.setxattr("f", "security.s", b"s")
fails(errno.EOPNOTSUPP, os.setxattr, "f", "nonsense.x", b"x")
fails(errno.ENODATA, os.getxattr, "f", "user.absent")

# A namespace alone is no name; an ACL that is not there may be removed
fails(errno.EINVAL, os.setxattr, "f", "user.", b"x")
fails(errno.EINVAL, os.getxattr, "f", "user.")
for name in ("f", "d"):
    os.removexattr(name, "system.posix_acl_access")
    os.removexattr(name, "system.posix_acl_default")

# The TTL attribute takes numbers only
os.setxattr("f", "user.recordfs.ttl", b"2.5")
same(b"2.5", os.getxattr("f", "user.recordfs.ttl"))
fails(errno.EINVAL, os.setxattr, "f", "user.recordfs.ttl", b"soon")

wanted = {name: {x: os.getxattr(name, x) for x in os.listxattr(name)} for name in ("f", "d", "many")}
os.chdir("/")
daemon.umount()
daemon = Daemon()
os.chdir(MNT)
for name, attributes in wanted.items():
    same(attributes, {x: os.getxattr(name, x) for x in os.listxattr(name)}, name)

# A hard link has the same ones, a copy its own
os.link("f", "hard")
same(b"two!", os.getxattr("hard", "user.a"))
os.unlink("f")
os.setxattr("hard", "user.a", b"three")
subprocess.run(["cp", "--preserve=xattr", "hard", "copy"], check=True)
os.unlink("hard")
same(b"three", os.getxattr("copy", "user.a"))
os.chdir("/")
done(daemon)
