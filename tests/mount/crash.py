"""F8: kill -9 under the load of four writers, again and again: ENOTCONN until remounted, nothing
acknowledged is lost, nothing is torn, `recordfsctl check` is clean.

Each block that is written says what it is (writer, number of the write, place), so what is found can be
judged by itself: every block must be of one write, not older than the last one acknowledged for
its place and not newer than the one that was under way."""
# timeout: 900
import random
import struct
import threading

from lib import *

ROUNDS = 50 if LONG else 10
WRITERS = 4
BLOCKS = 24
BLOCK = 4096
SEED = int(os.environ.get("RFS_SEED", time.time_ns() % 1000000))
print("seed", SEED, flush=True)


def content(writer, number, place, length):
    """`length` bytes that anybody can check: a head, and a pattern that follows from it."""
    head = struct.pack("<IIII", writer, number, place, length)
    return (head * (length // len(head) + 1))[:length]


class Writer(threading.Thread):
    """Overwrites blocks of its own file in place, appends to its own log, and makes and renames
    files; remembers what was acknowledged and what was under way."""
# timeout: 900

    def __init__(self, who, state):
        super().__init__()
        self.who, self.state = who, state
        self.rng = random.Random(SEED * 100 + who + state["number"])
        self.error = None

    def run(self):
        try:
            self.work()
        except OSError as error:
            if error.errno not in (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO):
                self.error = error
        except BaseException as error:
            self.error = error

    def work(self):
        (MNT / f"data{self.who}").touch()
        with open(MNT / f"data{self.who}", "r+b", buffering=0) as data, \
                open(MNT / f"log{self.who}", "ab", buffering=0) as log:
            while True:
                self.one_round(data.fileno(), log)

    def one_round(self, data, log):
        state = self.state
        state["number"] += 1
        number = state["number"]
        place = self.rng.randrange(BLOCKS)
        count = self.rng.choice((1, 1, 1, min(4, BLOCKS - place)))
        parts = [content(self.who, number, place + i, BLOCK) for i in range(count)]
        state["under_way"] = range(place, place + count)
        for i in state["under_way"]:
            state["pending"][i] = number
        same(count * BLOCK, os.pwrite(data, b"".join(parts), place * BLOCK))
        for i in state["under_way"]:
            state["blocks"][i] = number
        line = f"{self.who} {number} {'.' * self.rng.randrange(300)}\n".encode()
        state["lines_pending"] = line
        same(len(line), log.write(line))
        state["lines"].append(line)
        if number % 5 == 0:
            name = MNT / f"new{self.who}-{number}"
            state["named"] = None  # until it is in place, nothing is promised
            with open(name, "xb", buffering=0) as new:
                new.write(line)
            os.rename(name, MNT / f"last{self.who}")
            state["named"] = line


def verify(who, state):
    new = {place: state["pending"].get(place) for place in state["under_way"]}
    path = MNT / f"data{who}"
    data = path.read_bytes() if path.exists() else b""
    for place in range(BLOCKS):
        block = data[place * BLOCK:(place + 1) * BLOCK]
        acknowledged, pending = state["blocks"].get(place, 0), state["pending"].get(place, 0)
        if block.strip(b"\0") == b"":
            same(0, acknowledged, f"writer {who}, block {place}: lost")
            continue
        writer, number, where, _ = struct.unpack_from("<IIII", block)
        same(True, block == content(who, number, place, BLOCK), f"writer {who}, block {place}: torn")
        assert number in (acknowledged, pending), \
            f"writer {who}, block {place}: {number}, acknowledged {acknowledged}, under way {pending}"
        state["blocks"][place] = state["pending"][place] = number
    # One write(2) of several blocks is there as a whole or not at all
    found = {state["blocks"].get(place) == number for place, number in new.items()}
    assert len(found) < 2, f"writer {who}: only a part of the last write, {new}: {state['blocks']}"
    log = MNT / f"log{who}"
    wanted = b"".join(state["lines"])
    found = log.read_bytes() if log.exists() else b""
    if found == wanted + state["lines_pending"]:
        state["lines"].append(state["lines_pending"])
    else:
        same(True, found == wanted, f"writer {who}: the log has {len(found)} bytes of {len(wanted)}")
    state["lines_pending"] = b""
    if state["named"] is not None:
        last = (MNT / f"last{who}").read_bytes()
        same(state["named"], last, f"writer {who}: what was renamed into place")


states = [{"number": 0, "blocks": {}, "pending": {}, "lines": [], "lines_pending": b"", "named": None,
           "under_way": ()}
          for _ in range(WRITERS)]
rng = random.Random(SEED)
for round_ in range(ROUNDS):
    level = ("always", "standard", "disabled")[round_ % 3]
    daemon = Daemon("-o", f"sync={level}")
    for who in range(WRITERS):
        verify(who, states[who])
    start = sum(state["number"] for state in states)
    writers = [Writer(who, states[who]) for who in range(WRITERS)]
    for writer in writers:
        writer.start()
    target = start + rng.randrange(40, 300)
    poll("the writers get on",
         lambda: sum(state["number"] for state in states) >= target
         or not all(writer.is_alive() for writer in writers))
    daemon.crash()
    for writer in writers:
        writer.join(60)
        assert not writer.is_alive(), "a writer hangs after the daemon's death"
        if writer.error:
            raise writer.error
    fails(errno.ENOTCONN, os.listdir, MNT)
    fails(errno.ENOTCONN, os.stat, MNT / "data0")
    daemon.clear()
    check = subprocess.run(["recordfsctl", "check", STORE], capture_output=True, text=True)
    same(0, check.returncode, f"round {round_}: {check.stdout}{check.stderr}")
daemon = Daemon()
for who in range(WRITERS):
    verify(who, states[who])
print(f"{ROUNDS} rounds, {sum(s['number'] for s in states)} writes", flush=True)
done(daemon)
