"""The persistent tables against ordinary tables: random writes under every conflict clause and nested savepoints must
leave the same rows, and pushed-down filters and orders must give what they give without push-down."""
import os
import random
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *

db = connect()
rng = random.Random(20240607)
db.execute("CREATE VIRTUAL TABLE r USING persona_responses(a, b)")
db.execute("""CREATE TABLE t(response_id INTEGER PRIMARY KEY, prompt_id INTEGER NOT NULL, position INTEGER NOT NULL CHECK(position > 0),
  model TEXT, text TEXT, a REAL, b REAL, embedding BLOB, UNIQUE(prompt_id, position))""")
db.execute("CREATE VIRTUAL TABLE p USING persona_prompts")
db.execute("CREATE TABLE q(prompt_id INTEGER PRIMARY KEY, split TEXT, source TEXT, text TEXT, embedding BLOB)")
RC = "response_id, prompt_id, position, model, text, a, b, embedding"
PC = "prompt_id, split, source, text, embedding"


def rows(sql, args=()):
    return db.execute(sql, args).fetchall()


def attempt(sql, args):
    """What a statement does, by class: an ordinary table's errors carry other words."""
    try:
        db.execute(sql, args)
        return "done"
    except sqlite3.IntegrityError:
        return "refused"


def value():
    return rng.choice([None, rng.randint(-3, 9), rng.random(), f"{rng.randint(0, 9)}"])


def score():
    return rng.choice([None, rng.randint(-3, 9), rng.uniform(-2, 2)])


def key(low, high):
    x = rng.randint(low, high)
    return rng.choice([x] * 8 + [float(x), str(x), None])


def embedding():
    return rng.choice([None, bytes(12), b"\0\0\x80?" * 3])


def clause():
    return rng.choice(["", "", " OR IGNORE", " OR REPLACE", " OR FAIL", " OR ROLLBACK", " OR ABORT"])


def response_write():
    kind = rng.randint(0, 9)
    if kind < 4:
        n = rng.choice([1, 1, 3])
        one = "(?,?,?,?,?,?,?,?)"
        args = [x for _ in range(n) for x in (rng.choice([None, rng.randint(1, 40)]), key(1, 8), key(0, 5), value(), value(), score(), score(), embedding())]
        return f"INSERT{clause()} INTO {{}}({RC}) VALUES " + ",".join([one] * n), args
    if kind < 8:
        sets = rng.sample(["response_id = ?", "response_id = response_id + ?", "prompt_id = ?", "prompt_id = prompt_id + ?", "position = ?", "model = ?", "text = ?", "a = ?", "b = ?", "a = b * ?", "embedding = ?"], rng.randint(1, 3))
        names = [s.split()[0] for s in sets]
        if len(set(names)) < len(names):
            return response_write()
        args = []
        for s in sets:
            c = s.split()[0]
            args.append(rng.randint(1, 40) if c == "response_id" else key(1, 8) if c == "prompt_id" else key(0, 5) if c == "position" else embedding() if c == "embedding" else score() if c in "ab" else value())
        return f"UPDATE{clause()} {{}} SET {', '.join(sets)} WHERE +response_id BETWEEN ? AND ?", args + sorted((rng.randint(1, 40), rng.randint(1, 40)))
    return "DELETE FROM {} WHERE prompt_id = ? OR response_id > ?", [rng.randint(1, 8), rng.randint(20, 60)]


def prompt_write():
    kind = rng.randint(0, 9)
    if kind < 4:
        return f"INSERT{clause()} INTO {{}}({PC}) VALUES (?,?,?,?,?), (?,?,?,?,?)", [x for _ in range(2) for x in (rng.choice([None, rng.randint(1, 20)]), value(), value(), value(), embedding())]
    if kind < 8:
        c = rng.choice(["prompt_id", "split", "source", "text", "embedding"])
        x = key(1, 20) if c == "prompt_id" else embedding() if c == "embedding" else value()
        return f"UPDATE{clause()} {{}} SET {c} = ? WHERE +prompt_id BETWEEN ? AND ?", [x] + sorted((rng.randint(1, 20), rng.randint(1, 20)))
    return "DELETE FROM {} WHERE prompt_id = ?", [rng.randint(1, 20)]


def same():
    return rows(f"SELECT {RC} FROM r ORDER BY response_id") == rows(f"SELECT {RC} FROM t ORDER BY response_id") and rows(f"SELECT {PC} FROM p ORDER BY prompt_id") == rows(f"SELECT {PC} FROM q ORDER BY prompt_id")


def orphans():
    return rows("SELECT count(*) FROM r_text WHERE response_id NOT IN (SELECT response_id FROM r_scores) UNION ALL SELECT count(*) FROM r_embeddings WHERE response_id NOT IN (SELECT response_id FROM r_scores) UNION ALL SELECT count(*) FROM p_text WHERE prompt_id NOT IN (SELECT prompt_id FROM p_rows)") != [(0,)] * 3


good, trail, outcomes = True, [], {}
for step in range(6000):
    action = rng.random()
    if action < .8:
        (sql, args), pair = (response_write(), "rt") if rng.random() < .7 else (prompt_write(), "pq")
        # ROLLBACK ends the transaction for both, so the second must not run after the first ended it.
        if " OR ROLLBACK" in sql and db.in_transaction:
            continue
        got, want = attempt(sql.format(pair[0]), args), attempt(sql.format(pair[1]), args)
        trail.append((sql, args, got, want))
        outcomes[got] = outcomes.get(got, 0) + 1
        good = got == want
    else:
        depth = rng.randint(0, 2)
        sql = rng.choice(["BEGIN", "COMMIT", "ROLLBACK", f"SAVEPOINT s{depth}", f"SAVEPOINT s{depth}", f"ROLLBACK TO s{depth}", f"ROLLBACK TO s{depth}", f"RELEASE s{depth}"])
        try:
            db.execute(sql)
        except sqlite3.OperationalError:
            sql += " (no such)"
        trail.append(sql)
    good = good and same() and (step % 50 or not orphans())
    if not good:
        break
ok(good and len(outcomes) == 2, f"{step + 1} random writes and savepoints leave what they leave in ordinary tables", "\n".join(map(str, trail[-4:])))
if db.in_transaction:
    db.execute("COMMIT")
ok(not orphans(), "and no text or embedding without its row")
eq(rows("PRAGMA integrity_check"), [("ok",)], "integrity_check")

# ---- the planner ------------------------------------------------------------------------------------------------------
db.execute("DELETE FROM r")
db.execute("DELETE FROM t")
data = [(i, rng.randint(-4, 12), 0, f"m{i % 3}", f"text {i}", i / 7, None if i % 5 == 0 else -i, None) for i in rng.sample(range(-50, 400), 120)]
last = {}
for row in data:
    last[row[1]] = last.get(row[1], 0) + 1
    row = row[:2] + (last[row[1]],) + row[3:]
    for table in "rt":
        db.execute(f"INSERT INTO {table}({RC}) VALUES (?,?,?,?,?,?,?,?)", row)
bounds = ["5", "-4", "12", "100", "5.5", "-0.5", "1e300", "-9e999", "'7'", "'7.0'", "'x'", "''", "NULL", "x'05'", "9223372036854775807", "CAST('5' AS TEXT)", "(SELECT 5)"]
terms = []
for column in ("response_id", "rowid", "prompt_id", "position"):
    for op in ("=", "<", "<=", ">", ">=", "IS", "<>", "IS NOT"):
        terms += [f"{column} {op} {b}" for b in bounds]
    terms += [f"{column} IN (1, 3, '5', 7.0, NULL, 200)", f"{column} BETWEEN 2 AND 9", f"{column} IS NULL", f"{column} IS NOT NULL", f"5 < {column}", f"{column} NOT IN (1, 2)", f"{column} = 3 OR {column} > 300"]
orders = ["", "", "response_id", "response_id DESC", "rowid DESC, text", "prompt_id, position", "prompt_id DESC, position DESC", "prompt_id, position DESC", "position, prompt_id, text", "prompt_id, response_id DESC", "position DESC, response_id", "text", "model, response_id", "prompt_id, model, response_id", "a DESC"]


def unpushed(term):
    for column in ("response_id", "rowid", "prompt_id", "position"):
        term = term.replace(f"{column} ", f"+{column} ").replace(f"< {column}", f"< +{column}")
    return term




def settle(found, order):
    """What the ORDER BY leaves open must not matter: only the sorted columns keep their order then."""
    keys = [RC.split(", ").index(o.split()[0].replace("rowid", "response_id")) for o in order.split(", ")] if order else []
    return [[row[k] for k in keys] for row in found], sorted(found, key=str)


wrong = []
for n in range(1500):
    where = rng.sample(terms, rng.choice([1, 1, 2, 3])) if n >= len(terms) else [terms[n]]
    order = rng.choice(orders)
    limit = rng.choice(["", "", " LIMIT 5", " LIMIT 3 OFFSET 2"]) if "_id" in order and ("position" in order or "response_id" in order) else ""
    tail = (f" ORDER BY {order}" if order else "") + limit
    got = settle(rows(f"SELECT {RC} FROM r WHERE {' AND '.join(where)}{tail}"), order)
    plain = settle(rows(f"SELECT {RC} FROM t WHERE {' AND '.join(where)}{tail}"), order)
    # Unary plus also takes the column's affinity away, so text bounds mean something else, there and in the twin.
    off = settle(rows(f"SELECT {RC} FROM r WHERE {' AND '.join(map(unpushed, where))}{tail}"), order)
    plain_off = settle(rows(f"SELECT {RC} FROM t WHERE {' AND '.join(map(unpushed, where))}{tail}"), order)
    if got != plain or off != plain_off or (got != off and "'" not in "".join(where)):
        wrong.append((where, tail))
ok(not wrong, "1500 filters and orders give what ordinary tables and the same query without push-down give", "\n".join(map(str, wrong[:5])))


def plan(sql):
    return [row[3] for row in rows("EXPLAIN QUERY PLAN " + sql)]


def pushed(sql, want, name):
    eq(plan(sql), [f"SCAN {'p' if ' p ' in sql else 'r'} VIRTUAL TABLE INDEX 0:" + want] if isinstance(want, str) else want, name)


pushed("SELECT * FROM r WHERE response_id = 5", " WHERE response_id=?", "equality on response_id is pushed down")
pushed("SELECT * FROM r WHERE rowid > 5 AND rowid <= 9", " WHERE response_id>? AND response_id<=?", "ranges on the rowid are")
pushed("SELECT * FROM r WHERE prompt_id = 5 AND position < 3", " WHERE prompt_id=? AND position<?", "prompt_id and position are")
pushed("SELECT * FROM p WHERE prompt_id >= 5", " WHERE prompt_id>=?", "prompt_id of prompts is")
pushed("SELECT * FROM r WHERE +response_id = 5", "", "unary plus keeps it out")
pushed("SELECT * FROM r WHERE text = 'x' AND a > 2", "", "other columns are not pushed down")
pushed("SELECT * FROM r ORDER BY response_id DESC", " ORDER BY response_id DESC", "ORDER BY response_id needs no sorter")
pushed("SELECT * FROM r ORDER BY prompt_id, position, text", " ORDER BY prompt_id, position", "nor does ORDER BY prompt_id, position and what follows")
pushed("SELECT * FROM p ORDER BY prompt_id", " ORDER BY prompt_id", "nor prompts by prompt_id")
eq(plan("SELECT * FROM r ORDER BY text, response_id"), ["SCAN r VIRTUAL TABLE INDEX 0:", "USE TEMP B-TREE FOR ORDER BY"], "any other order does")
eq(plan("SELECT * FROM p JOIN r USING(prompt_id) WHERE split = 'test'"), ["SCAN p VIRTUAL TABLE INDEX 0:", "SCAN r VIRTUAL TABLE INDEX 0: WHERE prompt_id=?"], "a join looks the responses of a prompt up")
eq(rows("SELECT max(response_id), min(response_id) FROM r"), rows("SELECT max(response_id), min(response_id) FROM t"), "min and max")
eq(rows("SELECT prompt_id, count(*), sum(a) FROM r GROUP BY prompt_id"), rows("SELECT prompt_id, count(*), sum(a) FROM t GROUP BY prompt_id"), "GROUP BY prompt_id")
eq(rows("SELECT DISTINCT prompt_id FROM r ORDER BY 1 DESC"), rows("SELECT DISTINCT prompt_id FROM t ORDER BY 1 DESC"), "DISTINCT")
eq(rows("SELECT x.response_id, y.response_id FROM r x JOIN r y ON y.prompt_id = x.prompt_id AND y.position = x.position + 1 ORDER BY 1"), rows("SELECT x.response_id, y.response_id FROM t x JOIN t y ON y.prompt_id = x.prompt_id AND y.position = x.position + 1 ORDER BY 1"), "a self-join: two cursors on one table")
eq(rows("SELECT response_id, (SELECT count(*) FROM r y WHERE y.prompt_id = x.prompt_id AND y.text < x.text) FROM r x ORDER BY 1"), rows("SELECT response_id, (SELECT count(*) FROM t y WHERE y.prompt_id = x.prompt_id AND y.text < x.text) FROM t x ORDER BY 1"), "a correlated subquery")
eq(rows("SELECT max(raw_rewards) FROM r"), rows("SELECT raw_rewards FROM r ORDER BY raw_rewards DESC LIMIT 1"), "a vector outlives the row it came from")
db.execute("DELETE FROM r WHERE prompt_id IN (SELECT prompt_id FROM r WHERE a > 40)")
db.execute("DELETE FROM t WHERE prompt_id IN (SELECT prompt_id FROM t WHERE a > 40)")
db.execute("INSERT INTO r(prompt_id, position, a) SELECT prompt_id + 100, position, a FROM r WHERE a < 3")
db.execute("INSERT INTO t(prompt_id, position, a) SELECT prompt_id + 100, position, a FROM t WHERE a < 3 ORDER BY response_id")
db.execute("UPDATE r SET a = (SELECT max(a) FROM r y WHERE y.prompt_id = r.prompt_id) WHERE position = 1")
db.execute("UPDATE t SET a = (SELECT max(a) FROM t y WHERE y.prompt_id = t.prompt_id) WHERE position = 1")
eq(rows(f"SELECT {RC} FROM r"), rows(f"SELECT {RC} FROM t"), "statements that read the table they write")
cursor = db.execute("SELECT response_id FROM r WHERE response_id > -1000")
seen = [cursor.fetchone()]
db.execute("INSERT INTO r(prompt_id, position) VALUES(999, 1)")
db.execute("DELETE FROM r WHERE response_id = (SELECT max(response_id) FROM r)")
seen += cursor.fetchall()
eq(seen, rows("SELECT response_id FROM r"), "a scan goes on while another statement writes")
done()
