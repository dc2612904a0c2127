"""Who may do what: setuid and setgid clearing, setgid directories, sticky bits, umask, owners,
ACLs. Needs root, to become somebody else."""
from lib import *

if os.getuid() != 0:
    sys.exit(1 if os.environ.get("CI") == "true" else 77)
USER, OTHER, GROUP, THIRD = 1001, 1002, 2002, 2003
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


def kept_mode(name):
    """For who asks for nothing else, as stat -c %a: what the kernel has, times may be old."""
    statx = ctypes.create_string_buffer(256)
    check_call(libc.statx(AT_FDCWD, os.fsencode(name), 0, 2, statx))  # STATX_MODE
    return int.from_bytes(statx[28:30], sys.byteorder) & 0o7777


def make(name, bits, uid=USER, gid=USER):
    with open(name, "w") as f:
        f.write("text")
    os.chown(name, uid, gid)
    os.chmod(name, bits)


def write(name, flags=0, data=b"x"):
    fd = os.open(name, os.O_WRONLY | flags)
    same(len(data), os.write(fd, data))
    os.close(fd)


def copy(name):
    with open("source", "rb") as source, open(name, "r+b") as f:
        same(4, os.copy_file_range(source.fileno(), f.fileno(), 4))


def allocate(flags):
    def run(name):
        fd = os.open(name, os.O_RDWR)
        fallocate(fd, flags, 0, 4096)
        os.close(fd)
    return run


def ftruncate(name):
    fd = os.open(name, os.O_WRONLY)
    os.ftruncate(fd, 4)  # to what it is
    os.close(fd)


def store(name):
    with open(name, "r+b") as f, mmap.mmap(f.fileno(), 4) as mapping:
        mapping[0:1] = b"x"
        mapping.flush()


def gives(uid=-1, gid=-1):
    return lambda name: os.chown(name, uid, gid)


# What is done to a file, and what that leaves of setuid and setgid. As Linux has it since 6.2:
# setgid of what the group may not execute is for the group to keep, any other goes.
KEEP, PUNCH, ZERO = 1, 3, 16  # FALLOC_FL_*
DATA = {
    "write": write, "append": lambda name: write(name, os.O_APPEND),
    "large write": lambda name: write(name, data=b"x" * 200000),
    "truncate": lambda name: os.truncate(name, 1), "extend": lambda name: os.truncate(name, 100),
    "ftruncate": ftruncate, "open": lambda name: os.close(os.open(name, os.O_WRONLY | os.O_TRUNC)),
    "allocate": allocate(0), "keep": allocate(KEEP), "punch": allocate(PUNCH),
    "zero": allocate(ZERO), "zero, keep": allocate(ZERO | KEEP), "copy": copy}
OWNER = {"chown to oneself": gives(uid=USER), "chgrp": gives(gid=THIRD)}
NEITHER = {"write nothing": lambda name: write(name, data=b""), "mapping": store,
           "setxattr": lambda name: os.setxattr(name, "user.x", b"x")}


def left(bits, what, uid, gid, groups):
    if what in NEITHER or (uid == 0 and what in DATA):
        return bits
    bits &= ~stat.S_ISUID
    if bits & stat.S_IXGRP or not (uid == 0 or GROUP in (gid, *groups)):
        bits &= ~stat.S_ISGID
    return bits


def act_on_all(files, acts, *who):
    for name, (what, bits) in files.items():
        acts[what](name)
        got = oct(kept_mode(name)), oct(mode(name))
        same((oct(left(bits, what, *who)),) * 2, got, f"{bits:o}: {what} by {who}")


make("source", 0o644)
os.mkdir("privileges")
os.chmod("privileges", 0o777)
for who in ((USER, USER, [THIRD]), (USER, USER, [7, GROUP, THIRD]), (OTHER, OTHER, []),
            (OTHER, OTHER, [GROUP, 7]), (OTHER, GROUP, []), (0, 0, [])):
    uid, gid, groups = who
    acts = DATA | NEITHER | ({} if uid == OTHER else OWNER)
    files = {}
    for bits in (0o6777, 0o6767, 0o2767, 0o2777, 0o4767):
        for what in acts:
            name = f"privileges/{len(files)}"
            files[name] = what, bits
            make(name, bits, gid=GROUP)
    as_user(uid, act_on_all, files, acts, *who, gid=gid, groups=groups)
    for name in files:
        os.unlink(name)

# Who is in the group takes nothing away from what the next one must lose
make("f", 0o2767, gid=GROUP)
fd = os.open("f", os.O_WRONLY)
as_user(USER, os.write, fd, b"x", groups=[GROUP])  # and nobody looks at the mode after that
as_user(OTHER, os.write, fd, b"x")
same(0o767, mode("f"))
os.chmod("f", 0o2767)  # while it is open
as_user(OTHER, fallocate, fd, PUNCH, 0, 1)
same(0o767, mode("f"))
os.close(fd)

make("f", 0o6777)
os.chown("f", OTHER, -1)
same(0o777, mode("f"), "chown")
os.mkdir("d", 0o777)
os.chmod("d", 0o6777)
os.chown("d", USER, USER)
same(0o6777, mode("d"), "chown of a directory")

# chmod by an owner outside the file's group loses setgid; so it does with an ACL
make("f", 0o644, gid=GROUP)
as_user(USER, os.chmod, "f", 0o2755)
same(0o755, mode("f"))
as_user(USER, os.chmod, "f", 0o2755, groups=[GROUP])
same(0o2755, mode("f"))
for groups, may, wanted in (([GROUP], "rwx", 0o2775), ([], "rx", 0o755)):
    as_user(USER, subprocess.check_call, ["setfacl", "-m", f"u:{OTHER}:{may}", "f"], groups=groups)
    same(wanted, mode("f"))

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
