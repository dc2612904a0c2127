"""What a service manager and a log get to hear: readiness when the mount works and the end of it, by
the protocol of sd_notify(3); lines with a priority, on standard error if that is the journal, else by
syslog(3) from the background; on a bare standard error only what matters.

In a mount namespace of its own, for a /dev/log of its own."""
import socket
import threading

from lib import *

if os.getuid() != 0:
    sys.exit(77 if os.environ.get("CI") != "true" else 1)
if sys.argv[1:] != ["inside"]:
    apart = str(pathlib.Path(__file__).with_name("apart"))
    os.execv(apart, [apart, "--", sys.executable, __file__, "inside"])


def datagrams(address):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(address)
    s.settimeout(60)
    return s


def start(stderr, *options, **environ):
    return subprocess.Popen(["recordfs", *options, STORE, MNT], stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=stderr,
                            env=dict(os.environ, **environ))


def overwrite():
    with open(MNT / "f", "r+b", buffering=0) as f:
        f.write(b"after")


def umount():
    poll("unmounting", lambda: subprocess.run(["fusermount3", "-u", MNT]).returncode == 0)


# Readiness, by a path and by an abstract address
for address in (str(T / "notify"), f"\0{T}/notify"):
    notify = datagrams(address)
    with open(T / "daemon.log", "ab") as log:
        daemon = start(log, "-f", NOTIFY_SOCKET=address.replace("\0", "@"))
    said = notify.recv(65536).decode().splitlines()
    assert is_mounted(MNT), "said to be ready, and not mounted"
    (MNT / "f").write_text("works")
    same(["READY=1", f"MAINPID={daemon.pid}", f"STATUS={STORE} is mounted on {MNT}"], said)
    umount()
    said = notify.recv(65536).decode().splitlines()
    same(["STOPPING=1", "STATUS=Closing the store"], said)
    same(0, daemon.wait(100))
    same("", (T / "daemon.log").read_text(), "on a bare standard error")

# A mount that does not come about is not said to be there; a socket that is not there is no harm.
with open(T / "refused.log", "ab") as log:
    daemon = start(log, "-f", "-o", "fault=open:EIO", NOTIFY_SOCKET=address.replace("\0", "@"))
    same(1, daemon.wait(100))
    notify.settimeout(0)
    fails(errno.EAGAIN, notify.recv, 65536)
    daemon = start(log, "-f", NOTIFY_SOCKET=str(T / "absent"))
    poll("the mount", lambda: is_mounted(MNT))
    umount()
    same(0, daemon.wait(100))
same(2, (T / "refused.log").read_text().count("cannot tell the service manager"))

# In the background it is not the service that was started.
notify = datagrams(str(T / "notify2"))
same(0, start(None, NOTIFY_SOCKET=str(T / "notify2")).wait(100))
umount()
notify.settimeout(0)
fails(errno.EAGAIN, notify.recv, 65536)

# The journal at the other end of standard error
ours, theirs = socket.socketpair()
of = os.fstat(theirs.fileno())
faults = Faults()
daemon = start(theirs, "-f", "-o", faults.spec("write:EIO"),
               JOURNAL_STREAM=f"{of.st_dev}:{of.st_ino}")
theirs.close()
poll("the mount", lambda: is_mounted(MNT))
(MNT / "f").write_text("before")
with faults:
    fails(errno.EIO, overwrite)
umount()
same(0, daemon.wait(100))
lines = ours.makefile().read().splitlines()
print(*lines, sep="\n")
same([], [line for line in lines if line[:1] != "<" or line[2:3] != ">"])
same("<4>FAULTS ARE INJECTED", lines[0][:22])
same(f"<6>{STORE} is mounted on {MNT}", lines[1])
same(True, any(line.startswith("<3>write of '/f' at offset 0 failed: ") for line in lines))
same(f"<6>{STORE} is not mounted on {MNT} any more", lines[-1])

# Not the journal: what systemd has set is inherited, standard error is another one.
with open(T / "daemon.log", "ab") as log:
    daemon = start(log, "-f", JOURNAL_STREAM=f"{of.st_dev}:{of.st_ino}")
    poll("the mount", lambda: is_mounted(MNT))
    daemon.send_signal(signal.SIGTERM)
    same(0, daemon.wait(100))
same("recordfs: unmounting: Terminated\n", (T / "daemon.log").read_text())

# syslog(3): facility daemon (3 << 3), one line each for the mount, a failure, the end
log = datagrams(str(T / "log"))
pathlib.Path(T / "dev").mkdir()
subprocess.run(["mount", "--bind", "/dev", T / "dev"], check=True)
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/dev"], check=True)
for name in ("fuse", "null", "urandom", "shm"):
    (pathlib.Path("/dev") / name).symlink_to(T / "dev" / name)
pathlib.Path("/dev/log").symlink_to(T / "log")
lines = []


def listen():
    while not lines or "not mounted" not in lines[-1]:
        lines.append(log.recv(65536).decode())


# Somebody has to read: syslog(3) waits when the socket is full.
listener = threading.Thread(target=listen)
listener.start()
same(0, start(None, "-o", faults.spec("write:EIO")).wait(100))
with faults:
    for _ in range(30):
        fails(errno.EIO, overwrite)
umount()
listener.join()
print(*lines, sep="\n")
same([], [line for line in lines if " recordfs[" not in line])
levels = [int(line[1:line.index(">")]) - 24 for line in lines]
same([4, 6, 3], levels[:3])
same(6, levels[-1])
assert len(lines) < 30, "each failure of many is logged"
subprocess.run(["umount", "/dev"], check=True)
