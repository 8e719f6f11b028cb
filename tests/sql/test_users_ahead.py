"""Long scans of philox users, which draw ahead (rule U4 of vt_users.c): the same users on any number of threads, several scans
at once, jumps, turns, interrupts, memory; no thread is left when a scan ends."""
import os
import sqlite3
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import memory

COUNT = 20000
db = connect()
db.execute(f"CREATE VIRTUAL TABLE crowd USING persona_users(count={COUNT}, first=5, drift=0.1, generator=philox, models=[a, b, c])")
db.execute("CREATE VIRTUAL TABLE endless USING persona_users(count=100000000, generator=philox, models=[a, b, c])")
TASKS = "/proc/self/task"
tasks = (lambda: len(os.listdir(TASKS))) if os.path.exists(TASKS) else lambda: 1


def alone(turn=1):
    """Every user from a scan too short to draw ahead."""
    out = []
    for first in range(5, COUNT + 5, 100):
        out += db.execute("SELECT user_id, weights FROM crowd WHERE turn = ? AND user_id BETWEEN ? AND ?", (turn, first, first + 99)).fetchall()
    return out


want = {turn: alone(turn) for turn in (1, 7)}
for threads in (1, 2, 5):
    db.execute("SELECT persona_config('threads', ?)", (threads,))
    ok(db.execute("SELECT user_id, weights FROM crowd").fetchall() == want[1], f"{threads} threads: the same users")
    got = db.execute("SELECT user_id, weights FROM crowd WHERE turn IN (1, 7) ORDER BY turn").fetchall()
    ok(got == want[1] + want[7], f"{threads} threads: two turns, one after the other")
    a, b = (db.execute("SELECT user_id, weights FROM crowd WHERE user_id >= ?", (f,)) for f in (5, 3005))
    got = [(a.fetchone(), b.fetchone()) for _ in range(9000)]
    ok(got == list(zip(want[1], want[1][3000:12000])), f"{threads} threads: two scans at once")
    # weights of some users only: the scan goes on, what is drawn begins anew
    got = db.execute("SELECT CASE WHEN user_id % 5000 < 3000 THEN weights END FROM crowd").fetchall()
    ok(got == [(w if u % 5000 < 3000 else None,) for u, w in want[1]], f"{threads} threads: users left out")
    got = db.execute("SELECT x.user_id, count(*), max(y.weights) FROM (SELECT 6 AS user_id UNION ALL SELECT 11000) x JOIN crowd y ON y.user_id >= x.user_id GROUP BY 1").fetchall()
    ok(got == [(f, COUNT + 5 - f, max(w for u, w in want[1] if u >= f)) for f in (6, 11000)], f"{threads} threads: an inner scan begun again")

# ---- Threads and memory

db.execute("SELECT persona_config('threads', 4)")
before = tasks()
scan = db.execute("SELECT weights FROM endless")
scan.fetchmany(100000)
during = tasks()
held = sqlite3.connect(":memory:").execute("SELECT 1").fetchone()  # another connection is none of its business
scan.close()
eq(tasks(), before, "a scan that is closed half way leaves no thread behind")
ok(held == (1,) and during >= before, "threads while it lasts are helpers", f"{before} before, {during} during")
db.execute("SELECT persona_config('threads', 1)")
scan = db.execute("SELECT weights FROM endless")
scan.fetchmany(100000)
eq(tasks(), before, "one thread: no helper")
scan.close()
db.execute("SELECT persona_config('threads', 2)")
for sql in ("SELECT max(weights) FROM crowd", "SELECT weights FROM endless LIMIT 30000", "SELECT a FROM crowd LIMIT 1"):
    db.execute(sql).fetchall()
    eq(tasks(), before, f"no thread is left behind by {sql}")
timer = threading.Timer(.1, db.interrupt)
timer.start()
fails(db, "SELECT max(weights) FROM endless", "interrupted", "a long scan is interrupted")
timer.join()
eq(tasks(), before, "and leaves no thread behind")

counted = memory.counted()
counted.execute("SELECT persona_config('threads', 2)")
counted.execute(f"CREATE VIRTUAL TABLE crowd USING persona_users(count=100000000, generator=philox, models=[a, b, c])")
start = memory.used(counted)
scan = counted.execute("SELECT weights FROM crowd")
scan.fetchmany(200000)
grown = memory.lib.sqlite3_memory_used() - start
ok(grown < 3 << 19, "scanning 100 million users takes less than 1.5 MiB", f"{grown} bytes")
scan.close()
memory.check_short(counted, "a long scan", "SELECT sum(a) > 0, max(b) FROM crowd WHERE user_id < 3000", at_least=4)
memory.check_nothing_left(counted, "scans left half way", "SELECT user_id FROM crowd WHERE weights > x'' AND user_id % 5000 = 4999")
done()
