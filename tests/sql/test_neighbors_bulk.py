"""persona_neighbors on vectors of every kind against numpy in f64; interrupted; and when memory is short."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import memory
import numpy as np

db = memory.counted()
QUERIES = 20


def fill(candidates, queries):
    for table, rows in (("c", candidates), ("q", queries)):
        db.execute(f"DROP TABLE IF EXISTS {table}")
        db.execute(f"CREATE TABLE {table}(id INTEGER PRIMARY KEY, embedding BLOB)")
        db.executemany(f"INSERT INTO {table} VALUES (?, ?)", ((i, x.tobytes()) for i, x in enumerate(rows)))


def kinds(rng, count, dim):
    noise, centres = rng.standard_normal((count, dim)), rng.standard_normal((7, dim))
    near = centres[np.arange(count) % 7]
    return {"scattered": noise, "clustered": near + .01 * noise, "much in common": centres[0] + 1e-4 * noise, "copies": near,
            "zeros among them": noise * (np.arange(count) % 3 > 0)[:, None], "tiny": noise * 1e-42,
            "huge": np.clip(noise, -3, 3) * 1e38, "of all lengths": noise * 10.0 ** rng.randint(-36, 36, (count, 1))}


def wrong(candidates, queries, k):
    """What differs from all similarities in f64, sorted."""
    c, q = candidates.astype(float), queries.astype(float)
    a, b = np.linalg.norm(q, axis=1)[:, None], np.linalg.norm(c, axis=1)
    every = (q @ c.T) / np.where(a > 0, a, 1) / np.where(b > 0, b, 1)
    want = -np.sort(-every, axis=1)[:, :k]
    rows = db.execute("SELECT id, similarity FROM persona_neighbors('c', 'q', ?)", (k,)).fetchall()
    if len(rows) != want.size:
        return f"k = {k}: {len(rows)} rows"
    ids, got = np.array([r[0] for r in rows]).reshape(want.shape), np.array([r[1] for r in rows]).reshape(want.shape)
    if np.abs(got - want).max() > 1e-13 or np.abs(np.take_along_axis(every, ids, 1) - got).max() > 1e-13:
        return f"k = {k}: similarities off by {np.abs(got - want).max():.2g}"
    if any(len(set(row)) < len(row) for row in ids) or np.any((got[:, 1:] == got[:, :-1]) & (ids[:, 1:] < ids[:, :-1])):
        return f"k = {k}: candidates twice, or ties out of order"
    return None


for dim in (1, 2, 3, 7, 16, 31, 48, 67, 300, 1024):
    rng = np.random.RandomState(dim)
    for name, rows in kinds(rng, 260 + dim % 40, dim).items():
        rows = rows.astype("<f4")
        fill(rows[QUERIES:], rows[:QUERIES])
        found = [w for w in (wrong(rows[QUERIES:], rows[:QUERIES], k) for k in (1, 10, len(rows))) if w]
        ok(not found, f"{dim} dimensions, {name}: as numpy sorts them", "; ".join(found))

rng = np.random.RandomState(0)
rows = rng.standard_normal((30000, 256)).astype("<f4")
fill(rows, rows)
message = interrupted(db, "SELECT count(*) FROM persona_neighbors('c', 'q', 10)")
ok("interrupted" in message, "sqlite3_interrupt() ends a join", message)

fill(rows[:100, :40], rows[:9, :40])
db.execute("SELECT persona_config('threads', 2)")
JOIN = "SELECT * FROM persona_neighbors('c', 'q', 3, '{\"exclude_same_id\": true}')"
memory.check_short(db, "a join", JOIN, at_least=5, kept=4096)
for end in ("", " LIMIT 1"):
    memory.check_nothing_left(db, "joins" + end.lower(), JOIN + end)
done()
