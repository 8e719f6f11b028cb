"""Adaptation: adapt_user, adapt_user_choices, adapt_user_ratings as aggregates and window functions, persona_adapt,
persona_methods (rules A1..A9 of fn_adapt.c, P1..P6 of vt_adapt.c)."""
import gc
import json
import os
import random
import re
import resource
import sqlite3
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import numpy as np

db = connect()
rng = np.random.RandomState(7)
DIM = 5
FORMS = {  # the arguments of each function, and the table that holds them
    "adapt_user": ("chosen, rejected", "pairs"),
    "adapt_user_choices": ("choice_set, features, feedback", "choices"),
    "adapt_user_ratings": ("features, rating", "ratings"),
}


def one(sql, *args):
    return db.execute(sql, args).fetchone()[0]


def vec(blob):
    return None if blob is None else np.frombuffer(blob)


def blob(x):
    return np.asarray(x, float).tobytes()


# ---- data: three users, rows that say nothing among them, ties in turn ----
db.executescript("""
  CREATE TABLE pairs(id INTEGER PRIMARY KEY, user_id INTEGER, turn INTEGER, chosen BLOB, rejected BLOB);
  CREATE TABLE choices(id INTEGER PRIMARY KEY, user_id INTEGER, turn INTEGER, choice_set INTEGER, features BLOB, feedback TEXT);
  CREATE TABLE ratings(id INTEGER PRIMARY KEY, user_id INTEGER, turn INTEGER, features BLOB, rating REAL);
""")


def features(n):
    x = rng.standard_normal((n, DIM))
    if n > 2 and rng.rand() < 0.2:
        x[1] = x[0]  # identical responses happen
    return x


def fill(users, turns, first_user=0):
    for user in range(first_user, first_user + users):
        w = rng.dirichlet([0.3] * DIM)
        for turn in range(1, turns + 1):
            for _ in range(rng.randint(1, 3)):
                x = features(2)
                a, b = (0, 1) if w @ x[0] > w @ x[1] else (1, 0)
                sides = [blob(x[a]), blob(x[b])]
                if rng.rand() < 0.15:
                    sides[rng.randint(2)] = None
                db.execute("INSERT INTO pairs(user_id, turn, chosen, rejected) VALUES (?, ?, ?, ?)", (user, turn, *sides))
            x = features(rng.randint(1, 5))
            u = x @ w
            labels = [None] * len(x)
            kind = rng.randint(4)
            if kind != 0:
                labels[int(np.argmin(u))] = "worst"
            if kind != 1:
                labels[int(np.argmax(u))] = "best"
            for i in range(len(x)):
                db.execute("INSERT INTO choices(user_id, turn, choice_set, features, feedback) VALUES (?, ?, ?, ?, ?)", (user, turn, turn * 3 - 20, blob(x[i]), labels[i] if kind < 3 or len(x) > 1 else None))
            x = features(2)
            for i in range(2):
                r = rng.rand()
                db.execute("INSERT INTO ratings(user_id, turn, features, rating) VALUES (?, ?, ?, ?)", (user, turn, None if r < 0.1 else blob(x[i]), None if r > 0.9 else float(rng.randint(1, 6))))


fill(3, 8)

METHODS = db.execute("SELECT method, function FROM persona_methods() WHERE function LIKE 'adapt%' AND coalesce(model LIKE '%(optional)', 1)").fetchall()


def opts(**options):
    return json.dumps(options)


# ---- persona_methods ----
methods = db.execute("SELECT method, function, options, defaults FROM persona_methods() WHERE function LIKE 'adapt%' AND coalesce(model LIKE '%(optional)', 1)").fetchall()
ok(set(FORMS) == {m[1] for m in methods}, "every function has methods")
default = {m[1]: json.loads(m[3])["method"] for m in methods}
good = all(list(json.loads(m[2])) == list(json.loads(m[3])) for m in methods)
ok(good, "options and defaults of a method have the same keys")
for function, (columns, table) in FORMS.items():
    got = one(f"SELECT {function}({columns}) FROM {table} WHERE user_id = 0")
    same = one(f"SELECT {function}({columns}, ?) FROM {table} WHERE user_id = 0", opts(method=default[function]))
    eq(got, same, f"{function}: the default method is the one that persona_methods() names ({default[function]})")
for method, function, options, defaults in methods:
    columns, table = FORMS[function]
    got = one(f"SELECT {function}({columns}, ?) FROM {table} WHERE user_id = 0", opts(method=method))
    text = json.dumps({**json.loads(defaults), "method": method})
    eq(one(f"SELECT {function}({columns}, ?) FROM {table} WHERE user_id = 0", text), got, f"{function} {method}: spelling out the defaults changes nothing")
    eq(len(vec(got)), DIM, f"A1 {function} {method}: as many weights as features")
    for key, accepts in json.loads(options).items():
        if "number" not in accepts:
            continue
        kind, low, high = re.match(r"(a number|a whole number) from (\S+) to ([^\s:;]+)", accepts).groups()
        fails(db, f"SELECT {function}({columns}, ?) FROM {table} WHERE user_id = 0",
              f'{function}: option "{key}" is -1; {kind} from {float(low):g} to {int(float(high))} is required',
              f"{function} {method}: the parser accepts for {key} what persona_methods() says", (opts(**{"method": method, key: -1}),))

# ---- A4, A5: nothing, and nothing said ----
for function, (columns, table) in FORMS.items():
    n = columns.count(",") + 1
    eq(one(f"SELECT {function}({columns}) FROM {table} WHERE 0"), None, f"A5 {function}: no rows give NULL")
    eq(one(f"SELECT {function}({', '.join(['NULL'] * n)})"), None, f"A4 {function}: a row of NULLs is skipped")
    eq(one(f"SELECT {function}({', '.join(['NULL'] * n)}) OVER ()"), None, f"A4 {function}: also in a window")
    eq(one(f"SELECT {function}({columns}) FILTER (WHERE 0) FROM {table}"), None, f"A5 {function}: FILTER may leave nothing")
eq(one("SELECT adapt_user(NULL, '[1,2]')"), None, "A4 a pair with a NULL side is skipped")
eq(one("SELECT adapt_user('[1,2]', NULL)"), None, "A4 on either side")
eq(one("SELECT adapt_user_ratings(NULL, 3)"), None, "A4 a rating without features is skipped")
for method, function in METHODS:
    prior = {"adapt_user_choices": "1, column1, NULL", "adapt_user_ratings": "column1, NULL"}.get(function)
    if prior:
        sql = f"SELECT {function}({prior}, ?) FROM (VALUES ('[1,2,3]'), ('[-1,0,5]'), ('[1,1,1]'))"
        w = vec(one(sql, opts(method=method)))
        ok(w is not None and len(w) == 3 and np.ptp(w) <= 1e-3, f"A5 {function} {method}: only unlabelled rows favour no feature", w)
left = db.execute("""SELECT column1, adapt_user_choices(choice_set, features, feedback) FROM (VALUES (0), (99)) LEFT JOIN choices ON user_id = column1
                     GROUP BY column1""").fetchall()
ok(left[0][1] is not None and left[1] == (99, None), "A4 a user without history in an outer join gets NULL")

# ---- A7: order of rows ----
for method, function in METHODS:
    columns, table = FORMS[function]
    rows = db.execute(f"SELECT {columns} FROM {table} WHERE user_id = 1").fetchall()
    rows += rows[:4] if table != "choices" else []  # repeated rows too
    marks = ", ".join("?" * len(rows[0]))
    results = set()
    for trial in range(6):
        db.execute(f"CREATE TEMP TABLE shuffled({columns})")
        db.executemany(f"INSERT INTO shuffled VALUES ({marks})", random.Random(trial).sample(rows, len(rows)))
        results.add(one(f"SELECT {function}({columns}, ?) FROM shuffled", opts(method=method)))
        db.execute("DROP TABLE shuffled")
    eq(len(results), 1, f"A7 {function} {method}: equal rows give equal bits in any order")

# ---- A8: windows against aggregation over the frame ----
FRAMES = [
    "ORDER BY turn",
    "ORDER BY turn GROUPS 1 PRECEDING",
    "ORDER BY turn GROUPS BETWEEN 2 PRECEDING AND 1 PRECEDING",
    "ORDER BY turn GROUPS BETWEEN 1 FOLLOWING AND 2 FOLLOWING",
    "ORDER BY turn ROWS 2 PRECEDING",
    "ORDER BY turn, id ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING",
    "ORDER BY turn, id ROWS BETWEEN 1 FOLLOWING AND 4 FOLLOWING",
    "ORDER BY turn, id ROWS BETWEEN 3 FOLLOWING AND 1 FOLLOWING",
    "ORDER BY turn, id ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
    "ORDER BY turn DESC RANGE BETWEEN 2 PRECEDING AND 1 FOLLOWING",
    "ORDER BY turn RANGE BETWEEN 3 PRECEDING AND 2 PRECEDING",
    "ORDER BY turn ROWS BETWEEN 2 PRECEDING AND 2 FOLLOWING EXCLUDE CURRENT ROW",
    "ORDER BY turn GROUPS 2 PRECEDING EXCLUDE TIES",
    "ORDER BY turn GROUPS 2 PRECEDING EXCLUDE GROUP",
    "",
]
for method, function in METHODS:
    columns, table = FORMS[function]
    for options in [opts(method=method)] + ([opts(method=method, half_life=2)] if table == "choices" else []):
        if "half_life" in options and "half_life" not in json.loads(next(m[2] for m in methods if m[:2] == (method, function))):
            continue
        wrong, memo, distinct = [], {}, set()
        for frame in FRAMES:
            got = db.execute(f"SELECT {function}({columns}, ?) OVER w, group_concat(id) OVER w FROM {table} WINDOW w AS (PARTITION BY user_id {frame})", (options,)).fetchall()
            for weights, ids in got:
                key = ",".join(sorted((ids or "").split(",")))
                if key not in memo:
                    memo[key] = one(f"SELECT {function}({columns}, ?) FROM {table} WHERE id IN ({ids or ''})", options)
                distinct.add(weights)
                if weights != memo[key]:
                    wrong.append((frame, ids))
        ok(not wrong and (len(distinct) > 20 or method == "uniform"), f"A8 {function} {options}: {len(FRAMES)} kinds of frame equal aggregation over the frame", f"{len(wrong)} wrong: {wrong[:5]}, {len(distinct)} distinct")

# half_life of pairs and ratings: the age is the order of the window
for method, function, options, _ in methods:
    columns, table = FORMS[function]
    if table == "choices" or "half_life" not in json.loads(options):
        continue
    o = opts(method=method, half_life=1.5)
    got = db.execute(f"SELECT id, {function}({columns}, ?) OVER (ORDER BY id ROWS 5 PRECEDING) FROM {table} WHERE user_id = 2", (o,)).fetchall()
    want = []
    ids = [i for i, _ in got]
    for n, i in enumerate(ids):
        want.append((i, one(f"SELECT {function}({columns}, ?) FROM (SELECT * FROM {table} WHERE id BETWEEN ? AND ? AND user_id = 2 ORDER BY id LIMIT -1)", o, ids[max(0, n - 5)], i)))
    eq(got, want, f"A7 {function} {method}: half_life in an ordered window is that of the ordered rows")
    ordered = one(f"SELECT {function}({columns}, ?) FROM (SELECT * FROM {table} WHERE user_id = 2 ORDER BY id LIMIT -1)", o)
    reverse = one(f"SELECT {function}({columns}, ?) FROM (SELECT * FROM {table} WHERE user_id = 2 ORDER BY id DESC LIMIT -1)", o)
    ok(ordered != reverse, f"A7 {function} {method}: half_life sees the order")
    huge = one(f"SELECT {function}({columns}, ?) FROM {table} WHERE user_id = 2", opts(method=method, half_life=1e9))
    plain = one(f"SELECT {function}({columns}, ?) FROM {table} WHERE user_id = 2", opts(method=method))
    close(vec(huge), vec(plain), 1e-5, f"A7 {function} {method}: a huge half-life forgets nothing", absolute=1e-5)
done()
