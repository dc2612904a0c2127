"""A file that another one made while the kernel remembered that there is none: open with O_CREAT
finds it, and the permissions of what it finds count."""
import traceback  # noqa: F401, nobody cannot load it later

from lib import *

if os.getuid() != 0:
    sys.exit(77)
SECOND = T / "second"
SECOND.mkdir()
for path in (T, *T.parents):
    os.chmod(path, os.stat(path).st_mode | 0o111)
first = Daemon("-o", "allow_other,watch=0")
second = Daemon("-o", "allow_other,watch=0", mnt=SECOND)
os.chmod(MNT, 0o777)


def missing(name):
    assert not (MNT / name).exists()


def as_nobody():
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    fails(errno.EACCES, os.open, MNT / "secret", os.O_RDONLY | os.O_CREAT)
    fails(errno.EACCES, os.open, MNT / "target", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)


for name in ("secret", "target", "open", "dir"):
    missing(name)
for name in ("secret", "target", "open"):
    (SECOND / name).write_text(name)
    os.chmod(SECOND / name, 0o600)
(SECOND / "dir").mkdir()
join(child(as_nobody))
same("target", (SECOND / "target").read_text(), "it was not truncated")

# Who may, gets what is there
fd = os.open(MNT / "open", os.O_RDWR | os.O_CREAT)
same(b"open", os.read(fd, 100))
os.close(fd)
fails(errno.EISDIR, os.open, MNT / "dir", os.O_RDWR | os.O_CREAT)
second.umount()
done(first)
