"""Memory, counted by SQLite: statements that run short of it, and what they leave behind.

counted() gives a connection, or ends the suite where Python's SQLite does not count.  The library is lib.
"""
import ctypes
import sqlite3

from tap import connect, done, ok, skip

lib = None


def counted():
    """A connection whose memory is counted: by the library that Python's sqlite3 module uses, if it is this one."""
    global lib
    try:
        lib = ctypes.CDLL("libsqlite3.so.0")
        lib.sqlite3_memory_used.restype = ctypes.c_int64
        lib.sqlite3_hard_heap_limit64.argtypes = [ctypes.c_int64]
        lib.sqlite3_hard_heap_limit64.restype = ctypes.c_int64
        before = lib.sqlite3_memory_used()
        db = connect()
        if lib.sqlite3_memory_used() > before:
            return db
    except OSError:
        pass
    skip("memory is counted", "Python's SQLite does not count its memory")
    done()


def run_short(db, sql, limit, want):
    """One run under a limit: "finished", "different" (finished, but not as wanted), "short" (out of memory, and said so),
    "wrong" (another error)."""
    lib.sqlite3_hard_heap_limit64(limit)
    try:
        return "finished" if db.execute(sql).fetchall() == want else "different"
    except MemoryError:
        return "short"
    except sqlite3.OperationalError as e:
        return "short" if "out of memory" in str(e) else "wrong"
    finally:
        lib.sqlite3_hard_heap_limit64(0)


def used(db):
    """Bytes in use once the connection has given back what it keeps for speed."""
    db.execute("PRAGMA shrink_memory")
    return lib.sqlite3_memory_used()


def check_short(db, name, sql, at_least=0, kept=2048, step=lambda over: 256 + over // 16, warm=lambda: None,
                before=lambda: None, after=lambda end: None):
    """Run sql under growing limits until it finishes: each run is right or out of memory, the latter at least so many
    times; then all but `kept` bytes are back.  step(bytes above the start) is how much a limit grows.  warm fills what the
    connection keeps on purpose.  before and after stand around each run; after is told how it ended."""
    want = db.execute(sql).fetchall()
    warm()
    limit = start = used(db)
    ends = []
    while not {"finished", "different"} & set(ends[-1:]) and limit < start + 2**31:
        before()
        ends.append(run_short(db, sql, limit, want))
        after(ends[-1])
        limit += step(limit - start)
    short = ends.count("short")
    ok(ends[-1] == "finished" and short == len(ends) - 1 and short >= at_least,
       f"{name}: right, or out of memory ({short} times)", f"{len(ends) - 1 - short} otherwise, then {ends[-1]}")
    warm()
    grown = used(db) - start
    ok(abs(grown) < kept, f"{name}: all memory is given back", f"{grown} bytes kept")


def check_nothing_left(db, name, sql):
    """Exactly: sixty runs, abandoned after their first row, failed or not, use no more memory than thirty."""
    seen = []
    for _ in range(60):
        cursor = db.cursor()
        try:
            cursor.execute(sql).fetchone()
        except sqlite3.OperationalError:
            pass
        cursor.close()
        seen.append(lib.sqlite3_memory_used())
    ok(seen[-1] <= seen[30], f"{name} leave nothing behind", f"{seen[-1] - seen[30]} bytes in 30 runs")
