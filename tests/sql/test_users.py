"""persona_users: contract, numpy equality, planner, transactions, errors (rules U1..U6 of vt_users.c, A1..A4 of
users_decl.c)."""
import os
import re
import sqlite3
import struct
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import numpy as np

TEN = "models=[a, b, c, d, e, f, g, h, i, j]"
db = connect()


def one(sql, *args):
    return db.execute(sql, args).fetchone()[0]


def create(name, args, on=db):
    on.execute(f"CREATE VIRTUAL TABLE {name} USING persona_users({args})")


def weights(sql, *args):
    return np.array([np.frombuffer(r[0], "<f8") for r in db.execute(sql, args)])


# ---- The published persona (seed 2020, alpha .01) and the other vectors of definitions.md#test-vectors

create("users", f"count=1000, alpha=0.01, seed=2020, {TEN}")
eq(one("SELECT printf('%.15g', a) FROM users WHERE user_id = 0"), "0.999998558383371", "the first published persona, to the last printed digit")
with open(os.path.join(ROOT, "docs/definitions.md"), encoding="utf-8") as f:
    PUBLISHED = re.findall(r"^\| (\d+) \| ([\d.]+) \| ([^|]+, [^|]+) \|$", f.read(), re.M)
eq(len(PUBLISHED), 5, "docs/definitions.md has five test vectors")
for seed, alpha, text in PUBLISHED:
    create("f", f"count=1, alpha={alpha}, seed={seed}, {TEN}")
    got = ", ".join("%.6g" % x for x in weights("SELECT weights FROM f")[0])
    eq(got, text, f"definitions.md#test-vectors: seed {seed}, alpha {alpha}")
    db.execute("DROP TABLE f")

# ---- numpy

VECTOR = [.01, .05, .1, .5, 1, 1.5, 2, 3.5, .999, 1.001]
worst = 0.0
for alpha in [.01, .05, .1, .5, 1, 1.5, 2, 3.5, VECTOR]:
    for seed in (0, 1, 2020, 4294967295):
        create("n", f"count=700, alpha={alpha}, seed={seed}, {TEN}")
        got = weights("SELECT weights FROM n")
        want = np.random.RandomState(seed).dirichlet(alpha if alpha is VECTOR else [alpha] * 10, size=700)
        worst = max(worst, np.max(np.abs(got - want) / np.maximum(want, 1e-290)))
        db.execute("DROP TABLE n")
ok(worst <= 1e-12, f"numpy's users, 9 alphas, 4 seeds (largest relative error {worst:.2g})")
create("n", "count=1000, alpha=0.0005, seed=3, models=[a, b, c]")
with np.errstate(invalid="ignore"):
    want = np.isnan(np.random.RandomState(3).dirichlet([.0005] * 3, size=1000)).any(1)
eq([r[0] for r in db.execute("SELECT weights IS NULL FROM n")], list(want.astype(int)), "NULL weights exactly where numpy gives NaN")
eq(one("SELECT count(*) FROM n WHERE (weights IS NULL) <> (b IS NULL)"), 0, "the columns of such a user are NULL too")
db.execute("DROP TABLE n")
create("n", f"count=100000, {TEN}")
want = np.random.RandomState(0).dirichlet([.05] * 10, size=100000)
ids = [99999, 5, 50000, 4, 99998, 0, 65536, 5]
got = np.array([np.frombuffer(one("SELECT weights FROM n WHERE user_id = ?", i), "<f8") for i in ids])
close(got, want[ids], 1e-12, "numpy users in any order", 1e-300)
eq(one("SELECT count(*) FROM n x JOIN n y ON y.user_id = 99999 - x.user_id WHERE x.user_id < 300 AND x.weights = y.weights"), 0, "two cursors share one sequence")
a = weights("SELECT x.weights FROM n x, n y WHERE x.user_id IN (7, 90000) AND y.user_id IN (7, 90000) AND y.weights IS NOT NULL")
eq(a.tobytes(), np.repeat(a[[0, 2]], 2, axis=0).tobytes(), "two cursors far apart do not disturb each other")
db.execute("DROP TABLE n")

# ---- Contract

eq([(r[1], r[2], r[6]) for r in db.execute("PRAGMA table_xinfo(users)")],
   [("user_id", "INTEGER", 0), ("weights", "BLOB", 0)] + [(m, "REAL", 0) for m in "abcdefghij"] + [("turn", "INTEGER", 1)], "columns")
eq(one("SELECT count(*) FROM users"), 1000, "count")
eq(db.execute("SELECT min(user_id), max(user_id), count(DISTINCT user_id) FROM users").fetchone(), (0, 999, 1000), "ids count from 0")
eq(one("SELECT count(*) FROM users WHERE rowid <> user_id"), 0, "rowid is user_id")
eq([r[1] for r in db.execute("SELECT * FROM users")], [struct.pack("<10d", *r[2:]) for r in db.execute("SELECT * FROM users")], "one column per reward model, in the weights' order")
eq(one("SELECT max(weights) FROM users"), max(w.tobytes() for w in np.random.RandomState(2020).dirichlet([.01] * 10, size=1000)), "max(weights) is not spoilt by later rows")
create("d", "models=[x]")
eq(db.execute("SELECT count(*), min(x) > .999999, max(x) <= 1 FROM d").fetchone(), (1000, 1, 1), "defaults: 1000 users; one reward model has all the weight")
db.execute("DROP TABLE d")
create("d", """ COUNT = '12' , Alpha=(.5, +1e0, 3.),seed = "7" , generator=NumPy, models=["a b", 'c"d', `E`]""")
close(weights("SELECT weights FROM d"), np.random.RandomState(7).dirichlet([.5, 1, 3], size=12), 1e-12, "A1 A2 spaces, quotes, case, both brackets, number forms")
eq([r[1] for r in db.execute("PRAGMA table_info(d)")][2:], ["a b", 'c"d', "E"], "A1 quoted names")
db.execute("DROP TABLE d")
create("d", "count=1e3, models=[a,b]")
eq(one("SELECT count(*) FROM d"), 1000, "A2 1e3 is an integer")
db.execute("DROP TABLE d")
create("d", "alpha=0.1, models=[a,b]")
eq(one("SELECT value FROM d_declaration WHERE key = 'alpha' AND position = 2"), .1, "A2 decimal numbers are read exactly")
eq(db.execute("SELECT key, position, value FROM d_declaration").fetchall(),
   [("alpha", 1, .1), ("alpha", 2, .1), ("count", 0, 1000), ("drift", 0, 0.0), ("first", 0, 0), ("format", 0, 1), ("generator", 0, "numpy"),
    ("min_distance", 0, 0.0), ("model", 1, "a"), ("model", 2, "b"), ("seed", 0, 0)], "A4 the declaration, resolved")
db.execute("DROP TABLE d")
eq(db.execute("SELECT name FROM sqlite_schema WHERE name LIKE 'd%'").fetchall(), [], "DROP leaves nothing")

# ---- Reward models' names from a responses table (A3)

db.execute('CREATE VIRTUAL TABLE responses USING persona_responses(gemma_2b, "my model")')
create("d", "")
eq([r[1] for r in db.execute("PRAGMA table_info(d)")][2:], ["gemma_2b", "my model"], "A3 persona_users() takes its names from responses")
db.execute("DROP TABLE responses")
eq(one("SELECT count(gemma_2b) FROM d"), 1000, "A4 reading does not need the responses table")
db.execute("DROP TABLE d")
db.execute("ATTACH ':memory:' AS other")
db.execute('CREATE VIRTUAL TABLE other.responses USING persona_responses(o1)')
db.execute('CREATE VIRTUAL TABLE responses USING persona_responses(m1)')
db.execute('CREATE VIRTUAL TABLE "my responses" USING persona_responses(q1, q2)')
for args, schema, want in [("", "main", ["m1"]), ("", "other", ["o1"]), ("", "temp", ["m1"]), ("responses=other.responses", "main", ["o1"]),
                           ('responses="my responses"', "main", ["q1", "q2"]), ("responses=[my responses]", "temp", ["q1", "q2"]),
                           ("responses='responses'", "main", ["m1"])]:
    create(f"{schema}.d", args)
    eq([r[1] for r in db.execute(f"PRAGMA {schema}.table_info(d)")][2:], want, f"A3 {schema}.d: {args or 'default'}")
    db.execute(f"DROP TABLE {schema}.d")

# ---- philox

create("p", "count=100000000, generator=philox, seed=5, models=[a,b,c,d,e,f,g,h,i,j]")
eq(one("SELECT count(*) FROM p WHERE user_id >= 99999990"), 10, "100 million users: a range at the end")
eq(db.execute("SELECT a, j FROM p WHERE user_id = 99999999").fetchall(), db.execute("SELECT a, j FROM p WHERE user_id > 99999998").fetchall(), "any user without its predecessors")
eq(one("SELECT count(*) FROM (SELECT 1 FROM p WHERE user_id >= 100000000)"), 0, "no user beyond the last")
create("q", "count=10, first=99999990, generator=philox, seed=5, models=[a,b,c,d,e,f,g,h,i,j]")
eq(db.execute("SELECT * FROM q").fetchall(), db.execute("SELECT * FROM p WHERE user_id >= 99999990").fetchall(), "first: a shard of a population has its users")
db.execute("DROP TABLE q")
create("q", "count=50, generator=philox, drift=0.25, seed=5, models=[a,b,c,d,e,f,g,h,i,j]")
start, later, end = (weights("SELECT weights FROM q WHERE turn = ?", t) for t in (1, 5, 10**9))
eq(start.tobytes(), weights("SELECT weights FROM q").tobytes(), "U2 without turn it is turn 1")
eq(start.tobytes(), weights("SELECT weights FROM p WHERE user_id < 50").tobytes(), "drift does not change where users begin")
close(later, np.exp(-1.0) * start + (1 - np.exp(-1.0)) * end, 1e-12, "drift: turn 5 at .25 is 1 - 1/e of the way", 1e-16)
ok(np.corrcoef(start.ravel(), end.ravel())[0, 1] < .2, "drift: the end is independent of the start")
eq(db.execute("SELECT turn, count(*) FROM q WHERE turn IN (3, 1, 2.0, '4', 2.5, 0, -1, NULL, 'x') GROUP BY 1").fetchall(), [(1, 50), (2, 50), (3, 50), (4, 50)], "U2 whole turns from 1 have rows")
eq([(r[0], r[1]) for r in db.execute("SELECT turn, weights FROM q WHERE turn IN (1, 5) AND user_id = 3")], [(1, start[3].tobytes()), (5, later[3].tobytes())], "U2 each turn has its weights in one scan")
eq([(r[0], r[1]) for r in db.execute("SELECT t.column1, weights FROM (VALUES (5), (1), (5)) t JOIN q ON q.turn = t.column1 WHERE q.user_id = 3")], [(t, w[3].tobytes()) for t, w in ((5, later), (1, start), (5, later))], "U2 and in a join")
eq(one("SELECT count(*) FROM (VALUES (1), (2), (NULL)) t JOIN q ON q.turn = t.column1 WHERE q.user_id = 3"), 2, "U2 turn from a join")
eq(one("SELECT count(DISTINCT rowid) FROM q WHERE turn IN (1, 2, 3)"), 150, "U2 turns of one user are different rows")
eq(db.execute("SELECT user_id, turn FROM q WHERE rowid = (SELECT rowid FROM q WHERE user_id = 7 AND turn = 3) AND turn = 3").fetchall(), [(7, 3)], "U2 a later turn's rowid finds it")
eq(one("SELECT count(*) FROM q WHERE rowid = 7 AND turn = 3"), 0, "U2 and turn 1's does not")


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        p, q = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(q >> 32) ^ c[1] ^ k[0], q & 0xFFFFFFFF, (p >> 32) ^ c[3] ^ k[1], p & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def reference_user(seed, uid, alpha):
    """D1..D4 of core_dirichlet.c, written from that text."""
    logs = []
    for b, al in enumerate(alpha):
        a = 0
        while True:
            at = 2 * (b % 2)
            w = philox([uid & 0xFFFFFFFF, uid >> 32, b // 2, 2 * a], [seed, 1])
            x = philox([uid & 0xFFFFFFFF, uid >> 32, b // 2, 2 * a + 1], [seed, 1])
            bits, fine = w[at] | w[at + 1] << 32, x[at] | x[at + 1] << 32
            low = (1 << 52) - 1
            u = ((bits & low) + .5) / 2.0**52
            v = ((bits >> 52) + ((fine & low) + .5) / 2.0**52) / 4096
            if al <= 1:
                y, t = (0.0, u) if u <= 1 - al else (-np.log((1 - u) / al), None)
                l = np.log(u if t else 1 - al + al * y) / al
                accept = v <= np.exp(y - np.exp(l))
            else:
                root = np.sqrt(2 * al - 1)
                V = np.log(u / (1 - u)) / root
                l = np.log(al) + V
                accept = al - np.log(4) + (al + root) * V - al * np.exp(V) >= np.log(u * u * v)
            if accept:
                logs.append(l)
                break
            a += 1
    e = np.exp(np.array(logs) - max(logs))
    return e / e.sum()


for alpha, seed, first in [([.05] * 10, 5, 0), (VECTOR, 4294967295, 2**40), ([20.0, .3, 1, 1.5, .9], 0, 17)]:
    create("r", f"count=60, generator=philox, alpha={alpha}, seed={seed}, first={first}, models={[chr(97 + i) for i in range(len(alpha))]}")
    close(weights("SELECT weights FROM r"), [reference_user(seed, first + i, alpha) for i in range(60)], 1e-11, f"D1..D4: philox users of seed {seed} written anew in Python", 1e-280)
    db.execute("DROP TABLE r")

# ---- min_distance

W = np.random.RandomState(4).dirichlet([.05] * 4, size=600)
keep, dropped = [], set()
for i in range(600):
    if i not in dropped:
        keep.append(i)
        dropped.update(j for j in range(i + 1, 600) if np.sqrt(((W[i] - W[j]) ** 2).sum()) < .1)
create("m", "count=600, seed=4, min_distance=0.1, models=[a,b,c,d]")
close(weights("SELECT weights FROM m"), W[keep], 1e-12, f"min_distance: the published greedy filter keeps {len(keep)} of 600", 1e-300)
eq(db.execute("SELECT min(user_id), max(user_id) FROM m").fetchone(), (0, len(keep) - 1), "min_distance: survivors are renumbered")
create("m0", "count=600, seed=4, min_distance=0, models=[a,b,c,d]")
eq(one("SELECT count(*) FROM m0"), 600, "min_distance=0 keeps all")
db.execute("DROP TABLE m0")

# ---- Planner: what is pushed down equals the same without, and an ordinary table (U3)

db.execute("CREATE TABLE copy AS SELECT * FROM users")
values = ["-1", "0", "1", "17", "998", "999", "1000", "17.5", "-0.5", "999.0", "1e300", "-1e300", "9e999", "'17'", "'17.5'", "'x'", "x'3137'", "NULL", "9223372036854775807", "-9223372036854775808"]
bad = []
for v in values:
    for op in ("=", "<", "<=", ">", ">=", "IS", "<>"):
        got = db.execute(f"SELECT user_id FROM users WHERE user_id {op} {v} ORDER BY user_id").fetchall()
        if got != db.execute(f"SELECT user_id FROM copy WHERE user_id {op} {v} ORDER BY user_id").fetchall():
            bad.append((op, v, len(got)))
        if "'" not in v and got != db.execute(f"SELECT user_id FROM users WHERE +user_id {op} {v} ORDER BY user_id").fetchall():
            bad.append(("+", op, v))
eq(bad, [], f"U3 {7 * len(values)} comparisons with user_id agree with a table and with unary plus")
bad = [v for v in values if "'" not in v and db.execute(f"SELECT user_id FROM users WHERE rowid = {v}").fetchall() != db.execute(f"SELECT user_id FROM users WHERE +rowid = {v}").fetchall()]
eq(bad, [], "U3 rowid equality agrees with unary plus")
for where in ["user_id > 5 AND user_id <= 9", "user_id BETWEEN 990 AND 2000", "user_id > 9 AND user_id < 3", "user_id > 5 AND user_id > 900 AND user_id < 903", "user_id = 5 AND user_id = 6",
              "user_id IN (3, 1, 2, 3, 5000, NULL, 'a')", "user_id = 3 OR user_id = 4 OR a > .9999", "user_id < 40 AND a > .5", "user_id IN (SELECT user_id + 1 FROM copy WHERE user_id % 100 = 0)"]:
    eq(db.execute(f"SELECT * FROM users WHERE {where} ORDER BY user_id").fetchall(), db.execute(f"SELECT * FROM copy WHERE {where} ORDER BY user_id").fetchall(), f"U3 {where[:60]}")
eq(db.execute("SELECT * FROM users ORDER BY user_id DESC LIMIT 3").fetchall(), db.execute("SELECT * FROM copy ORDER BY user_id DESC LIMIT 3").fetchall(), "descending order")


def plan(sql):
    return " / ".join(r[3] for r in db.execute("EXPLAIN QUERY PLAN " + sql))


eq(plan("SELECT * FROM users ORDER BY user_id"), "SCAN users VIRTUAL TABLE INDEX 0:", "ascending order needs no sort")
eq(plan("SELECT * FROM users WHERE user_id > 3 AND user_id <= 7 AND turn = 2"), "SCAN users VIRTUAL TABLE INDEX 0:>Lt", "the plan of a range at a turn")
eq(plan("SELECT * FROM copy c JOIN users u ON u.user_id = c.user_id"), "SCAN c / SCAN u VIRTUAL TABLE INDEX 0:=", "a join looks users up by id")
eq(plan("SELECT * FROM p JOIN users u ON u.user_id = p.user_id"), "SCAN u VIRTUAL TABLE INDEX 0: / SCAN p VIRTUAL TABLE INDEX 0:=", "the smaller population is the outer loop")
fails(db, "SELECT * FROM q x JOIN q y ON x.turn = y.turn + 1 AND y.turn = x.turn - 1", "no query solution", "turns that depend on each other have no plan, rather than a wrong answer")

# ---- Transactions, rename, drop, VACUUM, other connections

folder = scratch()
path = os.path.join(folder, "a.db")
disk = connect(path)
create("users", f"count=5, {TEN}", disk)
rows = disk.execute("SELECT * FROM users").fetchall()
disk.execute("BEGIN")
create("t", "models=[a,b]", disk)
disk.execute("SAVEPOINT s")
create("t2", "models=[a,b]", disk)
eq(disk.execute("SELECT count(*) FROM t2").fetchone(), (1000,), "usable in the transaction that creates it")
disk.execute("ROLLBACK TO s")
fails(disk, "SELECT * FROM t2", "no such table: t2", "ROLLBACK TO takes a table back")
eq(disk.execute("SELECT count(*) FROM t").fetchone(), (1000,), "ROLLBACK TO keeps the earlier table")
disk.execute("ROLLBACK")
eq([r[0] for r in disk.execute("SELECT name FROM sqlite_schema ORDER BY 1")], ["users", "users_declaration"], "ROLLBACK leaves nothing")
disk.execute("BEGIN")
disk.execute("DROP TABLE users")
disk.execute("ROLLBACK")
eq(disk.execute("SELECT * FROM users").fetchall(), rows, "DROP can be rolled back")
disk.execute('ALTER TABLE users RENAME TO "my ""users"')
eq(disk.execute('SELECT * FROM "my ""users"').fetchall(), rows, "rename")
eq([r[0] for r in disk.execute("SELECT name FROM sqlite_schema ORDER BY 1")], ['my "users', 'my "users_declaration'], "rename takes the shadow table along")
disk.execute("BEGIN")
disk.execute('ALTER TABLE "my ""users" RENAME TO x')
disk.execute("ROLLBACK")
eq(disk.execute('SELECT * FROM "my ""users"').fetchall(), rows, "a rename can be rolled back")
disk.execute('ALTER TABLE "my ""users" RENAME TO users')
disk.execute("VACUUM")
eq(disk.execute("SELECT * FROM users").fetchall(), rows, "VACUUM")
disk.execute("VACUUM INTO ?", (os.path.join(folder, "b.db"),))
create("drifting", "count=7, first=3, generator=philox, drift=0.3, seed=9, alpha=[0.5, 2], models=[a,b]", disk)
seen = disk.execute("SELECT * FROM drifting WHERE turn = 4").fetchall()
eq(connect(path).execute("SELECT * FROM drifting WHERE turn = 4").fetchall(), seen, "another connection reads every argument from the declaration")
disk.execute("DROP TABLE drifting")
create("far", "count=300, min_distance=0.2, alpha=0.7, seed=9, models=[a,b]", disk)
eq(connect(path).execute("SELECT * FROM far").fetchall(), disk.execute("SELECT * FROM far").fetchall(), "min_distance too")
disk.execute("DROP TABLE far")
second = connect(path)
eq(second.execute("SELECT * FROM users").fetchall(), rows, "another connection")
copy = connect(os.path.join(folder, "b.db"))
eq(copy.execute("SELECT * FROM users").fetchall(), rows, "VACUUM INTO")
copy.execute("ATTACH ? AS a", (path,))
eq(copy.execute("SELECT * FROM a.users").fetchall(), rows, "ATTACH")
eq(disk.execute("PRAGMA integrity_check").fetchall(), [("ok",)], "integrity_check")
plain = sqlite3.connect(path)
eq(plain.execute("SELECT count(*) FROM users_declaration").fetchone(), (27,), "without the extension the declaration is readable")
eq(plain.execute("PRAGMA integrity_check").fetchall(), [("ok",)], "without the extension integrity_check passes")
plain.execute("VACUUM")
plain.close()
eq(disk.execute("SELECT * FROM users").fetchall(), rows, "a VACUUM without the extension changes nothing")
before = disk.total_changes, os.stat(path).st_mtime_ns
disk.execute("SELECT count(*), max(weights) FROM users").fetchall()
eq((disk.total_changes, os.stat(path).st_mtime_ns), before, "U5 reads never write")
for mode in ("ro", "rw&immutable=1"):
    only = connect(f"file:{path}?mode={mode}", uri=True)
    eq(only.execute("SELECT * FROM users").fetchall(), rows, f"mode={mode}: readable")
only = connect(f"file:{path}?mode=ro", uri=True)
fails(only, "CREATE VIRTUAL TABLE x USING persona_users(models=[a])", "attempt to write a readonly database", "a read-only database")
fails(only, "DROP TABLE users", "attempt to write a readonly database", "a read-only database: drop")
eq(only.execute("SELECT * FROM users").fetchall(), rows, "still readable after a failed DROP")
only.execute("CREATE VIRTUAL TABLE temp.tu USING persona_users(count=2, models=[a])")
eq(only.execute("SELECT count(*) FROM tu").fetchone(), (2,), "a temporary population over a read-only database")
disk.execute("CREATE VIEW v AS SELECT user_id, weights FROM users")
disk.execute("PRAGMA trusted_schema = 0")
eq(disk.execute("SELECT count(weights) FROM v").fetchone(), (5,), "a view works with trusted_schema=0 (INNOCUOUS)")
disk.execute("CREATE VIRTUAL TABLE IF NOT EXISTS users USING persona_users(models=[a])")
eq(disk.execute("SELECT count(*) FROM users").fetchone(), (5,), "IF NOT EXISTS keeps the old one")
if hasattr(disk, "setconfig"):
    disk.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)

# A declaration that another connection replaces

other = connect(path)
other.execute("DROP VIEW v")
other.execute("DROP TABLE users")
create("users", "count=3, models=[z]", other)
eq(disk.execute("SELECT count(z), count(*) FROM users").fetchone(), (3, 3), "a table replaced by another connection is seen")

# ---- Interrupts

for args, sql in [("count=9007199254740992", "SELECT a FROM long WHERE user_id = 9007199254740990"), ("count=50000, min_distance=0.000001", "SELECT count(*) FROM long")]:
    create("long", f"{args}, {TEN}")
    timer = threading.Timer(.1, db.interrupt)
    timer.start()
    fails(db, sql, "long: interrupted", f"interrupted: {args}")
    timer.join()
    eq(one("SELECT count(*) FROM users"), 1000, "the connection answers after an interrupt")
    db.execute("DROP TABLE long")

# ---- Writing is refused (U5)

REFUSED = "users: a persona_users table is computed from its declaration and cannot be written; CREATE TABLE ... AS SELECT * FROM users makes a copy that can"
for sql in ("INSERT INTO users(user_id) VALUES (5000)", "UPDATE users SET a = 0", "DELETE FROM users WHERE user_id = 3"):
    fails(db, sql, REFUSED, f"U5 {sql.split()[0]}")
eq(one("SELECT count(*) FROM users"), 1000, "U5 nothing changed")
db.execute("CREATE VIRTUAL TABLE many USING persona_users(count=9007199254740992, generator=philox, models=[a])")
db.set_progress_handler(lambda: 1, 1_000_000)  # a scan for what to write would take years
for sql in ("UPDATE many SET a = 0 WHERE user_id > 7", "DELETE FROM many"):
    fails(db, sql, REFUSED.replace("users:", "many:").replace("FROM users", "FROM many"), f"U5 {sql.split()[0]}, at once")
db.set_progress_handler(None, 0)
db.execute("DROP TABLE many")
db.execute("CREATE VIRTUAL TABLE many USING persona_users(count=100000, generator=philox, models=[a, b, c, d, e, f, g, h])")
most = one("SELECT max(a) FROM many")
eq(db.execute("SELECT t.column1, max(a) FROM (VALUES (8), (2), (5)) t CROSS JOIN many WHERE persona_config('threads', t.column1) = t.column1 GROUP BY 1").fetchall(),
   [(2, most), (5, most), (8, most)], "scans of one cursor on other numbers of threads")
db.execute("DROP TABLE many")
one("SELECT persona_config('threads', 0)")
with db:
    db.execute("BEGIN")
    db.execute("CREATE VIRTUAL TABLE fresh USING persona_users(count=10, models=[a])")
    fails(db, "DELETE FROM fresh", REFUSED.replace("users:", "fresh:").replace("FROM users", "FROM fresh"), "U5 in the transaction that declared it")
    eq(one("SELECT count(*) FROM fresh"), 10, "U5 nothing changed there")
    db.execute("ROLLBACK")

# ---- Damaged declarations (U6)

CHANGES = [
    ("DELETE FROM x_declaration WHERE key = 'alpha'", "its declaration is incomplete"),
    ("DELETE FROM x_declaration WHERE key = 'seed'", "its declaration is incomplete"),
    ("UPDATE x_declaration SET value = 2 WHERE key = 'format'", "its declaration has format 2; this version reads format 1"),
    ("UPDATE x_declaration SET value = 'many' WHERE key = 'count'", "count is -1; 1 to 9007199254740992 users are allowed"),
    ("UPDATE x_declaration SET value = -3 WHERE key = 'alpha' AND position = 2", "alpha (element 2) is -3; numbers from 1e-06 to 1e+06 are allowed"),
    ("UPDATE x_declaration SET value = 'A' WHERE key = 'model' AND position = 2", 'reward model "A" is named twice (case does not count)'),
    ("UPDATE x_declaration SET value = 'turn' WHERE key = 'model' AND position = 2", 'a reward model cannot be called "turn": a column has that name'),
    ("INSERT INTO x_declaration VALUES ('colour', 0, 1)", 'its declaration has an unexpected "colour" at position 0'),
    ("DROP TABLE x_declaration", "no such table: main.x_declaration"),
    ("ALTER TABLE x_declaration RENAME TO y; CREATE VIEW x_declaration AS SELECT 'count' AS key, user_id AS position, 5 AS value FROM x", "vtable constructor called recursively: x"),
]
for change, message in CHANGES:
    path = os.path.join(folder, "damaged.db")
    setup = connect(path)
    create("x", "models=[a,b]", setup)
    setup.executescript(change)
    setup.close()
    hurt = connect(path)
    fails(hurt, "SELECT count(*) FROM x", "x: " + message, f"U6 {message[:70]}")
    if "VIEW" in change:
        hurt.executescript("DROP VIEW x_declaration; DROP TABLE y")
    hurt.execute("DROP TABLE x")
    eq(hurt.execute("SELECT count(*) FROM sqlite_schema").fetchone(), (0,), "U6 and the table can be dropped")
    hurt.close()

# ---- Bad arguments

db.execute("DROP TABLE main.responses")
db.execute("DROP TABLE other.responses")
KNOWN = "count, alpha, seed, generator, first, min_distance, drift, responses, models"
BAD = [
    ("cuont=5", f'unknown argument "cuont"; known arguments: {KNOWN}'),
    ("1000", f'argument 1 is "1000"; name=value is required, with name one of: {KNOWN}'),
    ("count=5, COUNT=6, models=[a]", 'argument "count" is given twice'),
    ("count=, models=[a]", 'argument "count" has no value'),
    ("=5", f'unknown argument ""; known arguments: {KNOWN}'),
    ("count=many, models=[a]", 'count is "many"; an integer is required'),
    ("count=1.5, models=[a]", "count is 1.5; an integer (within 2^53) is required"),
    ("count=0, models=[a]", "count is 0; 1 to 9007199254740992 users are allowed"),
    ("count=-7, models=[a]", "count is -7; 1 to 9007199254740992 users are allowed"),
    ("count=1e300, models=[a]", "count is 1e300; an integer (within 2^53) is required"),
    ("count=9223372036854775808, models=[a]", "count is 9223372036854775808; an integer (within 2^53) is required"),
    ("count=0x10, models=[a]", 'count is "0x10"; an integer is required'),
    ("count=1 000, models=[a]", 'count is "1 000"; an integer is required'),
    ("seed=-1, models=[a]", "seed is -1; 0 to 4294967295 is allowed"),
    ("seed=4294967296, models=[a]", "seed is 4294967296; 0 to 4294967295 is allowed"),
    ("seed=now, models=[a]", 'seed is "now"; an integer is required'),
    ("alpha=0, models=[a]", "alpha (element 1) is 0; numbers from 1e-06 to 1e+06 are allowed"),
    ("alpha=-1, models=[a]", "alpha (element 1) is -1; numbers from 1e-06 to 1e+06 are allowed"),
    ("alpha=nan, models=[a]", 'alpha is "nan"; a number is required'),
    ("alpha=1e999, models=[a]", "alpha (element 1) is inf; numbers from 1e-06 to 1e+06 are allowed"),
    ("alpha=1e7, models=[a]", "alpha (element 1) is 1e+07; numbers from 1e-06 to 1e+06 are allowed"),
    ("alpha=., models=[a]", 'alpha is "."; a number is required'),
    ("alpha='1e', models=[a]", 'alpha is "1e"; a number is required'),
    ("alpha=[1, 2], models=[a]", "alpha has 2 numbers, but there are 1 reward models"),
    ("alpha=[], models=[a]", 'alpha is ""; a number is required'),
    ("alpha=[1, x], models=[a, b]", 'alpha is "x"; a number is required'),
    ("alpha=(1, 2, models=[a]", None),
    ("generator=mersenne, models=[a]", 'generator is "mersenne"; numpy or philox is required'),
    ("first=5, models=[a]", "first is 5, but the numpy generator draws its users in sequence from 0; generator=philox can begin anywhere"),
    ("first=-5, generator=philox, models=[a]", "first is -5; 0 to 9007199254739992 is allowed, so that first + count stays within 2^53"),
    ("first=9007199254740990, generator=philox, models=[a]", "first is 9007199254740990; 0 to 9007199254739992 is allowed, so that first + count stays within 2^53"),
    ("drift=0.1, models=[a]", "drift needs generator=philox; numpy users do not drift"),
    ("drift=-0.1, generator=philox, models=[a]", "drift is -0.1; a number from 0 to 1e+06 is allowed"),
    ("min_distance=0.1, generator=philox, models=[a]", "min_distance needs generator=numpy; philox users do not know each other"),
    ("min_distance=0.1, count=50001, models=[a]", "count is 50001; min_distance compares all pairs and takes at most 50000 users"),
    ("min_distance=-1, models=[a]", "min_distance is -1; a number from 0 to 2 is allowed"),
    ("models=[a, b, A]", 'reward model "A" is named twice (case does not count)'),
    ("models=[a, , b]", "models (element 2) is empty; a name is required"),
    ("models=[]", "models (element 1) is empty; a name is required"),
    ("models=[a, weights]", 'a reward model cannot be called "weights": a column has that name'),
    ("models=[a, RowID]", 'a reward model cannot be called "RowID": a column has that name'),
    (f"models=[{','.join('m%d' % i for i in range(257))}]", "models has 257 names; at most 256 are allowed"),
    (f"models=[{','.join('m%d' % i for i in range(10000))}]", "models has 10000 names; at most 256 are allowed"),
    ("models=[a], responses=responses", "both responses and models are given; one of them names the reward models"),
    ("count=5", 'no table "responses" to take the reward models from; create it first, or give responses=name or models=[name, ...]'),
    ("responses=nothing", "responses: no such table: nothing"),
    ("responses=1 + 1", 'responses: "1 + 1" is no table name; an SQL identifier such as users, "my users" or aux.users is required'),
    ("responses=copy", 'responses: "copy" is no persona_responses table'),
]
for args, message in BAD:
    if message is None:
        try:
            create("bad", args)
            ok(False, f"refused: {args}")
        except sqlite3.Error as e:
            ok(True, f"refused: {args}")
    else:
        fails(db, f"CREATE VIRTUAL TABLE bad USING persona_users({args})", "persona_users: " + message)
eq(db.execute("SELECT name FROM sqlite_schema WHERE name LIKE 'bad%'").fetchall(), [], "bad arguments leave nothing behind")
create("many", f"count=3, models=[{','.join('m%d' % i for i in range(256))}]")
eq(one("SELECT length(weights) FROM many LIMIT 1"), 2048, "256 reward models")
eq(one("SELECT m255 FROM many WHERE user_id = 2"), struct.unpack("<256d", one("SELECT weights FROM many WHERE user_id = 2"))[255], "256 reward models: the last column")
fails(db, "SELECT * FROM persona_users", "no such table: persona_users", "persona_users is no table of its own")
fails(db, "CREATE VIRTUAL TABLE copy USING persona_users(models=[a])", "table copy already exists")
db.execute("CREATE TABLE taken_declaration(x)")
fails(db, "CREATE VIRTUAL TABLE taken USING persona_users(models=[a])", 'persona_users: table "taken_declaration" already exists')

done()
