"""prompts, responses, reward_models: the persistent tables (rules of vt_prompts.c and vt_responses.c)."""
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *

db = connect()


def rows(sql, *args):
    return db.execute(sql, args).fetchall()


def one(sql, *args):
    return db.execute(sql, args).fetchone()[0]


def f64(*x):
    return struct.pack(f"<{len(x)}d", *x)


def f32(*x):
    return struct.pack(f"<{len(x)}f", *x)


def columns(table):
    return [(name, kind) for _, name, kind, *_ in rows(f"PRAGMA table_info({table})")]


# ---- CREATE -------------------------------------------------------------------------------------------------------
db.execute("CREATE VIRTUAL TABLE prompts USING persona_prompts()")
db.execute('CREATE VIRTUAL TABLE responses USING persona_responses(a, "b c")')
eq(columns("prompts"), [("prompt_id", "INTEGER"), ("split", "TEXT"), ("source", "TEXT"), ("text", "TEXT"), ("embedding", "BLOB")], "P1 the columns of prompts")
fixed = [("response_id", "INTEGER"), ("prompt_id", "INTEGER"), ("position", "INTEGER"), ("model", "TEXT"), ("text", "TEXT"), ("rewards", "BLOB"), ("raw_rewards", "BLOB"), ("embedding", "BLOB")]
eq(columns("responses"), fixed + [("a", "REAL"), ("b c", "REAL")], "R1 the columns of responses")
eq(rows("SELECT position, name, mean, sd, source, note FROM reward_models"), [(1, "a", 0.0, 1.0, None, None), (2, "b c", 0.0, 1.0, None, None)], "R2 CREATE makes reward_models")
db.execute("""CREATE VIRTUAL TABLE names USING persona_responses( "quo""ted" , [br ack], `back``tick`, 'sin''gle', plain$1,
  Ünïcode, order , prompts = "my ""prompts" )""")
eq([n for n, _ in columns("names")[8:]], ['quo"ted', "br ack", "back`tick", "sin'gle", "plain$1", "Ünïcode", "order"], "R1 names in every kind of quotes")
eq(rows("SELECT value FROM names_config WHERE key = 'prompts'"), [('"my ""prompts"',)], "the prompts option is kept as written")
eq(one("SELECT count(*) FROM reward_models"), 2, "R2 an existing reward_models is left alone")
db.execute("CREATE VIRTUAL TABLE many USING persona_responses(" + ", ".join(f"m{i}" for i in range(256)) + ")")
ok(len(columns("many")) == 264, "R1 256 reward models")
db.execute("DROP TABLE many")

P, R = "persona_prompts: ", "persona_responses: "
taken = "; no reward model may be called response_id, prompt_id, position, model, text, rewards, raw_rewards, embedding, user_id, weights, turn or rowid"
required = " is no name of a reward model; an SQL identifier such as gemma_2b or \"gemma 2b\", or prompts=name, is required"
for arguments, message in [
    ("", "no reward models; name at least one, as in persona_responses(beaver_7b, gemma_2b)"),
    ("prompts=prompts", "no reward models; name at least one, as in persona_responses(beaver_7b, gemma_2b)"),
    (", ".join(f"m{i}" for i in range(257)), "more than 256 reward models; at most 256 are supported"),
    ("a, b, A", 'argument 3: the reward model "A" is named twice'),
    ("a, 'b', [B]", 'argument 3: the reward model "B" is named twice'),
    ("a, Text", 'argument 2: the name "Text" is taken' + taken),
    *[(f"{name}", f'argument 1: the name "{name}" is taken' + taken) for name in ("response_id", "prompt_id", "position", "model", "rewards", "RAW_rewards", "embedding", "user_id", "weights", "turn", "rowid")],
    ("a b", 'argument 1: "a b"' + required),
    ("a REAL", 'argument 1: "a REAL"' + required),
    ('""', 'argument 1: """"' + required),
    ("max(a)", 'argument 1: "max(a)"' + required),
    ("1", 'argument 1: "1"' + required),
    ("beaver-b", 'argument 1: "beaver-b"' + required),
    ("a, prompt=p", 'unknown option "prompt"; known options: prompts'),
    ("a, prompts=", 'option prompts: "" is no table name; an SQL identifier such as prompts or "my prompts" is required'),
    ("a, prompts=SELECT 1", 'option prompts: "SELECT 1" is no table name; an SQL identifier such as prompts or "my prompts" is required'),
    ("a, prompts=p, prompts=q", "option prompts is given twice"),
]:
    fails(db, f"CREATE VIRTUAL TABLE bad USING persona_responses({arguments})", R + message)
fails(db, "CREATE VIRTUAL TABLE bad USING persona_responses(" + ", ".join(f"m{i}" for i in range(10000)) + ")", "too many columns on bad")
fails(db, "CREATE VIRTUAL TABLE bad USING persona_prompts(x)", P + 'takes no arguments, found "x"')
db.execute("CREATE TABLE bad_config(x)")
fails(db, "CREATE VIRTUAL TABLE bad USING persona_responses(a)", R + 'cannot create the shadow tables of bad: table "bad_config" already exists')
eq(rows("SELECT name FROM sqlite_schema WHERE name LIKE 'bad%'"), [("bad_config",)], "a failed CREATE leaves nothing behind")
db.execute("DROP TABLE bad_config")

# ---- prompts ------------------------------------------------------------------------------------------------------
db.execute("INSERT INTO prompts VALUES(7, 'train', 'src', 'hello', '[1,2,3]')")
eq(rows("SELECT *, rowid FROM prompts"), [(7, "train", "src", "hello", f32(1, 2, 3), 7)], "a prompt comes back, its embedding as f32")
db.execute("INSERT INTO prompts(text) VALUES('next')")
eq(rows("SELECT * FROM prompts WHERE prompt_id = last_insert_rowid()"), [(8, None, None, "next", None)], "P1 a prompt_id is chosen and known to last_insert_rowid()")
db.execute("INSERT INTO prompts(rowid, split) VALUES(-3, 1.5)")
eq(rows("SELECT prompt_id, split, typeof(split) FROM prompts WHERE rowid < 0"), [(-3, "1.5", "text")], "P3 rowid is prompt_id; numbers become text")
db.execute("INSERT INTO prompts(prompt_id, source) VALUES('11', 12), (12.0, 'x')")
eq(rows("SELECT prompt_id, source FROM prompts WHERE prompt_id BETWEEN 11 AND 12"), [(11, "12"), (12, "x")], "P3 prompt_id takes what an INTEGER column takes")
db.execute("UPDATE prompts SET split = 'test', prompt_id = 70 WHERE prompt_id = 7")
eq(rows("SELECT * FROM prompts WHERE prompt_id = 70"), [(70, "test", "src", "hello", f32(1, 2, 3))], "an id can change, everything goes along")
db.execute("UPDATE prompts SET rowid = 71, text = NULL WHERE rowid = 70")
eq(rows("SELECT * FROM prompts WHERE split = 'test'"), [(71, "test", "src", None, f32(1, 2, 3))], "also by its other name")
eq(rows("SELECT count(*) FROM prompts_text WHERE prompt_id IN (7, 70, 71)"), [(0,)], "no text is left behind")
fails(db, "INSERT INTO prompts(prompt_id) VALUES('x')", 'prompts: prompt_id is the text "x"; an integer is required')
fails(db, "INSERT INTO prompts(prompt_id) VALUES(1.5)", "prompts: prompt_id is 1.5; an integer is required")
fails(db, "INSERT INTO prompts(prompt_id) VALUES(1e30)", "prompts: prompt_id is 1e+30; an integer is required")
fails(db, "INSERT INTO prompts(prompt_id) VALUES(x'01')", "prompts: prompt_id is a BLOB; an integer is required")
fails(db, "INSERT INTO prompts(rowid, prompt_id) VALUES(1, 2)", "prompts: rowid is 1 but prompt_id is 2; they are the same")
fails(db, "UPDATE prompts SET prompt_id = NULL", "prompts: prompt_id is NULL; an integer is required")
fails(db, "UPDATE prompts SET prompt_id = 5, rowid = 6 WHERE prompt_id = 71", "prompts: rowid is 6 but prompt_id is 5; they are the same")
fails(db, "INSERT INTO prompts(text) VALUES(x'00')", "prompts: text is a BLOB; text is required")
fails(db, "INSERT INTO prompts(split) VALUES(x'00')", "prompts: split is a BLOB; text is required")
fails(db, "INSERT INTO prompts(prompt_id) VALUES(71)", "prompts: UNIQUE constraint failed: prompts.prompt_id (71)")
fails(db, "UPDATE prompts SET prompt_id = 71 WHERE prompt_id = 8", "prompts: UNIQUE constraint failed: prompts.prompt_id (71)")
vector = "; a vector (a BLOB of f64 or f32 numbers, or JSON text such as [1, 2.5]) is required"
for value, message in [
    ("5", "an integer" + vector),
    ("1.5", "a real number" + vector),
    ("'[1,2]'", "2 f32 numbers, but the table's embeddings have 3; all of a table have one dimension"),
    ("zeroblob(24)", "6 f32 numbers, but the table's embeddings have 3; all of a table have one dimension (f64? persona_vector(x, 'f64', 'f32') converts)"),
    ("x'000102'", "a BLOB of 3 bytes, which is no multiple of 4; f32 vectors are required"),
    ("x''", "an empty BLOB; a vector has at least one number"),
    ("'[1,2'", "not JSON: it is cut off or wrong at its end (4 bytes)"),
    ("'[1,2,\"x\"]'", "element 2 is text; a finite number is required"),
    ("'[1,2,1e39]'", "element 2 is 1e+39, which is too large for f32"),
    ("'[1,2,1e999]'", "element 2 is infinite; a finite number is required"),
    ("x'0000803f0000803f0000c07f'", "element 2 is NaN; a finite number is required"),
    ("persona_vector('[0.1, 0.2, -0.3]')", "these 24 bytes are ordinary numbers as f64 but not as f32, and f32 is required (persona_vector(x, 'f64', 'f32') converts)"),
]:
    fails(db, f"INSERT INTO prompts(embedding) VALUES({value})", "prompts: embedding: " + message)
eq(one("SELECT count(*) FROM prompts"), 5, "none of that left a row")
db.execute("UPDATE prompts SET embedding = '[1,2]' WHERE prompt_id = 71")
eq(one("SELECT embedding FROM prompts WHERE prompt_id = 71"), f32(1, 2), "P4 the only embedding may get another dimension")
fails(db, "UPDATE prompts SET embedding = '[1]' WHERE prompt_id = 8", "prompts: embedding: 1 f32 numbers, but the table's embeddings have 2; all of a table have one dimension")
db.execute("BEGIN")
db.execute("UPDATE prompts SET embedding = NULL")
db.execute("UPDATE prompts SET embedding = '[4,5,6,7]' WHERE prompt_id = 8")
fails(db, "INSERT INTO prompts(embedding) VALUES('[1,2]')", "prompts: embedding: 2 f32 numbers, but the table's embeddings have 4; all of a table have one dimension")
db.execute("ROLLBACK")
fails(db, "INSERT INTO prompts(embedding) VALUES('[4,5,6,7]')", "prompts: embedding: 4 f32 numbers, but the table's embeddings have 2; all of a table have one dimension", "P4 a rollback brings the dimension back")

# ---- responses ----------------------------------------------------------------------------------------------------
db.execute("INSERT INTO responses(prompt_id, position, model, text, a, \"b c\") VALUES(7, 1, 'm', 'hi', 1, 2.5)")
db.execute("INSERT INTO responses(prompt_id, position, raw_rewards, embedding) VALUES(7, 2, '[3, 4]', '[1,2]')")
db.execute("INSERT INTO responses(prompt_id, position, a) VALUES(7, 3, '5')")
db.execute("UPDATE reward_models SET mean = 1, sd = 2")
first = (1, 7, 1, "m", "hi", f64(0, .75), f64(1, 2.5), None, 1.0, 2.5)
second = (2, 7, 2, None, None, f64(1, 1.5), f64(3, 4), f32(1, 2), 3.0, 4.0)
third = (3, 7, 3, None, None, None, None, None, 5.0, None)
eq(rows("SELECT * FROM responses"), [first, second, third], "R2 R3 W1 W5 responses come back, rewards standardised, partial scores kept")
db.execute('CREATE VIRTUAL TABLE copy USING persona_responses(a, "b c")')
db.execute("INSERT INTO copy SELECT * FROM responses")
eq(rows("SELECT * FROM copy"), [first, second, third], "W2 INSERT ... SELECT * copies")
db.execute("INSERT INTO responses(prompt_id, position, raw_rewards) VALUES(8, 1, ?)", (struct.pack("<2f", .5, .25),))
eq(one("SELECT raw_rewards FROM responses WHERE prompt_id = 8"), f64(.5, .25), "raw_rewards as f32 is told by its length and kept as f64")
db.execute("INSERT INTO responses(prompt_id, position, raw_rewards, rewards, a) VALUES(8, 2, '[1,2]', 'nonsense', 1)")
eq(one("SELECT raw_rewards FROM responses WHERE prompt_id = 8 AND position = 2"), f64(1, 2), "W1 W2 both agree, rewards beside them is ignored")
db.execute("DELETE FROM responses WHERE prompt_id = 8")
D = "responses: "
alone = "rewards is computed from the raw scores and cannot be set; give raw_rewards or the columns of the reward models"
for columns_, values, message in [
    ("prompt_id", "1", "NOT NULL constraint failed: responses.position"),
    ("position", "1", "NOT NULL constraint failed: responses.prompt_id"),
    ("prompt_id, position", "1, 0", "position is 0; positions count from 1"),
    ("prompt_id, position", "1, -5", "position is -5; positions count from 1"),
    ("prompt_id, position", "1, 1.5", "position is 1.5; an integer is required"),
    ("prompt_id, position", "'one', 1", 'prompt_id is the text "one"; an integer is required'),
    ("prompt_id, position, response_id", "1, 1, x''", "response_id is a BLOB; an integer is required"),
    ("prompt_id, position, model", "1, 1, x''", "model is a BLOB; text is required"),
    ("prompt_id, position, text", "1, 1, x''", "text is a BLOB; text is required"),
    ("prompt_id, position, rewards", "1, 1, '[1,2]'", alone),
    ("prompt_id, position, raw_rewards", "1, 1, '[1,2,3]'", "raw_rewards: 3 numbers where 2 are expected"),
    ("prompt_id, position, raw_rewards", "1, 1, x'00'", "raw_rewards: a BLOB of 1 bytes where 2 numbers are expected; that is 16 bytes as f64 or 8 as f32"),
    ("prompt_id, position, raw_rewards", "1, 1, 5", "raw_rewards: an integer" + vector),
    ("prompt_id, position, raw_rewards", "1, 1, '[1,null]'", "raw_rewards: element 1 is null; a finite number is required"),
    ("prompt_id, position, raw_rewards", "1, 1, x'000000000000f87f0000000000000000'", "raw_rewards: element 0 is NaN; a finite number is required"),
    ("prompt_id, position, raw_rewards", "1, 1, x'0000000000000000000000000000f07f'", "raw_rewards: element 1 is infinite; a finite number is required"),
    ("prompt_id, position, raw_rewards, a", "1, 1, '[1,2]', 1.5", "raw_rewards has 1 for a, but the column a has 1.5; give one, or both equal"),
    ("prompt_id, position, a", "1, 1, 9e999", "a is infinite; a finite number is required"),
    ("prompt_id, position, a", "1, 1, 'abc'", 'a is the text "abc"; a finite number is required'),
    ("prompt_id, position, \"b c\"", "1, 1, x'01'", "b c is a BLOB; a finite number is required"),
    ("prompt_id, position, embedding", "1, 1, '[1]'", "embedding: 1 f32 numbers, but the table's embeddings have 2; all of a table have one dimension"),
    ("prompt_id, position", "7, 1", "UNIQUE constraint failed: responses.prompt_id, responses.position (7, 1)"),
    ("prompt_id, position, response_id", "9, 1, 3", "UNIQUE constraint failed: responses.response_id (3)"),
]:
    fails(db, f"INSERT INTO responses({columns_}) VALUES({values})", D + message)
eq(rows("SELECT * FROM responses"), [first, second, third], "none of that left a trace")
eq(rows("SELECT count(*) FROM responses_text") + rows("SELECT count(*) FROM responses_embeddings"), [(1,), (1,)], "nor in the shadow tables")

db.execute("UPDATE responses SET a = 9 WHERE position = 1")
eq(rows("SELECT a, \"b c\", raw_rewards, text FROM responses WHERE position = 1"), [(9.0, 2.5, f64(9, 2.5), "hi")], "W3 one score changes, the others and the text stay")
db.execute("UPDATE responses SET \"b c\" = 6 WHERE position = 3")
eq(one("SELECT raw_rewards FROM responses WHERE position = 3"), f64(5, 6), "W3 the last missing score completes the vectors")
db.execute("UPDATE responses SET a = NULL WHERE position = 3")
eq(rows("SELECT a, \"b c\", raw_rewards, rewards FROM responses WHERE position = 3"), [(None, 6.0, None, None)], "W3 a score can be forgotten")
db.execute("UPDATE responses SET raw_rewards = NULL, a = 2 WHERE position = 3")
eq(rows("SELECT a, \"b c\" FROM responses WHERE position = 3"), [(2.0, None)], "W3 raw_rewards = NULL forgets all but what is given beside it")
db.execute("UPDATE responses SET raw_rewards = '[7,8]' WHERE position = 3")
eq(rows("SELECT a, \"b c\" FROM responses WHERE position = 3"), [(7.0, 8.0)], "W3 raw_rewards sets all")
fails(db, "UPDATE responses SET raw_rewards = '[7,8]', a = 7.5", D + "raw_rewards has 7 for a, but the column a has 7.5; give one, or both equal")
fails(db, "UPDATE responses SET rewards = '[1,2]'", D + alone)
fails(db, "UPDATE responses SET rewards = NULL", D + alone)
db.execute("UPDATE responses SET rewards = NULL, a = a + 1 WHERE position = 3")
eq(one("SELECT a FROM responses WHERE position = 3"), 8.0, "W2 rewards beside a score is ignored")
db.execute("CREATE TABLE other(id, x)")
db.execute("INSERT INTO other VALUES(1, 100), (3, 300)")
db.execute("UPDATE responses SET a = x FROM other WHERE id = response_id")
eq(rows("SELECT response_id, a, \"b c\" FROM responses"), [(1, 100.0, 2.5), (2, 3.0, 4.0), (3, 300.0, 8.0)], "W4 UPDATE ... FROM sets one score")
db.execute("UPDATE responses SET raw_rewards = '[1,2]' FROM other WHERE id = response_id")
eq(rows("SELECT response_id, a, \"b c\" FROM responses"), [(1, 1.0, 2.0), (2, 3.0, 4.0), (3, 1.0, 2.0)], "W4 or the vector")
db.execute("UPDATE responses SET text = x, \"b c\" = NULL FROM other WHERE id = response_id")
eq(rows("SELECT response_id, text, a, \"b c\", raw_rewards FROM responses WHERE response_id <> 2"), [(1, "100", 1.0, None, None), (3, "300", 1.0, None, None)], "W4 or forgets one")
fails(db, "UPDATE responses SET rewards = '[0,0]' FROM other WHERE response_id = 2", D + alone)
fails(db, "UPDATE responses SET rewards = '[0,0]' FROM other WHERE id = response_id", D + alone)
db.execute("UPDATE responses SET response_id = response_id + 10, prompt_id = 1")
eq(rows("SELECT response_id, prompt_id, text, length(embedding) FROM responses"), [(11, 1, "100", None), (12, 1, None, 8), (13, 1, "300", None)], "ids change, texts and embeddings go along")
eq(one("SELECT count(*) FROM responses WHERE response_id < 10"), 0, "and nothing stays at the old ids")

# ---- reward_models --------------------------------------------------------------------------------------------------
vectors = "SELECT persona_json(rewards) FROM responses WHERE response_id = 12"
db.execute("UPDATE reward_models SET name = upper(name), mean = position, sd = 0.5")
eq(one(vectors), "[4,4]", "R2 matched by name in any letter case, an edit is seen at once")
db.execute("UPDATE reward_models SET position = 3 - position")
eq(one(vectors), "[4,4]", "R2 not by position")
need = "; rewards = (raw - mean) / sd needs its mean and sd"
for edit, message in [
    ("DELETE FROM reward_models WHERE name = 'B C'", 'reward_models has no row for "b c"' + need),
    ("UPDATE reward_models SET sd = 0 WHERE name = 'A'", 'reward_models has 0.0 as sd of "a"; a number above 0 is required'),
    ("UPDATE reward_models SET sd = -1 WHERE name = 'A'", 'reward_models has -1.0 as sd of "a"; a number above 0 is required'),
    ("UPDATE reward_models SET sd = NULL WHERE name = 'A'", 'reward_models has NULL as sd of "a"; a number above 0 is required'),
    ("UPDATE reward_models SET sd = 9e999 WHERE name = 'A'", 'reward_models has Inf as sd of "a"; a number above 0 is required'),
    ("UPDATE reward_models SET sd = 'x' WHERE name = 'A'", 'reward_models has x as sd of "a"; a number above 0 is required'),
    ("UPDATE reward_models SET mean = NULL WHERE name = 'A'", 'reward_models has no finite number as mean of "a"'),
    ("UPDATE reward_models SET sd = 1e-320 WHERE name = 'A'", "the reward of reward model 1 overflows with mean 1 and sd 9.99989e-321"),
    ("ALTER TABLE reward_models RENAME TO gone", "rewards = (raw - mean) / sd needs the table reward_models(name, mean, sd) in schema main: no such table: main.reward_models"),
    ("DROP TABLE reward_models; CREATE TABLE reward_models(name, mean, sd); INSERT INTO reward_models VALUES('a',0,1),('A',0,1),('b c',0,1)", 'reward_models has more than one row for "a"'),
    ("DROP TABLE reward_models; CREATE VIEW reward_models AS SELECT 'a' AS name, avg(persona_reward('[1,1]', rewards)) AS mean, 1 AS sd FROM responses", "reward_models: responses: reward_models reads rewards, which are computed from reward_models"),
]:
    db.execute("SAVEPOINT s")
    for statement in edit.split(";"):
        db.execute(statement)
    fails(db, vectors, D + message)
    eq(one("SELECT raw_rewards FROM responses WHERE response_id = 12"), f64(3, 4), "what needs no rewards still works")
    db.execute("ROLLBACK TO s")
    db.execute("RELEASE s")
eq(one(vectors), "[4,4]", "undone, all is as before")
db.execute("SAVEPOINT s")
db.execute("DROP TABLE reward_models")
db.execute("CREATE VIEW reward_models AS SELECT 'a' AS name, min(a) AS mean, 2 AS sd FROM responses UNION ALL SELECT 'b c', 0, 1")
eq(one(vectors), "[1,4]", "R2 reward_models may be a view, even of the raw scores")
db.execute("ROLLBACK TO s")
db.execute("RELEASE s")
db.execute("ATTACH ':memory:' AS two")
db.execute("CREATE VIRTUAL TABLE two.responses USING persona_responses(a)")
db.execute("INSERT INTO two.responses(prompt_id, position, a) VALUES(1, 1, 3)")
eq(rows("SELECT name, mean, sd FROM two.reward_models"), [("a", 0.0, 1.0)], "R2 each schema has its own reward_models")
eq(one("SELECT persona_json(rewards) FROM two.responses"), "[3]", "R2 and rewards uses that of its own")
db.execute("DETACH two")

# ---- conflict clauses ---------------------------------------------------------------------------------------------
db.execute("CREATE VIRTUAL TABLE c USING persona_responses(a)")


def reset():
    if db.in_transaction:
        db.execute("ROLLBACK")
    db.execute("DELETE FROM c")
    db.execute("INSERT INTO c(response_id, prompt_id, position, text, a) VALUES(1, 1, 1, 'x', 1), (2, 1, 2, 'y', 2)")


three = "c(response_id, prompt_id, position, text, a) VALUES(5, 5, 1, 'p', 5), (6, 1, 2, 'q', 6), (7, 5, 2, 'r', 7)"
unique = "c: UNIQUE constraint failed: c.prompt_id, c.position (1, 2)"
ids = "SELECT group_concat(response_id) FROM c"
reset()
fails(db, "INSERT INTO " + three, unique)
eq(one(ids), "1,2", "W7 ABORT undoes the statement")
reset()
db.execute("INSERT OR IGNORE INTO " + three)
eq(one(ids), "1,2,5,7", "W7 IGNORE skips the row")
reset()
fails(db, "INSERT OR FAIL INTO " + three, unique)
eq(one(ids), "1,2,5", "W7 FAIL keeps what was written")
reset()
db.execute("BEGIN")
db.execute("DELETE FROM c WHERE response_id = 1")
fails(db, "INSERT OR ROLLBACK INTO " + three, unique)
eq((one(ids), db.in_transaction), ("1,2", False), "W7 ROLLBACK undoes the transaction")
reset()
db.execute("INSERT OR REPLACE INTO " + three)
eq(rows("SELECT response_id, text, a FROM c"), [(1, "x", 1.0), (5, "p", 5.0), (6, "q", 6.0), (7, "r", 7.0)], "W7 REPLACE replaces")
eq(one("SELECT group_concat(response_id) FROM c_text"), "1,5,6,7", "and takes the text of the replaced row away")
reset()
db.execute("REPLACE INTO c(response_id, prompt_id, position, a) VALUES(1, 1, 2, 9)")
eq(rows("SELECT response_id, position, text, a FROM c"), [(1, 2, None, 9.0)], "W7 one row may replace two")
reset()
fails(db, "UPDATE c SET position = 2 WHERE response_id = 1", unique)
db.execute("UPDATE OR IGNORE c SET position = 2 WHERE response_id = 1")
eq(rows("SELECT response_id, position FROM c"), [(1, 1), (2, 2)], "W7 UPDATE OR IGNORE")
db.execute("UPDATE OR REPLACE c SET position = 2, text = 'z'")
eq(rows("SELECT response_id, position, text FROM c"), [(1, 2, "z")], "W7 UPDATE OR REPLACE; the replaced row is not updated again")
reset()
db.execute("INSERT OR IGNORE INTO c(prompt_id, position) VALUES(NULL, 1), (9, 9)")
eq(one(ids), "1,2,3", "W7 IGNORE skips a NULL key as in an ordinary table")
db.execute("INSERT INTO c(response_id, prompt_id, position) VALUES(100, 50, 1)")
db.execute("UPDATE c SET text = 'new', position = 3 WHERE response_id = 1")
eq(rows("SELECT last_insert_rowid(), changes()"), [(100, 1)], "an UPDATE leaves last_insert_rowid() alone, changes() counts rows")

# ---- transactions, rename, drop -------------------------------------------------------------------------------------
reset()
db.execute("BEGIN")
db.execute("UPDATE c SET a = 10")
db.execute("SAVEPOINT one")
db.execute("UPDATE c SET a = 20")
db.execute("SAVEPOINT two")
db.execute("DELETE FROM c")
db.execute("ROLLBACK TO two")
eq(one("SELECT sum(a) FROM c"), 40.0, "ROLLBACK TO the inner savepoint")
db.execute("ROLLBACK TO one")
eq(one("SELECT sum(a) FROM c"), 20.0, "ROLLBACK TO the outer savepoint")
db.execute("RELEASE one")
db.execute("ROLLBACK")
eq(one("SELECT sum(a) FROM c"), 3.0, "ROLLBACK")
db.execute('ALTER TABLE c RENAME TO "re named"')
eq(rows("SELECT name FROM sqlite_schema WHERE name LIKE 're named%' ORDER BY name"), [("re named",), ("re named_config",), ("re named_embeddings",), ("re named_scores",), ("re named_text",)], "RENAME takes the shadow tables along")
db.execute('INSERT INTO "re named"(prompt_id, position, a) VALUES(3, 1, 4)')
eq(one('SELECT sum(a) FROM "re named"'), 7.0, "the renamed table reads and writes")
db.execute("BEGIN")
db.execute('ALTER TABLE "re named" RENAME TO c')
db.execute("INSERT INTO c(prompt_id, position, a) VALUES(3, 2, 4)")
db.execute("ROLLBACK")
eq(one('SELECT sum(a) FROM "re named"'), 7.0, "a rename rolled back")
db.execute("BEGIN")
db.execute('DROP TABLE "re named"')
db.execute("ROLLBACK")
eq(one('SELECT sum(a) FROM "re named"'), 7.0, "a drop rolled back")
db.execute('DROP TABLE "re named"')
eq(rows("SELECT name FROM sqlite_schema WHERE name LIKE 're named%'"), [], "DROP leaves nothing")
db.execute("CREATE VIRTUAL TABLE gone USING persona_prompts")
db.execute("DROP TABLE gone_text")
db.execute("DROP TABLE gone_config")
db.execute("DROP TABLE gone")
eq(rows("SELECT name FROM sqlite_schema WHERE name LIKE 'gone_%'"), [], "DROP works when shadow tables are gone already")
db.execute("CREATE VIRTUAL TABLE temp.t USING persona_prompts")
db.execute("INSERT INTO t(split) VALUES('x')")
eq(rows("SELECT prompt_id, split FROM temp.t"), [(1, "x")], "a temporary table")
db.execute("VACUUM")
eq(rows("SELECT prompt_id FROM prompts"), [(-3,), (8,), (11,), (12,), (71,)], "VACUUM keeps every id")
eq(one("PRAGMA integrity_check"), "ok", "integrity_check")

# ---- views without trust ----------------------------------------------------------------------------------------------
db.execute("CREATE VIEW v AS SELECT p.prompt_id, r.rewards FROM prompts p LEFT JOIN responses r USING(prompt_id)")
db.execute("PRAGMA trusted_schema = 0")
eq(one("SELECT count(*) FROM v"), 5, "views over the tables work with trusted_schema = 0")
db.execute("CREATE TRIGGER other_insert AFTER INSERT ON other BEGIN INSERT INTO prompts(prompt_id) VALUES(new.id); END")
db.execute("INSERT INTO other VALUES(1000, 0)")
eq(one("SELECT max(prompt_id) FROM prompts"), 1000, "and so do triggers that write to them")
db.execute("PRAGMA trusted_schema = 1")
done()
