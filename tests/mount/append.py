"""O_APPEND from several processes and through several handles: every line whole, none lost, and
each process's own lines in order."""
from lib import *

WRITERS, LINES = 4, 150


def line(who, i):
    return f"{who} {i} {'.' * (i * 37 % 5000)}\n".encode()


def writer(who):
    fd = os.open(MNT / "log", os.O_WRONLY | os.O_APPEND)
    for i in range(LINES):
        same(len(line(who, i)), os.write(fd, line(who, i)))
    os.close(fd)


def verify():
    seen = [0] * WRITERS
    for text in open(MNT / "log", "rb"):
        who = int(text.split()[0])
        same(line(who, seen[who]), text)
        seen[who] += 1
    same([LINES] * WRITERS, seen)


daemon = Daemon()
open(MNT / "log", "x").close()
join(*[child(writer, who) for who in range(WRITERS)])
verify()
daemon.umount()
daemon = Daemon()
verify()
done(daemon)
