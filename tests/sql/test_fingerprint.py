"""persona_fingerprint (F1, F2 of fn_fingerprint.c) against an independent implementation of fingerprint.h, and frozen values."""
import os
import random
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *

db = connect()
M = (1 << 64) - 1
START = (0x9E3779B97F4A7C15, 0xD1B54A32D192ED03)


def mix(x):
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & M
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & M
    return x ^ x >> 31


def words(value):
    if value is None:
        kind, raw = 1, b""
    elif isinstance(value, int):
        kind, raw = 2, struct.pack("<q", value)
    elif isinstance(value, float):
        kind, raw = 3, struct.pack("<d", value + 0.0)
    elif isinstance(value, str):
        kind, raw = 4, value.encode()
    else:
        kind, raw = 5, value
    yield kind << 56 ^ len(raw)
    raw += bytes(-len(raw) % 8)
    yield from struct.unpack(f"<{len(raw) // 8}Q", raw)


def fingerprint(rows):
    total = [0, 0]
    for row in rows:
        a, b = START
        for value in row:
            for w in words(value):
                a, b = mix(a ^ w), mix((b + w) & M)
        total = [(total[0] + mix((a + START[1]) & M)) & M, (total[1] + mix((b + START[0]) & M)) & M]
    return "".join(f"{mix((t + len(rows) * s) & M):016x}" for t, s in zip(total, START))


def got(rows, order=""):
    db.execute("DROP TABLE IF EXISTS t")
    db.execute("CREATE TABLE t(" + ", ".join(f"c{i}" for i in range(len(rows[0]))) + ")")
    db.executemany("INSERT INTO t VALUES (" + ", ".join("?" * len(rows[0])) + ")", rows)
    return db.execute(f"SELECT persona_fingerprint({', '.join(f'c{i}' for i in range(len(rows[0])))}) FROM t {order}").fetchone()[0]


r = random.Random(4)
rows = [(r.choice([None, i, -i, i * 0.1, 2.0**60, -0.0, "x" * (i % 19), "é漢" * (i % 5), bytes(range(i % 33))]), i % 7, "a") for i in range(300)]
eq(got(rows), fingerprint(rows), "F1 the checksum of fingerprint.h")
eq(got(rows[::-1]), fingerprint(rows), "F2 in any order")
singles = [None, 0, 0.0, 1, 1.0, "", "0", "1", b"", b"1", "1\0", "ab", b"ab", 1 << 62, "abcdefgh", "abcdefghi"]
eq(len({got([(v,)]) for v in singles}), len(singles), "F1 values count with type and length")
eq(got([(-0.0,)]), got([(0.0,)]), "F1 -0.0 is 0.0")
ok(got([("ab", "c")]) != got([("a", "bc")]), "F1 values do not run into each other")
ok(len({got([(1,)] * n) for n in (1, 2, 3, 4)}) == 4, "F2 equal rows count as often as they stand there")
ok(got([(1, 2), (3, 4)]) != got([(1, 4), (3, 2)]), "F2 rows are not mixed up")
changed = [got(rows[:150] + [(v, 5, "a")] + rows[151:]) for v in range(50)]
eq(len(set(changed) | {got(rows)}), 51, "any change shows")
eq(db.execute("SELECT persona_fingerprint(1) FROM t WHERE 0").fetchone()[0], fingerprint([]), "F2 no rows have a fingerprint")
eq(db.execute("SELECT persona_fingerprint() FROM (VALUES (1), (2))").fetchone()[0], fingerprint([(), ()]), "rows without values are counted")
eq([db.execute("SELECT persona_fingerprint(column1, column2) FROM (VALUES (1, 'a'), (2.5, x'00ff'))").fetchone()[0], fingerprint([])],
   ["617c0aa5feed98affcd2ef9d19aaddbe", "00000000000000000000000000000000"], "frozen values")
done()
