"""The columnar score store (rules S1..S4 of ext_scores.c), seen through persona_votes: after every kind of change, on
this connection or another, it must answer as plain SQL over the same tables does."""
import os
import random
import shutil
import sqlite3
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *

rng = random.Random(7)
folder = scratch()
MODELS = 3
USERS = [struct.pack("<3d", *(rng.random() for _ in range(MODELS))) for _ in range(15)]


def rows(db, sql, args=()):
    return db.execute(sql, args).fetchall()


def create(db, schema="main", prompts=True):
    db.execute(f"CREATE VIRTUAL TABLE {schema}.responses USING persona_responses(a, b, c)")
    if prompts:
        db.execute(f"CREATE VIRTUAL TABLE {schema}.prompts USING persona_prompts")
    db.execute(f"CREATE TABLE {schema}.people(user_id INTEGER, weights BLOB)")
    db.executemany(f"INSERT INTO {schema}.people VALUES(?, ?)", enumerate(USERS))


def score():
    return round(rng.uniform(-3, 3), 1)


def fill(db, schema="main", prompts=12):
    for p in range(prompts):
        db.execute(f"INSERT INTO {schema}.prompts(prompt_id, split) VALUES(?, ?)", (p, rng.choice(["train", "test", None])))
        for position in range(1, rng.randint(2, 5)):
            db.execute(f"INSERT INTO {schema}.responses(prompt_id, position, a, b, c) VALUES(?,?,?,?,?)", (p, position, score(), score(), score()))


def expected(db, schema="main", split=None, scores="rewards", responses="responses"):
    """The votes by plain SQL: nothing of this passes through the store."""
    where = "" if split is None else f"WHERE prompt_id IN (SELECT prompt_id FROM {schema}.prompts WHERE split = '{split}')"
    sets = {}
    for prompt, position, response, vector in rows(db, f"SELECT prompt_id, position, response_id, {scores} FROM {schema}.{responses} {where} ORDER BY 1, 2"):
        if vector is not None:
            sets.setdefault(prompt, []).append((response, struct.unpack("<3d", vector)))
    votes = {}
    for prompt, shown in sets.items():
        for weights in USERS:
            w = struct.unpack("<3d", weights)
            utility = [w[0] * s[0] + w[1] * s[1] + w[2] * s[2] for _, s in shown]
            best, worst = utility.index(max(utility)), utility.index(min(utility))
            for i, (response, _) in enumerate(shown):
                vote = votes.setdefault((prompt, response), [0, 0])
                vote[0] += i == best
                vote[1] += i == worst
    return sorted((p, r, *v) for (p, r), v in votes.items())


def votes(db, schema="main", split=None, options=None):
    options = options or "{}"
    return sorted(rows(db, "SELECT prompt_id, response_id, best_votes, worst_votes FROM persona_votes(?, ?, ?)", (f"{schema}.people", split, options)))


def fresh(db, name=None, schema="main", responses="responses"):
    """Does the store answer as the tables do?  Reports when named."""
    try:
        good, why = same_votes(db, schema, responses), ""
    except sqlite3.Error as e:
        good, why = False, str(e)
    if name:
        ok(good, name, why)
    return good


def same_votes(db, schema, responses):
    option = "" if responses == "responses" else f', "responses": "{responses}"'
    good = votes(db, schema, None, "{" + option[2:] + "}") == expected(db, schema, None, "rewards", responses)
    good = good and votes(db, schema, None, '{"scores": "raw"' + option + "}") == expected(db, schema, None, "raw_rewards", responses)
    for split, in rows(db, f"SELECT DISTINCT split FROM {schema}.prompts WHERE split IS NOT NULL"):
        if rows(db, f"SELECT 1 FROM {schema}.{responses} r JOIN {schema}.prompts p USING(prompt_id) WHERE p.split = ? LIMIT 1", (split,)):
            good = good and votes(db, schema, split, "{" + option[2:] + "}") == expected(db, schema, split, "rewards", responses)
    return good


def write(db, schema="main", split=True):
    """One random change."""
    kind = rng.randint(0, 11)
    rs = f"{schema}.responses"
    if kind < 3:
        db.execute(f"UPDATE {rs} SET {rng.choice('abc')} = ? WHERE response_id = (SELECT response_id FROM {rs} ORDER BY random() LIMIT 1)", (score(),))
    elif kind < 5:
        db.execute(f"INSERT OR REPLACE INTO {rs}(prompt_id, position, a, b, c) VALUES(?,?,?,?,?)", (rng.randint(0, 14), rng.randint(1, 5), score(), score(), rng.choice([None, score()])))
    elif kind == 5:
        db.execute(f"DELETE FROM {rs} WHERE response_id = (SELECT response_id FROM {rs} ORDER BY random() LIMIT 1)")
    elif kind == 6:
        db.execute(f"UPDATE {schema}.reward_models SET mean = ?, sd = ? WHERE name = ?", (score(), rng.choice([.5, 1, 2]), rng.choice("abc")))
    elif kind == 7 and split:
        db.execute(f"UPDATE {schema}.prompts SET split = ? WHERE prompt_id = ?", (rng.choice(["train", "test", "dev", None]), rng.randint(0, 12)))
    elif kind == 8:
        db.execute(f"UPDATE {rs} SET a = a + 0.25, position = position + 0 WHERE prompt_id < ?", (rng.randint(0, 12),))
    elif kind == 9:
        db.execute(f"INSERT OR IGNORE INTO {schema}.prompts(prompt_id, split) VALUES(?, 'test')", (rng.randint(0, 20),))
    elif kind == 10:
        db.execute(f"UPDATE {rs} SET prompt_id = prompt_id + 100 WHERE prompt_id = ?", (rng.randint(0, 14),))
        db.execute(f"UPDATE OR REPLACE {rs} SET prompt_id = prompt_id - 100 WHERE prompt_id >= 100")
    else:
        db.execute(f"UPDATE {rs} SET text = 'x' WHERE prompt_id = ?", (rng.randint(0, 12),))


# ---- two connections, savepoints, every journal mode ------------------------------------------------------------------
for mode in ("delete", "wal", "persist"):
    path = os.path.join(folder, f"{mode}.db")
    one = connect(path)
    one.execute("PRAGMA synchronous = off")
    eq(rows(one, f"PRAGMA journal_mode = {mode}"), [(mode,)], f"journal mode {mode}")
    create(one)
    fill(one)
    two = connect(path)
    two.execute("PRAGMA synchronous = off")
    bad, steps = None, []
    for step in range(350):
        busy = one.in_transaction
        action = rng.random()
        try:
            if action < .45:
                steps.append("one writes")
                write(one)
            elif action < .6 and not busy:
                steps.append("two writes")
                write(two)
            elif action < .8:
                name = f"s{rng.randint(0, 1)}"
                sql = rng.choice(["BEGIN", "COMMIT", "ROLLBACK", f"SAVEPOINT {name}", f"SAVEPOINT {name}", f"ROLLBACK TO {name}", f"ROLLBACK TO {name}", f"RELEASE {name}"])
                steps.append(sql)
                one.execute(sql)
            elif action < .82 and not busy:
                steps.append("VACUUM")
                one.execute("VACUUM")
        except sqlite3.OperationalError as e:
            if "no such savepoint" not in str(e) and "transaction" not in str(e):
                raise
        # Not after every step: a store must also be right when several changes lie between two readings.
        if rng.random() < .7 and not fresh(one):
            bad = "connection one"
        if not one.in_transaction and rng.random() < .5 and not fresh(two):
            bad = "connection two"
        if bad:
            break
    ok(not bad, f"S1 {mode}: {step + 1} changes, transactions and savepoints on two connections", f"{bad} after {steps[-6:]}")
    if one.in_transaction:
        one.execute("COMMIT")
    one.close()
    two.close()

# ---- single cases -------------------------------------------------------------------------------------------------------
path = os.path.join(folder, "cases.db")
db = connect(path)
db.execute("PRAGMA synchronous = off")
create(db)
fill(db)
fresh(db, "a new table")
db.execute("BEGIN")
db.execute("UPDATE responses SET a = 5 WHERE prompt_id = 1")
fresh(db, "uncommitted changes are seen")
db.execute("UPDATE responses SET a = -5 WHERE response_id = 3")
fresh(db, "also the second one of a transaction, after a reading between")
before = rows(db, "SELECT value FROM responses_config WHERE key = 'stamp'")
db.execute("UPDATE responses SET a = -6 WHERE response_id = 3")
middle = rows(db, "SELECT value FROM responses_config WHERE key = 'stamp'")
db.execute("UPDATE responses SET a = -7 WHERE response_id = 3")
ok(before != middle and middle == rows(db, "SELECT value FROM responses_config WHERE key = 'stamp'"), "the stamp changes with the first write after a reading, not with every write")
db.execute("ROLLBACK")
fresh(db, "ROLLBACK")
db.execute("BEGIN")
db.execute("UPDATE responses SET a = 7 WHERE prompt_id = 2")
db.execute("COMMIT")
fresh(db, "a different write after a rollback: a counter would stand where it stood")
try:
    db.execute("INSERT INTO responses(prompt_id, position, a, b, c) SELECT 300 + value, 1, 1, 1, 1 FROM json_each('[1,2,3]') UNION ALL SELECT 301, 1, 1, 1, 1")
except sqlite3.IntegrityError:
    pass
fresh(db, "a statement undone half way")
try:
    db.execute("INSERT OR FAIL INTO responses(prompt_id, position, a, b, c) SELECT 300 + value, 1, 1, 1, 1 FROM json_each('[1,2]') UNION ALL SELECT 301, 1, 1, 1, 1")
except sqlite3.IntegrityError:
    pass
fresh(db, "a statement that failed but kept its rows")
# The old stamp is back after each of these and the next write comes without a reading between.
for name, begin, undo in [("ROLLBACK", "BEGIN", ["ROLLBACK"]), ("ROLLBACK TO", "SAVEPOINT s", ["ROLLBACK TO s"]), ("ROLLBACK TO and RELEASE", "SAVEPOINT s", ["ROLLBACK TO s", "RELEASE s"])]:
    fresh(db)
    db.execute(begin)
    db.execute("UPDATE responses SET a = 9 * (position % 2)")
    db.execute("UPDATE prompts SET split = 'other' WHERE prompt_id = 3")
    for sql in undo:
        db.execute(sql)
    db.execute("UPDATE responses SET a = position * -9")
    db.execute("UPDATE prompts SET split = 'third' WHERE prompt_id = 4")
    fresh(db, f"write, {name}, write")
    if db.in_transaction:
        db.execute("ROLLBACK")
    db.execute("UPDATE responses SET a = 4 - position")
# Single-row INSERTs open no statement journal, so only the transaction itself tells the table.
for name, end in [("ROLLBACK", "ROLLBACK"), ("COMMIT", "COMMIT")]:
    fresh(db)
    db.execute("BEGIN")
    db.execute("INSERT INTO responses(prompt_id, position, a, b, c) VALUES(900, 1, 1, 1, 1)")
    db.execute(end)
    db.execute("INSERT INTO responses(prompt_id, position, a, b, c) VALUES(901, 1, 1, 1, 1)")
    fresh(db, f"one row, {name}, another row")
    db.execute("DELETE FROM responses WHERE prompt_id >= 900")
db.execute("BEGIN")
db.execute("SAVEPOINT s")
db.execute("UPDATE responses SET a = -9 * (position % 2)")
fresh(db)
db.execute("RELEASE s")
db.execute("SAVEPOINT s")
db.execute("UPDATE responses SET a = 9 * (position % 2)")
db.execute("ROLLBACK TO s")
db.execute("UPDATE responses SET a = -9 * (position % 2)")
fresh(db, "a savepoint under the name of a released one")
db.execute("ROLLBACK")
fresh(db)
db.execute("BEGIN")
db.execute("UPDATE responses SET a = 9 * (position % 2)")
try:
    db.execute("INSERT INTO responses(prompt_id, position, a, b, c) SELECT 400 + value, 1, 1, 1, 1 FROM json_each('[1,2,3]') UNION ALL SELECT 401, 1, 1, 1, 1")
except sqlite3.IntegrityError:
    pass
db.execute("UPDATE responses SET a = -9 * (position % 2)")
fresh(db, "a statement undone half way inside a transaction, then a write")
db.execute("COMMIT")
db.execute("ALTER TABLE responses RENAME TO answers")
fresh(db, "rename", responses="answers")
create_again = "CREATE VIRTUAL TABLE responses USING persona_responses(a, b, c)"
db.execute(create_again)
db.execute("INSERT INTO responses SELECT * FROM answers WHERE prompt_id < 5")
fresh(db, "a new table under the old name")
fresh(db, "beside the renamed one", responses="answers")
db.execute("DROP TABLE responses")
db.execute("CREATE VIRTUAL TABLE responses USING persona_responses(c, b, a)")
db.execute("INSERT INTO responses SELECT * FROM answers WHERE prompt_id > 5")
fresh(db, "dropped and created again, other order of reward models")
db.execute("DROP TABLE prompts")
eq(votes(db), expected(db), "S4 without a prompts table")
fails(db, "SELECT * FROM persona_votes('people', 'test')", 'persona_votes: argument 2 (split): no split "test": the prompts table prompts of "responses" does not exist')
db.execute("CREATE TABLE prompts(split, prompt_id INTEGER)")
fails(db, "SELECT * FROM persona_votes('people', 'test')", 'persona_votes: argument 2 (split): no split "test": no prompt of "prompts" is in a split')
db.execute("INSERT INTO prompts SELECT 'half' || (prompt_id % 2), prompt_id FROM responses GROUP BY prompt_id")
fresh(db, "S4 prompts as an ordinary table")
db.execute("UPDATE prompts SET split = 'half0'")
fresh(db, "S4 whose changes are seen")
db.execute("ALTER TABLE prompts RENAME TO base")
db.execute("CREATE VIEW prompts AS SELECT prompt_id, CASE WHEN prompt_id > 8 THEN 'late' ELSE split END AS split FROM base")
fresh(db, "S4 prompts as a view")
fails(db, "SELECT * FROM persona_votes('people', 'tset')", 'persona_votes: argument 2 (split): no split "tset"; splits: half0 (%d prompts), late (%d prompts)' % tuple(n for n, in rows(db, "SELECT count(*) FROM prompts GROUP BY split ORDER BY split")))
db.execute("INSERT INTO base VALUES('x', 9)")
fails(db, "SELECT * FROM persona_votes('people', 'late')", 'persona_votes: prompts table "prompts": prompt_id 9 occurs more than once')
db.execute("UPDATE base SET prompt_id = 'nine' WHERE split = 'x'")
fails(db, "SELECT * FROM persona_votes('people', 'late')", 'persona_votes: prompts table "prompts": a prompt_id is no integer')
db.execute("DROP VIEW prompts")
db.execute("CREATE VIEW prompts AS SELECT 1 AS prompt_id")
fails(db, "SELECT * FROM persona_votes('people', NULL)", 'persona_votes: prompts table "prompts": no such column: split')
db.execute("DROP VIEW prompts")
db.execute("CREATE VIEW prompts AS SELECT prompt_id, 'x' AS split FROM persona_votes('people', NULL)")
try:
    votes(db)
    got = "no error"
except sqlite3.Error as e:
    got = str(e)
ok(got.endswith('reward_models or the prompts table of "responses" is a view of this very job'), "a prompts view that leads back to the job ends with an error, not the stack", got)
ok(got.count("prompts table \"prompts\": ") <= 3, "and soon enough to be read", got)
db.execute("DROP VIEW prompts")
db.execute("CREATE VIRTUAL TABLE \"my prompts\" USING persona_prompts")
db.execute("INSERT INTO \"my prompts\"(prompt_id, split) VALUES(7, 'named')")
db.execute("CREATE VIRTUAL TABLE named USING persona_responses(a, b, c, prompts = \"my prompts\")")
db.execute("INSERT INTO named SELECT response_id, prompt_id, position, model, text, rewards, NULL, embedding, a, b, c FROM answers")
eq(len(votes(db, split="named", options='{"responses": "named"}')), rows(db, "SELECT count(*) FROM named WHERE prompt_id = 7")[0][0], "the option prompts= names the table of the splits")
for name in ("people", '\\"my prompts\\"', "base"):
    fails(db, f"SELECT * FROM persona_votes('people', NULL, '{{\"responses\": \"{name}\"}}')", 'persona_votes: option "responses": "%s" is no persona_responses table' % name.strip('\\"'))
db.execute("DELETE FROM reward_models WHERE name = 'b'")
try:
    votes(db)
    got = "no error"
except sqlite3.Error as e:
    got = str(e)
eq(got, 'persona_votes: reward_models has no row for "b"; rewards = (raw - mean) / sd needs its mean and sd', "a missing reward model")
eq(votes(db, options='{"scores": "raw"}'), expected(db, scores="raw_rewards"), "raw scores need no reward_models")
db.execute("INSERT INTO reward_models(name, mean, sd) VALUES('b', 0, 1)")

# ---- S2 S3 a scan keeps what it began with -------------------------------------------------------------------------------
want = expected(db)
scan = db.execute("SELECT prompt_id, response_id, best_votes, worst_votes FROM persona_votes('people', NULL)")
got = [scan.fetchone()]
db.execute("UPDATE responses SET a = -a")
db.execute("UPDATE reward_models SET mean = 3")
inner = votes(db)
eq(inner, expected(db), "S3 another scan sees what was written meanwhile")
got += scan.fetchall()
eq(sorted(got), want, "S3 a scan keeps the scores it began with")
eq(rows(db, "SELECT count(*) FROM persona_votes('people', NULL) x JOIN persona_votes('people', NULL, '{\"scores\":\"raw\"}') y USING(response_id)"), [(len(want),)], "two kinds of scores in one statement")
db.close()

# ---- S1 another process: nothing in memory is shared, only the file -----------------------------------------------------------
path = os.path.join(folder, "processes.db")
db = connect(path)
db.execute("PRAGMA synchronous = off")
create(db)
fill(db)
code = """import sys; sys.path.insert(0, sys.argv[1]); from tap import *
db = connect(sys.argv[2]); db.execute("PRAGMA synchronous = off")
for line in sys.stdin:
    if line.startswith("votes"): print(sorted(db.execute("SELECT prompt_id, response_id, best_votes, worst_votes FROM persona_votes('people', NULL)").fetchall()), flush=True)
    else: db.execute(line); print("done", flush=True)
"""
tests = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
child = subprocess.Popen([sys.executable, "-c", code, tests, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(line):
    child.stdin.write(line + "\n")
    child.stdin.flush()
    return child.stdout.readline().strip()


bad = []
for turn in range(40):
    for _ in range(rng.randint(1, 2)):
        db.execute("UPDATE responses SET a = ? WHERE prompt_id = ?", (score(), rng.randint(0, 11)))
        if rng.random() < .5:
            ask(f"UPDATE responses SET b = {score()} WHERE prompt_id = {rng.randint(0, 11)}")
        if rng.random() < .5 and ask("votes") != str(expected(db)):
            bad.append(turn)
    if rng.random() < .5 and not fresh(db):
        bad.append(turn)
eq(bad, [], "S1 two processes write in turn")
child.stdin.close()
eq(child.wait(), 0, "S1 and end well")
db.close()

# ---- attached files ------------------------------------------------------------------------------------------------------
paths = [os.path.join(folder, f"attached{i}.db") for i in range(2)]
for p in paths:
    other = connect(p)
    create(other)
    fill(other)
    other.close()
db = connect()
for turn in range(4):
    db.execute("ATTACH ? AS aux", (paths[turn % 2],))
    fresh(db, f"S1 file {turn % 2} attached under the same name", schema="aux")
    db.execute("DETACH aux")
shutil.copy(paths[0], paths[1])
db.execute("ATTACH ? AS aux", (paths[1],))
fresh(db, "S1 a copy of the file", schema="aux")
other = connect(paths[1])
write(other)
other.execute("UPDATE responses SET b = 2 * b")
fresh(db, "S1 another connection's commit to an attached database", schema="aux")
db.execute("ATTACH ? AS second", (paths[0],))
fresh(db, "S1 two attached databases, one", schema="aux")
fresh(db, "S1 and the other", schema="second")
db.close()
other.close()

# ---- read-only -------------------------------------------------------------------------------------------------------------
for name, uri in [("mode=ro", f"file:{paths[1]}?mode=ro"), ("immutable=1", f"file:{paths[1]}?immutable=1")]:
    db = connect(uri, uri=True)
    fresh(db, f"{name}: reads never write")
    fails(db, "UPDATE responses SET a = 1", "attempt to write a readonly database")
    fails(db, "INSERT INTO prompts(split) VALUES('x')", "attempt to write a readonly database")
    db.close()
os.chmod(paths[1], 0o444)
before = open(paths[1], "rb").read()
db = connect(paths[1])
fresh(db, "a file without write permission")
db.close()
ok(open(paths[1], "rb").read() == before, "reading changes no byte of the file")

# ---- S3 many tables: the cache is bounded, answers stay right ---------------------------------------------------------------
db = connect()
db.execute("PRAGMA synchronous = off")
create(db)
fill(db, prompts=4)
tables = [f"t{i}" for i in range(10)]
for t in tables:
    db.execute(f"CREATE VIRTUAL TABLE {t} USING persona_responses(a, b, c)")
    db.execute(f"INSERT INTO {t} SELECT response_id, prompt_id, position, NULL, NULL, NULL, NULL, NULL, a + random() % 5, b, c FROM responses")
ok(all(fresh(db, responses=rng.choice(tables)) for _ in range(30)), "S3 more tables than the cache holds")
db.close()
done()
