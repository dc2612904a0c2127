"""O_APPEND from several processes of several mounts, and from an SQL client: whole records, none
lost, each writer's own in order; while somebody truncates the file again and again as well."""
from several import *

LINES = 3000 if LONG else 120
PER_MOUNT = 2


def line(who, i):
    """Mostly short, some of many blocks."""
    length = i * 37 % 5000 if i % 20 else 70000 + i
    return f"{who} {i} {'.' * length}\n".encode()


def writer(path, who):
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    for i in range(LINES):
        same(len(line(who, i)), os.write(fd, line(who, i)))
    os.close(fd)


def sql_writer(who):
    with Connection() as db:
        for i in range(LINES):
            db("UPDATE records SET content = CAST(content || ? AS BLOB) WHERE path = '/log'",
               line(who, i))


def verify(data, writers, first=True):
    """Whole lines, those of each writer one after the other up to its last one; from its first
    one on, or from any."""
    seen = {who: 0 for who in range(writers)} if first else {}
    for text in data.splitlines(keepends=True):
        who, i = map(int, text.split()[:2])
        same(seen.get(who, i), i, f"the next one of writer {who}")
        same(line(who, i), text, "a whole line")
        seen[who] = i + 1
    return seen


daemons = mount_all([], ["-o", "cache_ttl=0"], ["-o", "sync=disabled,watch=0,cache_ttl=0.3"])
logs = [daemon.mnt / "log" for daemon in daemons]
logs[0].touch()
poll("everybody knows of the file", lambda: all(log.exists() for log in logs))
children = [child(writer, logs[i % 3], i) for i in range(PER_MOUNT * len(logs))]
if has_view():
    children.append(child(sql_writer, len(children)))
with limit("the writers", 1000):
    join(*children)
data = stored("log")
same(dict.fromkeys(range(len(children)), LINES), verify(data, len(children)))
for log in logs:
    poll("everybody sees all of it", lambda: log.read_bytes() == data)

# Emptied again and again: what was appended since is whole, and begins at the beginning
stop, ring = os.pipe()


def truncater(paths):
    os.close(ring)
    fds = [os.open(path, os.O_RDWR) for path in paths]
    rng = random.Random(SEED)
    os.set_blocking(stop, False)
    while True:
        try:
            os.read(stop, 1)
            return
        except BlockingIOError:
            rng.choice((lambda: os.ftruncate(rng.choice(fds), 0),
                        lambda: open(rng.choice(paths), "w").close()))()
            verify(stored("log"), 0, first=False)


emptier = child(truncater, logs)
with limit("writers and a truncater", 1000):
    children = [child(writer, logs[i % 3], i) for i in range(PER_MOUNT * len(logs))]
    join(*children)
    os.close(ring)
    join(emptier)
data = stored("log")
verify(data, 0, first=False)
for log in logs:
    poll("everybody sees what is left", lambda: log.read_bytes() == data)
umount_all(daemons)
