"""persona_adapt: bit-equal to the aggregates, in bulk (rules P1..P6 of vt_adapt.c)."""
import json
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import numpy as np

db = connect()
rng = np.random.RandomState(11)
DIM = 4
USERS = 2500  # more than two chunks
FORMS = {
    "adapt_user": ("chosen, rejected", "pairs"),
    "adapt_user_choices": ("choice_set, features, feedback", "choices"),
    "adapt_user_ratings": ("features, rating", "ratings"),
}
db.executescript("""
  CREATE TABLE pairs(user_id INTEGER, turn INTEGER, chosen, rejected);
  CREATE TABLE choices(turn INTEGER, feedback, features, CHOICE_SET INTEGER, User_Id INTEGER, note);
  CREATE TABLE ratings(user_id INTEGER, turn INTEGER, features, rating);
""")
pairs, choices, ratings = [], [], []
for user in range(USERS):
    user_id = user * 7 - 1000
    for turn in range(rng.randint(0, 4)):
        x = rng.standard_normal((3, DIM))
        a, b, c = (row.tobytes() for row in x)
        pairs.append((user_id, turn, a, None if rng.rand() < 0.1 else b))
        ratings.append((user_id, turn, None if rng.rand() < 0.1 else a, None if rng.rand() < 0.1 else float(rng.randint(5))))
        choices += [(turn, "best", a, turn + 5, user_id, "x"), (turn, None, b, turn + 5, user_id, "y"), (turn, "worst", c, turn + 5, user_id, None)]
    if rng.rand() < 0.2:
        choices.append((9, None, None, None, user_id, None))
for rows, table in ((pairs, "pairs"), (choices, "choices"), (ratings, "ratings")):
    marks = ",".join("?" * len(rows[0]))
    db.executemany(f"INSERT INTO {table} VALUES ({marks})", [rows[i] for i in rng.permutation(len(rows))])

METHODS = db.execute("SELECT method, function, options FROM persona_methods() WHERE function LIKE 'adapt%' AND coalesce(model LIKE '%(optional)', 1)").fetchall()
for method, function, _ in METHODS:
    columns, table = FORMS[function]
    options = json.dumps({"method": method})
    few = "" if method in ("sum", "uniform") else " WHERE user_id < -700"  # two hundred users of the dear methods
    db.execute(f"CREATE VIEW some AS SELECT * FROM {table}{few}")
    want = db.execute(f"SELECT user_id, {function}({columns}, ?) FROM some GROUP BY user_id ORDER BY user_id", (options,)).fetchall()
    got = {}
    for threads in (1, 2, 5):
        db.execute("SELECT persona_config('threads', ?)", (threads,))
        got[threads] = db.execute("SELECT user_id, weights FROM persona_adapt('some', NULL, ?)", (options,)).fetchall()
    ok(len(want) > 20 and all(g == want for g in got.values()), f"P2 P3 {method} of {table}: equal bits as {function}, in user order, on 1, 2 and 5 threads", f"{len(want)} users")
    db.execute("DROP VIEW some")
db.execute("SELECT persona_config('threads', 0)")

for function, (columns, table) in FORMS.items():
    want = db.execute(f"SELECT user_id, {function}({columns}, '{{\"method\":\"sum\"}}') FROM {table} GROUP BY user_id").fetchall()
    eq(db.execute("SELECT * FROM persona_adapt(?, ?)", (table, '{"method":"sum"}')).fetchall(), want, f"P4 {table}: options as the second argument")
    eq(db.execute("SELECT * FROM persona_adapt(?, NULL, ?)", (table, '{"method":"sum"}')).fetchall(), want, f"P4 {table}: options as the third")
    eq(db.execute("SELECT * FROM persona_adapt(?) WHERE options = ?", (table, '{"method":"sum"}')).fetchall(), want, f"P4 {table}: options by the hidden column")
    eq(db.execute("SELECT * FROM persona_adapt(?) WHERE model = ?", (table, '{"method":"sum"}')).fetchall(), want, f"P4 {table}: or as the hidden column model")
missing = {"pairs": "chosen IS NULL OR rejected IS NULL", "choices": "features IS NULL", "ratings": "features IS NULL"}
for table, where in missing.items():
    n = db.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()[0]
    got = db.execute("SELECT max(skipped), min(skipped), count(*) FROM persona_adapt(?, '{\"method\":\"sum\"}')", (table,)).fetchone()
    users = db.execute(f"SELECT count(DISTINCT user_id) FROM {table}").fetchone()[0]
    ok(n > 20 and got == (n, got[1], users) and got[1] < n, f"P6 {table}: skipped rows are counted, users are not lost", got)

# half_life
for method, function, options in METHODS:
    columns, table = FORMS[function]
    if "half_life" not in json.loads(options):
        continue
    o = json.dumps({"method": method, "half_life": 2})
    db.execute(f"CREATE VIEW some AS SELECT * FROM {table} WHERE user_id < -900 AND (turn, user_id) IN (SELECT turn, user_id FROM {table})")
    got = db.execute("SELECT user_id, weights FROM persona_adapt('some', ?)", (o,)).fetchall()
    want = [(u, db.execute(f"SELECT {function}({columns}, ?) FROM (SELECT * FROM some WHERE user_id = ? ORDER BY turn LIMIT -1)", (o, u)).fetchone()[0]) for u, _ in got]
    ok(len(got) > 5 and got == want, f"P5 {method} of {table}: half_life goes by turn")
    db.execute("DROP VIEW some")
db.execute("CREATE VIEW unordered AS SELECT user_id, chosen, rejected FROM pairs")
fails(db, "SELECT * FROM persona_adapt('unordered', '{\"half_life\":2}')", 'persona_adapt: argument 1 (source): "main"."unordered" has no column turn, by which "half_life" counts')

# names
db.execute("CREATE TABLE \"odd name\"(user_id, chosen, rejected)")
db.execute("INSERT INTO \"odd name\" VALUES (3, '[1,2]', '[2,1]')")
db.execute("ATTACH ':memory:' AS other")
db.execute("CREATE TABLE other.history(user_id, features, rating)")
db.execute("CREATE TEMP VIEW tv AS SELECT * FROM \"odd name\"")
eq(db.execute("SELECT count(*), max(user_id) FROM persona_adapt('\"odd name\"')").fetchone(), (1, 3), "P1 quoted names")
eq(db.execute("SELECT count(*) FROM persona_adapt('tv')").fetchone(), (1,), "P1 temp views")
eq(db.execute("SELECT * FROM persona_adapt('other.history')").fetchall(), [], "P1 an empty table of another schema")
eq(db.execute("SELECT count(*) FROM persona_adapt('tv') a, persona_adapt('pairs') b WHERE a.user_id <> b.user_id").fetchone()[0], db.execute("SELECT count(DISTINCT user_id) FROM pairs WHERE user_id <> 3").fetchone()[0], "two scans at once")
eq(db.execute("SELECT count(a.weights) FROM (VALUES ('tv'), ('other.history')) v, persona_adapt(v.column1) a").fetchone()[0], 1, "a cursor is filtered again and again")
eq(db.execute("SELECT rowid FROM persona_adapt('pairs') LIMIT 3").fetchall(), [(1,), (2,), (3,)], "rowids count from 1")

# errors
P = "persona_adapt: "
fails(db, "SELECT * FROM persona_adapt", P + "argument 1 (source) is missing; usage: persona_adapt(source [, model [, options]])")
fails(db, "SELECT * FROM persona_adapt(NULL)", P + "argument 1 (source): NULL; the name of a table or view is required")
fails(db, "SELECT * FROM persona_adapt(17)", P + "argument 1 (source): an integer; the name of a table or view is required")
fails(db, "SELECT * FROM persona_adapt('nowhere')", P + "argument 1 (source): no such table: nowhere")
fails(db, "SELECT * FROM persona_adapt('SELECT 1')", P + 'argument 1 (source): "SELECT 1" is no table name; an SQL identifier such as users, "my users" or aux.users is required')
db.execute("CREATE TABLE wrong(user_id, chosen, features)")
fails(db, "SELECT * FROM persona_adapt('wrong')", P + 'argument 1 (source): "main"."wrong" has no columns (user_id, choice_set, features, feedback), (user_id, chosen, rejected) or (user_id, features, rating)')
db.execute("CREATE TABLE met AS SELECT 1 AS user_id, 1 AS turn, 1 AS chosen_id, 2 AS rejected_id")
fails(db, "SELECT * FROM persona_adapt('met')", P + 'argument 1 (source): "main"."met" has no columns (user_id, choice_set, features, feedback), (user_id, chosen, rejected) or (user_id, features, rating); persona_choices() makes them from a history')
db.execute("CREATE TABLE both(user_id, chosen, rejected, features, rating)")
fails(db, "SELECT * FROM persona_adapt('both')", P + 'argument 1 (source): "main"."both" has the columns of several of (user_id, choice_set, features, feedback), (user_id, chosen, rejected) and (user_id, features, rating); a view with the columns of one of them is required')
fails(db, "SELECT * FROM persona_adapt('pairs', 5)", P + "argument 2 (model): an integer; options (JSON text), a model (a BLOB) or NULL is required")
fails(db, "SELECT * FROM persona_adapt('pairs', NULL, 5)", P + "argument 3 (options): an integer; JSON text or NULL is required")
fails(db, "SELECT * FROM persona_adapt('pairs', '{}', '{}')", P + "arguments 2 and 3 are both text; options are one JSON text, a model is one BLOB")
fails(db, "SELECT * FROM persona_adapt('pairs', x'0011')", P + "argument 2 (model): a BLOB of 2 bytes is no model (its even length is that of a vector)")
fails(db, "SELECT * FROM persona_adapt('pairs', 'sum')", P + "options: not JSON: unexpected \"sum\" at byte 0")
fails(db, "SELECT * FROM persona_adapt('pairs', NULL, '[1]')", P + "options are an array; a JSON object such as {\"name\": value} is required")
db.execute("CREATE TABLE t(user_id, chosen, rejected)")
for rows, message in [
    ([(None, "[1]", "[2]")], '"main"."t" has NULL as user_id; an integer is required'),
    ([(1, "[1]", "[2]"), ("2", "[1]", "[2]")], '"main"."t" has text as user_id; an integer is required'),
    ([(1, "[1]", "[2]"), (2, "[1,2]", "[2,3]")], "user 2: features of 2 numbers, but those of user 1 have 1"),
    ([(1, "[1]", "[2]"), (1, "[1,2]", "[2,3]")], "user 1: row 2: column chosen: 2 numbers, but the rows before have 1"),
    ([(1, "[1]", "[2]"), (4, "[1,2]", "[2,3,4]")], "user 4: row 1: column rejected: 3 numbers, but chosen has 2"),
    ([(1, "[1]", "[2]"), (5, 1.5, "[2,3,4]")], "user 5: row 1: column chosen: a real number; a vector (a BLOB of f64 or f32 numbers, or JSON text such as [1, 2.5]) is required"),
]:
    db.execute("DELETE FROM t")
    db.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
    fails(db, "SELECT * FROM persona_adapt('t')", P + message)
db.execute("CREATE TABLE c(user_id, choice_set, features, feedback)")
for rows, message in [
    ([(8, 1, "[1,2]", "best"), (8, 1, "[2,3]", "best")], "user 8: choice_set 1 has 2 rows marked 'best'; at most one is accepted"),
    ([(8, 1, "[1,2]", "best"), (9, 6, None, "best")], "user 9: choice_set 6: column features: NULL; every response that was shown needs its features"),
    ([(8, 1, "[1,2]", "liked")], "user 8: choice_set 1: column feedback: 'liked'; 'best', 'worst' or NULL is required"),
    ([(8, "1", "[1,2]", "best")], "user 8: column choice_set: text; an integer that identifies one showing is required"),
]:
    db.execute("DELETE FROM c")
    db.executemany("INSERT INTO c VALUES (?, ?, ?, ?)", rows)
    fails(db, "SELECT * FROM persona_adapt('c')", P + message)
db.execute("DELETE FROM c")
db.executemany("INSERT INTO c VALUES (?, ?, ?, ?)", [(u, 1, "[1,2]", "best") for u in (900, 20, 500, 40, 700)] * 2)
db.execute("SELECT persona_config('threads', 4)")
fails(db, "SELECT * FROM persona_adapt('c')", P + "user 20: choice_set 1 has 2 rows marked 'best'; at most one is accepted", "of several wrong users the lowest is named")
db.execute("CREATE VIEW broken AS SELECT user_id, chosen, rejected FROM gone")
fails(db, "SELECT * FROM persona_adapt('broken')", P + "argument 1 (source): no such table: main.gone")

# interruption, abandoned scans, writes meanwhile
db.execute("CREATE VIEW long AS WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n) SELECT 1 AS user_id, '[1,2]' AS chosen, '[2,1]' AS rejected FROM n LIMIT 30000000")
timer = threading.Timer(0.2, db.interrupt)
timer.start()
fails(db, "SELECT * FROM persona_adapt('long')", "persona_adapt: interrupted", "sqlite3_interrupt() ends the reading")
timer.join()
cursor = db.execute("SELECT * FROM persona_adapt('pairs')")
first = cursor.fetchone()
db.execute("DELETE FROM pairs WHERE user_id < 0")
rest = cursor.fetchall()
ok(first is not None and len(rest) > 0, "a scan survives a write to its source")
cursor = db.execute("SELECT * FROM persona_adapt('choices')")
cursor.fetchone()
cursor.close()
eq(db.execute("SELECT count(*) FROM persona_adapt('choices')").fetchone()[0], len({r[4] for r in choices}), "an abandoned scan leaves nothing behind")
db.close()
ok(True, "the connection closes")
done()
