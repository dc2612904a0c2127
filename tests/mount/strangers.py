"""Who is kept out: other users without allow_other, and root; strangers who ask the control
interface; setuid programs; and what others put beside a store or in the way to it. Needs root, to
become somebody else."""
from lib import *

import contextlib
import pwd
import shutil

if os.getuid() != 0:
    sys.exit(1 if os.environ.get("CI") == "true" else 77)
USER, OTHER = pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("daemon").pw_uid  # fusermount3 wants names
T.chmod(0o755)
bin = T / "bin"  # a stranger may not get to those of the build
bin.mkdir()
for program in ("recordfs", "recordfsctl"):
    shutil.copy(shutil.which(program), bin / program)
os.environ["PATH"] = f"{bin}:{os.environ['PATH']}"


def as_user(uid, function, *args):
    def run():
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
        function(*args)
    join(child(run))


def command(*args, uid=0, status=0, says=""):
    result = subprocess.run(args, user=uid, group=uid, extra_groups=[], text=True, timeout=100,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            stdin=subprocess.DEVNULL)
    same(status, result.returncode, f"{args}: {result.stderr}")
    if status:
        same(1, result.stderr.count("\n"), result.stderr)
    assert says in result.stderr, result.stderr
    return result.stdout


def kept_out():
    fails(errno.EACCES, os.stat, MNT / "open")
    fails(errno.EACCES, os.listdir, MNT)
    fails(errno.EACCES, os.open, MNT / "open", os.O_RDONLY)
    fails(errno.EACCES, os.open, MNT / "new", os.O_CREAT | os.O_WRONLY)
    same((0, 0), os.statvfs(MNT)[2:4], "statfs says nothing to others")


def fill():
    os.chmod(MNT, 0o777)
    (MNT / "open").write_bytes(b"for all")
    (MNT / "open").chmod(0o666)


# Modes do not matter without allow_other
daemon = Daemon()
fill()
as_user(USER, kept_out)
command("recordfsctl", "stats", MNT, uid=USER, status=1)
daemon.umount()

# With it, modes rule; the control interface is still for root, whose daemon it is
daemon = Daemon("-o", "allow_other")
as_user(USER, (MNT / "open").read_bytes)
(MNT / "secret").write_bytes(b"x")
(MNT / "secret").chmod(0o600)
as_user(USER, fails, errno.EACCES, os.open, MNT / "secret", os.O_RDONLY)
for args in (("stats",), ("stats", "--json"), ("info",)):
    command("recordfsctl", *args, MNT / "open", uid=USER, status=1, says="only root and the user")
    command("recordfsctl", *args, MNT / "open")

# A program that was made setuid gives nobody its owner's rights, nor do its capabilities
[options] = [line.split()[5] for line in open("/proc/self/mountinfo")
             if line.split()[4] == str(MNT)]
assert {"nosuid", "nodev"} <= set(options.split(",")), options
shutil.copy("/usr/bin/id", MNT / "id")
(MNT / "id").chmod(0o4755)
same(str(USER), command(MNT / "id", "-u", uid=USER).strip())
CAPS = b"\x01\x00\x00\x02" + b"\xff" * 8 + bytes(8)
os.setxattr(MNT / "open", "security.capability", CAPS)
same(CAPS, os.getxattr(MNT / "open", "security.capability"))
as_user(USER, fails, errno.EPERM, os.setxattr, MNT / "open", "security.capability", CAPS)
as_user(USER, fails, errno.EPERM, os.setxattr, MNT / "open", "trusted.x", b"y")


def write():
    fd = os.open(MNT / "open", os.O_WRONLY)
    os.write(fd, b"changed")
    os.close(fd)


as_user(USER, write)
fails(errno.ENODATA, os.getxattr, MNT / "open", "security.capability")
daemon.umount()


# An ordinary user's mount keeps root out as well, unless it is told otherwise
def user_mounts():
    """/dev/fuse may be closed to users: they get one of their own, in a namespace of mounts."""
    CLONE_NEWNS, MS_REC, MS_PRIVATE, MS_BIND = 0x20000, 0x4000, 0x40000, 0x1000
    check_call(libc.unshare(CLONE_NEWNS))
    check_call(libc.mount(None, b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None))
    device = T / "fuse"
    os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(10, 229))
    device.chmod(0o666)
    try:
        os.close(os.open(device, os.O_RDWR))
    except OSError:
        return  # no device nodes here
    check_call(libc.mount(bytes(device), b"/dev/fuse", None, ctypes.c_ulong(MS_BIND), None))
    home = T / "home"
    home.mkdir()
    os.chown(home, USER, USER)
    mnt, store = home / "mnt", home / "s.db"
    as_user(USER, mnt.mkdir)
    for options in ((), ("-o", "sandbox=off")):
        command("recordfs", *options, store, mnt, uid=USER)
        as_user(USER, lambda: (mnt / "f").write_bytes(b"mine"))
        fails(errno.EACCES, os.stat, mnt / "f")
        as_user(OTHER, fails, errno.EACCES, os.stat, mnt / "f")
        command("recordfsctl", "stats", mnt, uid=USER)
        same({0o600}, {p.stat().st_mode & 0o777 for p in home.glob("s.db*")})
        same({USER}, {p.stat().st_uid for p in home.glob("s.db*")})
        for signum in (signal.SIGTERM, None):
            pids = daemons_of(store)
            if signum:
                for pid in pids:  # its helper may be gone with it
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signum)
            else:
                command("fusermount3", "-u", mnt, uid=USER)
            poll("the daemon's end", lambda: not any(map(is_there, pids)))
            same(False, is_mounted(mnt))
            if signum:
                command("recordfs", *options, store, mnt, uid=USER)


def is_there(pid):
    return os.path.exists(f"/proc/{pid}/fd")


def daemons_of(store):
    found = []
    for entry in sorted(filter(str.isdigit, os.listdir("/proc")), key=int):
        try:
            args = open(f"/proc/{entry}/cmdline", "rb").read().split(b"\0")
        except OSError:
            continue
        if bytes(store) in args and os.path.basename(args[0]) == b"recordfs":
            found.append(int(entry))
    return found


join(child(user_mounts))

# A new store is its owner's alone whatever the umask, and so is what lies beside it; another mode
# that it was given stays, and that of an empty file to be made a store
os.umask(0)


def modes():
    return {p.name[len(STORE.name):]: p.stat().st_mode & 0o777 for p in T.glob("store.db*")}


STORE.unlink()
for mode in (0o600, 0o640):
    daemon = Daemon()
    (MNT / "f").write_bytes(b"x")
    same({"": mode, "-wal": mode, "-shm": mode}, modes())
    daemon.umount()
    STORE.chmod(0o640)
STORE.unlink()
STORE.touch()
os.chown(STORE, USER, USER)
STORE.chmod(0o664)
daemon = Daemon()
same({"": 0o664, "-wal": 0o664, "-shm": 0o664}, modes())
same({USER}, {p.stat().st_uid for p in T.glob("store.db*")})
daemon.umount()
os.umask(0o022)

# Where anybody may put files: what others have put beside a store, and links in the way to it
shared = T / "shared"
shared.mkdir()
shared.chmod(0o1777)
store = shared / "s.db"
private = T / "private.db"
shutil.copy(STORE, private)
shutil.copy(STORE, T / "theirs.db")
os.chown(private, 0, 0)
(T / "target").write_bytes(b"precious")


def refused(path, says, mnt=MNT):
    before = {p: p.read_bytes() for p in (*shared.glob("*"), private, T / "target") if p.is_file()}
    command("recordfs", path, mnt, status=1, says=says)
    same(before, {p: p.read_bytes() for p in before}, "what was refused is untouched")


def plant(name, make):
    as_user(USER, make, shared / name)


def trusted(path):
    command("recordfs", path, MNT)
    pids = daemons_of(path)
    command("fusermount3", "-u", MNT)
    poll("the daemon's end", lambda: not any(map(is_there, pids)))


for suffix in ("-wal", "-shm", "-journal"):
    for make in (lambda p: p.write_bytes(bytes(100)), lambda p: p.symlink_to(T / "target"),
                 lambda p: p.symlink_to(T / "absent")):
        for exists in (False, True):
            if exists:
                shutil.copy(private, store)
            plant(f"s.db{suffix}", make)
            refused(store, f"s.db{suffix}' is another user's")
            assert exists or not store.exists()
            (shared / f"s.db{suffix}").unlink()
            store.unlink(missing_ok=True)
os.link(T / "target", shared / "s.db-wal")  # as a stranger may where links are not protected
refused(store, "another user's, or no plain file")
(shared / "s.db-wal").unlink()
plant("s.db", lambda p: p.symlink_to(private))
refused(store, f"symbolic link '{store}' is another user's")
store.unlink()
plant("s.db", lambda p: shutil.copy(T / "theirs.db", p))
refused(store, "another user's")
store.unlink()
plant("way", lambda p: p.symlink_to(T))
refused(shared / "way" / "private.db", "symbolic link")
refused(shared / "way" / ".." / "shared" / "way" / "absent.db", "symbolic link")
(T / "detour").symlink_to(shared / "way" / "private.db")
refused(T / "detour", "symbolic link")
refused(private, "mountpoint", shared / "way" / "mnt")
# Our own links, and those of the directory's owner
(shared / "own").symlink_to(T)
trusted(shared / "own" / "private.db")
os.chown(shared, OTHER, OTHER)
as_user(OTHER, (shared / "owners").symlink_to, T)
trusted(shared / "owners" / "private.db")
trusted(store)
done()
