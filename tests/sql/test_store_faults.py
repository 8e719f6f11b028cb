"""The persistent tables and the score store under faults: shadow tables edited by hand, hostile schemas, damaged files,
full disks, interrupts, short memory.  Each run answers rightly or says what is wrong, and leaves the database as it was."""
import ctypes
import os
import random
import shutil
import sqlite3
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *

folder = scratch()


def rows(db, sql, args=()):
    return db.execute(sql, args).fetchall()


def make(db, prompts=6):
    db.execute("CREATE VIRTUAL TABLE prompts USING persona_prompts")
    db.execute("CREATE VIRTUAL TABLE responses USING persona_responses(a, b)")
    db.execute("CREATE TABLE people(user_id INTEGER, weights BLOB)")
    db.executemany("INSERT INTO people VALUES(?, ?)", [(i, struct.pack("<2d", i, 3 - i)) for i in range(4)])
    for p in range(1, prompts + 1):
        db.execute("INSERT INTO prompts VALUES(?, ?, 's', ?, '[1,2]')", (p, "train" if p % 2 else "test", f"prompt {p}"))
        for position in (1, 2, 3):
            db.execute("INSERT INTO responses(prompt_id, position, model, text, a, b, embedding) VALUES(?, ?, ?, ?, ?, ?, '[3,4,5]')", (p, position, f"m{position}", f"text {p} {position}", p * position % 5, (p + position) % 4))


VOTES = "SELECT * FROM persona_votes('people', NULL)"
RAW = "SELECT * FROM persona_votes('people', NULL, '{\"scores\":\"raw\"}')"
db = connect()
make(db)

# ---- shadow tables edited by hand -------------------------------------------------------------------------------------
R, V = "responses: its shadow tables are damaged: ", 'persona_votes: the shadow tables of "responses" are damaged: '
bad_length = "5 bytes of packed scores; 2 reward models need 16 or 17"
cases = [
    ("UPDATE responses_scores SET raw = x'0102030405' WHERE response_id = 4", [
        ("SELECT raw_rewards FROM responses", R + "response_id 4: " + bad_length),
        ("SELECT rewards FROM responses", R + "response_id 4: " + bad_length),
        ("SELECT a FROM responses WHERE response_id = 4", R + "response_id 4: " + bad_length),
        ("UPDATE responses SET a = 1 WHERE response_id = 4", R + "prompt_id 2, position 1: " + bad_length),
        (VOTES, V + "response_id 4: " + bad_length)]),
    ("UPDATE responses_scores SET raw = x'000000000000f87f000000000000f87f' WHERE response_id = 4", [
        ("SELECT raw_rewards FROM responses", R + "response_id 4: packed score 0 is not finite"),
        (VOTES, V + "response_id 4: packed score 0 is not finite")]),
    ("UPDATE responses_scores SET raw = 7 WHERE response_id = 4", [
        ("SELECT raw_rewards FROM responses", R + "response_id 4: 1 bytes of packed scores; 2 reward models need 16 or 17"),
        (VOTES, V + "response_id 4: 1 bytes of packed scores; 2 reward models need 16 or 17")]),
    ("UPDATE responses_scores SET prompt_id = 'x' WHERE response_id = 4", [(VOTES, V + "response_id 4: prompt_id or position is no integer")]),
    ("UPDATE responses_text SET text = x'00'", [("SELECT text FROM responses", R + "the text of response_id 1 is no text")]),
    ("UPDATE responses_embeddings SET embedding = 'x'", [("SELECT embedding FROM responses", R + "the embedding of response_id 1 is no BLOB")]),
    ("UPDATE prompts_text SET text = x'00'", [("SELECT * FROM prompts", "prompts: its shadow tables are damaged: the text of prompt_id 1 is no text")]),
    ("DELETE FROM responses_config WHERE key = 'stamp'", [
        ("UPDATE responses SET a = 1", R + "responses_config has no stamp"),
        ("DELETE FROM responses", R + "responses_config has no stamp"),
        (VOTES, 'persona_votes: "responses" is no persona_responses table')]),
    ("UPDATE responses_config SET value = 'x' WHERE key = 'stamp'", [(VOTES, V + "the stamp is no integer"), ("DELETE FROM responses", R + "responses_config has no stamp")]),
    ("UPDATE responses_config SET value = 2 WHERE key = 'format'", [(VOTES, 'persona_votes: "responses" is stored in format 2; this version reads format 1')]),
    ("UPDATE responses_config SET value = 'persona_prompts' WHERE key = 'module'", [(VOTES, 'persona_votes: "responses" is no persona_responses table')]),
    ("DELETE FROM responses_config WHERE key = 'reward_model' AND position = 1", [(VOTES, V + "its list of reward models has gaps")]),
    ("DELETE FROM responses_config WHERE key = 'reward_model'", [(VOTES, 'persona_votes: "responses" is no persona_responses table')]),
    ("INSERT INTO responses_config VALUES('reward_model', 3, 'c')", [(VOTES, 'persona_votes: reward_models has no row for "c"; rewards = (raw - mean) / sd needs its mean and sd'), (RAW, V + "response_id 1: 16 bytes of packed scores; 3 reward models need 24 or 25")]),
    ("DROP TABLE responses_config", [("DELETE FROM responses", R + "no such table: main.responses_config"), (VOTES, 'persona_votes: "responses" is no persona_responses table')]),
    ("DROP TABLE responses_scores", [("SELECT * FROM responses", R + "no such table: main.responses_scores"), ("DELETE FROM responses", R + "no such table: main.responses_scores"), (VOTES, V + "the scores are missing")]),
    ("DROP TABLE responses_text", [("SELECT * FROM responses", R + "no such table: main.responses_text"), ("INSERT INTO responses(prompt_id, position, text) VALUES(99, 1, 'x')", R + "no such table: main.responses_text")]),
    ("ALTER TABLE responses_scores RENAME raw TO cooked", [("SELECT * FROM responses", R + "no such column: raw"), (VOTES, V + "the scores are missing")]),
    ("DROP TABLE prompts_rows", [("SELECT * FROM prompts", "prompts: its shadow tables are damaged: no such table: main.prompts_rows"), (VOTES, 'persona_votes: prompts table "prompts": no such table: main.prompts_rows')]),
    ("CREATE TABLE s AS SELECT * FROM responses_scores; DROP TABLE responses_scores; ALTER TABLE s RENAME TO responses_scores; UPDATE responses_scores SET position = 1; UPDATE responses_config SET value = 5 WHERE key = 'stamp'", [
        (VOTES, V + "two responses have prompt_id 1 and position 1")]),
]
for edit, effects in cases:
    db.execute("BEGIN")
    for statement in edit.split("; "):
        db.execute(statement)
    for sql, message in effects:
        fails(db, sql, message, f"{sql[:44]} after {edit[:60]}: {message[:60]}")
        if not db.in_transaction:
            ok(False, "a damaged row ends the statement, not the transaction")
            break
    if db.in_transaction:
        db.execute("ROLLBACK")
eq(len(rows(db, VOTES)), 18, "undone, all is as before")
code = None
db.execute("BEGIN")
db.execute("UPDATE responses_scores SET raw = x'00'")
try:
    rows(db, "SELECT a FROM responses")
except sqlite3.DatabaseError as e:
    code = getattr(e, "sqlite_errorcode", 0) & 0xFF
eq(code, 11, "the code is SQLITE_CORRUPT")
db.execute("DELETE FROM responses WHERE response_id = 4")
eq(rows(db, "SELECT count(*) FROM responses"), [(17,)], "a damaged row can be deleted")
db.execute("ROLLBACK")

# ---- hostile schemas ----------------------------------------------------------------------------------------------------
back = "a trigger or view leads from them back to the table"


def ends(sql, name, part=back):
    try:
        rows(db, sql)
        got = "no error"
    except sqlite3.Error as e:
        got = str(e)
    ok(part in got, name, got)


db.execute("BEGIN")
db.execute("CREATE TRIGGER t AFTER INSERT ON responses_scores BEGIN INSERT INTO responses(prompt_id, position) VALUES(new.prompt_id + 1, 1); END")
ends("INSERT INTO responses(prompt_id, position) VALUES(100, 1)", "a trigger on a shadow table that writes to the table")
if db.in_transaction:
    db.execute("ROLLBACK")
db.execute("BEGIN")
db.execute("CREATE TRIGGER t AFTER INSERT ON responses_scores BEGIN SELECT count(*) FROM responses; END")
ends("INSERT INTO responses(prompt_id, position) VALUES(100, 1)", "or that reads it")
if db.in_transaction:
    db.execute("ROLLBACK")
for shadow, sql in [("responses_scores", "SELECT response_id, prompt_id, position, model, raw_rewards AS raw FROM responses"), ("responses_text", "SELECT response_id, text FROM responses"), ("responses_embeddings", "SELECT response_id, embedding FROM responses")]:
    db.execute("BEGIN")
    db.execute(f"DROP TABLE {shadow}")
    db.execute(f"CREATE VIEW {shadow} AS {sql}")
    ends("SELECT * FROM responses", f"{shadow} replaced by a view of the table")
    db.execute("ROLLBACK")
db.execute("BEGIN")
db.execute("DROP TABLE responses_config")
db.execute("CREATE VIEW responses_config AS SELECT 'stamp' AS key, 0 AS position, max(best_votes) AS value FROM persona_votes('people', NULL)")
ends(VOTES, "responses_config replaced by a view of the job", "")
db.execute("ROLLBACK")
eq(rows(db, "PRAGMA integrity_check"), [("ok",)], "nothing of that lasts")

# ---- random shadow contents: never a crash -------------------------------------------------------------------------------
rng = random.Random(3)
values = [None, -1, 0, 1, 2**62, 1.5, float("inf"), "", "x", "12", b"", b"\0", bytes(16), bytes(17), b"\xff" * 16, b"\0\0\x80\x3f" * 4, "a" * 3000]
targets = [("responses_scores", c) for c in ("prompt_id", "position", "model", "raw")] + [("responses_text", "text"), ("responses_embeddings", "embedding"), ("responses_config", "value"), ("responses_config", "key"), ("prompts_rows", "split"), ("prompts_config", "value"), ("prompts_embeddings", "embedding"), ("reward_models", "mean"), ("reward_models", "sd"), ("reward_models", "name")]
probes = [VOTES, "SELECT * FROM responses", "SELECT * FROM prompts", "SELECT * FROM persona_votes('people', 'train')", "UPDATE responses SET a = 1", "UPDATE responses SET embedding = '[1,2]'", "INSERT INTO responses SELECT NULL, prompt_id + 50, position, model, text, rewards, raw_rewards, embedding, a, b FROM responses", "UPDATE OR REPLACE responses SET prompt_id = 3", "DELETE FROM prompts", "SELECT * FROM persona_interactions('people', 'train', 2, 'best_worst', 1)", "ALTER TABLE responses RENAME TO other", "DROP TABLE responses"]
answered = refused = 0
db.text_factory = bytes
for _ in range(250):
    db.execute("BEGIN")
    for _ in range(rng.randint(1, 3)):
        table, column = rng.choice(targets)
        try:
            db.execute(f"UPDATE OR IGNORE {table} SET {column} = ? WHERE rowid % ? = 0" if table not in ("responses_config", "prompts_config") else f"UPDATE OR IGNORE {table} SET {column} = ? WHERE position % ? = 0", (rng.choice(values), rng.randint(1, 3)))
        except sqlite3.Error:
            pass
    for sql in rng.sample(probes, 4):
        try:
            rows(db, sql)
            answered += 1
        except (sqlite3.Error, MemoryError):
            refused += 1
    if db.in_transaction:
        db.execute("ROLLBACK")
ok(answered > 100 and refused > 100, f"random shadow contents: {answered} statements answer, {refused} are refused, none crashes")
eq(len(rows(db, VOTES)), 18, "and afterwards all is as before")
db.close()

# ---- damaged files ---------------------------------------------------------------------------------------------------------
path = os.path.join(folder, "whole.db")
db = connect(path)
make(db, 60)
db.close()
whole = open(path, "rb").read()
for n in range(150):
    data = bytearray(whole)
    if n % 10 == 0:
        del data[rng.randrange(4096, len(data)):]
    for _ in range(rng.choice([1, 4, 40])):
        at = rng.randrange(100, len(data))
        data[at] = rng.randrange(256)
    broken = os.path.join(folder, "broken.db")
    open(broken, "wb").write(data)
    db = connect(broken)
    db.text_factory = bytes
    for sql in ["PRAGMA synchronous = off"] + probes[:9]:
        try:
            rows(db, sql)
        except (sqlite3.Error, MemoryError, UnicodeDecodeError):  # SQLite itself quotes bytes of a damaged schema
            pass
    db.close()
ok(True, "150 damaged files are read and written without a crash")

# ---- a full disk --------------------------------------------------------------------------------------------------------------
path = os.path.join(folder, "full.db")
db = connect(path)
db.execute("PRAGMA synchronous = off")
make(db)
pages = rows(db, "PRAGMA page_count")[0][0]
before = rows(db, "SELECT * FROM responses"), rows(db, "SELECT * FROM prompts")
copy = "INSERT INTO responses(prompt_id, position, text, a, b, embedding) SELECT prompt_id + 100, position, printf('%.5000c', 'x'), a, b, embedding FROM responses"
seen = set()
for extra in range(0, 45):
    db.execute(f"PRAGMA max_page_count = {pages + extra}")
    try:
        db.execute(copy)
        seen.add("done")
        db.execute("DELETE FROM responses WHERE prompt_id > 100")
        break
    except sqlite3.OperationalError as e:
        seen.add(str(e))
    if (rows(db, "SELECT * FROM responses"), rows(db, "SELECT * FROM prompts")) != before:
        seen.add(f"changed at {extra}")
    rows(db, VOTES)
eq(sorted(seen), ["done", "responses: database or disk is full"], "a disk that fills up at any page undoes the statement")
for extra in range(0, 12):
    db.execute("VACUUM")
    pages = rows(db, "PRAGMA page_count")[0][0]
    db.execute(f"PRAGMA max_page_count = {pages + extra}")
    try:
        db.execute("INSERT INTO responses(prompt_id, position, text, a, b, embedding) VALUES(200, 1, printf('%.20000c', 'x'), 1, 2, '[1,2,3]')")
        db.execute("DELETE FROM responses WHERE prompt_id = 200")
    except sqlite3.OperationalError:
        pass
    seen.add(rows(db, "SELECT * FROM responses") == before[0] and rows(db, "SELECT count(*) FROM responses_text WHERE response_id NOT IN (SELECT response_id FROM responses_scores)") == [(0,)])
ok(False not in seen, "also for one row, whose parts lie in three tables")
eq(rows(db, "PRAGMA integrity_check"), [("ok",)], "and the file is whole")
db.close()

# ---- interrupts ------------------------------------------------------------------------------------------------------------------
db = connect()
make(db, 400)
before = rows(db, "SELECT * FROM responses")
stopped = finished = 0
for sql in ("UPDATE responses SET a = a + 1", "INSERT INTO responses(prompt_id, position, a) SELECT prompt_id + 1000, position, a FROM responses", "DELETE FROM responses"):
    for n in (1, 50, 500, 5000):
        left = [n]

        def stop():
            left[0] -= 1
            return left[0] < 0

        db.execute("BEGIN")
        db.set_progress_handler(stop, 20)
        try:
            db.execute(sql)
            finished += 1
        except sqlite3.OperationalError as e:
            stopped += str(e).endswith("interrupted")
        db.set_progress_handler(None, 0)
        if db.in_transaction:
            db.execute("ROLLBACK")
eq((rows(db, "SELECT * FROM responses") == before, stopped + finished, stopped > 5), (True, 12, True), f"{stopped} interrupted writes leave nothing, {finished} finish")
db.execute("UPDATE responses SET a = a")
left = [100]
db.set_progress_handler(lambda: left.__setitem__(0, left[0] - 1) or left[0] < 0, 10)
try:
    rows(db, VOTES)
    got = "no error"
except sqlite3.OperationalError as e:
    got = str(e)
db.set_progress_handler(None, 0)
ok(got.endswith("interrupted"), "loading a score store can be interrupted", got)
eq(len(rows(db, VOTES)), 1200, "and then works")

# ---- short memory -------------------------------------------------------------------------------------------------------------------
try:
    lib = ctypes.CDLL("libsqlite3.so.0")
    lib.sqlite3_memory_used.restype = ctypes.c_int64
    lib.sqlite3_hard_heap_limit64.argtypes = [ctypes.c_int64]
    used = lib.sqlite3_memory_used()
    extra = connect()
    counted = lib.sqlite3_memory_used() > used
    extra.close()
except OSError:
    counted = False
statements = {
    "CREATE": "CREATE VIRTUAL TABLE n USING persona_responses(a, b, c)",
    "scan": "SELECT * FROM responses WHERE prompt_id < 20",
    "prompts": "SELECT * FROM prompts",
    "INSERT": "INSERT INTO responses(prompt_id, position, text, a, b, embedding) SELECT prompt_id + 500, position, text, a, b, embedding FROM responses WHERE prompt_id < 9",
    "REPLACE": "UPDATE OR REPLACE responses SET position = 1, text = text || '!' WHERE prompt_id < 5",
    "votes": VOTES,
    "rename": "ALTER TABLE responses RENAME TO r2",
}
for name, sql in statements.items():
    if not counted:
        skip(f"short memory: {name}", "Python's SQLite does not count its memory")
        continue
    wrong, short, finished, limit, step = [], 0, False, None, 512
    while not finished:
        # A fresh connection each time, so that nothing is left from the run before.
        db = connect(os.path.join(folder, "memory.db"), cached_statements=0)
        if not rows(db, "SELECT 1 FROM sqlite_schema LIMIT 1"):
            make(db, 40)
        db.execute("BEGIN")
        limit = limit or lib.sqlite3_memory_used()
        lib.sqlite3_hard_heap_limit64(limit)
        try:
            rows(db, sql)
            finished = True
        except MemoryError:
            short += 1
        except sqlite3.Error as e:
            short += 1
            if "out of memory" not in str(e):
                wrong.append(str(e))
        finally:
            lib.sqlite3_hard_heap_limit64(0)
        if db.in_transaction:
            db.execute("ROLLBACK")
        if len(rows(db, VOTES)) != 120 or rows(db, "SELECT count(*), max(position) FROM responses") != [(120, 3)]:
            wrong.append("the database changed")
        db.close()
        limit += step
        step += step // 8
    ok(finished and not wrong and short > 2, f"short memory: {name} works or says so ({short} times)", wrong[:5])

# ---- without the extension ---------------------------------------------------------------------------------------------------------------
path = os.path.join(folder, "plain.db")
db = connect(path)
make(db, 20)
before = rows(db, "SELECT * FROM responses"), rows(db, VOTES)
db.close()
plain = sqlite3.connect(path, isolation_level=None)
eq(rows(plain, "SELECT count(*) FROM people") + rows(plain, "SELECT count(*) FROM reward_models") + rows(plain, "SELECT count(*) FROM responses_text"), [(4,), (2,), (60,)], "a plain sqlite3 reads the other tables, and the shadow tables")
eq(rows(plain, "PRAGMA integrity_check"), [("ok",)], "it checks the file")
plain.execute("VACUUM")
plain.execute("INSERT INTO people VALUES(9, NULL)")
plain.execute("DELETE FROM people WHERE user_id = 9")
fails(plain, "SELECT * FROM responses", "no such module: persona_responses")
plain.close()
db = connect(path)
eq((rows(db, "SELECT * FROM responses"), rows(db, VOTES)), before, "and afterwards everything is there")
db.close()
shell = shutil.which("sqlite3")
if shell and subprocess.run([shell, ":memory:", "SELECT 1"], capture_output=True, text=True).stdout == "1\n":
    ordinary = os.path.join(folder, "ordinary.db")
    sqlite3.connect(ordinary).execute("CREATE TABLE t(x)")
    if "CREATE TABLE t" in subprocess.run([shell, ordinary, ".recover"], capture_output=True, text=True).stdout:
        out = subprocess.run([shell, path, ".recover"], capture_output=True, text=True)
        new = sqlite3.connect(os.path.join(folder, "recovered.db"))
        new.executescript(out.stdout)
        eq(rows(new, "SELECT count(*), sum(length(raw)) FROM responses_scores"), [(60, 960)], ".recover of the shell brings the shadow tables back")
        new.close()
    else:
        skip(".recover of the shell brings the shadow tables back", "this shell's .recover works on no file, not even an ordinary one")
    dump = subprocess.run([shell, path, ".dump"], capture_output=True, text=True).stdout
    ok("responses_scores" in dump and "people" in dump, ".dump works")
    script = f".load {EXTENSION}\n.dbconfig defensive on\nINSERT INTO responses(prompt_id, position, text, a, b) VALUES(700, 1, 'x', 1, 2);\nUPDATE responses SET a = 5 WHERE prompt_id = 700;\nSELECT a, text FROM responses WHERE prompt_id = 700;\nCREATE VIRTUAL TABLE d USING persona_prompts;\nINSERT INTO d(split) VALUES('x');\nALTER TABLE d RENAME TO e;\nSELECT split FROM e;\nDROP TABLE e;\nDELETE FROM responses WHERE prompt_id = 700;\nUPDATE responses_scores SET position = 9;\n"
    out = subprocess.run([shell, path], input=script, capture_output=True, text=True)
    eq([line for line in out.stdout.split("\n") if line and "defensive" not in line], ["5.0|x", "x"], "in defensive mode the tables work")
    ok("table responses_scores may not be modified" in out.stderr, "and protects the shadow tables", out.stderr)
else:
    skip("the shell's .recover, .dump and defensive mode", "there is no sqlite3 shell that runs")

# ---- PRAGMA integrity_check reaches into the tables (SQLite 3.44) ---------------------------------------------------------------------------
if sqlite3.sqlite_version_info >= (3, 44):
    db = connect()
    make(db)
    eq(rows(db, "PRAGMA integrity_check"), [("ok",)], "integrity_check finds nothing")
    db.execute("UPDATE responses_scores SET raw = x'00' WHERE response_id = 2")
    eq(rows(db, "PRAGMA integrity_check"), [("persona_responses table main.responses: response_id 2: 1 bytes of packed scores; 2 reward models need 16 or 17",)], "integrity_check finds damaged scores")
    db.execute("UPDATE responses_scores SET raw = NULL")
    db.execute("DELETE FROM responses_scores WHERE response_id = 2")
    db.execute("DELETE FROM prompts_rows WHERE prompt_id = 3")
    eq(rows(db, "PRAGMA integrity_check"), [("persona_prompts table main.prompts: text of prompt_id 3, which is no row",), ("persona_responses table main.responses: text of response_id 2, which is no row",)], "and orphans")
else:
    skip("integrity_check reaches into the tables", "that takes SQLite 3.44")
done()
