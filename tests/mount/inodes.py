"""Inode numbers stay for life, over renames, remounts and crashes, and are never given again;
hard links are one file."""
from lib import *

daemon = Daemon()
os.chdir(MNT)


def numbers():
    return {name: os.lstat(name).st_ino for name in os.listdir(".")}


pathlib.Path("f").write_text("f")
os.mkdir("d")
os.symlink("f", "s")
os.mkfifo("p")
before = numbers()
same(4, len(set(before.values())))
same(before, {e.name: e.inode() for e in os.scandir(".")})
os.rename("f", "d/f")
same(before["f"], os.stat("d/f").st_ino)
os.rename("d/f", "f")
os.chmod("f", 0o600)
pathlib.Path("f").write_text("other")
same(before, numbers())

# Hard links
for i in range(100):
    os.link("f", f"d/l{i}")
same((101, 101), (os.stat("f").st_nlink, os.stat("d/l50").st_nlink))
same({before["f"]}, {os.stat(f"d/l{i}").st_ino for i in range(100)})
pathlib.Path("d/l7").write_text("through a link")
same("through a link", pathlib.Path("f").read_text())
os.unlink("f")
same("through a link", pathlib.Path("d/l99").read_text())
os.link("d/l0", "f")
os.link("s", "s2", follow_symlinks=False)
same(2, os.lstat("s").st_nlink)
os.unlink("s2")
fails(errno.EPERM, os.link, "d", "d2")
fails(errno.EEXIST, os.link, "f", "s")
same(before, numbers())

# Links of directories are counted by their subdirectories
same(2, os.stat("d").st_nlink)
os.mkdir("d/sub")
same(3, os.stat("d").st_nlink)
os.rmdir("d/sub")
same(2, os.stat("d").st_nlink)

# A number that was used does not come again
gone = set()
for i in range(50):
    pathlib.Path("x").touch()
    ino = os.stat("x").st_ino
    assert ino not in gone and ino not in before.values(), ino
    gone.add(ino)
    os.unlink("x")
os.chdir("/")
daemon.umount()
daemon = Daemon()
os.chdir(MNT)
same(before, numbers())
same(101, os.stat("f").st_nlink)
pathlib.Path("x").touch()
assert os.stat("x").st_ino not in gone
os.unlink("x")
for i in range(100):
    os.unlink(f"d/l{i}")
same(1, os.stat("f").st_nlink)
os.chdir("/")
daemon.crash()
daemon.clear()
daemon = Daemon()
os.chdir(MNT)
same(before, numbers())
same(1, os.stat("f").st_nlink)
os.chdir("/")
done(daemon)
