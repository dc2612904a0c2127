"""An SQLite database in WAL mode inside the mount, written by several processes."""
import sqlite3

from lib import *

PATH = MNT / "inside.db"
ROUNDS = 40


def connect():
    db = sqlite3.connect(PATH, timeout=60, isolation_level=None)
    db.execute("PRAGMA synchronous=NORMAL")
    return db


def writer(who):
    db = connect()
    for i in range(ROUNDS):
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO t VALUES (?, ?, zeroblob(3000))", (who, i))
        db.execute("UPDATE total SET n = n + 1")
        db.execute("COMMIT")
        (n,) = db.execute("SELECT count(*) FROM t WHERE who = ?", (who,)).fetchone()
        same(i + 1, n, "own rows")
    db.close()


def verify():
    db = connect()
    same([("ok",)], db.execute("PRAGMA integrity_check").fetchall())
    same((3 * ROUNDS, 3 * ROUNDS),
         db.execute("SELECT (SELECT n FROM total), count(*) FROM t").fetchone())
    db.close()


daemon = Daemon()
db = connect()
same([("wal",)], db.execute("PRAGMA journal_mode=WAL").fetchall())
db.execute("CREATE TABLE t (who, i, data)")
db.execute("CREATE TABLE total (n)")
db.execute("INSERT INTO total VALUES (0)")
db.close()
join(*[child(writer, who) for who in range(3)])
verify()
daemon.umount()
daemon = Daemon()
verify()
db = connect()
same([("delete",)], db.execute("PRAGMA journal_mode=DELETE").fetchall())
db.execute("DELETE FROM t WHERE i % 2")
db.execute("VACUUM")
same([("ok",)], db.execute("PRAGMA integrity_check").fetchall())
db.close()
done(daemon)
