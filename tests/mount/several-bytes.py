"""Three mounts change different bytes of the same blocks, all at once, and an SQL client with
them: no change is lost. Each cell of 8 bytes has one owner, who counts in it; they lie side by
side, some across the end of a block. What a mount has written it reads at once."""
from several import *

CELLS = 1024
AT = 3  # so that cells cross the ends of blocks
SIZE = AT + 8 * CELLS
WRITES = 50000 if LONG else 2000
PER_MOUNT = 2


def cell(number):
    return AT + 8 * number


def packed(owner, number, count):
    return struct.pack(">HHI", owner, number, count)


def draw(owner):
    """The cells that it writes, one after the other, each with its new count."""
    rng = random.Random(SEED * 100 + owner)
    counts = dict.fromkeys(range(owner, CELLS, OWNERS), 0)
    for _ in range(WRITES if owner < OWNERS - 1 else WRITES // 10):
        number = rng.choice(list(counts))
        counts[number] += 1
        yield number, counts[number], counts


def writer(mnt, owner, fresh):
    rng = random.Random(SEED * 1000 + owner)
    fd = os.open(mnt / "f", os.O_RDWR)
    handles = (fd, os.open(mnt / "f", os.O_RDONLY))
    newest = [0] * CELLS
    for i, (number, count, counts) in enumerate(draw(owner)):
        data = packed(owner, number, count)
        same(8, os.pwrite(fd, data, cell(number)))
        same(data, os.pread(rng.choice(handles), 8, cell(number)), "what was just written")
        if i % 20 == 0:
            look(os.pread(rng.choice(handles), SIZE, AT), counts, newest if fresh else [0] * CELLS)


def look(data, counts, newest):
    """Every cell is whole, our own are what we wrote, and those of others do not go back."""
    same(SIZE - AT, len(data))
    for number, (owner, place, count) in enumerate(struct.iter_unpack(">HHI", data)):
        if (owner, place, count) != (0, 0, 0):
            same((number % OWNERS, number), (owner, place), "a torn cell")
        same(counts.get(number, count), count, f"cell {number}, which is our own")
        assert count >= newest[number], f"cell {number}: {count} after {newest[number]}"
        newest[number] = count


def sql_writer(owner):
    """Takes the contents apart and puts them together again in one statement."""
    with Connection() as db:
        for number, count, _ in draw(owner):
            at = cell(number)
            db("UPDATE records SET content = CAST(substr(content, 1, ?) || ? || substr(content, ?)"
               " AS BLOB) WHERE path = '/f'", at, packed(owner, number, count), at + 9)


daemons = mount_all(["-o", "sync=standard"], ["-o", "sync=standard,cache_ttl=0"],
                    ["-o", "sync=standard,watch=0,cache_ttl=0"])
OWNERS = PER_MOUNT * len(daemons) + 1  # the last one is the SQL client
(daemons[0].mnt / "f").write_bytes(bytes(SIZE))
same(bytes(SIZE), (daemons[1].mnt / "f").read_bytes())
start = time.monotonic()
children = [child(writer, daemons[i % 3].mnt, i, i % 3 > 0) for i in range(OWNERS - 1)]
if has_view():
    children.append(child(sql_writer, OWNERS - 1))
with limit("the writers", 1000):
    join(*children)
print(f"{sum(len(list(draw(i))) for i in range(len(children)))} writes in "
      f"{time.monotonic() - start:.1f} s", flush=True)

wanted = bytearray(SIZE)
for owner in range(len(children)):
    for number, count, _ in draw(owner):
        wanted[cell(number):cell(number) + 8] = packed(owner, number, count)
same(True, bytes(wanted) == stored("f"), "the store")
for daemon in daemons:
    poll("everybody sees everything", lambda: (daemon.mnt / "f").read_bytes() == bytes(wanted))
umount_all(daemons)
