"""Learning across users in SQL (rules L1 to L6 of fn_learn.c): order, threads, permuted users, messages, models as arguments,
altered models, interrupts, memory."""
import json
import os
import random
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
from modelcodec import KINDS, decode, encode, seal
import numpy as np

db = connect()
rng = np.random.RandomState(5)
DIM, USERS, TURNS = 4, 12, 3
pool = rng.standard_normal((30, DIM))
pairs, choices = [], []
for u in range(USERS):
    w = rng.dirichlet([.3] * DIM)
    for t in range(TURNS):
        x = pool[rng.choice(30, 5, replace=False)]
        order = (x @ w).argsort()
        pairs.append((u, x[order[-1]].tobytes(), x[order[0]].tobytes()))
        choices += [(u, t, x[i].tobytes(), "best" if i == order[-1] else "worst" if i == order[0] else None) for i in range(5)]
COLUMNS = {"pairs": "user_id, chosen, rejected", "choices": "user_id, choice_set, features, feedback"}
FUNCTION = {"pairs": "learn_users", "choices": "learn_users_choices"}
ADAPT = {"pairs": "adapt_user(chosen, rejected, {})", "choices": "adapt_user_choices(choice_set, features, feedback, {})"}
METHODS = [m for m, in db.execute("SELECT method FROM persona_methods() WHERE function = 'learn_users'")]
FAST = {"lore": {"iterations": 30}, "classes": {"iterations": 20, "rank": 3}, "maml": {"iterations": 10}, "svd": {"iterations": 20}, "prior": {"iterations": 2}}


def tables(db, pairs, choices):
    db.executescript("DROP TABLE IF EXISTS pairs; DROP TABLE IF EXISTS choices; CREATE TABLE pairs(user_id, chosen, rejected); CREATE TABLE choices(user_id, choice_set, features, feedback)")
    db.executemany("INSERT INTO pairs VALUES (?, ?, ?)", pairs)
    db.executemany("INSERT INTO choices VALUES (?, ?, ?, ?)", choices)


def learn(table, method, where="", **more):
    options = json.dumps(dict({"method": method, **FAST.get(method, {})}, **more))
    return db.execute(f"SELECT {FUNCTION[table]}({COLUMNS[table]}, ?) FROM {table} {where}", (options,)).fetchone()[0]


tables(db, pairs, choices)
models = {(t, m): learn(t, m) for t in COLUMNS for m in METHODS}

# ---- L5: order and threads; L1: only feedback ----
shuffled = [[rows[i] for i in rng.permutation(len(rows))] for rows in (pairs, choices)]
tables(db, *shuffled)
for (table, method), want in models.items():
    eq(learn(table, method), want, f"L5 {table}, {method}: rows in another order, the same bytes")
    for threads in (1, 2, 5):
        db.execute("SELECT persona_config('threads', ?)", (threads,))
        ok(learn(table, method) == want, f"L5 {table}, {method}: the same bytes on {threads} threads")
db.execute("SELECT persona_config('threads', 0)")
named = {u: int(v) for u, v in zip(range(USERS), rng.permutation(1000)[:USERS] - 500)}
tables(db, [(named[r[0]],) + r[1:] for r in pairs], [(named[r[0]],) + r[1:] for r in choices])
for (table, method), want in models.items():
    if method in ("pooled", "prior"):  # the others order users by id: sums and random starts go with it
        a, b = decode(want), decode(learn(table, method))
        close(b["sections"]["weights"], a["sections"]["weights"], 1e-6, f"L1 {table}, {method}: users with other ids, the same weights", absolute=1e-8)
tables(db, pairs, choices)
db.execute("CREATE VIEW doubled AS SELECT * FROM pairs UNION ALL SELECT user_id + 1000, chosen, rejected FROM pairs")
for method in ("pooled", "neighbors"):
    a = decode(db.execute("SELECT learn_users(user_id, chosen, rejected, ?) FROM doubled", (json.dumps({"method": method, "lambda": 2 if method == "pooled" else 1}),)).fetchone()[0])
    b = decode(models["pairs", method])
    close(a["sections"]["weights"], b["sections"]["weights"], 1e-6, f"{method}: everybody twice (and twice the penalty) teaches the same", absolute=1e-8)
    eq(a["users"], 2 * USERS, f"{method}: twice as many users")

# ---- L3: what says nothing ----
for table, method in models:
    rows = "NULL, 'x'" if table == "pairs" else "NULL, NULL, NULL"
    extra = f"UNION ALL SELECT 99, {rows} UNION ALL SELECT NULL, {rows}"
    same = "UNION ALL SELECT 77, chosen, chosen FROM pairs" if table == "pairs" else "UNION ALL SELECT 77, choice_set, features, NULL FROM choices WHERE user_id = 3 AND feedback IS NULL"
    db.execute(f"CREATE TEMP VIEW more AS SELECT * FROM {table} {extra} {same}")
    options = json.dumps({"method": method, **FAST.get(method, {})})
    blob, = db.execute(f"SELECT {FUNCTION[table]}({COLUMNS[table]}, ?) FROM more", (options,)).fetchone()
    a, b = decode(blob), decode(models[table, method])
    eq((a["users"], a["users_skipped"], a["rows_skipped"]), (USERS, 1, 2), f"L3 {table}, {method}: users and rows that say nothing are skipped and counted")
    close(a["sections"]["weights"], b["sections"]["weights"], 1e-9, f"L3 {table}, {method}: and change nothing", absolute=1e-12)
    db.execute("DROP VIEW more")
    nothing = "no user's feedback prefers one response to a different one: nothing to learn"
    where = "SELECT user_id, chosen, chosen FROM pairs" if table == "pairs" else "SELECT user_id, choice_set, features, NULL FROM choices"
    fails(db, f"WITH t({COLUMNS[table]}) AS ({where}) SELECT {FUNCTION[table]}({COLUMNS[table]}, ?) FROM t", f"{FUNCTION[table]}: {nothing}", args=(options,))
    eq(db.execute(f"SELECT {FUNCTION[table]}({COLUMNS[table]}, ?) FROM {table} WHERE 0", (options,)).fetchone(), (None,), f"L3 {table}, {method}: no rows give NULL")
eq(db.execute("SELECT learn_users(user_id, chosen, NULL) FROM pairs").fetchone(), (None,), "L3 only skipped rows give NULL")
eq(decode(db.execute("SELECT learn_users(user_id, chosen, rejected) FROM pairs").fetchone()[0])["kind"], "prior", "L4 rewards: prior by default")
eq(decode(db.execute("SELECT learn_users(user_id, persona_vector(chosen, 'f64', 'f32'), persona_vector(rejected, 'f64', 'f32'), '{\"type\":\"f32\"}') FROM pairs").fetchone()[0])["kind"], "pooled", "L4 embeddings: pooled by default")

# ---- equal vectors are stored once: rows cost what rows cost ----
wide = [(u, rng.standard_normal(2000).astype(np.float32).tobytes()) for u in range(4)]
db.execute("CREATE TABLE wide AS SELECT column1 AS i, column2 AS e FROM (VALUES (0, ?), (1, ?), (2, ?), (3, ?))", [e for _, e in wide])
before = sum(len(e) for _, e in wide)
lib_used = lambda: 0
m = decode(db.execute("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT learn_users(n.i % 50, a.e, b.e, '{\"method\":\"pooled\",\"type\":\"f32\",\"iterations\":1}') FROM n JOIN wide a ON a.i = n.i % 4 JOIN wide b ON b.i = (n.i + 1) % 4").fetchone()[0])
eq((m["users"], m["rows"], m["dim"], m["flags"] & 2), (50, 20001, 2000, 2), "20,001 pairs of four f32 vectors of 2,000 numbers")

# ---- models as arguments ----
for (table, method), blob in models.items():
    fresh = db.execute(f"SELECT user_id, {ADAPT[table].format('?')} FROM {table} GROUP BY user_id", (blob,)).fetchall()
    eq(db.execute("SELECT * FROM persona_adapt(?, ?)", (table, blob)).fetchall(), fresh, f"{table}, {method}: persona_adapt is the aggregate, to the bit")
    db.execute("CREATE TEMP TABLE m AS SELECT ? AS b", (blob,))
    eq(db.execute(f"SELECT user_id, {ADAPT[table].format('(SELECT b FROM m)')} FROM {table} GROUP BY user_id").fetchall(), fresh, f"{table}, {method}: the model as a scalar subquery")
    db.execute("DROP TABLE m")
    flat = decode(blob)["sections"]["weights"][0]
    unlabelled = "choice_set, features, NULL" if table == "choices" else "chosen, chosen"
    name = "adapt_user_choices" if table == "choices" else "adapt_user"
    close(np.frombuffer(db.execute(f"SELECT {name}({unlabelled}, ?) FROM {table}", (blob,)).fetchone()[0]), flat, 1e-12, f"{table}, {method}: feedback that says nothing gives the model's own weights")
    both = [np.frombuffer(w) for w, in db.execute(f"SELECT {ADAPT[table].format('NULL, ?')} FROM {table} GROUP BY user_id", (blob,))]
    ok(all(np.array_equal(a, np.frombuffer(b[1])) for a, b in zip(both, fresh)), f"{table}, {method}: NULL options beside a model")
kind = {"prior": "posterior", "pooled": "bradley_terry"}
for method in METHODS:
    blob = models["pairs", method]
    own = kind.get(method, method)
    eq(db.execute("SELECT adapt_user(chosen, rejected, ?, ?) FROM pairs WHERE user_id = 1", (json.dumps({"method": own}), blob)).fetchone(), db.execute("SELECT adapt_user(chosen, rejected, ?) FROM pairs WHERE user_id = 1", (blob,)).fetchone(), f"{method}: naming its method changes nothing")
    fails(db, "SELECT adapt_user(chosen, rejected, ?, '{\"method\":\"sum\"}') FROM pairs", f'adapt_user: method "sum" does not go with a model of kind {method}; "{own}" does', args=(blob,))
    fails(db, "SELECT adapt_user(chosen, rejected, ?, '{\"dim\":3}') FROM pairs", f'adapt_user: option "dim" is 3, but the model\'s features have 4 numbers', args=(blob,))
    fails(db, "SELECT adapt_user('[1,2,3]', '[3,2,1]', ?)", "adapt_user: row 1 of its group: argument 1 (chosen): 3 numbers where 4 are expected", args=(blob,))
    if method not in kind:
        fails(db, f"SELECT adapt_user(chosen, rejected, '{{\"method\":\"{method}\"}}') FROM pairs", f'adapt_user: method "{method}" starts from a model of learn_users, and none is given')
        fails(db, "SELECT adapt_user_ratings(chosen, 1, ?) FROM pairs", f'adapt_user_ratings: method "{method}" does not go with ratings', args=(blob,))
    else:
        ok(db.execute("SELECT adapt_user_ratings(chosen, user_id, ?) FROM pairs", (blob,)).fetchone()[0], f"{method}: ratings too")
names = json.dumps({"method": "pooled", "names": ["a", "b", "c", "d"]})
blob, = db.execute("SELECT learn_users(user_id, chosen, rejected, ?) FROM pairs", (names,)).fetchone()
eq([n for n, in db.execute("SELECT name FROM model_weights(?)", (blob,))], ["a", "b", "c", "d"], "names are kept in the model")
ok(db.execute("SELECT adapt_user(chosen, rejected, ?, '{\"names\":[\"a\",\"b\",\"c\",\"d\"]}') FROM pairs", (blob,)).fetchone()[0], "the same names are accepted")
fails(db, "SELECT adapt_user(chosen, rejected, ?, '{\"names\":[\"a\",\"c\",\"b\",\"d\"]}') FROM pairs", 'adapt_user: feature 2 is "c", but "b" in the model', args=(blob,))
fails(db, "SELECT adapt_user(chosen, rejected, ?, '{\"names\":[\"a\"]}') FROM pairs", 'adapt_user: option "names" has 1 names, but the model\'s features have 4 numbers', args=(blob,))
fails(db, "SELECT adapt_user(chosen, rejected, '{\"names\":[\"a\"]}') FROM pairs", 'adapt_user: option "names" is for comparison with a model\'s, and no model is given')
for option, value in (("prior", '"gaussian"'), ("alpha", "0.1"), ("sharpness", "3")):
    fails(db, f"SELECT adapt_user(chosen, rejected, ?, '{{\"{option}\":{value}}}') FROM pairs", f'adapt_user: option "{option}" does not go with a learned prior', args=(models["pairs", "prior"],))
other = models["pairs", "neighbors"]
fails(db, "SELECT adapt_user(chosen, rejected, CASE user_id WHEN 0 THEN ? ELSE ? END) FROM pairs", "adapt_user: argument 3 (model): another BLOB than on the rows before; it must be the same on every row of a group", args=(blob, other))
fails(db, "SELECT adapt_user(chosen, rejected, CASE user_id WHEN 0 THEN ? END) FROM pairs", "adapt_user: the model is absent, but given on the rows before; it must be the same on every row of a group", args=(blob,))
fails(db, "SELECT * FROM persona_adapt('pairs', ?)", "persona_adapt: argument 2 (model): the model was altered: its checksum is wrong", args=(blob[:-9] + b"\7" + blob[-8:],))
windows = db.execute("SELECT adapt_user(chosen, rejected, ?) OVER (PARTITION BY user_id ORDER BY chosen ROWS 1 PRECEDING) FROM pairs", (blob,)).fetchall()
ok(len(windows) == len(pairs) and all(w for w, in windows), "a model in a window")

# ---- L1: only feedback counts, neither who gave it nor what is truly in their minds ----
db.execute("CREATE TABLE people(user_id INTEGER PRIMARY KEY, weights BLOB)")
db.executemany("INSERT INTO people VALUES (?, ?)", [(u, rng.dirichlet([.3] * DIM).tobytes()) for u in range(USERS)])
db.execute("UPDATE people SET weights = (SELECT weights FROM people p WHERE p.user_id = (people.user_id + 5) % 12)")
for (table, method), blob in models.items():
    ok(learn(table, method, "JOIN people USING (user_id)") == blob, f"L1 {table}, {method}: true weights beside the feedback, in another order, change no byte")
    own = db.execute(f"SELECT weights FROM persona_adapt('{table}', ?) WHERE user_id = 4", (blob,)).fetchone()
    db.execute(f"CREATE TEMP VIEW strangers AS SELECT user_id + 9000000000 AS {COLUMNS[table]} FROM {table}")
    eq(db.execute("SELECT weights FROM persona_adapt('strangers', ?) WHERE user_id = 9000000004", (blob,)).fetchone(), own, f"L1 {table}, {method}: who is unknown to the model is judged by feedback alone")
    eq(db.execute("SELECT count(*) FROM persona_adapt('strangers', ?) WHERE user_id < 9000000000", (blob,)).fetchone(), (0,), f"L1 {table}, {method}: who has said nothing has no row")
    db.execute("DROP VIEW strangers")
student, = db.execute("SELECT distill_rewards(chosen, persona_vector(rejected), user_id) FROM pairs").fetchone()
told, = db.execute("SELECT adapt_user(chosen, rejected, '{\"return\":\"model\"}') FROM pairs WHERE user_id = 1").fetchone()
for name, blob in (("student", student), ("posterior", told)):
    for function in ("SELECT adapt_user(chosen, rejected, ?) FROM pairs", "SELECT * FROM persona_adapt('pairs', ?)"):
        try:
            found = f"no error: {db.execute(function, (blob,)).fetchall()}"
        except sqlite3.OperationalError as e:
            found = str(e)
        ok(f"kind {name}" in found, f"a model of kind {name} is no start for adaptation: {found}", found)

# ---- merge_models (M3) ----
db.execute("CREATE TABLE parts(part, model)")
for name, where in (("even", "user_id % 2 = 0"), ("odd", "user_id % 2 = 1 AND user_id < 9"), ("rest", "user_id % 2 = 1 AND user_id >= 9")):
    db.execute("INSERT INTO parts VALUES (?, ?)", (name, learn("pairs", "neighbors", f"WHERE {where}")))
for order in ("part", "part DESC", "length(model)"):
    eq(db.execute(f"SELECT merge_models(model) FROM (SELECT * FROM parts ORDER BY {order})").fetchone()[0], models["pairs", "neighbors"], f"M3 by {order}: merged models are, to the byte, the model of all rows")
eq(db.execute("SELECT merge_models(model) FROM (SELECT * FROM parts WHERE part = 'even' UNION ALL SELECT 'x', NULL)").fetchone(), db.execute("SELECT model FROM parts WHERE part = 'even'").fetchone(), "M3 one model and a NULL")
eq(db.execute("SELECT merge_models(model) FROM parts WHERE 0").fetchone(), (None,), "M3 no rows give NULL")
eq(db.execute("SELECT merge_models(NULL) FROM parts").fetchone(), (None,), "M3 only NULLs give NULL")
negative = db.execute("SELECT merge_models(m) FROM (SELECT learn_users(-1, chosen, rejected, '{\"method\":\"neighbors\"}') m FROM pairs UNION ALL SELECT model FROM parts)").fetchone()[0]
eq([int(h) for h, _ in decode(negative)["sections"]["users"]][:2], [2**32 - 1, 0], "M3 negative ids come first")
G = "merge_models: "
fails(db, "SELECT merge_models(model) FROM (SELECT model FROM parts UNION ALL SELECT model FROM parts WHERE part = 'odd')", G + "user 1 is in several of the models; each must be in one")
for method in METHODS:
    if method != "neighbors":
        fails(db, "SELECT merge_models(m) FROM (SELECT ? AS m UNION ALL SELECT ?)", G + f"model 1: a model of kind {method} is one fit over all its users and does not merge exactly; only neighbors does", args=(models["pairs", method],) * 2)
even, = db.execute("SELECT model FROM parts WHERE part = 'even'").fetchone()
for other, message in ((learn("pairs", "neighbors", "WHERE user_id = 1", **{"lambda": 2}), 'model 2: options {"method":"neighbors","lambda":2}, but those of the first are {"method":"neighbors","lambda":1}'),
                       (learn("pairs", "neighbors", "WHERE user_id = 1", names=list("abcd")), "model 2: features have names, unlike those of the first"),
                       (db.execute("SELECT learn_users(1, '[1,2]', '[2,1]', '{\"method\":\"neighbors\"}')").fetchone()[0], "model 2: features of 2 numbers, but those of the first have 4")):
    fails(db, "SELECT merge_models(m) FROM (SELECT ? AS m UNION ALL SELECT ?)", G + message, args=(even, other))
named = [learn("pairs", "neighbors", f"WHERE user_id = {u}", names=list(n)) for u, n in ((1, "abcd"), (2, "abdc"))]
fails(db, "SELECT merge_models(m) FROM (SELECT ? AS m UNION ALL SELECT ?)", G + 'model 2: feature 3 is "d", but "c" in the first', args=named)
fails(db, "SELECT merge_models(m) FROM (SELECT ? AS m UNION ALL SELECT 5)", G + "row 2 of its group: argument 1 (model): an integer; a model (a BLOB) is required", args=(even,))

# ---- messages of learning ----
P = "learn_users: "
cases = [
    ("learn_users('a', '[1]', '[2]')", P + "row 1: argument 1 (user_id): text; an integer is required"),
    ("learn_users(1.0, '[1]', '[2]')", P + "row 1: argument 1 (user_id): a real number; an integer is required"),
    ("learn_users(NULL, '[1]', '[2]')", P + "row 1: argument 1 (user_id): NULL; an integer is required"),
    ("learn_users(7, '[1,2]', '[2]')", P + "row 1: user 7: argument 3 (rejected): 1 numbers, but chosen has 2"),
    ("learn_users(7, 5, '[2]')", P + "row 1: user 7: argument 2 (chosen): an integer; a vector (a BLOB of f64 or f32 numbers, or JSON text such as [1, 2.5]) is required"),
    ("learn_users(7, '[1]', '[2]', x'00')", P + "argument 4: a BLOB; options (JSON text) or NULL is required"),
    ("learn_users(7, '[1]', '[2]', 3)", P + "argument 4: an integer; options (JSON text), a model (a BLOB) or NULL is required"),
    ("learn_users(7, '[1]', '[2]', '{\"method\":\"magic\"}')", None),
    ("learn_users(7, '[1]', '[2]', '{\"method\":\"pooled\",\"pairs\":\"given\"}')", P + 'option "pairs" does not go with pairs'),
    ("learn_users(7, '[1]', '[2]', '{\"lambda\":2}')", P + 'option "lambda" needs option "method" beside it'),
    ("learn_users(7, '[1]', '[2]', '{\"method\":\"pooled\",\"names\":[\"a\",\"b\"]}')", P + 'option "names" has 2 names, but features have 1 numbers'),
    ("learn_users(7, '[1]', '[2]', '{\"method\":\"pooled\",\"names\":[\"\"]}')", P + 'option "names" has empty text as name 1; text is required'),
    ("learn_users(7, '[1]', '[2]', '{\"method\":\"pooled\",\"names\":\"a\"}')", P + 'option "names" is text; an array of texts is required'),
    ("learn_users(7, '[1]', '[2]', '{\"method\":\"pooled\",\"names\":[]}')", P + 'option "names" is empty; an array of texts is required'),
    ("learn_users(7, '[1]', '[2]', '{\"method\":\"prior\"}')", P + 'method "prior" is for the rewards of 2 to 256 reward models, and features have 1 numbers; "pooled" takes any'),
    ("learn_users(7, zeroblob(2056), '[2]', '{\"dim\":257,\"method\":\"prior\"}')", P + "row 1: user 7: argument 3 (rejected): 1 numbers where 257 are expected"),
    ("learn_users(7, persona_vector('[1,2]', 'f64', 'f32'), persona_vector('[2,2]', 'f64', 'f32'), '{\"type\":\"f32\",\"method\":\"prior\"}')", P + 'method "prior" is for rewards, not for f32 embeddings; "pooled" takes both'),
    ("learn_users(7, '[1e200]', '[-1e200]', '{\"method\":\"pooled\"}')", P + "features differ by too much to compute with; scale them"),
    ("learn_users(7, '[1e-200]', '[-1e-200]', '{\"method\":\"pooled\"}')", P + "features differ by too little to compute with; scale them"),
    ("learn_users_choices(7, 'a', '[1]', 'best')", "learn_users_choices: user 7: argument 2 (choice_set): text; an integer that identifies one showing is required"),
    ("learn_users_choices(7, 1, NULL, 'best')", "learn_users_choices: user 7: choice_set 1: argument 3 (features): NULL; every response that was shown needs its features"),
    ("learn_users_choices(7, 1, '[1]', 'good')", "learn_users_choices: user 7: choice_set 1: argument 4 (feedback): 'good'; 'best', 'worst' or NULL is required"),
]
for sql, message in cases:
    if message:
        fails(db, "SELECT " + sql, message)
for values, message in (("(1, 5, '[1]', 'best'), (1, 5, '[2]', 'best')", "user 1: choice_set 5 has several rows marked 'best'; at most one is accepted"), ("(1, 5, '[1]', 'worst'), (2, 5, '[2]', 'worst'), (2, 5, '[3]', 'worst')", "user 2: choice_set 5 has several rows marked 'worst'; at most one is accepted")):
    fails(db, f"SELECT learn_users_choices(column1, column2, column3, column4, '{{\"method\":\"pooled\"}}') FROM (VALUES {values})", "learn_users_choices: " + message)
fails(db, "SELECT learn_users(column1, column2, column3, column4) FROM (VALUES (1, '[1]', '[2]', '{}'), (1, '[1]', '[2]', NULL))", P + "options are given on some rows and absent on others; they must be the same on every row of a group")
# every option of every method, out of its range and of a wrong type
for method, options in db.execute("SELECT method, options FROM persona_methods() WHERE function = 'learn_users'").fetchall():
    for key in json.loads(options):
        for bad in ({key: []}, {key: -1e30}, {key: True}):
            try:
                found = f"no error: {db.execute('SELECT learn_users(1, ?, ?, ?)', ('[1,2]', '[2,1]', json.dumps(dict({'method': method}, **bad)))).fetchone()}"
            except sqlite3.OperationalError as e:
                found = str(e)
            ok(found.startswith(f'learn_users: option "{key}"'), f"{method}: {json.dumps(bad)} is refused", found)

# ---- altered models, with a right checksum: an answer or an error, never harm ----
fuzz, answers = random.Random(3), 0
for (table, method), blob in models.items():
    good = wrong = 0
    for _ in range(150):
        b = bytearray(blob)
        for _ in range(fuzz.randrange(1, 4)):
            at = fuzz.randrange(16, len(b))
            b[at] = fuzz.choice([0, 1, 2, 127, 128, 255, fuzz.randrange(256)])
        if fuzz.random() < .2:
            b = b[:len(b) - 8 * fuzz.randrange(1, 9)]
        try:
            w = np.frombuffer(db.execute(f"SELECT {ADAPT[table].format('?')} FROM {table} WHERE user_id = 2", (seal(bytes(b)),)).fetchone()[0])
            good += 1
            wrong += not np.all(np.isfinite(w))
        except sqlite3.DatabaseError as e:
            wrong += "model" not in str(e) and "option" not in str(e) and "numbers" not in str(e) and "features" not in str(e)
    ok(wrong == 0 and good > 0, f"{table}, {method}: 150 altered models give finite weights ({good}) or say what is wrong")

# ---- L6: interrupts ----
db.execute("CREATE TABLE many(user_id, chosen, rejected)")
big = rng.standard_normal((2000, 64))
db.executemany("INSERT INTO many VALUES (?, ?, ?)", [(i % 800, big[rng.randint(2000)].tobytes(), big[rng.randint(2000)].tobytes()) for i in range(40000)])
for threads in (1, 4):
    db.execute("SELECT persona_config('threads', ?)", (threads,))
    for method in METHODS:
        options = json.dumps({"method": method, **({"iterations": 100} if method == "prior" else {"iterations": 1000000} if method != "neighbors" else {})})
        if method == "pooled":
            options = json.dumps({"method": method, "lambda": 1e-6})
        found = interrupted(db, "SELECT learn_users(user_id, chosen, rejected, ?) FROM many", (options,))
        ok(found.endswith("interrupted") or (found == "no error" and method in ("neighbors", "pooled")), f"L6 {method} is interrupted, threads {threads}", found)
db.execute("SELECT persona_config('threads', 0)")
eq(learn("pairs", "pooled"), models["pairs", "pooled"], "afterwards the connection answers as before")
done()
