"""Who may do what: setuid and setgid clearing, setgid directories, sticky bits, umask, owners,
ACLs. Needs root, to become somebody else."""
from lib import *

if os.getuid() != 0:
    sys.exit(1 if os.environ.get("CI") == "true" else 77)
USER, OTHER, GROUP = 1001, 1002, 2002
T.chmod(0o755)  # a stranger must be able to get there
daemon = Daemon("-o", "allow_other")
os.chdir(MNT)
os.chmod(".", 0o777)


def as_user(uid, function, *args, gid=None, groups=()):
    def run():
        os.setgroups(groups)
        os.setgid(uid if gid is None else gid)
        os.setuid(uid)
        function(*args)
    join(child(run))


def mode(name):
    return os.lstat(name).st_mode & 0o7777


def make(name, bits, uid=USER, gid=USER):
    with open(name, "w") as f:
        f.write("text")
    os.chown(name, uid, gid)
    os.chmod(name, bits)


def append(name):
    fd = os.open(name, os.O_WRONLY | os.O_APPEND)
    os.write(fd, b"x")
    os.close(fd)


# What a write, a truncation and a change of owner leave of setuid and setgid
for act in (append, lambda name: os.truncate(name, 1), lambda name: os.truncate(name, 100),
            lambda name: os.close(os.open(name, os.O_WRONLY | os.O_TRUNC))):
    make("f", 0o6777)
    as_user(OTHER, act, "f")
    same(0o777, mode("f"), "by another")
    make("f", 0o6777)
    as_user(USER, act, "f")
    same(0o777, mode("f"), "by the owner")
    make("f", 0o2767, gid=GROUP)  # setgid without group execution: mandatory locking's sign, stays
    as_user(USER, act, "f", groups=[GROUP])
    same(0o2767, mode("f"), "without group execution")
    make("f", 0o6777)
    act("f")
    same(0o6777, mode("f"), "by root")
make("f", 0o6777)
os.chown("f", OTHER, -1)
same(0o777, mode("f"), "chown")
os.mkdir("d", 0o777)
os.chmod("d", 0o6777)
os.chown("d", USER, USER)
same(0o6777, mode("d"), "chown of a directory")

# chmod by an owner outside the file's group loses setgid
make("f", 0o644, gid=GROUP)
as_user(USER, os.chmod, "f", 0o2755)
same(0o755, mode("f"))
as_user(USER, os.chmod, "f", 0o2755, groups=[GROUP])
same(0o2755, mode("f"))

# A setgid directory gives its group to what is made in it, and setgid to directories
os.mkdir("shared")
os.chown("shared", 0, GROUP)
os.chmod("shared", 0o2777)


def make_in_shared():
    os.umask(0)
    os.mkdir("shared/dir", 0o755)
    os.mkdir("shared/dir/deeper", 0o755)
    os.close(os.open("shared/file", os.O_CREAT | os.O_WRONLY, 0o664))
    os.symlink("x", "shared/link")
    os.mkfifo("shared/fifo", 0o600)
    os.close(os.open("shared/program", os.O_CREAT | os.O_WRONLY, 0o2775))


as_user(USER, make_in_shared)
for name in ("dir", "dir/deeper", "file", "link", "fifo", "program"):
    s = os.lstat(f"shared/{name}")
    same((USER, GROUP), (s.st_uid, s.st_gid), name)
same((0o2755, 0o2755, 0o664), tuple(mode(f"shared/{n}") for n in ("dir", "dir/deeper", "file")))
same(0o775, mode("shared/program"), "setgid for a group that the maker is not in")

# Sticky: only the owners of the file or of the directory may take it away
os.mkdir("sticky")
os.chmod("sticky", 0o1777)
as_user(USER, lambda: open("sticky/mine", "w").close())
as_user(OTHER, fails, (errno.EPERM, errno.EACCES), os.unlink, "sticky/mine")
as_user(OTHER, fails, (errno.EPERM, errno.EACCES), os.rename, "sticky/mine", "sticky/x")
as_user(USER, os.rename, "sticky/mine", "sticky/ours")
as_user(USER, os.unlink, "sticky/ours")

# Permissions hold: no reading, no writing, no searching, no chmod of what is another's
make("secret", 0o600)
for call in ((os.open, "secret", os.O_RDONLY), (os.open, "secret", os.O_WRONLY)):
    as_user(OTHER, fails, errno.EACCES, *call)
as_user(OTHER, fails, errno.EPERM, os.chmod, "secret", 0o777)
as_user(OTHER, fails, errno.EPERM, os.chown, "secret", OTHER, -1)
as_user(USER, fails, errno.EPERM, os.chown, "secret", OTHER, -1)
as_user(OTHER, fails, errno.EPERM, os.utime, "secret", (1, 1))
os.mkdir("closed", 0o700)
as_user(OTHER, fails, errno.EACCES, os.listdir, "closed")
as_user(OTHER, fails, errno.EACCES, os.mkdir, "closed/x")
as_user(USER, os.chmod, "secret", 0o604)
as_user(OTHER, lambda: os.close(os.open("secret", os.O_RDONLY)))

# umask, on every way of making something
os.umask(0o027)
os.close(os.open("u1", os.O_CREAT | os.O_WRONLY, 0o777))
os.mkdir("u2", 0o777)
os.mkfifo("u3", 0o666)
os.mknod("u4", stat.S_IFREG | 0o666)
same([0o750, 0o750, 0o640, 0o640], [mode(n) for n in ("u1", "u2", "u3", "u4")])

# An ACL opens a file to one user
os.umask(0o022)
make("acl", 0o600)
subprocess.run(["setfacl", "-m", f"u:{OTHER}:r", "acl"], check=True)
as_user(OTHER, lambda: os.close(os.open("acl", os.O_RDONLY)))
as_user(OTHER, fails, errno.EACCES, os.open, "acl", os.O_WRONLY)
as_user(USER + 5, fails, errno.EACCES, os.open, "acl", os.O_RDONLY)

wanted = {n: (mode(n), os.lstat(n).st_uid, os.lstat(n).st_gid) for n in os.listdir(".")}
os.chdir("/")
daemon.umount()
daemon = Daemon("-o", "allow_other")
os.chdir(MNT)
same(wanted, {n: (mode(n), os.lstat(n).st_uid, os.lstat(n).st_gid) for n in os.listdir(".")})
os.chdir("/")
done(daemon)
