"""Adaptation under bad input: messages pinned, nothing leaked, no crash (rules A2, A3, A6, A9 of fn_adapt.c)."""
import os
import random
import resource
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import numpy as np

db = connect()
vector = "; a vector (a BLOB of f64 or f32 numbers, or JSON text such as [1, 2.5]) is required"
group = "row {} of its group: "


def values(function, *rows):
    """The aggregate over literal rows."""
    n = rows[0].count(",") + 1 if isinstance(rows[0], str) else len(rows[0])
    names = ", ".join(f"column{i + 1}" for i in range(len(rows[0])))
    return f"SELECT {function}({names}) FROM (VALUES {', '.join('(' + ', '.join(r) + ')' for r in rows)})"


A, B, C = "'[1,2]'", "'[2,1]'", "'[0,3]'"
nan = "x'" + struct.pack("<2d", 1, float("nan")).hex() + "'"
f32 = "x'" + np.array([0.03, -0.05, 0.02, 0.07], np.float32).tobytes().hex() + "'"
f32b = "x'" + np.array([0.02, 0.04, -0.02, 0.01], np.float32).tobytes().hex() + "'"
PAIR = [
    (values("adapt_user", (A, "5")), group.format(1) + "argument 2 (rejected): an integer" + vector),
    (values("adapt_user", ("1.5", A)), group.format(1) + "argument 1 (chosen): a real number" + vector),
    (values("adapt_user", (A, B), (A, "x'001122'")), group.format(2) + "argument 2 (rejected): a BLOB of 3 bytes, which is no multiple of 8; f64 vectors are required"),
    (values("adapt_user", (A, "x''")), group.format(1) + "argument 2 (rejected): an empty BLOB; a vector has at least one number"),
    (values("adapt_user", (A, "'[]'")), group.format(1) + "argument 2 (rejected): an array of 0 numbers; a vector has 1 to 65536"),
    (values("adapt_user", (A, "''")), group.format(1) + "argument 2 (rejected): not JSON: it is cut off or wrong at its end (0 bytes)"),
    (values("adapt_user", (A, "'[1,null]'")), group.format(1) + "argument 2 (rejected): element 1 is null; a finite number is required"),
    (values("adapt_user", (nan, A)), group.format(1) + "argument 1 (chosen): element 1 is NaN; a finite number is required"),
    (values("adapt_user", (A, "'[1,1e999]'")), group.format(1) + "argument 2 (rejected): element 1 is infinite; a finite number is required"),
    (values("adapt_user", (A, "'[1,2,3]'")), group.format(1) + "argument 2 (rejected): 3 numbers, but chosen has 2"),
    (values("adapt_user", (A, B), ("NULL", B), ("'[1,2,3]'", "'[3,2,1]'")), group.format(3) + "argument 1 (chosen): 3 numbers, but the rows before have 2"),
    (values("adapt_user", (f32, f32)), group.format(1) + 'argument 1 (chosen): read as 2 f64 numbers all are below 0.001, read as 4 f32 numbers all are ordinary; say "type":"f32" or "type":"f64" (persona_vector(x, \'f32\', \'f64\') converts)'),
    (values("adapt_user", ("zeroblob(800000)", A)), group.format(1) + "argument 1 (chosen): a vector of 100000 numbers; at most 65536 are supported"),
    (values("adapt_user", (A, B, "'{\"type\":\"f32\",\"dim\":3}'")), group.format(1) + "argument 1 (chosen): 2 numbers where 3 are expected"),
    (values("adapt_user", ("zeroblob(24)", B, "'{\"type\":\"f32\",\"dim\":3}'")), group.format(1) + "argument 1 (chosen): a BLOB of 24 bytes where 3 f32 numbers (12 bytes) are expected"),
    (values("adapt_user", ("zeroblob(20)", B, "'{\"dim\":3}'")), group.format(1) + "argument 1 (chosen): a BLOB of 20 bytes where 3 numbers are expected; that is 24 bytes as f64 or 12 as f32"),
    # options and models
    (values("adapt_user", (A, B, "1")), "argument 3: an integer; options (JSON text), a model (a BLOB) or NULL is required"),
    (values("adapt_user", (A, B, "'{}'", "2.5")), "argument 4: a real number; options (JSON text), a model (a BLOB) or NULL is required"),
    (values("adapt_user", (A, B, "'{}'", "'{}'")), "arguments 3 and 4 are both text; options are one JSON text, a model is one BLOB"),
    (values("adapt_user", (A, B, "x'00'", "x'00'")), "arguments 3 and 4 are both BLOBs; options are one JSON text, a model is one BLOB"),
    (values("adapt_user", (A, B, "x'00112233'")), "argument 3 (model): a BLOB of 4 bytes is no model (its even length is that of a vector)"),
    (values("adapt_user", (A, B, "'{}'", "x'00'")), "argument 4 (model): a BLOB of 1 bytes is no model"),
    (values("adapt_user", (A, B, "x'00'", "'{}'")), "argument 3 (model): a BLOB of 1 bytes is no model"),
    (values("adapt_user", (A, B, "'sum'")), 'options: not JSON: unexpected "sum" at byte 0'),
    (values("adapt_user", (A, B, "'[1]'")), "options are an array; a JSON object such as {\"name\": value} is required"),
    (values("adapt_user", (A, B, "'{\"method\":\"magic\"}'")), None),
    (values("adapt_user", (A, B, "'{\"method\":\"sum\",\"method\":\"sum\"}'")), 'option "method" is given twice'),
    (values("adapt_user", (A, B, "'{\"method\":3}'")), 'option "method" is a number; text is required'),
    (values("adapt_user", (A, B, "'{\"dim\":0}'")), 'option "dim" is 0; a whole number from 1 to 65536 is required'),
    (values("adapt_user", (A, B, "'{\"dim\":2.5}'")), 'option "dim" is 2.5; a whole number from 1 to 65536 is required'),
    (values("adapt_user", (A, B, "'{\"half_life\":-1}'")), None),
    (values("adapt_user", (A, B, "'{\"type\":\"f16\"}'")), 'option "type" is "f16"; one of f64|f32 is required'),
    (values("adapt_user", (A, B, "'{\"method\":\"sum\"}'"), (A, B, "'{\"method\": \"sum\"}'")), 'argument 3 (options): {"method": "sum"}, but {"method":"sum"} on the rows before; they must be the same on every row of a group'),
    (values("adapt_user", (A, B, "NULL"), (A, B, "'{}'")), "options are given on some rows and absent on others; they must be the same on every row of a group"),
    (values("adapt_user", (A, B, "'{}'"), (A, B, "NULL")), "options are given on some rows and absent on others; they must be the same on every row of a group"),
    (values("adapt_user", (A, B, "'{}'", "NULL"), (A, B, "'{}'", "x'00'")), "argument 4 (model): a BLOB, but absent on the rows before; it must be the same on every row of a group"),
]
CHOICE = [
    (values("adapt_user_choices", ("7", A, "'best'"), ("7", B, "'best'")), "choice_set 7 has 2 rows marked 'best'; at most one is accepted"),
    (values("adapt_user_choices", ("7", A, "'worst'"), ("8", A, "'worst'"), ("7", B, "'worst'"), ("7", C, "'worst'")), "choice_set 7 has 3 rows marked 'worst'; at most one is accepted"),
    (values("adapt_user_choices", ("-7", A, "'good'")), "choice_set -7: argument 3 (feedback): 'good'; 'best', 'worst' or NULL is required"),
    (values("adapt_user_choices", ("7", A, "'Best'")), "choice_set 7: argument 3 (feedback): 'Best'; 'best', 'worst' or NULL is required"),
    (values("adapt_user_choices", ("7", A, "''")), "choice_set 7: argument 3 (feedback): ''; 'best', 'worst' or NULL is required"),
    (values("adapt_user_choices", ("7", A, "1")), "choice_set 7: argument 3 (feedback): an integer; 'best', 'worst' or NULL is required"),
    (values("adapt_user_choices", ("7", "NULL", "NULL")), "choice_set 7: argument 2 (features): NULL; every response that was shown needs its features"),
    (values("adapt_user_choices", ("7", A, "NULL"), ("9", "NULL", "'best'")), "choice_set 9: argument 2 (features): NULL; every response that was shown needs its features"),
    (values("adapt_user_choices", ("NULL", A, "'best'")), "argument 1 (choice_set): NULL; an integer that identifies one showing is required"),
    (values("adapt_user_choices", ("'1'", A, "'best'")), "argument 1 (choice_set): text; an integer that identifies one showing is required"),
    (values("adapt_user_choices", ("1.0", A, "'best'")), "argument 1 (choice_set): a real number; an integer that identifies one showing is required"),
    (values("adapt_user_choices", ("7", A, "'best'"), ("9223372036854775807", "'[1]'", "NULL")), "choice_set 9223372036854775807: argument 2 (features): 1 numbers, but the rows before have 2"),
    (values("adapt_user_choices", ("7", "8", "'best'")), "choice_set 7: argument 2 (features): an integer" + vector),
    (values("adapt_user_choices", ("7", A, "'best'", "3")), "argument 4: an integer; options (JSON text), a model (a BLOB) or NULL is required"),
    (values("adapt_user_choices", ("7", A, "'best'", "'{'")), None),
]
RATING = [
    (values("adapt_user_ratings", (A, "'5'")), group.format(1) + "argument 2 (rating): text; a finite number or NULL is required"),
    (values("adapt_user_ratings", (A, "x'05'")), group.format(1) + "argument 2 (rating): a BLOB; a finite number or NULL is required"),
    (values("adapt_user_ratings", (A, "3"), (A, "9e999")), group.format(2) + "argument 2 (rating): infinite; a finite number or NULL is required"),
    (values("adapt_user_ratings", ("4", "3")), group.format(1) + "argument 1 (features): an integer" + vector),
    (values("adapt_user_ratings", (A, "3"), ("'[1,2,3]'", "NULL")), group.format(2) + "argument 1 (features): 3 numbers, but the rows before have 2"),
    (values("adapt_user_ratings", (A, "3", "'{\"a\":1}'")), None),
]
for function, cases in (("adapt_user", PAIR), ("adapt_user_choices", CHOICE), ("adapt_user_ratings", RATING)):
    for sql, message in cases:
        if message is not None:
            fails(db, sql, f"{function}: {message}")
            continue
        try:  # the text lists what is known, which grows
            db.execute(sql).fetchall()
            found = "no error"
        except sqlite3.OperationalError as e:
            found = str(e)
        ok(found.startswith(f"{function}: ") and any(s in found for s in ("is required", "known options", "not JSON")), f"refused, saying what is accepted: {sql[-60:]}", found)
    sql = cases[0][0]
    columns = ", ".join(f"column{i + 1}" for i in range(cases[0][0].split(" FROM")[0].count("column")))
    fails(db, sql.replace(f"({columns})", f"({columns}) OVER ()"), f"{function}: {cases[0][1]}", f"{function}: the same message from a window")
fails(db, "SELECT adapt_user('[1]')", "wrong number of arguments to function adapt_user()")
fails(db, "SELECT adapt_user_choices(1, '[1]', NULL, NULL, NULL, NULL)", "wrong number of arguments to function adapt_user_choices()")

# ---- f32 features ----
plain = db.execute(values("adapt_user", (f32, f32b, "'{\"type\":\"f32\"}'"))).fetchone()[0]
eq(len(plain), 32, "A1 weights of f32 features are f64")
eq(db.execute(values("adapt_user", (f32, f32b, "'{\"dim\":4}'"))).fetchone()[0], plain, "A2 dim says as much")
eq(db.execute(values("adapt_user", (f32, f32b, "'{\"dim\":4,\"type\":\"f32\"}'"))).fetchone()[0], plain, "A2 or both")
eq(db.execute(values("adapt_user", (f32, f32b, "NULL", "'{\"dim\":4}'"))).fetchone()[0], plain, "A6 NULL is absent, in either place")
eq(len(db.execute(values("adapt_user", (f32, f32b, "'{\"type\":\"f64\"}'"))).fetchone()[0]), 16, "A2 an explicit f64 is believed")
mixed = [db.execute(values("adapt_user_ratings", *rows)).fetchone()[0] for rows in ([(f32, "1", "'{\"dim\":4}'"), ("'[1,2,3,4]'", "2", "'{\"dim\":4}'")], [("'[1,2,3,4]'", "2", "'{\"dim\":4}'"), (f32, "1", "'{\"dim\":4}'")])]
eq(mixed[0], mixed[1], "A7 f32 and JSON rows mix in any order")

# ---- A9: after an error the connection and the next statement are as before ----
db.execute("CREATE TABLE p(g, c, r)")
db.executemany("INSERT INTO p VALUES (?, ?, ?)", [(i // 3, f"[{i % 5},1]", "[0,2]" if i != 200 else "oops") for i in range(300)])
want = db.execute("SELECT g, adapt_user(c, r) FROM p WHERE g < 60 GROUP BY g").fetchall()
for _ in range(3):
    try:
        db.execute("SELECT g, adapt_user(c, r) FROM p GROUP BY g").fetchall()
    except sqlite3.OperationalError:
        pass
eq(db.execute("SELECT g, adapt_user(c, r) FROM p WHERE g < 60 GROUP BY g").fetchall(), want, "A9 an error leaves the connection as it was")
cursor = db.execute("SELECT adapt_user(c, r) OVER (PARTITION BY g ORDER BY c ROWS 1 PRECEDING) FROM p WHERE g < 60")
cursor.fetchone()
cursor.close()
eq(db.execute("SELECT g, adapt_user(c, r) FROM p WHERE g < 60 GROUP BY g").fetchall(), want, "A9 so does a statement reset half-way through a window")

# ---- memory: a hundred thousand groups, errors and resets ----
def rss():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * resource.getpagesize()


many = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99999) SELECT count(w) FROM (SELECT adapt_user('[1,2,3]', '[3,2,1]', '{\"method\":\"sum\"}') w FROM n GROUP BY i)"
sanitized = os.path.exists("/proc/self/maps") and "libasan" in open("/proc/self/maps").read()
if os.path.exists("/proc/self/statm") and not sanitized:
    db.execute(many.replace("99999", "9999")).fetchone()
    before = rss()
    eq(db.execute(many).fetchone()[0], 100000, "a hundred thousand groups")
    bad = "SELECT adapt_user(c, r) OVER (PARTITION BY g) FROM (SELECT 1 g, zeroblob(8000) c, zeroblob(8000) r UNION ALL SELECT 1, '[1]', '[2]')"
    for _ in range(1500):
        try:
            db.execute(bad).fetchall()
        except sqlite3.OperationalError:
            pass
        cursor = db.execute("SELECT adapt_user(zeroblob(8000), zeroblob(8000), '{\"method\":\"sum\"}') OVER (PARTITION BY g ORDER BY c) FROM p WHERE g < 3")
        cursor.fetchone()
        cursor.close()
    grown = rss() - before
    ok(grown < 20e6, "memory does not grow over 1e5 groups, 1,500 errors and 1,500 resets", f"grew by {grown / 1e6:.1f} MB")  # one leaked vector each would be 48 MB
else:
    skip("memory does not grow", "no /proc here, or the address sanitizer keeps what is freed")

# ---- any arguments at all ----
r = random.Random(5)
pool = [None, 0, 1, -1, 2**63 - 1, -(2**63), 0.0, 1.5, -1e308, float("inf"), "", "best", "worst", "{}", "[]", "[1]", "[1,2]", "[1e308,-1e308]", "[5e-324,0]", '{"method":"sum"}', '{"method":"uniform"}', '{"dim":2}', '{"type":"f32"}', '{"half_life":1}', '{"x":1}', "\0", "[1,\0]", "é", b"", b"\0", b"\0" * 8, b"\0" * 16, b"\xff" * 16, np.ones(2).tobytes(), np.array([1e300, -1e300]).tobytes(), np.ones(2, np.float32).tobytes(), os.urandom(16), os.urandom(8), b"\0" * 17]
crashed = survived = refused = 0
for trial in range(6000):
    function, least = r.choice([("adapt_user", 2), ("adapt_user_choices", 3), ("adapt_user_ratings", 2)])
    n = least + r.randrange(3)
    rows = [[r.choice(pool) for _ in range(n)] for _ in range(r.randrange(1, 4))]
    if r.random() < 0.7:  # mostly plausible rows, so that more than the first check is reached
        options = r.choice([None, None, "{}", '{"method":"sum"}', '{"half_life":2}'])
        for row in rows:
            row[least:] = [options] + [None] * (n - least - 1) if n > least else []
            if r.random() < 0.9:
                row[:least] = {"adapt_user": ["[1,2]", r.choice(pool)], "adapt_user_choices": [r.randrange(2), r.choice(["[1,2]", "[0,1]", np.ones(2).tobytes()]), r.choice([None, "best", "worst"])], "adapt_user_ratings": ["[1,2]", r.choice(pool)]}[function]
    marks = ", ".join("(" + ", ".join("?" * n) + ")" for _ in rows)
    over = r.choice(["", " OVER ()", " OVER (ROWS 1 PRECEDING)", " OVER (ORDER BY column1 GROUPS 1 PRECEDING EXCLUDE TIES)"])
    sql = f"SELECT {function}({', '.join(f'column{i + 1}' for i in range(n))}){over} FROM (VALUES {marks})"
    try:
        for (w,) in db.execute(sql, [x for row in rows for x in row]):
            crashed += not (w is None or (isinstance(w, bytes) and np.all(np.isfinite(np.frombuffer(w)))))
        survived += 1
    except sqlite3.OperationalError as e:
        refused += 1
        crashed += not str(e).startswith(function + ": ")
ok(crashed == 0 and survived > 500 and refused > 500, f"random arguments give finite weights or a message ({survived} answered, {refused} refused)", f"{crashed} neither")
done()
