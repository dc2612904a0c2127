"""Every type of file can be made, used, and is the same after a remount."""
import socket

from lib import *

os.umask(0)
daemon = Daemon()
os.chdir(MNT)
with open("regular", "w") as f:
    f.write("text")
os.mkdir("directory", 0o751)
os.symlink("regular", "symlink")
os.symlink("x" * 4095, "longest-symlink")
fails(errno.ENAMETOOLONG, os.symlink, "x" * 4096, "too-long")
os.link("regular", "hardlink")
os.mkfifo("fifo", 0o640)
server = socket.socket(socket.AF_UNIX)
server.bind("socket")
server.listen()

wanted = {"regular": stat.S_IFREG | 0o666, "hardlink": stat.S_IFREG | 0o666,
          "directory": stat.S_IFDIR | 0o751, "symlink": stat.S_IFLNK | 0o777,
          "longest-symlink": stat.S_IFLNK | 0o777, "fifo": stat.S_IFIFO | 0o640,
          "socket": stat.S_IFSOCK | 0o777}
devices = {}
if os.getuid() == 0:
    for name, kind, major, minor in (("null", stat.S_IFCHR, 1, 3), ("loop", stat.S_IFBLK, 7, 0),
                                     ("odd", stat.S_IFCHR, 4095, 1048575)):
        os.mknod(name, kind | 0o600, os.makedev(major, minor))
        wanted[name] = kind | 0o600
        devices[name] = os.makedev(major, minor)


def verify():
    same(sorted(wanted), sorted(os.listdir(".")))
    for entry in os.scandir("."):
        same(wanted[entry.name], os.lstat(entry.name).st_mode, entry.name)
        same(stat.S_ISLNK(wanted[entry.name]), entry.is_symlink(), entry.name)
        same(stat.S_ISDIR(wanted[entry.name]), entry.is_dir(follow_symlinks=False), entry.name)
    for name, device in devices.items():
        same(device, os.lstat(name).st_rdev, name)
    same("regular", os.readlink("symlink"))
    same("x" * 4095, os.readlink("longest-symlink"))
    same(7, os.lstat("symlink").st_size)
    same(4095, os.lstat("longest-symlink").st_size)
    same("text", open("symlink").read())
    fails(errno.ENAMETOOLONG, open, "longest-symlink")


def talk(path):
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    client.sendall(b"through the socket")


def through_fifo():
    with open("fifo", "w") as f:
        f.write("through the fifo")


verify()
pid = child(talk, "socket")
same(b"through the socket", server.accept()[0].recv(100))
join(pid)
pid = child(through_fifo)
same("through the fifo", open("fifo").read())
join(pid)
server.close()
fails(errno.ENXIO, os.open, "fifo", os.O_WRONLY | os.O_NONBLOCK)
os.chdir("/")
daemon.umount()
daemon = Daemon()
os.chdir(MNT)
verify()
for name in wanted:
    (os.rmdir if name == "directory" else os.unlink)(name)
same([], os.listdir("."))
os.chdir("/")
done(daemon)
