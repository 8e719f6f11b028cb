"""Charts and reports when memory is short: each is whole or out of memory, gives all memory back, and leaves no file."""
import ctypes
import os
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *

try:  # the library that Python's sqlite3 module uses, if it is this one, counts memory and can be told to run out of it
    lib = ctypes.CDLL("libsqlite3.so.0")
    lib.sqlite3_memory_used.restype = ctypes.c_int64
    lib.sqlite3_hard_heap_limit64.argtypes = [ctypes.c_int64]
    lib.sqlite3_hard_heap_limit64.restype = ctypes.c_int64
    before = lib.sqlite3_memory_used()
    db = connect()
    counted = lib.sqlite3_memory_used() > before
except OSError:
    counted = False
if not counted:
    skip("memory is counted", "Python's SQLite does not count its memory")
    done()

folder = scratch()
path = os.path.join(folder, "page.html")
library = os.path.join(folder, "library.js")
with open(library, "w") as f:
    f.write("//" + "x" * 100000)
db.execute("CREATE VIRTUAL TABLE prompts USING persona_prompts")
db.execute("CREATE VIRTUAL TABLE responses USING persona_responses(a, b)")
for p in range(1, 7):
    db.execute("INSERT INTO prompts VALUES(?, ?, 's', ?, NULL)", (p, "train" if p % 2 else "test", f"what prompt {p}"))
    for r in (1, 2, 3):
        db.execute("INSERT INTO responses(prompt_id, position, model, text, a, b) VALUES(?, ?, ?, ?, ?, ?)",
                   (p, r, f"m{r}", f"<text> {p} {r}" * 50, p * r % 5, (p + r) % 4))
db.execute("CREATE VIRTUAL TABLE users USING persona_users(count=40, alpha=0.5, seed=0)")
db.execute("CREATE TABLE fewshot AS SELECT 'a' AS method, 1 AS interactions, 0.5 AS captured_share UNION ALL SELECT 'b', 2, 0.7")

statements = {
    "a chart of a table": "SELECT persona_chart('fewshot')",
    "a chart of votes": "SELECT persona_chart('winners', '{\"population\": [\"users\", \"users\"], \"title\": \"x\"}')",
    "a report": f"SELECT persona_report('{path}', '{{\"library\": \"{library}\", \"overwrite\": true}}')",
}
for name, sql in statements.items():
    want = db.execute(sql).fetchall()
    page = open(path).read() if os.path.exists(path) else None
    db.execute("PRAGMA shrink_memory")
    start = lib.sqlite3_memory_used()
    short = wrong = left = 0
    # Steps finer than most allocations at first, then coarser: the report's big blocks come last.
    limit, finished = start, False
    while not finished and limit < start + 2**31:
        if page:
            os.unlink(path)
        lib.sqlite3_hard_heap_limit64(limit)
        try:
            got = db.execute(sql).fetchall()
            finished = True
            wrong += got != want
        except MemoryError:
            short += 1
        except sqlite3.OperationalError as e:
            short += 1
            wrong += "out of memory" not in str(e)
        finally:
            lib.sqlite3_hard_heap_limit64(0)
        if page and not finished:
            left += sorted(os.listdir(folder)) != ["library.js"]
            open(path, "w").close()
        limit += max(128, (limit - start) // 200)
    ok(finished and short > 20 and wrong == 0 and left == 0, f"{name}: whole or out of memory", (finished, short, wrong, left))
    if page:
        eq(open(path).read() == page, True, f"{name}: the same page at last")
    db.execute("PRAGMA shrink_memory")
    used = lib.sqlite3_memory_used() - start
    ok(abs(used) < 4096, f"{name}: all memory comes back", used)

done()
