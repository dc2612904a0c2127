"""kill -9 of one of three mounts that all write, again and again: the other two go on without an
error, a new one joins while they write, and everything that any of them acknowledged is there. What
it had under way when it died is there or not for good: nothing comes or goes after its death."""
# timeout: 900
import itertools
import threading

from several import *

ROUNDS = 60 if LONG else 6
CELLS = 600
# The one with a delay between the commit and the answer dies there rather often.
OPTIONS = [[], ["-o", "sync=standard,cache_ttl=0"],
           ["-o", "sync=disabled,watch=0,cache_ttl=0.3,fault=cache:delay=3"]]
LOST = (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO)


class Writer(threading.Thread):
    """Counts in its own cells of a file that is shared, appends lines to a shared log, and makes,
    renames and removes files of its own; knows what was acknowledged and what was under way."""

    def __init__(self, who):
        super().__init__(daemon=True)
        self.who, self.rng = who, random.Random(SEED * 100 + who)
        self.acknowledged = dict.fromkeys(range(who, CELLS, len(OPTIONS)), 0)
        self.pending = (None, None)
        self.lines, self.names = [], {}
        self.steps, self.doomed, self.error, self.stop = 0, False, None, False

    def again(self):
        """The same writer, as a new thread, for a mount that was started again."""
        new = Writer(self.who)
        new.acknowledged, new.lines, new.names = self.acknowledged, self.lines, self.names
        new.pending, new.steps, new.rng = self.pending, self.steps, self.rng
        return new

    def run(self):
        try:
            with open(tops[self.who] / "cells", "r+b", buffering=0) as cells, \
                    open(tops[self.who] / "log", "ab", buffering=0) as log:
                while not self.stop:
                    self.one_round(cells.fileno(), log)
        except OSError as error:
            if not self.doomed or error.errno not in LOST:
                self.error = error
        except BaseException as error:
            self.error = error

    def one_round(self, cells, log):
        number = self.rng.choice(list(self.acknowledged))
        count = self.acknowledged[number] + 1
        self.pending = (number, count)
        data = struct.pack("<II", number, count)
        same(8, os.pwrite(cells, data, 8 * number))
        self.acknowledged[number] = count
        same(data, os.pread(cells, 8, 8 * number), "what was just written")
        line = f"{self.who} {self.steps} {'.' * self.rng.randrange(6000)}\n".encode()
        self.lines.append([line, False])
        same(len(line), log.write(line))
        self.lines[-1][1] = True
        if self.steps % 4 == 0:
            name = f"{self.who}-{self.steps % 12}"
            self.names[name] = None  # nothing is promised while it is under way
            (tops[self.who] / f"new-{name}").write_bytes(line)
            os.rename(tops[self.who] / f"new-{name}", tops[self.who] / name)
            self.names[name] = line
        self.steps += 1

    def settle(self, cells, log):
        """Its mount is dead: what it had under way is as if acknowledged, or never was. Returns
        how much of it is there."""
        number, count = self.pending
        landed = 0
        if number is not None and self.acknowledged[number] != count:
            if struct.unpack_from("<II", cells, 8 * number) == (number, count):
                self.acknowledged[number] = count
                landed += 1
        if self.lines and not self.lines[-1][1]:
            line, self.lines[-1][1] = self.lines[-1][0], True
            if self.own(log)[-1:] == [line]:
                landed += 1
            else:
                self.lines.pop()
        return landed

    def own(self, log):
        return [line for line in log.splitlines(keepends=True)
                if line.startswith(b"%d " % self.who)]

    def judge(self, cells, log):
        for n, acknowledged in self.acknowledged.items():
            wanted = (n, acknowledged) if acknowledged else (0, 0)
            same(wanted, struct.unpack_from("<II", cells, 8 * n), f"writer {self.who}, cell {n}")
        found = self.own(log)
        for i, pair in enumerate(itertools.zip_longest([line for line, _ in self.lines], found)):
            same(*pair, f"writer {self.who}: its lines, from number {i}")
        for name, line in self.names.items():
            if line:
                same(line, stored(name), f"writer {self.who}: {name}")


def get_on(writers, steps):
    goals = {w: w.steps + steps for w in writers}
    poll("the writers get on",
         lambda: all(w.steps >= goal or not w.is_alive() for w, goal in goals.items()))
    for w in writers:
        if w.error:
            raise w.error


daemons = mount_all(*OPTIONS)
tops = [daemon.mnt for daemon in daemons]
(tops[0] / "cells").write_bytes(bytes(8 * CELLS))
(tops[0] / "log").touch()
for top in tops:
    poll("the files are known", lambda: (top / "log").exists() and (top / "cells").exists())
writers = [Writer(who) for who in range(len(tops))]
for writer in writers:
    writer.start()
rng, forced, landed = random.Random(SEED), 0, 0
for round_ in range(ROUNDS):
    get_on(writers, rng.randrange(1, 40))
    victim = round_ % len(tops)
    writers[victim].doomed = True
    forced += crash(daemons[victim])
    writers[victim].join(HANGS)
    assert not writers[victim].is_alive(), "the writer of the dead mount hangs"
    landed += writers[victim].settle(stored("cells"), stored("log"))
    others = [w for w in writers if w.who != victim]
    get_on(others, 10)
    daemons[victim].clear()
    daemons[victim] = Daemon(*OPTIONS[victim], mnt=tops[victim])
    get_on(others, 10)
    if round_ % 3 == 2:  # everybody rests, and everything is compared
        for w in others:
            w.stop = True
            w.join(HANGS)
        get_on(others, 0)
        cells, log = stored("cells"), stored("log")
        for w in writers:
            w.judge(cells, log)
        subprocess.run(["recordfsctl", "check", STORE], check=True, stdout=subprocess.DEVNULL)
        for top in tops:
            poll("everybody sees everything", lambda: (top / "cells").read_bytes() == cells
                 and (top / "log").read_bytes() == log)
        writers = [w if w.who == victim else w.again() for w in writers]
        for w in others:
            writers[w.who].start()
    writers[victim] = writers[victim].again()
    writers[victim].start()
for w in writers:
    w.stop = True
    w.join(HANGS)
get_on(writers, 0)
cells, log = stored("cells"), stored("log")
for w in writers:
    w.judge(cells, log)
print(f"{ROUNDS} rounds, {sum(w.steps for w in writers)} steps, {forced} ended by force,"
      f" {landed} writes without an answer are there", flush=True)
umount_all(daemons)
