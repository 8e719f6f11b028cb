"""distill_rewards, distill_text, predict_rewards (rules D1..D6, P1, P2 of fn_distill.c): arguments, NULLs, messages, models."""
import json
import os
import sqlite3
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
import numpy as np

db = connect()


def one(sql, *args):
    return db.execute(sql, args).fetchone()[0]


def vec(*numbers):
    return struct.pack(f"<{len(numbers)}d", *numbers)


rng = np.random.RandomState(0)
db.execute("CREATE TABLE f(id INTEGER PRIMARY KEY, g INTEGER, x BLOB, y BLOB)")
X = rng.standard_normal((60, 4))
Y = np.column_stack([X[:, 0] - X[:, 1], X[:, 2] * 2])
for i in range(60):
    db.execute("INSERT INTO f(g, x, y) VALUES (?, ?, ?)", (i // 3, X[i].tobytes(), Y[i].tobytes()))
WORDS = ["yes", "no", "flour", "please", "- item\n", "why?", "12", "**bold**", "because", "it", "is", "short"]
db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, g INTEGER, prompt, response, y)")
for i in range(60):
    text = " ".join(WORDS[k] for k in rng.randint(0, 12, 3 + i % 9))
    db.execute("INSERT INTO t(g, prompt, response, y) VALUES (?, ?, ?, ?)", (i // 3, f"Prompt {i // 3}?", text, vec(len(text) / 10, text.count("no"))))
SMALL = '{"random":16,"hashed":32}'

# ---- values ----
model = one("SELECT distill_rewards(x, y, g) FROM f")
pred = np.array([np.frombuffer(r[0]) for r in db.execute("SELECT predict_rewards(?, x) FROM f ORDER BY id", (model,))])
close(pred, Y, 1e-3, "D1 exactly linear rewards are found", 1e-3)
info = json.loads(one("SELECT model_info(?)", model))
eq((info["kind"], info["dim"], info["rank"], info["type"], info["rows"], info["rows_skipped"]), ("student", 4, 2, "f64", 60, 0), "D6 model_info of distill_rewards")
ok(all(set(f) == {"name", "lambda", "freedom", "r2", "r2_cv"} and f["name"] is None and f["r2_cv"] > 0.999 for f in info["fit"]), "D6 fit of each reward model", info["fit"])
ok(info["converged"] and info["objective"] is not None and info["iterations"] > 1, "D6 objective and penalties tried")
named = one("""SELECT distill_rewards(x, y, g, '{"rewards":["kind","brief"],"names":["a","b","c","d"],"scale":"none"}') FROM f""")
info = json.loads(one("SELECT model_info(?)", named))
eq((info["outputs"], info["features"], [f["name"] for f in info["fit"]], info["options"]), (["kind", "brief"], ["a", "b", "c", "d"], ["kind", "brief"], {"lambda": None, "scale": "none"}), "D4 names are kept")
eq([(r[0], r[1], r[3]) for r in db.execute("SELECT * FROM model_weights(?)", (named,))][:5], [(1, "a", "kind"), (2, "b", "kind"), (3, "c", "kind"), (4, "d", "kind"), (1, "a", "brief")], "D4 ... and in model_weights")
eq(len(model) % 2, 1, "a model has odd length")

text = one("SELECT distill_text(prompt, response, y, g, ?) FROM t", SMALL)
info = json.loads(one("SELECT model_info(?)", text))
eq((info["kind"], info["rank"], info["rows"], info["options"]), ("text_student", 2, 60, {"lambda": None, "random": 16, "hashed": 32, "exact_rows": 6144, "exact": True}), "D6 model_info of distill_text")
eq(one("SELECT distill_text(prompt, response, y, ?) FROM t", SMALL), text, "D2 without prompt_id equal prompts in a row are one")
ok(one("SELECT distill_text('x', response, y, ?) FROM t", SMALL) != text, "D2 ... so other prompts make another student")
eq(one("SELECT distill_text(prompt, response, y, NULL, ?) FROM t", SMALL), text, "D3 a NULL prompt_id is absent")
eq(one("SELECT distill_rewards(x, y, g, NULL) FROM f"), model, "D3 NULL options are absent")
eq(one("SELECT distill_rewards(persona_json(x), persona_json(y), g) FROM f"), model, "D1 JSON text will do")
eq(one("SELECT distill_text(prompt, response, y, g, ?) FROM t", '{"random":16,"hashed":32,"seed":0}'), text, "D4 seed 0 is the default")
ok(one("SELECT distill_text(prompt, response, y, g, ?) FROM t", '{"random":16,"hashed":32,"seed":1}') != text, "D4 another seed, other random features")
got = np.frombuffer(one("SELECT predict_rewards(?, 'Prompt 1?', 'no no flour')", text))
eq(len(got), 2, "P1 one number for each reward model")
ok(np.frombuffer(one("SELECT predict_rewards(?, 'Prompt 1?', 'no no no')", text))[1] > np.frombuffer(one("SELECT predict_rewards(?, 'Prompt 1?', 'yes it is')", text))[1] + 0.3, "P1 what was rewarded is predicted")
for sizes in ('{"random":0,"hashed":32}', '{"random":16,"hashed":0}', '{"random":0,"hashed":0}'):
    eq(len(one("SELECT predict_rewards((SELECT distill_text(prompt, response, y, g, ?) FROM t), 'a', 'b')", sizes)), 16, f"D4 {sizes}")
streamed = one("SELECT distill_text(prompt, response, y, g, ?) FROM t", '{"random":16,"hashed":32,"exact_rows":10,"lambda":0.5}')
kept = one("SELECT distill_text(prompt, response, y, g, ?) FROM t", '{"random":16,"hashed":32,"lambda":0.5}')
eq(json.loads(one("SELECT model_info(?)", streamed))["options"]["exact"], False, "D4 exact_rows: streamed when there are more")
close(*[np.array([np.frombuffer(r[0]) for r in db.execute("SELECT predict_rewards(?, prompt, response) FROM t", (m,))]) for m in (streamed, kept)], 1e-8, "... with the same result", 1e-8)
big = one("SELECT length(distill_text(prompt, response, y, g)) FROM t")
ok(big > 8 * 2 * (8192 + 32768), "the default sizes")
for odd in ("", " ", "\n\n", "é", "😀" * 50, "a" * 5000, "\x01", "- \n- \n"):
    ok(np.isfinite(np.frombuffer(one("SELECT predict_rewards(?, ?, ?)", text, odd, odd))).all(), f"any text can be predicted: {odd[:5]!r}")
eq(one("SELECT predict_rewards(?, 5, 12)", text), one("SELECT predict_rewards(?, '5', '12')", text), "P2 numbers are read as SQLite writes them")

# ---- f32 ----
m32 = one("SELECT distill_rewards(persona_vector(x, 'f64', 'f32'), y, g, '{\"type\":\"f32\"}') FROM f")
eq(json.loads(one("SELECT model_info(?)", m32))["type"], "f32", "D4 type f32")
eq(one("SELECT predict_rewards(?, persona_vector(x, 'f64', 'f32')) FROM f LIMIT 1", m32), one("SELECT predict_rewards(?, persona_vector(persona_vector(x, 'f64', 'f32'), 'f32', 'f64')) FROM f LIMIT 1", m32), "P2 features are f64 or f32 by their length")

# ---- NULL and nothing ----
eq(one("SELECT distill_rewards(x, y, g) FROM f WHERE 0"), None, "D5 no rows give NULL")
eq(one("SELECT distill_rewards(NULL, y, g) FROM f"), None, "D5 only skipped rows give NULL")
some = one("SELECT distill_rewards(CASE WHEN id > 3 THEN x END, CASE WHEN id < 58 THEN y END, g) FROM f")
info = json.loads(one("SELECT model_info(?)", some))
eq((info["rows"], info["rows_skipped"]), (54, 6), "D5 rows with NULL are skipped and counted")
eq(one("SELECT model_info(distill_text(nullif(prompt, 'Prompt 0?'), nullif(response, 'zz'), y, g, ?)) ->> 'rows_skipped' FROM t", SMALL), 3, "D5 ... of text too")
eq([one("SELECT predict_rewards(NULL, x'00')"), one("SELECT predict_rewards(?, NULL)", model), one("SELECT predict_rewards(?, NULL, 'a')", text), one("SELECT predict_rewards(?, 'a', NULL)", text)], [None] * 4, "P2 NULL gives NULL")

# ---- messages ----
R, T = "row 1 of its group: ", "distill_rewards: "
fails(db, "SELECT distill_rewards(x, y, g, '{\"alpha\":1}') FROM f", T + "argument 4 (options): unknown option \"alpha\"; known options: lambda, rewards, names, scale, type, dim")
fails(db, "SELECT distill_text(prompt, response, y, '{\"scale\":1}') FROM t", "distill_text: argument 4 (options): unknown option \"scale\"; known options: lambda, rewards, random, hashed, exact_rows, seed")
fails(db, "SELECT distill_text(prompt, response, y, '{\"random\":7}') FROM t", "distill_text: argument 4 (options): option \"random\": 7 is odd; random features come in pairs, a cosine and a sine")
fails(db, "SELECT distill_rewards(x, y, '{\"rewards\":[]}') FROM f", T + "argument 3 (options): option \"rewards\" is empty; an array of texts is required")
fails(db, "SELECT distill_rewards(x, y, '{\"rewards\":\"a\"}') FROM f", T + "argument 3 (options): option \"rewards\" is text; an array of texts is required")
fails(db, "SELECT distill_rewards(x, y, '{\"rewards\":[\"a\",1]}') FROM f", T + "argument 3 (options): option \"rewards\" has a number as name 2; text is required")
fails(db, "SELECT distill_rewards(x, y, '{\"rewards\":[\"a\"]}') FROM f", T + R + "2 rewards, but option \"rewards\" has 1")
fails(db, "SELECT distill_rewards(x, y, '{\"names\":[\"a\"]}') FROM f", T + R + "4 features, but option \"names\" has 1")
fails(db, "SELECT distill_rewards(x, y, 1.5) FROM f", T + "argument 3 (prompt_id): a real number; an integer, options (JSON text) or NULL is required")
fails(db, "SELECT distill_rewards(x, y, '{}', '{}') FROM f", T + "argument 3 (prompt_id): text; an integer or NULL is required")
fails(db, "SELECT distill_rewards(x, y, g, 1) FROM f", T + "argument 4 (options): an integer; a JSON object such as {\"name\": value} is required")
fails(db, "SELECT distill_rewards(x, y, g, CASE WHEN id = 1 THEN '{}' END) FROM f", T + "options are given on some rows and absent on others; they must be the same on every row of a group")
fails(db, "SELECT distill_rewards(x, y, CASE WHEN id = 1 THEN g END, NULL) FROM f", T + "row 2 of its group: prompt_id is NULL or absent on this row, but not on the rows before; it must be known for all rows or for none")
fails(db, "SELECT distill_rewards(x, y, CASE WHEN id > 1 THEN g END, NULL) FROM f", T + "row 2 of its group: prompt_id is given on this row, but not on the rows before; it must be known for all rows or for none")
fails(db, "SELECT distill_rewards(x, y, id % 30) FROM f", T + "row 31 of its group: prompt_id 1 comes back after other prompts; hand the rows of a prompt over together: FROM (SELECT ... ORDER BY prompt_id)")
fails(db, "SELECT distill_text('p' || (id % 30), response, y) FROM t", "distill_text: row 31 of its group: the prompt \"p1\" comes back after other prompts; hand its rows over together: FROM (SELECT ... ORDER BY prompt)")
fails(db, "SELECT distill_rewards(x, y, id) FROM f", T + "60 rows of 60 prompts: no prompt has two rows in a row, so there is nothing to rank")
fails(db, "SELECT distill_text(prompt, response, y, id) FROM t", "distill_text: 60 rows of 60 prompts: no prompt has two rows in a row, so there is nothing to rank")
fails(db, "SELECT distill_rewards('[1,2]', y, g) FROM f", T + "the features are the same for all rows of a prompt")
fails(db, "SELECT distill_text(prompt, 'same', y, g) FROM t", "distill_text: the features are the same for all rows of a prompt")
fails(db, "SELECT distill_rewards(CASE WHEN id < 9 THEN x ELSE '[1]' END, y, g) FROM f", T + "row 9 of its group: 1 features, but 4 on the rows before")
fails(db, "SELECT distill_rewards(x, CASE WHEN id < 9 THEN y ELSE '[1]' END, g) FROM f", T + "row 9 of its group: 1 rewards, but 2 on the rows before")
fails(db, "SELECT distill_rewards(x, 1, g) FROM f", T + R + "argument 2 (rewards): an integer; a vector (a BLOB of f64 or f32 numbers, or JSON text such as [1, 2.5]) is required")
fails(db, "SELECT distill_text(x'00', 'a', '[1]')", "distill_text: " + R + "argument 1 (prompt): a BLOB; text is required")
fails(db, "SELECT distill_text('a', x'00', '[1]')", "distill_text: " + R + "argument 2 (response): a BLOB; text is required")
fails(db, "SELECT distill_rewards(x, y, g, '{\"dim\":3,\"type\":\"f64\"}') FROM f", T + R + "argument 1 (features): a BLOB of 32 bytes where 3 f64 numbers (24 bytes) are expected")
fails(db, "SELECT distill_rewards(zeroblob(8 * 17000), y, g) FROM f", T + R + "17000 features; a student takes at most 16384")
P = "predict_rewards: argument "
fails(db, "SELECT predict_rewards(?, 'a', 'b')", P + "1 (model): it predicts from 4 features: predict_rewards(model, features)", args=(model,))
fails(db, "SELECT predict_rewards(?, 'a')", P + "1 (model): it predicts from text: predict_rewards(model, prompt, response)", args=(text,))
fails(db, "SELECT predict_rewards(?, ?)", P + "2 (features): a BLOB of 8 bytes where 4 numbers are expected; that is 32 bytes as f64 or 16 as f32", args=(model, vec(1)))
fails(db, "SELECT predict_rewards(x'00', 'a')", P + "1 (model): a BLOB of 1 bytes is no model")
bad = bytearray(model)
bad[-9] ^= 1
try:
    said = one("SELECT predict_rewards(?, x) FROM f", bytes(bad))
except sqlite3.Error as e:
    said = str(e)
ok(isinstance(said, str) and "argument 1 (model)" in said and "altered" in said, "an altered model is refused", said)
fails(db, "SELECT predict_rewards(?, 'a', x'00')", P + "3 (response): a BLOB; text is required", args=(text,))

# ---- the same rows twice, groups, views ----
eq(one("SELECT distill_text(prompt, response, y, g, ?) FROM t", SMALL), text, "the same rows give the same model")
eq(one("SELECT count(DISTINCT m) FROM (SELECT distill_rewards(x, y, g) AS m FROM f GROUP BY g % 2)"), 2, "GROUP BY gives a student for each group")
db.execute("PRAGMA trusted_schema = 0")
db.execute("CREATE VIEW v AS SELECT id, predict_rewards((SELECT distill_rewards(x, y, g) FROM f), x) AS p FROM f")
eq(len(db.execute("SELECT p FROM v").fetchall()), 60, "views may use them with trusted_schema off")

# ---- interrupts ----
wide = connect()
wide.execute("CREATE TABLE w(g INTEGER, x BLOB, y BLOB)")
wide.executemany("INSERT INTO w VALUES (?, ?, ?)", [(i // 4, rng.standard_normal(1500).tobytes(), rng.standard_normal(3).tobytes()) for i in range(600)])
wide.execute("CREATE TABLE t(g INTEGER, response)")
wide.executemany("INSERT INTO t VALUES (?, ?)", [(i // 4, " ".join(WORDS[k] for k in rng.randint(0, 12, 60))) for i in range(2500)])
for name, sql in {"features": "SELECT distill_rewards(x, y, g) FROM w a", "text": "SELECT distill_text('p', response, '[' || length(response) || ',' || (rowid % 7) || ']', g) FROM t",
                  "text, streamed": "SELECT distill_text('p', response, '[' || length(response) || ']', g, '{\"exact_rows\":100}') FROM t"}.items():
    found = interrupted(wide, sql)
    ok(found.endswith("interrupted"), f"{name}: a fit is interrupted", found)
done()
